"""Trees with everything that a backup may hold, and what must be the same after a restore."""
# ruff: noqa: PTH115, PTH118
# Names are any bytes, which pathlib does not hold.

import hashlib
import os
import random
import stat
from pathlib import Path
from typing import NamedTuple

from tests.shared.trees import make_tree

NS = 1_000_000_000


class Facts(NamedTuple):
    """Of one name: what it is, its content or target, permissions, and time in nanoseconds."""

    kind: str
    content: str
    mode: int
    mtime_ns: int


def snapshot(top: Path) -> dict[bytes, Facts]:
    """Everything below `top`, links not followed."""
    found: dict[bytes, Facts] = {}
    for folder, folders, files in os.walk(os.fsencode(top)):
        for name in folders + files:
            path = os.path.join(folder, name)
            found[os.path.relpath(path, os.fsencode(top))] = facts_of(path)
    return found


def facts_of(path: bytes) -> Facts:
    st = os.lstat(path)
    if stat.S_ISLNK(st.st_mode):
        return Facts("link", os.fsdecode(os.readlink(path)), 0, st.st_mtime_ns)
    mode = stat.S_IMODE(st.st_mode)
    if stat.S_ISDIR(st.st_mode):
        return Facts("folder", "", mode, st.st_mtime_ns)
    with open(path, "rb") as file:  # noqa: PTH123 - the name is bytes
        return Facts("file", hashlib.sha256(file.read()).hexdigest(), mode, st.st_mtime_ns)


def make_rich_tree(top: Path, files: int, *, seed: int = 1) -> Path:
    """`make_tree`, and large files, odd names, links, permissions, empty folders, and times to the nanosecond."""
    rng = random.Random(seed)
    make_tree(top, files, seed=seed)
    (top / "large.bin").write_bytes(rng.randbytes((6 << 20) + 13))
    (top / "one MiB.bin").write_bytes(rng.randbytes(1 << 20))
    (top / "just over.bin").write_bytes(rng.randbytes((1 << 20) + 1))
    (top / "same 1.txt").write_bytes(b"the same")
    (top / "same 2.txt").write_bytes(b"the same")
    odd = Path(os.fsdecode(os.fsencode(top) + b"/n\xff\xfe folder"))
    odd.mkdir()
    Path(os.fsdecode(os.fsencode(odd) + b"/\xe9t\xe9.txt")).write_bytes(b"latin-1")
    (top / "tab\there").write_bytes(b"control")
    (top / "deep").joinpath(*[f"level {n}" for n in range(20)]).mkdir(parents=True)
    (top / "to a file").symlink_to("same 1.txt")
    (top / "to nothing").symlink_to("../nowhere/at all")
    (top / "to a folder").symlink_to("deep")
    (top / "private").mkdir(mode=0o700)
    (top / "private" / "secret").write_bytes(b"s")
    (top / "private" / "secret").chmod(0o600)
    (top / "same 2.txt").chmod(0o755)
    (top / "private" / "read only").mkdir()
    (top / "private" / "read only" / "x").write_bytes(b"x")
    (top / "private" / "read only" / "x").chmod(0o444)
    (top / "private" / "read only").chmod(0o555)
    set_times(top, rng)
    return top


def set_times(top: Path, rng: random.Random) -> None:
    """Some nanosecond of the last years for everything, from the inside out."""
    for folder, folders, files in os.walk(top, topdown=False):
        for name in folders + files:
            moment = rng.randrange(1_262_304_000 * NS, 1_760_000_000 * NS)
            os.utime(os.path.join(folder, name), ns=(moment, moment), follow_symlinks=False)


def change_tree(top: Path, rng: random.Random, *, share: float = 0.2) -> None:
    """Other content, gone and new files, as a day of work leaves them. Never an older time than before."""
    files = sorted(path for path in top.rglob("*") if path.is_file() and not path.is_symlink())
    for path in rng.sample(files, max(3, int(len(files) * share))):
        match rng.randrange(3):
            case 0:
                path.write_bytes(rng.randbytes(rng.randrange(1, 20_000)))
            case 1:
                path.unlink()
            case _:
                path.with_name(f"new {rng.randrange(10**9)}").write_bytes(rng.randbytes(100))
