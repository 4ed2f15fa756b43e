"""The OpenAPI document: the account, what it uses and keeps, and its status with OTB Billing."""

from typing import Final

from catalog.usage import DAYS_MAX
from catalog.values import MediaKind, Role
from web.openapi_parts import ABSENT, COMMON, LARGE, TYPED, Spec, answer, change, get, json_body, problem, query
from web.openapi_schemas import COUNT, FLAG, ID, TEXT, TIME, Schema, list_of, nullable, one_of, record, ref

SCHEMAS: Final[dict[str, Schema]] = {
    "Me": record(
        {
            "tenant": record({"id": TEXT, "label": TEXT, "time_zone": TEXT}),
            "user": nullable(record({"id": ID, "name": TEXT, "email": TEXT, "role": one_of(Role)})),
            "device": nullable(ref("Device")),
            "usage": record({"used_bytes": COUNT, "quota_bytes": COUNT, "file_count": COUNT, "device_count": COUNT}),
            "quota": COUNT,
            "csrf_token": nullable(TEXT),
            "support": nullable(record({"staff": TEXT, "issued_by": TEXT, "write": FLAG, "expires": TIME})),
        }
    ),
    "Retention": {
        **record({"versions": nullable(COUNT), "days": nullable(COUNT)}),
        "description": "Of each file the newest `versions` old versions are kept, and all that were replaced within the"
        " last `days` days. Both null: all, for ever.",
    },
    "AccountUsage": record(
        {
            "used_bytes": COUNT,
            "quota_bytes": COUNT,
            "file_count": COUNT,
            "device_count": COUNT,
            "breakdown": nullable(
                record(
                    {
                        "counted": TIME,
                        "live_bytes": COUNT,
                        "held_bytes": COUNT,
                        "version_bytes": COUNT,
                        "unique_bytes": {**COUNT, "description": "Each content once, within the account."},
                        "shared_bytes": {**COUNT, "description": "Of live content that several devices have."},
                        "devices": list_of(
                            record(
                                {
                                    "device": ID,
                                    "name": TEXT,
                                    "held_bytes": COUNT,
                                    "version_bytes": COUNT,
                                    "kinds": list_of(
                                        record({"kind": one_of(MediaKind), "files": COUNT, "bytes": COUNT})
                                    ),
                                }
                            )
                        ),
                    }
                )
            ),
            "days": list_of(
                record(
                    {
                        "day": {"type": "string", "format": "date"},
                        "logical_bytes": COUNT,
                        "files": COUNT,
                        "quota_bytes": COUNT,
                    }
                )
            ),
        }
    ),
    "BillingStatus": record({"billing_client": TEXT, "status": {"enum": ["active", "suspended", "closed"]}}),
}

PATHS: Final[dict[str, Spec]] = {
    "/api/v1/me": {"get": get("Who is signed in, what is used, and the CSRF token", {"200": answer("Me", "You.")})},
    "/api/v1/retention": {
        "get": get("How long old versions are kept", {"200": answer("Retention", "The rule.")}),
        "put": change(
            "Change how long old versions are kept: the owner alone, signed in",
            {"200": answer("Retention", "The rule from now on; what it does not keep goes with the next sweep.")},
            body=json_body("Retention"),
        ),
    },
    "/api/v1/usage": {
        "get": get(
            "What the account uses: by device and kind, and day by day; people only",
            {"200": answer("AccountUsage", "`breakdown` is null for a large account that was not counted yet.")},
            query("from", {"type": "string", "format": "date"}, "First day, in UTC."),
            query("to", {"type": "string", "format": "date"}, f"Last day, included; at most {DAYS_MAX} days."),
        )
    },
    "/api/v1/billing/status": {
        "post": {
            "summary": "OTB Billing reports that a customer is suspended, cancelled, or active again",
            "description": (
                "The body is a signed, one-time token (docs/handoff.md). A suspended or cancelled account is refused"
                " with its next request; its files are kept."
            ),
            "security": [],
            "requestBody": {"required": True, "content": {"application/jwt": {"schema": TEXT}}},
            "responses": {
                "200": answer("BillingStatus", "What the account's status is from now on."),
                "400": COMMON["400"],
                "403": problem("Not signed by OTB Billing, not for this, too old, or sent before."),
                "503": COMMON["503"],
            }
            | ABSENT
            | LARGE
            | TYPED,
        }
    },
}
