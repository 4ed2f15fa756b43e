"""What must be true of the files of some computers, whatever happens: small enough to be seen to be right. Contents are
spoken of by their names."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

Key = tuple[int, str]
"""A computer and a name on it."""


@dataclass(frozen=True)
class Held:
    """A deleted file, until its hold ends or somebody purges or recovers it."""

    content: str
    deleted_at: datetime


@dataclass(frozen=True)
class Name:
    """What a name stands for: the live content, and what was deleted under it, by the id of the entry."""

    live: str | None = None
    held: Mapping[int, Held] = field(default_factory=dict)


@dataclass(frozen=True)
class Change:
    """What an operation does to one name, if it is acknowledged: the content that lives then, one that is deleted then,
    and those that are deleted no more. `revives`: of those with the live content, one lives again."""

    live: str | None
    deleted: str | None = None
    gone: frozenset[int] = frozenset()
    revives: bool = False


def fits(before: Name, change: Change, found: Name, expired: datetime) -> bool:
    """Whether `found` is what the change makes of `before`. What was deleted before `expired` may be gone, and need
    not be."""
    new = [held.content for entry_id, held in found.held.items() if entry_id not in before.held]
    lost = {entry_id: held for entry_id, held in before.held.items() if entry_id not in found.held}
    others = [held for entry_id, held in lost.items() if entry_id not in change.gone and held.deleted_at > expired]
    return (
        found.live == change.live
        and new == ([] if change.deleted is None else [change.deleted])
        and change.gone <= set(lost)
        and [held.content for held in others] in _revived(before, change, expired)
    )


def _revived(before: Name, change: Change, expired: datetime) -> list[list[str]]:
    """What may have come back to life, beside what may have expired before it could."""
    moments = [held.deleted_at for held in before.held.values() if held.content == change.live]
    if not change.revives or change.live is None or not moments:
        return [[]]
    return [[change.live], []] if min(moments) <= expired else [[change.live]]


def unchanged(name: Name) -> Change:
    return Change(name.live)


@dataclass
class Model:
    """All names, and the contents whose only copy was damaged: `known`, once a scrub has told of them."""

    hold: timedelta
    names: dict[Key, Name] = field(default_factory=dict)
    hurt: set[str] = field(default_factory=set)
    known: set[str] = field(default_factory=set)

    def name(self, key: Key) -> Name:
        return self.names.get(key, Name())

    @property
    def live(self) -> list[tuple[Key, str]]:
        return [(key, name.live) for key, name in sorted(self.names.items()) if name.live is not None]

    @property
    def held(self) -> list[tuple[Key, int]]:
        return [(key, entry_id) for key, name in sorted(self.names.items()) for entry_id in sorted(name.held)]

    def settle(self, changes: Mapping[Key, Change], found: Mapping[Key, Name], now: datetime) -> bool:
        """Take over what was found where all of the changes were made; False, and nothing taken, where not all."""
        if not all(fits(self.name(key), change, found[key], now - self.hold) for key, change in changes.items()):
            return False
        self.names |= {key: replace(found[key]) for key in changes}
        return True

    def heal(self, content: str) -> None:
        self.hurt.discard(content)
        self.known.discard(content)
