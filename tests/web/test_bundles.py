"""A bundle: names and bytes in one body, in one transaction; all of it stands or nothing does."""

import json
import random
import struct
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx2
import pytest

from cas.memory import MemoryBackend
from cas.packwriter import PackWriter
from catalog.changes import AddKnown
from catalog.errors import BadRequest
from tests.shared.service import Service
from tests.web.conftest import QUOTA_BYTES
from tests.web.device import Device, bearer
from tests.web.frames import frame, hex_of, missing, send
from web.blob_frames import BLOBS_TYPE
from web.bundles import BUNDLE_TYPE, BundleReader, bundle_head
from web.limits import BATCH_BLOBS_MAX, BUNDLE_MANIFEST_BYTES_MAX


def samples(count: int, size: int = 10_240) -> list[bytes]:
    return [random.randbytes(size) for _ in range(count)]


def entry(path: str, content: bytes, **more: Any) -> dict[str, Any]:
    return {"path": path, "digest": hex_of(content), "size": len(content)} | more


def bundle(entries: list[dict[str, Any]], *contents: bytes) -> bytes:
    return bundle_head(json.dumps({"entries": entries}).encode()) + b"".join(map(frame, contents))


def bundle_of(files: dict[str, bytes]) -> bytes:
    return bundle([entry(path, content) for path, content in files.items()], *files.values())


def post(device: Device, body: bytes, media_type: str = BUNDLE_TYPE) -> httpx2.Response:
    return device.client.post(
        f"/api/v1/devices/{device.id}/manifests", content=body, headers={"Content-Type": media_type}
    )


def used(device: Device) -> int:
    return int(device.client.get("/api/v1/me").json()["usage"]["used_bytes"])


@pytest.fixture
def packs(running: Service) -> Callable[[], set[Path]]:
    return lambda: set((running.settings.storage_root / "packs").glob("*/*.pack"))


@pytest.fixture
def nothing_left(laptop: Device, packs: Callable[[], set[Path]]) -> Iterator[None]:
    """After the test no file, no manifest, no byte and no pack is there that was not before."""
    before = packs()
    yield
    assert packs() == before
    assert laptop.entries() == []
    assert laptop.client.get(f"/api/v1/devices/{laptop.id}/manifests").json()["manifests"] == []
    assert used(laptop) == 0


def test_a_bundle_is_one_pack_and_one_manifest(laptop: Device, packs: Callable[[], set[Path]]) -> None:
    files = {f"photos/{number}.bin": content for number, content in enumerate([*samples(300), b"text " * 2_000, b"x"])}
    before = packs()
    answer = post(laptop, bundle_of(files))
    assert answer.status_code == 201, answer.text
    assert answer.json() == {
        "manifest": "1", "added": 302, "replaced": 0, "unchanged": 0, "removed": 0, "deduplicated": []
    }  # fmt: skip
    assert len(packs() - before) == 1
    assert missing(laptop.client, *files.values()) == []
    for path in ("photos/0.bin", "photos/299.bin", "photos/300.bin", "photos/301.bin"):
        assert laptop.get(path).content == files[path]
    assert used(laptop) == sum(map(len, files.values()))


def test_sent_twice_the_second_changes_nothing(laptop: Device) -> None:
    files = {f"{number}": content for number, content in enumerate(samples(20))}
    body = bundle_of(files)
    post(laptop, body)
    again = post(laptop, body)
    assert again.status_code == 200, again.text
    told = again.json()
    assert (told["manifest"], told["added"], told["unchanged"]) == (None, 0, 20)
    assert sorted(told["deduplicated"]) == sorted(map(hex_of, files.values()))
    assert used(laptop) == sum(map(len, files.values()))
    assert laptop.get("7").content == files["7"]


def test_what_was_sent_before_may_be_named_and_its_lease_is_over(laptop: Device) -> None:
    leased, here, both = samples(3)
    send(laptop.client, leased, both)
    entries: list[dict[str, Any]] = [
        entry("a/leased", leased),
        entry("a/here", here),
        entry("a/both", both),
        entry("a/again", here),
        entry("a/empty", b""),
        {"path": "a/link", "type": "link", "target": "here"},
        {"path": "a", "type": "directory", "mode": 0o700},
    ]
    answer = post(laptop, bundle(entries, here, both, b""))
    assert answer.status_code == 201, answer.text
    assert answer.json()["deduplicated"] == [hex_of(both)]
    assert used(laptop) == 4 * 10_240  # each name counts, the leases no more
    assert [laptop.get(f"a/{name}").content for name in ("leased", "both", "again", "empty")] == [
        leased, both, here, b""
    ]  # fmt: skip


def test_bundles_at_once_all_stand(laptop: Device, join: Callable[[], httpx2.Client]) -> None:
    """Of one account and of two, with bytes of their own and bytes that all of them bring, into folders of one name."""
    shared = samples(3)
    devices = [laptop, Device.make(laptop.client, "other"), Device.make(join(), "stranger")]
    files = [
        {f"folder/{number}-{i}": content for i, content in enumerate([*samples(30), *shared])} for number in range(6)
    ]
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda n: post(devices[n % 3], bundle_of(files[n])), range(6)))
    assert [answer.status_code for answer in answers] == [201] * 6, [answer.text for answer in answers]
    for number, made in enumerate(files):
        assert devices[number % 3].get(f"folder/{number}-32").content == made[f"folder/{number}-32"]
    assert used(laptop) == 4 * 33 * 10_240
    assert used(devices[2]) == 2 * 33 * 10_240


def test_a_bundle_without_bytes_is_a_manifest(laptop: Device, packs: Callable[[], set[Path]]) -> None:
    (content,) = samples(1)
    send(laptop.client, content)
    before = packs()
    assert post(laptop, bundle([entry("name", content)])).status_code == 201
    assert packs() == before
    assert laptop.get("name").content == content


def test_bytes_of_another_account_are_new_to_this_one(laptop: Device, join: Callable[[], httpx2.Client]) -> None:
    files = {f"{number}": content for number, content in enumerate(samples(5))}
    post(laptop, bundle_of(files))
    stranger = Device.make(join(), "laptop")
    answer = post(stranger, bundle_of(files))
    assert (answer.status_code, answer.json()["deduplicated"]) == (201, [])
    assert used(stranger) == sum(map(len, files.values()))
    assert stranger.get("3").content == files["3"]


@pytest.mark.usefixtures("nothing_left")
def test_bytes_that_do_not_match_their_digest_are_missing_and_nothing_changes(laptop: Device) -> None:
    good, lied = samples(2)
    body = bundle([entry("good", good), entry("lied", lied)], good)
    answer = post(laptop, body + frame(b"something else", hex_of(lied)))
    assert answer.status_code == 409, answer.text
    assert answer.json()["missing"] == [hex_of(lied)]
    assert missing(laptop.client, good, lied) == [hex_of(good), hex_of(lied)]


@pytest.mark.usefixtures("nothing_left")
def test_bytes_that_nobody_names_are_refused(laptop: Device) -> None:
    named, unnamed = samples(2)
    answer = post(laptop, bundle([entry("named", named)], named, unnamed))
    assert (answer.status_code, hex_of(unnamed) in answer.text) == (400, True)


@pytest.mark.usefixtures("nothing_left")
@pytest.mark.parametrize("kept", [0, 5, 8, 40, -1, -10_240 - 39])
def test_a_body_that_ends_too_early_leaves_nothing(laptop: Device, kept: int) -> None:
    files = {f"{number}": content for number, content in enumerate(samples(2))}
    answer = post(laptop, bundle_of(files)[:kept])
    assert (answer.status_code, answer.headers["content-type"]) == (400, "application/problem+json")


@pytest.mark.usefixtures("nothing_left")
def test_a_name_that_cannot_be_refuses_all_of_it(laptop: Device) -> None:
    one, two = samples(2)
    twice = post(laptop, bundle([entry("a", one), entry("a/b", two)], one, two))
    assert twice.status_code == 409, twice.text
    assert post(laptop, bundle([entry("a/../b", one)], one)).status_code in {400, 422}
    size = post(laptop, bundle([entry("a", one, size=1)], one))
    assert (size.status_code, "10,240" in size.text) == (400, True)


@pytest.mark.usefixtures("nothing_left")
def test_limits_are_named(laptop: Device) -> None:
    long = post(laptop, struct.pack(">Q", BUNDLE_MANIFEST_BYTES_MAX + 1) + b"{")
    assert (long.status_code, "2" in long.json()["detail"]) == (413, True)
    many = post(laptop, bundle([entry("x", b"x")]) + frame(b"x") * (BATCH_BLOBS_MAX + 1))
    assert (many.status_code, f"{BATCH_BLOBS_MAX:,}" in many.text) == (413, True)
    assert post(laptop, bundle_head(b"[1]")).status_code == 400
    assert post(laptop, frame(b"x"), BLOBS_TYPE).status_code == 415


def test_a_full_account_is_told_so_and_keeps_nothing(laptop: Device, packs: Callable[[], set[Path]]) -> None:
    (content,) = samples(1, 1 << 20)
    names = [entry(f"{number}", content) for number in range(QUOTA_BYTES // len(content))]
    assert post(laptop, bundle(names, content)).status_code == 201
    before = packs()
    (more,) = samples(1)
    answer = post(laptop, bundle([entry("more", more)], more))
    assert answer.status_code == 507, answer.text
    assert packs() == before
    assert missing(laptop.client, more) == [hex_of(more)]


def test_a_device_token_reaches_its_own_device_alone(
    running: Service, laptop: Device, packs: Callable[[], set[Path]]
) -> None:
    files = {"a": samples(1)[0]}
    other = Device.make(laptop.client, "other")
    before = packs()
    with bearer(running.url, laptop.token()) as client:
        assert post(Device(client, other.id), bundle_of(files)).status_code == 404
        assert packs() == before
        assert post(Device(client, laptop.id), bundle_of(files)).status_code == 201


@pytest.mark.parametrize("step", [1, 7, 48, 10_000, 1 << 20])
def test_a_body_may_come_in_blocks_of_any_size(step: int) -> None:
    contents = samples(3, 700)
    body = bundle_of({f"f/{number}": content for number, content in enumerate(contents)})
    with PackWriter(MemoryBackend(), "0" * 32) as pack:
        reader = BundleReader(pack)
        for start in range(0, len(body), step):
            reader.feed(body[start : start + step])
        reader.finish()
        assert [blob.digest.hex for blob in pack.finish().blobs] == list(map(hex_of, contents))
    assert reader.changes is not None
    assert [change.path.raw for change in reader.changes if isinstance(change, AddKnown)] == [b"f/0", b"f/1", b"f/2"]


def test_a_body_without_a_whole_manifest_is_refused() -> None:
    with PackWriter(MemoryBackend(), "0" * 32) as pack:
        reader = BundleReader(pack)
        reader.feed(struct.pack(">Q", 10) + b"{}")
        with pytest.raises(BadRequest):
            reader.finish()
