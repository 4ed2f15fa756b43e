"""`Plan`: works out what a manifest adds, removes and recovers on one device. Reads through a `Tree`, writes nothing.

The rules of names: one live name per directory; a directory never takes a file's place nor a file a directory's;
the same bytes at the same place change nothing; bytes that lie in the hold under the same name come back to life.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from msgspec.structs import replace

from cas.digest import Digest
from catalog.changes import (
    AddDirectory,
    AddFile,
    AddKnown,
    AddLink,
    Change,
    DeleteEmpty,
    DeleteEntry,
    EntryChange,
    MoveEntry,
    PathChange,
    RecoverEntry,
    RemovePath,
    RenameEntry,
    RevertEntry,
)
from catalog.errors import BadPath, BadRequest, Conflict, NameTaken, NotFound, NotPossessed
from catalog.ledger import Ledger
from catalog.names import numbered
from catalog.possession import Possessed
from catalog.tree import Node, Tree
from catalog.values import PATH_BYTES_MAX, PATH_LEVELS_MAX, Area, EntryKind, EntryPath, Removal


@dataclass(slots=True)
class Counts:
    added: int = 0
    replaced: int = 0
    unchanged: int = 0
    removed: int = 0


@dataclass(slots=True)
class Plan:
    """`added`, `removed` and `recovered` are to be written; `charged_bytes` counts in the quota."""

    tree: Tree
    ledger: Ledger
    known: Mapping[Digest, Possessed]
    now_ns: int
    added: list[Node] = field(default_factory=list)
    removed: list[tuple[Node, Removal]] = field(default_factory=list)
    recovered: set[int] = field(default_factory=set)
    new_directories: list[Node] = field(default_factory=list)
    counts: Counts = field(default_factory=Counts)
    charged_bytes: int = 0
    file_count: int = 0
    size_bytes: int = 0
    _directories: dict[tuple[Area, tuple[bytes, ...]], int] = field(default_factory=dict)
    """Directories found or made on the way; forgotten as soon as one is removed or renamed."""

    @property
    def is_empty(self) -> bool:
        return not (self.added or self.removed)

    async def apply(self, change: Change) -> Node | None:
        """Work one change into the plan; returns the entry it leaves, if any. Its path's names must be loaded."""
        match change:
            case RemovePath():
                await self._remove_path(change)
                return None
            case AddFile() | AddKnown() | AddDirectory() | AddLink():
                return await self._add_path(change)
            case _:
                return await self._apply_to_entry(change)

    # -- adding by path ---------------------------------------------------------------------------------------------

    def add_at_hand(self, change: Change) -> Node | None:
        """As `apply`, for a file whose folder and name need no look into the database: nearly all of a backup. None
        where they do, or it is another change; nothing has changed then."""
        if not isinstance(change, AddKnown):
            return None
        names = change.path.names
        parent_id = self._directories.get((change.area, names[:-1]))
        if parent_id is None or not self.tree.knows(parent_id, names[-1]):
            return None
        blob_id, size_bytes = self._possessed(change)
        mtime_ns = change.mtime_ns
        want = Node(
            0, 0, parent_id, change.area, names[-1], EntryKind.FILE, blob_id, size_bytes, change.mode,
            self.now_ns if mtime_ns is None else mtime_ns,
        )  # fmt: skip
        return self._put(want, change.path, keeps_mtime=mtime_ns is None)

    async def _add_path(self, change: PathChange) -> Node:
        if not change.path.names:
            raise BadRequest("The path is empty. Name the file.")
        parent_id = await self._directory(change.path.names[:-1], change.area)
        if not self.tree.knows(parent_id, change.path.names[-1]):
            await self.tree.load(parent_id, [change.path.names[-1]])
        keeps_mtime = getattr(change, "mtime_ns", None) is None
        want = self._wanted(change, parent_id)
        if isinstance(change, AddFile) and change.beside:
            want = replace(want, name=await self._name_beside(want))
        return self._put(want, change.path, keeps_mtime=keeps_mtime)

    async def _name_beside(self, want: Node) -> bytes:
        """The name asked for, or `name-2`, `name-3` … where a file with other bytes, or a folder, has it."""
        candidate, count = want.name, 1
        while True:
            await self.tree.load(want.parent_id, [candidate])
            there = self.tree.get(want.parent_id, candidate)
            if there is None or there.blob_id == want.blob_id:
                return candidate
            count += 1
            candidate = numbered(want.name, b"", count)

    def _wanted(self, change: PathChange, parent_id: int) -> Node:
        """The entry that the change asks for, still without ids; `mode` and times as asked."""
        kind, blob_id, size, target, mode = EntryKind.DIRECTORY, None, 0, None, None
        match change:
            case AddFile():
                kind, blob_id, size, mode = EntryKind.FILE, change.blob_id, change.blob.size_bytes, change.mode
            case AddKnown():
                kind, mode = EntryKind.FILE, change.mode
                blob_id, size = self._possessed(change)
            case AddLink():
                kind, target = EntryKind.LINK, change.target
            case AddDirectory():
                mode = change.mode
        mtime = getattr(change, "mtime_ns", None)
        return Node(
            0, 0, parent_id, change.area, change.path.name, kind, blob_id, size, mode,
            self.now_ns if mtime is None else mtime, None, target,
        )  # fmt: skip

    def _possessed(self, change: AddKnown) -> tuple[int, int]:
        if change.digest not in self.known:
            raise NotPossessed([change.digest])
        known = self.known[change.digest]
        size_bytes = known.blob.size_bytes
        if size_bytes != change.size_bytes:
            raise BadRequest(
                f"The file {change.path} has {size_bytes:,} bytes, not {change.size_bytes:,}. Read it again."
            )
        return known.blob_id, size_bytes

    async def _directory(self, names: tuple[bytes, ...], area: Area) -> int:
        """The id of the directory at this path, made with its parents where it is missing."""
        known = self._directories.get((area, names))
        if known is not None:
            return known
        if not names:
            return await self.tree.root(area)
        parent_id = await self._directory(names[:-1], area)
        await self.tree.load(parent_id, names[-1:])
        live = self.tree.get(parent_id, names[-1])
        if live is None:
            live = self._add_new(Node(0, 0, parent_id, area, names[-1], EntryKind.DIRECTORY, mtime_ns=self.now_ns))
        elif live.kind is not EntryKind.DIRECTORY:
            raise Conflict(
                f"“{_shown(names[-1])}” is a file, so no folder of that name can be made. Rename one of them."
            )
        self._directories[area, names] = live.node_id
        return live.node_id

    def _put(self, want: Node, path: EntryPath, *, keeps_mtime: bool) -> Node:
        live = self.tree.get(want.parent_id, want.name)
        if live is None:
            return self._revive(want) or self._add_new(want)
        if live.id == 0 and live.kind is not EntryKind.DIRECTORY:
            raise BadRequest(f"The path {path} is named twice in one manifest. Name it once.")
        if (live.kind is EntryKind.DIRECTORY) is not (want.kind is EntryKind.DIRECTORY):
            there = "folder" if live.kind is EntryKind.DIRECTORY else "file"
            raise Conflict(f"There is a {there} named “{_shown(want.name)}” already. Rename one of them.")
        if (live.kind, live.blob_id, live.link_target) == (want.kind, want.blob_id, want.link_target):
            return self._amend(live, replace(want, mtime_ns=live.mtime_ns) if keeps_mtime else want)
        self.counts.replaced += 1
        self._end(live, Removal.REPLACED)
        self.charged_bytes += want.size_bytes
        return self._begin(replace(want, node_id=live.node_id))

    def _amend(self, live: Node, want: Node) -> Node:
        """The same bytes at the same place: new only where the time or the mode is."""
        mode = live.mode if want.mode is None else want.mode
        if live.id == 0:
            live.mtime_ns, live.mode = want.mtime_ns, mode
            return live
        if (live.mtime_ns, live.mode) == (want.mtime_ns, mode):
            self.counts.unchanged += 1
            return live
        self.counts.replaced += 1
        self._end(live, Removal.AMENDED)
        return self._begin(replace(want, node_id=live.node_id, mode=mode, taken_ns=live.taken_ns))

    def _revive(self, want: Node) -> Node | None:
        """If the same bytes lie in the hold under this name, they live again and cost nothing more."""
        for held in self.tree.held(want.parent_id, want.name):
            if want.blob_id is not None and held.blob_id == want.blob_id and held.removal is Removal.DELETED:
                self._mark_recovered(held)
                self.counts.added += 1
                return self._begin(replace(want, node_id=held.node_id, taken_ns=held.taken_ns))
        return None

    def _add_new(self, want: Node) -> Node:
        self.counts.added += want.kind is not EntryKind.DIRECTORY
        self.charged_bytes += want.size_bytes
        want.node_id = self.ledger.take_id()
        node = self._begin(want)
        if node.kind is EntryKind.DIRECTORY:
            self.new_directories.append(node)
            self.tree.put_new_directory(node)
        return node

    # -- by entry ---------------------------------------------------------------------------------------------------

    async def _apply_to_entry(self, change: EntryChange) -> Node | None:
        match change:
            case DeleteEntry(entry_id):
                await self._delete_entry(entry_id)
                return None
            case DeleteEmpty(entry_id):
                await self._delete_empty(entry_id)
                return None
            case RenameEntry(entry_id, name):
                return await self._rename(entry_id, name)
            case MoveEntry(entry_id, directory):
                return await self._move(entry_id, directory)
            case RevertEntry(entry_id):
                return await self._revert(entry_id)
            case RecoverEntry(entry_id):
                return await self._recover_entry(entry_id)

    async def _live_entry(self, entry_id: int) -> Node:
        node = await self.tree.entry(entry_id)
        if node is None or node.removal is not None:
            raise NotFound("file")
        return node

    async def _rename(self, entry_id: int, name: bytes) -> Node:
        node = await self._live_entry(entry_id)
        if name == node.name:
            self.counts.unchanged += 1
            return node
        await self.tree.load(node.parent_id, [name])
        if self.tree.get(node.parent_id, name) is not None:
            raise NameTaken(f"There is a file or folder named “{_shown(name)}” here already. Choose another name.")
        self.counts.replaced += 1
        self._end(node, Removal.RENAMED)
        return self._begin(replace(node, id=0, name=name))

    async def _move(self, entry_id: int, directory: EntryPath) -> Node:
        node = await self._live_entry(entry_id)
        if node.kind is EntryKind.DIRECTORY:
            await self._check_may_hold(directory, node)
        parent_id = await self._directory(directory.names, node.area)
        if parent_id == node.parent_id:
            self.counts.unchanged += 1
            return node
        await self.tree.load(parent_id, [node.name])
        if self.tree.get(parent_id, node.name) is not None:
            raise NameTaken(
                f"There is a file or folder named “{_shown(node.name)}” in that folder already. Rename one of them."
            )
        self.counts.replaced += 1
        self._end(node, Removal.RENAMED)
        return self._begin(replace(node, id=0, parent_id=parent_id))

    async def _check_may_hold(self, directory: EntryPath, moved: Node) -> None:
        """Whether a folder may go into this one: not into itself, nor so deep that a path in it gets too long."""
        parent_id = await self.tree.root(moved.area)
        for name in directory.names:
            await self.tree.load(parent_id, [name])
            step = self.tree.get(parent_id, name)
            if step is None or step.kind is not EntryKind.DIRECTORY:
                break
            if step.node_id == moved.node_id:
                raise Conflict("A folder cannot be moved into itself. Choose another one.")
            parent_id = step.node_id
        levels, path_bytes = await self.tree.reach_below(moved.node_id)
        if len(directory.names) + 1 + levels > PATH_LEVELS_MAX:
            raise BadPath(f"A path has at most {PATH_LEVELS_MAX} levels. Choose a folder further up.")
        if len(directory.raw) + len(moved.name) + 2 + path_bytes > PATH_BYTES_MAX:
            raise BadPath(f"A path has at most {PATH_BYTES_MAX:,} bytes. Choose a folder further up.")

    async def _revert(self, entry_id: int) -> Node:
        old = await self.tree.entry(entry_id)
        if old is None or old.kind is not EntryKind.FILE:
            raise NotFound("version")
        live = await self.tree.live_of(old.node_id)
        if live is None:
            raise Conflict("This file was deleted. Recover it first, then take the version that you want.")
        if live.blob_id == old.blob_id:
            self.counts.unchanged += 1
            return live
        self.counts.replaced += 1
        self._end(live, Removal.REPLACED)
        self.charged_bytes += old.size_bytes
        return self._begin(
            replace(old, id=0, parent_id=live.parent_id, name=live.name, area=live.area, removed_seq=None, removal=None)
        )

    async def _delete_entry(self, entry_id: int) -> None:
        node = await self._live_entry(entry_id)
        if self._is_live(node):
            await self._delete(node)

    async def _delete_empty(self, entry_id: int) -> None:
        node = await self._live_entry(entry_id)
        if self._is_live(node) and not await self.tree.children([node.node_id], None):
            await self._delete(node)

    async def _remove_path(self, change: RemovePath) -> None:
        parent_id = await self.tree.root(change.area)
        node: Node | None = None
        for name in change.path.names:
            await self.tree.load(parent_id, [name])
            node = self.tree.get(parent_id, name)
            if node is None:
                return
            parent_id = node.node_id
        if node is not None and node.id:
            await self._delete(node)

    async def _delete(self, node: Node) -> None:
        self._end(node, Removal.DELETED)
        self.counts.removed += 1
        level = [node.node_id] if node.kind is EntryKind.DIRECTORY else []
        while level:
            children = [child for child in await self.tree.children(level, None) if child.id]
            for child in children:
                self._end(child, Removal.DELETED)
                self.counts.removed += 1
            level = [child.node_id for child in children if child.kind is EntryKind.DIRECTORY]

    async def _recover_entry(self, entry_id: int) -> Node | None:
        node = await self.tree.entry(entry_id)
        if node is None or node.removal is None:
            raise NotFound("deleted file")
        if node.removal is not Removal.DELETED or self._is_recovered(node):
            self.counts.unchanged += 1
            return None
        return await self._recover(node, await self._living_parent(node))

    async def _recover(self, node: Node, parent_id: int) -> Node:
        """Bring one entry back under `parent_id`, and what a directory lost along with it."""
        await self.tree.load(parent_id, [node.name])
        self._mark_recovered(node)
        there = self.tree.get(parent_id, node.name)
        if node.kind is EntryKind.DIRECTORY and there is not None and there.kind is EntryKind.DIRECTORY:
            back = there
        else:
            name = await self._free_name(parent_id, node.name)
            fresh = replace(node, id=0, parent_id=parent_id, name=name, removed_seq=None, removal=None)
            back = self._begin(fresh)
            self.counts.added += 1
        if node.kind is EntryKind.DIRECTORY:
            for child in await self.tree.children([node.node_id], node.removed_seq):
                if not self._is_recovered(child):
                    await self._recover(child, back.node_id)
        return back

    async def _living_parent(self, node: Node) -> int:
        """The directory the entry lay in, itself brought back (without the rest of its content) if it is gone."""
        directory = await self.tree.latest_directory(node.parent_id)
        if directory is None or self._is_live(directory):
            return node.parent_id
        parent_id = await self._living_parent(directory)
        await self.tree.load(parent_id, [directory.name])
        there = self.tree.get(parent_id, directory.name)
        if there is not None and there.kind is EntryKind.DIRECTORY:
            return there.node_id
        name = await self._free_name(parent_id, directory.name)
        self._mark_recovered(directory)
        fresh = replace(directory, id=0, parent_id=parent_id, name=name, removed_seq=None, removal=None)
        return self._begin(fresh).node_id

    async def _free_name(self, parent_id: int, name: bytes) -> bytes:
        """`name`, or `name-recovered`, `name-recovered-2` … where it is taken."""
        candidate, count = name, 0
        while True:
            await self.tree.load(parent_id, [candidate])
            if self.tree.get(parent_id, candidate) is None:
                return candidate
            count += 1
            candidate = numbered(name, b"-recovered", count)

    # -- bookkeeping ------------------------------------------------------------------------------------------------

    def _is_live(self, node: Node) -> bool:
        there = self.tree.get(node.parent_id, node.name)
        return there is not None and there.node_id == node.node_id

    def _is_recovered(self, node: Node) -> bool:
        return node.id in self.recovered

    def _mark_recovered(self, node: Node) -> None:
        if node.removal is Removal.DELETED:
            self.recovered.add(node.id)
            node.removal = Removal.RECOVERED

    def _begin(self, node: Node) -> Node:
        self.added.append(node)
        self.tree.put(node)
        if node.kind is EntryKind.FILE:
            self.file_count += 1
            self.size_bytes += node.size_bytes
        return node

    def _end(self, node: Node, why: Removal) -> None:
        if node.kind is EntryKind.DIRECTORY:
            self._directories.clear()
        self.removed.append((node, why))
        self.tree.drop(node)
        if node.kind is EntryKind.FILE:
            self.file_count -= 1
            self.size_bytes -= node.size_bytes


def _shown(name: bytes) -> str:
    return name.decode("utf-8", "replace")
