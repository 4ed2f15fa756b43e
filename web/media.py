"""Which content a browser may show in place. Everything else is a download: it could act in the portal's origin."""

from typing import Final

_INLINE: Final = {
    "image/avif": "image",
    "image/gif": "image",
    "image/jpeg": "image",
    "image/png": "image",
    "image/webp": "image",
    "video/mp4": "video",
    "video/ogg": "video",
    "video/quicktime": "video",
    "video/webm": "video",
    "audio/aac": "audio",
    "audio/flac": "audio",
    "audio/mp4": "audio",
    "audio/mpeg": "audio",
    "audio/ogg": "audio",
    "audio/wav": "audio",
    "audio/x-wav": "audio",
}
"""Types that hold no script. No SVG, no HTML, no PDF."""


def preview_kind(media_type: str) -> str | None:
    """`image`, `video`, `audio`, or None for what is never shown in place."""
    return _INLINE.get(media_type)
