"""`POST blobs`: many small blobs in one body, kept as a whole or rejected by name, and nobody else's business."""

import asyncio
import random
import time
from collections.abc import Callable
from pathlib import Path

import httpx2
import pytest

from cas.journal import Journal
from cas.layout import PACK_BLOB_BYTES_MAX
from cas.local import LocalBackend
from cas.store import BlobStore
from catalog.catalog import Catalog
from tests.shared.portal import sign_in
from tests.shared.service import Service
from tests.web.conftest import QUOTA_BYTES
from tests.web.device import Device, Wire, as_sent, bearer
from tests.web.frames import frame, hex_of, missing, send, send_body
from web.blob_frames import BLOBS_TYPE
from web.limits import BATCH_BLOBS_MAX, BATCH_BODY_BYTES_MAX

MIB = 1 << 20


def samples(count: int, size: int = 10_240, seed: int | None = None) -> list[bytes]:
    source = random.Random(seed if seed is not None else time.perf_counter_ns())
    return [source.randbytes(size) for _ in range(count)]


def commit(device: Device, files: dict[str, bytes]) -> httpx2.Response:
    entries = [{"path": path, "digest": hex_of(content), "size": len(content)} for path, content in files.items()]
    return device.client.post(f"/api/v1/devices/{device.id}/manifests", json={"entries": entries})


def packs(running: Service) -> set[Path]:
    return set((running.settings.storage_root / "packs").glob("*/*.pack"))


def test_a_batch_is_one_pack_and_becomes_files(running: Service, laptop: Device) -> None:
    contents = [*samples(300), b"text " * 2_000, b"x", b""]
    before = packs(running)
    answer = send(laptop.client, *contents)
    assert answer.status_code == 200, answer.text
    told = answer.json()
    assert sorted(told["stored"]) == sorted(hex_of(content) for content in contents if content)
    assert (told["deduplicated"], told["rejected"]) == ([hex_of(b"")], [])
    assert len(packs(running) - before) == 1
    assert missing(laptop.client, *contents) == []
    files = {f"batch/{number}.bin": content for number, content in enumerate(contents)}
    assert commit(laptop, files).status_code == 201
    for path, content in files.items():
        assert laptop.get(path).content == content
    assert laptop.get("batch/300.bin", Range="bytes=5-9").content == b"text "


def test_the_same_batch_twice_is_deduplicated(laptop: Device) -> None:
    contents = samples(20)
    send(laptop.client, *contents)
    again = send(laptop.client, *contents, contents[0]).json()
    assert again["stored"] == []
    assert sorted(again["deduplicated"]) == sorted(map(hex_of, contents))


def test_what_another_account_sent_is_new_to_this_one(laptop: Device, join: Callable[[], httpx2.Client]) -> None:
    contents = samples(5)
    send(laptop.client, *contents)
    stranger = join()
    assert missing(stranger, *contents) == sorted_as(contents)
    assert sorted(send(stranger, *contents).json()["stored"]) == sorted(map(hex_of, contents))
    assert missing(stranger, *contents) == []


def sorted_as(contents: list[bytes]) -> list[str]:
    return [hex_of(content) for content in contents]


def test_a_wrong_digest_is_rejected_by_name_and_the_rest_is_kept(laptop: Device) -> None:
    good, lied = samples(2)
    claimed = hex_of(b"something else")
    told = send_body(laptop.client, frame(good) + frame(lied, claimed)).json()
    assert told["stored"] == [hex_of(good)]
    assert [(one["digest"], one["reason"].endswith(".")) for one in told["rejected"]] == [(claimed, True)]
    assert missing(laptop.client, lied) == [hex_of(lied)]


def test_a_blob_too_large_for_a_batch_is_passed_over(laptop: Device) -> None:
    small, (large,) = samples(2), samples(1, PACK_BLOB_BYTES_MAX + 1)
    told = send(laptop.client, small[0], large, small[1]).json()
    assert sorted(told["stored"]) == sorted(map(hex_of, small))
    assert [one["digest"] for one in told["rejected"]] == [hex_of(large)]
    exact = samples(1, PACK_BLOB_BYTES_MAX)
    assert send(laptop.client, *exact).json()["stored"] == [hex_of(exact[0])]


@pytest.mark.parametrize("cut", [1, 39, 41, 10_000])
def test_a_body_that_ends_within_a_blob_leaves_nothing(running: Service, laptop: Device, cut: int) -> None:
    first, second = samples(2)
    body = frame(first) + frame(second)
    before = packs(running)
    answer = send_body(laptop.client, body[:-cut])
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")
    assert missing(laptop.client, first, second) == [hex_of(first), hex_of(second)]
    assert packs(running) == before


def test_a_length_that_lies_leaves_nothing(laptop: Device) -> None:
    (content,) = samples(1)
    for size in (len(content) + 1, 2**63, 2**64 - 1):
        answer = send_body(laptop.client, frame(content, size=size))
        assert answer.status_code == 400, answer.text
    assert missing(laptop.client, content) == [hex_of(content)]


def test_an_empty_body_is_an_empty_batch(running: Service, laptop: Device) -> None:
    before = packs(running)
    assert send_body(laptop.client, b"").json() == {"stored": [], "deduplicated": [], "rejected": []}
    assert packs(running) == before


def test_limits_are_named(laptop: Device) -> None:
    too_many = send_body(laptop.client, frame(b"x") * (BATCH_BLOBS_MAX + 1))
    assert (too_many.status_code, f"{BATCH_BLOBS_MAX:,}" in too_many.text) == (413, True)
    with Wire(str(laptop.client.base_url)) as wire:
        length = str(BATCH_BODY_BYTES_MAX + 1)
        wire.head(
            "POST", b"/api/v1/blobs", as_sent(laptop.client) | {"Content-Length": length, "Content-Type": BLOBS_TYPE}
        )
        status, _, body = wire.answer()
    assert status == 413
    assert b"64" in body
    wrong = laptop.client.post("/api/v1/blobs", content=b"", headers={"Content-Type": "application/octet-stream"})
    assert wrong.status_code == 415


def test_a_cut_connection_leaves_nothing(running: Service, laptop: Device) -> None:
    contents = samples(400)
    body = b"".join(map(frame, contents))
    incoming = running.settings.storage_root / "incoming"
    before, staged = packs(running), set(incoming.iterdir())
    with Wire(running.url) as wire:
        headers = as_sent(laptop.client) | {"Content-Length": str(len(body)), "Content-Type": BLOBS_TYPE}
        wire.head("POST", b"/api/v1/blobs", headers)
        wire.send(body[:-1])
        time.sleep(0.3)
    deadline = time.monotonic() + 10
    while set(incoming.iterdir()) - staged and time.monotonic() < deadline:
        time.sleep(0.02)
    assert set(incoming.iterdir()) <= staged
    assert packs(running) == before
    assert len(missing(laptop.client, *contents)) == len(contents)


def test_what_is_sent_counts_until_a_manifest_names_it_and_once_then(laptop: Device) -> None:
    def used() -> int:
        return int(laptop.client.get("/api/v1/me").json()["usage"]["used_bytes"])

    content = samples(1, 100_000)[0]
    before = used()
    send(laptop.client, content)
    assert used() == before + 100_000
    assert commit(laptop, {"one.bin": content}).status_code == 201
    assert used() == before + 100_000


def test_a_full_account_is_told_so_and_keeps_nothing(running: Service, join: Callable[[], httpx2.Client]) -> None:
    client = join()
    refused = None
    for number in range(5):
        refused = send(client, *samples(20, MIB, seed=number))
        if refused.status_code != 200:
            break
    assert refused is not None
    assert (refused.status_code, refused.headers["content-type"]) == (507, "application/problem+json")
    assert int(client.get("/api/v1/me").json()["usage"]["used_bytes"]) <= QUOTA_BYTES


def test_a_device_token_may_send(running: Service, laptop: Device) -> None:
    contents = samples(3)
    with bearer(running.url, laptop.token()) as client:
        assert len(send(client, *contents).json()["stored"]) == 3
    assert missing(laptop.client, *contents) == []


def test_nobody_sends_without_signing_in(running: Service) -> None:
    with httpx2.Client(base_url=running.url) as client:
        assert send(client, b"x").status_code == 401


def test_a_killed_server_leaves_no_pack_without_a_row(
    make_service: Callable[..., Service], scale: Callable[[int, int], int]
) -> None:
    service = make_service(on_disk=scale(0, 1) == 1)
    with sign_in(service.url, service.settings) as client:
        kept = samples(50)
        assert send(client, *kept).status_code == 200
        cookies = as_sent(client)
        for number in range(scale(2, 30)):
            body = b"".join(map(frame, samples(800)))
            with Wire(service.url) as wire:
                headers = cookies | {"Content-Length": str(len(body)), "Content-Type": BLOBS_TYPE}
                wire.head("POST", b"/api/v1/blobs", headers)
                wire.send(body)
                time.sleep(0.01 * number)
                service.kill()
            service.start()
    with sign_in(service.url, service.settings) as client:
        assert list((service.settings.storage_root / "incoming").iterdir()) == []
        rows = {path.stem for path in packs(service)}
        assert rows == known_packs(service)
        assert rows


def known_packs(service: Service) -> set[str]:
    """The ids in table `pack`, read as an operator would."""

    async def read() -> set[str]:
        backend = LocalBackend(service.settings.storage_root)
        try:
            catalog = await Catalog.open(service.settings, Journal(backend), BlobStore.open(backend).store_id)
            try:
                return await catalog.system.known_packs([path.stem for path in packs(service)])
            finally:
                await catalog.close()
        finally:
            backend.close()

    return asyncio.run(read())
