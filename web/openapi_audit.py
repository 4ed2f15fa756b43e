"""The OpenAPI document: the audit."""

from typing import Final

from web.limits import AUDIT_ITEMS_MAX
from web.openapi_parts import ABSENT, CURSOR, Spec, answer, get, limit, query
from web.openapi_schemas import COUNT, DATE, DIGEST, FLAG, ID, TEXT, TIME, Schema, list_of, nullable, record, ref

_AUDIT_FILTER: Final = (
    query("action", TEXT, "Of this kind only."),
    query("actor", TEXT, "By whoever has this name."),
    query("device", ID, "Of this device only."),
    query("grant", ID, "Done with this support access."),
    query("from", DATE, "First day, in the account's time zone."),
    query("to", DATE, "Last day, included."),
)

SCHEMAS: Final[dict[str, Schema]] = {
    "Event": record(
        {
            "id": ID,
            "at": TIME,
            "actor_kind": TEXT,
            "actor": TEXT,
            "action": TEXT,
            "subject": TEXT,
            "detail": {"type": "object"},
            "address": nullable(TEXT),
            "device": nullable(ID),
            "on_behalf_of": nullable(TEXT),
            "grant": nullable(ID),
            "hash": DIGEST,
        }
    ),
    "AuditHead": record({"number": COUNT, "hash": {"type": "string", "pattern": "^([0-9a-f]{64})?$"}}),
    "Events": record(
        {
            "events": list_of(ref("Event")),
            "head": ref("AuditHead"),
            "next": nullable(TEXT),
        }
    ),
    "AuditFile": record(
        {
            "account": TEXT,
            "filtered": FLAG,
            "head": ref("AuditHead"),
            "events": list_of({"type": "object"}),
        }
    ),
}

PATHS: Final[dict[str, Spec]] = {
    "/api/v1/audit": {
        "get": get(
            "Who did what in the account, when, from where",
            {"200": answer("Events", "Newest first.")} | ABSENT,
            *_AUDIT_FILTER,
            CURSOR,
            limit(AUDIT_ITEMS_MAX),
        )
    },
    "/api/v1/audit/activity.csv": {
        "get": get(
            "The same as a spreadsheet's file, oldest first",
            {
                "200": {
                    "description": "UTF-8. No field begins as a formula does.",
                    "content": {"text/csv; charset=utf-8; header=present": {"schema": TEXT}},
                }
            }
            | ABSENT,
            *_AUDIT_FILTER,
        )
    },
    "/api/v1/audit/activity.json": {
        "get": get(
            "The same as JSON, from which the chain of hashes can be proved",
            {"200": answer("AuditFile", "Oldest first; `detail` and `actor_id` as the hashes cover them.")} | ABSENT,
            *_AUDIT_FILTER,
        )
    },
}
