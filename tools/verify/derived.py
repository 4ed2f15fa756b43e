"""Derived files and renditions, proved: each is made again of its source in the worker's sandbox, and the digests are
compared.

Nothing is written, neither in the store nor in the catalog. Other bytes are no damage: other versions of the libraries
may write another file of the same picture.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final, Protocol

from blake3 import blake3

from cas.blob import Blob
from cas.digest import Digest
from cas.errors import BlobDamaged, BlobMissing, BlobUnreadable
from catalog.derived_rows import MadeRow
from catalog.recipes import RECIPES, canonical
from catalog.values import BlobRow
from tools.verify.pace import Stopped
from tools.verify.report import CLEAN, DAMAGE_FOUND, INTERRUPTED, LISTED_MAX
from tools.worker.errors import OutputRefused, SandboxBroken
from tools.worker.maker import Maker, Tried

_READ_BYTES: Final = 1 << 20
_LOOKS: Final = 2
"""A blob that was moved between its row and its file is there at the second look."""


class Comparison(StrEnum):
    """What making one thing again came to."""

    EQUAL = "equal"
    DIFFERENT = "different"
    DAMAGED = "source damaged"
    MISSING = "source missing"
    UNREADABLE = "source unreadable"
    """The medium refused to give the bytes back."""
    FAILED = "not made again"
    DELETED = "source deleted"
    """The derived file was kept without its source; there is nothing to compare."""
    NOT_DETERMINISTIC = "of a recipe that is not deterministic"
    OTHER_VERSION = "of another version of the recipe"


_IS_FAULT: Final = (Comparison.DAMAGED, Comparison.MISSING, Comparison.UNREADABLE, Comparison.FAILED)
_IS_TOLD: Final = (Comparison.DIFFERENT, *_IS_FAULT)


class MadeSide(Protocol):
    """What is read of the catalog's derivations; `catalog.derived_rows.DerivedRows` is one."""

    def derivations(self) -> AsyncIterator[MadeRow]: ...
    def renditions(self) -> AsyncIterator[MadeRow]: ...


class BlobSide(Protocol):
    """Where blobs lie now; `catalog.system.SystemScope` is one."""

    async def blobs_by_digest(self, digests: Sequence[Digest]) -> Mapping[Digest, BlobRow]: ...


@dataclass(slots=True)
class DerivedReport:
    """`told` are sentences, at most `LISTED_MAX`; the counts are of all."""

    counts: Counter[Comparison] = field(default_factory=Counter)
    told: list[str] = field(default_factory=list)
    interrupted: bool = False

    def add(self, row: MadeRow, comparison: Comparison, detail: str) -> None:
        self.counts[comparison] += 1
        if comparison in _IS_TOLD and len(self.told) < LISTED_MAX:
            what = f"{row.recipe} {canonical(row.parameters)} of {row.source}"
            self.told.append(f"{comparison}: {what}{': ' if detail else ''}{detail}")

    def summary(self, _seconds: float = 0) -> str:
        """The counts, in words."""
        counts = [f"{self.counts[each]:,} {each}" for each in Comparison if self.counts[each]]
        return ", ".join(counts) or "none"

    @property
    def exit_code(self) -> int:
        if any(self.counts[each] for each in _IS_FAULT):
            return DAMAGE_FOUND
        return INTERRUPTED if self.interrupted else CLEAN


class Remaking:
    """One run over everything that was made."""

    def __init__(self, blobs: BlobSide, maker: Maker, report: DerivedReport) -> None:
        self._blobs = blobs
        self._maker = maker
        self._report = report
        self._is_stopped = False
        self._ending: asyncio.Task[None] | None = None

    def stop(self) -> None:
        """End the run: what is being made now does not count."""
        self._is_stopped = True
        self._ending = asyncio.create_task(self._maker.sandbox.stop())

    async def run(self, rows: MadeSide) -> AsyncIterator[None]:
        """Make everything again, one after another; yields after each. Raises `SandboxBroken` where the sandbox is not
        to be had any more, and `DatabaseUnavailable`."""
        try:
            for some in (rows.derivations(), rows.renditions()):
                async for row in some:
                    self._report.add(row, *await self._compared(row))
                    yield
        except Stopped:
            self._report.interrupted = True

    async def _compared(self, row: MadeRow) -> tuple[Comparison, str]:
        skipped = why_skipped(row)
        if skipped is not None:
            return skipped, ""
        missing = ""
        for _ in range(_LOOKS):
            source = await self._source(row.source)
            if source is None:
                return Comparison.DELETED, ""
            try:
                return await self._made_again(row, source)
            except BlobMissing as error:
                missing = str(error)
            except BlobDamaged as error:
                is_unreadable = isinstance(error, BlobUnreadable)
                return Comparison.UNREADABLE if is_unreadable else Comparison.DAMAGED, str(error)
        return Comparison.MISSING, missing

    async def _source(self, digest: Digest) -> Blob | None:
        if self._is_stopped:
            raise Stopped
        row = (await self._blobs.blobs_by_digest([digest])).get(digest)
        return row.blob if row is not None and row.state in {"live", "condemned"} else None

    async def _made_again(self, row: MadeRow, source: Blob) -> tuple[Comparison, str]:
        try:
            tried = await self._maker.make(
                row.recipe, row.parameters, source, lambda _percent: None, lambda: self._is_stopped
            )
            if self._is_stopped:
                raise Stopped
            if tried.failure is not None:
                return Comparison.FAILED, tried.failure.sentence
            made = await asyncio.to_thread(self._digests, tried)
        except OutputRefused as error:
            return Comparison.FAILED, str(error)
        except SandboxBroken as error:
            await self._maker.sandbox.start()  # where it cannot be had any more, this run is over
            return Comparison.FAILED, str(error)
        if made == [row.digest]:
            return Comparison.EQUAL, ""
        return Comparison.DIFFERENT, f"now {', '.join(map(str, made))}, then {row.digest}"

    def _digests(self, tried: Tried) -> list[Digest]:
        return [_digest(self._maker.sandbox.open_piece(piece.file)) for piece in tried.pieces]


def why_skipped(row: MadeRow) -> Comparison | None:
    """Why it cannot be made again in the same way; None where it can."""
    recipe = RECIPES.get(row.recipe)
    if recipe is None or recipe.version != row.version:
        return Comparison.OTHER_VERSION
    return None if recipe.deterministic else Comparison.NOT_DETERMINISTIC


def _digest(fd: int) -> Digest:
    hasher = blake3()
    with os.fdopen(fd, "rb") as file:
        while chunk := file.read(_READ_BYTES):
            hasher.update(chunk)
    return Digest(hasher.digest())


def say_derived(report: DerivedReport) -> None:
    """A summary for people, on stdout."""
    print(f"derived files and renditions: {report.summary()}")
    for text in report.told:
        print(text)
    told = sum(report.counts[each] for each in _IS_TOLD)
    if told > len(report.told):
        print(f"not listed: {told - len(report.told):,}")
