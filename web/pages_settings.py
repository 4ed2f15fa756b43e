"""The page of the account's settings: how long replaced versions are kept."""

from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import BadRequest
from catalog.values import Retention
from web.answers import see_other
from web.bodies import Form, field
from web.errors import problem_of
from web.notices import with_notice
from web.page_context import person_page
from web.sessions import Caller, is_owner, require_owner
from web.state import services


async def settings_page(
    request: Request, caller: Caller, error: BadRequest | None = None, fields: Form | None = None, /
) -> Response:
    """The rule as it stands, or as it was typed and refused. A member sees it and may not change it."""
    rule = await caller.scope.retention.get()
    return await person_page(
        request,
        caller,
        "settings.html",
        "settings",
        problem_of(error).status if error else 200,
        rule=rule,
        may_change=is_owner(caller),
        hold_days=services(request).settings.hold_days,
        typed=_typed(fields) if fields else _fields_of(rule),
        problem=str(error) if error else None,
    )


async def change_settings(request: Request, caller: Caller, fields: Form) -> Response:
    """Another rule for replaced versions. What it does not keep goes with the next sweep."""
    require_owner(caller, "change how long old versions are kept")
    try:
        await caller.scope.retention.set(_rule_of(fields))
    except BadRequest as error:
        return await settings_page(request, caller, error, fields)
    return with_notice(see_other("/settings"), services(request).settings, "saved")


def _rule_of(fields: Form) -> Retention:
    """Raises `BadRequest`."""
    if field(fields, "keep") == "all":
        return Retention()
    rule = Retention(_number(fields, "versions"), _number(fields, "days"))
    if rule == Retention():
        raise BadRequest("Say how many versions to keep, or for how many days, or both.")
    return rule


def _number(fields: Form, name: str) -> int | None:
    """None where the field is empty. Raises `BadRequest`."""
    text = field(fields, name).strip()
    if not text:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 9:
        raise BadRequest(f"Write the number of {name} in digits, or leave it empty.")
    return int(text)


def _typed(fields: Form) -> dict[str, str]:
    return {name: field(fields, name) for name in ("keep", "versions", "days")}


def _fields_of(rule: Retention) -> dict[str, str]:
    versions, days = ("" if kept is None else str(kept) for kept in (rule.versions_kept, rule.days_kept))
    return {"keep": "all" if rule == Retention() else "some", "versions": versions, "days": days}
