"""stub"""

from starlette.requests import Request
from starlette.responses import Response
from web.answers import json_answer


async def get_openapi(_request: Request) -> Response:
    return json_answer({})
