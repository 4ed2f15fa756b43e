"""Names of files here and in the backup: a path of the backup is bytes, `home/ann/Pictures/a.jpg`.

The absolute local path without its leading slash; `C:\\Users\\ann` becomes `C/Users/ann`, and `\\\\nas\\music` becomes
`UNC/nas/music`. Names that are not valid Unicode survive: bytes on POSIX systems, lone surrogates on Windows (WTF-8).
"""

import base64
import binascii
import re
import sys
from collections.abc import Mapping
from typing import Any

from otb_client.errors import BadAnswer

IS_WINDOWS = sys.platform == "win32"
_CONTROL = re.compile("[\x00-\x1f\x7f-\x9f]")
_DRIVE = re.compile(r"([A-Za-z]):(?:\\|$)")


def to_bytes(text: str, *, windows: bool = IS_WINDOWS) -> bytes:
    """A name or path as the file system gave it to Python, as the bytes that the backup keeps."""
    return text.encode("utf-8", "surrogatepass" if windows else "surrogateescape")


def to_text(raw: bytes, *, windows: bool = IS_WINDOWS) -> str:
    """The inverse of `to_bytes`: what Python gives to the file system."""
    if windows:
        try:
            return raw.decode("utf-8", "surrogatepass")
        except UnicodeDecodeError:  # bytes from a POSIX system that no Windows name can hold
            return raw.decode("utf-8", "replace")
    return raw.decode("utf-8", "surrogateescape")


def backup_path(local: str, *, windows: bool = IS_WINDOWS) -> bytes:
    """Of an absolute, normalised local path. The root of a POSIX system is the empty path."""
    if not windows:
        return to_bytes(local, windows=False).strip(b"/")
    plain = local.replace("/", "\\")
    if plain.startswith("\\\\?\\UNC\\"):
        plain = "\\\\" + plain[8:]
    elif plain.startswith("\\\\?\\"):
        plain = plain[4:]
    drive = _DRIVE.match(plain)
    if drive:
        plain = f"{drive.group(1).upper()}\\{plain[drive.end() :]}"
    elif plain.startswith("\\\\"):
        plain = "UNC\\" + plain[2:]
    return to_bytes(plain, windows=True).replace(b"\\", b"/").strip(b"/")


def local_path(path: bytes, *, windows: bool = IS_WINDOWS) -> str:
    """The absolute local path that `backup_path` came from."""
    if not windows:
        return "/" + to_text(path, windows=False)
    first, _, rest = to_text(path, windows=True).replace("/", "\\").partition("\\")
    if first == "UNC":
        return "\\\\" + rest
    return f"{first}:\\{rest}"


def shown(path: bytes) -> str:
    """For people: never raises in print, whatever the bytes; control characters cannot move their cursor."""
    return _CONTROL.sub("\N{REPLACEMENT CHARACTER}", path.decode("utf-8", "replace"))


def json_path(path: bytes, field: str = "path") -> dict[str, str]:
    """`{"path": text}`, or `{"path_bytes": base64url}` where the path is not plain text; `field` may be `target`."""
    try:
        text = path.decode()
    except UnicodeDecodeError:
        text = ""
    if not text or _CONTROL.search(text):
        return {f"{field}_bytes": base64.urlsafe_b64encode(path).decode().rstrip("=")}
    return {field: text}


def path_of_json(entry: Mapping[str, Any], field: str = "path") -> bytes:
    """The bytes of an entry's path in the server's JSON. Raises `BadAnswer`."""
    coded, text = entry.get(f"{field}_bytes"), entry.get(field)
    try:
        if isinstance(coded, str):
            return base64.b64decode(coded + "=" * (-len(coded) % 4), altchars=b"-_", validate=True)
        if isinstance(text, str):
            return text.encode()
    except (binascii.Error, ValueError) as e:
        raise BadAnswer(f"The server named a path that cannot be read: {e}.") from e
    raise BadAnswer("The server sent an entry without a path.")
