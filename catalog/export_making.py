"""`Making`: an export while it is laid down, in short transactions that hold up nobody, seen by nobody until the
last."""

from collections.abc import AsyncIterator, Mapping, Sequence
from datetime import timedelta
from typing import Final

import anyio
import msgspec
from blake3 import blake3

from catalog import audit, clock
from catalog.database import Transaction
from catalog.errors import BadPath, BadRequest, TooMany
from catalog.export_values import Planner, Selection, Terms
from catalog.ledger import lock_ledger
from catalog.scope import Scope
from catalog.values import Chosen, EntryKind, Member, PlannedPart

MEMBERS_MAX: Final = 1_000_000
NAME_CHARACTERS_MAX: Final = 200
PART_BYTES_MIN: Final = 1 << 20
PART_COLUMNS: Final = (
    "part, member_count, local_bytes, central_bytes, list_name, list_bytes, list_crc32, list_mtime_ns, size_bytes"
)
_UNFINISHED_HOURS: Final = 24
"""How long an export may be in the making before it counts as left behind by a process that died."""
_ROWS_PER_STATEMENT: Final = 1_000


class Making:
    """One export that is being made. `until`: device → its last manifest that is shown; `since`: the export after which
    it begins."""

    def __init__(
        self,
        scope: Scope,
        terms: Terms,
        planner: Planner,
        selection: Selection,
        until: Mapping[int, int],
        since: int | None,
    ) -> None:
        self._scope = scope
        self._tenant_id = scope.tenant.id
        self._terms = terms
        self._planner = planner
        self._selection = selection
        self._until = until
        self._since = since
        self._name = _checked_name(terms.name)

    async def save(self, batches: AsyncIterator[list[Chosen]]) -> int:
        """Lay down all of it and return its id. Raises `TooMany`, `BadRequest`: nothing is kept then."""
        most = self._terms.part_bytes_max
        if most is not None and most < PART_BYTES_MIN:
            raise BadRequest(f"A part has at least {PART_BYTES_MIN:,} bytes.")
        export_id = await self._begin()
        try:
            count, content_bytes, etag = await self._lay_down(export_id, batches)
            await self._finish(export_id, self._planner.finish(), count, content_bytes, etag)
        except BaseException:
            with anyio.CancelScope(shield=True):
                await self._drop(export_id)
            raise
        return export_id

    async def _begin(self) -> int:
        terms, now = self._terms, clock.now()
        at = None if terms.at is None else clock.to_db(terms.at)

        async def work(tx: Transaction) -> int:
            ledger = await lock_ledger(tx, self._scope.tenant)
            export_id = ledger.take_id()
            await ledger.store(tx)
            await tx.execute(
                "DELETE FROM export WHERE tenant_id = %s AND size_bytes IS NULL AND created_at < %s",
                (self._tenant_id, clock.to_db(now - timedelta(hours=_UNFINISHED_HOURS))),
            )
            await tx.execute(
                "INSERT INTO export (tenant_id, id, name, created_at, created_by, device_id, member_count,"
                " content_bytes, etag, time_zone, selection, `at`, since_id, part_bytes_max)"
                " VALUES (%s, %s, %s, %s, %s, %s, 0, 0, %s, %s, %s, %s, %s, %s)",
                (self._tenant_id, export_id, self._name, clock.to_db(now), self._scope.actor.name[:200],
                 self._scope.token_device, bytes(32), terms.time_zone,
                 msgspec.json.encode(self._selection).decode(), at, self._since, terms.part_bytes_max),
            )  # fmt: skip
            await tx.execute_many(
                "INSERT INTO export_device (tenant_id, export_id, device_id, sequence) VALUES (%s, %s, %s, %s)",
                [(self._tenant_id, export_id, device_id, sequence) for device_id, sequence in self._until.items()],
            )
            return export_id

        return await self._scope.database.run(work)

    async def _lay_down(self, export_id: int, batches: AsyncIterator[list[Chosen]]) -> tuple[int, int, bytes]:
        """Write the members; returns their number, their bytes and the digest of the plan."""
        count, content_bytes, plan = 0, 0, blake3()
        async for batch in batches:
            if count + len(batch) > MEMBERS_MAX:
                raise TooMany(MEMBERS_MAX, "files and folders in one export")
            members = await self._planner.place(batch)
            await self._insert(export_id, count, members)
            count += len(members)
            content_bytes += sum(m.chosen.blob.size_bytes for m in members if m.chosen.blob)
            plan.update(b"".join(map(_plan_line, members)))
        return count, content_bytes, plan.digest()

    async def _insert(self, export_id: int, first: int, members: Sequence[Member]) -> None:
        """Rows as literals, which costs half of what bound parameters do: ints, and bytes as hex."""

        async def work(tx: Transaction) -> None:
            for start in range(0, len(members), _ROWS_PER_STATEMENT):
                rows = ",".join(
                    f"({self._tenant_id:d},{export_id:d},{first + number:d},x'{m.chosen.raw_path.hex()}',"
                    f"{m.chosen.entry_id:d},{m.part:d},{_name_literal(m)},{m.offset:d},{m.listed_at:d},{m.central_at:d})"
                    for number, m in enumerate(members[start : start + _ROWS_PER_STATEMENT], start)
                )
                await tx.execute(
                    "INSERT INTO export_member (tenant_id, export_id, position, path, entry_id, part, name, `offset`,"
                    f" listed_at, central_at) VALUES {rows}"
                )

        await self._scope.database.run(work)

    async def _finish(
        self, export_id: int, parts: Sequence[PlannedPart], count: int, content_bytes: int, etag: bytes
    ) -> None:
        size_bytes = sum(part.size_bytes for part in parts)

        async def work(tx: Transaction) -> None:
            first = 0
            for part in parts:
                await tx.execute(
                    f"INSERT INTO export_part (tenant_id, export_id, first_position, {PART_COLUMNS})"
                    " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
                    (self._tenant_id, export_id, first, part.number, part.member_count, part.local_bytes,
                     part.central_bytes, part.list_name, part.list_bytes, part.list_crc32, part.list_mtime_ns,
                     part.size_bytes),
                )  # fmt: skip
                first += part.member_count
            await tx.execute(
                "UPDATE export SET member_count = %s, content_bytes = %s, size_bytes = %s, etag = %s"
                " WHERE tenant_id = %s AND id = %s",
                (count, content_bytes, size_bytes, etag, self._tenant_id, export_id),
            )
            detail: dict[str, object] = {"export": export_id, "members": count, "bytes": content_bytes}
            await audit.append(
                tx, self._tenant_id, self._scope.actor, "export.create", self._name, detail,
                device_id=self._scope.token_device,
            )  # fmt: skip

        await self._scope.database.run(work)

    async def _drop(self, export_id: int) -> None:
        async def work(tx: Transaction) -> None:
            await tx.execute("DELETE FROM export WHERE tenant_id = %s AND id = %s", (self._tenant_id, export_id))

        await self._scope.database.run(work)


def _plan_line(member: Member) -> bytes:
    """All that the zip's bytes follow from."""
    chosen = member.chosen
    digest = chosen.blob.digest.hex if chosen.blob else ""
    facts = f"{member.part} {chosen.kind} {chosen.mtime_ns} {chosen.mode} {digest}".encode()
    return b"%s\0%s\n" % (member.name, facts)


def _name_literal(member: Member) -> str:
    """The name in the zip, where it is not simply the path."""
    raw = member.chosen.raw_path + (b"/" if member.chosen.kind is EntryKind.DIRECTORY else b"")
    return "NULL" if member.name == raw else f"x'{member.name.hex()}'"


def _checked_name(name: str) -> str:
    name = name.strip() or "export"
    if len(name) > NAME_CHARACTERS_MAX:
        raise BadRequest(f"An export's name has at most {NAME_CHARACTERS_MAX} characters. Shorten it.")
    if not name.isprintable() or "/" in name:
        raise BadPath("An export's name must not contain slashes or control characters.")
    return name
