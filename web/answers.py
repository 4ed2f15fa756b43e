"""Answers in the forms that every handler uses: JSON, a problem, a redirect after a form."""

from collections.abc import Mapping

import msgspec
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from web.errors import Problem

PROBLEM_TYPE = "application/problem+json"
REQUEST_ID_KEY = "otb.request_id"


def json_answer(content: object, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A JSON answer."""
    return Response(msgspec.json.encode(content), status, headers, "application/json")


def problem_answer(problem: Problem, request_id: str) -> Response:
    """RFC 9457."""
    body = msgspec.json.encode(problem.body(request_id))
    return Response(body, problem.status, dict(problem.headers), PROBLEM_TYPE)


def no_content() -> Response:
    return Response(status_code=204)


def see_other(path: str) -> RedirectResponse:
    """After a form: the browser gets that page, and reloading does not send the form again."""
    return RedirectResponse(path, 303)


def request_id(request: Request) -> str:
    """The id that the answer's `X-Request-Id`, the log and problem pages share."""
    return str(request.scope[REQUEST_ID_KEY])
