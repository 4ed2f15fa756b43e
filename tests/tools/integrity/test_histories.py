"""Random histories of store and catalog agree with the model, whatever runs between whatever."""

import asyncio
import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final
from unittest.mock import patch

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from catalog import blobs, clock
from tests.shared.rig import make_site
from tests.shared.stores import new_store
from tests.tools.integrity.histories import CONTENTS, Histories, Site
from tests.tools.integrity.turns import stopping_before_transactions
from tests.tools.rebuild.test_rebuild import differences
from tools.run.mariadb import PrivateMariaDB
from tools.sweep import packs

OFFSET_MAX: Final = timedelta(days=100 * 365)
"""Nanoseconds since 1970 fit into a column until 2262."""

_numbers = itertools.count(1)


@pytest.fixture
def make_histories(mariadb: PrivateMariaDB, quick_folder: Path) -> Iterator[Callable[[], Histories]]:
    """Histories on one site after the other: a new one where the last was left in a state that must not be, or where
    the clock has run far ahead."""
    loop = asyncio.new_event_loop()
    made: list[Site] = []

    def new_site() -> Site:
        name = f"histories_{next(_numbers)}"
        folder = quick_folder / name
        folder.mkdir()
        given = loop.run_until_complete(make_site(mariadb, folder, name, SWEEP_GRACE_HOURS="2", TRASH_DAYS="1"))
        (folder / "copy").mkdir()
        backend, copy = new_store(folder / "copy")
        for data in CONTENTS.values():
            copy.place(copy.stage([data]))
        backend.close()
        return Site(given, folder / "copy", loop)

    def make() -> Histories:
        if not made or made[-1].is_spoilt or made[-1].offset > OFFSET_MAX:
            made.append(new_site())
        Histories.site = made[-1]
        return Histories()

    with (
        stopping_before_transactions(),
        patch.object(clock, "now", lambda: made[-1].now() if made else datetime.now(UTC)),
        patch.object(blobs, "DELETING_WAITS_MAX", 1),  # the sweep that it waits for is one that was stopped
        patch.object(blobs, "DELETING_WAIT_SECONDS", 0),
        patch.object(packs, "LOOSE_BLOBS_MIN", 2),
    ):
        yield make
    whole = [site for site in made if not site.is_spoilt]
    assert [fault for site in whole for fault in loop.run_until_complete(differences(site.given.settings))] == []
    loop.close()


def test_random_histories_agree_with_the_model(
    make_histories: Callable[[], Histories], scale: Callable[[int, int], int]
) -> None:
    run_state_machine_as_test(
        make_histories,  # type: ignore[arg-type]  # any factory will do, says its documentation
        settings=settings(
            max_examples=scale(8, 1_000),
            stateful_step_count=scale(40, 60),
            deadline=None,
            derandomize=scale(1, 0) == 1,
            database=None,
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        ),
    )
