"""How much is let in at once: slots for what holds memory, and the tenants' bytes that are on their way in.

Both live in this process and end with it. The commit checks the quota again, under the tenant's lock; what is
counted here keeps a tenant from filling the disk with uploads that will be refused.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Final

from catalog.errors import QuotaExceeded
from catalog.tenant import TenantScope
from web.errors import Busy
from web.limits import QUOTA_STEP_BYTES


class Slots:
    """At most `count` at once, and at most `count_of_tenant` of one tenant."""

    def __init__(self, count: int, what: str, count_of_tenant: int | None = None) -> None:
        self._count: Final = count
        self._of_tenant: Final = count if count_of_tenant is None else count_of_tenant
        self._what: Final = what
        self._taken: Counter[int] = Counter()

    @contextmanager
    def take(self, tenant_id: int) -> Iterator[None]:
        """Hold a slot. Raises `Busy`."""
        if self._taken.total() >= self._count or self._taken[tenant_id] >= self._of_tenant:
            raise Busy(self._what)
        self._taken[tenant_id] += 1
        try:
            yield
        finally:
            self._taken[tenant_id] -= 1
            if not self._taken[tenant_id]:
                del self._taken[tenant_id]


class Incoming:
    """The bytes of uploads under way, per tenant."""

    def __init__(self) -> None:
        self.reserved_bytes: Counter[int] = Counter()


class Reservation:
    """The room of one upload, given back when it ends; by then the commit has charged what it stored."""

    def __init__(self, incoming: Incoming, scope: TenantScope) -> None:
        self._reserved = incoming.reserved_bytes
        self._scope = scope
        self._tenant_id = scope.tenant.id
        self._own_bytes = 0

    async def cover(self, size_bytes: int, *, exact: bool = False) -> None:
        """Make sure of room for `size_bytes` in all, in steps unless exact. Raises `QuotaExceeded`."""
        if size_bytes <= self._own_bytes:
            return
        step_bytes = -(-size_bytes // QUOTA_STEP_BYTES) * QUOTA_STEP_BYTES
        try:
            await self._reserve(size_bytes if exact else step_bytes)
        except QuotaExceeded:
            if exact:
                raise
            await self._reserve(size_bytes)

    async def _reserve(self, wanted_bytes: int) -> None:
        """Counted before it is checked, so that of two uploads at once the second sees the first."""
        before = self._own_bytes
        self._hold(wanted_bytes)
        others = self._reserved[self._tenant_id] - wanted_bytes
        try:
            await self._scope.blobs.check_room(others + wanted_bytes)
        except BaseException as e:
            self._hold(before)
            if isinstance(e, QuotaExceeded):
                raise QuotaExceeded(e.limit_bytes, e.used_bytes + others, wanted_bytes) from e
            raise

    def _hold(self, size_bytes: int) -> None:
        self._reserved[self._tenant_id] += size_bytes - self._own_bytes
        self._own_bytes = size_bytes
        if not self._reserved[self._tenant_id]:
            del self._reserved[self._tenant_id]

    def __enter__(self) -> "Reservation":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._hold(0)
