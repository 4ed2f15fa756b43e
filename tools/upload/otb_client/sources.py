"""`otb-cloud sources`: the folders that the device's settings name, and which of them were confirmed on this computer.

The portal proposes, this computer confirms: a folder is only ever read after somebody here agreed to it, so that
whoever gets hold of the portal cannot ask for other folders.
"""

import argparse
import os
import sys
from typing import Any

from otb_client import config
from otb_client.api import Api
from otb_client.cli import add_common
from otb_client.config import Config
from otb_client.errors import DONE, PARTIAL, BadAnswer, UsageError
from otb_client.names import shown, to_bytes
from otb_client.output import Output


def add_parser(subparsers: Any) -> None:
    """The command's options."""
    parser = subparsers.add_parser(
        "sources",
        help="list the folders to back up, and confirm them",
        description="Lists the folders that your device's settings name. A folder is only backed up once it was"
        " confirmed on this computer. Exit code 1: some are not confirmed yet.",
    )
    parser.add_argument("--confirm", action="append", default=[], metavar="PATH", help="this folder may be backed up")
    parser.add_argument("--revoke", action="append", default=[], metavar="PATH", help="it may not, any more")
    add_common(parser)


def run(args: argparse.Namespace) -> int:
    """Confirm what is given, then list."""
    settings = config.load_connected()
    output = Output(as_json=args.json)
    api = Api(settings.server, settings.token, retry_seconds=args.retry_minutes * 60)
    wanted = sources_of(api.get_json(f"/api/v1/devices/{settings.device}"))
    settings = _confirmed(settings, args.confirm, args.revoke, wanted)
    open_ones = 0
    for folder in wanted:
        is_confirmed = folder in settings.confirmed
        open_ones += not is_confirmed
        output.text(f"{'confirmed     ' if is_confirmed else 'not confirmed '} {shown(to_bytes(folder))}")
        output.event("source", path=shown(to_bytes(folder)), confirmed=is_confirmed)
    if not wanted:
        output.text("The device's settings name no folder. Name some in the portal, or give paths to otb-cloud upload.")
    output.event("summary", sources=len(wanted), not_confirmed=open_ones)
    return PARTIAL if open_ones else DONE


def _confirmed(settings: Config, confirm: list[str], revoke: list[str], wanted: list[str]) -> Config:
    changed = settings
    for text in confirm:
        folder = local_folder(text)
        if folder not in wanted:
            raise UsageError(f"{text} is not among the folders that the device's settings name.")
        changed = changed.confirming(folder)
    dropped = {local_folder(text) for text in revoke}
    changed = Config(**{**vars(changed), "confirmed": tuple(path for path in changed.confirmed if path not in dropped)})
    if changed != settings:
        config.save(changed)
    return changed


def sources_of(device: dict[str, Any]) -> list[str]:
    """The device's source directories as absolute local paths. Raises `BadAnswer`."""
    listed = device.get("source_directories")
    if not isinstance(listed, list) or not all(isinstance(text, str) for text in listed):
        raise BadAnswer("The server did not say which folders to back up.")
    return list(dict.fromkeys(local_folder(text) for text in listed if text.strip()))


def local_folder(text: str) -> str:
    """The absolute path of a folder as somebody wrote it; `~` is this user's home."""
    return os.path.abspath(os.path.expanduser(text))  # noqa: PTH100, PTH111


def ask(settings: Config, wanted: list[str], output: Output) -> tuple[Config, list[str]]:
    """The settings after asking for what is not confirmed yet, and the folders that stay unconfirmed.

    Without a terminal nobody is asked.
    """
    refused: list[str] = []
    changed = settings
    for folder in wanted:
        if folder in changed.confirmed:
            continue
        name = shown(to_bytes(folder))
        if sys.stdin is not None and sys.stdin.isatty() and sys.stderr.isatty():
            sys.stderr.write(f"Your account asks to back up {name}\nBack it up from now on? [y/N] ")
            sys.stderr.flush()
            if sys.stdin.readline().strip().lower() in {"y", "yes"}:
                changed = changed.confirming(folder)
                continue
        refused.append(folder)
        output.warn(
            f"Not backed up: {name} was not confirmed on this computer. Run: otb-cloud sources --confirm {name}"
        )
        output.event("unconfirmed", path=name)
    if changed != settings:
        config.save(changed)
    return changed, refused
