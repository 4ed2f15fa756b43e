"""Sample contexts for the pages of derived files."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from catalog.job_values import Derived, Job, JobState
from catalog.recipes import Choice, asked_recipes
from catalog.values import Entry
from web.pages_jobs import card_of

NO_DERIVED: dict[str, Any] = {"origin": None, "origin_words": "", "derived": [], "may_derive": True}


def job(number: int, source: Entry, state: JobState, now: datetime, **more: Any) -> Job:
    shown: dict[str, Any] = {
        "id": number,
        "recipe": "video",
        "parameters": {"profile": "compress", "rotation": "90"},
        "entry_id": source.id,
        "device_id": 1,
        "path": source.path,
        "state": state,
        "progress": 0,
        "failure": None,
        "has_log": False,
        "asked_by": "Maya Chen",
        "created_at": now - timedelta(minutes=9),
        "started_at": None,
        "finished_at": None,
        "outputs": [],
        "output_count": 0,
    }
    return Job(**shown | more)


def jobs_context(make: Callable[..., Entry], now: datetime) -> dict[str, Any]:
    """A card in every state."""
    film, photo = (
        make(15, "Videos/<i>Percé</i> & the very long afternoon at the sea.mov"),
        make(13, "Photos/IMG_2041.jpg"),
    )
    ended = {"started_at": now - timedelta(minutes=5), "finished_at": now - timedelta(minutes=2)}
    why = "The film or sound cannot be read to its end. The log says what was found."
    slow = "This took longer than 60 seconds, so it was stopped."
    cards = [
        job(9, film, JobState.RUNNING, now, progress=42, started_at=now - timedelta(minutes=3)),
        job(8, photo, JobState.WAITING, now, recipe="rotate", parameters={"angle": "90"}),
        job(7, film, JobState.FAILED, now, failure=why, has_log=True, **ended),
        job(6, film, JobState.WAITING, now, failure=slow, has_log=True),
        job(5, photo, JobState.DONE, now, recipe="resize", parameters={"edge": 2048}, progress=100, **ended,
            outputs=[make(31, "Photos/IMG_2041-2048px.jpg")], output_count=1),
        job(4, photo, JobState.CANCELLED, now, **ended),
    ]  # fmt: skip
    return {"cards": [card_of(one) for one in cards], "alive": True, "next": "c4", "cursor": None}


def log_context(make: Callable[..., Entry], now: datetime) -> dict[str, Any]:
    failed = job(7, make(15, "Videos/a.mov"), JobState.FAILED, now, failure="It is damaged.", has_log=True)
    return {"card": card_of(failed), "log": "[mov,mp4 @ 0x5] moov atom not found\nin: <b>Invalid data</b> found\n" * 20}


def derive_context(entries: list[Entry], **more: Any) -> dict[str, Any]:
    return {
        "entries": entries,
        "shown_files": 6,
        "recipes": asked_recipes(),
        "chosen": "video",
        "typed": lambda _recipe, parameter: "" if parameter.default is None else str(parameter.default),
        "is_choice": lambda parameter: isinstance(parameter, Choice),
        "back": "/files/1/originals/",
        "problem": None,
    } | more


def derived_of(made: Entry, now: datetime) -> dict[str, Any]:
    """A file's page with something made of it."""
    one = Derived(made, "resize", 1, {"edge": 2048}, now - timedelta(days=1))
    return NO_DERIVED | {"derived": [(one, "Make smaller (longer edge 2,048)")]}
