"""Names inside a zip that any system can unpack and none is harmed by.

Every name is relative, without `.`, `..`, drive letters or characters that Windows refuses, never one of
Windows' device names, at most 255 bytes, and different from its siblings also where a file system ignores
case or Unicode normal form: later ones are numbered, `photo (2).jpg`. The same members in the same order
always get the same names.
"""

import re
import unicodedata
from array import array
from hashlib import blake2b
from typing import Final

from catalog.values import NAME_BYTES_MAX, EntryPath

_FORBIDDEN: Final = re.compile('[<>:"/\\\\|?*\x00-\x1f\x7f-\x9f]')
_RESERVED: Final = re.compile(
    r"(con|prn|aux|nul|clock\$|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³]) *(\..*)?", re.IGNORECASE | re.DOTALL
)
_PLAIN: Final = re.compile(rb"[A-Za-z0-9_(\[][A-Za-z0-9 ._()\[\]+,=@&-]{0,200}[A-Za-z0-9_)\]]")
"""Names, most of all there are, that need no mending but where they are a device's."""
_NUMBERS_KEPT: Final = 1024


def safe_name(name: bytes) -> str:
    """One name as it may stand in a zip. Not unique yet. Never empty."""
    if _PLAIN.fullmatch(name):
        text = name.decode("ascii")
    else:
        text = shortened(_FORBIDDEN.sub("_", name.decode("utf-8", "replace")), "").rstrip(" .") or "_"
    match = _RESERVED.fullmatch(text)
    if match:
        text = shortened(match[1] + "_" + (match[2] or ""), "")
    return text


def shortened(text: str, suffix: str) -> str:
    """`text` with `suffix` before its extension, at most 255 bytes of UTF-8; what is cut is cut before the
    extension.
    """
    stem, dot, extension = text.rpartition(".")
    if not stem.strip(".") or len((dot + extension).encode()) > NAME_BYTES_MAX // 2:
        stem, dot, extension = text, "", ""
    room = NAME_BYTES_MAX - len((suffix + dot + extension).encode())
    return stem.encode()[:room].decode("utf-8", "ignore") + suffix + dot + extension


def collision_key(folder: str, name: str) -> int:
    """64 bits that are equal for names which some file system takes for one (canonical caseless, Unicode
    3.13).
    """
    if name.isascii():
        folded = name.lower()
    else:
        folded = unicodedata.normalize("NFD", unicodedata.normalize("NFD", name).casefold())
    return _key(f"{folder}{folded}".encode())


def _key(text: bytes) -> int:
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big") or 1


class ZipNames:
    """Gives each member its name. Folders come before their content.

    Folders of the same path (chosen from two places) become one. Memory: about 12 bytes per member, and an
    entry per folder whose name had to change.
    """

    def __init__(self) -> None:
        self._taken = KeySet()
        self._folders_seen = KeySet()
        self._renamed: dict[tuple[bytes, ...], str] = {}
        self._next_number: dict[int, int] = {}
        self._last_folder: tuple[list[bytes], str] = ([], "")

    def name(self, path: EntryPath, *, is_directory: bool) -> str | None:
        """The member's whole name, with a `/` at the end for a directory; None for a directory that is there."""
        if is_directory and not self._folders_seen.add(_key(path.raw)):
            return None
        *above, last = path.names
        folder = self._folder(above)
        own = self._unique(folder, safe_name(last))
        if is_directory and own.encode() != last:
            self._renamed[path.names] = own
        return f"{folder}{own}/" if is_directory else folder + own

    def own(self, name: str) -> str:
        """A name at the top for something that is no member: as it is, or numbered where it is taken."""
        return self._unique("", name)

    def _folder(self, above: list[bytes]) -> str:
        """The folder's name in the zip. Members of one folder come together, so the last one is mostly the same."""
        known, text = self._last_folder
        if above != known:
            text = "".join(
                f"{self._renamed.get(tuple(above[: level + 1])) or safe_name(part)}/"
                for level, part in enumerate(above)
            )
            self._last_folder = above, text
        return text

    def _unique(self, folder: str, name: str) -> str:
        """`name`, or where that is taken in the folder `stem (2).ext`, `stem (3).ext` …"""
        key = collision_key(folder, name)
        if self._taken.add(key):
            return name
        number = self._next_number.get(key, 2)
        while not self._taken.add(collision_key(folder, numbered := shortened(name, f" ({number})"))):
            number += 1
        if len(self._next_number) >= _NUMBERS_KEPT:
            self._next_number.clear()
        # Where to go on counting: without it, names made to collide would take quadratic time.
        self._next_number[key] = number + 1
        return numbered


class KeySet:
    """A set of 64-bit keys other than 0 in 8 bytes each (a Python set takes ten times that): open addressing."""

    def __init__(self) -> None:
        self._slots = array("Q", bytes(8 * 16))
        self._count = 0

    def add(self, key: int) -> bool:
        """Add the key; whether it is new."""
        if not self._insert(key):
            return False
        self._count += 1
        if self._count * 3 > len(self._slots) * 2:
            self._grow()
        return True

    def _insert(self, key: int) -> bool:
        mask = len(self._slots) - 1
        position = key & mask
        while self._slots[position]:
            if self._slots[position] == key:
                return False
            position = (position + 1) & mask
        self._slots[position] = key
        return True

    def _grow(self) -> None:
        old = self._slots
        self._slots = array("Q", bytes(8 * 2 * len(old)))
        for key in old:
            if key:
                self._insert(key)
