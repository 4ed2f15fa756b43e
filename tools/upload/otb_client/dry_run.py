"""`--dry-run`: what a backup would read, found by looking alone. Opens no file, sends nothing, remembers nothing."""

from collections.abc import Sequence

from otb_client.cache import Cache
from otb_client.names import shown
from otb_client.output import Output
from otb_client.progress import Progress
from otb_client.scan import Found, Root, Scanned, Scanner


def look(
    cache: Cache,
    progress: Progress,
    output: Output,
    roots: Sequence[Root],
    rehash: bool,
    lines: list[str],
    skipped: list[str],
) -> int:
    """How many files would be read; the progress counts the rest."""

    def told(scanned: Scanned) -> None:
        folder = scanned.folder
        known = [item for item in scanned.items if item.name is not None and item.target is None]
        names = [*folder.small, *(name for name, _ in scanned.large)]
        size_bytes = scanned.small_bytes + sum(size for _, size in scanned.large)
        unchanged_bytes = scanned.unchanged_bytes + sum(item.record[0] for item in known)
        unchanged = scanned.unchanged + len(known)
        progress.add(
            files=len(names) + unchanged,
            bytes=size_bytes + unchanged_bytes,
            unchanged=unchanged,
            unchanged_bytes=unchanged_bytes,
            to_read=len(names),
            to_read_bytes=size_bytes,
        )
        for name in names:
            path = shown(folder.path_of(name))
            output.event("would_read", path=path)
            if not output.as_json:
                output.text(path)

    found = Found(folder=told, problem=progress.problem, special=progress.note_special)
    scanner = Scanner(cache, found, rehash=rehash, lines=lines, skipped=skipped)
    for root in roots:
        scanner.add_root(root)
    while scanner.step():
        pass
    return progress.counts.to_read
