"""Devices: what customers name their computers and phones, with source directories and tokens."""

import hashlib
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final

from catalog import audit, clock, records
from catalog.chains import create_head, journal_tenant
from catalog.database import DuplicateKey, Row, Transaction
from catalog.errors import BadRequest, NameTaken, NotEmpty, NotFound, TooMany
from catalog.ledger import Ledger, lock_ledger
from catalog.scope import Scope
from catalog.values import Area, Device, DeviceKind, DeviceToken

DEVICES_MAX: Final = 100
TOKENS_MAX: Final = 50
SOURCE_DIRECTORIES_MAX: Final = 100
SOURCE_CHARACTERS_MAX: Final = 1_024
NAME_CHARACTERS_MAX: Final = 100

_COLUMNS: Final = "id, name, kind, created_at, last_upload_at, file_count, size_bytes"


def token_hash(token: str) -> bytes:
    """What is kept of a token: its SHA-256. A random token of 256 bits needs no salt."""
    return hashlib.sha256(token.encode()).digest()


async def insert_token(
    tx: Transaction, tenant_id: int, device_id: int, label: str
) -> tuple[int, str, records.TokenLine]:  # fmt: skip
    """(id, token, line) of a new token, under the ledger's lock; the caller gives the line to the tenant's chain at the
    end of its change. Raises `TooMany`."""
    await check_token_room(tx, tenant_id, device_id)
    token, now = "otbd_" + secrets.token_urlsafe(32), clock.now()
    token_id = await tx.insert(
        "INSERT INTO device_token (tenant_id, device_id, token_hash, label, created_at) VALUES (%s, %s, %s, %s, %s)",
        (tenant_id, device_id, token_hash(token), label, clock.to_db(now)),
    )
    return token_id, token, records.TokenLine(token_id, device_id, token_hash(token), label, now)


async def check_token_room(tx: Transaction, tenant_id: int, device_id: int) -> None:
    """Raise `TooMany` where the device has all the tokens it may have."""
    count = await tx.fetch_one(
        "SELECT COUNT(*) FROM device_token WHERE tenant_id = %s AND device_id = %s AND revoked_at IS NULL",
        (tenant_id, device_id),
    )
    if count and count[0] >= TOKENS_MAX:
        raise TooMany(TOKENS_MAX, "tokens of one device")


class Devices:
    """The tenant's devices. Making, changing and removing them, and their tokens, needs a signed-in person."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def all(self) -> list[Device]:
        """Every device that this scope reaches, by name."""
        async with self._scope.database.reading() as tx:
            return await self._select(tx, self._scope.within("id"))

    async def get(self, device_id: int) -> Device:
        """One device. Raises `NotFound`."""
        self._scope.reach(device_id)
        async with self._scope.database.reading() as tx:
            return await self.one(tx, device_id)

    async def create(self, name: str, kind: DeviceKind, source_directories: Sequence[str] = ()) -> Device:
        """A new, empty device. Raises NameTaken, BadRequest, TooMany."""
        self._scope.require_person("create devices")
        name, sources = checked_name(name), _checked_sources(source_directories)

        async def work(tx: Transaction) -> Device:
            ledger = await lock_ledger(tx, self._scope.tenant)
            device, line = await self.make(tx, ledger, name, kind, sources)
            await self.journal(tx, line)
            return device

        return await self._guarded(work, name)

    async def make(
        self, tx: Transaction, ledger: Ledger, name: str, kind: DeviceKind, sources: Sequence[str]
    ) -> tuple[Device, records.DeviceLine]:
        """A new device as a part of a larger change, with the line that the change gives to `journal` at its end.

        Name and sources are checked ones. Raises DuplicateKey (the name), TooMany.
        """
        count = await tx.fetch_one(
            "SELECT COUNT(*) FROM device WHERE tenant_id = %s AND removed_key = 0", (self._scope.tenant.id,)
        )
        if count and count[0] >= DEVICES_MAX:
            raise TooMany(DEVICES_MAX, "devices")
        device_id = await self._insert(tx, ledger, name, kind)
        await self._store_sources(tx, device_id, sources)
        roots = await self._make_roots(tx, ledger, device_id)
        await ledger.store(tx)
        device = await self.one(tx, device_id)
        await self._audit(tx, "device.create", device)
        return device, self._line(device, roots)

    async def update(
        self,
        device_id: int,
        *,
        name: str | None = None,
        kind: DeviceKind | None = None,
        source_directories: Sequence[str] | None = None,
    ) -> Device:
        """Change what is given. Raises NotFound, NameTaken, BadRequest."""
        self._scope.require_person("change devices")
        wanted = None if name is None else checked_name(name)
        sources = None if source_directories is None else _checked_sources(source_directories)

        async def work(tx: Transaction) -> Device:
            await lock_ledger(tx, self._scope.tenant)
            before = await self.one(tx, device_id)
            await tx.execute(
                "UPDATE device SET name = %s, kind = %s WHERE tenant_id = %s AND id = %s",
                (wanted or before.name, str(kind or before.kind), self._scope.tenant.id, device_id),
            )
            if sources is not None:
                await self._store_sources(tx, device_id, sources)
            device = await self.one(tx, device_id)
            if device != before:
                await self._audit(tx, "device.change", device)
                await self.journal(tx, self._line(device, await self._roots(tx, device_id)))
            return device

        return await self._guarded(work, wanted or "")

    async def remove(self, device_id: int) -> None:
        """Remove an empty device: nothing live and nothing in the hold. Raises NotFound, NotEmpty."""
        self._scope.require_person("remove devices")

        async def work(tx: Transaction) -> None:
            await lock_ledger(tx, self._scope.tenant)
            device = await self.one(tx, device_id)
            await self._require_empty(tx, device)
            now = clock.now()
            await tx.execute(
                "UPDATE device SET removed_at = %s, removed_key = id WHERE tenant_id = %s AND id = %s",
                (clock.to_db(now), self._scope.tenant.id, device_id),
            )
            await tx.execute(
                "UPDATE device_token SET revoked_at = %s"
                " WHERE tenant_id = %s AND device_id = %s AND revoked_at IS NULL",
                (clock.to_db(now), self._scope.tenant.id, device_id),
            )
            await self._audit(tx, "device.remove", device)
            await self.journal(tx, records.DeviceRemovedLine(device_id, now))

        await self._scope.database.run(work)

    async def tokens(self, device_id: int) -> list[DeviceToken]:
        """The device's tokens that still work, newest first; never the tokens themselves."""
        self._scope.require_person("see device tokens")
        async with self._scope.database.reading() as tx:
            await self.one(tx, device_id)
            rows = await tx.fetch_all(
                "SELECT id, label, created_at, last_used_at FROM device_token"
                " WHERE tenant_id = %s AND device_id = %s AND revoked_at IS NULL ORDER BY id DESC",
                (self._scope.tenant.id, device_id),
            )
        return [
            DeviceToken(token_id, label, clock.from_db(created), None if used is None else clock.from_db(used))
            for token_id, label, created, used in rows
        ]

    async def create_token(self, device_id: int, label: str) -> tuple[int, str]:
        """(id, token): the token is shown this once; its hash is kept."""
        self._scope.require_person("make device tokens")
        label = label.strip() or "token"
        if len(label) > NAME_CHARACTERS_MAX:
            raise BadRequest(f"A label has at most {NAME_CHARACTERS_MAX} characters. Shorten it.")

        async def work(tx: Transaction) -> tuple[int, str]:
            await lock_ledger(tx, self._scope.tenant)
            device = await self.one(tx, device_id)
            token_id, token, line = await insert_token(tx, self._scope.tenant.id, device_id, label)
            await self._audit(tx, "token.create", device, {"token": token_id, "label": label})
            await self.journal(tx, line)
            return token_id, token

        return await self._scope.database.run(work)

    async def revoke_token(self, device_id: int, token_id: int) -> None:
        """The token stops working with the next request. Raises `NotFound`."""
        self._scope.require_person("revoke device tokens")

        async def work(tx: Transaction) -> None:
            await lock_ledger(tx, self._scope.tenant)
            device, now = await self.one(tx, device_id), clock.now()
            changed = await tx.execute(
                "UPDATE device_token SET revoked_at = %s"
                " WHERE tenant_id = %s AND device_id = %s AND id = %s AND revoked_at IS NULL",
                (clock.to_db(now), self._scope.tenant.id, device_id, token_id),
            )
            if not changed:
                raise NotFound("token")
            await self._audit(tx, "token.revoke", device, {"token": token_id})
            await self.journal(tx, records.TokenRevokedLine(token_id, now))

        await self._scope.database.run(work)

    # -- one statement each -----------------------------------------------------------------------------------------

    async def _select(self, tx: Transaction, where: str, *params: object) -> list[Device]:
        tenant_id = self._scope.tenant.id
        rows = await tx.fetch_all(
            f"SELECT {_COLUMNS} FROM device WHERE tenant_id = %s AND removed_key = 0{where} ORDER BY name",
            (tenant_id, *params),
        )
        sources = await tx.fetch_all(
            "SELECT device_id, path FROM device_source WHERE tenant_id = %s ORDER BY device_id, position", (tenant_id,)
        )
        return [_device(row, [path for device_id, path in sources if device_id == row[0]]) for row in rows]

    async def one(self, tx: Transaction, device_id: int) -> Device:
        """One live device, as this transaction sees it. Raises `NotFound`."""
        found = await self._select(tx, " AND id = %s", device_id)
        if not found:
            raise NotFound("device")
        return found[0]

    async def _guarded(self, work: Callable[[Transaction], Awaitable[Device]], name: str) -> Device:
        try:
            return await self._scope.database.run(work)
        except DuplicateKey as e:
            raise NameTaken(f"You have a device named “{name}” already. Choose another name.") from e

    async def _insert(self, tx: Transaction, ledger: Ledger, name: str, kind: DeviceKind) -> int:
        device_id, now = ledger.take_id(), clock.now()
        await tx.execute(
            "INSERT INTO device (tenant_id, id, name, kind, created_at) VALUES (%s, %s, %s, %s, %s)",
            (self._scope.tenant.id, device_id, name, str(kind), clock.to_db(now)),
        )
        await create_head(tx, self._scope.tenant.id, device_id, now)
        return device_id

    async def _make_roots(self, tx: Transaction, ledger: Ledger, device_id: int) -> dict[str, int]:
        roots = {str(area): ledger.take_id() for area in Area}
        await tx.execute_many(
            "INSERT INTO directory (tenant_id, id, device_id, area, is_root) VALUES (%s, %s, %s, %s, 1)",
            [(self._scope.tenant.id, root, device_id, area) for area, root in roots.items()],
        )
        return roots

    async def _roots(self, tx: Transaction, device_id: int) -> dict[str, int]:
        rows = await tx.fetch_all(
            "SELECT area, id FROM directory WHERE tenant_id = %s AND device_id = %s AND is_root = 1",
            (self._scope.tenant.id, device_id),
        )
        return dict(rows)

    async def _store_sources(self, tx: Transaction, device_id: int, sources: Sequence[str]) -> None:
        key = (self._scope.tenant.id, device_id)
        await tx.execute("DELETE FROM device_source WHERE tenant_id = %s AND device_id = %s", key)
        await tx.execute_many(
            "INSERT INTO device_source (tenant_id, device_id, position, path) VALUES (%s, %s, %s, %s)",
            [(*key, position, path) for position, path in enumerate(sources)],
        )

    async def _require_empty(self, tx: Transaction, device: Device) -> None:
        key = (self._scope.tenant.id, device.id)
        live = await tx.fetch_one(
            "SELECT 1 FROM entry WHERE tenant_id = %s AND device_id = %s AND removed_seq IS NULL LIMIT 1", key
        )
        if live:
            raise NotEmpty(f"“{device.name}” still has files or folders. Delete them first.")
        held = await tx.fetch_one(
            "SELECT MAX(removed_at) FROM entry WHERE tenant_id = %s AND device_id = %s AND removal = 'deleted'", key
        )
        if held and held[0] is not None:
            raise NotEmpty(
                f"“{device.name}” still has deleted files that can be recovered. It can go once they are gone."
            )

    async def _audit(
        self, tx: Transaction, action: str, device: Device, detail: dict[str, object] | None = None
    ) -> None:
        facts: dict[str, object] = detail or {"kind": str(device.kind), "sources": device.source_directories}
        await audit.append(
            tx, self._scope.tenant.id, self._scope.actor, action, device.name, facts, device_id=device.id
        )  # fmt: skip

    def _line(self, device: Device, roots: dict[str, int]) -> records.DeviceLine:
        tenant = self._scope.tenant
        return records.DeviceLine(
            device.id, device.name, str(device.kind), device.source_directories, device.created_at, roots,
            tenant.billing_client, tenant.label, tenant.time_zone,
        )  # fmt: skip

    async def journal(self, tx: Transaction, line: records.Line) -> None:
        """The last step of a change: its record in the tenant's own chain, durable before the commit."""
        await journal_tenant(tx, self._scope.journal, self._scope.tenant.id, self._scope.tenant.uuid, [line])


def _device(row: Row, sources: list[str]) -> Device:
    device_id, name, kind, created_at, last_upload_at, file_count, size_bytes = row
    last = None if last_upload_at is None else clock.from_db(last_upload_at)
    return Device(
        device_id, name, DeviceKind(kind), sources, clock.from_db(created_at), last, file_count, size_bytes
    )  # fmt: skip


def checked_name(name: str) -> str:
    """A device's name, without blanks around it. Raises `BadRequest`."""
    name = name.strip()
    if not 1 <= len(name) <= NAME_CHARACTERS_MAX:
        raise BadRequest(f"A device's name has 1 to {NAME_CHARACTERS_MAX} characters.")
    if not name.isprintable():
        raise BadRequest("A device's name must not contain control characters.")
    return name


def _checked_sources(sources: Sequence[str]) -> list[str]:
    paths = list(dict.fromkeys(path.strip() for path in sources if path.strip()))
    if len(paths) > SOURCE_DIRECTORIES_MAX:
        raise TooMany(SOURCE_DIRECTORIES_MAX, "source directories of one device")
    for path in paths:
        if len(path) > SOURCE_CHARACTERS_MAX or not path.isprintable():
            raise BadRequest(f"A source directory has at most {SOURCE_CHARACTERS_MAX:,} printable characters.")
    return paths
