"""The runs of tools/verify that were, as the catalog keeps them: a line each, the newest first."""

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Final

from catalog.scrubbing import PastRun

RUNS_SHOWN: Final = 50


def history_lines(runs: Sequence[PastRun]) -> Iterator[str]:
    """When it began, how it ended, what it read and what it found; times in UTC."""
    for run in runs:
        counts = ", ".join(f"{number:,} {outcome}" for outcome, number in sorted(run.counts.items())) or "nothing read"
        yield f"{run.id:>6}  {_moment(run.started_at)}  {_end(run)}  {run.selection or 'everything'}: {counts}"


def _end(run: PastRun) -> str:
    if run.finished_at is None:
        return f"not finished, last heard of {_moment(run.updated_at)}"
    return f"took {(run.finished_at - run.started_at).total_seconds():,.0f} s"


def _moment(at: datetime) -> str:
    return f"{at.astimezone(UTC):%Y-%m-%d %H:%M}"
