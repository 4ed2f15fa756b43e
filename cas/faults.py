"""What an errno means for the store: no room, a failing medium, or a refusal that says nothing about the medium."""

import errno
from typing import Final

from cas.errors import CasError, StoreFailed, StoreFull, StoreReadOnly

NO_ROOM: Final = frozenset({errno.ENOSPC, errno.EDQUOT})
FAILING_MEDIUM: Final = frozenset(
    {
        errno.EIO,
        errno.EROFS,
        errno.ENXIO,
        errno.ENODEV,
        errno.ESTALE,
        errno.EUCLEAN,
        errno.ENOTCONN,
        errno.EREMOTEIO,
        errno.ENOMEDIUM,
    }
)


def is_medium_failing(error: OSError, syncing: bool = False) -> bool:
    """Whether nothing may be written any more. A sync that failed for anything but room has lost pages unseen
    (https://wiki.postgresql.org/wiki/Fsync_Errors), so it counts whatever its errno."""
    return error.errno not in NO_ROOM and (syncing or error.errno in FAILING_MEDIUM)


def as_cas_error(error: OSError, doing: str, subject: str, syncing: bool = False) -> CasError:
    """The error of `cas` for a failed system call of the write path. `doing` completes "… failed"."""
    if error.errno in NO_ROOM:
        return StoreFull(f"no room left in the store: {doing} failed ({error.strerror})", subject)
    if is_medium_failing(error, syncing):
        return StoreReadOnly(f"{doing} failed ({error.strerror}); the store is read-only now", subject)
    return StoreFailed(f"{doing} failed ({error.strerror})", subject)
