"""`Tree`: one device's live names while a manifest is being worked out: what the database holds, and what the
manifest has changed so far. Nothing is written here."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from catalog.blob_rows import hex_list
from catalog.database import Row, Transaction
from catalog.values import Area, EntryKind, Removal

NAMES_PER_QUERY: Final = 500
_COLUMNS: Final = (
    "id, node_id, parent_id, area, name, kind, blob_id, size_bytes, mode, mtime_ns, taken_ns, link_target,"
    " removed_seq, removal"
)


class Node(msgspec.Struct):
    """An entry as the manifest sees it. `id` 0: added by this manifest, its id still to be given."""

    id: int
    node_id: int
    parent_id: int
    area: Area
    name: bytes
    kind: EntryKind
    blob_id: int | None = None
    size_bytes: int = 0
    mode: int | None = None
    mtime_ns: int = 0
    taken_ns: int | None = None
    link_target: bytes | None = None
    removed_seq: int | None = None
    removal: Removal | None = None


def node_of(row: Row) -> Node:
    (entry_id, node_id, parent_id, area, name, kind, blob_id, size, mode, mtime, taken, target, seq, removal) = row
    return Node(
        entry_id, node_id, parent_id, Area(area), bytes(name), EntryKind(kind), blob_id, size, mode, mtime, taken,
        None if target is None else bytes(target), seq, None if removal is None else Removal(removal),
    )  # fmt: skip


class Tree:
    """Live names by (directory, name), read when asked for; `put` and `drop` overlay them."""

    def __init__(self, tx: Transaction, tenant_id: int, device_id: int) -> None:
        self._tx = tx
        self._tenant_id = tenant_id
        self.device_id = device_id
        self._live: dict[tuple[int, bytes], Node | None] = {}
        self._held: dict[tuple[int, bytes], list[Node]] = {}
        self._new_directories: set[int] = set()
        self._roots: dict[Area, int] = {}

    def get(self, parent_id: int, name: bytes) -> Node | None:
        """The live entry of that name; it must have been loaded."""
        if parent_id in self._new_directories:
            return self._live.get((parent_id, name))
        return self._live[parent_id, name]

    def knows(self, parent_id: int, name: bytes) -> bool:
        """Whether `get` may be asked without `load`."""
        return (parent_id, name) in self._live or parent_id in self._new_directories

    def held(self, parent_id: int, name: bytes) -> list[Node]:
        """What lies in the hold under that name, newest first."""
        return self._held.get((parent_id, name), [])

    def put(self, node: Node) -> None:
        self._live[node.parent_id, node.name] = node

    def put_new_directory(self, node: Node) -> None:
        """A directory that never was before: all that can be in it is what this manifest puts there."""
        self.put(node)
        self._new_directories.add(node.node_id)

    def drop(self, node: Node) -> None:
        self._live[node.parent_id, node.name] = None

    async def root(self, area: Area) -> int:
        """The id of the area's root directory."""
        if area not in self._roots:
            self._roots[area] = await self._find_root(area)
        return self._roots[area]

    async def _find_root(self, area: Area) -> int:
        row = await self._tx.fetch_one(
            "SELECT id FROM directory WHERE tenant_id = %s AND device_id = %s AND area = %s AND is_root = 1",
            (self._tenant_id, self.device_id, str(area)),
        )
        if row is None:
            raise LookupError(f"device {self.device_id} has no root for {area}")
        return int(row[0])

    async def load(self, parent_id: int, names: Iterable[bytes]) -> None:
        """Read these names of a directory, live and held."""
        wanted = [name for name in set(names) if (parent_id, name) not in self._live]
        if parent_id in self._new_directories:
            return
        for start in range(0, len(wanted), NAMES_PER_QUERY):
            part = wanted[start : start + NAMES_PER_QUERY]
            self._live.update({(parent_id, name): None for name in part})
            # Left to itself, the optimiser goes through a tenant's whole table for many names.
            rows = await self._tx.fetch_all(
                f"SELECT {_COLUMNS} FROM entry FORCE INDEX (live_name) WHERE tenant_id = %s AND parent_id = %s"
                f" AND name IN ({hex_list(part)}) AND (removed_seq IS NULL OR removal = 'deleted') ORDER BY id DESC",
                (self._tenant_id, parent_id),
            )
            for node in map(node_of, rows):
                if node.removal is None:
                    self._live[parent_id, node.name] = node
                else:
                    self._held.setdefault((parent_id, node.name), []).append(node)

    async def load_paths(self, root_id: int, paths: Iterable[tuple[bytes, ...]]) -> None:
        """Read every name that stands on these paths, one directory at a time."""
        names: dict[tuple[bytes, ...], set[bytes]] = {}
        for path in paths:
            if path:
                names.setdefault(path[:-1], set()).add(path[-1])
        for folder in list(names):
            for depth, name in enumerate(folder):
                names.setdefault(folder[:depth], set()).add(name)
        ids: dict[tuple[bytes, ...], int] = {(): root_id}
        for folder in sorted(names, key=len):
            if folder:
                above_id = ids.get(folder[:-1])
                node = None if above_id is None else self.get(above_id, folder[-1])
                if node is None or node.kind is not EntryKind.DIRECTORY:
                    continue
                ids[folder] = node.node_id
            await self.load(ids[folder], names[folder])

    async def entry(self, entry_id: int) -> Node | None:
        """One entry of this device by id, live or not; with its name loaded."""
        row = await self._tx.fetch_one(
            f"SELECT {_COLUMNS} FROM entry WHERE tenant_id = %s AND id = %s AND device_id = %s",
            (self._tenant_id, entry_id, self.device_id),
        )
        if row is None:
            return None
        node = node_of(row)
        await self.load(node.parent_id, [node.name])
        return node

    async def children(self, parents: Sequence[int], removed_seq: int | None) -> list[Node]:
        """The entries in these directories: live ones, or those that the manifest `removed_seq` deleted."""
        found: list[Node] = []
        ended = "removed_key = 0" if removed_seq is None else "removed_key = %s AND removal = 'deleted'"
        bound = () if removed_seq is None else (removed_seq,)
        for start in range(0, len(parents), NAMES_PER_QUERY):
            part = parents[start : start + NAMES_PER_QUERY]
            marks = ",".join(["%s"] * len(part))
            rows = await self._tx.fetch_all(
                f"SELECT {_COLUMNS} FROM entry WHERE tenant_id = %s AND parent_id IN ({marks}) AND {ended}",
                (self._tenant_id, *part, *bound),
            )
            found.extend(map(node_of, rows))
        if removed_seq is not None:
            return found
        # What this manifest changed already is seen as changed.
        return [node for node in found if self._still_live(node)] + self._added_in(parents)

    def _still_live(self, node: Node) -> bool:
        key = (node.parent_id, node.name)
        known = self._live.get(key, node)
        self._live.setdefault(key, node)
        return known is not None and known.id == node.id

    def _added_in(self, parents: Sequence[int]) -> list[Node]:
        wanted = set(parents)
        return [n for n in self._live.values() if n is not None and n.id == 0 and n.parent_id in wanted]

    async def live_of(self, node_id: int) -> Node | None:
        """The live entry of a file's place, whatever its name is now; with its name loaded."""
        row = await self._tx.fetch_one(
            f"SELECT {_COLUMNS} FROM entry WHERE tenant_id = %s AND node_id = %s AND device_id = %s"
            " AND removed_key = 0",
            (self._tenant_id, node_id, self.device_id),
        )
        if row is None:
            return None
        node = node_of(row)
        await self.load(node.parent_id, [node.name])
        return node

    async def reach_below(self, node_id: int) -> tuple[int, int]:
        """How far the live content of a directory reaches below it: levels, and bytes of the longest path, slashes
        between its names included."""
        levels, longest = 0, 0
        level = {node_id: 0}
        while level:
            deeper: dict[int, int] = {}
            is_empty = True
            for start in range(0, len(level), NAMES_PER_QUERY):
                part = list(level)[start : start + NAMES_PER_QUERY]
                marks = ",".join(["%s"] * len(part))
                within = f"FROM entry WHERE tenant_id = %s AND removed_key = 0 AND parent_id IN ({marks})"
                for parent_id, name_bytes in await self._tx.fetch_all(
                    f"SELECT parent_id, MAX(LENGTH(name)) {within} GROUP BY parent_id", (self._tenant_id, *part)
                ):
                    is_empty = False
                    longest = max(longest, level[parent_id] + name_bytes)
                for parent_id, child_id, name_bytes in await self._tx.fetch_all(
                    f"SELECT parent_id, node_id, LENGTH(name) {within} AND kind = 'directory'", (self._tenant_id, *part)
                ):
                    deeper[child_id] = level[parent_id] + name_bytes + 1
            levels += not is_empty
            level = deeper
        return levels, longest

    async def latest_directory(self, node_id: int) -> Node | None:
        """The newest entry of a directory, live or not; None for a root."""
        row = await self._tx.fetch_one(
            f"SELECT {_COLUMNS} FROM entry WHERE tenant_id = %s AND node_id = %s AND kind = 'directory'"
            " ORDER BY added_seq DESC, id DESC LIMIT 1",
            (self._tenant_id, node_id),
        )
        if row is None:
            return None
        node = node_of(row)
        await self.load(node.parent_id, [node.name])
        return node
