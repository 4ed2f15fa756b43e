"""The one commit path: every change to a device becomes a manifest here, durable in the journal before it commits.

Order within the transaction: the rows of blobs that came along, the ledger's row, the chains' heads, other blobs' rows
in digest order; then reads, then writes; the journal's record last, so that nothing can fail after it but the commit.
"""

import asyncio
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Final, Protocol

import msgspec

from cas.digest import Digest
from catalog import audit, clock, records
from catalog.arrivals import NOTHING_ARRIVED, Arrived, arrived
from catalog.blobs import confirm, unless_deleting
from catalog.chains import Head, advance, later, lock_head
from catalog.changes import AddDirectory, AddFile, AddKnown, AddLink, Change
from catalog.database import Transaction
from catalog.errors import BadRequest, NotFound, NotPossessed, TooMany
from catalog.ledger import Ledger, lock_ledger
from catalog.names import folded_hex, media_kind
from catalog.packs import NewPack, is_live, receive_pack
from catalog.planning import Plan
from catalog.possession import Possessed, blob_rows, own, possessed, refer
from catalog.scope import Scope
from catalog.tree import Node, Tree
from catalog.values import Area, CommitResult, EntryKind, Manifest, Removal

CHANGES_PER_MANIFEST_MAX: Final = 50_000
NOTE_CHARACTERS_MAX: Final = 500
_IDS_PER_STATEMENT: Final = 1_000
_ROWS_PER_STATEMENT: Final = 1_000
_CHANGES_AT_A_STRETCH: Final = 500


@dataclass(frozen=True, slots=True)
class _Written:
    """A device's part of the transaction, up to its journal record."""

    head: Head
    at: datetime
    manifest: Manifest
    lines: list[records.Line]


class Along(Protocol):
    """What commits in the same transaction as the manifest of a device."""

    def derivation(self, blob_id: int | None) -> records.DerivationFact | None:
        """How the file that the manifest adds with this blob was made; for the journal's record."""

    async def write(self, tx: Transaction, result: CommitResult) -> None:
        """Its rows, after the entries'. May run more than once; what it raises undoes everything."""


async def commit(
    scope: Scope,
    changes: Mapping[int, Sequence[Change]],
    action: str,
    subject: str,
    note: str = "",
    pack: NewPack | None = None,
    along: Along | None = None,
) -> dict[int, CommitResult]:
    """Apply the changes of each device, all or none; returns what each device's manifest did.

    `action` and `subject` go to the audit, one event per manifest. `pack`: placed, and its blobs are all named by the
    changes; it turns live in the same transaction. Raises NotFound, BadPath, Conflict,
    NotPossessed, QuotaExceeded, ClaimLost, TooMany, NotAllowed, DatabaseUnavailable: nothing changed then.
    """
    scope.require_writable()
    if sum(map(len, changes.values())) > CHANGES_PER_MANIFEST_MAX:
        raise TooMany(CHANGES_PER_MANIFEST_MAX, "changes")
    if len(note) > NOTE_CHARACTERS_MAX:
        raise BadRequest(f"A note has at most {NOTE_CHARACTERS_MAX} characters. Shorten it.")
    attempt = _Commit(scope, changes, action, subject, note, pack, along)
    results = await unless_deleting(scope.database, attempt.work, attempt.was_committed)
    scope.searches.committed(scope.tenant)
    return results


class _Commit:
    """One call of `commit`: `work` may run more than once, `was_committed` after a COMMIT of unknown outcome."""

    def __init__(
        self,
        scope: Scope,
        changes: Mapping[int, Sequence[Change]],
        action: str,
        subject: str,
        note: str,
        pack: NewPack | None,
        along: Along | None,
    ) -> None:
        self._scope = scope
        self._changes = changes
        self._action = action
        self._subject = subject
        self._note = note
        self._pack = pack
        self._arrived: Arrived = NOTHING_ARRIVED
        self._along = along
        self._results: dict[int, CommitResult] = {}
        self._proof: tuple[int, int, Digest] | None = None
        self._facts: dict[int, Possessed] = {}

    async def work(self, tx: Transaction) -> dict[int, CommitResult] | None:
        """None while the sweep deletes a blob that came along."""
        self._results, self._proof = {}, None
        # Before the ledger: the rows of one bundle are made while another of this tenant commits.
        received = None if self._pack is None else await receive_pack(tx, self._pack)
        if received is not None:
            await own(tx, self._scope.tenant.id, received.new)
        elif self._pack is not None:
            return None
        ledger = await lock_ledger(tx, self._scope.tenant)
        heads = [await self._head(tx, device_id) for device_id in sorted(self._changes)]
        every = [change for part in self._changes.values() for change in part]
        self._facts = {}
        for change in sorted((c for c in every if isinstance(c, AddFile)), key=lambda c: c.blob.digest):
            self._facts[change.blob_id] = await confirm(tx, change.blob_id, change.blob)
        if self._pack is not None and received is not None:
            self._arrived = await arrived(tx, self._scope.tenant.id, self._pack, received)
        known = await self._known(tx, every)
        written = [await self._device(tx, ledger, head, known) for head in heads]
        await ledger.store(tx)
        if self._along is not None:
            for result in self._results.values():
                await self._along.write(tx, result)
        for part in _told_of_each_other([part for part in written if part is not None]):
            await self._seal(tx, part)
        return self._results

    async def was_committed(self) -> dict[int, CommitResult] | None:
        if self._proof is None:
            there = self._pack is None or await is_live(self._scope.database, self._pack.pack_id)
            return self._results if there and self._results else None
        device_id, sequence, digest = self._proof
        async with self._scope.database.reading() as tx:
            row = await tx.fetch_one(
                "SELECT 1 FROM manifest WHERE tenant_id = %s AND device_id = %s AND sequence = %s"
                " AND record_digest = %s",
                (self._scope.tenant.id, device_id, sequence, digest.raw),
            )
        return self._results if row else None

    async def _head(self, tx: Transaction, device_id: int) -> Head:
        head = await lock_head(tx, self._scope.tenant.id, self._scope.reach(device_id))
        live = await tx.fetch_one(
            "SELECT 1 FROM device WHERE tenant_id = %s AND id = %s AND removed_key = 0",
            (self._scope.tenant.id, device_id),
        )
        if head is None or live is None:
            raise NotFound("device")
        return head

    async def _known(self, tx: Transaction, changes: Sequence[Change]) -> dict[Digest, Possessed]:
        came = self._arrived.known
        digests = list(dict.fromkeys(c.digest for c in changes if isinstance(c, AddKnown) and c.digest not in came))
        known = await possessed(tx, self._scope.tenant.id, digests)
        missing = [digest for digest in digests if digest not in known]
        if missing:
            raise NotPossessed(missing)
        return {**known, **came}

    async def _device(
        self, tx: Transaction, ledger: Ledger, head: Head, known: Mapping[Digest, Possessed]
    ) -> _Written | None:
        """Plan and write one device's part; None if it changes nothing."""
        changes = self._changes[head.device_id]
        at = later(head, clock.now())
        plan = Plan(Tree(tx, self._scope.tenant.id, head.device_id), ledger, known, clock.to_ns(at))
        await _load(plan.tree, changes)
        left, is_new = [], []
        for number, change in enumerate(changes):
            if number % _CHANGES_AT_A_STRETCH == 0:
                await asyncio.sleep(0)  # others on this event loop have their turn
            before = plan.counts.added
            left.append(plan.add_at_hand(change) or await plan.apply(change))
            is_new.append(plan.counts.added > before)
        await self._refer(tx, ledger, plan, known)
        ledger.charge(plan.charged_bytes)
        for node in plan.added:
            node.id = ledger.take_id()
        manifest = self._manifest(head, plan, at)
        if not plan.is_empty:
            await self._write(tx, plan, manifest)
        counts = plan.counts
        self._results[head.device_id] = CommitResult(
            None if plan.is_empty else manifest,
            counts.added,
            counts.replaced,
            counts.unchanged,
            counts.removed,
            [0 if node is None else node.id for node in left],
            is_new,
            self._arrived.deduplicated,
        )
        return None if plan.is_empty else _Written(head, at, manifest, await self._lines(tx, plan, manifest))

    async def _refer(self, tx: Transaction, ledger: Ledger, plan: Plan, known: Mapping[Digest, Possessed]) -> None:
        """The blobs that the plan names are the tenant's own from now on."""
        rows = {had.blob_id: had for had in known.values()}
        self._facts |= rows
        named = {node.blob_id: node.size_bytes for node in plan.added if node.blob_id is not None}
        # The empty blob is everyone's, with a row of the tenant's own or without.
        unowned = self._arrived.unowned
        leases = {
            blob_id: had.is_leased for blob_id, had in rows.items() if had.blob.size_bytes and blob_id not in unowned
        }
        await refer(tx, ledger, named, leases, unowned)

    def _manifest(self, head: Head, plan: Plan, at: datetime) -> Manifest:
        actor = self._scope.actor
        return Manifest(
            head.device_id,
            head.manifest_sequence + 1,
            at,
            actor.kind,
            actor.name[:200],
            self._note,
            len(plan.added),
            len(plan.removed),
            sum(node.size_bytes for node in plan.added),
        )

    async def _write(self, tx: Transaction, plan: Plan, manifest: Manifest) -> None:
        tenant_id = self._scope.tenant.id
        await _insert_manifest(tx, tenant_id, manifest)
        await tx.execute_many(
            "INSERT INTO directory (tenant_id, id, device_id, area) VALUES (%s, %s, %s, %s)",
            [(tenant_id, node.node_id, manifest.device_id, str(node.area)) for node in plan.new_directories],
        )
        await _end_entries(tx, tenant_id, plan, manifest)
        await _insert_entries(tx, tenant_id, plan.added, manifest)
        uploaded = any(node.kind is EntryKind.FILE for node in plan.added)
        await tx.execute(
            "UPDATE device SET file_count = file_count + %s, size_bytes = size_bytes + %s,"
            " last_upload_at = IF(%s, %s, last_upload_at) WHERE tenant_id = %s AND id = %s",
            (plan.file_count, plan.size_bytes, self._action == "upload" and uploaded, clock.to_db(manifest.at),
             tenant_id, manifest.device_id),
        )  # fmt: skip
        detail: dict[str, object] = {
            "manifest": manifest.sequence,
            "added": plan.counts.added,
            "replaced": plan.counts.replaced,
            "removed": plan.counts.removed,
            "bytes": manifest.size_bytes,
        }
        await audit.append(
            tx, tenant_id, self._scope.actor, self._action, self._subject, detail,
            at=manifest.at, device_id=manifest.device_id,
        )  # fmt: skip

    async def _lines(self, tx: Transaction, plan: Plan, manifest: Manifest) -> list[records.Line]:
        named = {node.blob_id for node in plan.added if node.blob_id is not None}
        rows = self._facts | await blob_rows(tx, named - self._facts.keys())
        facts = {blob_id: _facts_line(rows[blob_id]) for blob_id in named}
        lines: list[records.Line] = [
            records.ManifestLine(
                manifest.device_id, manifest.sequence, manifest.at, manifest.actor_kind, manifest.actor, manifest.note,
                self._action,
            )
        ]  # fmt: skip
        lines += [records.RemoveLine(node.id, str(why)) for node, why in plan.removed]
        lines += [records.RemoveLine(entry_id, str(Removal.RECOVERED)) for entry_id in sorted(plan.recovered)]
        made = self._along.derivation if self._along is not None else _nothing_made
        lines += [_add_line(node, facts.get(node.blob_id or 0), made(node.blob_id)) for node in plan.added]
        return lines

    async def _seal(self, tx: Transaction, part: _Written) -> None:
        scope, manifest = self._scope, part.manifest
        body = records.encode(part.lines)
        head = await advance(tx, scope.journal, part.head, scope.tenant.uuid, body, part.at, manifests=1)
        if head.digest is None:
            raise AssertionError("an advanced head has a digest")
        await tx.execute(
            "UPDATE manifest SET record_digest = %s WHERE tenant_id = %s AND device_id = %s AND sequence = %s",
            (head.digest.raw, scope.tenant.id, manifest.device_id, manifest.sequence),
        )
        self._proof = (manifest.device_id, manifest.sequence, head.digest)


def _told_of_each_other(written: Sequence[_Written]) -> Sequence[_Written]:
    """Where several devices change at once, each record names the others', so that a rebuild takes all of them or none:
    between the first and the last of them the process may die."""
    if len(written) < 2:
        return written
    mark = secrets.token_hex(16)
    places = {str(part.head.device_id): part.head.sequence + 1 for part in written}
    return [replace(part, lines=[_marked(part.lines[0], mark, places), *part.lines[1:]]) for part in written]


def _marked(line: records.Line, mark: str, places: dict[str, int]) -> records.Line:
    return msgspec.structs.replace(line, commit=mark, shared_with=places)


async def _load(tree: Tree, changes: Sequence[Change]) -> None:
    """Read the names on the paths that are to be added, one directory at a time instead of one path at a time."""
    added = [change for change in changes if isinstance(change, (AddKnown, AddFile, AddDirectory, AddLink))]
    for area in Area:
        paths = [change.path.names for change in added if change.area is area]
        if paths:
            await tree.load_paths(await tree.root(area), paths)


async def _insert_manifest(tx: Transaction, tenant_id: int, manifest: Manifest) -> None:
    await tx.execute(
        "INSERT INTO manifest (tenant_id, device_id, sequence, at, actor_kind, actor, note, added, removed, size_bytes)"
        " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
        (tenant_id, manifest.device_id, manifest.sequence, clock.to_db(manifest.at), manifest.actor_kind,
         manifest.actor, manifest.note, manifest.added, manifest.removed, manifest.size_bytes),
    )  # fmt: skip


async def _end_entries(tx: Transaction, tenant_id: int, plan: Plan, manifest: Manifest) -> None:
    by_reason: dict[Removal, list[int]] = {}
    for node, why in plan.removed:
        by_reason.setdefault(why, []).append(node.id)
    for why, ids in by_reason.items():
        await _update_by_id(
            tx,
            "UPDATE entry SET removed_seq = %s, removed_at = %s, removal = %s WHERE tenant_id = %s AND id IN ",
            (manifest.sequence, clock.to_db(manifest.at), str(why), tenant_id),
            ids,
        )
    await _update_by_id(
        tx,
        "UPDATE entry SET removal = 'recovered' WHERE tenant_id = %s AND id IN ",
        (tenant_id,),
        sorted(plan.recovered),
    )


async def _update_by_id(tx: Transaction, sql: str, params: Sequence[object], ids: Sequence[int]) -> None:
    for start in range(0, len(ids), _IDS_PER_STATEMENT):
        part = ids[start : start + _IDS_PER_STATEMENT]
        await tx.execute(f"{sql}({','.join(['%s'] * len(part))})", (*params, *part))


async def _insert_entries(tx: Transaction, tenant_id: int, nodes: Sequence[Node], manifest: Manifest) -> None:
    for start in range(0, len(nodes), _ROWS_PER_STATEMENT):
        rows = ",".join(entry_rows(tenant_id, nodes[start : start + _ROWS_PER_STATEMENT], manifest))
        await tx.execute(
            "INSERT INTO entry (tenant_id, device_id, added_seq, added_at, id, area, node_id, parent_id, name,"
            f" name_fold, kind, media_kind, blob_id, size_bytes, mode, mtime_ns, taken_ns, link_target) VALUES {rows}"
        )


def entry_rows(tenant_id: int, nodes: Sequence[Node], manifest: Manifest) -> list[str]:
    """Rows as literals, which cost half of what bound parameters do: ints, words of this code, and bytes as hex."""
    before = f"({tenant_id:d},{manifest.device_id:d},{manifest.sequence:d},'{clock.to_db(manifest.at)}'"
    return [
        f"{before},{n.id:d},'{n.area}',{n.node_id:d},{n.parent_id:d},x'{n.name.hex()}',"
        f"_utf8mb4 x'{folded_hex(n.name)}','{n.kind}','{media_kind(n.name)}',{_int(n.blob_id)},{n.size_bytes:d},"
        f"{_int(n.mode)},{n.mtime_ns:d},{_int(n.taken_ns)},{_hex(n.link_target)})"
        for n in nodes
    ]


def _hex(value: bytes | None) -> str:
    return "NULL" if value is None else f"x'{value.hex()}'"


def _int(value: int | None) -> str:
    return "NULL" if value is None else f"{value:d}"


def _facts_line(row: Possessed) -> records.BlobFacts:
    blob = row.blob
    return records.BlobFacts(
        blob.digest.hex, blob.size_bytes, blob.stored_bytes, blob.crc32, str(blob.encoding), row.media_type
    )


def _nothing_made(_blob_id: int | None) -> None:
    """Of files that came as they are."""


def _add_line(node: Node, blob: records.BlobFacts | None, derivation: records.DerivationFact | None) -> records.AddLine:
    return records.AddLine(
        node.id, node.node_id, node.parent_id, str(node.area), node.name, str(node.kind), node.mtime_ns,
        node.size_bytes, node.mode, node.taken_ns, node.link_target, blob, derivation,
    )  # fmt: skip
