"""Everything `cas` can refuse or find broken. No HTTP and no SQL word here."""


class CasError(Exception):
    """Base of every error that `cas` raises on purpose. `subject` is the key, name, chain or digest it is about."""

    def __init__(self, message: str, subject: str = "") -> None:
        super().__init__(message)
        self.subject = subject


class BadDigest(CasError, ValueError):
    """The text or bytes are not a BLAKE3-256 digest (32 bytes, 64 lower-case hex digits)."""


class BadKey(CasError, ValueError):
    """The text cannot be an object's key or a journal chain's name."""


class DigestMismatch(CasError):
    """The bytes that came do not hash to what the sender claimed. Nothing was kept."""


class SizeMismatch(CasError):
    """More or fewer bytes came than the sender claimed or the limit allows. Nothing was kept."""


class BlobMissing(CasError):
    """The object that a `Blob` names is not in the store."""


class BlobDamaged(CasError):
    """Stored bytes no longer match their digest; the bytes already handed out were right."""


class BlobUnreadable(BlobDamaged):
    """The medium would not give the bytes back (EIO). They may still be whole: nothing is moved on its account."""


class PiecesDamaged(BlobDamaged):
    """A blob's piece digests are missing or wrong, so ranges of it cannot be checked; the blob itself may be whole."""


class PackDamaged(CasError):
    """A pack does not match its trailer, its index or its name; single blobs of it may be whole."""


class PackFull(CasError):
    """The pack takes no more blobs. Nothing was appended; what it holds can be finished."""


class ObjectChanged(CasError):
    """Another object has taken the key meanwhile; nothing was moved."""


class ObjectHeld(CasError):
    """Somebody is re-reading the object right now; nothing was moved. Try again later."""


class StoreFull(CasError):
    """The file system has no room (ENOSPC or EDQUOT). Nothing was kept."""


class StoreFailed(CasError):
    """The system refused a call for a reason that says nothing about the medium (too many open files, no right …)."""


class StoreReadOnly(CasError):
    """A write or fsync failed or hung; the store takes no more writes until an operator acts."""


class StoreNotReady(CasError):
    """The root is no store, another version's, or another store's than expected."""


class JournalBroken(CasError):
    """A journal chain has a gap, or a record does not match its digest or predecessor."""
