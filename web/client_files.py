"""What "Connect this computer" gives out: the installers, and the wheel that they install by its digest."""

import shlex
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response

from catalog.errors import NotFound
from web.client_wheel import Wheel
from web.errors import NoClient
from web.state import Services, services

SCRIPTS: Final = Path(__file__).parent / "client_scripts"


@dataclass(frozen=True, slots=True)
class InstallLine:
    """How a system's people install it: what to open, and the one line to put there."""

    system: str
    where: str
    line: str


def offered_lines(held: Services) -> list[InstallLine]:
    """One line per system; none where this server has nothing to give out."""
    if held.client_wheel is None:
        return []
    public_url = held.settings.public_url
    return [
        InstallLine("Linux and macOS", "Terminal", f"curl -fsSL {public_url}/connect/install.sh | sh"),
        InstallLine("Windows", "PowerShell", f"irm {public_url}/connect/install.ps1 | iex"),
    ]


async def get_install_sh(request: Request) -> Response:
    """The installer for Linux and macOS."""
    return _script(request, "install.sh", shlex.quote)


async def get_install_ps1(request: Request) -> Response:
    """The installer for Windows."""
    return _script(request, "install.ps1", _powershell_quote)


async def get_wheel(request: Request) -> Response:
    """The wheel, under its exact name only: pip reads the version from it."""
    wheel = _wheel(request)
    if request.path_params["wheel"] + ".whl" != wheel.name:
        raise NotFound("file")
    return Response(wheel.content, 200, {"Content-Disposition": "attachment"}, "application/octet-stream")


def _script(request: Request, name: str, quote: Callable[[str], str]) -> Response:
    wheel = _wheel(request)
    text = (SCRIPTS / name).read_text(encoding="utf-8")
    values = {"URL": services(request).settings.public_url, "WHEEL": wheel.name, "SHA256": wheel.sha256}
    for mark, value in values.items():
        text = text.replace(f"@{mark}@", quote(value))
    return PlainTextResponse(text)


def _wheel(request: Request) -> Wheel:
    wheel = services(request).client_wheel
    if wheel is None:
        raise NoClient
    return wheel


def _powershell_quote(value: str) -> str:
    """A literal of PowerShell: only the quote itself means something in it."""
    return "'" + value.replace("'", "''") + "'"
