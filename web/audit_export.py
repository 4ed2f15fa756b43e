"""The audit as a file: CSV for spreadsheets, JSON for programs and for proving it (docs/audit.md).

What always holds: made page by page while it is sent, and nothing is sent before the first page is read, so that a
filter for what the caller does not see is refused; no field of the CSV can be taken for a formula.
"""

import csv
import io
from collections.abc import AsyncGenerator, Sequence
from typing import Final

import msgspec

from catalog.audit import AuditFilter
from catalog.tenant import TenantScope
from catalog.values import AuditEvent
from web.shapes import event_json
from web.times import moment_text

CSV_COLUMNS: Final = (
    "number", "time (UTC)", "who", "kind", "on behalf of", "action", "subject", "device", "address", "grant", "detail",
    "hash",
)  # fmt: skip
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""What a spreadsheet takes for the beginning of a formula (OWASP, CSV injection); full-width ones too."""


async def csv_pieces(scope: TenantScope, wanted: AuditFilter) -> AsyncGenerator[bytes, None]:
    """UTF-8 with a byte order mark, which spreadsheets want; lines end with CR LF (RFC 4180)."""
    before = b"\xef\xbb\xbf" + _lines([CSV_COLUMNS])
    async for events in scope.audit.each(wanted):
        yield before + _lines([_fields(event) for event in events])
        before = b""
    if before:
        yield before


async def json_pieces(scope: TenantScope, wanted: AuditFilter) -> AsyncGenerator[bytes, None]:
    """One object: the account, whether events were left out by a filter, the head, and the events, oldest first."""
    head = await scope.audit.head()
    facts = {
        "account": scope.tenant.uuid,
        "filtered": not wanted.is_empty or scope.token_device is not None or scope.grant is not None,
        "head": {"number": head.sequence, "hash": head.hash.hex()},
    }
    begun = before = msgspec.json.encode(facts)[:-1] + b',"events":['
    async for events in scope.audit.each(wanted):
        yield before + b",\n".join(_object(event) for event in events)
        before = b",\n"
    yield (begun if before is begun else b"") + b"]}\n"


def guarded(text: str) -> str:
    """The text, which a spreadsheet shows and never computes."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _object(event: AuditEvent) -> bytes:
    """The event as the API has it, with `detail` as it was stored, and `actor_id`, which its hash covers."""
    shape = event_json(event) | {
        "detail": msgspec.Raw(event.detail_text.encode()),
        "actor_id": None if event.actor_id is None else str(event.actor_id),
    }
    return msgspec.json.encode(shape)


def _fields(event: AuditEvent) -> list[str]:
    return [
        str(event.id), moment_text(event.at), guarded(event.actor), event.actor_kind, guarded(event.on_behalf_of or ""),
        event.action, guarded(event.subject), _number(event.device_id), event.address or "", _number(event.grant_id),
        guarded(event.detail_text), event.hash.hex(),
    ]  # fmt: skip


def _number(value: int | None) -> str:
    return "" if value is None else str(value)


def _lines(rows: Sequence[Sequence[str]]) -> bytes:
    text = io.StringIO(newline="")
    csv.writer(text).writerows(rows)
    return text.getvalue().encode()
