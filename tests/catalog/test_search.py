"""Search by part of a name and by day; paging; what a device token may find."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import pytest

from catalog import clock
from catalog.catalog import Catalog
from catalog.errors import BadCursor, BadRequest, NotFound
from catalog.search import SearchQuery
from catalog.tenant import TenantScope
from catalog.values import Actor, DateKind, DeviceKind, Entry, MediaKind
from tests.catalog.conftest import Uploader

pytestmark = pytest.mark.anyio


def names(items: list[Entry]) -> list[str]:
    return [entry.name.decode("utf-8", "replace") for entry in items]


async def find(scope: TenantScope, **query: object) -> list[str]:
    return names((await scope.search.find(SearchQuery(**query))).items)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("2041", ["IMG_2041.JPG"]),
        ("img_20", ["IMG_2042.jpg", "IMG_2041.JPG"]),
        ("jpg 2042", ["IMG_2042.jpg"]),
        ("cafe", ["Café Straße.txt"]),
        ("STRASSE", ["Café Straße.txt"]),
        ("100%", ["100%_sure.md"]),
        ("%", ["100%_sure.md"]),
        ("_", ["100%_sure.md", "IMG_2042.jpg", "IMG_2041.JPG"]),
        ("\\", []),
        ("nothing", []),
    ],
)
async def test_any_part_of_a_name(laptop: Uploader, text: str, found: list[str]) -> None:
    for i, path in enumerate(["a/IMG_2041.JPG", "b/IMG_2042.jpg", "Café Straße.txt", "100%_sure.md"]):
        await laptop.add((path, path.encode()), mtime_ns=1_600_000_000_000_000_000 + i)
    assert await find(laptop.scope, text=text) == found


async def test_one_day_in_the_tenants_zone_is_the_whole_day(laptop: Uploader) -> None:
    """Toronto's 10 March 2024 has 23 hours: from 05:00 UTC to 04:00 UTC of the next day."""
    moments = {
        "before": datetime(2024, 3, 10, 4, 59, 59, 999999, tzinfo=UTC),
        "first": datetime(2024, 3, 10, 5, 0, tzinfo=UTC),
        "last": datetime(2024, 3, 11, 3, 59, 59, 999999, tzinfo=UTC),
        "after": datetime(2024, 3, 11, 4, 0, tzinfo=UTC),
    }
    for name, moment in moments.items():
        await laptop.add((name, name.encode()), mtime_ns=clock.to_ns(moment))
    day = date(2024, 3, 10)
    for by in (DateKind.MODIFIED, DateKind.TAKEN):
        found = await laptop.scope.search.find(SearchQuery(text="", first_day=day, last_day=day, by=by))
        assert [e.name for e in found.items if e.media_kind is MediaKind.OTHER] == [b"last", b"first"]


async def test_uploaded_today(laptop: Uploader) -> None:
    await laptop.add(("new.txt", b"1"), mtime_ns=0)
    today = datetime.now(ZoneInfo(laptop.scope.tenant.time_zone)).date()
    query = SearchQuery(first_day=today, last_day=today, by=DateKind.UPLOADED)
    assert names((await laptop.scope.search.find(query)).items) == ["new.txt"]
    assert await find(laptop.scope, first_day=today, last_day=today) == []


async def test_kind_device_and_deleted(laptop: Uploader) -> None:
    phone = await laptop.scope.devices.create("phone", DeviceKind.PHONE)
    await laptop.add(("a.jpg", b"1"), ("b.mp4", b"2"), ("c.pdf", b"3"))
    await Uploader(laptop.scope, phone.id).add(("d.heic", b"4"))
    assert await find(laptop.scope, media_kind=MediaKind.IMAGE) == ["d.heic", "a.jpg"]
    assert await find(laptop.scope, media_kind=MediaKind.DOCUMENT) == ["c.pdf"]
    assert await find(laptop.scope, device_id=phone.id) == ["d.heic"]
    hit = (await laptop.scope.search.find(SearchQuery(text="d.heic"))).items[0]
    await laptop.scope.entries.delete([hit.id])
    assert await find(laptop.scope, text="heic") == []


async def test_pages_join_without_gap_or_repetition(laptop: Uploader) -> None:
    await laptop.add(*((f"f{i:03}.txt", b"%d" % i) for i in range(25)))
    for by in DateKind:
        seen: list[str] = []
        cursor = None
        while True:
            page = await laptop.scope.search.find(SearchQuery(text="txt", by=by), cursor, limit=4)
            seen += names(page.items)
            cursor = page.next
            if cursor is None:
                break
        assert sorted(seen) == [f"f{i:03}.txt" for i in range(25)]


async def test_a_device_token_finds_its_own_device_alone(catalog: Catalog, laptop: Uploader) -> None:
    phone = await laptop.scope.devices.create("phone", DeviceKind.PHONE)
    await laptop.add(("a.txt", b"1"))
    await Uploader(laptop.scope, phone.id).add(("b.txt", b"2"))
    _, token = await laptop.scope.devices.create_token(phone.id, "phone's own")
    view = await catalog.system.sessions.device_token(token)
    narrow = catalog.tenant(view.tenant, Actor("device", view.label, view.token_id), view.device_id)
    assert await find(narrow, text="txt") == ["b.txt"]
    with pytest.raises(NotFound):
        await find(narrow, device_id=laptop.device_id)
    with pytest.raises(NotFound):
        await narrow.entries.get((await laptop.scope.search.find(SearchQuery(text="a.txt"))).items[0].id)


@pytest.mark.parametrize("cursor", ["x", "!!", "W10", "WyJhIiwxXQ", "WzEsMl0=junk", "WzFlOTksMV0", "A" * 5000])
async def test_a_forged_cursor_is_refused(laptop: Uploader, cursor: str) -> None:
    with pytest.raises(BadCursor):
        await laptop.scope.search.find(SearchQuery(text="a"), cursor)


async def test_an_unknown_device_is_not_found(laptop: Uploader) -> None:
    with pytest.raises(NotFound):
        await laptop.scope.search.find(SearchQuery(device_id=10**6))


async def test_limits(laptop: Uploader) -> None:
    for query in (
        SearchQuery(text="x" * 201),
        SearchQuery(text=" ".join("abcdefghijk")),
        SearchQuery(first_day=date(2024, 1, 2), last_day=date(2024, 1, 1)),
        SearchQuery(first_day=date(1, 1, 1)),
        SearchQuery(last_day=date(9999, 12, 31)),
    ):
        with pytest.raises(BadRequest):
            await laptop.scope.search.find(query)
