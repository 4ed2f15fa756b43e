"""The command line: a literal table of commands, and the one place where errors become text and exit codes.

Only the module of the command that is asked for is imported: a run that finds nothing to do should cost nothing.
"""

import argparse
import importlib
import signal
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple, Optional

from otb_client import errors


class Command(NamedTuple):
    """A command and its module, which has `add_parser(subparsers) -> None` and `run(args) -> int`."""

    name: str
    module: str
    help: str


COMMANDS = (
    Command("login", "otb_client.login", "connect this computer to your account"),
    Command("logout", "otb_client.logout", "forget this computer's token"),
    Command("status", "otb_client.status", "show the server, the device and the space used"),
    Command("upload", "otb_client.upload", "back up this computer's folders, or those given"),
    Command("sources", "otb_client.sources", "list the folders to back up, and confirm them"),
    Command("schedule", "otb_client.schedule", "back up every day by itself"),
    Command("check", "otb_client.check", "say which files here are safe there"),
    Command("restore", "otb_client.restore", "bring files back, as they are or as they were"),
)


def add_common(parser: argparse.ArgumentParser) -> None:
    """The options of every command that speaks to the server: `args.json`, `args.retry_minutes`."""
    parser.add_argument("--json", action="store_true", help="print one JSON object per line, for scripts")
    parser.add_argument(
        "--retry-minutes",
        type=_minutes,
        default=10.0,
        metavar="N",
        help="how long to go on trying when the line or the server fails (10)",
    )


def _minutes(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 60 * 24 * 7:
        raise argparse.ArgumentTypeError("give the minutes, 0 to 10080")
    return value


def make_parser(arguments: Sequence[str]) -> argparse.ArgumentParser:
    """The parser, complete for the command that `arguments` name and with the bare names of the others."""
    parser = argparse.ArgumentParser(prog="otb-cloud", description="Backs this computer up to OTB Cloud.")
    parser.add_argument("--version", action="version", version="otb-cloud 0.1.0")
    subparsers = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    named = next((text for text in arguments if not text.startswith("-")), None)
    for command in COMMANDS:
        if command.name == named:
            _module(command).add_parser(subparsers)
        else:
            subparsers.add_parser(command.name, help=command.help)
    return parser


def main(arguments: Optional[list[str]] = None) -> int:
    """Run one command; its exit code. argparse itself exits with 2 where the line cannot be used."""
    given = sys.argv[1:] if arguments is None else arguments
    signal.signal(signal.SIGTERM, _interrupt)
    try:
        args = make_parser(given).parse_args(given)
        command = next(command for command in COMMANDS if command.name == args.command)
        return int(_module(command).run(args))
    except errors.ClientError as e:
        print(f"otb-cloud: {e}", file=sys.stderr)
        return e.exit_code
    except KeyboardInterrupt:
        print("otb-cloud: interrupted. What was sent is kept; the next run goes on from here.", file=sys.stderr)
        return errors.INTERRUPTED
    except BrokenPipeError:  # the reader of our output went away, as `| head` does
        sys.stdout = None
        return errors.FAILED


def _module(command: Command) -> Any:
    return importlib.import_module(command.module)


def _interrupt(_signal: int, _frame: object) -> None:
    raise KeyboardInterrupt
