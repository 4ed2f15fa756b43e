"""The search index against a plain model, and through what may go wrong: other processes, purges, damage."""

import asyncio
import random
import shutil
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from catalog import search_counts, search_documents, search_feed, search_files, search_index, search_match
from catalog.catalog import Catalog
from catalog.database import Database
from catalog.errors import NotFound
from catalog.names import fold
from catalog.search import Facets, SearchQuery
from catalog.search_counts import count
from catalog.search_documents import KINDS, Array, Documents, months_of
from catalog.search_match import Hit, View, Wanted, newest
from catalog.search_segment import build
from catalog.settings import Settings
from catalog.tenant import TenantScope
from catalog.values import Actor, Area, DateKind, DeviceKind, Entry, EntryPath
from tests.catalog.conftest import STORE_ID, Uploader, sign_in
from tests.shared.journals import MemoryJournal

pytestmark = pytest.mark.anyio

ZONE = "America/Toronto"


async def every(scope: TenantScope, text: str = "", **more: object) -> list[Entry]:
    """All hits, page by page."""
    found: list[Entry] = []
    cursor = None
    while True:
        page = await scope.search.find(SearchQuery(text, **more), cursor, limit=7)  # type: ignore[arg-type]
        assert page.is_complete
        found += page.items
        cursor = page.next
        if cursor is None:
            return found


async def names(scope: TenantScope, text: str = "") -> list[str]:
    return sorted(entry.name.decode() for entry in await every(scope, text))


@pytest.fixture
async def again(catalog_settings: Settings, journal: MemoryJournal, laptop: Uploader) -> "Callable[[], _Other]":
    """`async with again() as scope`: another process's view of the tenant, with an index of its own in memory."""
    return lambda: _Other(catalog_settings, journal, laptop.scope)


class _Other:
    def __init__(self, settings: Settings, journal: MemoryJournal, scope: TenantScope) -> None:
        self._settings, self._journal, self._scope = settings, journal, scope

    async def __aenter__(self) -> TenantScope:
        self._catalog = await Catalog.open(self._settings, self._journal, STORE_ID)
        return self._catalog.tenant(self._scope.tenant, self._scope.actor)

    async def __aexit__(self, *_: object) -> None:
        await self._catalog.close()


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine makes no search incomplete here."""
    monkeypatch.setattr("catalog.search.CATCH_UP_SECONDS_MAX", 60)


@pytest.fixture
def folding_early(monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are written after a handful of changes, and read in small pages."""
    monkeypatch.setattr(search_index, "FOLD_DOCUMENTS", 12)
    monkeypatch.setattr(search_index, "SMALL_DOCUMENTS", 8)
    monkeypatch.setattr(search_index, "SEGMENT_DOCUMENTS_MAX", 16)
    monkeypatch.setattr(search_feed, "PAGE_ROWS", 5)
    monkeypatch.setattr(search_feed, "STAGE_CHANGES", 9)


def files_of(settings: Settings, scope: TenantScope) -> Path:
    return settings.search_dir / scope.tenant.uuid


# -- against a model ------------------------------------------------------------------------------------------------

_NAMES = st.text("ab.é_1 ", min_size=1, max_size=9).map(lambda name: fold(name.encode()).encode()).filter(bool)


@settings(deadline=None)
@given(
    st.lists(
        st.tuples(
            _NAMES, *[st.integers(-3, 3)] * 3, st.integers(0, 9), st.integers(1, 3), st.integers(0, 6), st.booleans()
        ),
        max_size=40,
    ),
    st.lists(_NAMES, max_size=3),
    st.lists(_NAMES, max_size=2),
    st.fixed_dictionaries(
        {},
        optional={
            "extensions": st.frozensets(st.sampled_from([b"a", b"b1", b""])),
            "unwanted_extensions": st.frozensets(st.sampled_from([b"a", b""])),
            "reach": st.frozensets(st.integers(1, 4)),
            "devices": st.frozensets(st.integers(1, 4)),
            "kinds": st.frozensets(st.integers(0, 6)),
            "area": st.integers(0, 1),
            "parent": st.integers(0, 2),
            "size_least": st.integers(0, 9),
            "size_most": st.integers(0, 9),
            "first": st.integers(-3, 3),
            "until": st.integers(-3, 3),
        },
    ),
    st.sampled_from(["taken", "modified", "uploaded"]),
    st.integers(1, 7),
)
def test_segments_answer_as_a_plain_filter_does(
    rows: list[tuple[bytes, int, int, int, int, int, int, bool]],
    words: list[bytes],
    unwanted: list[bytes],
    more: dict[str, object],
    by: str,
    limit: int,
) -> None:
    wanted = Wanted(tuple(words), tuple(unwanted), by=by, **more)  # type: ignore[arg-type]
    views = [_view(rows[start : start + 11], start) for start in range(0, len(rows), 11)]
    fitting = [place for place, row in enumerate(rows) if row[7] and _fits(row, place, wanted)]
    dates = {"taken": 1, "modified": 2, "uploaded": 3}
    expected = sorted(((rows[p][dates[by]], p) for p in fitting), reverse=True)
    found: list[Hit] = []
    while page := newest(views, wanted, limit, found[-1] if found else None):
        found += page
    assert [(hit.at, hit.id) for hit in found] == expected
    counts = count(views, wanted, ZONE)
    assert (counts.total, counts.is_exact) == (len(expected), True)
    for facet, column, own in ((counts.devices, 5, "devices"), (counts.kinds, 6, "kinds")):
        others = replace(wanted, **{own: None})  # type: ignore[arg-type]
        plain = [row[column] for place, row in enumerate(rows) if row[7] and _fits(row, place, others)]
        assert dict(facet) == {value: plain.count(value) for value in set(plain)}
    free = replace(wanted, first=None, until=None)
    plain = [row[dates[by]] for place, row in enumerate(rows) if row[7] and _fits(row, place, free)]
    assert sum(counts.months.values()) == len(plain)


def _view(rows: list[tuple[bytes, int, int, int, int, int, int, bool]], start: int) -> View:
    def column(place: int, kind: type) -> Array:
        return np.array([row[place] for row in rows], kind)

    ids = np.arange(start, start + len(rows))
    documents = Documents(
        ids, column(1, np.int64), column(2, np.int64), column(3, np.int64), column(4, np.int64), ids % 3,
        column(5, np.int64), column(6, np.uint8), (ids % 2).astype(np.uint8), [row[0] for row in rows],
    )  # fmt: skip
    return View(build(documents, ZONE), column(7, np.bool_))


def _fits(row: tuple[bytes, int, int, int, int, int, int, bool], place: int, wanted: Wanted) -> bool:
    name, taken, modified, uploaded, size, device, kind, _ = row
    date_of = {"taken": taken, "modified": modified, "uploaded": uploaded}[wanted.by]
    base, _, extension = name.rpartition(b".")
    own = extension if base and kind >= 2 else b""
    return (
        all(word in name for word in wanted.words)
        and not any(word in name for word in wanted.unwanted)
        and (wanted.extensions is None or own in wanted.extensions)
        and own not in wanted.unwanted_extensions
        and all(given is None or device in given for given in (wanted.reach, wanted.devices))
        and (wanted.kinds is None or kind in wanted.kinds)
        and (wanted.area is None or place % 2 == wanted.area)
        and (wanted.parent is None or place % 3 == wanted.parent)
        and (not wanted.size_least or (kind >= 2 and size >= wanted.size_least))
        and (wanted.size_most is None or (kind >= 2 and size <= wanted.size_most))
        and (wanted.first is None or date_of >= wanted.first)
        and (wanted.until is None or date_of < wanted.until)
    )


def test_many_names_make_dense_lists_and_are_found_alike() -> None:
    """More than 4,096 slots of a gram are kept as bits."""
    chosen = random.Random(4)
    rows = [
        (b"%s_%d.jpg" % (chosen.choice([b"img", b"dsc", b"beach"]), number), number % 97, 0, 0, 0, 1, 2, True)
        for number in range(20_000)
    ]
    every = _view(rows, 0)
    views = [every, every.without(np.arange(0, 20_000, 3)), every.without(np.arange(9_000))]
    for word in (b"i", b"im", b"img", b"img_1", b"beach_19999", b"each_1", b".jpg", b"zz", b"1", b"\xc3"):
        expected = [place for place, row in enumerate(rows) if word in row[0]]
        assert search_match.matching(every, Wanted((word,))).tolist() == expected
        for view in views:
            alive = [place for place in expected if view.alive is None or view.alive[place]]
            assert count([view], Wanted((word,)), ZONE).total == len(alive)


@pytest.mark.parametrize(("first", "until"), [(0, 2), (1, 3), (2, None), (None, 1), (None, None)])
def test_whole_months_are_counted_as_their_days_are(first: int | None, until: int | None) -> None:
    """Conditions on whole months choose among groups; a nanosecond less, and the dates of the hits decide."""
    bounds = search_documents.month_bounds(ZONE)[4_000:4_004].tolist()
    dates = [bound + offset for bound in bounds for offset in (-1, 0, 1, 10**15)]
    rows = [(b"a", date, 0, 0, 0, place % 2, place % 3, True) for place, date in enumerate(dates)]
    begin, end = (None if place is None else bounds[place] for place in (first, until))
    whole = Wanted(devices=frozenset({1}), kinds=frozenset({0, 2}), first=begin, until=end)
    fitting = [row for place, row in enumerate(rows) if _fits(row, place, whole)]
    counts = count([_view(rows, 0)], whole, ZONE)
    cut = replace(whole, first=None if begin is None else begin - 1, until=None if end is None else end + 1)
    assert counts.total == len(fitting)
    assert count([_view(rows, 0)], cut, ZONE).total == sum(_fits(row, p, cut) for p, row in enumerate(rows))
    assert counts.months == count([_view(rows, 0)], replace(whole, first=None, until=None), ZONE).months


def test_a_count_says_when_it_read_too_few_names_to_be_sure(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_counts, "NAMES_READ_MAX", 10)
    view = _view([(b"abcab", 0, 0, 0, 0, 1, 2, True)] * 11, 0)
    assert count([view], Wanted((b"xabca",)), ZONE).is_exact is True
    assert count([view], Wanted((b"abca",)), ZONE).is_exact is False


def test_months_are_the_zones_own() -> None:
    midnight = np.array([1_709_269_200, 1_709_269_199], np.int64) * 1_000_000_000  # 1 March 2024 05:00 UTC
    assert (months_of(midnight, ZONE) - months_of(midnight[1:], ZONE)).tolist() == [1, 0]
    ends = np.array([-(2**63), 2**63 - 1], np.int64)
    assert months_of(ends, "UTC").tolist() == [0, (2261 - 1678) * 12 + 11]


@pytest.mark.usefixtures("folding_early")
async def test_the_index_follows_whatever_happens(
    laptop: Uploader, again: Callable[[], _Other], scale: Callable[[int, int], int]
) -> None:
    """Uploads, renames, deletes, recoveries and purges by two processes at random; each finds what MariaDB holds."""
    chosen = random.Random(11)
    phone = Uploader(laptop.scope, (await laptop.scope.devices.create("phone", DeviceKind.PHONE)).id)
    async with again() as other:
        for step in range(scale(60, 600)):
            await _happen(chosen, step, chosen.choice([laptop, phone]), chosen.choice([laptop.scope, other]))
            if step % 6 == 5:
                for scope in (laptop.scope, other):
                    await _agree(scope, chosen.choice(["", "a", "ab", "abc", "file_", "jpg -b"]))
    async with again() as third:
        await _agree(third, "")


async def _happen(chosen: random.Random, step: int, device: Uploader, scope: TenantScope) -> None:
    live = [entry for entry in await _truth(scope) if entry.device_id == device.device_id]
    act = chosen.choice(["add", "add", "add", "rename", "delete", "recover", "purge"])
    if act == "add" or not live:
        files = [
            (f"{chosen.choice('abc')}/abc file_{step}-{i}.jpg", b"%d" % step) for i in range(chosen.randrange(1, 6))
        ]
        await device.add(*files, mtime_ns=chosen.randrange(5) * 10**18 // 5)
    elif act == "rename":
        await scope.entries.rename(chosen.choice(live).id, b"ab renamed %d" % step)
    elif act == "recover":
        held = (await scope.entries.held()).items
        if held:
            await scope.entries.recover([chosen.choice(held).id])
    elif act == "delete":
        await scope.entries.delete([chosen.choice(live).id])
    else:
        await scope.purge.entries([chosen.choice(live).id])


async def _truth(scope: TenantScope) -> list[Entry]:
    """All live entries, by walking the folders."""
    found: list[Entry] = []
    for device in await scope.devices.all():
        ahead = [EntryPath(())]
        while ahead:
            path = ahead.pop()
            page = await scope.entries.page(device.id, Area.ORIGINALS, path, limit=1_000)
            found += page.items
            ahead += [entry.path for entry in page.items if entry.kind == "directory"]
    return found


async def _agree(scope: TenantScope, text: str) -> None:
    truth = await _truth(scope)
    wanted = [word for word in text.split() if not word.startswith("-")]
    unwanted = [word[1:] for word in text.split() if word.startswith("-")]
    expected = [
        entry
        for entry in truth
        if all(word in fold(entry.name) for word in wanted) and not any(word in fold(entry.name) for word in unwanted)
    ]
    expected.sort(key=lambda entry: (entry.mtime_ns, entry.id), reverse=True)
    assert [entry.id for entry in await every(scope, text)] == [entry.id for entry in expected]
    facets = await scope.search.facets(SearchQuery(text))
    assert facets.kinds.get("image", 0) == sum(
        entry.media_kind == "image" for entry in expected if entry.kind == "file"
    )


# -- processes, files, damage ---------------------------------------------------------------------------------------


@pytest.mark.usefixtures("folding_early")
async def test_a_second_process_takes_the_files_of_the_first(
    laptop: Uploader, again: Callable[[], _Other], catalog_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    await laptop.add(*((f"f{i:02}.txt", b"%d" % i) for i in range(40)))
    assert len(await names(laptop.scope)) == 40
    assert list(files_of(catalog_settings, laptop.scope).glob("*.segment"))

    async def refuse(*_: object) -> None:
        raise AssertionError("everything was read again")

    monkeypatch.setattr(search_feed, "every_entry", refuse)
    await laptop.add(("late.txt", b"late"))
    async with again() as other:
        assert await names(other, "f1") == [f"f1{i}.txt" for i in range(10)]
        assert await names(other, "late") == ["late.txt"]


@pytest.mark.usefixtures("folding_early")
async def test_two_processes_take_turns_at_writing(
    laptop: Uploader, again: Callable[[], _Other], catalog_settings: Settings
) -> None:
    async with again() as other:
        for turn in range(6):
            await laptop.add(*((f"t{turn}-{i}.txt", b"%d-%d" % (turn, i)) for i in range(15)))
            expected = sorted(f"t{turn}-{i}.txt" for i in range(15))
            ours, theirs = await asyncio.gather(names(laptop.scope, f"t{turn}"), names(other, f"t{turn}"))
            assert (ours, theirs) == (expected, expected)
    async with again() as third:
        assert len(await names(third)) == 90
    folder = files_of(catalog_settings, laptop.scope)
    state = search_files.IndexFolder(folder).state()
    assert state is not None
    assert {line.stored.file for line in state.segments} == {file.name for file in folder.glob("*.segment")}


@pytest.mark.usefixtures("folding_early")
@pytest.mark.parametrize("harm", ["flip", "cut", "remove", "state", "state cut", "everything", "not a folder"])
async def test_damaged_files_are_made_again(
    laptop: Uploader, again: Callable[[], _Other], catalog_settings: Settings, harm: str
) -> None:
    await laptop.add(*((f"f{i:02}.txt", b"%d" % i) for i in range(40)))
    assert len(await names(laptop.scope)) == 40
    _harm(files_of(catalog_settings, laptop.scope), harm)
    async with again() as other:
        assert len(await names(other)) == 40
    await laptop.add(*((f"g{i:02}.txt", b"g%d" % i) for i in range(40)))
    assert len(await names(laptop.scope)) == 80
    async with again() as other:
        assert len(await names(other)) == 80
        assert await names(other, "g3") == [f"g3{i}.txt" for i in range(10)]


def _harm(folder: Path, harm: str) -> None:
    segment, state = next(folder.glob("*.segment")), folder / "state"
    match harm:
        case "flip" | "state":
            file = segment if harm == "flip" else state
            raw = bytearray(file.read_bytes())
            raw[len(raw) // 2] ^= 1
            _replace(file, bytes(raw))
        case "cut" | "state cut":
            file = segment if harm == "cut" else state
            _replace(file, file.read_bytes()[:-9])
        case "remove":
            segment.unlink()
        case _:
            shutil.rmtree(folder)
            if harm == "not a folder":
                folder.write_text("")


def _replace(file: Path, content: bytes) -> None:
    """As a restored or damaged disk would: what a process has mapped stays as it was."""
    file.unlink()
    file.write_bytes(content)


@pytest.mark.usefixtures("folding_early")
@pytest.mark.parametrize("at", ["segment", "state"])
async def test_a_crash_while_files_are_written_leaves_the_last_state(
    laptop: Uploader, again: Callable[[], _Other], monkeypatch: pytest.MonkeyPatch, at: str
) -> None:
    await laptop.add(*((f"f{i:02}.txt", b"%d" % i) for i in range(40)))
    assert len(await names(laptop.scope)) == 40
    put = search_files.IndexFolder._put

    def fail(self: search_files.IndexFolder, name: str, pieces: list[bytes]) -> None:
        if (name == "state") is (at == "state"):
            (self.folder / f"{name}.new").write_bytes(pieces[0][:10])
            raise OSError(28, "No space left on device")
        put(self, name, pieces)

    monkeypatch.setattr(search_files.IndexFolder, "_put", fail)
    await laptop.add(*((f"g{i:02}.txt", b"g%d" % i) for i in range(40)))
    assert len(await names(laptop.scope)) == 80
    async with again() as other:
        assert len(await names(other)) == 80
    monkeypatch.undo()
    async with again() as other:
        assert len(await names(other)) == 80


@pytest.mark.usefixtures("folding_early")
async def test_entries_purged_while_nobody_followed_leave_no_ghosts(
    laptop: Uploader, again: Callable[[], _Other]
) -> None:
    """The files know the entries as living; their rows, and with them the tale of their end, are gone."""
    await laptop.add(*((f"f{i:02}.txt", b"%d" % i) for i in range(40)), ("d/x.txt", b"x"))
    async with again() as other:
        assert len(await names(other)) == 42
    folder = next(entry for entry in await _truth(laptop.scope) if entry.kind == "directory")
    await laptop.scope.entries.delete([entry.id for entry in await _truth(laptop.scope) if entry.name < b"f05"])
    await laptop.scope.purge.entries([entry.id for entry in (await laptop.scope.entries.held()).items])
    async with again() as other:
        facets = await other.search.facets(SearchQuery())
        assert (facets.total, facets.kinds) == (35, {"document": 35})
        with pytest.raises(NotFound):
            await other.entries.get(folder.id)


@pytest.mark.usefixtures("folding_early")
async def test_a_catalog_with_another_history_is_read_anew(
    laptop: Uploader, again: Callable[[], _Other], catalog_settings: Settings
) -> None:
    """As after a restore of the database: the numbers are the same and the manifests are not."""
    await laptop.add(*((f"f{i:02}.txt", b"%d" % i) for i in range(40)))
    assert len(await names(laptop.scope)) == 40
    database = await _root(catalog_settings)
    async with database.reading() as tx:
        await tx.execute(
            "UPDATE manifest SET record_digest = %s WHERE tenant_id = %s", (bytes(32), laptop.scope.tenant.id)
        )
        await tx.execute("UPDATE entry SET name_fold = REPLACE(name_fold, 'f0', 'h0') WHERE name LIKE 'f0%%'")
    await database.close()
    async with again() as other:
        assert len(await every(other, "h0")) == 10


async def _root(settings: Settings) -> Database:
    connect: dict[str, object] = {"unix_socket": settings.mariadb_socket, "user": "root", "password": ""}
    return await Database.open(connect=connect | {"database": settings.mariadb_db}, connections_max=1)


async def test_a_search_does_not_wait_for_a_long_rebuild_and_says_so(
    laptop: Uploader, again: Callable[[], _Other], monkeypatch: pytest.MonkeyPatch
) -> None:
    await laptop.add(("a.txt", b"1"))
    reading, gate = search_feed.every_entry, asyncio.Event()

    async def slowly(*args: object):  # type: ignore[no-untyped-def]
        await gate.wait()
        async for documents in reading(*args):  # type: ignore[arg-type]
            yield documents

    monkeypatch.setattr(search_feed, "every_entry", slowly)
    monkeypatch.setattr("catalog.search.CATCH_UP_SECONDS_MAX", 0.01)
    async with again() as other:
        page = await other.search.find(SearchQuery("a"))
        assert (page.items, page.is_complete) == ([], False)
        facets: Facets = await other.search.facets(SearchQuery("a"))
        assert (facets.total, facets.is_complete) == (0, False)
        gate.set()
        monkeypatch.setattr("catalog.search.CATCH_UP_SECONDS_MAX", 60)
        assert await names(other, "a") == ["a.txt"]


async def test_what_was_committed_is_read_in_the_background(
    laptop: Uploader, monkeypatch: pytest.MonkeyPatch, catalog: Catalog
) -> None:
    monkeypatch.setattr("catalog.search_indexes.QUIET_SECONDS", 0.01)
    await laptop.add(("a.txt", b"1"))
    index = catalog.searches.of(laptop.scope.tenant)
    async with asyncio.timeout(60):
        while not index.document_count:
            await asyncio.sleep(0.01)


@pytest.mark.usefixtures("folding_early")
async def test_a_closed_account_leaves_no_index(
    catalog: Catalog, catalog_settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its files go, and what its purges announced to the background does not make them again."""
    monkeypatch.setattr("catalog.search_indexes.QUIET_SECONDS", 0)
    scope = await sign_in(catalog, "client-that-leaves")
    laptop = Uploader(scope, (await scope.devices.create("laptop", DeviceKind.LAPTOP)).id)
    await laptop.add(*((f"f{i:02}.txt", b"%d" % i) for i in range(40)))
    assert len(await names(scope)) == 40
    assert list(files_of(catalog_settings, scope).glob("*.segment"))
    operator = Actor("operator", "ops")
    await catalog.system.suspend(scope.tenant.id, operator)
    assert await catalog.closing(scope.tenant, operator).run() == 40
    await catalog.searches.close()
    assert not files_of(catalog_settings, scope).exists()


# -- tenants and dates ----------------------------------------------------------------------------------------------


async def test_tenants_never_mix(catalog: Catalog, laptop: Uploader) -> None:
    stranger = await sign_in(catalog, "client-stranger-to-search")
    theirs = Uploader(stranger, (await stranger.devices.create("laptop", DeviceKind.LAPTOP)).id)
    await laptop.add(("ours.txt", b"1"))
    await theirs.add(("theirs.txt", b"1"), ("ours too.txt", b"2"))
    assert await names(laptop.scope, "ours") == ["ours.txt"]
    assert await names(stranger, "ours") == ["ours too.txt"]
    assert (await stranger.search.facets(SearchQuery())).total == 2
    with pytest.raises(NotFound):
        await stranger.search.facets(SearchQuery(device_id=laptop.device_id + 10**6))


async def test_counts_of_a_device_token_are_of_its_device_alone(catalog: Catalog, laptop: Uploader) -> None:
    phone = await laptop.scope.devices.create("phone", DeviceKind.PHONE)
    await laptop.add(("a.jpg", b"1"), ("b.jpg", b"2"))
    await Uploader(laptop.scope, phone.id).add(("c.jpg", b"3"))
    _, token = await laptop.scope.devices.create_token(phone.id, "phone's own")
    view = await catalog.system.sessions.device_token(token)
    narrow = catalog.tenant(view.tenant, Actor("device", view.label, view.token_id), view.device_id)
    facets = await narrow.search.facets(SearchQuery())
    assert (facets.total, facets.devices, facets.kinds) == (1, {phone.id: 1}, {"image": 1})
    assert sum(facets.months.values()) == 1


async def test_facets_count_what_another_choice_would_give(laptop: Uploader) -> None:
    phone = await laptop.scope.devices.create("phone", DeviceKind.PHONE)
    await laptop.add(("a.jpg", b"1"), ("b.pdf", b"2"), mtime_ns=1_700_000_000_000_000_000)
    await Uploader(laptop.scope, phone.id).add(("c.jpg", b"3"), mtime_ns=1_600_000_000_000_000_000)
    facets = await laptop.scope.search.facets(
        SearchQuery("kind:image", device_id=laptop.device_id, by=DateKind.MODIFIED, first_day=date(2023, 1, 1))
    )
    assert facets.total == 1
    assert facets.devices == {laptop.device_id: 1}
    assert facets.kinds == {"image": 1, "document": 1}
    assert facets.months == {"2023-11": 1}
    wide = await laptop.scope.search.facets(SearchQuery("kind:image"))
    assert wide.devices == {laptop.device_id: 1, phone.id: 1}
    assert list(wide.months) == ["2023-11", "2020-09"]


def test_kinds_are_numbered_as_the_files_have_them() -> None:
    """The numbers are in the files: another order needs another FORMAT."""
    assert KINDS == ("directory", "link", "image", "video", "audio", "document", "other")
    assert search_files.FORMAT == 3


@pytest.mark.usefixtures("folding_early")
async def test_a_date_taken_that_is_found_later_moves_the_entry(
    laptop: Uploader, again: Callable[[], _Other], catalog_settings: Settings
) -> None:
    """Facts of a blob come with a note; every entry of these bytes is sorted anew, wherever the index is."""
    await laptop.add(*((f"f{i:02}.jpg", b"%d" % i) for i in range(40)), ("same.jpg", b"0"))
    tenant_id = laptop.scope.tenant.id
    before = await laptop.scope.search.facets(SearchQuery())
    assert before.months == {"2023-11": 41}
    database = await _root(catalog_settings)
    async with database.reading() as tx:
        for seq, name in enumerate(["f00.jpg", "f39.jpg"], start=1):
            row = await tx.fetch_one("SELECT blob_id FROM entry WHERE tenant_id = %s AND name = %s", (tenant_id, name))
            assert row is not None
            await tx.execute(
                "UPDATE entry SET taken_ns = %s WHERE tenant_id = %s AND blob_id = %s",
                (1_800_000_000_000_000_000 + seq, tenant_id, row[0]),
            )
            await tx.execute(
                "INSERT INTO media_note (tenant_id, seq, blob_id) VALUES (%s, %s, %s)", (tenant_id, seq, row[0])
            )
            await tx.execute("REPLACE INTO media_head (tenant_id, seq) VALUES (%s, %s)", (tenant_id, seq))
    await database.close()
    async with again() as other:
        for scope in (laptop.scope, other):
            newest_first = [entry.name.decode() for entry in await every(scope)]
            assert newest_first[:3] == ["f39.jpg", "same.jpg", "f00.jpg"]
            assert (await scope.search.facets(SearchQuery())).months == {"2027-01": 3, "2023-11": 38}
