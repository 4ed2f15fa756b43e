"""`Maker`: one try at making something of a source in a sandbox; for jobs, and for checking what jobs have made.

What always holds: a source is checked against its digest before anything is made of it, and nothing of an earlier try
is in the sandbox.
"""

import asyncio
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from cas.blob import Blob
from cas.store import BlobStore
from catalog.job_values import Facts
from catalog.recipes import RECIPES, Lane, Recipe, SourceKind, Value
from catalog.settings import Settings
from tools.worker.making.order import Limits, Piece
from tools.worker.making.sniff import HEAD_BYTES, sniff
from tools.worker.outcome import Failure, facts_of, judged
from tools.worker.sandbox import Sandbox

FILE_BYTES_MIN: Final = 512 << 20
_LIGHT_NICE, _HEAVY_NICE = 5, 10
_NOTHING: Final = "No picture is made of this kind of file."


@dataclass(frozen=True, slots=True)
class Tried:
    """What came of one try: pieces, or the failure; the facts in either case, where they were read."""

    failure: Failure | None
    facts: Facts | None = None
    pieces: Sequence[Piece] = ()


@dataclass(frozen=True, slots=True)
class Maker:
    """Makes things in `sandbox` of what lies in `store`, one at a time."""

    settings: Settings
    store: BlobStore
    sandbox: Sandbox

    async def make(
        self,
        recipe_name: str,
        parameters: Mapping[str, Value],
        source: Blob,
        progress: Callable[[int], None],
        is_stopped: Callable[[], bool],
    ) -> Tried:
        """`progress` is told percents; `is_stopped` is asked until the order begins, from then on `Sandbox.stop` ends
        it. The pieces stay in the sandbox until the next try. Raises `BlobMissing`, `BlobDamaged` (also as
        `BlobUnreadable`), `SandboxBroken` and `OutputRefused`."""
        await asyncio.to_thread(self.sandbox.clear)
        recipe = RECIPES.get(recipe_name)
        if recipe is None:
            return Tried(Failure("This recipe is not known any more."))
        if source.size_bytes > self.settings.worker_source_bytes_max:
            return Tried(Failure("The file is too large for this."))
        head = await asyncio.to_thread(self._fetch, source, is_stopped)
        if is_stopped():
            return Tried(Failure("This was stopped.", may_help=True))
        kind, media_type = sniff(head)
        if SourceKind(kind) not in recipe.accepts:
            return Tried(Failure(_NOTHING), Facts(SourceKind(kind), media_type))
        order = {"recipe": recipe.name, "parameters": dict(parameters), "kind": kind, "media_type": media_type}
        ended = await self.sandbox.run(order, self._limits(recipe, source.size_bytes), progress)
        made = self.sandbox.result()
        outcome = judged(ended, made, recipe.seconds_max)
        facts = facts_of(made.facts if made else None) or Facts(SourceKind(kind), media_type)
        if isinstance(outcome, Failure):
            return Tried(outcome, facts)
        return Tried(None, facts, outcome)

    def _fetch(self, blob: Blob, is_stopped: Callable[[], bool]) -> bytes:
        """The source into the sandbox, checked; returns its first bytes. Ends early when it is stopped."""
        head = b""
        with self.store.read(blob) as reader, self.sandbox.source.open("xb") as file:
            for chunk in reader.chunks():
                if is_stopped():
                    break
                if len(head) < HEAD_BYTES:
                    head += chunk[: HEAD_BYTES - len(head)]
                file.write(chunk)
        return head

    def _limits(self, recipe: Recipe, source_bytes: int) -> Limits:
        is_heavy = recipe.lane is Lane.HEAVY
        memory_bytes = self.settings.worker_memory_bytes * (2 if is_heavy else 1)
        cpu_seconds = recipe.seconds_max * (os.cpu_count() or 1)
        file_bytes = max(FILE_BYTES_MIN, 4 * source_bytes)
        return Limits(
            recipe.seconds_max, cpu_seconds, memory_bytes, file_bytes, _HEAVY_NICE if is_heavy else _LIGHT_NICE
        )
