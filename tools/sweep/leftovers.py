"""Files under `blobs/` and `packs/` that no row names: what a crash left between a file and its row, or a blob that
moved into a pack left behind.

What always holds: the file is opened first, then the catalog is asked, then that very file is moved; an upload claims
its row before it places its file, so what it places after the question is another file and stays.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, closing
from datetime import timedelta
from itertools import islice
from typing import Final

from cas.backend import Backend, ObjectReader
from cas.digest import Digest
from cas.errors import BadDigest, BlobMissing, BlobUnreadable, ObjectHeld
from cas.layout import BLOBS, PACKS, object_keys, pack_of_key
from cas.store import BlobStore
from catalog.sweep import SweepRows
from catalog.system import SystemScope
from tools.sweep.blobs import Now
from tools.sweep.report import Report

FILES_AT_ONCE: Final = 200
"""Held open together."""


class Leftovers:
    """Looks for leftovers and moves them to the trash. `grace`: how old a file must be."""

    def __init__(
        self, system: SystemScope, store: BlobStore, backend: Backend, grace: timedelta, now: Now, report: Report
    ) -> None:
        self._system = system
        self._rows: SweepRows = system.sweep
        self._store = store
        self._backend = backend
        self._grace = grace
        self._now = now
        self._report = report

    async def sweep(self) -> None:
        """Look at every file."""
        for folder in (BLOBS, PACKS):
            keys = self._old(folder)
            while batch := await asyncio.to_thread(_next, keys):
                await self.trash(batch)

    async def trash(self, keys: Sequence[str]) -> None:
        """Of these files, those that no row names go to the trash."""
        for start in range(0, len(keys), FILES_AT_ONCE):
            with ExitStack() as stack:
                readers = await asyncio.to_thread(self._open, stack, keys[start : start + FILES_AT_ONCE])
                named = await self._named(list(readers))
                for key, reader in readers.items():
                    if key not in named:
                        await asyncio.to_thread(self._move, key, reader)

    def _old(self, folder: str) -> Iterator[str]:
        before = (self._now() - self._grace).timestamp()
        return (info.key for info in self._backend.list(f"{folder}/") if info.changed_at <= before)

    def _open(self, stack: ExitStack, keys: Sequence[str]) -> dict[str, ObjectReader]:
        readers = {}
        for key in keys:
            try:
                readers[key] = stack.enter_context(closing(self._backend.open(key)))
            except (BlobMissing, BlobUnreadable):
                continue  # gone meanwhile, or for verify to report
        return readers

    async def _named(self, keys: Sequence[str]) -> set[str]:
        """Those that a row names, or that may be needed: their blob is not settled."""
        packs = {key: pack_id for key in keys if (pack_id := pack_of_key(key)) is not None}
        known = await self._system.known_packs(list(packs.values()))
        named = {key for key, pack_id in packs.items() if pack_id in known}
        digests = {key: digest_of(key) for key in keys if key not in packs}
        rows = await self._rows.settled(
            list({digest for digest in digests.values() if digest is not None}), self._now() - self._grace
        )
        for key, digest in digests.items():
            if digest is None:
                named.add(key)  # not a name that the store gives: for verify to report
            elif digest in rows and ((row := rows[digest]) is None or key in object_keys(row.blob)):
                named.add(key)
        return named

    def _move(self, key: str, reader: ObjectReader) -> None:
        try:
            moved = self._store.trash_leftover(key, self._now().date(), reader)
        except ObjectHeld:
            self._report.held += 1
            return
        if moved:
            self._report.leftovers += 1
            self._report.leftover_bytes += reader.size_bytes


def _next(keys: Iterator[str]) -> list[str]:
    return list(islice(keys, FILES_AT_ONCE))


def digest_of(key: str) -> Digest | None:
    """The digest that a blob's file is called by, or None."""
    name = key.rpartition("/")[2]
    if name[64:] not in {"", ".zst", ".pieces"}:
        return None
    try:
        return Digest.from_hex(name[:64])
    except BadDigest:
        return None
