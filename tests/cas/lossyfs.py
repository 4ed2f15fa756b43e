"""A file system in memory that forgets, at a crash, everything that was not fsynced. For testing the write path.

`python -m tests.cas.lossyfs MOUNTPOINT` serves it (FUSE, as root). Extended attributes of the mount point steer it:

- `user.crash` = a seed: from this moment on every call fails with EIO, as in a machine without power. What was not
  synced is lost: with seed 0 all of it; with any other seed each change to a folder is kept or lost by itself, and a
  file's unsynced content is lost, kept, cut short or read back as zeros, at random, as real file systems may do.
- `user.revive`: the machine is on again, and what is left can be used.
- `user.wipe`: an empty file system.

What counts as synced is the strictest reading of POSIX: fsync of a file makes its content durable and no name; fsync
of a folder makes the names in it durable and nothing below.
"""

import errno
import os
import random
import stat
import sys
import threading
from collections.abc import Callable
from typing import Any, Final, TypeAlias

import mfusepy  # type: ignore[import-untyped]

CRASH: Final = "user.crash"
REVIVE: Final = "user.revive"
WIPE: Final = "user.wipe"
FOLDER_MODE: Final = 0o755


class Refused(mfusepy.FuseOSError):  # type: ignore[misc]  # the library has no types
    """An error for the caller of the file system."""


class File:
    """`durable` is the content at the last fsync."""

    def __init__(self, inode: int, mode: int) -> None:
        self.inode = inode
        self.mode = stat.S_IFREG | stat.S_IMODE(mode)
        self.data = bytearray()
        self.durable = b""

    def forget(self, dice: random.Random | None) -> None:
        if dice is not None and self.data != self.durable:
            cut = dice.randint(0, len(self.data))
            now = bytes(self.data)
            self.durable = dice.choice([self.durable, now, now[:cut], now[:cut] + bytes(len(now) - cut)])
        self.data = bytearray(self.durable)


class Folder:
    """`durable` is what the names meant at the last fsync."""

    def __init__(self, inode: int, mode: int = FOLDER_MODE) -> None:
        self.inode = inode
        self.mode = stat.S_IFDIR | stat.S_IMODE(mode)
        self.names: dict[str, Node] = {}
        self.durable: dict[str, Node] = {}

    def forget(self, dice: random.Random | None) -> None:
        if dice is not None:
            for name in sorted({*self.names, *self.durable}):
                self._decide(name, dice.random() < 0.5)
        self.names = dict(self.durable)
        for node in self.names.values():
            node.forget(dice)

    def _decide(self, name: str, keep: bool) -> None:
        if keep and name in self.names:
            self.durable[name] = self.names[name]
        elif keep:
            self.durable.pop(name, None)


Node: TypeAlias = File | Folder


class LossyFs(mfusepy.Operations):  # type: ignore[misc]  # the library has no types
    """The calls of FUSE. The library calls from several threads; one lock keeps them apart."""

    use_ns = True

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._inodes = 1
        self._handles: dict[int, File] = {}
        self._root = Folder(1)
        self._is_dead = False

    # -- control

    def setxattr(self, path: str, name: str, value: bytes, options: int, position: int = 0) -> int:
        controls: dict[str, Callable[[], None]] = {
            CRASH: lambda: self._crash(int(value)),
            REVIVE: self._revive,
            WIPE: self._wipe,
        }
        if path != "/" or name not in controls:
            raise Refused(errno.ENOTSUP)
        with self._lock:
            controls[name]()
        return 0

    def getxattr(self, path: str, name: str, position: int = 0) -> bytes:
        raise Refused(errno.ENODATA)

    def _crash(self, seed: int) -> None:
        self._is_dead = True
        self._handles.clear()
        self._root.forget(random.Random(seed) if seed else None)

    def _revive(self) -> None:
        self._is_dead = False

    def _wipe(self) -> None:
        self._handles.clear()
        self._root.names, self._root.durable = {}, {}

    # -- looking

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        with self._lock:
            if path == "/":  # also of a dead file system, so that it can be revived
                return self._attributes(self._root)
            return self._attributes(self._handles[fh] if fh in self._handles else self._find(path))

    def readdir(self, path: str, fh: int) -> list[tuple[str, dict[str, Any], int]]:
        with self._lock:
            folder = self._folder(path)
            nodes = {".": folder, "..": folder, **folder.names}
            return [(name, self._attributes(node), 0) for name, node in nodes.items()]

    def statfs(self, path: str) -> dict[str, int]:
        return {"f_bsize": 4096, "f_frsize": 4096, "f_blocks": 1 << 20, "f_bfree": 1 << 19, "f_bavail": 1 << 19}

    # -- names

    def mkdir(self, path: str, mode: int) -> int:
        with self._lock:
            folder, name = self._place(path)
            folder.names[name] = Folder(self._next_inode(), mode)
        return 0

    def create(self, path: str, mode: int, fi: object = None) -> int:
        with self._lock:
            folder, name = self._place(path)
            file = folder.names[name] = File(self._next_inode(), mode)
            return self._handle(file)

    def unlink(self, path: str) -> int:
        with self._lock:
            folder, name = self._place(path)
            del folder.names[name]
        return 0

    rmdir = unlink

    def rename(self, old: str, new: str) -> int:
        with self._lock:
            source, name = self._place(old)
            target, new_name = self._place(new)
            target.names[new_name] = source.names.pop(name)
        return 0

    def chmod(self, path: str, mode: int) -> int:
        with self._lock:
            node = self._find(path)
            node.mode = stat.S_IFMT(node.mode) | stat.S_IMODE(mode)
        return 0

    def chown(self, path: str, uid: int, gid: int) -> int:
        return 0

    def utimens(self, path: str, times: tuple[int, int] | None = None) -> int:
        return 0

    # -- content

    def open(self, path: str, flags: int) -> int:
        with self._lock:
            file = self._find(path)
            if not isinstance(file, File):
                raise Refused(errno.EISDIR)
            if flags & os.O_TRUNC:
                file.data.clear()
            return self._handle(file)

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        with self._lock:
            return bytes(self._file(fh).data[offset : offset + size])

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        with self._lock:
            content = self._file(fh).data
            content.extend(bytes(max(offset - len(content), 0)))
            content[offset : offset + len(data)] = data
        return len(data)

    def truncate(self, path: str, length: int, fh: int | None = None) -> int:
        with self._lock:
            file = self._handles[fh] if fh in self._handles else self._find(path)
            if not isinstance(file, File):
                raise Refused(errno.EISDIR)
            del file.data[length:]
            file.data.extend(bytes(length - len(file.data)))
        return 0

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        with self._lock:
            file = self._file(fh)
            file.durable = bytes(file.data)
        return 0

    def fsyncdir(self, path: str, datasync: int, fh: int) -> int:
        with self._lock:
            folder = self._folder(path)
            folder.durable = dict(folder.names)
        return 0

    def release(self, path: str, fh: int) -> int:
        with self._lock:
            self._handles.pop(fh, None)
        return 0

    # -- inside

    def _next_inode(self) -> int:
        self._inodes += 1
        return self._inodes

    def _handle(self, file: File) -> int:
        handle = self._next_inode()  # numbers from one counter: a handle of before a crash never means another file
        self._handles[handle] = file
        return handle

    def _file(self, handle: int) -> File:
        if self._is_dead or handle not in self._handles:
            raise Refused(errno.EIO)
        return self._handles[handle]

    def _find(self, path: str) -> Node:
        if self._is_dead:
            raise Refused(errno.EIO)
        node: Node = self._root
        for name in filter(None, path.split("/")):
            if not isinstance(node, Folder):
                raise Refused(errno.ENOTDIR)
            if name not in node.names:
                raise Refused(errno.ENOENT)
            node = node.names[name]
        return node

    def _folder(self, path: str) -> Folder:
        folder = self._find(path)
        if not isinstance(folder, Folder):
            raise Refused(errno.ENOTDIR)
        return folder

    def _place(self, path: str) -> tuple[Folder, str]:
        parent, _, name = path.rpartition("/")
        return self._folder(parent), name

    @staticmethod
    def _attributes(node: Node) -> dict[str, Any]:
        size = len(node.data) if isinstance(node, File) else 0
        links = 1 if isinstance(node, File) else 2
        return {"st_mode": node.mode, "st_ino": node.inode, "st_nlink": links, "st_size": size}


def main() -> None:
    mfusepy.FUSE(
        LossyFs(),
        sys.argv[1],
        foreground=True,
        use_ino=True,
        hard_remove=True,
        direct_io=True,
        attr_timeout=0,
        entry_timeout=0,
        negative_timeout=0,
    )


if __name__ == "__main__":
    main()
