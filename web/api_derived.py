"""`/api/v1/derivations`, `/api/v1/jobs` and what an entry's derived files are: thumbnails, previews, facts,
provenance."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from catalog.job_values import Derived, Facts, Job, Origin
from catalog.recipes import PREVIEW, THUMBNAIL, Choice, Parameter, Recipe, asked_recipes
from web.answers import json_answer, no_content
from web.bodies import read_json
from web.limits import JOBS_MAX
from web.parameters import cursor_of, optional_id, page_limit, parse_id, path_id, query_of
from web.renditions import rendition_or_nothing
from web.routing import api
from web.sessions import Caller
from web.shapes import Json, entry_json
from web.times import moment_text, time_text

JOBS = "/api/v1/jobs"
JOB = "/api/v1/jobs/{job}"
ENTRY = "/api/v1/entries/{entry}"


class Wanted(msgspec.Struct, forbid_unknown_fields=True):
    """A recipe for some files. `parameters`: those of `GET /api/v1/recipes`; what is left out has its default."""

    entries: list[str]
    recipe: str
    parameters: dict[str, int | str] = {}


async def get_thumbnail(request: Request, caller: Caller) -> Response:
    entry = await caller.scope.entries.get(path_id(request, "entry"))
    return await rendition_or_nothing(request, caller, entry, THUMBNAIL)


async def get_preview(request: Request, caller: Caller) -> Response:
    entry = await caller.scope.entries.get(path_id(request, "entry"))
    return await rendition_or_nothing(request, caller, entry, PREVIEW)


async def list_derived(request: Request, caller: Caller) -> Response:
    """What was made of an entry, where it comes from, and what its content says of it."""
    entry = await caller.scope.entries.get(path_id(request, "entry"))
    origin, made = await caller.scope.derived.of(entry.id)
    facts = await caller.scope.renditions.facts([entry.blob.digest]) if entry.blob else {}
    return json_answer(
        {
            "derived": [_derived_json(one) for one in made],
            "origin": None if origin is None else _origin_json(origin),
            "facts": _facts_json(next(iter(facts.values()))) if facts else None,
        }
    )


async def list_recipes(_request: Request, _caller: Caller) -> Response:
    """What may be asked for."""
    return json_answer({"recipes": [_recipe_json(recipe) for recipe in asked_recipes()]})


async def create_derivations(request: Request, caller: Caller) -> Response:
    """A job for each file; all or none."""
    wanted = await read_json(request, Wanted)
    ids = [parse_id(text, "file") for text in wanted.entries]
    jobs = await caller.scope.jobs.ask(ids, wanted.recipe, wanted.parameters)
    return json_answer({"jobs": [job_json(job) for job in jobs]}, 202)


async def list_jobs(request: Request, caller: Caller) -> Response:
    """The cards, newest first; of one entry alone with `entry`."""
    query = query_of(request)
    page = await caller.scope.jobs.page(
        cursor_of(query), page_limit(query, JOBS_MAX, default=50), optional_id(query, "entry")
    )
    return json_answer({"jobs": [job_json(job) for job in page.items], "next": page.next})


async def get_job(request: Request, caller: Caller) -> Response:
    return json_answer(job_json(await caller.scope.jobs.get(path_id(request, "job"))))


async def get_log(request: Request, caller: Caller) -> Response:
    """What the program that failed wrote, as text."""
    log = await caller.scope.jobs.log(path_id(request, "job"))
    return Response(log, media_type="text/plain; charset=utf-8")


async def retry_job(request: Request, caller: Caller) -> Response:
    return json_answer(job_json(await caller.scope.jobs.retry(path_id(request, "job"))))


async def cancel_job(request: Request, caller: Caller) -> Response:
    return json_answer(job_json(await caller.scope.jobs.cancel(path_id(request, "job"))))


async def delete_job(request: Request, caller: Caller) -> Response:
    """The card goes; the files stay."""
    await caller.scope.jobs.delete(path_id(request, "job"))
    return no_content()


def job_json(job: Job) -> Json:
    """A job's card. `outputs`: the files it made, as far as they are still there."""
    return {
        "id": str(job.id),
        "recipe": job.recipe,
        "parameters": job.parameters,
        "entry": str(job.entry_id),
        "device": str(job.device_id),
        "path": str(job.path),
        "state": job.state,
        "progress": job.progress,
        "failure": job.failure,
        "has_log": job.has_log,
        "asked_by": job.asked_by,
        "created": moment_text(job.created_at),
        "started": None if job.started_at is None else moment_text(job.started_at),
        "finished": None if job.finished_at is None else moment_text(job.finished_at),
        "outputs": [entry_json(entry) for entry in job.outputs],
    }


def _derived_json(derived: Derived) -> Json:
    return {
        "entry": entry_json(derived.entry),
        "recipe": derived.recipe,
        "version": derived.version,
        "parameters": derived.parameters,
        "made": moment_text(derived.made_at),
    }


def _origin_json(origin: Origin) -> Json:
    return {
        "digest": origin.source_digest,
        "recipe": origin.recipe,
        "version": origin.version,
        "parameters": origin.parameters,
        "made": moment_text(origin.made_at),
        "entry": None if origin.source is None else entry_json(origin.source),
    }


def _facts_json(facts: Facts) -> Json:
    return {
        "kind": facts.kind,
        "media_type": facts.media_type,
        "width": facts.width,
        "height": facts.height,
        "duration": None if facts.duration_ms is None else facts.duration_ms / 1_000,
        "pages": facts.pages,
        "taken": None if facts.taken_ns is None else time_text(facts.taken_ns),
        "taken_source": facts.taken_source,
        "camera": facts.camera,
        "latitude": facts.latitude,
        "longitude": facts.longitude,
    }


def _recipe_json(recipe: Recipe) -> Json:
    return {
        "name": recipe.name,
        "version": recipe.version,
        "title": recipe.title,
        "accepts": sorted(recipe.accepts),
        "parameters": [_parameter_json(parameter) for parameter in recipe.parameters],
    }


def _parameter_json(parameter: Parameter) -> Json:
    shape: Json = {"name": parameter.name, "label": parameter.label, "default": parameter.default}
    if isinstance(parameter, Choice):
        return shape | {"choices": list(parameter.words)}
    return shape | {"least": parameter.least, "most": parameter.most}


OPERATIONS = (
    api("GET", f"{ENTRY}/thumbnail", get_thumbnail),
    api("GET", f"{ENTRY}/preview", get_preview),
    api("GET", f"{ENTRY}/derived", list_derived),
    api("GET", "/api/v1/recipes", list_recipes),
    api("POST", "/api/v1/derivations", create_derivations),
    api("GET", JOBS, list_jobs),
    api("GET", JOB, get_job),
    api("DELETE", JOB, delete_job),
    api("GET", f"{JOB}/log", get_log),
    api("POST", f"{JOB}/retry", retry_job),
    api("POST", f"{JOB}/cancel", cancel_job),
)
