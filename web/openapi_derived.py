"""The OpenAPI document: thumbnails, derived files and their jobs."""

from typing import Final

from catalog.job_values import JobState
from catalog.jobs import FILES_PER_REQUEST_MAX
from catalog.recipes import SourceKind
from web.limits import JOBS_MAX
from web.openapi_parts import (
    ABSENT,
    COMMON,
    CSRF,
    CURSOR,
    ENTRY,
    JSON,
    LARGE,
    Spec,
    answer,
    limit,
    path,
    problem,
    query,
)
from web.openapi_schemas import (
    BINARY,
    COUNT,
    DIGEST,
    ID,
    PATH,
    TEXT,
    TIME,
    Schema,
    list_of,
    nullable,
    one_of,
    record,
    ref,
)

_ENDED: Final[Spec] = {"409": problem("The job is not in a state in which this can be done.")}
_JOB: Final = path("job", ID, "The job's id.")
_QUIET: Final = query(
    "quiet", {"type": "string", "enum": ["1"]}, "For pages that ask for many: no problem where there is none."
)


def _rendition(what: str, types: tuple[str, ...]) -> Spec:
    return {
        "get": {
            "summary": what,
            "parameters": [ENTRY, _QUIET],
            "responses": {
                "200": {
                    "description": "It. `ETag` is its digest.",
                    "content": {media_type: {"schema": BINARY} for media_type in types},
                },
                "202": answer("Coming", "It is being made; ask again after `Retry-After` seconds."),
                "204": {"description": "With `quiet=1`: none will be made of it."},
                "304": {"description": "It is what `If-None-Match` names."},
                "404": problem("There is no such entry, or none will be made of it."),
                "500": problem("The stored copy is damaged."),
            }
            | LARGE
            | COMMON,
        }
    }


def _call(summary: str, answers: Spec, *parameters: Spec) -> Spec:
    return {"summary": summary, "parameters": list(parameters), "responses": LARGE | answers | COMMON}


_VALUES: Final[Schema] = {"type": "object", "additionalProperties": {"type": ["integer", "string"]}}
_NUMBER: Final[Schema] = {"type": "number"}
_HOW: Final[Schema] = {"recipe": TEXT, "version": COUNT, "parameters": _VALUES, "made": TIME}

SCHEMAS: Final[dict[str, Schema]] = {
    "Coming": record({"state": {"type": "string", "enum": ["coming"]}}),
    "Facts": record(
        {
            "kind": one_of(SourceKind),
            "media_type": TEXT,
            "width": nullable(COUNT),
            "height": nullable(COUNT),
            "duration": nullable({"type": "number", "minimum": 0, "description": "Seconds."}),
            "pages": nullable(COUNT),
            "taken": nullable(TIME),
            "taken_source": nullable({**TEXT, "description": "The field that says so."}),
            "camera": nullable(TEXT),
            "latitude": nullable(_NUMBER),
            "longitude": nullable(_NUMBER),
        }
    ),
    "Derivation": record({"entry": ref("Entry"), **_HOW}),
    "Origin": record({"digest": DIGEST, "entry": nullable(ref("Entry")), **_HOW}),
    "DerivedFiles": record(
        {"derived": list_of(ref("Derivation")), "origin": nullable(ref("Origin")), "facts": nullable(ref("Facts"))}
    ),
    "Parameter": record(
        {"name": TEXT, "label": TEXT, "default": {"type": ["integer", "string", "null"]}},
        {"least": {"type": "integer"}, "most": {"type": "integer"}, "choices": list_of(TEXT)},
    ),
    "Recipe": record(
        {
            "name": TEXT,
            "version": COUNT,
            "title": TEXT,
            "accepts": list_of(one_of(SourceKind)),
            "parameters": list_of(ref("Parameter")),
        }
    ),
    "Recipes": record({"recipes": list_of(ref("Recipe"))}),
    "WantedDerivations": record(
        {"entries": {**list_of(ID, FILES_PER_REQUEST_MAX), "minItems": 1}, "recipe": TEXT}, {"parameters": _VALUES}
    ),
    "Job": record(
        {
            "id": ID,
            "recipe": TEXT,
            "parameters": _VALUES,
            "entry": ID,
            "device": ID,
            "path": PATH,
            "state": one_of(JobState),
            "progress": {"type": "integer", "minimum": 0, "maximum": 100},
            "failure": nullable(TEXT),
            "has_log": {"type": "boolean"},
            "asked_by": TEXT,
            "created": TIME,
            "started": nullable(TIME),
            "finished": nullable(TIME),
            "outputs": list_of(ref("Entry")),
        }
    ),
    "NewJobs": record({"jobs": list_of(ref("Job"), FILES_PER_REQUEST_MAX)}),
    "Jobs": record({"jobs": list_of(ref("Job"), JOBS_MAX), "next": nullable(TEXT)}),
}

PATHS: Final[dict[str, Spec]] = {
    "/api/v1/entries/{entry}/thumbnail": _rendition("A picture of at most 320 pixels", ("image/webp",)),
    "/api/v1/entries/{entry}/preview": _rendition(
        "A picture of at most 1,600 pixels, or the text", ("image/webp", "text/plain; charset=utf-8")
    ),
    "/api/v1/entries/{entry}/derived": {
        "get": _call(
            "What was made of an entry, where it comes from, and what its content says",
            {"200": answer("DerivedFiles", "`facts` is null until the file was read.")} | ABSENT,
            ENTRY,
        )
    },
    "/api/v1/recipes": {"get": _call("What can be made", {"200": answer("Recipes", "With all parameters.")})},
    "/api/v1/derivations": {
        "post": {
            **_call(
                f"Make something of up to {FILES_PER_REQUEST_MAX:,} files; originals stay as they are",
                {
                    "202": answer("NewJobs", "A job for each file."),
                    "409": problem("A file's content is none that the recipe takes."),
                    "413": problem("More than one request may carry, or than may wait."),
                    "415": problem("The body has another media type than wanted."),
                }
                | ABSENT,
                CSRF,
            ),
            "requestBody": {"required": True, "content": {JSON: {"schema": ref("WantedDerivations")}}},
        }
    },
    "/api/v1/jobs": {
        "get": _call(
            "Jobs, newest first",
            {"200": answer("Jobs", "A page.")} | ABSENT,
            query("entry", ID, "Of this entry alone."),
            CURSOR,
            limit(JOBS_MAX, 50),
        )
    },
    "/api/v1/jobs/{job}": {
        "get": _call("One job", {"200": answer("Job", "It.")} | ABSENT, _JOB),
        "delete": _call(
            "Take a job's card away; the files it made stay",
            {"204": {"description": "It is gone."}} | ABSENT | _ENDED,
            _JOB,
            CSRF,
        ),
    },
    "/api/v1/jobs/{job}/log": {
        "get": _call(
            "What the program that failed wrote",
            {"200": {"description": "It.", "content": {"text/plain; charset=utf-8": {"schema": TEXT}}}} | ABSENT,
            _JOB,
        )
    },
    "/api/v1/jobs/{job}/cancel": {
        "post": _call(
            "Stop a job; a running one stops shortly", {"200": answer("Job", "It.")} | ABSENT | _ENDED, _JOB, CSRF
        )
    },
    "/api/v1/jobs/{job}/retry": {
        "post": _call(
            "Try a failed or cancelled job again", {"200": answer("Job", "It.")} | ABSENT | _ENDED, _JOB, CSRF
        )
    },
}
