"""Everything the catalog refuses, with the offending value attached. No HTTP word: `web/errors.py` has the table."""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Final

from cas.digest import Digest


class CatalogError(Exception):
    """Base of every error that the catalog raises on purpose. Its text is a sentence fit for the customer."""


class NotFound(CatalogError):
    """There is no such thing in this scope. Another tenant's object raises the same."""

    def __init__(self, what: str) -> None:
        super().__init__(f"There is no such {what}.")
        self.what = what


class BlobsNotFound(NotFound):
    """The tenant does not possess bytes with these digests."""

    def __init__(self, digests: Sequence[Digest]) -> None:
        super().__init__(f"blob: {digests[0].hex}" + (f" (and {len(digests) - 1:,} more)" if len(digests) > 1 else ""))
        self.digests = list(digests)


class Purged(CatalogError):
    """What was asked for was here and was deleted for good. `paths`: some of what is gone."""

    def __init__(self, text: str, paths: Sequence[str] = ()) -> None:
        super().__init__(text)
        self.paths = list(paths)


class HistoryGone(CatalogError):
    """A moment before `horizon`, from which on the device's history is whole."""

    def __init__(self, horizon: datetime) -> None:
        super().__init__(
            f"This device can be shown as of {horizon:%d %B %Y, %H:%M:%S} UTC and later. Of what was there before,"
            " files were deleted for good, by the end of their hold or by your rule for old versions. Choose a later"
            " moment."
        )
        self.horizon = horizon


class Conflict(CatalogError):
    """The change does not fit what is there now, e.g. a file stands where a folder is needed."""


class NameTaken(Conflict):
    """A live object of that name exists already."""


class NotEmpty(Conflict):
    """The device still holds files, live, held or as versions."""


class BadPath(CatalogError, ValueError):
    """The path or name cannot stand inside a device: empty, `.`, `..`, too long, control characters."""


class BadRequest(CatalogError, ValueError):
    """A value is outside its documented limits."""


class BadCursor(BadRequest):
    """The cursor was not made by this list."""

    def __init__(self) -> None:
        super().__init__("This cursor is not valid. Start again from the first page.")


class TooMany(BadRequest):
    """More items than one request may carry."""

    def __init__(self, limit: int, what: str) -> None:
        super().__init__(f"At most {limit:,} {what} fit in one request. Send them in parts.")
        self.limit = limit
        self.what = what


class QuotaExceeded(CatalogError):
    """The tenant's logical bytes would exceed its quota."""

    def __init__(self, limit_bytes: int, used_bytes: int, wanted_bytes: int) -> None:
        super().__init__(
            f"This needs {wanted_bytes:,} bytes and {max(0, limit_bytes - used_bytes):,} of your "
            f"{limit_bytes:,} are free. Delete files for good, or ask for more space."
        )
        self.limit_bytes = limit_bytes
        self.used_bytes = used_bytes
        self.wanted_bytes = wanted_bytes


class NotPossessed(CatalogError):
    """A manifest names digests whose bytes this tenant has not sent, or that are damaged."""

    def __init__(self, digests: Sequence[Digest]) -> None:
        super().__init__(f"{len(digests):,} of the named digests have not been uploaded. Send their bytes first.")
        self.digests = list(digests)


class NotAllowed(CatalogError):
    """The actor may see this object and may not do this to it."""


class TenantSuspended(CatalogError):
    """Billing suspended or closed the account."""

    def __init__(self) -> None:
        super().__init__("This account is suspended. Your files are kept; contact support to open it again.")


class HandoffReplayed(CatalogError):
    """The handoff's `jti` was spent before."""

    def __init__(self) -> None:
        super().__init__("This sign-in link was used already. Go back to the portal and open OTB Cloud again.")


class ClaimLost(CatalogError):
    """The claimed blob row is gone: the sweep took it. The upload must be sent again."""

    def __init__(self) -> None:
        super().__init__("The upload took too long to be kept. Send it again.")


class TooOften(CatalogError):
    """Somebody does this more often than a person would. `text` is a sentence; `seconds`: when to try again."""

    def __init__(self, text: str, seconds: int) -> None:
        super().__init__(f"{text} Wait {seconds // 60} minutes, then try again.")
        self.seconds = seconds


class TooManyWaiting(CatalogError):
    """More computers wait to be connected than the service keeps at once."""

    def __init__(self) -> None:
        super().__init__("Too many computers wait to be connected right now. Try again in some minutes.")


class NotConnected(CatalogError):
    """A computer that asked to be connected has no token (yet), for a reason of RFC 8628, 3.5."""

    def __init__(self, reason: "NotYet", interval_seconds: int | None = None) -> None:
        super().__init__(_NOT_CONNECTED[reason])
        self.reason = reason
        self.interval_seconds = interval_seconds


class NotYet(StrEnum):
    """Why not, in the words of RFC 8628, 3.5. A code that was used or never given is `expired_token` too."""

    PENDING = "authorization_pending"
    SLOW_DOWN = "slow_down"
    DENIED = "access_denied"
    EXPIRED = "expired_token"


_NOT_CONNECTED: Final = {
    NotYet.PENDING: "Nobody has decided yet. Ask again after the interval.",
    NotYet.SLOW_DOWN: "This was asked too soon. Wait for the longer interval from now on.",
    NotYet.DENIED: "This computer was refused in the portal.",
    NotYet.EXPIRED: "This code has expired or was used. Ask for a new one.",
}


class UploadLost(CatalogError):
    """A newer writer has taken over this resumable upload."""

    def __init__(self) -> None:
        super().__init__("Another request has gone on with this upload, so this one was stopped. Ask for its offset.")


class UploadExpired(CatalogError):
    """The resumable upload was left alone for too long."""

    def __init__(self) -> None:
        super().__init__("This upload was left alone for too long and has been removed. Begin it again.")


class TooManyUploads(CatalogError):
    """The tenant has begun more resumable uploads than it may have open."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"At most {limit:,} uploads may be open at once. Finish or delete some, then try again.")
        self.limit = limit


class IndexBehind(CatalogError):
    """The search index does not hold everything yet, and what was asked for must not miss anything."""

    def __init__(self) -> None:
        super().__init__("Your files are being put in order right now. Sort by name without a filter meanwhile.")


class IndexBusy(CatalogError):
    """Another process writes the search index just now."""

    def __init__(self) -> None:
        super().__init__("A server is writing this search index right now. Try again in a moment.")


class DatabaseUnavailable(CatalogError):
    """MariaDB cannot be reached, or gave up on the statement. Nothing was changed, unless the text says otherwise."""


class SchemaMismatch(CatalogError):
    """The database's schema or store id is not the one this code was made for."""


class JournalIncomplete(CatalogError):
    """The journal does not say what a rebuild needs: a body was erased, a chain is missing, a line is out of place."""


class NotRebuilt(CatalogError):
    """The catalog cannot be rebuilt into as it is: it holds tenants already, or chains are broken."""
