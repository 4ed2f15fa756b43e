"""The fence between uploads and the sweep as a model: every interleaving of small steps, each as atomic as the real one
(one transaction, or one rename), is walked through, with crashes between any two.

One digest. It may lie in a file of its own and in three packs: an old one, the one that the sweep writes, and the one
of a batch. Time is left out: every grace may be over at any moment, so that nothing here rests on one.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Final, NamedTuple

OWN: Final = "own"
OLD, NEW, BATCH = "old", "new", "batch"


class Row(NamedTuple):
    """The blob's row. Its incarnation is left out: who remembers one is told when it ends."""

    state: str
    place: str


class Uploader(NamedTuple):
    """`knows`: the row that it claimed still stands. `told`: where the claim found a packed copy, or OWN."""

    step: str = "begin"
    knows: bool = False
    told: str = OWN


class Sweeper(NamedTuple):
    """`knows`: what it remembers (a row, a pack's row) still stands. `same`: the file it opened has its name still."""

    step: str = "idle"
    knows: bool = False
    same: bool = False
    place: str = OWN


class State(NamedTuple):
    """`own`: the file is there. `packs`: (row's state or "", file is there) of old, new and batch."""

    own: bool
    packs: tuple[tuple[str, bool], tuple[str, bool], tuple[str, bool]]
    row: Row | None
    references: int
    uploaders: tuple[Uploader, ...]
    batcher: Uploader | None
    sweepers: tuple[Sweeper, ...]
    holder: int | None
    removals: int
    crashes: int


PACKS: Final = (OLD, NEW, BATCH)


@dataclass(frozen=True)
class Design:
    """What is built. Each switched off is a fault that the walk must find."""

    fence: bool = True
    """The commit demands the very row that was claimed."""
    one_sweep: bool = True
    """The lock file."""
    deleting_first: bool = True
    """`deleting` is committed before the file is touched."""
    claims_wait: bool = True
    """A claim waits while its row is `deleting`, instead of making it live again."""
    very_file: bool = True
    """A leftover is moved only if it is the file that was opened before the catalog was asked."""
    live_packs_only: bool = True
    """A row points only into a pack whose row says live, or waits for this very transaction."""


@dataclass(frozen=True)
class Cast:
    """Who takes part."""

    uploaders: int = 2
    sweepers: int = 1
    batcher: bool = False
    crashes: int = 1
    starts_packed: bool = False
    packs: bool = True
    """The sweep rewrites and gathers."""
    leftovers: bool = True


Step = tuple[str, State]


def explore(design: Design, cast: Cast, states_max: int = 10_000_000) -> tuple[int, list[str] | None]:
    """How many states there are, and the way to one in which a referenced blob cannot be read, or None."""
    begin = _begin(cast)
    before: dict[State, tuple[State, str] | None] = {begin: None}
    ahead = deque([begin])
    while ahead:
        state = ahead.popleft()
        if is_lost(state):
            return len(before), _way(before, state)
        for words, after in _steps(design, cast, state):
            if after not in before:
                before[after] = (state, words)
                ahead.append(after)
        assert len(before) < states_max, "more states than the model was made for"
    return len(before), None


def is_lost(state: State) -> bool:
    """Whether something refers to bytes that cannot be read."""
    if state.references == 0:
        return False
    if state.row is None or state.row.state in {"deleting", "pending"}:
        return True
    return not (state.own if state.row.place == OWN else state.packs[PACKS.index(state.row.place)][1])


def _begin(cast: Cast) -> State:
    place = OLD if cast.starts_packed else OWN
    old = ("live", True) if cast.starts_packed else ("", False)
    return State(
        not cast.starts_packed, (old, ("", False), ("", False)), Row("live", place), 1,
        (Uploader(),) * cast.uploaders, Uploader() if cast.batcher else None, (Sweeper(),) * cast.sweepers, None, 1,
        cast.crashes,
    )  # fmt: skip


def _way(before: dict[State, tuple[State, str] | None], state: State) -> list[str]:
    words = []
    while (step := before[state]) is not None:
        state = step[0]
        words.append(step[1])
    return words[::-1]


def _steps(design: Design, cast: Cast, s: State) -> Iterator[Step]:
    if s.removals and s.references:
        yield "a reference goes", s._replace(references=s.references - 1, removals=0)
    for number in range(len(s.uploaders)):
        yield from _upload(design, s, number)
    if s.batcher is not None:
        yield from _batch(design, s, s.batcher)
    for number in range(len(s.sweepers)):
        yield from _sweep(design, cast, s, number)
    if s.crashes:
        yield from _crash(s)


def _crash(s: State) -> Iterator[Step]:
    """One process dies, or all at once."""
    left = s.crashes - 1
    for number, uploader in enumerate(s.uploaders):
        if uploader.step not in {"begin", "done"}:
            yield f"upload {number} dies", _with(s, number, Uploader("done"))._replace(crashes=left)
    for number, sweeper in enumerate(s.sweepers):
        if sweeper.step != "idle" or s.holder == number:
            holder = None if s.holder == number else s.holder
            yield f"sweep {number} dies", _sweeping(s, number, Sweeper())._replace(crashes=left, holder=holder)


# -- the row ends, or a file changes: whoever remembers it is told ---------------------------------------------------


def _with(s: State, number: int, uploader: Uploader) -> State:
    """Uploads are alike, so their order is made always the same: a sixth of the states for three of them."""
    changed = [*s.uploaders[:number], uploader, *s.uploaders[number + 1 :]]
    return s._replace(uploaders=tuple(sorted(changed)))


def _sweeping(s: State, number: int, sweeper: Sweeper) -> State:
    return s._replace(sweepers=(*s.sweepers[:number], sweeper, *s.sweepers[number + 1 :]))


def _row_ends(s: State) -> State:
    return s._replace(
        row=None,
        uploaders=tuple(sorted(uploader._replace(knows=False) for uploader in s.uploaders)),
        sweepers=tuple(sweeper._replace(knows=False) for sweeper in s.sweepers),
    )


def _file_changes(s: State, is_there: bool) -> State:
    return s._replace(own=is_there, sweepers=tuple(sweeper._replace(same=False) for sweeper in s.sweepers))


def _pack(s: State, name: str, row: str, is_there: bool) -> State:
    packs = list(s.packs)
    packs[PACKS.index(name)] = (row, is_there)
    return s._replace(packs=(packs[0], packs[1], packs[2]))


def _pack_row(s: State, name: str) -> str:
    return s.packs[PACKS.index(name)][0]


def _pack_file(s: State, name: str) -> bool:
    return s.packs[PACKS.index(name)][1]


# -- an upload: catalog/blobs.py `claim` and `confirm` ---------------------------------------------------------------


def _upload(design: Design, s: State, number: int) -> Iterator[Step]:
    me, row = s.uploaders[number], s.row
    if me.step == "begin":
        if row is None:
            claimed = s._replace(row=Row("pending", OWN))
            yield f"upload {number} claims a new row", _with(claimed, number, Uploader("place", True))
        elif row.state != "deleting" or not design.claims_wait:
            told = row.place if row.state != "pending" else OWN
            touched = s._replace(row=Row("pending" if row.state == "pending" else "live", row.place))
            yield f"upload {number} claims", _with(touched, number, Uploader("place", True, told))
    elif me.step == "place":
        after = s
        if me.told == OWN:
            after = _file_changes(s, True)
        yield f"upload {number} places", _with(after, number, me._replace(step="commit"))
    elif me.step == "commit":
        yield from _confirm(design, s, number)


def _confirm(design: Design, s: State, number: int) -> Iterator[Step]:
    me, row = s.uploaders[number], s.row
    is_mine = row is not None and (me.knows or not design.fence)
    if row is None or row.state == "deleting" or not is_mine:
        yield f"upload {number} starts over", _with(s, number, Uploader())
        return
    place = row.place
    if row.state == "pending":
        if me.told != OWN and design.live_packs_only and _pack_row(s, me.told) != "live":
            yield f"upload {number} starts over", _with(s, number, Uploader())
            return
        place = me.told
    named = s._replace(row=Row("live", place), references=s.references + 1)
    yield f"upload {number} commits", _with(named, number, Uploader("done"))


# -- a batch: catalog/packs.py ---------------------------------------------------------------------------------------


def _batch(design: Design, s: State, me: Uploader) -> Iterator[Step]:
    row = s.row
    if me.step == "begin" and _pack_row(s, BATCH) == "":
        yield "the batch begins a pack", _pack(s, BATCH, "pending", False)._replace(batcher=Uploader("place"))
    elif me.step == "place":
        yield "the batch places it", _pack(s, BATCH, _pack_row(s, BATCH), True)._replace(batcher=Uploader("commit"))
    elif me.step == "commit":
        if _pack_row(s, BATCH) != "pending" and design.live_packs_only:
            yield "the batch is refused", s._replace(batcher=Uploader("done"))
        elif row is None or row.state == "pending":
            named = _pack(s, BATCH, "live", _pack_file(s, BATCH))._replace(row=Row("live", BATCH))
            yield "the batch commits", named._replace(references=s.references + 1, batcher=Uploader("done"))
        elif row.state != "deleting":
            named = _pack(s, BATCH, "live", _pack_file(s, BATCH))._replace(row=Row("live", row.place))
            yield "the batch finds it there", named._replace(
                references=s.references + 1, batcher=Uploader("done")
            )  # fmt: skip


# -- the sweep: tools/sweep ------------------------------------------------------------------------------------------


def _sweep(design: Design, cast: Cast, s: State, number: int) -> Iterator[Step]:
    me = s.sweepers[number]
    if design.one_sweep and s.holder != number:
        if s.holder is None:
            yield f"sweep {number} gets the lock", s._replace(holder=number)
        return
    if me.step == "idle":
        if design.one_sweep:
            yield f"sweep {number} ends", s._replace(holder=None)
        yield from _decide(design, s, number)
        if cast.packs:
            yield from _decide_packs(s, number)
        if cast.leftovers and s.own:
            opened = Sweeper("ask", same=True)
            yield f"sweep {number} opens the file", _sweeping(s, number, opened)
    elif me.step in {"trash", "forget"}:
        yield from _take_away(s, number)
    elif me.step in {"copied", "placed"}:
        yield from _rewrite(s, number)
    elif me.step in {"pack trash", "pack forget"}:
        yield from _take_pack(s, number)
    else:
        yield from _leftover(design, s, number)


def _decide(design: Design, s: State, number: int) -> Iterator[Step]:
    row = s.row
    if row is None:
        return
    if row.state == "live" and s.references == 0:
        yield f"sweep {number} condemns", s._replace(row=Row("condemned", row.place))
    if row.state in {"condemned", "pending"}:
        if s.references == 0 and design.deleting_first:
            yield f"sweep {number}: deleting", s._replace(row=Row("deleting", row.place))
        elif s.references > 0 and row.state == "condemned":
            yield f"sweep {number} spares", s._replace(row=Row("live", row.place))
    if row.state == "deleting" or (row.state == "condemned" and s.references == 0 and not design.deleting_first):
        taken = Sweeper("trash", knows=True, place=row.place)
        yield f"sweep {number} reads what is deleting", _sweeping(s, number, taken)


def _take_away(s: State, number: int) -> Iterator[Step]:
    me = s.sweepers[number]
    if me.step == "trash":
        after = _file_changes(s, False) if me.place == OWN else s
        yield f"sweep {number} moves the file", _sweeping(after, number, me._replace(step="forget"))
        return
    after = s
    if me.knows and s.row is not None and s.row.state in {"deleting", "condemned"} and s.references == 0:
        after = _row_ends(s)
    yield f"sweep {number} drops the row", _sweeping(after, number, Sweeper())


def _decide_packs(s: State, number: int) -> Iterator[Step]:
    row = s.row
    if row is not None and row.state in {"live", "condemned"} and row.place in {OWN, OLD} and _pack_row(s, NEW) == "":
        begun = _pack(s, NEW, "pending", False)
        copied = Sweeper("copied", knows=True, place=row.place)
        readable = s.own if row.place == OWN else _pack_file(s, OLD)
        if readable:
            yield f"sweep {number} copies into a pack", _sweeping(begun, number, copied)
    if _pack_row(s, OLD) == "live" and (row is None or row.place != OLD):
        yield f"sweep {number} condemns the old pack", _pack(s, OLD, "condemned", True)
    for name in PACKS:
        is_used = row is not None and row.place == name
        if _pack_row(s, name) in {"condemned", "pending"} and not is_used:
            is_own = name == NEW and any(one.step in {"copied", "placed"} for one in s.sweepers)
            if not is_own:  # its own pack it does not give up
                gone = _pack(s, name, "deleting", _pack_file(s, name))
                yield f"sweep {number}: pack {name} deleting", gone
        if _pack_row(s, name) == "deleting":
            yield f"sweep {number} reads the pack", _sweeping(s, number, Sweeper("pack trash", place=name))


def _rewrite(s: State, number: int) -> Iterator[Step]:
    me, row = s.sweepers[number], s.row
    if me.step == "copied":
        placed = _pack(s, NEW, _pack_row(s, NEW), True)
        yield f"sweep {number} places its pack", _sweeping(placed, number, me._replace(step="placed"))
        return
    after = _sweeping(s, number, Sweeper())
    if _pack_row(s, NEW) != "pending":
        yield f"sweep {number} finds its pack taken", after
        return
    after = _pack(after, NEW, "live", True)
    fits = row is not None and row.state in {"live", "condemned"} and me.knows and row.place == me.place
    if row is not None and fits:
        after = after._replace(row=Row(row.state, NEW))
    if me.place == OLD and _pack_row(s, OLD) == "live":
        after = _pack(after, OLD, "condemned", _pack_file(s, OLD))
    yield f"sweep {number} moves the blob", after


def _take_pack(s: State, number: int) -> Iterator[Step]:
    me = s.sweepers[number]
    if me.step == "pack trash":
        moved = _pack(s, me.place, _pack_row(s, me.place), False)
        yield f"sweep {number} moves the pack", _sweeping(moved, number, me._replace(step="pack forget"))
        return
    row = "gone" if _pack_row(s, me.place) == "deleting" else _pack_row(s, me.place)
    yield f"sweep {number} drops the pack's row", _sweeping(_pack(s, me.place, row, False), number, Sweeper())


def _leftover(design: Design, s: State, number: int) -> Iterator[Step]:
    me, row = s.sweepers[number], s.row
    if me.step == "ask":
        is_named = row is not None and row.place == OWN
        after = Sweeper() if is_named else me._replace(step="move")
        yield f"sweep {number} asks who names the file", _sweeping(s, number, after)
        return
    is_mine = s.own and (me.same or not design.very_file)
    after_move = _file_changes(s, False) if is_mine else s
    yield f"sweep {number} moves the leftover", _sweeping(after_move, number, Sweeper())


def without(part: str) -> Design:
    """The design with one of its parts left out."""
    return replace(Design(), **{part: False})
