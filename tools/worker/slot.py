"""`Slot`: one place in which jobs are carried out, with a sandbox of its own.

What always holds: a source is checked against its digest before anything is made of it; what was made is durable in the
store before the catalog names it; a job's end commits with what it left, under the claim, so it ends once.
"""

import asyncio
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import BinaryIO, Final

from cas.digest import Digest
from cas.errors import BlobDamaged, BlobMissing, BlobUnreadable
from cas.layout import PACK_BLOB_BYTES_MAX
from cas.packwriter import StagedPack
from cas.staged import Staged
from cas.store import BlobStore
from catalog.catalog import Catalog
from catalog.derived import JobTaken, Output
from catalog.errors import CatalogError, ClaimLost, DatabaseUnavailable, NotFound
from catalog.job_values import ClaimedJob
from catalog.names import split_extension
from catalog.packs import NewPack
from catalog.recipes import RECIPES, THUMBNAIL
from catalog.renditions import Made
from catalog.settings import Settings
from catalog.tenant import TenantScope
from catalog.values import Actor, Claimable, Entry, EntryPath, VerificationRecord
from tools.worker.errors import OutputRefused, SandboxBroken
from tools.worker.maker import Maker, Tried
from tools.worker.making.order import Piece
from tools.worker.naming import derived_path
from tools.worker.outcome import EXTENSION, Failure
from tools.worker.sandbox import Sandbox

FLUSH_SECONDS: Final = 0.5
"""Renditions that are made wait so long for others before they are stored together."""
DELETING_WAIT_SECONDS: Final = 0.2
DELETING_WAITS_MAX: Final = 25
RENDITION_TYPES: Final = frozenset({"image/webp", "text/plain"})
_CHUNK_BYTES: Final = 1 << 20
_DAMAGED: Final = "The stored copy of this file is damaged. Upload the file again if you still have it."


@dataclass(frozen=True, slots=True)
class Tools:
    """What all slots of a worker share."""

    settings: Settings
    catalog: Catalog
    store: BlobStore


@dataclass(slots=True)
class Slot:
    """`done`: told of each job that this slot has finished with, however it ended."""

    tools: Tools
    sandbox: Sandbox
    done: Callable[[ClaimedJob], None]
    progress: dict[int, int] = field(default_factory=dict)
    stopping: set[int] = field(default_factory=set)
    """Jobs whose claim is lost, or that somebody asked to cancel."""
    current: int = 0

    async def stop(self, job_id: int) -> None:
        """Stop this job: at once if it is the one in the sandbox, else before it begins."""
        self.stopping.add(job_id)
        if job_id == self.current:
            await self.sandbox.stop()

    async def carry_out(self, jobs: Sequence[ClaimedJob]) -> None:
        """All of them, one after another; renditions are stored together. Raises DatabaseUnavailable, and what the
        store raises when it takes no writes: the jobs are then lost, and wait again."""
        if not jobs[0].is_rendition:
            await self._derive(jobs[0])
            self._forget(jobs[0])
            return
        waiting: list[tuple[Made, bytes]] = []
        since = time.monotonic()
        for job in jobs:
            made = await self._rendition(job)
            if made is None:
                self._forget(job)
                continue
            waiting.append(made)
            if time.monotonic() - since > FLUSH_SECONDS:
                await self._store_renditions(waiting)
                waiting, since = [], time.monotonic()
        await self._store_renditions(waiting)

    # -- renditions

    async def _rendition(self, job: ClaimedJob) -> tuple[Made, bytes] | None:
        """What came of it, and its bytes; None where nothing is to be stored: the job waits again or is over."""
        started = time.monotonic()
        tried, data = await self._try(job), b""
        if job.id in self.stopping:
            await self.tools.catalog.system.jobs.stopped(job, _milliseconds(started))
            return None
        failure, piece = tried.failure, tried.pieces[0] if tried.pieces else None
        if piece is not None:
            try:
                data = self._rendition_bytes(piece)
            except OutputRefused as error:
                failure, piece = Failure(str(error)), None
        log_text = self.sandbox.log() if failure else ""
        if failure is not None and failure.is_source_damaged:
            await self.tools.catalog.system.jobs.drop(job, _milliseconds(started))
            return None
        if failure is not None and failure.may_help:
            await self.tools.catalog.system.jobs.refuse(
                job, failure.sentence, log_text, _milliseconds(started), may_help=True
            )
            return None
        digest, media_type = (None, None) if piece is None else (Digest.of(data), piece.media_type)
        sentence = failure.sentence if failure else ""
        # Once, with the thumbnail: what a preview's maker knows besides is less.
        facts = tried.facts if job.recipe == THUMBNAIL.name else None
        return Made(job, facts, digest, media_type, sentence, log_text, _milliseconds(started)), data

    def _rendition_bytes(self, piece: Piece) -> bytes:
        if piece.media_type not in RENDITION_TYPES:
            raise OutputRefused("A rendition of another type was made than was agreed.")
        with os.fdopen(self.sandbox.open_piece(piece.file), "rb") as file:
            data = file.read(PACK_BLOB_BYTES_MAX + 1)
        if not 0 < len(data) <= PACK_BLOB_BYTES_MAX:
            raise OutputRefused("A rendition is empty or too large.")
        return data

    async def _store_renditions(self, made: Sequence[tuple[Made, bytes]]) -> None:
        if not made:
            return
        pack = await self._placed_pack({one.digest: data for one, data in made if one.digest is not None})
        for _ in range(DELETING_WAITS_MAX):
            if await self.tools.catalog.system.renditions.finish([one for one, _ in made], pack):
                break
            await asyncio.sleep(DELETING_WAIT_SECONDS)
        for one, _ in made:
            self._forget(one.job)

    async def _placed_pack(self, contents: dict[Digest, bytes]) -> NewPack | None:
        """One pack with all of them, its row begun before it has its name."""
        if not contents:
            return None
        staged = await asyncio.to_thread(_staged_pack, self.tools.store, contents)
        with staged:
            await self.tools.catalog.system.renditions.begin_pack(staged.pack_id)
            blobs = await asyncio.to_thread(self.tools.store.place_pack, staged)
        return NewPack(staged.pack_id, staged.stored_bytes, blobs)

    # -- what somebody asked for

    async def _derive(self, job: ClaimedJob) -> None:
        started = time.monotonic()
        jobs = self.tools.catalog.system.jobs
        try:
            scope = await self._scope(job)
            source = await scope.entries.get(job.entry_id or 0)
            made = await self._outputs(job, scope, source)
            if isinstance(made, Failure):
                await self._failed(job, made, started)
                return
            await scope.derived.finish(job, made, _milliseconds(started))
        except JobTaken:
            await jobs.stopped(job, _milliseconds(started))
        except (ClaimLost, SandboxBroken, OutputRefused) as error:
            await self._failed(job, Failure(str(error), may_help=True), started)
        except NotFound:
            await self._failed(job, Failure("The file was deleted for good meanwhile."), started)
        except DatabaseUnavailable:
            raise
        except CatalogError as error:
            await self._failed(job, Failure(str(error)), started)

    async def _scope(self, job: ClaimedJob) -> TenantScope:
        tenant = await self.tools.catalog.system.tenant(job.tenant_id)
        return self.tools.catalog.tenant(tenant, Actor("system", f"OTB Cloud, for {job.asked_by}"))

    async def _failed(self, job: ClaimedJob, failure: Failure, started: float) -> None:
        jobs, milliseconds = self.tools.catalog.system.jobs, _milliseconds(started)
        if job.id in self.stopping:
            await jobs.stopped(job, milliseconds)
            return
        await jobs.refuse(job, failure.sentence, self.sandbox.log(), milliseconds, may_help=failure.may_help)

    async def _outputs(self, job: ClaimedJob, scope: TenantScope, source: Entry) -> list[Output] | Failure:
        known = await scope.derived.known(job.source.digest, job.recipe, job.version, job.parameters)
        if known is not None:
            path = derived_path(source.path, job, known_extension(job, known.path))
            return [Output(known.parameters, path, known.blob, known.blob_id)]
        tried = await self._try(job)
        if tried.failure is not None:
            return tried.failure
        return [await self._placed(job, scope, source, piece) for piece in tried.pieces]

    async def _placed(self, job: ClaimedJob, scope: TenantScope, source: Entry, piece: Piece) -> Output:
        if not EXTENSION.fullmatch(piece.extension):
            raise OutputRefused("A file of another kind was made than was agreed.")
        parameters = RECIPES[job.recipe].checked(dict(piece.parameters))
        staged = await asyncio.to_thread(_staged, self.tools.store, self.sandbox.open_piece(piece.file))
        with staged:
            facts = Claimable(staged.digest, staged.size_bytes, staged.stored_bytes, staged.crc32, staged.encoding)
            (claim,) = await scope.blobs.claim([facts])
            blob = claim.packed
            if blob is None:
                blob = await asyncio.to_thread(self.tools.store.place, staged)
        return Output(parameters, derived_path(source.path, job, piece.extension), blob, claim.blob_id)

    # -- both

    async def _try(self, job: ClaimedJob) -> Tried:
        """Have it made in the sandbox. Raises `DatabaseUnavailable` and nothing else of what can be wrong with a
        file."""
        self.current = job.id
        try:
            return await self._made(job)
        except BlobUnreadable:
            return Tried(Failure("The storage did not give the file back just now.", may_help=True))
        except (BlobDamaged, BlobMissing) as error:
            outcome = "missing" if isinstance(error, BlobMissing) else "damaged"
            await self.tools.catalog.system.record_verifications([VerificationRecord(job.source_id, outcome)])
            return Tried(Failure(_DAMAGED, is_source_damaged=True))
        except (SandboxBroken, OutputRefused) as error:
            return Tried(Failure(str(error), may_help=True))
        finally:
            self.current = 0

    async def _made(self, job: ClaimedJob) -> Tried:
        maker = Maker(self.tools.settings, self.tools.store, self.sandbox)

        def tell(percent: int) -> None:
            self.progress[job.id] = percent

        source = job.source
        while True:
            try:
                return await maker.make(job.recipe, job.parameters, source, tell, lambda: job.id in self.stopping)
            except BlobMissing:
                row = (await self.tools.catalog.system.blobs_by_digest([source.digest])).get(source.digest)
                if row is None or row.blob.location == source.location:
                    raise
                source = row.blob  # the sweep has moved it since the claim

    def _forget(self, job: ClaimedJob) -> None:
        self.progress.pop(job.id, None)
        self.stopping.discard(job.id)
        self.done(job)


def known_extension(job: ClaimedJob, path: EntryPath) -> str:
    """The extension of what was made before, as its own name says."""
    extension = split_extension(path.name)[1].decode("ascii", "replace")
    return f"-{job.parameters['first']}{extension}" if job.recipe == "pdf-pages" else extension


def _staged_pack(store: BlobStore, contents: dict[Digest, bytes]) -> StagedPack:
    with store.pack() as pack:
        for digest, data in contents.items():
            pack.add(data, digest)
        return pack.finish()


def _staged(store: BlobStore, fd: int) -> Staged:
    with os.fdopen(fd, "rb") as file:
        return store.stage(_chunks(file))


def _chunks(file: BinaryIO) -> Iterator[bytes]:
    while chunk := file.read(_CHUNK_BYTES):
        yield chunk


def _milliseconds(started: float) -> int:
    return int((time.monotonic() - started) * 1_000)
