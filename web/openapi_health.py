"""The OpenAPI document: the health of the service."""

from typing import Final

from catalog.job_values import Outcome
from web.openapi_parts import JSON, Spec, answer
from web.openapi_schemas import COUNT, TEXT, TIME, Schema, list_of, nullable, one_of, record

SCHEMAS: Final[dict[str, Schema]] = {
    "Condition": record(
        {
            "status": {"enum": ["ok", "degraded", "unavailable"]},
            "database": record({"status": TEXT, "seconds": {"type": "number"}}),
            "uptime_seconds": COUNT,
            "load_average": record({name: {"type": "number"} for name in ("1m", "5m", "15m")}),
            "memory": record({"total_bytes": COUNT, "free_bytes": COUNT}),
            "disk": record({"total_bytes": COUNT, "free_bytes": COUNT}),
            "store": {"enum": ["ok", "read-only"]},
            "replica": record(
                {"status": {"enum": ["ok", "late", "none"]}, "whole": nullable(TIME), "dumped": nullable(TIME)}
            ),
        },
        {
            "verified": nullable(TIME),
            "damaged_blobs": COUNT,
            "missing_blobs": COUNT,
            "uploads_open": COUNT,
            "jobs": record(
                {
                    "waiting": COUNT,
                    "running": COUNT,
                    "set_aside": COUNT,
                    "oldest_waiting": nullable(TIME),
                    "ended": list_of(
                        record(
                            {"recipe": TEXT, "outcome": one_of(Outcome), "jobs": COUNT, "seconds": {"type": "number"}}
                        )
                    ),
                }
            ),
        },
    ),
    "Health": {"type": "object", "properties": {"status": TEXT}, "required": ["status"]},
}

PATHS: Final[dict[str, Spec]] = {
    "/livez": {
        "get": {"summary": "Is the process alive?", "security": [], "responses": {"200": answer("Health", "It is.")}}
    },
    "/readyz": {
        "get": {
            "summary": "Can it serve requests?",
            "security": [],
            "responses": {"200": answer("Health", "It can."), "503": answer("Health", "The database is away.")},
        }
    },
    "/health.json": {
        "get": {
            "summary": "How the service and its host are; nothing about any account",
            "security": [],
            "responses": {
                "200": answer("Condition", "`status` is `ok`, or `degraded` where an operator should look."),
                "503": answer("Condition", "The database is away."),
            },
        }
    },
    "/api/v1/openapi.json": {
        "get": {
            "summary": "This document",
            "security": [],
            "responses": {"200": {"description": "OpenAPI 3.1.", "content": {JSON: {"schema": {"type": "object"}}}}},
        }
    },
}
