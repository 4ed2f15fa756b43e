"""The OpenAPI document: who may see the account: sessions and support access."""

from typing import Final

from catalog.grants import REASON_CHARACTERS_MAX, SECONDS_MAX, SECONDS_MIN
from web.openapi_parts import ABSENT, Spec, answer, change, get, json_body, path
from web.openapi_schemas import FLAG, ID, TEXT, TIME, Schema, list_of, nullable, page_of, record, ref

_GRANT: Final = path("grant", ID, "The support access's id.")

SCHEMAS: Final[dict[str, Schema]] = {
    "Grant": record(
        {
            "id": ID,
            "reason": TEXT,
            "write": FLAG,
            "devices": nullable(list_of(ID)),
            "state": {"type": "string", "enum": ["waiting", "use", "ended", "expired"]},
            "created": TIME,
            "created_by": TEXT,
            "expires": TIME,
            "redeemed": nullable(TIME),
            "staff": nullable(TEXT),
            "ended": nullable(TIME),
            "ended_by": nullable(TEXT),
        }
    ),
    "Grants": page_of("grants", "Grant"),
    "NewGrant": record(
        {
            "reason": {"type": "string", "minLength": 1, "maxLength": REASON_CHARACTERS_MAX},
            "seconds": {"type": "integer", "minimum": SECONDS_MIN, "maximum": SECONDS_MAX},
        },
        {"devices": nullable(list_of(ID)), "write": FLAG},
    ),
    "IssuedGrant": record({"grant": ref("Grant"), "token": TEXT}),
    "WatchedGrant": record({"grant": ref("Grant"), "events": list_of(ref("Event"))}),
    "Session": record(
        {
            "id": {"type": "string", "pattern": "^[0-9a-f]{32}$"},
            "user": TEXT,
            "address": nullable(TEXT),
            "user_agent": TEXT,
            "created": TIME,
            "seen": TIME,
            "expires": TIME,
            "current": FLAG,
        }
    ),
    "Sessions": page_of("sessions", "Session"),
}

PATHS: Final[dict[str, Spec]] = {
    "/api/v1/grants": {
        "get": get(
            "Support access that was given; owners only", {"200": answer("Grants", "Newest first, without tokens.")}
        ),
        "post": change(
            "Let support in once, for a while; owners only",
            {"201": answer("IssuedGrant", "The token is shown this once. It and the access end together.")} | ABSENT,
            body=json_body("NewGrant"),
        ),
    },
    "/api/v1/grants/{grant}": {
        "get": get(
            "One support access, and the newest of what staff did with it; owners only",
            {"200": answer("WatchedGrant", "It.")} | ABSENT,
            _GRANT,
        ),
        "delete": change(
            "End a support access; owners only",
            {"204": {"description": "Staff see nothing from the next request on."}} | ABSENT,
            _GRANT,
        ),
    },
    "/api/v1/sessions": {
        "get": get(
            "Where people are signed in: everybody's for an owner, else one's own",
            {"200": answer("Sessions", "The last used first.")},
        )
    },
    "/api/v1/sessions/{session}": {
        "delete": change(
            "End a session: anybody's for an owner, else one's own",
            {"204": {"description": "It is refused from the next request on."}} | ABSENT,
            path("session", {"type": "string", "pattern": "^[0-9a-f]{32}$"}, "The session's id, which opens nothing."),
        )
    },
}
