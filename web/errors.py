"""The one table from an error to what the client is told: status, problem type, title and sentence (RFC
9457).

Errors of `cas` and `catalog` know no HTTP; errors that only HTTP has are defined here. What is not in the
table is a fault of ours: status 500, the request's id, and no detail.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from http import HTTPStatus
from typing import Final

from starlette.exceptions import HTTPException

from cas import errors as cas
from cas.blob import Blob
from cas.digest import Digest
from catalog import errors as catalog
from catalog.values import SessionView
from web.limits import DIGESTS_MAX, RETRY_AFTER_SECONDS, Rate
from web.ranges import RangeNotSatisfiable

TYPE_PREFIX: Final = "tag:outsidethebox.top,2026:otb-cloud/problems/"
"""A tag URI (RFC 4151): it identifies a kind of problem and is not meant to be opened."""


TUS_VERSION: Final = "1.0.0"

_DAMAGED: Final = (
    "The stored copy of this file is damaged. It was not sent, and the operators have been told."
    " Upload the file again if you still have it."
)


class WebError(Exception):
    """Base of what only HTTP can get wrong. Its text is a sentence fit for the customer."""


class NotSignedIn(WebError):
    """No session, or one that ended. `expired`: a cookie came, but its session is over."""

    def __init__(self, *, expired: bool = False, bearer: bool = False) -> None:
        what = "This device token is not valid. Make a new one" if bearer else "Sign in"
        super().__init__(f"{what} through the OutsideTheBox Client Portal.")
        self.expired = expired


class StaffWithoutGrant(WebError):
    """Staff are signed in, and no customer has let them in."""

    def __init__(self, session: SessionView) -> None:
        super().__init__("Staff see no customer's files unless the owner of the account lets them in.")
        self.session = session


class CsrfRefused(WebError):
    """An unsafe request with a cookie came without its CSRF token."""

    def __init__(self) -> None:
        super().__init__("This form is out of date, or it was not sent from OTB Cloud. Load the page again.")


class CrossSite(WebError):
    """Another site's page sent an unsafe request."""

    def __init__(self) -> None:
        super().__init__("This request came from another site. Do it from OTB Cloud's own pages.")


class WrongHost(WebError):
    def __init__(self) -> None:
        super().__init__("This server does not answer to that name. Open OTB Cloud from the portal.")


class TooLarge(WebError):
    """A request body or query over its limit."""

    def __init__(self, limit_bytes: int, what: str) -> None:
        super().__init__(f"{what} may have at most {limit_bytes:,} bytes.")


class WrongMediaType(WebError):
    def __init__(self, wanted: str) -> None:
        super().__init__(f"Send this request's body as {wanted}.")


class TooSlow(WebError):
    """The body came slower than the least rate. The connection is closed."""

    def __init__(self, rate: Rate) -> None:
        super().__init__(
            f"Less than {rate} came, so the upload was stopped and nothing was kept."
            " Send it again on a better connection."
        )
        self.rate = rate


class ContentDamaged(WebError):
    """The stored copy of a blob is damaged or missing; the cause is the store's error."""

    def __init__(self, blob: Blob) -> None:
        super().__init__(_DAMAGED)
        self.blob = blob


class BlobsTooLarge(WebError):
    """Blobs that are read one by one, not with others."""

    def __init__(self, digests: Sequence[Digest], limit_bytes: int) -> None:
        super().__init__(
            f"Blobs of more than {limit_bytes:,} bytes are not read with others. Get the content of their files."
        )
        self.digests = list(digests)


class Busy(WebError):
    """More of this at once than the server takes."""

    def __init__(self, what: str) -> None:
        super().__init__(f"Too many {what} are under way. Try again in a few seconds.")


class TooFast(WebError):
    """Somebody does this more often than the server takes. `seconds`: when it may be done again."""

    def __init__(self, seconds: int) -> None:
        wait = "1 second" if seconds == 1 else f"{seconds} seconds"
        super().__init__(f"Too many requests came from here. Wait {wait}, then try again.")
        self.seconds = seconds


class NoRendition(WebError):
    """There is no thumbnail or preview of this file, and none will come."""

    def __init__(self, what: str) -> None:
        super().__init__(f"There is no {what.lower()} of this file.")


class NoClient(WebError):
    """This server was set up without the wheel of otb-cloud."""

    def __init__(self) -> None:
        super().__init__("This server has no otb-cloud program to give out. Tell support. Uploading here still works.")


class Disconnected(WebError):
    """The client went away before its body was whole. Nobody is there to be answered."""


class WrongTusVersion(WebError):
    """The client speaks another version of tus, or none."""

    def __init__(self) -> None:
        super().__init__("This server speaks tus 1.0.0. Send Tus-Resumable: 1.0.0.")


class OffsetConflict(WebError):
    """The client goes on at another place than where the upload stands."""

    def __init__(self, offset_bytes: int) -> None:
        super().__init__(f"This upload stands at {offset_bytes:,} bytes. Go on from there.")
        self.offset_bytes = offset_bytes


class ChecksumMismatch(WebError):
    def __init__(self) -> None:
        super().__init__("The bytes of this request do not match its Upload-Checksum. None was kept: send them again.")


class UploadStalled(TooSlow):
    """A resumable upload came too slowly; what came is kept."""

    def __init__(self, rate: Rate) -> None:
        WebError.__init__(
            self,
            f"Less than {rate} came, so this request was stopped. What came is kept: ask for the offset and go on.",
        )


class FinishFailed(WebError):
    """All bytes of a resumable upload came, and `cause` kept them from becoming a file. `is_kept`: the upload."""

    def __init__(self, cause: Exception, *, is_kept: bool) -> None:
        kept = "The upload is kept: ask for its offset and go on."
        super().__init__(kept if is_kept else "The upload was removed: begin it again.")
        self.cause = cause
        self.is_kept = is_kept


class ReportRefused(WebError):
    """A report that OTB Billing did not sign, or not for this, or that came before."""


@dataclass(frozen=True, slots=True)
class Problem:
    """What the client is told. `extra` are further members of the JSON object."""

    status: int
    slug: str
    title: str
    detail: str
    extra: Mapping[str, object] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)

    def body(self, request_id: str) -> dict[str, object]:
        """The JSON object of `application/problem+json`."""
        return {
            "type": TYPE_PREFIX + self.slug,
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "request": request_id,
            **self.extra,
        }


@dataclass(frozen=True, slots=True)
class _Rule:
    """`sentence` None: the error's own text is one."""

    status: int
    slug: str
    title: str
    sentence: str | None = None
    retry_after_seconds: int | None = None


_SOON: Final = RETRY_AFTER_SECONDS
_LATER: Final = 300
_TABLE: Final[Mapping[type[Exception], _Rule]] = {
    catalog.NotFound: _Rule(404, "not-found", "Not found"),
    catalog.Purged: _Rule(410, "purged", "Deleted for good"),
    catalog.HistoryGone: _Rule(410, "history-gone", "No longer shown"),
    catalog.Conflict: _Rule(409, "conflict", "Does not fit what is there"),
    catalog.NameTaken: _Rule(409, "name-taken", "The name is taken"),
    catalog.NotEmpty: _Rule(409, "not-empty", "Not empty"),
    catalog.BadPath: _Rule(400, "bad-path", "The path cannot be used"),
    catalog.BadRequest: _Rule(400, "bad-request", "The request cannot be understood"),
    catalog.BadCursor: _Rule(400, "bad-cursor", "The cursor is not valid"),
    catalog.TooMany: _Rule(413, "too-many", "Too many at once"),
    catalog.QuotaExceeded: _Rule(507, "quota-exceeded", "Your space is full"),
    catalog.NotPossessed: _Rule(409, "not-possessed", "Some bytes are missing"),
    catalog.NotAllowed: _Rule(403, "not-allowed", "Not allowed"),
    catalog.TenantSuspended: _Rule(403, "suspended", "The account is suspended"),
    catalog.HandoffReplayed: _Rule(403, "handoff-replayed", "The sign-in link was used already"),
    catalog.ClaimLost: _Rule(503, "claim-lost", "Send the upload again", None, _SOON),
    catalog.TooOften: _Rule(429, "too-often", "Too many tries"),
    catalog.TooManyWaiting: _Rule(503, "too-many-waiting", "Too many at once", None, _LATER),
    catalog.NotConnected: _Rule(400, "not-connected", "Not connected"),
    catalog.UploadLost: _Rule(409, "upload-taken", "Another request goes on with this upload"),
    catalog.UploadExpired: _Rule(410, "upload-expired", "The upload has expired"),
    catalog.TooManyUploads: _Rule(429, "too-many-uploads", "Too many uploads are open"),
    catalog.DatabaseUnavailable: _Rule(503, "database-unavailable", "Not available right now", None, _SOON),
    cas.BadDigest: _Rule(400, "bad-digest", "The digest cannot be read", "A digest has 64 lower-case hex digits."),
    cas.DigestMismatch: _Rule(
        422,
        "digest-mismatch",
        "The bytes are not what was announced",
        "The bytes that came do not match the digest sent with them, so nothing was kept. Send the file again.",
    ),
    cas.SizeMismatch: _Rule(
        400,
        "size-mismatch",
        "More or fewer bytes came than announced",
        "The number of bytes is not what was announced, so nothing was kept. Send the file again.",
    ),
    cas.StoreFull: _Rule(
        507,
        "store-full",
        "The server's storage is full",
        "The server has no room for this upload, so nothing was kept. Try again later; the operators can see it.",
        _LATER,
    ),
    cas.StoreReadOnly: _Rule(
        503,
        "store-read-only",
        "Uploads are stopped",
        "The storage takes no new files until an operator has checked it. What is stored can be read. Try again later.",
        _LATER,
    ),
    cas.StoreNotReady: _Rule(
        503, "store-not-ready", "Not available right now", "The storage is not ready. Try again later.", _LATER
    ),
    cas.StoreFailed: _Rule(
        503, "store-busy", "Not available right now", "The storage did not answer. Try again in a moment.", _SOON
    ),
    ContentDamaged: _Rule(500, "damaged", "The stored copy is damaged"),
    catalog.IndexBusy: _Rule(503, "index-busy", "Try again in a moment", None, _SOON),
    catalog.IndexBehind: _Rule(503, "index-behind", "Not everything is in order yet", None, _SOON),
    NotSignedIn: _Rule(401, "not-signed-in", "Sign in first"),
    ReportRefused: _Rule(403, "report-refused", "The report was not taken"),
    StaffWithoutGrant: _Rule(403, "staff", "No access to customers' files"),
    CsrfRefused: _Rule(403, "csrf", "The form is out of date"),
    CrossSite: _Rule(403, "cross-site", "Refused"),
    WrongHost: _Rule(421, "wrong-host", "Wrong host"),
    BlobsTooLarge: _Rule(422, "blobs-too-large", "Too large to be read with others"),
    TooLarge: _Rule(413, "too-large", "Too large"),
    WrongMediaType: _Rule(415, "media-type", "The body has another form than wanted"),
    WrongTusVersion: _Rule(412, "tus-version", "Another version of tus"),
    OffsetConflict: _Rule(409, "offset", "The upload stands elsewhere"),
    ChecksumMismatch: _Rule(460, "checksum-mismatch", "The bytes do not match their checksum"),
    TooSlow: _Rule(408, "too-slow", "The upload was too slow"),
    NoRendition: _Rule(404, "no-rendition", "None is made of this file"),
    NoClient: _Rule(503, "no-client", "Nothing to install here", None, _LATER),
    TooFast: _Rule(429, "too-fast", "Too many requests"),
    Busy: _Rule(503, "busy", "Too many at once", None, _SOON),
    RangeNotSatisfiable: _Rule(416, "range", "The range lies outside the file"),
}

_HTTP_SENTENCES: Final = {
    404: ("not-found", "There is nothing at this address. Check how it is written."),
    405: ("method-not-allowed", "This address cannot be used with this method."),
}


def problem_of(error: BaseException) -> Problem:
    """What to tell the client of an error."""
    if isinstance(error, HTTPException):
        return _of_http(error)
    if isinstance(error, FinishFailed):
        return _of_finish(error)
    for kind in type(error).__mro__:
        rule = _TABLE.get(kind)
        if rule is not None:
            return Problem(
                rule.status,
                rule.slug,
                rule.title,
                rule.sentence or str(error),
                _extra(error),
                _headers(error, rule),
            )
    return Problem(
        500,
        "internal",
        "Something went wrong here",
        "This is our fault, and it was noted. Try again; if it stays, tell support the request's number.",
    )


def _of_finish(error: FinishFailed) -> Problem:
    """The cause's problem, and what became of the upload."""
    cause = problem_of(error.cause)
    extra = {**cause.extra, "upload": "kept" if error.is_kept else "removed"}
    return replace(cause, detail=f"{cause.detail} {error}", extra=extra)


def _of_http(error: HTTPException) -> Problem:
    phrase = HTTPStatus(error.status_code).phrase
    slug, sentence = _HTTP_SENTENCES.get(error.status_code, (phrase.lower().replace(" ", "-"), phrase + "."))
    return Problem(error.status_code, slug, phrase, sentence, headers=dict(error.headers or {}))


def _extra(error: BaseException) -> dict[str, object]:
    match error:
        case catalog.NotPossessed() | catalog.BlobsNotFound() | BlobsTooLarge():
            name = "large" if isinstance(error, BlobsTooLarge) else "missing"
            return {name: [digest.hex for digest in error.digests[:DIGESTS_MAX]]}
        case catalog.Purged():
            return {"gone": error.paths}
        case catalog.QuotaExceeded():
            return {"quota": error.limit_bytes, "used": error.used_bytes, "wanted": error.wanted_bytes}
        case catalog.NotConnected():
            return {"error": str(error.reason)} | _interval(error.interval_seconds)
        case catalog.TooMany() | catalog.TooManyUploads():
            return {"limit": error.limit}
        case _:
            return {}


def _interval(seconds: int | None) -> dict[str, object]:
    return {} if seconds is None else {"interval": seconds}


def _headers(error: BaseException, rule: _Rule) -> dict[str, str]:
    headers = {}
    if rule.retry_after_seconds is not None:
        headers["Retry-After"] = str(rule.retry_after_seconds)
    if isinstance(error, catalog.TooOften | TooFast):
        headers["Retry-After"] = str(error.seconds)
    if isinstance(error, NotSignedIn):
        headers["WWW-Authenticate"] = 'Bearer realm="otb-cloud"'
    if isinstance(error, TooSlow):
        headers["Connection"] = "close"
    if isinstance(error, WrongTusVersion):
        headers["Tus-Version"] = TUS_VERSION
    if isinstance(error, OffsetConflict):
        headers["Upload-Offset"] = str(error.offset_bytes)
    if isinstance(error, RangeNotSatisfiable):
        headers["Content-Range"] = f"bytes */{error.size_bytes}"
    return headers
