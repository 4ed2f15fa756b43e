"""Purge: deleting for good, by a person, by the end of the hold, or by the owner's rule for versions.

What goes together: a file that is live or in the hold goes with all its versions; an old version goes alone, with the
entries that only gave it other names, places or times; a folder goes with everything that is below it, or last was, and
with what is left there of files that have moved elsewhere since. Large purges are many manifests of bounded size, each
complete in itself; what was added since the purge was asked for is left alone.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from typing import Final

from catalog import clock
from catalog.blob_rows import id_list
from catalog.database import Transaction
from catalog.entries import Entries
from catalog.purging import Act, Choose, Doomed, Purging, histories, inside, parts, version_of
from catalog.scope import Scope
from catalog.values import Entry, EntryKind, Purged, Removal, Retention

NODES_AT_ONCE: Final = 2_000
"""Files of one manifest: bounds the transaction and the journal's record."""

_HELD: Final = "e.removal = 'deleted' AND e.removed_at <= %s"
_WHOLE: Final = (None, Removal.DELETED)

Fits = Callable[[Doomed], bool]
"""Whether a file may go, by its newest entry as the purging transaction sees it."""


class Purge:
    """The tenant's purges. By entries it needs a signed-in person; the other two are the service's own."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope
        self._tenant_id = scope.tenant.id

    async def entries(self, entry_ids: Sequence[int]) -> Purged:
        """Delete these for good, live or not; what another of them takes along is no error. Raises `NotFound` for any
        that is not there: nothing happened then."""
        self._scope.require_person("delete files for good")
        newest = await self._newest_sequences()
        entries = await Entries(self._scope).by_ids(entry_ids)
        act = Act("purge", str(entries[0].path) + (f" and {len(entries) - 1:,} more" if len(entries) > 1 else ""))
        done = Purged()
        for device_id in sorted({entry.device_id for entry in entries}):
            chosen = [entry for entry in entries if entry.device_id == device_id]
            done += await _OfDevice(self._scope, device_id, act, newest.get(device_id, 0)).purge(chosen)
        return done

    async def expired(self) -> Purged:
        """What the hold no longer protects goes, a bounded number at once; `Purged()` if nothing was left to do."""
        self._scope.require_person("end holds")
        before = clock.to_db(clock.now() - timedelta(days=self._scope.hold_days))
        act = Act("purge.hold", "deleted files whose time was up", by_rule=True)

        def fits(newest: Doomed) -> bool:
            return newest.removal is Removal.DELETED and newest.removed_at is not None and newest.removed_at <= before

        files = await self._nodes(f"{_HELD} AND e.kind <> 'directory'", before)
        if files is not None:
            return await Purging(self._scope, files[0], act).run(_whole(self._tenant_id, files[1], fits))
        content = (
            "SELECT 1 FROM entry i WHERE i.tenant_id = e.tenant_id AND i.parent_id = e.node_id"
            " AND (i.removal IS NULL OR i.removal IN ('deleted', 'replaced'))"
        )
        folders = await self._nodes(f"{_HELD} AND e.kind = 'directory' AND NOT EXISTS ({content})", before)
        if folders is not None:
            return await Purging(self._scope, folders[0], act).run(_empty(self._tenant_id, folders[1], fits))
        return Purged()

    async def outdated(self, rule: Retention) -> Purged:
        """Replaced versions that the rule no longer keeps go, a bounded number at once; `Purged()` if none was left."""
        self._scope.require_person("end holds")
        if rule.keeps_all:
            return Purged()
        kept, before = rule.versions_kept or 0, clock.to_db(clock.now() - timedelta(days=rule.days_kept or 0))
        found = await self._nodes("e.removal = 'replaced'", having=(kept, before))
        if found is None:
            return Purged()
        device_id, node_ids = found

        async def choose(tx: Transaction) -> list[Doomed]:
            doomed: list[Doomed] = []
            for history in (await histories(tx, self._tenant_id, node_ids)).values():
                replaced = [entry for entry in history if entry.removal is Removal.REPLACED]
                for entry in replaced[: max(0, len(replaced) - kept)]:
                    if entry.removed_at is not None and entry.removed_at <= before:
                        doomed += version_of(history, entry.id)
            return doomed

        act = Act("purge.versions", "old versions that your rule no longer keeps", by_rule=True)
        return await Purging(self._scope, device_id, act).run(choose)

    async def _newest_sequences(self) -> dict[int, int]:
        """The number of each device's last manifest."""
        async with self._scope.database.reading() as tx:
            return dict(
                await tx.fetch_all(
                    "SELECT device_id, manifest_sequence FROM journal_head WHERE tenant_id = %s", (self._tenant_id,)
                )
            )

    async def _nodes(
        self, where: str, *params: object, having: tuple[int, object] | None = None
    ) -> tuple[int, list[int]] | None:
        """Nodes of one device with an entry like this; with `having`, with more than so many of which the oldest ended
        before a moment. None if there are none."""
        limit = " HAVING COUNT(*) > %s AND MIN(e.removed_at) <= %s" if having else ""
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT MIN(e.device_id), e.node_id FROM entry e"
                f" WHERE e.tenant_id = %s AND {where} GROUP BY e.node_id{limit} LIMIT %s",
                (self._tenant_id, *params, *(having or ()), NODES_AT_ONCE),
            )
        if not rows:
            return None
        device_id = rows[0][0]
        return device_id, [node_id for device, node_id in rows if device == device_id]


class _OfDevice:
    """A person's purge on one device, manifest by manifest. `newest`: the device's last manifest when it began."""

    def __init__(self, scope: Scope, device_id: int, act: Act, newest: int) -> None:
        self._scope = scope
        self._tenant_id = scope.tenant.id
        self._device_id = device_id
        self._act = act
        self._newest = newest

    async def purge(self, chosen: Sequence[Entry]) -> Purged:
        folders = [entry for entry in chosen if entry.kind is EntryKind.DIRECTORY]
        files = [entry for entry in chosen if entry.kind is not EntryKind.DIRECTORY]
        done = await self._versions([entry for entry in files if entry.removal not in _WHOLE])
        done += await self._files(entry.node_id for entry in files if entry.removal in _WHOLE)
        levels = await self._levels({entry.node_id for entry in folders})
        tree = {folder for level in levels for folder in level}
        for level in reversed(levels):
            done += await self._inside(level, tree)
            for part in parts(level):
                done += await self._run(_empty(self._tenant_id, part, self._fits))
        return done

    def _fits(self, newest: Doomed) -> bool:
        return newest.added_seq <= self._newest

    async def _run(self, choose: Choose) -> Purged:
        return await Purging(self._scope, self._device_id, self._act).run(choose)

    async def _files(self, node_ids: Iterable[int]) -> Purged:
        done = Purged()
        for part in parts(sorted(set(node_ids))):
            done += await self._run(_whole(self._tenant_id, part, self._fits))
        return done

    async def _versions(self, entries: Sequence[Entry]) -> Purged:
        done = Purged()
        for ids in parts([entry.id for entry in entries]):
            wanted, nodes = set(ids), {entry.node_id for entry in entries if entry.id in ids}

            async def choose(
                tx: Transaction, wanted: set[int] = wanted, nodes: set[int] = nodes
            ) -> list[Doomed]:  # fmt: skip
                doomed: dict[int, Doomed] = {}
                for history in (await histories(tx, self._tenant_id, nodes)).values():
                    for entry in history:
                        if entry.id in wanted and entry.removal not in _WHOLE:
                            doomed |= {other.id: other for other in version_of(history, entry.id)}
                return list(doomed.values())

            done += await self._run(choose)
        return done

    async def _levels(self, roots: set[int]) -> list[list[int]]:
        """The folders and those below them, or last below them, outermost first."""
        levels, seen = [sorted(roots)] if roots else [], set(roots)
        async with self._scope.database.reading() as tx:
            while levels and levels[-1]:
                level = set(levels[-1])
                rows = await inside(tx, self._tenant_id, level)
                folders = {row.node_id for row in rows if row.kind is EntryKind.DIRECTORY} - seen
                found = await histories(tx, self._tenant_id, folders)
                below = {node_id for node_id, history in found.items() if history[-1].parent_id in level}
                levels.append(sorted(below))
                seen |= below
        return levels

    async def _inside(self, folders: Sequence[int], tree: set[int]) -> Purged:
        """Files and links in these folders: whole, where they belong to the tree; else what is left of them here."""
        done = Purged()
        for part in parts(folders):
            last, here = 0, set(part)
            while node_ids := await self._next_nodes(part, last):

                async def choose(
                    tx: Transaction, node_ids: Sequence[int] = node_ids, here: set[int] = here
                ) -> list[Doomed]:
                    doomed: list[Doomed] = []
                    for history in (await histories(tx, self._tenant_id, node_ids)).values():
                        if history[-1].parent_id not in tree:
                            doomed += [entry for entry in history if entry.parent_id in here and self._fits(entry)]
                        elif self._fits(history[-1]):
                            doomed += history
                    return doomed

                done += await self._run(choose)
                last = node_ids[-1]
        return done

    async def _next_nodes(self, folders: Sequence[int], last: int) -> list[int]:
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT DISTINCT node_id FROM entry WHERE tenant_id = {self._tenant_id:d}"
                f" AND parent_id IN ({id_list(folders)}) AND kind <> 'directory' AND node_id > %s"
                " ORDER BY node_id LIMIT %s",
                (last, NODES_AT_ONCE),
            )
        return [node_id for (node_id,) in rows]


def _whole(tenant_id: int, node_ids: Iterable[int], fits: Fits) -> Choose:
    """All entries of these nodes, but of those that changed meanwhile."""

    async def choose(tx: Transaction) -> list[Doomed]:
        found = await histories(tx, tenant_id, node_ids)
        return [entry for history in found.values() if fits(history[-1]) for entry in history]

    return choose


def _empty(tenant_id: int, folders: Sequence[int], fits: Fits) -> Choose:
    """All entries of those of the folders that nothing lies in any more, but former names of what moved elsewhere: they
    go along."""

    async def choose(tx: Transaction) -> Sequence[Doomed]:
        content = await inside(tx, tenant_id, folders)
        full = {entry.parent_id for entry in content if entry.is_counted}
        going = await _whole(tenant_id, [folder for folder in folders if folder not in full], fits)(tx)
        gone = {entry.node_id for entry in going}
        return [*going, *(entry for entry in content if entry.parent_id in gone)]

    return choose
