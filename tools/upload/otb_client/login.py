"""`otb-cloud login`: connects this computer to an account by a code that its owner approves in the browser (RFC 8628).

The token is never shown, and stands in the settings, readable by their owner alone, before anything is said of it.
"""

import argparse
import json
import time
from dataclasses import dataclass
from typing import Any, Optional

from otb_client import config
from otb_client.api import Api
from otb_client.cli import add_common
from otb_client.computer import Computer, can_open_browser, this_computer
from otb_client.errors import DONE, REFUSED, ApiError, BadAnswer, ClientError, LineFailed, UsageError
from otb_client.output import Output
from otb_client.words import printable

SLOWER_BY_SECONDS = 5
"""When the server says `slow_down` and not by how much (RFC 8628, 3.5)."""
INTERVAL_SECONDS_MIN = 1
INTERVAL_SECONDS_MAX = 120
CODE_SECONDS_MAX = 3600
LAST_POLL_SECONDS = 60
"""An approval in the code's last moment can still be fetched for so long."""


class Refused(ClientError):
    """The account's owner refused, or nobody decided in time."""

    exit_code = REFUSED


@dataclass(frozen=True)
class Code:
    """What the server answered to the request: for the person, and for us."""

    device_code: str
    user_code: str
    page: str
    page_with_code: str
    expires_in: int
    interval: int


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("login", help="connect this computer to your account")
    parser.add_argument("server", nargs="?", metavar="URL", help="the server, e.g. https://cloud.example.org")
    parser.add_argument("--name", metavar="NAME", help="what to call this computer in the request (its host name)")
    parser.add_argument("--no-browser", action="store_true", help="only print the address, do not open it")
    parser.add_argument("--force", action="store_true", help="connect anew, even if this computer is connected already")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Ask for a code, wait for the decision, keep the token."""
    out = Output(as_json=args.json)
    known = config.load()
    if not (args.server or known.server):
        raise UsageError("Say which server: otb-cloud login https://cloud.example.org")
    server = config.check_server(args.server or known.server)
    if known.token and not args.force and _is_connected(known, server, out):
        return DONE
    config.save(known)  # before a code is spent: settings that cannot be written would lose the token
    api = Api(server)
    try:
        code = _ask(api, this_computer(args.name))
        _show(code, out)
        if not args.no_browser and can_open_browser():
            _open(code, server)
        answer = _wait(api, code)
    finally:
        api.close()
    return _keep(known, server, answer, out)


def _is_connected(known: config.Config, server: str, out: Output) -> bool:
    """Whether there is nothing to do. Raises `UsageError` where another server holds this computer's files."""
    if known.server != server:
        raise UsageError(
            f"This computer is connected to {known.server} as “{printable(known.device_name)}”."
            f" To connect it to {server} instead, add --force."
        )
    api = Api(server, known.token, retry_seconds=0)
    try:
        me = api.get_json("/api/v1/me")
    except ApiError as e:
        if e.status != 401:
            raise
        out.text("The token of this computer was revoked. A new one is asked for.")
        return False
    finally:
        api.close()
    name, account = _name_and_account(me)
    out.text(f"This computer is connected already: it is “{name}” of {account}. To connect it anew, add --force.")
    out.event("summary", connected=True, changed=False, server=server, device=known.device, device_name=name)
    return True


def _ask(api: Api, computer: Computer) -> Code:
    wanted = {"name": computer.name, "system": computer.system, "kind": computer.kind}
    body = _post(api, "/api/v1/connect", wanted)
    try:
        code = Code(
            _text(body, "device_code"),
            printable(_text(body, "user_code")),
            printable(_text(body, "verification_uri")),
            printable(_text(body, "verification_uri_complete")),
            min(int(body["expires_in"]), CODE_SECONDS_MAX),
            int(body.get("interval", SLOWER_BY_SECONDS)),
        )
    except (KeyError, TypeError, ValueError) as e:
        raise BadAnswer("The server's answer holds no code. Is its address right?") from e
    return code


def _show(code: Code, out: Output) -> None:
    out.text(f"To connect this computer, open\n\n    {code.page}\n\nand type the code\n\n    {code.user_code}\n")
    out.text(f"It is good for {code.expires_in // 60} minutes. Waiting for the approval … (Ctrl-C ends it)")
    out.event(
        "code",
        user_code=code.user_code,
        verification_uri=code.page,
        verification_uri_complete=code.page_with_code,
        expires_in=code.expires_in,
    )


def _open(code: Code, server: str) -> None:
    """Show the page, where it is the server's own. That it cannot be opened is no fault: its address was printed."""
    if not code.page_with_code.startswith(server + "/"):
        return
    import webbrowser  # noqa: PLC0415  # costs time that no other way needs

    try:
        webbrowser.open(code.page_with_code)
    except (OSError, webbrowser.Error):
        return


def _wait(api: Api, code: Code) -> dict[str, Any]:
    """The answer with the token. Raises `Refused` when it was refused or the code is over, and for a line that failed
    until then.
    """
    deadline = time.monotonic() + code.expires_in + LAST_POLL_SECONDS
    interval = code.interval
    failed: Optional[Exception] = None
    while time.monotonic() < deadline:
        interval = max(INTERVAL_SECONDS_MIN, min(interval, INTERVAL_SECONDS_MAX))
        api.stop.wait(interval)
        try:
            return _post(api, "/api/v1/connect/token", {"device_code": code.device_code})
        except LineFailed as e:
            failed = e
        except ApiError as e:
            failed = None
            interval = _next_interval(e, interval)
    if failed is not None:
        raise failed
    raise Refused("The code has expired before anybody approved it. Run otb-cloud login again.")


def _next_interval(error: ApiError, interval: int) -> int:
    """After how many seconds to ask again. Raises `Refused`, or the error itself where asking again is no use."""
    reason = error.problem.get("error")
    if reason == "authorization_pending" or error.status in {429, 500, 502, 503, 504}:
        return interval
    if reason == "slow_down":
        longer = error.problem.get("interval")
        return longer if isinstance(longer, int) else interval + SLOWER_BY_SECONDS
    if reason == "access_denied":
        raise Refused("This computer was refused in the portal. Nothing was changed here.") from error
    if reason == "expired_token":
        raise Refused("The code has expired or was used. Run otb-cloud login again.") from error
    raise error


def _keep(known: config.Config, server: str, answer: dict[str, Any], out: Output) -> int:
    try:
        token, device = _text(answer, "token"), answer["device"]
        device_id, name = _text(device, "id"), _text(device, "name")
        account = printable(_text(answer, "tenant"))
    except (KeyError, TypeError) as e:
        raise BadAnswer("The server's answer holds no token. Run otb-cloud login again.") from e
    file = config.save(known.connected(server, device_id, token, name))
    out.text(f"Connected: this computer is “{printable(name)}” of {account}.")
    if known.token:
        out.text("Its former token is gone from here, and works until you revoke it in the portal.")
    out.text("Back up now with  otb-cloud upload FOLDER  or every day with  otb-cloud schedule")
    out.event(
        "summary",
        connected=True,
        changed=True,
        server=server,
        device=device_id,
        device_name=name,
        account=account,
        settings=str(file),
    )
    return DONE


def _name_and_account(me: dict[str, Any]) -> tuple[str, str]:
    device, tenant = me.get("device"), me.get("tenant")
    if not isinstance(device, dict) or not isinstance(tenant, dict):
        raise BadAnswer("The server's answer names no device. Run otb-cloud login --force.")
    return printable(str(device.get("name", ""))), printable(str(tenant.get("label", "")))


def _post(api: Api, path: str, value: dict[str, str]) -> dict[str, Any]:
    """Once: a person waits, and hears at once what is wrong."""
    body = json.dumps(value).encode()
    headers = {"Content-Type": "application/json"}
    return api.request("POST", path, body=body, headers=headers, retried=False).json()


def _text(value: dict[str, Any], name: str) -> str:
    text = value[name]
    if not isinstance(text, str) or not text:
        raise TypeError(name)
    return text
