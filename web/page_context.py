"""What every page of a signed-in person shows: who, how much space, and what the form sent just before did."""

from starlette.requests import Request
from starlette.responses import Response

from catalog.values import Role
from web.answers import request_id
from web.errors import Problem
from web.notices import NOTICE_COOKIE, notice_of
from web.sessions import Caller, cookie_name, forget_cookie
from web.state import services
from web.support import support_context


async def person_page(
    request: Request, caller: Caller, template: str, active: str, code: int = 200, /, **context: object
) -> Response:
    """A page with the common context of web/templates/base.html."""
    held = services(request)
    notice = notice_of(request.cookies.get(cookie_name(held.settings, NOTICE_COOKIE)))
    answer = held.pages.render(
        template,
        code,
        me=_me(caller),
        usage=await caller.scope.usage(),
        csrf_token=caller.csrf_token,
        active=active,
        notice=notice,
        support=await support_context(caller),
        **context,
    )
    if notice is not None:
        forget_cookie(answer, held.settings, NOTICE_COOKIE)
    return answer


async def error_page(request: Request, caller: Caller | None, problem: Problem) -> Response:
    """The page of a problem, with the navigation where somebody is signed in."""
    context = {
        "status": problem.status,
        "title": problem.title,
        "sentence": problem.detail,
        "advice": None,
        "request_id": request_id(request),
    }
    if caller is not None:
        answer = await person_page(request, caller, "error.html", "", problem.status, **context)
    else:
        answer = services(request).pages.render("error.html", problem.status, **context)
    answer.headers.update(problem.headers)
    return answer


def _me(caller: Caller) -> dict[str, object]:
    tenant, session = caller.scope.tenant, caller.session
    person = (session.user or session.staff) if session else None
    role = session.user.role if session and session.user else Role.STAFF if person else ""
    return {
        "tenant_id": tenant.uuid,
        "tenant_label": tenant.label,
        "time_zone": tenant.time_zone,
        "user_name": person.name or person.email if person else "",
        "user_email": person.email if person else "",
        "role": role,
    }
