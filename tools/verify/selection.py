"""`Selection`: a part of all blobs to re-read, in place of everything."""

import argparse
import re
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

from cas.digest import Digest
from cas.errors import BadDigest
from catalog.scrubbing import Scrubbing
from catalog.system import SystemScope
from catalog.values import BlobRow
from tools.verify.scrub import PAGE_ROWS

_SPAN: Final = re.compile(r"([1-9][0-9]{0,4})([hd])", re.ASCII)
_ENTRY: Final = re.compile(r"([^/]+)/([0-9]{1,19})")


def add_selections(parser: argparse.ArgumentParser) -> None:
    """The options of which at most one may be given."""
    group = parser.add_mutually_exclusive_group()
    group.add_argument(
        "--percent", type=_percent, metavar="N", help="re-read N %% of all, those read longest ago first"
    )
    group.add_argument("--since", type=_span, metavar="SPAN", help="re-read what came within e.g. 24h or 7d")
    group.add_argument("--tenant", metavar="CLIENT", help="re-read what this customer possesses")
    group.add_argument("--file", type=_entry, metavar="CLIENT/ENTRY", help="re-read one file, by its entry's id")
    group.add_argument("--digest", type=_digest, metavar="HEX", help="re-read one blob")


@dataclass(frozen=True, slots=True)
class Selection:
    """Ids of blobs in order; `words` say what was asked for, in the history of runs."""

    scrubbing: Scrubbing
    words: str
    blob_ids: Sequence[int]

    @classmethod
    async def chosen(cls, system: SystemScope, arguments: argparse.Namespace) -> "Selection | None":
        """What the options name; None for everything. Raises `NotFound`."""
        scrubbing = system.scrubbing
        if arguments.percent is not None:
            words, ids = f"{arguments.percent:g} % of all", await scrubbing.oldest(arguments.percent)
        elif arguments.since is not None:
            words, ids = f"since {arguments.since}", await scrubbing.since(arguments.since)
        elif arguments.tenant is not None:
            tenant = await system.tenant_by_client(arguments.tenant)
            words, ids = f"tenant {tenant.id}", await scrubbing.of_tenant(tenant.id)
        elif arguments.file is not None:
            tenant = await system.tenant_by_client(arguments.file[0])
            words = f"entry {arguments.file[1]} of tenant {tenant.id}"
            ids = await scrubbing.of_entry(tenant.id, arguments.file[1])
        elif arguments.digest is not None:
            words, ids = f"blob {arguments.digest}", await scrubbing.of_digest(arguments.digest)
        else:
            return None
        return cls(scrubbing, words, ids)

    async def pages(self) -> AsyncIterator[Sequence[BlobRow]]:
        """The rows that are still there, page by page."""
        for start in range(0, len(self.blob_ids), PAGE_ROWS):
            if rows := await self.scrubbing.rows(self.blob_ids[start : start + PAGE_ROWS]):
                yield rows


def _percent(text: str) -> float:
    try:
        value = float(text)
    except ValueError:
        value = 0
    if not 0 < value <= 100:
        raise argparse.ArgumentTypeError("give a number above 0, at most 100")
    return value


def _span(text: str) -> timedelta:
    match = _SPAN.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError("give hours or days, e.g. 24h or 7d")
    return timedelta(hours=int(match[1])) if match[2] == "h" else timedelta(days=int(match[1]))


def _entry(text: str) -> tuple[str, int]:
    match = _ENTRY.fullmatch(text)
    if match is None:
        raise argparse.ArgumentTypeError("give the billing client and the entry's id, e.g. client-7/1234")
    return match[1], int(match[2])


def _digest(text: str) -> Digest:
    try:
        return Digest.from_hex(text)
    except BadDigest as error:
        raise argparse.ArgumentTypeError("give 64 lower-case hex digits") from error
