"""Thumbnails, previews and facts: finding the files that need them, writing what was made, and reading it.

What always holds: they are the tenant's own, though two tenants have the same file: whether somebody else's thumbnail
is there already can be told by nobody. A file's facts and its thumbnail come in one transaction with the note that
tells the search index.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import groupby
from typing import Final
from zoneinfo import ZoneInfo

from cas.digest import Digest
from catalog import clock
from catalog.blob_rows import BLOB_COLUMNS, blob_of, id_list
from catalog.candidates import enqueue
from catalog.database import Database, Transaction
from catalog.errors import NotFound
from catalog.job_queue import count, hold, write_no_rendition
from catalog.job_values import ClaimedJob, Facts, Outcome, Rendition, RenditionState
from catalog.packs import NewPack, begin_pack, receive_pack
from catalog.queueing import PREVIEWS, THUMBNAILS, WANTED_NOW, queue_renditions
from catalog.recipes import PREVIEW, THUMBNAIL, Recipe, SourceKind
from catalog.scope import Scope

QUEUED_MAX: Final = 2_000
"""Renditions of one tenant that wait. What lies beyond is found again from its manifests when there is room."""
_LOOKED_AT_ONCE: Final = 500
_DEVICES_AT_ONCE: Final = 50

_MEDIA_COLUMNS: Final = (
    "kind, media_type, width, height, duration_ms, pages, taken_ns, taken_source, taken_has_offset, camera, latitude,"
    " longitude"
)


@dataclass(frozen=True, slots=True)
class Made:
    """What a worker made of a rendition's job: `digest` in the pack that is stored along, or why there is none."""

    job: ClaimedJob
    facts: Facts | None
    digest: Digest | None
    media_type: str | None
    failure: str
    log: str
    milliseconds: int


class RenditionWork:
    """Renditions as workers see them, of all tenants."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def look_for_new_files(self) -> int:
        """Queue the thumbnails of files that manifests have added since the last look; returns how many files were
        seen.

        Reads nothing of a device whose manifests were all seen, so it costs next to nothing where nothing happens.
        """
        async with self._database.reading() as tx:
            devices = await tx.fetch_all(
                "SELECT h.tenant_id, h.device_id FROM journal_head h JOIN device d ON d.tenant_id = h.tenant_id"
                " AND d.id = h.device_id LEFT JOIN media_mark m ON m.tenant_id = h.tenant_id AND"
                " m.device_id = h.device_id"
                " WHERE h.manifest_sequence > IFNULL(m.sequence, 0) ORDER BY RAND() LIMIT %s",
                (_DEVICES_AT_ONCE,),
            )
        return sum([await self._look(tenant_id, device_id) for tenant_id, device_id in devices])

    async def _look(self, tenant_id: int, device_id: int) -> int:
        async def work(tx: Transaction) -> int:
            await tx.execute(
                "INSERT INTO media_mark (tenant_id, device_id, sequence, entry_id) VALUES (%s, %s, 0, 0)"
                " ON DUPLICATE KEY UPDATE sequence = sequence",
                (tenant_id, device_id),
            )
            mark = await tx.fetch_one(
                "SELECT sequence, entry_id FROM media_mark WHERE tenant_id = %s AND device_id = %s FOR"
                " UPDATE SKIP LOCKED",
                (tenant_id, device_id),
            )
            if mark is None or not await _has_room(tx, tenant_id):
                return 0
            return await _look_on(tx, tenant_id, device_id, *mark)

        return await self._database.run(work)

    async def begin_pack(self, pack_id: str) -> None:
        """The row of the pack that renditions are being written to; before it is placed."""
        await begin_pack(self._database, pack_id)

    async def finish(self, made: Sequence[Made], pack: NewPack | None) -> bool:
        """Write what was made, and end its jobs. Claims that were lost meanwhile, and sources that the tenant let go
        of, are passed over. False while the sweep deletes one of the blobs: nothing was written then, try again."""

        async def work(tx: Transaction) -> bool:
            held = [one for one in sorted(made, key=_key) if await hold(tx, one.job)]
            ids: dict[Digest, int] = {}
            if pack is not None:
                received = await receive_pack(tx, pack)
                if received is None:
                    return False
                ids = received.ids
            for tenant_id, some in groupby(held, key=lambda one: one.job.tenant_id):
                await _finish(tx, tenant_id, list(some), ids)
            for (recipe, outcome), some in groupby(sorted(held, key=_outcome), key=_outcome):
                await count(tx, recipe, outcome, [one.milliseconds for one in some])
            return True

        return await self._database.run(work)


class Renditions:
    """A tenant's thumbnails, previews and facts."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def find(self, blob_digest: Digest, recipe: Recipe) -> Rendition | RenditionState:
        """The rendition of a blob that one of the tenant's entries names. Where it is still to be made it goes before
        everything that nobody waits for; one whose stored copy is known to be damaged is made again. Of a damaged
        source nothing is made until it is whole again."""
        tenant_id = self._scope.tenant.id
        async with self._scope.database.reading() as tx:
            row = await tx.fetch_one(
                "SELECT s.id, sv.blob_id IS NULL, r.source_id IS NOT NULL, r.media_type, bv.blob_id IS NULL,"
                f" {BLOB_COLUMNS} FROM `blob` s JOIN possession p ON p.tenant_id = %s AND p.blob_id = s.id"
                " LEFT JOIN verification sv ON sv.blob_id = s.id AND sv.outcome <> 'good'"
                " LEFT JOIN rendition r ON r.tenant_id = p.tenant_id AND r.source_id = s.id AND r.recipe = %s"
                " LEFT JOIN `blob` b ON b.id = r.derived_id"
                " LEFT JOIN verification bv ON bv.blob_id = b.id AND bv.outcome <> 'good' WHERE s.digest = %s",
                (tenant_id, recipe.name, blob_digest.raw),
            )
        if row is None:
            return RenditionState.NONE
        source_id, is_source_whole, is_decided, media_type, is_whole, *blob = row
        if media_type is not None and is_whole:
            return Rendition(blob_of(*blob), media_type)
        if not is_source_whole or (is_decided and media_type is None):
            return RenditionState.NONE
        await self._scope.database.run(
            lambda tx: queue_renditions(tx, tenant_id, recipe, [source_id], WANTED_NOW)
        )  # fmt: skip
        return RenditionState.COMING

    async def facts(self, digests: Collection[Digest]) -> dict[Digest, Facts]:
        """What is known of these blobs; what was not read yet is left out."""
        found: dict[Digest, Facts] = {}
        wanted = [digest.raw for digest in dict.fromkeys(digests)]
        async with self._scope.database.reading() as tx:
            for start in range(0, len(wanted), _LOOKED_AT_ONCE):
                part = wanted[start : start + _LOOKED_AT_ONCE]
                rows = await tx.fetch_all(
                    f"SELECT b.digest, {_prefixed(_MEDIA_COLUMNS)} FROM media m JOIN `blob` b ON b.id = m.blob_id"
                    f" WHERE m.tenant_id = %s AND b.digest IN ({','.join(['%s'] * len(part))})",
                    (self._scope.tenant.id, *part),
                )
                found.update({Digest(bytes(digest)): _facts(columns) for digest, *columns in rows})
        return found

    async def why_none(self, blob_digest: Digest, recipe: Recipe) -> str:
        """Why there is no such rendition. Raises `NotFound` if there is one, or none was tried."""
        async with self._scope.database.reading() as tx:
            row = await tx.fetch_one(
                "SELECT r.failure FROM rendition r JOIN `blob` s ON s.id = r.source_id WHERE r.tenant_id = %s"
                " AND r.recipe = %s AND s.digest = %s AND r.failure IS NOT NULL",
                (self._scope.tenant.id, recipe.name, blob_digest.raw),
            )
        if row is None:
            raise NotFound(recipe.name)
        return str(row[0])


async def _has_room(tx: Transaction, tenant_id: int) -> bool:
    row = await tx.fetch_one(
        "SELECT COUNT(*) FROM job WHERE tenant_id = %s AND rendition_of IS NOT NULL", (tenant_id,)
    )  # fmt: skip
    return row is not None and row[0] + _LOOKED_AT_ONCE <= QUEUED_MAX


async def _look_on(tx: Transaction, tenant_id: int, device_id: int, sequence: int, entry_id: int) -> int:
    """The next entries beyond the mark. `sequence` is wholly seen, and of the manifest after it what is up to
    `entry_id`."""
    head = await tx.fetch_one(
        "SELECT manifest_sequence FROM journal_head WHERE tenant_id = %s AND device_id = %s", (tenant_id, device_id)
    )
    rows = await tx.fetch_all(
        "SELECT added_seq, id, blob_id, kind = 'file' AND size_bytes > 0 AND removed_seq IS NULL FROM entry"
        " WHERE tenant_id = %s AND device_id = %s AND added_seq > %s AND (added_seq > %s OR id > %s)"
        " ORDER BY added_seq, id LIMIT %s",
        (tenant_id, device_id, sequence, sequence + 1, entry_id, _LOOKED_AT_ONCE),
    )
    sources = sorted({row[2] for row in rows if row[3]})
    await _queue_or_note(tx, tenant_id, sources)
    stands = (rows[-1][0] - 1, rows[-1][1]) if len(rows) == _LOOKED_AT_ONCE else (head[0] if head else sequence, 0)
    await tx.execute(
        "UPDATE media_mark SET sequence = %s, entry_id = %s WHERE tenant_id = %s AND device_id = %s",
        (*stands, tenant_id, device_id),
    )
    return len(sources)


async def _queue_or_note(tx: Transaction, tenant_id: int, sources: Sequence[int]) -> None:
    if not sources:
        return
    known = await tx.fetch_all(
        f"SELECT blob_id, taken_ns FROM media WHERE tenant_id = %s AND blob_id IN ({id_list(sources)})", (tenant_id,)
    )
    await queue_renditions(
        tx, tenant_id, THUMBNAIL, sorted(set(sources) - {row[0] for row in known}), THUMBNAILS
    )  # fmt: skip
    dated = {blob_id: taken_ns for blob_id, taken_ns in known if taken_ns is not None}
    if dated:
        await _date_entries(tx, tenant_id, dated)
        await _note(tx, tenant_id, sorted(dated))


async def _finish(tx: Transaction, tenant_id: int, made: Sequence[Made], ids: Mapping[Digest, int]) -> None:
    """Of one tenant: the facts, the renditions or why there are none, the jobs' end, and what is to be made next."""
    await _write_facts(tx, tenant_id, [(one.job.source_id, one.facts) for one in made if one.facts is not None])
    new = [(one.job, ids[one.digest], one.media_type) for one in made if one.digest is not None]
    await _let_go_of_others(tx, tenant_id, {(job.source_id, job.recipe): derived_id for job, derived_id, _ in new})
    await tx.execute_many(
        "REPLACE INTO rendition (tenant_id, source_id, recipe, version, derived_id, media_type, made_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, UTC_TIMESTAMP(6))",
        [(tenant_id, job.source_id, job.recipe, job.version, derived_id, form) for job, derived_id, form in new],
    )
    for one in made:
        if one.digest is None:
            await write_no_rendition(tx, one.job, one.failure, one.log)
    if new:
        jobs = id_list(job.id for job, _, _ in new)
        await tx.execute(f"DELETE FROM job WHERE tenant_id = %s AND id IN ({jobs})", (tenant_id,))
    previews = [one.job.source_id for one in made if one.job.recipe == THUMBNAIL.name and _is_shown(one.facts)]
    await queue_renditions(tx, tenant_id, PREVIEW, previews, PREVIEWS)


def _is_shown(facts: Facts | None) -> bool:
    return facts is not None and facts.kind is not SourceKind.OTHER


async def _let_go_of_others(tx: Transaction, tenant_id: int, new: Mapping[tuple[int, str], int]) -> None:
    """Where a rendition is made again and comes out otherwise, nothing names the earlier one any more. `new`: source
    and recipe → derived blob."""
    if not new:
        return
    rows = await tx.fetch_all(
        "SELECT source_id, recipe, derived_id FROM rendition WHERE tenant_id = %s AND derived_id IS NOT NULL"
        f" AND source_id IN ({id_list(sorted({source_id for source_id, _ in new}))})",
        (tenant_id,),
    )
    await enqueue(
        tx, [earlier for source_id, recipe, earlier in rows if new.get((source_id, recipe), earlier) != earlier]
    )


async def _write_facts(tx: Transaction, tenant_id: int, facts: Sequence[tuple[int, Facts]]) -> None:
    """Blob id and facts of each."""
    if not facts:
        return
    row = await tx.fetch_one("SELECT time_zone FROM tenant WHERE id = %s", (tenant_id,))
    zone = ZoneInfo(row[0] if row else "UTC")
    taken = {blob_id: _placed(known, zone) for blob_id, known in facts}
    await tx.execute_many(
        f"REPLACE INTO media (tenant_id, blob_id, {_MEDIA_COLUMNS}, read_at)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, UTC_TIMESTAMP(6))",
        [(tenant_id, blob_id, *_media_columns(known, taken[blob_id])) for blob_id, known in facts],
    )
    await _date_entries(
        tx, tenant_id, {blob_id: taken_ns for blob_id, taken_ns in taken.items() if taken_ns is not None}
    )
    await _note(tx, tenant_id, sorted(taken))


def _media_columns(facts: Facts, taken_ns: int | None) -> tuple[object, ...]:
    return (
        *(str(facts.kind), facts.media_type, facts.width, facts.height, facts.duration_ms),
        *(facts.pages, taken_ns, facts.taken_source, None if taken_ns is None else facts.taken_has_offset),
        *(facts.camera, facts.latitude, facts.longitude),
    )


def _placed(facts: Facts, zone: ZoneInfo) -> int | None:
    """The moment it was taken; a time without an offset is one of the tenant's time zone, so that the day is the one
    that the camera's clock showed."""
    if facts.taken_ns is None or facts.taken_has_offset:
        return facts.taken_ns
    seconds, rest = divmod(facts.taken_ns, clock.NANOSECONDS)
    try:
        local = datetime.fromtimestamp(seconds, UTC).replace(tzinfo=zone)
        return int(local.timestamp()) * clock.NANOSECONDS + rest
    except (OverflowError, ValueError, OSError):
        return None


async def _date_entries(tx: Transaction, tenant_id: int, taken: Mapping[int, int]) -> None:
    for blob_id, taken_ns in sorted(taken.items()):
        await tx.execute(
            "UPDATE entry SET taken_ns = %s WHERE tenant_id = %s AND blob_id = %s AND taken_ns IS NULL",
            (taken_ns, tenant_id, blob_id),
        )


async def _note(tx: Transaction, tenant_id: int, blob_ids: Sequence[int]) -> None:
    """The head's row is locked until the commit, so whoever reads a number has read all before it."""
    await tx.execute(
        "INSERT INTO media_head (tenant_id, seq) VALUES (%s, %s) ON DUPLICATE KEY UPDATE seq = seq + VALUES(seq)",
        (tenant_id, len(blob_ids)),
    )
    row = await tx.fetch_one("SELECT seq FROM media_head WHERE tenant_id = %s FOR UPDATE", (tenant_id,))
    first = (row[0] if row else 0) - len(blob_ids) + 1
    await tx.execute_many(
        "INSERT INTO media_note (tenant_id, seq, blob_id) VALUES (%s, %s, %s)",
        [(tenant_id, first + number, blob_id) for number, blob_id in enumerate(blob_ids)],
    )


def _facts(columns: Sequence[object]) -> Facts:
    kind, media_type, width, height, duration, pages, taken, source, has_offset, camera, latitude, longitude = columns
    return Facts(
        SourceKind(str(kind)), str(media_type), _whole(width), _whole(height), _whole(duration), _whole(pages),
        _whole(taken), None if source is None else str(source), bool(has_offset), None if camera is None else
        str(camera), None if latitude is None else float(str(latitude)), None if longitude is None else
        float(str(longitude)), )  # fmt: skip


def _whole(value: object) -> int | None:
    return value if isinstance(value, int) else None


def _prefixed(columns: str) -> str:
    return ", ".join(f"m.{name.strip()}" for name in columns.split(","))


def _key(made: Made) -> tuple[int, int]:
    return made.job.tenant_id, made.job.id


def _outcome(made: Made) -> tuple[str, Outcome]:
    return made.job.recipe, Outcome.DONE if made.digest else Outcome.FAILED
