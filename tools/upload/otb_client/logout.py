"""`otb-cloud logout`: forgets this computer's token. Backed-up files stay, and so do the settings but for the token."""

import argparse
from dataclasses import replace
from typing import Any

from otb_client import config
from otb_client.errors import DONE
from otb_client.output import Output


def add_parser(subparsers: Any) -> None:
    parser = subparsers.add_parser("logout", help="forget this computer's token")
    parser.add_argument("--json", action="store_true", help="print one JSON object per line, for scripts")


def run(args: argparse.Namespace) -> int:
    """Remove the token from the settings. Harmless where there is none."""
    out = Output(as_json=args.json)
    known = config.load()
    if known.token:
        file = config.save(replace(known, token=""))
        out.text(f"The token was removed from {file}. What is backed up stays.")
        out.text(f"To end the token itself, revoke it in the portal: {known.server}/devices/{known.device}")
    else:
        out.text("This computer was not connected.")
    out.event("summary", connected=False, changed=bool(known.token), server=known.server, device=known.device)
    return DONE
