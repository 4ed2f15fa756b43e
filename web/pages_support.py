"""Staff's side of support access: redeeming a token, and leaving."""

from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import NotFound, TooOften
from catalog.values import SessionView
from web.answers import see_other
from web.bodies import field, read_form
from web.csrf import check_csrf
from web.errors import problem_of
from web.sessions import address, find_session, token_of
from web.state import services

_OPENS_NOTHING = (
    "This token opens nothing. It may be mistyped, used already, expired, or ended by the owner. Ask the owner for"
    " another one."
)


async def redeem(request: Request) -> Response:
    """303 into the account, or the page with the reason. A customer's session redeems nothing."""
    session, token = await _posted(request, "token")
    redemptions = services(request).catalog.system.redemptions
    try:
        await redemptions.redeem(token.strip(), session, address(request))
    except (NotFound, TooOften) as error:
        sentence = _OPENS_NOTHING if isinstance(error, NotFound) else str(error)
        return staff_page(request, session, problem_of(error).status, sentence)
    return see_other("/")


async def leave(request: Request) -> Response:
    """The grant is over, by staff's own hand."""
    session, _ = await _posted(request, "")
    await services(request).catalog.system.redemptions.leave(session, address(request))
    return see_other("/")


def staff_page(request: Request, session: SessionView, status: int, problem: str | None = None) -> Response:
    """What staff see who are in no account: a field for a token, and nothing of any customer."""
    held = services(request)
    name = session.staff.name or session.staff.email if session.staff else ""
    return held.pages.render(
        "staff.html", status, csrf_token=token_of(held, session), staff_name=name, problem=problem
    )  # fmt: skip


async def _posted(request: Request, name: str) -> tuple[SessionView, str]:
    """The session of staff, its CSRF token checked, and a field. Raises `NotSignedIn`, `CsrfRefused`, `NotFound`."""
    session = await find_session(request)
    fields = await read_form(request)
    check_csrf(token_of(services(request), session), field(fields, "csrf_token"), request.headers.get("x-csrf-token"))
    if session.staff is None:
        raise NotFound("page")
    return session, field(fields, name) if name else ""
