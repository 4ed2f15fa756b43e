"""Paths of entries: names from the area's root down, climbed a level at a time for many entries at once."""

from collections.abc import Iterable, Sequence
from typing import Final

from catalog.database import Transaction
from catalog.values import PATH_LEVELS_MAX, Area, EntryPath

_IDS_PER_QUERY: Final = 1_000


async def root_id(tx: Transaction, tenant_id: int, device_id: int, area: Area) -> int | None:
    """The id of the area's root directory; None if there is no such live device."""
    row = await tx.fetch_one(
        "SELECT d.id FROM directory d JOIN device v ON v.tenant_id = d.tenant_id AND v.id = d.device_id"
        " WHERE d.tenant_id = %s AND d.device_id = %s AND d.area = %s AND d.is_root = 1 AND v.removed_key = 0",
        (tenant_id, device_id, str(area)),
    )
    return None if row is None else int(row[0])


async def directory_paths(
    tx: Transaction, tenant_id: int, node_ids: Iterable[int], until: int | None = None
) -> dict[int, EntryPath]:
    """The path of each directory: by its live name, or its last one where it is deleted; with `until`, as of that
    manifest of their device. Roots have no name."""
    names: dict[int, tuple[int, bytes] | None] = {}
    wanted = set(node_ids)
    while wanted:
        found = await _names_of(tx, tenant_id, sorted(wanted), until)
        names.update({node_id: found.get(node_id) for node_id in wanted})
        wanted = {parent for step in found.values() if (parent := step[0]) not in names}
    return {node_id: _climb(names, node_id) for node_id in node_ids}


def _climb(names: dict[int, tuple[int, bytes] | None], node_id: int) -> EntryPath:
    up: list[bytes] = []
    step = names.get(node_id)
    while step is not None and len(up) < PATH_LEVELS_MAX:
        up.append(step[1])
        step = names.get(step[0])
    return EntryPath(tuple(reversed(up)))


async def _names_of(
    tx: Transaction, tenant_id: int, node_ids: Sequence[int], until: int | None
) -> dict[int, tuple[int, bytes]]:
    """directory → (parent, name) by its newest entry. Directories have few entries each: one per rename."""
    found: dict[int, tuple[int, bytes]] = {}
    then = "" if until is None else f" AND added_seq <= {until:d}"
    for start in range(0, len(node_ids), _IDS_PER_QUERY):
        part = node_ids[start : start + _IDS_PER_QUERY]
        rows = await tx.fetch_all(
            "SELECT node_id, parent_id, name FROM entry WHERE tenant_id = %s"
            f" AND node_id IN ({','.join(['%s'] * len(part))}){then} ORDER BY node_id, added_seq, id",
            (tenant_id, *part),
        )
        found.update({node_id: (parent_id, bytes(name)) for node_id, parent_id, name in rows})
    return found
