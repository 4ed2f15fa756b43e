"""Files that nobody names: under `blobs/` and `packs/` what a crash left between a file and its row, in `incoming/`
what belongs to no upload. Only reported; `incoming/` is cleared by whoever has the store alone."""

import asyncio
import os
from collections.abc import Callable, Collection, Iterator, Sequence
from contextlib import suppress
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Final

from cas.backend import ObjectInfo
from cas.digest import Digest
from cas.errors import BadDigest
from cas.layout import BLOBS, PACKS, object_keys, pack_of_key
from cas.local import INCOMING
from tools.verify.report import Orphan, Report
from tools.verify.scrub import CatalogSide

BATCH_FILES: Final = 1_000

FilesBelow = Callable[[str], Iterator[ObjectInfo]]
"""The files of one folder of the store and of those below it."""


async def find_orphans(side: CatalogSide, files_below: FilesBelow, report: Report) -> None:
    """List them in the report. An upload makes its row before it places its file, and the files of a batch are listed
    before their rows are asked for, so a file without a row is an orphan. Raises as `files_below`."""
    for folder, unnamed in ((BLOBS, _unnamed), (PACKS, _unnamed_packs)):
        files = files_below(folder)
        while batch := await asyncio.to_thread(list, islice(files, BATCH_FILES)):
            for info in await unnamed(side, batch):
                report.add_orphan(Orphan(info.key, info.size_bytes))


def find_strays(root: Path, parts: Collection[str], before: datetime, report: Report) -> None:
    """List in the report what lies in `incoming/`, is no part of an upload that can be resumed, and was not written to
    since a moment: longer ago than any upload may last, so that its writer is dead, or hangs."""
    with os.scandir(root / INCOMING) as entries:
        for entry in entries:
            with suppress(FileNotFoundError):  # it was placed, or cleared, meanwhile
                found = entry.stat(follow_symlinks=False)
                if entry.name not in parts and found.st_mtime <= before.timestamp():
                    report.add_orphan(Orphan(f"{INCOMING}/{entry.name}", found.st_size))


async def _unnamed(side: CatalogSide, batch: Sequence[ObjectInfo]) -> list[ObjectInfo]:
    digests = {info.key: digest for info in batch if (digest := digest_of(info.key)) is not None}
    rows = await side.blobs_by_digest(list(dict.fromkeys(digests.values())))
    named = {key for row in rows.values() for key in object_keys(row.blob)}
    return [info for info in batch if info.key not in named]


async def _unnamed_packs(side: CatalogSide, batch: Sequence[ObjectInfo]) -> list[ObjectInfo]:
    known = await side.known_packs([pack_id for info in batch if (pack_id := pack_of_key(info.key)) is not None])
    return [info for info in batch if pack_of_key(info.key) not in known]


def digest_of(key: str) -> Digest | None:
    """The digest that a file's name begins with, or None."""
    try:
        return Digest.from_hex(key.rpartition("/")[2][:64])
    except BadDigest:
        return None
