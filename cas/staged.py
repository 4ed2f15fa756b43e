"""`Staged`: a blob that is hashed, checked and durable in `incoming/`, but has no name yet."""

from dataclasses import dataclass, field
from types import TracebackType

from cas.blob import OWN_FILE, Blob, Encoding
from cas.digest import Digest
from cas.sinks import SealedParts


@dataclass(frozen=True, slots=True)
class Staged:
    """What `BlobStore.place` takes. Discard it if it is not to be placed; as a context manager it does so by itself."""

    digest: Digest
    size_bytes: int
    stored_bytes: int
    crc32: int
    encoding: Encoding
    parts: SealedParts = field(repr=False, compare=False)

    @property
    def blob(self) -> Blob:
        """What it is once placed."""
        return Blob(self.digest, self.size_bytes, self.stored_bytes, self.crc32, self.encoding, OWN_FILE)

    def discard(self) -> None:
        """Drop the temporaries that are still there. Allowed more than once, and after placing; never raises."""
        self.parts.blob.discard()
        if self.parts.pieces is not None:
            self.parts.pieces.discard()

    def __enter__(self) -> "Staged":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()
