"""What an export is asked for, and what is kept of it so that it can be asked for again."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

import msgspec

from catalog.values import Area, Chosen, EntryPath, Member, PlannedPart


class Planner(Protocol):
    """Gives each member its name and place. One planner for one export, in the order of its members."""

    async def place(self, chosen: Sequence[Chosen]) -> list[Member]:
        """The next members; those that have no place of their own are left out."""

    def finish(self) -> list[PlannedPart]:
        """The parts, at least one, after all members were placed."""


@dataclass(frozen=True, slots=True)
class Directory:
    """A folder's content; the area's root stands for the whole area."""

    device_id: int
    area: Area
    path: EntryPath


@dataclass(frozen=True, slots=True)
class Terms:
    """What all kinds of export have: their name; the moment they show, None for now; and how long a part may be."""

    name: str
    time_zone: str
    at: datetime | None = None
    part_bytes_max: int | None = None


class Selection(msgspec.Struct, frozen=True, omit_defaults=True):
    """Kept with an export. One of: entries, by what stays of them through versions and renames; a directory, by its id;
    the query of a search, as its address has it."""

    nodes: list[int] = []
    directory: int | None = None
    device: int | None = None
    search: str | None = None
