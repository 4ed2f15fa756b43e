"""Manifests as clients write them: JSON or NDJSON, decoded, checked and turned into the catalog's changes."""

from collections.abc import Iterable, Sequence
from typing import Final, Literal

import msgspec

from cas.digest import Digest
from catalog.changes import AddDirectory, AddKnown, AddLink, PathChange, RemovePath
from catalog.errors import BadRequest, TooMany
from catalog.values import EntryPath
from web.bodies import decode_json
from web.limits import MANIFEST_ENTRIES_MAX
from web.path_bytes import from_base64url
from web.times import parse_time

NDJSON_TYPE: Final = "application/x-ndjson"
_MODE_MAX: Final = 0o7777
_SIZE_MAX: Final = 1 << 60


class NewEntry(msgspec.Struct, forbid_unknown_fields=True):
    """One name of a manifest. A file needs `digest` and `size`, a link its `target`."""

    path: str | None = None
    path_bytes: str | None = None
    type: Literal["file", "link", "directory"] = "file"
    digest: str | None = None
    size: int | None = None
    mtime: str | None = None
    mode: int | None = None
    target: str | None = None
    target_bytes: str | None = None


class PathInBytes(msgspec.Struct, forbid_unknown_fields=True):
    path_bytes: str


class NewManifest(msgspec.Struct, forbid_unknown_fields=True):
    note: str = ""
    entries: list[NewEntry] = []
    removed: list[str | PathInBytes] = []


class NoteLine(msgspec.Struct, forbid_unknown_fields=True):
    """NDJSON: the note, on a line of its own."""

    note: str


class RemovedLine(msgspec.Struct, forbid_unknown_fields=True):
    """NDJSON: a path to remove, on a line of its own."""

    removed: str | PathInBytes


def manifest_of_lines(lines: Iterable[bytes]) -> NewManifest:
    """One JSON object a line: an entry, `{"removed": path}`, or `{"note": text}`."""
    manifest = NewManifest(entries=[], removed=[])
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            keys = decode_json(line, dict[str, msgspec.Raw]).keys()
            if "removed" in keys:
                manifest.removed.append(decode_json(line, RemovedLine).removed)
            elif "note" in keys:
                manifest.note = decode_json(line, NoteLine).note
            else:
                manifest.entries.append(decode_json(line, NewEntry))
        except BadRequest as e:
            raise BadRequest(f"Line {number:,}: {e}") from e
    return manifest


def changes_of(manifest: NewManifest) -> Sequence[PathChange]:
    """Removals first. Raises `TooMany`, `BadRequest`, `BadPath`, `BadDigest`."""
    if len(manifest.entries) + len(manifest.removed) > MANIFEST_ENTRIES_MAX:
        raise TooMany(MANIFEST_ENTRIES_MAX, "entries and removals")
    removed = [RemovePath(_removed_path(path)) for path in manifest.removed]
    return [*removed, *(_change(entry) for entry in manifest.entries)]


def _change(entry: NewEntry) -> PathChange:
    path = _path(entry)
    mtime_ns = None if entry.mtime is None else parse_time(entry.mtime, f"mtime of {entry.path or path}")
    if entry.mode is not None and not 0 <= entry.mode <= _MODE_MAX:
        raise BadRequest(f"mode of {path} must be from 0 to {_MODE_MAX}.")
    match entry.type:
        case "directory":
            return AddDirectory(path, mtime_ns, entry.mode)
        case "link":
            return AddLink(path, _target(entry, path), mtime_ns)
        case "file":
            return _known(entry, path, mtime_ns)


def _known(entry: NewEntry, path: EntryPath, mtime_ns: int | None) -> AddKnown:
    if entry.digest is None or entry.size is None or not 0 <= entry.size <= _SIZE_MAX:
        raise BadRequest(f"The file {path} needs a digest and its size in bytes.")
    return AddKnown(path, Digest.from_hex(entry.digest), entry.size, mtime_ns, entry.mode)


def _target(entry: NewEntry, path: EntryPath) -> bytes:
    """At most as long as a path, without NUL; never followed here."""
    if entry.target_bytes is not None:
        target = from_base64url(entry.target_bytes, "target_bytes")
    else:
        target = (entry.target or "").encode("utf-8", "replace")
    if not 0 < len(target) <= 4_096 or b"\0" in target:
        raise BadRequest(f"The link {path} needs a target of 1 to 4,096 bytes without NUL.")
    return target


def _path(entry: NewEntry) -> EntryPath:
    if (entry.path is None) is (entry.path_bytes is None):
        raise BadRequest("Each entry needs either path or path_bytes.")
    if entry.path_bytes is not None:
        return EntryPath.parse_bytes(from_base64url(entry.path_bytes, "path_bytes"))
    return EntryPath.parse(entry.path or "")


def _removed_path(path: str | PathInBytes) -> EntryPath:
    if isinstance(path, PathInBytes):
        return EntryPath.parse_bytes(from_base64url(path.path_bytes, "path_bytes"))
    return EntryPath.parse(path)
