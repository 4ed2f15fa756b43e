"""What a derived file is called: the source's name, what was done, and the new extension, in the source's folder."""

from typing import Final

from catalog.job_values import ClaimedJob
from catalog.names import split_extension
from catalog.recipes import Value
from catalog.values import NAME_BYTES_MAX, EntryPath

_SUFFIXES: Final = {
    "rotate": "-rotated-{angle}",
    "crop": "-crop-{width}x{height}",
    "resize": "-{edge}px",
    "convert": "",
    "strip": "-clean",
    "pdf-pages": "-page",
    "video-poster": "-at-{second}s",
    "contact-strip": "-strip",
    "video": "-{profile}{rotation}",
    "audio": "",
    "waveform": "-waveform",
}


def derived_path(source: EntryPath, job: ClaimedJob, extension: str) -> EntryPath:
    """The path in the area `derived`; a long name is cut, its suffix and extension are not."""
    base = split_extension(source.name)[0]
    tail = (_SUFFIXES[job.recipe].format(**_shown(job.parameters)) + extension).encode()
    return source.parent.child(_cut(base, NAME_BYTES_MAX - len(tail)) + tail)


def _shown(parameters: dict[str, Value]) -> dict[str, Value]:
    shown = dict(parameters)
    rotation = parameters.get("rotation")
    shown["rotation"] = "" if rotation in {None, "auto"} else f"-rotated-{rotation}"
    return shown


def _cut(base: bytes, most: int) -> bytes:
    """At most so many bytes, no character of UTF-8 cut in two."""
    cut = base[:most]
    while cut and len(cut) < len(base) and (base[len(cut)] & 0xC0) == 0x80:
        cut = cut[:-1]
    return cut
