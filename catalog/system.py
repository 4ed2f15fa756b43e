"""`SystemScope`: the unscoped way in, for signing in and for operators' tools. Its users are one grep away."""

from collections.abc import Sequence
from typing import Final

import msgspec

from cas.digest import Digest
from catalog import audit, clock
from catalog.audit_chain import AuditChains
from catalog.billing import Billing, tenant_line
from catalog.blob_rows import BLOB_COLUMNS, blob_of, digest_list, id_list
from catalog.chains import journal_tenant
from catalog.checkpoints import Checkpoints
from catalog.connections import Connections
from catalog.database import Database, Retry, Row, StatementFailed, Transaction
from catalog.derived_rows import DerivedRows
from catalog.errors import BadRequest, NotFound
from catalog.grants import Redemptions
from catalog.job_queue import JobQueue
from catalog.lapses import Lapses
from catalog.ledger import lock_ledger
from catalog.packs import drop_pack, forget_pack, give_up_pack, known_packs, unfinished_packs
from catalog.records import JournalKeeper, JournalWriter
from catalog.renditions import RenditionWork
from catalog.scrubbing import Scrubbing
from catalog.sessions import TENANT_COLUMNS, Sessions, tenant_of
from catalog.settings import Settings
from catalog.sweep import SweepRows
from catalog.sweep_packs import SweepPacks
from catalog.uploads import UploadExpiry
from catalog.usage import UsageRecords
from catalog.values import Actor, BlobRow, ScrubRun, Tenant, VerificationRecord

_SCRUB_COLUMNS: Final = "id, started_at, finished_at, last_blob_id, counts"
QUOTA_BYTES_MAX: Final = 1 << 60


class SystemScope:
    """Everything that is not one tenant's own: sign-in, tenants as billing sees them, blobs as a scrub sees them."""

    def __init__(self, database: Database, settings: Settings, journal: JournalWriter) -> None:
        self._database = database
        self._settings = settings
        self._journal = journal
        self.sessions = Sessions(database, settings)
        self.scrubbing = Scrubbing(database)
        self.derived_rows = DerivedRows(database)
        self.sweep = SweepRows(database)
        self.sweep_packs = SweepPacks(database)
        self.uploads = UploadExpiry(database)
        self.usage = UsageRecords(database)
        self.connections = Connections(database, settings, journal)
        self.billing = Billing(database, settings, journal)
        self.audit = AuditChains(database)
        self.jobs = JobQueue(database)
        self.lapses = Lapses(database)
        self.renditions = RenditionWork(database)
        self.redemptions = Redemptions(database)

    # -- tenants ----------------------------------------------------------------------------------------------------

    async def tenants(self, after: int = 0, limit: int = 500) -> list[Tenant]:
        """The next tenants after an id, in order of id."""
        return await self._tenants(" WHERE t.id > %s ORDER BY t.id LIMIT %s", after, limit)

    async def tenant_by_client(self, billing_client: str) -> Tenant:
        """The tenant of a billing client. Raises `NotFound`."""
        found = await self._tenants(" WHERE t.billing_client = %s", billing_client)
        if not found:
            raise NotFound("tenant")
        return found[0]

    async def tenant(self, tenant_id: int) -> Tenant:
        """One tenant. Raises `NotFound`."""
        found = await self._tenants(" WHERE t.id = %s", tenant_id)
        if not found:
            raise NotFound("tenant")
        return found[0]

    async def set_quota(self, tenant_id: int, quota_bytes: int | None, actor: Actor) -> None:
        """Set a tenant's quota; None for the default of the settings."""
        if quota_bytes is not None and not 0 <= quota_bytes <= QUOTA_BYTES_MAX:
            raise BadRequest(f"A quota has 0 to {QUOTA_BYTES_MAX:,} bytes.")
        detail: dict[str, object] = {"quota_bytes": quota_bytes}
        await self._change(
            "UPDATE tenant SET quota_bytes = %s WHERE id = %s", quota_bytes, tenant_id, actor, "tenant.quota", detail
        )

    async def suspend(self, tenant_id: int, actor: Actor) -> None:
        """No way in from now on: sessions and device tokens are refused with the next request. Files are kept."""
        await self._change(
            "UPDATE tenant SET status = %s WHERE id = %s", "suspended", tenant_id, actor, "tenant.suspend", {}
        )

    async def resume(self, tenant_id: int, actor: Actor) -> None:
        """Open a suspended account again."""
        await self._change(
            "UPDATE tenant SET status = %s WHERE id = %s", "active", tenant_id, actor, "tenant.resume", {}
        )

    async def _tenants(self, where: str, *params: object) -> list[Tenant]:
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT {TENANT_COLUMNS} FROM tenant t JOIN ledger l ON l.tenant_id = t.id{where}", params
            )
        return [tenant_of(row, self._settings.quota_default_bytes) for row in rows]

    async def _change(
        self, sql: str, value: object, tenant_id: int, actor: Actor, action: str, detail: dict[str, object]
    ) -> None:
        tenant = await self.tenant(tenant_id)

        async def work(tx: Transaction) -> None:
            await lock_ledger(tx, tenant)
            await tx.execute(sql, (value, tenant_id))
            await audit.append(tx, tenant_id, actor, action, tenant.label, detail)
            await journal_tenant(tx, self._journal, tenant_id, tenant.uuid, [await tenant_line(tx, tenant_id)])

        await self._database.run(work)

    def checkpoints(self, journal: JournalKeeper) -> Checkpoints:
        """What tools/journal makes checkpoints with."""
        return Checkpoints(self._database, journal)

    # -- blobs, as tools/verify goes through them ---------------------------------------------------------------------

    async def blobs_after(self, after_blob_id: int, limit: int) -> list[BlobRow]:
        """The next blob rows after an id, in order of id; rows of claims under way are left out."""
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT b.id, b.state, {BLOB_COLUMNS} FROM `blob` b"
                " WHERE b.id > %s AND b.state IN ('live', 'condemned') ORDER BY b.id LIMIT %s",
                (after_blob_id, limit),
            )
        return [BlobRow(blob_id, blob_of(*columns), state) for blob_id, state, *columns in rows]

    async def blob_by_digest(self, digest: bytes) -> BlobRow:
        """One blob's row. Raises `NotFound`."""
        async with self._database.reading() as tx:
            row = await tx.fetch_one(
                f"SELECT b.id, b.state, {BLOB_COLUMNS} FROM `blob` b WHERE b.digest = %s", (digest,)
            )
        if row is None:
            raise NotFound("blob")
        return BlobRow(row[0], blob_of(*row[2:]), row[1])

    async def blobs_by_digest(self, digests: Sequence[Digest]) -> dict[Digest, BlobRow]:
        """The rows of those digests that have one, in whatever state."""
        if not digests:
            return {}
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT b.id, b.state, {BLOB_COLUMNS} FROM `blob` b WHERE b.digest IN ({digest_list(digests)})"
            )
        found = [BlobRow(blob_id, blob_of(*columns), state) for blob_id, state, *columns in rows]
        return {row.blob.digest: row for row in found}

    async def unhealthy(self, limit: int) -> list[tuple[Digest, str]]:
        """Blobs that are known to be damaged or missing, with which of the two, in order of id."""
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT b.digest, v.outcome FROM verification v JOIN `blob` b ON b.id = v.blob_id"
                " WHERE v.outcome IN ('damaged', 'missing') ORDER BY v.outcome, v.blob_id LIMIT %s",
                (limit,),
            )
        return [(Digest(bytes(digest)), outcome) for digest, outcome in rows]

    async def take_unfinished(self, limit: int) -> list[BlobRow]:
        """Claims that were never committed, marked `deleting`. Only while no server writes to the store."""

        async def work(tx: Transaction) -> list[Row]:
            rows = await tx.fetch_all(
                f"SELECT b.id, b.state, {BLOB_COLUMNS} FROM `blob` b"
                " WHERE b.state IN ('pending', 'deleting') ORDER BY b.id LIMIT %s FOR UPDATE",
                (limit,),
            )
            for row in rows:
                await tx.execute("UPDATE `blob` SET state = 'deleting' WHERE id = %s", (row[0],))
            return rows

        rows = await self._database.run(work)
        return [BlobRow(blob_id, blob_of(*columns), "deleting") for blob_id, _, *columns in rows]

    async def forget(self, blob_ids: Sequence[int]) -> None:
        """Drop rows that are `deleting`, once their files are out of the way. A referenced row cannot be dropped."""

        async def work(tx: Transaction) -> None:
            for blob_id in sorted(blob_ids):
                await tx.execute("DELETE FROM `blob` WHERE id = %s AND state = 'deleting'", (blob_id,))

        await self._database.run(work)

    async def known_packs(self, pack_ids: Sequence[str]) -> set[str]:
        """Those of the packs (32 hex digits each) that have a row."""
        return await known_packs(self._database, pack_ids)

    async def unfinished_packs(self, limit: int) -> list[str]:
        """Packs that were begun and never committed: no blob lies in them. Only while no server writes to the store."""
        return await unfinished_packs(self._database, limit)

    async def drop_pack(self, pack_id: str) -> None:
        """Forget an unfinished pack, once its file is out of the way."""
        await drop_pack(self._database, pack_id)

    async def give_up_pack(self, pack_id: str) -> bool:
        """Whether the pack was never committed; nothing can commit it any more then, and its file may go."""
        return await give_up_pack(self._database, pack_id)

    async def forget_pack(self, pack_id: str) -> None:
        """Forget a pack that was given up, once its file is out of the way."""
        await forget_pack(self._database, pack_id)

    async def record_verifications(self, outcomes: Sequence[VerificationRecord]) -> None:
        """Keep what re-reading found; of blobs that were swept meanwhile nothing. A damaged or missing blob counts as
        missing from then on, so that it heals."""
        now = clock.to_db(clock.now())

        async def work(tx: Transaction) -> None:
            ids = id_list(outcome.blob_id for outcome in outcomes)
            there = {row[0] for row in await tx.fetch_all(f"SELECT id FROM `blob` WHERE id IN ({ids})")}
            kept = sorted((o for o in outcomes if o.blob_id in there), key=lambda o: o.blob_id)
            try:
                await tx.execute_many(
                    "INSERT INTO verification (blob_id, verified_at, outcome) VALUES (%s, %s, %s)"
                    " ON DUPLICATE KEY UPDATE verified_at = VALUES(verified_at), outcome = VALUES(outcome)",
                    [(o.blob_id, now, o.outcome) for o in kept],
                )
            except StatementFailed as e:
                raise Retry(str(e)) from e  # one was swept between the two statements

        if outcomes:
            await self._database.run(work)

    async def start_scrub(self, selection: str | None = None) -> int:
        """Begin a run of tools/verify over everything, or over a selection that the words name; returns its id."""
        now = clock.to_db(clock.now())
        async with self._database.reading() as tx:
            return await tx.insert(
                "INSERT INTO scrub_run (started_at, updated_at, counts, selection) VALUES (%s, %s, '{}', %s)",
                (now, now, selection),
            )

    async def checkpoint_scrub(self, run_id: int, last_blob_id: int, counts: dict[str, int]) -> None:
        """Keep how far a run has come."""
        async with self._database.reading() as tx:
            await tx.execute(
                "UPDATE scrub_run SET updated_at = %s, last_blob_id = %s, counts = %s WHERE id = %s",
                (clock.to_db(clock.now()), last_blob_id, msgspec.json.encode(counts).decode(), run_id),
            )

    async def finish_scrub(self, run_id: int) -> None:
        """The run went through to the end."""
        now = clock.to_db(clock.now())
        async with self._database.reading() as tx:
            await tx.execute("UPDATE scrub_run SET updated_at = %s, finished_at = %s WHERE id = %s", (now, now, run_id))

    async def unfinished_scrub(self) -> ScrubRun | None:
        """The newest run over everything, if it was interrupted."""
        async with self._database.reading() as tx:
            row = await tx.fetch_one(
                f"SELECT {_SCRUB_COLUMNS} FROM scrub_run WHERE selection IS NULL ORDER BY id DESC LIMIT 1"
            )
        return None if row is None or row[2] is not None else _scrub(row)


def _scrub(row: Row) -> ScrubRun:
    run_id, started_at, finished_at, last_blob_id, counts = row
    ended = None if finished_at is None else clock.from_db(finished_at)
    return ScrubRun(
        run_id, clock.from_db(started_at), ended, last_blob_id, msgspec.json.decode(counts, type=dict[str, int])
    )  # fmt: skip
