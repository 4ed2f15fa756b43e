"""Folders of real files: made in a moment, different at every seed, compared to the last byte."""

import hashlib
import os
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Final

_WORDS: Final = (
    "Lake",
    "Straße",
    "été",
    "写真",
    "report",
    "IMG",
    "Scan 01",
    "a'b",
    "100%",
    "x#y",
    "plus+",
    "q&a",
    "semi;",
)
_ENDINGS: Final = (".jpg", ".JPG", ".txt", ".pdf", ".mp4", "", ".tar.gz")
_TEXT: Final = b"The quick brown fox jumps over the lazy dog. " * 40
_FIRST_TIME: Final = 1_262_304_000
_LAST_TIME: Final = 1_760_000_000


@dataclass(frozen=True)
class FileFacts:
    """What must be the same after a round trip."""

    size_bytes: int
    sha256: str
    mtime_s: int


def make_tree(root: Path, files: int, *, seed: int = 1, bytes_max: int = 60_000) -> Path:
    """`files` files in nested folders, an empty file and an empty folder among them; about half of them compress."""
    rng = random.Random(seed)
    root.mkdir(parents=True)
    folders = [root]
    for number in range(max(3, files // 25)):
        folder = rng.choice(folders[-12:]) / f"{rng.choice(_WORDS)} {number}"
        folder.mkdir()
        folders.append(folder)
    (root / "empty folder").mkdir()
    for number in range(files):
        path = rng.choice(folders) / f"{rng.choice(_WORDS)}_{number:05}{rng.choice(_ENDINGS)}"
        size = 0 if number == 0 else rng.randrange(1, bytes_max)
        path.write_bytes(rng.randbytes(size) if number % 2 else (_TEXT * (size // len(_TEXT) + 1))[:size])
        moment = rng.randrange(_FIRST_TIME, _LAST_TIME)
        os.utime(path, (moment, moment))
    return root


def facts_of(root: Path) -> dict[str, FileFacts]:
    """Every file below `root` by its relative path; folders by theirs and a slash, without facts."""
    found: dict[str, FileFacts] = {}
    for path in sorted(root.rglob("*")):
        name = path.relative_to(root).as_posix()
        if path.is_dir():
            found[name + "/"] = FileFacts(0, "", 0)
        else:
            content = path.read_bytes()
            found[name] = FileFacts(len(content), hashlib.sha256(content).hexdigest(), int(path.stat().st_mtime))
    return found
