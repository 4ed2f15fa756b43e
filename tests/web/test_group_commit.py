"""Small files that arrive at the same moment: stored together, answered each for itself."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import httpx2
import pytest

from tests.shared.portal import session_of
from tests.shared.service import Service
from tests.web.device import Device
from web.gathering import Gatherer

pytestmark = pytest.mark.anyio


async def put_all(running: Service, laptop: Device, files: Sequence[tuple[str, bytes]]) -> list[httpx2.Response]:
    cookies, headers = session_of(laptop.client)
    async with httpx2.AsyncClient(base_url=running.url, cookies=cookies, headers=headers, timeout=60) as client:
        return await asyncio.gather(*(client.put(f"{laptop.files}/{path}", content=content) for path, content in files))


def packs(running: Service) -> set[Path]:
    return set((running.settings.storage_root / "packs").glob("*/*.pack"))


async def test_they_share_packs_and_manifests(running: Service, laptop: Device) -> None:
    files = [(f"many/{number}.txt", f"content {number}".encode()) for number in range(60)]
    before = packs(running)
    answers = await put_all(running, laptop, files)
    assert [answer.status_code for answer in answers] == [201] * 60
    assert all(laptop.get(path).content == content for path, content in files)
    history = laptop.client.get(f"/api/v1/devices/{laptop.id}/manifests").json()["manifests"]
    assert len(history) < 40
    assert packs(running) - before
    assert {answer.json()["entry"] for answer in answers} == {entry["id"] for entry in laptop.entries("many")}


async def test_one_that_does_not_fit_spoils_nothing(running: Service, laptop: Device) -> None:
    assert laptop.put("taken/inner.txt", b"a file").status_code == 201
    files = [(f"near/{number}.txt", b"%d" % number) for number in range(30)]
    answers = await put_all(running, laptop, [("taken", b"a folder has that name"), *files])
    assert answers[0].status_code == 409
    assert [answer.status_code for answer in answers[1:]] == [201] * 30


async def test_the_same_path_many_times_ends_as_one_file_with_its_versions(running: Service, laptop: Device) -> None:
    contents = [b"version %d" % number for number in range(20)]
    answers = await put_all(running, laptop, [("same.txt", content) for content in contents])
    assert sorted(answer.status_code for answer in answers) == [200] * 19 + [201]
    (entry,) = laptop.entries()
    versions = laptop.client.get(f"/api/v1/entries/{entry['id']}/versions").json()["entries"]
    assert len(versions) == 20
    assert laptop.get("same.txt").content in contents


async def test_the_same_bytes_under_many_names(running: Service, laptop: Device) -> None:
    answers = await put_all(running, laptop, [(f"copy {number}", b"the same bytes") for number in range(20)])
    assert [answer.status_code for answer in answers] == [201] * 20
    assert len({answer.json()["digest"] for answer in answers}) == 1


async def test_a_wrong_digest_is_refused_alone(running: Service, laptop: Device) -> None:
    wrong = laptop.put("wrong", b"bytes", **{"X-OTB-Digest": "0" * 64})
    assert wrong.status_code == 422
    assert laptop.get("wrong").status_code == 404


async def test_gathers_while_it_works_and_never_before() -> None:
    groups: list[list[int]] = []
    go_on = asyncio.Event()

    async def work(items: Sequence[int]) -> list[int | BaseException]:
        groups.append(list(items))
        await go_on.wait()
        return [ValueError("odd") if item % 2 else item * 10 for item in items]

    gatherer: Gatherer[int, int] = Gatherer(3, lambda item: item % 100)
    putting = [asyncio.create_task(gatherer.put("key", item, work)) for item in (2, 3, 4, 104, 5, 6)]
    other = asyncio.create_task(gatherer.put("another key", 8, work))
    await asyncio.sleep(0.01)
    assert sorted(groups) == [[2, 3, 4], [8]]
    putting[2].cancel()  # 4: it is done all the same
    go_on.set()
    assert await other == 80
    answers = await asyncio.gather(*putting, return_exceptions=True)
    assert groups[2:] == [[104, 5, 6]]
    assert [answer if isinstance(answer, int) else type(answer).__name__ for answer in answers] == [
        20, "ValueError", "CancelledError", 1040, "ValueError", 60,
    ]  # fmt: skip


async def test_what_work_raises_everyone_gets() -> None:
    async def work(items: Sequence[int]) -> list[int | BaseException]:
        raise RuntimeError("no database")

    gatherer: Gatherer[int, int] = Gatherer(3, lambda item: item)
    for _ in range(2):
        with pytest.raises(RuntimeError, match="no database"):
            await gatherer.put("key", 1, work)
