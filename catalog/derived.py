"""Derived files and where they come from: writing both in one commit, and showing each on the other's page.

What always holds: a derived file and its derivation commit together, and with them the end of the job that made it; the
journal's record of the file carries the derivation, so that a rebuild knows it too.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from cas.blob import Blob
from cas.digest import Digest
from catalog import clock, records
from catalog.blob_rows import BLOB_COLUMNS, blob_of, digest_list, id_list
from catalog.changes import AddFile
from catalog.commit import commit
from catalog.database import Transaction
from catalog.entries import ENTRY_COLUMNS, ENTRY_TABLES, Entries, entries_of
from catalog.errors import CatalogError
from catalog.job_queue import count, hold
from catalog.job_values import ClaimedJob, Derived, Origin, Outcome
from catalog.recipes import Value, canonical, derivation_key, parameters_of
from catalog.scope import Scope
from catalog.values import Area, CommitResult, Entry, EntryKind, EntryPath

SHOWN_MAX: Final = 200
MADE_OF_MAX: Final = 50_000
_DIGESTS_AT_ONCE: Final = 1_000


class JobTaken(CatalogError):
    """The job is another worker's by now, or somebody asked to cancel it. Nothing was changed."""

    def __init__(self) -> None:
        super().__init__("This job was taken over or cancelled.")


@dataclass(frozen=True, slots=True)
class Output:
    """One derived file of a job, placed under a claim: what exactly was made, and the name it should have."""

    parameters: dict[str, Value]
    path: EntryPath
    blob: Blob
    blob_id: int


class DerivedFiles:
    """The tenant's derived files."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def known(self, source: Digest, recipe: str, version: int, parameters: dict[str, Value]) -> Output | None:
        """What was made before of the same source in the same way and is still possessed whole; its path is the name
        it has somewhere."""
        key = derivation_key(source, recipe, version, canonical(parameters))
        async with self._scope.database.reading() as tx:
            row = await tx.fetch_one(
                f"SELECT e.name, b.id, {BLOB_COLUMNS} FROM derivation d JOIN `blob` b ON b.id = d.blob_id"
                " JOIN entry e ON e.tenant_id = d.tenant_id AND e.blob_id = d.blob_id AND e.area = 'derived'"
                " LEFT JOIN verification v ON v.blob_id = b.id AND v.outcome <> 'good'"
                " WHERE d.tenant_id = %s AND d.key_digest = %s AND b.state = 'live' AND v.blob_id IS NULL LIMIT 1",
                (self._scope.tenant.id, key.raw),
            )
        return None if row is None else Output(parameters, EntryPath((bytes(row[0]),)), blob_of(*row[2:]), row[1])

    async def finish(self, job: ClaimedJob, outputs: Sequence[Output], milliseconds: int) -> CommitResult:
        """Commit the files, their derivations and the end of the job: all or nothing. A name that is taken by another
        file gets a number. Raises `JobTaken`, and as `catalog.commit`."""
        if job.device_id is None:
            raise AssertionError("a rendition has no file of its own")
        along = _Ending(self._scope.tenant.id, job, outputs, milliseconds, clock.now())
        changes = [
            AddFile(output.path, output.blob, output.blob_id, area=Area.DERIVED, beside=True) for output in outputs
        ]
        subject = str(outputs[0].path) + (f" and {len(outputs) - 1:,} more" if len(outputs) > 1 else "")
        done = await commit(
            self._scope, {job.device_id: changes}, "derived", subject, f"Made by “{job.recipe}”", along=along
        )  # fmt: skip
        return done[job.device_id]

    async def of(self, entry_id: int) -> tuple[Origin | None, list[Derived]]:
        """Where this file comes from, if it was made here, and what was made of it. Raises `NotFound`."""
        entry = await Entries(self._scope).get(entry_id)
        if entry.blob is None:
            return None, []
        async with self._scope.database.reading() as tx:
            return await self._origin(tx, entry, entry.blob), await self._made_of(tx, [entry.blob.digest])

    async def made_of(self, entry_ids: Sequence[int]) -> list[int]:
        """The live derived files made of these files, and of what lies in these folders; each once. At most
        `MADE_OF_MAX` of each step are followed."""
        tenant_id = self._scope.tenant.id
        entries = await Entries(self._scope).by_ids(entry_ids)
        async with self._scope.database.reading() as tx:
            digests = [entry.blob.digest for entry in entries if entry.blob is not None]
            level = [entry.node_id for entry in entries if entry.kind is EntryKind.DIRECTORY]
            while level:
                rows = await tx.fetch_all(
                    "SELECT e.kind, e.node_id, b.digest FROM entry e LEFT JOIN `blob` b ON b.id = e.blob_id"
                    f" WHERE e.tenant_id = %s AND e.parent_id IN ({id_list(level)}) AND e.removed_key = 0 LIMIT %s",
                    (tenant_id, MADE_OF_MAX),
                )
                digests += [Digest(bytes(digest)) for _, _, digest in rows if digest is not None]
                level = [node_id for kind, node_id, _ in rows if kind == EntryKind.DIRECTORY]
            found: set[int] = set()
            for start in range(0, len(digests), _DIGESTS_AT_ONCE):
                rows = await tx.fetch_all(
                    "SELECT e.id FROM derivation d JOIN entry e ON e.tenant_id = d.tenant_id AND e.blob_id = d.blob_id"
                    " AND e.area = 'derived' AND e.removed_key = 0 WHERE d.tenant_id = %s AND d.source_digest IN"
                    f" ({digest_list(digests[start : start + _DIGESTS_AT_ONCE])}){self._scope.within('e.device_id')}",
                    (tenant_id,),
                )
                found.update(int(row[0]) for row in rows)
        return sorted(found - {entry.id for entry in entries})

    async def _origin(self, tx: Transaction, entry: Entry, blob: Blob) -> Origin | None:
        if entry.area is not Area.DERIVED:
            return None
        row = await tx.fetch_one(
            "SELECT d.source_digest, d.recipe, d.version, d.parameters, d.made_at FROM derivation d"
            " JOIN `blob` b ON b.id = d.blob_id WHERE d.tenant_id = %s AND b.digest = %s ORDER BY d.made_at LIMIT 1",
            (self._scope.tenant.id, blob.digest.raw),
        )
        if row is None:
            return None
        source, recipe, version, parameters, made_at = row
        rows = await tx.fetch_all(
            f"SELECT {ENTRY_COLUMNS} FROM {ENTRY_TABLES} WHERE e.tenant_id = %s AND b.digest = %s"
            f"{self._scope.within('e.device_id')} ORDER BY e.removed_key, e.device_id <> %s, e.id DESC LIMIT 1",
            (self._scope.tenant.id, source, entry.device_id),
        )
        sources = await entries_of(tx, self._scope.tenant.id, rows)
        return Origin(
            Digest(bytes(source)).hex, recipe, version, parameters_of(parameters), clock.from_db(made_at),
            sources[0] if sources else None,
        )  # fmt: skip

    async def _made_of(self, tx: Transaction, digests: Sequence[Digest]) -> list[Derived]:
        rows = await tx.fetch_all(
            f"SELECT d.recipe, d.version, d.parameters, d.made_at, {ENTRY_COLUMNS} FROM derivation d"
            " JOIN entry e ON e.tenant_id = d.tenant_id AND e.blob_id = d.blob_id AND e.area = 'derived'"
            " AND e.removed_key = 0 JOIN device v ON v.tenant_id = e.tenant_id AND v.id = e.device_id"
            " JOIN `blob` b ON b.id = e.blob_id"
            " WHERE d.tenant_id = %s AND d.source_digest IN"
            f" ({digest_list(digests)}){self._scope.within('e.device_id')}"
            " ORDER BY d.made_at DESC, e.id DESC LIMIT %s",
            (self._scope.tenant.id, SHOWN_MAX),
        )
        entries = await entries_of(tx, self._scope.tenant.id, [row[4:] for row in rows])
        return [
            Derived(entry, row[0], row[1], parameters_of(row[2]), clock.from_db(row[3]))
            for entry, row in zip(entries, rows, strict=True)
        ]


@dataclass(slots=True)
class _Ending:
    """What commits along with the derived files: their derivations, and the end of the job."""

    tenant_id: int
    job: ClaimedJob
    outputs: Sequence[Output]
    milliseconds: int
    made_at: datetime

    def derivation(self, blob_id: int | None) -> records.DerivationFact | None:
        for output in self.outputs:
            if output.blob_id == blob_id:
                source, parameters = self.job.source.digest.hex, canonical(output.parameters)
                return records.DerivationFact(source, self.job.recipe, self.job.version, parameters, self.made_at)
        return None

    async def write(self, tx: Transaction, result: CommitResult) -> None:
        if not await hold(tx, self.job):
            raise JobTaken
        for output in self.outputs:
            await self._derivation(tx, output)
        await tx.execute_many(
            "INSERT INTO job_output (tenant_id, job_id, position, entry_id) VALUES (%s, %s, %s, %s)",
            [(self.tenant_id, self.job.id, at, entry_id) for at, entry_id in enumerate(result.entry_ids)],
        )
        await tx.execute(
            "UPDATE job SET state = 'done', leased_until = NULL, progress = 100, finished_at = UTC_TIMESTAMP(6)"
            " WHERE tenant_id = %s AND id = %s",
            (self.tenant_id, self.job.id),
        )
        await count(tx, self.job.recipe, Outcome.DONE, [self.milliseconds])

    async def _derivation(self, tx: Transaction, output: Output) -> None:
        fact = self.derivation(output.blob_id)
        if fact is not None:
            await write_derivations(tx, self.tenant_id, [(output.blob_id, fact)])


async def write_derivations(
    tx: Transaction, tenant_id: int, made: Sequence[tuple[int, records.DerivationFact]]
) -> None:
    """The rows of derivations, each with the id of the derived blob, which the tenant possesses."""
    for blob_id, fact in made:
        source = Digest.from_hex(fact.source)
        key = derivation_key(source, fact.recipe, fact.version, fact.parameters)
        await tx.execute(
            "REPLACE INTO derivation (tenant_id, key_digest, source_digest, recipe, version, parameters, blob_id,"
            " made_at) VALUES (%s, %s, %s, %s, %s, %s, %s, %s)",
            (
                *(tenant_id, key.raw, source.raw, fact.recipe, fact.version, fact.parameters, blob_id),
                clock.to_db(fact.made_at),
            ),
        )
