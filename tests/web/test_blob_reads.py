"""`blobs/read` and `blobs/status`: many small blobs at once, checked; and what may be deleted elsewhere."""

import json
import random
import struct
import uuid
from collections.abc import Callable
from typing import Any

import httpx2
from blake3 import blake3

from cas.layout import PACK_BLOB_BYTES_MAX
from tests.shared.portal import sign_in
from tests.shared.service import Service
from tests.web.device import Device, bearer, stored
from tests.web.test_downloads import damage, object_of
from tests.web.test_openapi import check
from web import limits

READ = "/api/v1/blobs/read"
STATUS = "/api/v1/blobs/status"


def hex_of(content: bytes) -> str:
    return blake3(content).hexdigest()


def framed(*contents: bytes) -> bytes:
    return b"".join(blake3(c).digest() + struct.pack(">Q", len(c)) + c for c in contents)


def unframed(body: bytes) -> dict[str, bytes]:
    """Every frame; the body must end with one."""
    found, at = {}, 0
    while at < len(body):
        digest, size = struct.unpack_from(">32sQ", body, at)
        found[digest.hex()] = body[at + 40 : at + 40 + size]
        at += 40 + size
    assert at == len(body)
    return found


def read(client: httpx2.Client, *digests: str) -> httpx2.Response:
    return client.post(READ, json={"digests": list(digests)})


def status(client: httpx2.Client, *digests: str) -> list[dict[str, Any]]:
    answer = client.post(STATUS, json={"digests": list(digests)})
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = check(answer, "post", STATUS)["blobs"]
    return found


def sent(client: httpx2.Client, *contents: bytes) -> None:
    """In one batch, and so into one pack."""
    answer = client.post(
        "/api/v1/blobs", content=framed(*contents), headers={"Content-Type": "application/vnd.otb.blobs"}
    )
    assert answer.status_code == 200, answer.text


def until_it_breaks(client: httpx2.Client, digests: list[str]) -> bytes:
    """What came before the line broke; fails if it does not. Where the damaged one was read first, nothing did, and the
    answer says so."""
    received = b""
    try:
        with client.stream("POST", READ, json={"digests": digests}) as answer:
            if answer.status_code == 500:
                assert json.loads(answer.read())["type"].endswith("/damaged")
                return b""
            assert answer.status_code == 200
            for piece in answer.iter_raw():
                received += piece
    except httpx2.TransportError:
        return received
    raise AssertionError("the answer was completed")


def as_read(contents: list[bytes]) -> dict[str, bytes]:
    return {hex_of(content): content for content in contents}


def test_small_blobs_come_back_each_once(owner: httpx2.Client, laptop: Device) -> None:
    rng = random.Random(1)
    packed = [rng.randbytes(rng.randrange(1, 5_000)) for _ in range(40)] + [b"text " * 1_000]
    alone = [b"alone %d" % n for n in range(3)] + [b""]
    sent(owner, *packed)
    for number, content in enumerate(alone):
        stored(laptop, f"f{number}", content)
    wanted = as_read(packed + alone)
    answer = read(owner, *wanted, *list(wanted)[:5])
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/vnd.otb.blobs")
    assert unframed(answer.content) == wanted
    assert int(answer.headers["content-length"]) == len(answer.content)


def test_packed_blobs_come_in_the_order_of_the_pack(owner: httpx2.Client) -> None:
    contents = [b"%d" % n * 50 for n in range(100)]
    sent(owner, *contents)
    digests = [hex_of(content) for content in contents]
    shuffled = random.Random(2).sample(digests, len(digests))
    assert list(unframed(read(owner, *shuffled).content)) == digests


def test_what_the_account_does_not_possess_is_named_and_nothing_sent(
    join: Callable[[], httpx2.Client], laptop: Device
) -> None:
    content = uuid.uuid4().bytes
    stored(laptop, "mine", content)
    never = "0" * 64
    refused = read(laptop.client, hex_of(content), never)
    assert (refused.status_code, refused.json()["missing"]) == (404, [never])
    stranger = join()
    theirs = read(stranger, hex_of(content))
    assert (theirs.status_code, theirs.json()["missing"]) == (404, [hex_of(content)])
    assert theirs.json()["detail"] == f"There is no such blob: {hex_of(content)}."
    expected = {"digest": hex_of(content), "safe": False, "verified": None, "reason": "unknown"}
    assert status(stranger, hex_of(content)) == [expected]


def test_a_device_token_may_read(laptop: Device, running: Service) -> None:
    stored(laptop, "a", b"of a device")
    with bearer(running.url, laptop.token()) as client:
        assert unframed(read(client, hex_of(b"of a device")).content) == as_read([b"of a device"])
        assert status(client, hex_of(b"of a device"))[0]["safe"] is True


def test_limits_of_a_read(owner: httpx2.Client, laptop: Device) -> None:
    assert read(owner).status_code == 400
    assert read(owner, "x").status_code == 400
    many = read(owner, *["0" * 64] * (limits.READ_BLOBS_MAX + 1))
    assert (many.status_code, many.json()["limit"]) == (413, limits.READ_BLOBS_MAX)
    largest = bytes(PACK_BLOB_BYTES_MAX)
    stored(laptop, "largest", largest)
    assert unframed(read(owner, hex_of(largest)).content) == as_read([largest])
    stored(laptop, "larger", largest + b"x")
    refused = read(owner, hex_of(largest), hex_of(largest + b"x"))
    assert (refused.status_code, refused.json()["large"]) == (422, [hex_of(largest + b"x")])


def test_the_blobs_of_a_read_have_a_limit_together(make_service: Callable[..., Service]) -> None:
    service = make_service()
    with sign_in(service.url, service.settings) as client:
        contents = [b"%d" % n + bytes(PACK_BLOB_BYTES_MAX - 2) for n in range(10, 10 + 65)]
        for start in range(0, len(contents), 30):
            sent(client, *contents[start : start + 30])
        digests = [hex_of(content) for content in contents]
        refused = read(client, *digests)
        assert (refused.status_code, "67,108,864 bytes" in refused.json()["detail"]) == (413, True)
        assert unframed(read(client, *digests[:64]).content) == as_read(contents[:64])


def test_a_damaged_blob_breaks_the_answer_after_what_is_whole(
    owner: httpx2.Client, laptop: Device, running: Service
) -> None:
    whole = [uuid.uuid4().bytes * 100 for _ in range(20)]
    bad = uuid.uuid4().bytes * 100
    for number, content in enumerate([*whole, bad]):
        stored(laptop, f"f{number}", content)
    damage(object_of(running, bad), 3)
    digests = [hex_of(content) for content in [*whole, bad]]
    first = unframed(until_it_breaks(owner, digests))
    assert hex_of(bad) not in first
    # It is known now, and comes last: all others can be had by asking for them again.
    rest = [digest for digest in digests if digest not in first]
    if rest != [hex_of(bad)]:
        first |= unframed(until_it_breaks(owner, rest))
    assert first == as_read(whole)
    alone = read(owner, hex_of(bad))
    assert (alone.status_code, alone.json()["type"].rpartition("/")[2]) == (500, "damaged")
    assert status(owner, hex_of(bad)) == [{"digest": hex_of(bad), "safe": False, "verified": None, "reason": "damaged"}]
    stored(laptop, "again", bad)
    assert unframed(read(owner, hex_of(bad)).content) == as_read([bad])
    assert status(owner, hex_of(bad))[0]["safe"] is True


def test_what_is_safe(owner: httpx2.Client, laptop: Device) -> None:
    kept, old, deleted, leased, never = (uuid.uuid4().bytes for _ in range(5))
    stored(laptop, "kept", kept)
    stored(laptop, "changed", old)
    stored(laptop, "changed", b"new")
    stored(laptop, "deleted", deleted)
    laptop.client.delete(f"{laptop.files}/deleted").raise_for_status()
    stored(laptop, "empty", b"")
    sent(owner, leased)
    asked = [hex_of(content) for content in (never, kept, old, deleted, leased, b"", kept)]
    found = status(owner, *asked)
    assert [blob["digest"] for blob in found] == asked[:-1]
    assert [blob["reason"] for blob in found] == ["unknown", None, "not_kept", "not_kept", "not_kept", None]
    assert [blob["safe"] for blob in found] == [False, True, False, False, False, True]


def test_limits_of_a_status(owner: httpx2.Client) -> None:
    most = [f"{n:064x}" for n in range(limits.DIGESTS_MAX)]
    assert len(status(owner, *most)) == limits.DIGESTS_MAX
    refused = owner.post(STATUS, json={"digests": [*most, "f" * 64]})
    assert (refused.status_code, refused.json()["limit"]) == (413, limits.DIGESTS_MAX)


def test_a_restore_is_one_event_of_the_audit(owner: httpx2.Client, laptop: Device) -> None:
    stored(laptop, "a", b"in the audit")
    for _ in range(3):
        read(owner, hex_of(b"in the audit"))
    events = owner.get("/api/v1/audit", params={"action": "download"}).json()["events"]
    assert [event["subject"] for event in events] == ["many small files"]
