"""Packs: mostly dead ones are rewritten, loose small blobs gathered into new ones, and what nothing points into goes.

What always holds: a blob moves only into a pack that is placed and durable, by compare-and-set of its location; every
byte that moves is checked against its digest on the way; the old pack waits a grace for readers.
"""

import asyncio
from collections.abc import Sequence
from datetime import timedelta
from typing import Final

from cas.errors import BlobDamaged, BlobMissing, ObjectHeld, PackDamaged
from cas.layout import object_keys
from cas.packwriter import StagedPack
from cas.store import BlobStore
from catalog.packs import NewPack
from catalog.sweep import LooseBlob, SweepRows
from catalog.sweep_packs import PackRow, SweepPacks
from catalog.values import BlobRow
from tools.sweep.blobs import Now
from tools.sweep.leftovers import Leftovers
from tools.sweep.report import Report

LOOSE_BYTES_MAX: Final = 64 << 10
"""A blob of at most so many bytes is gathered: what a small single upload may have."""

LOOSE_BLOBS_MIN: Final = 32
"""So few are not worth a pack."""

LOOSE_AT_ONCE: Final = 4_000


class PackSweep:
    """The steps over packs."""

    def __init__(
        self, packs: SweepPacks, rows: SweepRows, store: BlobStore, leftovers: Leftovers, grace: timedelta, now: Now,
        report: Report,
    ) -> None:  # fmt: skip
        self._packs = packs
        self._rows = rows
        self._store = store
        self._leftovers = leftovers
        self._grace = grace
        self._now = now
        self._report = report

    async def rewrite(self) -> None:
        """Every pack of which at least half is dead: its living blobs move to a new one."""
        seen: set[str] = set()
        while packs := [
            pack for pack in await self._packs.mostly_dead(self._now() - self._grace) if pack.pack_id not in seen
        ]:
            for pack in packs:
                seen.add(pack.pack_id)
                await self._rewrite(pack)

    async def _rewrite(self, pack: PackRow) -> None:
        try:
            index = await asyncio.to_thread(self._store.read_index, pack.pack_id)
        except (PackDamaged, BlobMissing, BlobDamaged) as error:
            self._report.alarm(f"pack {pack.pack_id} cannot be rewritten: {error}")
            return
        living = await self._packs.located(pack.pack_id, [blob.digest for blob in index])
        if not living:
            await self._packs.condemn(pack.pack_id)
            self._report.packs_rewritten += 1
            return
        staged, copied = await asyncio.to_thread(self._copy, living)
        if len(copied) < len(living):
            await asyncio.to_thread(staged.discard)
            self._report.alarm(f"pack {pack.pack_id} cannot be rewritten: some of its blobs are damaged")
            return
        self._report.blobs_moved += await self._move(staged, copied, pack.pack_id)
        self._report.packs_rewritten += 1

    async def gather(self) -> None:
        """Small blobs in files of their own move into packs, where there are enough of them."""
        after, before = 0, self._now() - self._grace
        while len(loose := await self._rows.loose(after, LOOSE_BYTES_MAX, before, LOOSE_AT_ONCE)) >= LOOSE_BLOBS_MIN:
            after = loose[-1].id
            staged, copied = await asyncio.to_thread(self._copy, loose)
            if len(copied) < LOOSE_BLOBS_MIN:
                await asyncio.to_thread(staged.discard)
                continue
            self._report.blobs_gathered += await self._move(staged, copied, None)
            # The files that they had. One that an upload has placed since is another file, and stays.
            await self._leftovers.trash([key for row in copied for key in object_keys(row.blob)])

    def _copy(self, rows: Sequence[BlobRow | LooseBlob]) -> tuple[StagedPack, list[BlobRow | LooseBlob]]:
        """A staged pack with those of the blobs that are whole."""
        copied = []
        with self._store.pack() as writer:
            for row in rows:
                try:
                    with self._store.read(row.blob) as reader:
                        data = b"".join(reader.chunks())
                except (BlobDamaged, BlobMissing):
                    continue  # verify finds it and says so; here it stays where it is
                writer.add(data, row.blob.digest)
                copied.append(row)
            return writer.finish(), copied

    async def _move(
        self, staged: StagedPack, copied: Sequence[BlobRow | LooseBlob], old_pack_id: str | None
    ) -> int:  # fmt: skip
        """Place the pack between its row and the rows of its blobs, as an upload does."""
        try:
            await self._packs.begin(staged.pack_id)
            blobs = await asyncio.to_thread(self._store.place_pack, staged)
        finally:
            await asyncio.to_thread(staged.discard)
        by_digest = {blob.digest: blob for blob in blobs}
        moves = {row.id: (row.blob.location, by_digest[row.blob.digest]) for row in copied}
        return await self._packs.move(moves, NewPack(staged.pack_id, staged.stored_bytes, blobs), old_pack_id)

    async def remove(self) -> None:
        """Packs that were condemned a grace ago, and those that were begun and given up, go to the trash, then their
        rows go. One pass over all rows makes sure that none points into them."""
        before = self._now() - self._grace
        doomed = [pack.pack_id for pack in [*await self._packs.condemned(before), *await self._packs.given_up(before)]]
        in_use = await self._packs.in_use(set(doomed))
        for pack_id in in_use:
            self._report.alarm(f"pack {pack_id} was condemned, and something points into it: it stays")
        await self._packs.spare(sorted(in_use))
        await self._packs.doom([pack_id for pack_id in doomed if pack_id not in in_use])
        going = await self._packs.doomed()
        await self._packs.forget(await asyncio.to_thread(self._trash, going))

    def _trash(self, packs: Sequence[PackRow]) -> list[str]:
        """Move the files away; returns the packs whose rows may go."""
        gone = []
        for pack in packs:
            try:
                self._store.trash_pack(pack.pack_id, self._now().date())
            except ObjectHeld:
                self._report.held += 1
                continue
            gone.append(pack.pack_id)
            self._report.packs_trashed += 1
            self._report.trashed_bytes += pack.stored_bytes
        return gone
