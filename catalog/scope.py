"""`Scope`: whose data a repository may touch. Every statement of a repository binds `scope.tenant.id`."""

from dataclasses import dataclass
from zoneinfo import ZoneInfo

from catalog.database import Database
from catalog.errors import NotAllowed, NotFound
from catalog.records import JournalWriter
from catalog.values import Actor, Tenant


@dataclass(frozen=True, slots=True)
class Scope:
    """One tenant, seen by one actor. `only_device`: a device token reaches its own device alone."""

    database: Database
    journal: JournalWriter
    tenant: Tenant
    actor: Actor
    only_device: int | None
    hold_days: int

    @property
    def zone(self) -> ZoneInfo:
        return ZoneInfo(self.tenant.time_zone)

    def reach(self, device_id: int) -> int:
        """`device_id`, if this scope reaches that device; else it is not found."""
        if self.only_device is not None and device_id != self.only_device:
            raise NotFound("device")
        return device_id

    def require_person(self, what: str) -> None:
        """Raise `NotAllowed` for a device token: `what` needs a signed-in person."""
        if self.only_device is not None:
            raise NotAllowed(f"A device token may not {what}. Sign in through the portal to do this.")
