"""Deleting what somebody chose, and what was made of it, if that is wanted."""

from collections.abc import Sequence

from catalog.tenant import TenantScope
from catalog.values import CommitResult


async def delete_chosen(scope: TenantScope, entry_ids: Sequence[int], *, with_derived: bool) -> list[CommitResult]:
    """Into the hold, folders with their content; `with_derived`: and every live file that was made of them. All or
    none."""
    ids = list(entry_ids)
    if with_derived:
        ids += await scope.derived.made_of(ids)
    return await scope.entries.delete(ids)
