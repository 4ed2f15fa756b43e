"""The pages of derived files: what can be made of the files chosen, and the cards of what is being made."""

from dataclasses import dataclass
from typing import Final

from starlette.requests import Request
from starlette.responses import Response

from catalog.errors import BadRequest, Conflict, TooMany
from catalog.job_values import Derived, Job, JobState, Origin
from catalog.recipes import RECIPES, Choice, Parameter, Recipe, SourceKind, Value, asked_recipe, asked_recipes
from catalog.values import Entry
from web.answers import see_other
from web.bodies import Form, field
from web.errors import problem_of
from web.form_fields import back_of, chosen_of
from web.notices import with_notice
from web.page_context import person_page
from web.parameters import cursor_of, path_id, query_of
from web.sessions import Caller
from web.state import services

CARDS: Final = 30
ALIVE: Final = frozenset({JobState.WAITING, JobState.RUNNING})
SHOWN_FILES: Final = 6
_WHOLE_MAX: Final = 9


@dataclass(frozen=True, slots=True)
class Card:
    """A job in words. `title`: what it makes; `choices`: the parameters."""

    job: Job
    title: str
    choices: str
    state: str
    is_alive: bool


async def jobs_page(request: Request, caller: Caller) -> Response:
    """All cards, newest first."""
    cursor = cursor_of(query_of(request))
    page = await caller.scope.jobs.page(cursor, CARDS)
    cards = [card_of(job) for job in page.items]
    return await person_page(
        request,
        caller,
        "jobs.html",
        "jobs",
        cards=cards,
        alive=any(card.is_alive for card in cards),
        next=page.next,
        cursor=cursor,
    )


async def log_page(request: Request, caller: Caller) -> Response:
    """The log behind a failure."""
    job = await caller.scope.jobs.get(path_id(request, "job"))
    log = await caller.scope.jobs.log(job.id)
    return await person_page(request, caller, "job_log.html", "jobs", card=card_of(job), log=log)


async def change_job(request: Request, caller: Caller, fields: Form) -> Response:
    """One of a card's buttons; `do` says which."""
    job_id, jobs, do = path_id(request, "job"), caller.scope.jobs, field(fields, "do")
    try:
        match do:
            case "retry":
                await jobs.retry(job_id)
            case "cancel":
                await jobs.cancel(job_id)
            case "delete":
                await jobs.delete(job_id)
            case _:
                raise BadRequest("“do” is retry, cancel or delete.")
    except Conflict:  # it went on meanwhile: the page shows how it stands
        do = ""
    return with_notice(see_other("/jobs"), services(request).settings, f"job_{do}") if do else see_other("/jobs")


async def clear_jobs(request: Request, caller: Caller, _fields: Form) -> Response:
    """The cards of what is done or cancelled go."""
    cleared = await caller.scope.jobs.delete_ended()
    return with_notice(see_other("/jobs"), services(request).settings, "jobs_cleared", cleared)


async def choose_recipe(request: Request, caller: Caller, fields: Form) -> Response:
    """What can be made of the files chosen. Nothing chosen: back, with a notice."""
    ids = chosen_of(fields)
    if not ids:
        return with_notice(see_other(back_of(fields)), services(request).settings, "choose")
    return await _show_choice(request, caller, ids, back_of(fields))


async def choose_for_entry(request: Request, caller: Caller) -> Response:
    """The same for one file, by its address."""
    entry_id = path_id(request, "entry")
    return await _show_choice(request, caller, [entry_id], f"/entries/{entry_id}")


async def make_derived(request: Request, caller: Caller, fields: Form) -> Response:
    """Jobs for the files chosen, then the cards; what cannot be made is told above the form."""
    ids, name = chosen_of(fields), field(fields, "recipe")
    try:
        recipe = asked_recipe(name)
        jobs = await caller.scope.jobs.ask(ids, recipe.name, _given(recipe, fields))
    except (BadRequest, Conflict, TooMany) as error:
        return await _show_choice(request, caller, ids, back_of(fields), error, name, fields)
    return with_notice(see_other("/jobs"), services(request).settings, "jobs_made", len(jobs))


async def derived_context(caller: Caller, entry: Entry) -> dict[str, object]:
    """What an entry's page shows of derived files: where it comes from, what was made of it, whether more can be."""
    origin, made = await caller.scope.derived.of(entry.id)
    kinds = await _kinds(caller, [entry])
    return {
        "origin": origin,
        "origin_words": _words(origin) if origin else "",
        "derived": [(one, _words(one)) for one in made],
        "may_derive": bool(entry.blob and entry.size_bytes and _recipes(kinds)),
    }


def card_of(job: Job) -> Card:
    recipe = RECIPES.get(job.recipe)
    return Card(
        job,
        recipe.title if recipe else job.recipe,
        _choices(recipe, job.parameters) if recipe else "",
        _STATES[job.state],
        job.state in ALIVE,
    )


_STATES: Final = {
    JobState.WAITING: "Waiting",
    JobState.RUNNING: "In progress",
    JobState.DONE: "Done",
    JobState.FAILED: "Failed",
    JobState.CANCELLED: "Cancelled",
}


async def _show_choice(
    request: Request,
    caller: Caller,
    ids: list[int],
    back: str,
    error: Exception | None = None,
    chosen: str = "",
    fields: Form | None = None,
) -> Response:
    entries = await caller.scope.entries.by_ids(ids)
    recipes = _recipes(await _kinds(caller, entries))
    return await person_page(
        request,
        caller,
        "derive.html",
        "devices",
        problem_of(error).status if error else 200,
        entries=entries,
        shown_files=SHOWN_FILES,
        recipes=recipes,
        chosen=chosen or (recipes[0].name if recipes else ""),
        typed=lambda recipe, parameter: (
            (fields and field(fields, f"{recipe.name}.{parameter.name}")) or _default(parameter)
        ),
        is_choice=lambda parameter: isinstance(parameter, Choice),
        back=back,
        problem=str(error) if error else None,
    )


async def _kinds(caller: Caller, entries: list[Entry]) -> set[SourceKind] | None:
    """The kinds of content that the files have; None where one of them was not read yet."""
    digests = [entry.blob.digest for entry in entries if entry.blob is not None]
    facts = await caller.scope.renditions.facts(digests)
    return {facts[digest].kind for digest in digests} if all(digest in facts for digest in digests) else None


def _recipes(kinds: set[SourceKind] | None) -> list[Recipe]:
    """Those that take every kind; all, while a kind is not known."""
    return [recipe for recipe in asked_recipes() if kinds is None or kinds <= recipe.accepts]


def _given(recipe: Recipe, fields: Form) -> dict[str, object]:
    """The parameters as the form has them. Raises `BadRequest` for what is no number."""
    given: dict[str, object] = {}
    for parameter in recipe.parameters:
        text = field(fields, f"{recipe.name}.{parameter.name}")
        if isinstance(parameter, Choice):
            given[parameter.name] = text
        elif text.isascii() and text.isdigit() and len(text) <= _WHOLE_MAX:
            given[parameter.name] = int(text)
        else:
            raise BadRequest(f"{parameter.label}: a whole number from {parameter.least:,} to {parameter.most:,}.")
    return given


def _default(parameter: Parameter) -> str:
    return "" if parameter.default is None else str(parameter.default)


def _words(made: Origin | Derived) -> str:
    recipe = RECIPES.get(made.recipe)
    if recipe is None:
        return made.recipe
    choices = _choices(recipe, made.parameters)
    return f"{recipe.title} ({choices})" if choices else recipe.title


def _choices(recipe: Recipe, parameters: dict[str, Value]) -> str:
    shown = []
    for parameter in recipe.parameters:
        value = parameters.get(parameter.name)
        if isinstance(parameter, Choice):
            shown.append(parameter.words.get(str(value), str(value)).partition(":")[0])
        else:
            shown.append(f"{parameter.label.partition(' (')[0].lower()} {value:,}")
    return ", ".join(shown)
