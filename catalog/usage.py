"""Usage: what an account's bytes are, by device and kind, what it keeps only once, and how much it was day by day.

What always holds: everything counted is the tenant's own. “Only once” is what its own files share with each other;
nothing here depends on what anybody else stores. A breakdown goes through every row of the tenant, so it is kept and
made again only when something changed, at most every few minutes, and for large accounts only by tools/usage.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Final

import msgspec

from catalog import clock
from catalog.database import Database, Row, Transaction
from catalog.scope import Scope
from catalog.values import MediaKind, Tenant

FRESH_SECONDS: Final = 300
"""So long a breakdown is shown though something changed since."""
FILES_COUNTED_AT_ONCE: Final = 100_000
"""An account with more live files is counted by tools/usage alone, once a day."""
DAYS_MAX: Final = 366


class KindShare(msgspec.Struct, frozen=True):
    """Live files of one kind on one device."""

    kind: MediaKind
    files: int
    size_bytes: int


class DeviceShare(msgspec.Struct, frozen=True):
    """What one device has: live files by kind, what lies in the hold, and replaced versions."""

    id: int
    name: str
    kinds: list[KindShare]
    held_bytes: int = 0
    version_bytes: int = 0

    @property
    def live_bytes(self) -> int:
        return sum(share.size_bytes for share in self.kinds)

    @property
    def files(self) -> int:
        return sum(share.files for share in self.kinds)


class Breakdown(msgspec.Struct, frozen=True):
    """`unique_bytes`: what is left of all bytes when each content counts once within the account; `shared_bytes`: of
    live content that two or more of its devices have."""

    taken_at: datetime
    devices: list[DeviceShare]
    unique_bytes: int
    shared_bytes: int

    @property
    def live_bytes(self) -> int:
        return sum(device.live_bytes for device in self.devices)

    @property
    def held_bytes(self) -> int:
        return sum(device.held_bytes for device in self.devices)

    @property
    def version_bytes(self) -> int:
        return sum(device.version_bytes for device in self.devices)

    @property
    def repeated_bytes(self) -> int:
        """What the account's files have twice or more, and is kept once."""
        return max(0, self.live_bytes + self.held_bytes + self.version_bytes - self.unique_bytes)

    def kinds(self) -> list[KindShare]:
        """All devices together, the largest first."""
        together = [
            KindShare(
                kind,
                sum(share.files for device in self.devices for share in device.kinds if share.kind == kind),
                sum(share.size_bytes for device in self.devices for share in device.kinds if share.kind == kind),
            )
            for kind in MediaKind
        ]
        return sorted((share for share in together if share.files), key=lambda share: -share.size_bytes)


class UsedDay(msgspec.Struct, frozen=True):
    """The most that was counted on a day, in UTC."""

    day: date
    logical_bytes: int
    file_count: int
    quota_bytes: int


class Usages:
    """What the tenant uses. For the account's own people alone: a device token or staff see no other devices."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def breakdown(self) -> Breakdown | None:
        """The newest; None for a large account that tools/usage has not counted yet."""
        self._scope.require_person("see what the account uses")
        async with self._scope.database.reading() as tx:
            kept = await _kept(tx, self._scope.tenant.id)
            ledger, files = await _state(tx, self._scope.tenant.id)
        if kept is not None and (kept[1] == ledger or _age_seconds(kept[0]) < FRESH_SECONDS):
            return kept[0]
        if files > FILES_COUNTED_AT_ONCE:
            return None if kept is None else kept[0]
        return await count(self._scope.database, self._scope.tenant.id)

    async def days(self, first: date, last: date) -> list[UsedDay]:
        """What was recorded, oldest first, at most a year."""
        self._scope.require_person("see what the account uses")
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT day, logical_bytes, file_count, quota_bytes FROM usage_day WHERE tenant_id = %s"
                " AND day BETWEEN %s AND %s ORDER BY day LIMIT %s",
                (self._scope.tenant.id, first, last, DAYS_MAX),
            )
        return [UsedDay(*row) for row in rows]


class UsageRecords:
    """The unscoped side, for tools/usage: recording every tenant's day, and reading days for billing."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def record(self, tenant: Tenant) -> UsedDay:
        """Write down what the tenant uses now, and count its breakdown anew where something changed."""
        async with self._database.reading() as tx:
            kept = await _kept(tx, tenant.id)
            ledger, files = await _state(tx, tenant.id)
            now = clock.now()
            used = UsedDay(now.date(), ledger[1], files, tenant.quota_bytes)
            await tx.execute(
                "INSERT INTO usage_day (tenant_id, day, logical_bytes, file_count, quota_bytes, recorded_at)"
                " VALUES (%s, %s, %s, %s, %s, %s) ON DUPLICATE KEY UPDATE"
                " logical_bytes = GREATEST(logical_bytes, VALUES(logical_bytes)), file_count = VALUES(file_count),"
                " quota_bytes = VALUES(quota_bytes), recorded_at = VALUES(recorded_at)",
                (tenant.id, used.day, used.logical_bytes, used.file_count, used.quota_bytes, clock.to_db(now)),
            )
        if kept is None or kept[1] != ledger:
            await count(self._database, tenant.id)
        return used

    async def of_day(self, day: date, after: str = "", limit: int = 500) -> list[tuple[str, UsedDay]]:
        """Billing client and what it used on that day, in order of client, after one of them."""
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT t.billing_client, u.day, u.logical_bytes, u.file_count, u.quota_bytes FROM usage_day u"
                " JOIN tenant t ON t.id = u.tenant_id WHERE u.day = %s AND t.billing_client > %s"
                " ORDER BY t.billing_client LIMIT %s",
                (day, after, limit),
            )
        return [(row[0], UsedDay(*row[1:])) for row in rows]


async def count(database: Database, tenant_id: int) -> Breakdown:
    """Go through the tenant's rows, and keep what was counted."""
    async with database.reading() as tx:
        ledger, _ = await _state(tx, tenant_id)
        found = Breakdown(
            clock.now(), await _devices(tx, tenant_id), await _unique(tx, tenant_id), await _shared(tx, tenant_id)
        )  # fmt: skip
        await tx.execute(
            "REPLACE INTO usage_breakdown (tenant_id, taken_at, next_id, used_bytes, detail)"
            " VALUES (%s, %s, %s, %s, %s)",
            (tenant_id, clock.to_db(found.taken_at), *ledger, msgspec.json.encode(found).decode()),
        )
    return found


async def _kept(tx: Transaction, tenant_id: int) -> tuple[Breakdown, tuple[int, int]] | None:
    row = await tx.fetch_one(
        "SELECT detail, next_id, used_bytes FROM usage_breakdown WHERE tenant_id = %s", (tenant_id,)
    )
    return None if row is None else (msgspec.json.decode(row[0], type=Breakdown), (row[1], row[2]))


async def _state(tx: Transaction, tenant_id: int) -> tuple[tuple[int, int], int]:
    """The ledger's next id and counted bytes, and how many live files there are."""
    ledger = await tx.fetch_one(
        "SELECT next_id, used_bytes + leased_bytes FROM ledger WHERE tenant_id = %s", (tenant_id,)
    )
    files = await tx.fetch_one(
        "SELECT COALESCE(SUM(file_count), 0) FROM device WHERE tenant_id = %s AND removed_key = 0", (tenant_id,)
    )
    return (int(ledger[0]), int(ledger[1])) if ledger else (0, 0), int(files[0]) if files else 0


async def _devices(tx: Transaction, tenant_id: int) -> list[DeviceShare]:
    devices = await tx.fetch_all(
        "SELECT id, name FROM device WHERE tenant_id = %s AND removed_key = 0 ORDER BY name", (tenant_id,)
    )
    rows = await tx.fetch_all(
        "SELECT device_id, IFNULL(removal, 'live'), media_kind, COUNT(*), SUM(size_bytes) FROM entry"
        " WHERE tenant_id = %s AND kind = 'file' AND (removal IS NULL OR removal IN ('deleted', 'replaced'))"
        " GROUP BY device_id, removal, media_kind",
        (tenant_id,),
    )
    return [_share(device_id, name, [row for row in rows if row[0] == device_id]) for device_id, name in devices]


def _share(device_id: int, name: str, rows: Sequence[Row]) -> DeviceShare:
    def bytes_of(removal: str) -> int:
        return sum(int(row[4]) for row in rows if row[1] == removal)

    kinds = [KindShare(MediaKind(row[2]), int(row[3]), int(row[4])) for row in rows if row[1] == "live"]
    return DeviceShare(device_id, name, kinds, bytes_of("deleted"), bytes_of("replaced"))


async def _unique(tx: Transaction, tenant_id: int) -> int:
    """Each content that the tenant's entries name, once."""
    row = await tx.fetch_one(
        "SELECT COALESCE(SUM(b.size_bytes), 0) FROM possession p JOIN `blob` b ON b.id = p.blob_id"
        " WHERE p.tenant_id = %s AND p.leased_until IS NULL",
        (tenant_id,),
    )
    return int(row[0]) if row else 0


async def _shared(tx: Transaction, tenant_id: int) -> int:
    row = await tx.fetch_one(
        "SELECT COALESCE(SUM(size_bytes), 0) FROM (SELECT MIN(size_bytes) AS size_bytes FROM entry"
        " WHERE tenant_id = %s AND kind = 'file' AND removed_seq IS NULL GROUP BY blob_id"
        " HAVING MIN(device_id) <> MAX(device_id)) AS shared",
        (tenant_id,),
    )
    return int(row[0]) if row else 0


def _age_seconds(breakdown: Breakdown) -> float:
    return (clock.now() - breakdown.taken_at) / timedelta(seconds=1)
