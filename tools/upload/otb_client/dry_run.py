"""`--dry-run`: what a backup would read, found by looking alone. Opens no file, sends nothing, remembers nothing."""

from collections.abc import Sequence

from otb_client.cache import Cache
from otb_client.names import shown
from otb_client.output import Output
from otb_client.progress import Progress
from otb_client.scan import Folder, Found, Item, Root, Scanner


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

    def would(folder: Folder, name: str, size_bytes: int) -> None:
        progress.add(files=1, bytes=size_bytes, to_read=1, to_read_bytes=size_bytes)
        output.event("would_read", path=shown(folder.path_of(name)), size=size_bytes)
        if not output.as_json:
            output.text(shown(folder.path_of(name)))

    def small(folder: Folder) -> None:
        for name in folder.small:
            output.event("would_read", path=shown(folder.path_of(name)))
            if not output.as_json:
                output.text(shown(folder.path_of(name)))

    def known(item: Item) -> None:
        if item.name is not None and item.target is None:
            size = item.record[0]
            progress.add(files=1, bytes=size, unchanged=1, unchanged_bytes=size)

    found = Found(
        item=known,
        large=would,
        unchanged=lambda count, size: progress.add(files=count, bytes=size, unchanged=count, unchanged_bytes=size),
        changed=lambda count, size: progress.add(files=count, bytes=size, to_read=count, to_read_bytes=size),
        problem=progress.problem,
        special=progress.note_special,
        folder=small,
    )
    scanner = Scanner(cache, found, rehash=rehash, lines=lines, skipped=skipped)
    for root in roots:
        scanner.add_root(root)
    while scanner.step():
        pass
    return progress.counts.to_read
