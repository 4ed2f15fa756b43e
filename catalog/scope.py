"""`Scope`: whose data a repository may touch. Every statement of a repository binds `scope.tenant.id`.

What always holds: who reaches some devices alone (a device token, staff with a grant) meets all others as not found.
A repository that takes a device's id passes it through `reach`; one that lists appends `within`; one that changes
entries goes through `catalog.commit`, which asks `require_writable`; what is not of one device asks
`require_customer` or `require_person`.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from catalog.blob_rows import id_list
from catalog.database import Database
from catalog.errors import NotAllowed, NotFound
from catalog.records import JournalWriter
from catalog.values import Actor, Tenant, UsedGrant

if TYPE_CHECKING:
    from catalog.search_indexes import SearchIndexes  # and numpy, which most who import this need not


@dataclass(frozen=True, slots=True)
class Scope:
    """One tenant, seen by one actor. `token_device`: the device of the device token that acts, if one does.
    `grant`: what lets staff in, if staff act."""

    database: Database
    journal: JournalWriter
    searches: "SearchIndexes"
    tenant: Tenant
    actor: Actor
    token_device: int | None
    hold_days: int
    grant: UsedGrant | None = None

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.tenant.time_zone)

    @property
    def devices(self) -> frozenset[int] | None:
        """The devices that are reached; None for all of the tenant's."""
        if self.token_device is not None:
            return frozenset({self.token_device})
        return None if self.grant is None else self.grant.devices

    def reach(self, device_id: int) -> int:
        """`device_id`, if this scope reaches that device; else it is not found."""
        if self.devices is not None and device_id not in self.devices:
            raise NotFound("device")
        return device_id

    def within(self, column: str) -> str:
        """`" AND column IN (…)"`, which keeps a statement to the devices that are reached; empty where all are."""
        if self.devices is None:
            return ""
        return f" AND {column} IN ({id_list(sorted(self.devices))})" if self.devices else " AND FALSE"

    def require_person(self, what: str) -> None:
        """Raise `NotAllowed` for a device token and for staff: `what` needs a signed-in person of the account."""
        self.require_customer(what)
        if self.token_device is not None:
            raise NotAllowed(f"A device token may not {what}. Sign in through the portal to do this.")

    def require_customer(self, what: str) -> None:
        """Raise `NotAllowed` for staff, whatever their grant."""
        if self.grant is not None:
            raise NotAllowed(f"Support staff may not {what}. Only the account's own people can.")

    def require_writable(self) -> None:
        """Raise `NotAllowed` for staff whose grant is for looking only."""
        if self.grant is not None and not self.grant.may_write:
            raise NotAllowed("This support access is for looking only. The account's owner can give another one.")
