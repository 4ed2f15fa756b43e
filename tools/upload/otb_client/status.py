"""`otb-cloud status`: which server and device this computer is connected as, and how much space the account uses."""

import argparse
from typing import Any

from otb_client import config
from otb_client.api import Api
from otb_client.cli import add_common
from otb_client.errors import DONE, BadAnswer
from otb_client.output import Output
from otb_client.words import printable, size_text


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("status", help="show the server, the device and the space used")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Ask the server, with the token. Raises `NotConnected`, `ApiError`, `LineFailed`."""
    out = Output(as_json=args.json)
    known = config.load_connected()
    api = Api(known.server, known.token, retry_seconds=0)
    try:
        me = api.get_json("/api/v1/me")
    finally:
        api.close()
    try:
        _show(known, me, out)
    except (KeyError, TypeError) as e:
        raise BadAnswer("The server's answer is not an account's. Is its address right?") from e
    return DONE


def _show(known: config.Config, me: dict[str, Any], out: Output) -> None:
    device, usage, account = me["device"], me["usage"], me["tenant"]["label"]
    last = printable(device["last_upload"] or "never")
    out.text(f"Server       {known.server}")
    out.text(f"Account      {printable(account)}")
    out.text(f"Device       {printable(device['name'])}: {device['files']:,} files, {size_text(device['size'])}")
    out.text(f"Last upload  {last}")
    out.text(f"Space        {size_text(usage['used_bytes'])} of {size_text(usage['quota_bytes'])} used")
    out.event(
        "summary",
        connected=True,
        server=known.server,
        account=account,
        device=device["id"],
        device_name=device["name"],
        files=device["files"],
        size_bytes=device["size"],
        last_upload=device["last_upload"],
        used_bytes=usage["used_bytes"],
        quota_bytes=usage["quota_bytes"],
    )
