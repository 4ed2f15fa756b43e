"""The answer to any error: problem+json for the API, a page for people."""

import logging
from typing import Final

from jinja2 import TemplateError
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from catalog.errors import CatalogError, TenantSuspended
from web import after_sign_in
from web.answers import problem_answer, request_id
from web.errors import NotSignedIn, Problem, StaffWithoutGrant, WebError, problem_of
from web.handoff import Refusal
from web.page_context import error_page
from web.pages_support import staff_page
from web.sessions import Caller, find_person
from web.state import services

log: Final = logging.getLogger("otb.web")

_JSON_PREFIXES: Final = ("/api/", "/livez", "/readyz", "/health.json")


async def answer_error(request: Request, error: Exception) -> Response:
    """Never raises: what goes wrong in telling of an error is told in plain text."""
    problem = problem_of(error)
    if problem.status == 500:
        log.error("request %s %s failed", request_id(request), request.method, exc_info=error)
    if request.scope["path"].startswith(_JSON_PREFIXES):
        return problem_answer(problem, request_id(request))
    try:
        return await _page(request, error, problem)
    except (TemplateError, CatalogError, WebError, OSError) as second:
        log.error("request %s: its error page failed", request_id(request), exc_info=second)
        return PlainTextResponse(f"{problem.title}. {problem.detail}\n", problem.status, dict(problem.headers))


async def _page(request: Request, error: Exception, problem: Problem) -> Response:
    held = services(request)
    match error:
        case NotSignedIn():
            return _sign_in_first(request, error)
        case StaffWithoutGrant(session=session):
            return staff_page(request, session, 200 if request.scope["path"] == "/" else 403)
        case TenantSuspended():
            return held.pages.render(
                "handoff_refused.html", 403, reason=Refusal.SUSPENDED, request_id=request_id(request)
            )
    return await error_page(request, await _caller(request), problem)


def _sign_in_first(request: Request, error: NotSignedIn) -> Response:
    pages, comes_back = services(request).pages, after_sign_in.is_remembered(request)
    answer = pages.render("sign_in_required.html", 401, expired=error.expired, comes_back=comes_back)
    if comes_back:
        after_sign_in.remember(request, answer)
    return answer


async def _caller(request: Request) -> Caller | None:
    """Who is signed in, for the page's navigation; nobody where that cannot be found out."""
    try:
        return await find_person(request)
    except (CatalogError, WebError):
        return None
