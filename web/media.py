"""Which content a browser may show in place, and how our own pages show it.

What the server sends inline is a short list; everything else is a download, since it could act in the portal's origin.
Our viewer shows text as text, whatever it says, and of documents what the server makes of them.
"""

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


_TEXT: Final = frozenset(
    {
        "application/javascript",
        "application/json",
        "application/sql",
        "application/toml",
        "application/x-httpd-php",
        "application/x-sh",
        "application/x-tex",
        "application/xhtml+xml",
        "application/xml",
        "application/yaml",
        "image/svg+xml",
    }
)
_MADE: Final = ("application/vnd.oasis.opendocument.", "application/vnd.openxmlformats-officedocument.", "image/")
"""Of these the worker makes a preview."""


def viewer_kind(media_type: str) -> str | None:
    """How a page shows it: as preview_kind, `text`, or `made` by the server from it; None: by its icon alone."""
    shown = preview_kind(media_type)
    if shown is not None:
        return shown
    if media_type.startswith("text/") or media_type in _TEXT:
        return "text"
    return "made" if media_type == "application/pdf" or media_type.startswith(_MADE) else None


def has_thumbnail(media_type: str) -> bool:
    """Whether asking for a thumbnail is worth it. Of SVG, text and unknown types there is none."""
    return media_type not in _TEXT and media_type.startswith(("image/", "video/", "application/pdf"))
