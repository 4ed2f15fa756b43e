"""Deleting for good, and the rule by which old versions go by themselves. An owner's acts: a device token can reach
neither, so that malware on a computer cannot erase that computer's backup."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from catalog.values import Retention
from web.answers import json_answer
from web.api_entries import selected_ids
from web.bodies import read_json
from web.sessions import Caller, require_owner


class Rule(msgspec.Struct, forbid_unknown_fields=True):
    versions: int | None
    days: int | None


async def purge_entries(request: Request, caller: Caller) -> Response:
    """Gone for good, folders with all that ever lay in them."""
    require_owner(caller, "delete files for good")
    done = await caller.scope.purge.entries(await selected_ids(request))
    return json_answer({"purged": done.entries, "files": done.files, "freed": done.freed_bytes})


async def get_retention(_request: Request, caller: Caller) -> Response:
    """The rule for old versions."""
    return json_answer(_rule_json(await caller.scope.retention.get()))


async def set_retention(request: Request, caller: Caller) -> Response:
    """Another rule for old versions."""
    require_owner(caller, "change how long old versions are kept")
    wanted = await read_json(request, Rule)
    return json_answer(_rule_json(await caller.scope.retention.set(Retention(wanted.versions, wanted.days))))


def _rule_json(rule: Retention) -> dict[str, int | None]:
    return {"versions": rule.versions_kept, "days": rule.days_kept}
