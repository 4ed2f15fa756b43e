"""A source goes: what was made of it stays or goes as its owner chose, thumbnails and previews go in any case, and the
sweep frees the bytes of all that went."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

import pytest

from catalog.values import Actor, Area, EntryPath
from tests.shared.rig import Rig, make_site, open_rig
from tests.shared.settings import GivenSettings
from tests.tools.worker.corpus import picture, saved
from tools.run.mariadb import PrivateMariaDB
from tools.worker.slot import Tools
from tools.worker.worker import Worker
from web.deleting import delete_chosen

pytestmark = pytest.mark.anyio

_TABLES: Final = ("media", "media_head", "media_note", "media_mark", "rendition", "derivation", "job", "job_output")


@pytest.fixture(scope="module")
async def site(mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> GivenSettings:
    return await make_site(mariadb, tmp_path_factory.mktemp("going"), "going")


@pytest.fixture
async def rig(site: GivenSettings) -> AsyncIterator[Rig]:
    async with open_rig(site) as opened:
        yield opened


async def made(rig: Rig, folder: Path, **photos: tuple[int, int]) -> dict[str, set[str]]:
    """Photos of these sizes, each turned by a worker, with all thumbnails and previews. Name → the digests of what
    hangs on the file: itself and its renditions; and under `name turned` the same of what was made of it."""
    for name, size in photos.items():
        await rig.upload(f"{name}.jpg", saved(picture(size), "JPEG"))
    ids = [(await rig.entry(f"{name}.jpg")).id for name in photos]
    await rig.scope.jobs.ask(ids, "rotate", {"angle": "90"})
    await Worker(Tools(rig.settings, rig.catalog, rig.store), "worker", folder).run(asyncio.Event(), until_idle=True)
    hanging = {}
    for name in photos:
        for area, title, path in (
            (Area.ORIGINALS, name, f"{name}.jpg"),
            (Area.DERIVED, f"{name} turned", f"{name}-rotated-90.jpg"),
        ):
            rows = await rig.fetch(
                "SELECT LOWER(HEX(s.digest)), LOWER(HEX(b.digest)) FROM entry e JOIN `blob` s ON s.id = e.blob_id"
                " JOIN rendition r ON r.tenant_id = e.tenant_id AND r.source_id = s.id"
                " JOIN `blob` b ON b.id = r.derived_id WHERE e.tenant_id = %s AND e.area = %s AND e.name = %s",
                *(rig.scope.tenant.id, str(area), path.encode()),
            )
            assert len(rows) == 2, (title, rows)
            hanging[title] = {str(digest) for row in rows for digest in row}
    return hanging


async def pass_the_hold(rig: Rig) -> None:
    """A month passes, and the sweep ends holds, condemns, deletes and empties the trash."""
    await rig.fetch(
        "UPDATE entry SET removed_at = removed_at - INTERVAL 31 DAY WHERE tenant_id = %s AND removal = 'deleted'",
        rig.scope.tenant.id,
    )
    await rig.sweeps(4)


async def there(rig: Rig) -> set[str]:
    """Digests that have a row."""
    return {str(row[0]) for row in await rig.fetch("SELECT LOWER(HEX(digest)) FROM `blob` WHERE size_bytes > 0")}


async def test_what_was_made_of_it_stays_or_goes_as_was_chosen(rig: Rig, tmp_path: Path) -> None:
    hanging = await made(rig, tmp_path, kept=(400, 300), dropped=(300, 200), stays=(500, 200))
    await delete_chosen(rig.scope, [(await rig.entry("kept.jpg")).id], with_derived=False)
    await delete_chosen(rig.scope, [(await rig.entry("dropped.jpg")).id], with_derived=True)
    before = await there(rig)
    assert set().union(*hanging.values()) <= before, "the hold protects everything"
    await pass_the_hold(rig)
    left = hanging["kept turned"] | hanging["stays"] | hanging["stays turned"]
    assert await there(rig) == left
    assert {digest_of(key) for key in rig.files()} <= left, "no file of what went is left"
    page = await rig.scope.entries.page(rig.device_id, Area.DERIVED, EntryPath(()))
    derived = {str(entry.path): entry.id for entry in page.items}
    assert sorted(derived) == ["kept-rotated-90.jpg", "stays-rotated-90.jpg"]
    origin, _ = await rig.scope.derived.of(derived["kept-rotated-90.jpg"])
    assert origin is not None
    assert (origin.recipe, origin.source) == ("rotate", None)
    assert origin.source_digest in hanging["kept"]
    assert await rig.missing() == []


async def test_nothing_is_left_of_an_account_that_is_closed(rig: Rig, tmp_path: Path) -> None:
    packs = set(rig.files("packs"))
    hanging = set().union(*(await made(rig, tmp_path, photo=(410, 310))).values())
    await rig.scope.jobs.ask([(await rig.entry("photo.jpg")).id], "strip", {})  # nobody carries it out
    assert hanging <= await there(rig)
    for table in _TABLES:
        assert await rows_of(rig, table) > 0, table
    await rig.catalog.closing(rig.scope.tenant, Actor("operator", "operator")).run()
    assert {table: await rows_of(rig, table) for table in _TABLES} == dict.fromkeys(_TABLES, 0)
    await rig.sweeps(4)
    assert not hanging & await there(rig)
    assert not hanging & {digest_of(key) for key in rig.files()}
    assert set(rig.files("packs")) == packs, "the packs of its thumbnails and previews are gone"


def digest_of(key: str) -> str:
    return key.rpartition("/")[2].partition(".")[0]


async def rows_of(rig: Rig, table: str) -> int:
    ((count,),) = await rig.fetch(f"SELECT COUNT(*) FROM `{table}` WHERE tenant_id = %s", rig.scope.tenant.id)
    return int(str(count))
