"""`MemoryBackend`: objects in memory, for tests. Passes the suite that `LocalBackend` passes."""

import secrets
import threading
import time
from collections.abc import Iterable, Iterator, Mapping

from cas.backend import Data, ObjectInfo, ObjectPart, ObjectReader, ObjectWriter, checked_key
from cas.errors import BadKey, BlobMissing, ObjectChanged, ObjectHeld, StoreFailed
from cas.gate import WriteGate


class _Held:
    """An object's bytes. Identity matters: a replaced object is another one, even with equal bytes."""

    def __init__(self) -> None:
        self.data = bytearray()
        self.is_sealed = False
        self.is_open = False
        self.holders: set[int] = set()
        self.changed_at = time.time()


class MemoryWriter:
    """Appends to a temporary."""

    def __init__(self, temporaries: dict[str, _Held], name: str) -> None:
        self.name = name
        self._temporaries = temporaries
        self._held = temporaries[name]

    def write(self, data: Data) -> None:
        if self._held.is_sealed:
            raise StoreFailed("a sealed object cannot be written", self.name)
        self._held.data += data

    def start(self, data: Data) -> None:
        self.write(data)

    def wait(self) -> None:
        """`start` took it all."""

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(self._held.data[offset : offset + length])

    def seal(self) -> None:
        self._held.is_sealed = True

    def discard(self) -> None:
        if self._temporaries.get(self.name) is self._held:
            del self._temporaries[self.name]


class MemoryPart(MemoryWriter):
    """Appends to a temporary that stays."""

    def __init__(self, temporaries: dict[str, _Held], name: str) -> None:
        super().__init__(temporaries, name)
        if self._held.is_open:
            raise StoreFailed(f"{name} is being written by another", name)
        self._held.is_open = True

    @property
    def written_bytes(self) -> int:
        return len(self._held.data)

    def settle(self) -> None:
        """There are no buffers."""

    def sync(self) -> int:
        return len(self._held.data)

    def seal(self) -> None:
        super().seal()
        self.close()

    def close(self) -> None:
        self._held.is_open = False


class MemoryReader:
    """One object as it was when opened."""

    def __init__(self, held: _Held) -> None:
        self.held = held
        self.size_bytes = len(held.data)

    def read_at(self, offset: int, length: int) -> bytes:
        return bytes(self.held.data[offset : offset + length])

    def reread(self, offset: int, length: int) -> memoryview:
        return memoryview(self.read_at(offset, length))

    def forget_cached(self) -> None:
        """There is no cache."""

    def hold(self) -> None:
        self.held.holders.add(id(self))

    def close(self) -> None:
        self.held.holders.discard(id(self))


class MemoryBackend:
    """A dictionary of objects. Nothing outlives it, and nothing in it fails by itself."""

    def __init__(self) -> None:
        self._objects: dict[str, _Held] = {}
        self._temporaries: dict[str, _Held] = {}
        self._folders = {""}
        self._note: str | None = None
        self._gate = WriteGate(lambda: self._note, self._set_note)
        self._lock = threading.Lock()

    @property
    def read_only_reason(self) -> str | None:
        return self._gate.reason

    def turn_read_only(self, reason: str) -> None:
        self._gate.shut(reason)

    def allow_writes(self) -> None:
        self._gate.reopen()

    def prepare(self, folders: Iterable[str]) -> None:
        self._gate.check()
        self._folders.update(checked_key(folder) for folder in folders)

    def create(self) -> ObjectWriter:
        self._gate.check()
        name = secrets.token_hex(16)
        self._temporaries[name] = _Held()
        return MemoryWriter(self._temporaries, name)

    def append(self, name: str, size_bytes: int) -> ObjectPart:
        self._gate.check()
        if not size_bytes:
            self._temporaries.setdefault(checked_key(name), _Held())
        held = self._temporaries.get(name)
        if held is None or len(held.data) < size_bytes:
            raise BlobMissing(f"{size_bytes} bytes of {name} are not in incoming", name)
        part = MemoryPart(self._temporaries, name)
        held.is_sealed = False
        del held.data[size_bytes:]
        return part

    def publish(self, keys: Mapping[str, str]) -> None:
        self._gate.check()
        for name, key in keys.items():
            self._publish(name, self._checked(key))

    def _publish(self, name: str, target: str) -> None:
        with self._lock:
            held = self._temporaries.get(name)
            if held is None or not held.is_sealed or target.rpartition("/")[0] not in self._folders:
                raise StoreFailed(f"{name} is no sealed temporary, or the folder of {target} is not there", name)
            self._objects[target] = self._temporaries.pop(name)

    def open(self, key: str) -> ObjectReader:
        return MemoryReader(self._held(key))

    def stat(self, key: str) -> ObjectInfo:
        held = self._held(key)
        return ObjectInfo(key, len(held.data), held.changed_at)

    def move(self, key: str, new_key: str, only: ObjectReader | None = None) -> None:
        self._gate.check()
        target = self._checked(new_key)
        with self._lock:
            held = self._held(key)
            if only is not None and (not isinstance(only, MemoryReader) or only.held is not held):
                raise ObjectChanged(f"{key} is another object by now", key)
            if held.holders - {id(only)}:
                raise ObjectHeld(f"{key} is being re-read", key)
            self._objects[target] = self._objects.pop(key)

    def remove(self, key: str) -> None:
        self._gate.check()
        self._objects.pop(self._checked(key), None)

    def list(self, prefix: str) -> Iterator[ObjectInfo]:
        for key in sorted(key for key in self._objects if key.startswith(prefix)):
            yield ObjectInfo(key, len(self._objects[key].data), self._objects[key].changed_at)

    def temporaries(self) -> Iterator[str]:
        return iter(tuple(self._temporaries))

    def temporary_bytes(self, name: str) -> int:
        held = self._temporaries.get(name)
        return 0 if held is None else len(held.data)

    def discard(self, name: str) -> None:
        self._temporaries.pop(name, None)

    def close(self) -> None:
        """There is nothing to give back."""

    def corrupt(self, key: str, data: bytes) -> None:
        """Change an object in place, as a failing disk would."""
        self._held(key).data[:] = data

    def _held(self, key: str) -> _Held:
        try:
            return self._objects[self._checked(key)]
        except KeyError as error:
            raise BlobMissing(f"{key} is not in the store", key) from error

    def _set_note(self, reason: str | None) -> None:
        self._note = reason

    @staticmethod
    def _checked(key: str) -> str:
        if checked_key(key).partition("/")[0] == "incoming":
            raise BadKey(f"{key} is a name of the backend's own", key)
        return key
