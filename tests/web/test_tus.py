"""Resumable uploads, request by request: what each extension promises, and every way to get it wrong."""

import base64
import hashlib
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2
import pytest
from blake3 import blake3

from tests.cas.samples import noise
from tests.shared.service import Service
from tests.web.conftest import QUOTA_BYTES, UPLOAD_BYTES_MAX
from tests.web.device import Device, bearer, stored
from tests.web.tus_client import CHUNK, TUS, UPLOADS, begun, create, metadata, offset, send
from web import limits

MIB = 1 << 20


def problem(answer: httpx2.Response) -> tuple[int, str]:
    assert answer.headers["tus-resumable"] == "1.0.0"
    assert answer.json()["detail"].endswith(".")
    return answer.status_code, answer.json()["type"].rpartition("/")[2]


@pytest.fixture
def parts(running: Service) -> Callable[[], list[str]]:
    """What lies in `incoming/` since the test began."""
    folder = running.settings.storage_root / "incoming"
    before = {path.name for path in folder.iterdir()}
    return lambda: sorted({path.name for path in folder.iterdir()} - before)


def to(device: Device, name: str, **said: str) -> dict[str, str]:
    return {"device": device.id, "filename": name} | said


def checksum(content: bytes, algorithm: str = "sha1") -> str:
    digest = blake3(content).digest() if algorithm == "blake3" else hashlib.new(algorithm, content).digest()
    return f"{algorithm} {base64.b64encode(digest).decode()}"


# -- what it can do


@pytest.mark.parametrize("path", [UPLOADS, f"{UPLOADS}/1"])
def test_options_are_told_to_anybody(running: Service, path: str) -> None:
    answer = httpx2.options(running.url + path)
    assert answer.status_code == 204
    assert answer.headers["tus-resumable"] == answer.headers["tus-version"] == "1.0.0"
    assert answer.headers["tus-max-size"] == str(UPLOAD_BYTES_MAX)
    assert set(answer.headers["tus-extension"].split(",")) == {
        *("creation", "creation-with-upload", "creation-defer-length", "checksum", "expiration", "termination")
    }
    assert set(answer.headers["tus-checksum-algorithm"].split(",")) == {"sha1", "sha256", "blake3"}


@pytest.mark.parametrize("size", [0, 1, 70_000, 5 * MIB, 20 * MIB + 7])
@pytest.mark.parametrize("goes", [1, 3])
def test_a_file_in_some_goes(laptop: Device, parts: Callable[[], list[str]], size: int, goes: int) -> None:
    content = noise(size)
    upload = begun(
        laptop.client, size, **to(laptop, "folder/name é.bin", mtime="2001-02-03T04:05:06.789Z", mode="0640")
    )
    step = -(-size // goes)
    for start in range(0, size, step or 1):
        assert offset(laptop.client, upload) == start
        answer = send(laptop.client, upload, start, content[start : start + step])
        assert (answer.status_code, answer.content) == (204, b""), answer.text
        assert int(answer.headers["upload-offset"]) == min(size, start + step)
    (entry,) = laptop.entries("folder")
    assert (entry["name"], entry["size"], entry["digest"]) == ("name é.bin", size, blake3(content).hexdigest())
    assert (entry["mtime"], entry["mode"]) == ("2001-02-03T04:05:06.789Z", 0o640)
    assert laptop.get("folder/name é.bin").content == content
    assert offset(laptop.client, upload) == size
    assert parts() == []


def test_the_last_answer_says_what_it_became(laptop: Device) -> None:
    upload = begun(laptop.client, 3, **to(laptop, "a"))
    done = send(laptop.client, upload, 0, b"abc")
    (entry,) = laptop.entries()
    assert (done.headers["x-otb-digest"], done.headers["x-otb-entry"]) == (entry["digest"], entry["id"])
    told = laptop.client.head(f"{UPLOADS}/{upload}", headers=TUS).headers
    assert (told["x-otb-digest"], told["x-otb-entry"]) == (entry["digest"], entry["id"])


def test_creation_with_upload(laptop: Device) -> None:
    whole = create(laptop.client, 5, b"whole", **to(laptop, "whole"))
    assert (whole.status_code, whole.headers["upload-offset"]) == (201, "5")
    assert laptop.get("whole").content == b"whole"
    upload = begun(laptop.client, 10, b"first", **to(laptop, "some"))
    assert offset(laptop.client, upload) == 5
    send(laptop.client, upload, 5, b"-last")
    assert laptop.get("some").content == b"first-last"


def test_creation_with_upload_in_chunks_without_a_length(laptop: Device) -> None:
    headers = CHUNK | {"Upload-Length": "6", "Upload-Metadata": metadata(**to(laptop, "chunked"))}
    answer = laptop.client.post(UPLOADS, content=iter([b"abc", b"def"]), headers=headers)
    assert (answer.status_code, answer.headers["upload-offset"]) == (201, "6")
    assert laptop.get("chunked").content == b"abcdef"


def test_a_length_told_later(laptop: Device) -> None:
    upload = begun(laptop.client, None, **to(laptop, "later"))
    told = laptop.client.head(f"{UPLOADS}/{upload}", headers=TUS)
    assert (told.headers["upload-defer-length"], "upload-length" in told.headers) == ("1", False)
    assert send(laptop.client, upload, 0, b"first").status_code == 204
    assert send(laptop.client, upload, 5, b"-mid", Upload_Length="11").status_code == 204
    assert send(laptop.client, upload, 9, b"", Upload_Length="12").status_code == 400
    assert send(laptop.client, upload, 9, b"-z").headers["upload-offset"] == "11"
    assert laptop.get("later").content == b"first-mid-z"


def test_a_length_told_last_ends_it(laptop: Device) -> None:
    upload = begun(laptop.client, None, b"all of it", **to(laptop, "x"))
    assert send(laptop.client, upload, 9, b"", Upload_Length="8").status_code == 400
    assert send(laptop.client, upload, 9, b"", Upload_Length="9").status_code == 204
    assert laptop.get("x").content == b"all of it"


@pytest.mark.parametrize("algorithm", ["sha1", "sha256", "blake3"])
def test_checksums(laptop: Device, algorithm: str) -> None:
    content = noise(3 * MIB)
    upload = begun(laptop.client, len(content), **to(laptop, "checked"))
    good, bad = content[: 2 * MIB], noise(2 * MIB)[::-1]
    assert send(laptop.client, upload, 0, good, Upload_Checksum=checksum(good, algorithm)).status_code == 204
    refused = send(laptop.client, upload, 2 * MIB, bad[:MIB], Upload_Checksum=checksum(good, algorithm))
    assert problem(refused) == (460, "checksum-mismatch")
    assert offset(laptop.client, upload) == 2 * MIB
    rest = content[2 * MIB :]
    assert send(laptop.client, upload, 2 * MIB, rest, Upload_Checksum=checksum(rest, algorithm)).status_code == 204
    assert laptop.get("checked").content == content


def test_a_wrong_last_chunk_is_no_end(laptop: Device) -> None:
    upload = begun(laptop.client, 4, **to(laptop, "x"))
    assert send(laptop.client, upload, 0, b"abcd", Upload_Checksum=checksum(b"abcx")).status_code == 460
    assert offset(laptop.client, upload) == 0
    assert laptop.entries() == []


def test_a_wrong_checksum_at_the_creation_leaves_nothing(laptop: Device, parts: Callable[[], list[str]]) -> None:
    answer = create(laptop.client, 9, b"abcd", checksum(b"x"), **to(laptop, "x"))
    assert problem(answer) == (460, "checksum-mismatch")
    assert laptop.client.get(UPLOADS).json()["uploads"] == []
    assert parts() == []


def test_termination(laptop: Device, parts: Callable[[], list[str]]) -> None:
    upload = begun(laptop.client, 10, b"half", **to(laptop, "x"))
    assert len(parts()) == 1
    assert laptop.client.delete(f"{UPLOADS}/{upload}", headers=TUS).status_code == 204
    assert parts() == []
    for answer in (
        laptop.client.delete(f"{UPLOADS}/{upload}", headers=TUS),
        send(laptop.client, upload, 4, b"x"),
        laptop.client.head(f"{UPLOADS}/{upload}", headers=TUS),
    ):
        assert answer.status_code == 404
        assert answer.headers["tus-resumable"] == "1.0.0"
    done = begun(laptop.client, 1, b"x", **to(laptop, "stays"))
    assert laptop.client.delete(f"{UPLOADS}/{done}", headers=TUS).status_code == 204
    assert laptop.get("stays").content == b"x"


def test_head_tells_all_that_was_said(laptop: Device) -> None:
    said = metadata(**to(laptop, "x", own="a thing of the client's")) + ",flag"
    answer = laptop.client.post(UPLOADS, headers=TUS | {"Upload-Length": "7", "Upload-Metadata": said})
    told = laptop.client.head(answer.headers["location"], headers=TUS)
    assert (told.headers["upload-metadata"], told.headers["upload-length"]) == (said, "7")
    assert told.headers["cache-control"] == "no-store"
    left = parsedate_to_datetime(told.headers["upload-expires"]) - datetime.now(UTC)
    assert 23 * 3600 < left.total_seconds() <= 24 * 3600


def test_what_is_under_way_is_listed(laptop: Device) -> None:
    ids = [begun(laptop.client, 100 + n, b"x" * n, **to(laptop, f"n{n}")) for n in range(1, 4)]
    page = laptop.client.get(UPLOADS, params={"limit": "2"}).json()
    rest = laptop.client.get(UPLOADS, params={"cursor": page["next"]}).json()
    found = page["uploads"] + rest["uploads"]
    assert [(u["id"], u["offset"], u["path"]) for u in found] == [(ids[n - 1], n, f"n{n}") for n in range(1, 4)]
    assert rest["next"] is None


# -- what it becomes


def test_without_a_device_its_bytes_are_there_for_a_manifest(laptop: Device) -> None:
    content = noise(100_000)
    digest = blake3(content).hexdigest()
    done = create(laptop.client, len(content), content, digest=digest, filename="ignored")
    assert (done.headers["x-otb-digest"], "x-otb-entry" in done.headers) == (digest, False)
    assert laptop.client.post("/api/v1/blobs/missing", json={"digests": [digest]}).json() == {"missing": []}
    used = laptop.client.get("/api/v1/me").json()["usage"]["used_bytes"]
    assert used == len(content)
    entries = [{"path": "named", "digest": digest, "size": len(content)}]
    assert laptop.client.post(f"/api/v1/devices/{laptop.id}/manifests", json={"entries": entries}).status_code == 201
    assert laptop.get("named").content == content
    assert laptop.client.get("/api/v1/me").json()["usage"]["used_bytes"] == used


@pytest.mark.parametrize(
    ("said", "path"),
    [
        ({"filename": "a.txt", "relativePath": "one/two/a.txt"}, "one/two/a.txt"),
        ({"filename": "a.txt", "relativePath": "/one/a.txt"}, "one/a.txt"),
        ({"filename": "a.txt", "relativePath": "null"}, "a.txt"),
        ({"filename": "a.txt", "relativePath": ""}, "a.txt"),
        ({"filename": "null"}, "null"),
        ({"relativePath": "b"}, "b"),
    ],
)
def test_names(laptop: Device, said: dict[str, str], path: str) -> None:
    begun(laptop.client, 1, b"x", device=laptop.id, **said)
    assert laptop.get(path).content == b"x"


@pytest.mark.parametrize(
    ("mtime", "shown"),
    [
        ("981173106789", "2001-02-03T04:05:06.789Z"),
        ("-1000", "1969-12-31T23:59:59Z"),
        ("2001-02-03T04:05:06.123456789+01:00", "2001-02-03T03:05:06.123456789Z"),
    ],
)
def test_times(laptop: Device, mtime: str, shown: str) -> None:
    begun(laptop.client, 1, b"x", **to(laptop, "x", mtime=mtime))
    assert laptop.entries()[0]["mtime"] == shown


def test_a_wrong_digest_is_told_and_leaves_nothing(laptop: Device, parts: Callable[[], list[str]]) -> None:
    upload = begun(laptop.client, 8 * MIB, **to(laptop, "x", digest="0" * 64))
    answer = send(laptop.client, upload, 0, noise(8 * MIB))
    assert problem(answer) == (422, "digest-mismatch")
    assert answer.json()["upload"] == "removed"
    assert laptop.client.head(f"{UPLOADS}/{upload}", headers=TUS).status_code == 404
    assert (laptop.entries(), parts()) == ([], [])


def repr_digest(content: bytes) -> str:
    return f"blake3=:{base64.b64encode(blake3(content).digest()).decode()}:"


def test_a_digest_that_is_told_with_the_last_byte(laptop: Device, parts: Callable[[], list[str]]) -> None:
    """A client that hashes while it sends: nothing is kept of a file that turned out to be another."""
    content = noise(5 * MIB)
    right, wrong = (begun(laptop.client, len(content), **to(laptop, name)) for name in ("right", "wrong"))
    for upload in (right, wrong):
        assert send(laptop.client, upload, 0, content[:-1]).status_code == 204
    answer = send(laptop.client, right, len(content) - 1, content[-1:], Repr_Digest=repr_digest(content))
    assert (answer.status_code, answer.headers["x-otb-digest"]) == (204, blake3(content).hexdigest())
    answer = send(laptop.client, wrong, len(content) - 1, content[-1:], Repr_Digest=repr_digest(b"another"))
    assert problem(answer) == (422, "digest-mismatch")
    assert answer.json()["upload"] == "removed"
    assert ([entry["name"] for entry in laptop.entries()], parts()) == (["right"], [])


def test_a_digest_cannot_change_nor_be_nonsense(laptop: Device) -> None:
    upload = begun(laptop.client, 3, **to(laptop, "x", digest=blake3(b"abc").hexdigest()))
    assert problem(send(laptop.client, upload, 0, b"abc", Repr_Digest=repr_digest(b"xyz"))) == (400, "bad-request")
    assert problem(send(laptop.client, upload, 0, b"abc", Repr_Digest="blake3=:AAAA:")) == (400, "bad-request")
    assert send(laptop.client, upload, 0, b"abc", X_OTB_Digest=blake3(b"abc").hexdigest()).status_code == 204


def test_a_folder_in_the_way_is_told_at_both_ends(laptop: Device, parts: Callable[[], list[str]]) -> None:
    stored(laptop, "folder/file", b"x")
    for name in ("folder", "folder/file/below"):
        assert problem(create(laptop.client, 3, **to(laptop, name))) == (409, "conflict")
    upload = begun(laptop.client, 3, **to(laptop, "late"))
    stored(laptop, "late/file", b"x")
    answer = send(laptop.client, upload, 0, b"abc")
    assert problem(answer) == (409, "conflict")
    assert answer.json()["upload"] == "removed"
    assert laptop.client.head(f"{UPLOADS}/{upload}", headers=TUS).status_code == 404
    assert parts() == []


def test_a_device_removed_meanwhile(owner: httpx2.Client) -> None:
    spare = Device.make(owner, "spare")
    upload = begun(owner, 3, **to(spare, "x"))
    assert owner.delete(f"/api/v1/devices/{spare.id}").status_code == 204
    answer = send(owner, upload, 0, b"abc")
    assert (answer.status_code, answer.json()["upload"]) == (404, "removed")


# -- who may


def test_a_device_token_reaches_its_own(running: Service, owner: httpx2.Client) -> None:
    laptop, phone = Device.make(owner, "laptop"), Device.make(owner, "phone")
    theirs = begun(owner, 5, **to(phone, "x"))
    with bearer(running.url, laptop.token()) as client:
        assert create(client, 5, **to(phone, "x")).status_code == 404
        assert client.head(f"{UPLOADS}/{theirs}", headers=TUS).status_code == 404
        assert send(client, theirs, 0, b"x").status_code == 404
        assert client.delete(f"{UPLOADS}/{theirs}", headers=TUS).status_code == 404
        mine = begun(client, 5, b"ab", **to(laptop, "mine"))
        bytes_alone = begun(client, 5, b"ab")
        assert [u["id"] for u in client.get(UPLOADS).json()["uploads"]] == [mine, bytes_alone]
        send(client, mine, 2, b"cde")
    assert laptop.get("mine").content == b"abcde"


def test_an_upload_of_another_account_is_not_there(join: Callable[[], httpx2.Client]) -> None:
    mine, other = join(), join()
    upload = begun(mine, 5, b"ab")
    for answer in (
        other.head(f"{UPLOADS}/{upload}", headers=TUS),
        send(other, upload, 2, b"cde"),
        other.delete(f"{UPLOADS}/{upload}", headers=TUS),
    ):
        assert answer.status_code == 404
    assert offset(mine, upload) == 2


# -- how to get it wrong


@pytest.mark.parametrize("version", [None, "", "0.2.2", "2.0.0"])
def test_another_version_is_refused(laptop: Device, version: str | None) -> None:
    upload = begun(laptop.client, 5, b"ab")
    headers = {} if version is None else {"Tus-Resumable": version}
    chunk = {"Content-Type": "application/offset+octet-stream", "Upload-Offset": "2"}
    for answer in (
        laptop.client.post(UPLOADS, headers=headers | {"Upload-Length": "1"}),
        laptop.client.patch(f"{UPLOADS}/{upload}", content=b"x", headers=headers | chunk),
        laptop.client.delete(f"{UPLOADS}/{upload}", headers=headers),
    ):
        assert problem(answer) == (412, "tus-version")
        assert answer.headers["tus-version"] == "1.0.0"
    assert laptop.client.head(f"{UPLOADS}/{upload}", headers=headers).status_code == 412
    assert offset(laptop.client, upload) == 2


@pytest.mark.parametrize("at", [0, 1, 3, 5, 10**17])
def test_another_offset_is_refused_with_the_right_one(laptop: Device, at: int) -> None:
    upload = begun(laptop.client, 5, b"ab")
    answer = send(laptop.client, upload, at, b"x")
    assert problem(answer) == (409, "offset")
    assert answer.headers["upload-offset"] == "2"
    assert offset(laptop.client, upload) == 2


def test_a_finished_upload_takes_no_more(laptop: Device) -> None:
    upload = begun(laptop.client, 2, b"ab")
    assert send(laptop.client, upload, 2, b"").status_code == 204
    assert problem(send(laptop.client, upload, 2, b"c")) == (409, "offset")
    assert problem(send(laptop.client, upload, 0, b"ab")) == (409, "offset")


@pytest.mark.parametrize("body", ["announced", "chunked"])
def test_more_bytes_than_announced_leave_the_upload_as_it_was(
    laptop: Device, parts: Callable[[], list[str]], body: str
) -> None:
    upload = begun(laptop.client, 3 * MIB, b"ab", **to(laptop, "x"))
    content = noise(3 * MIB)
    sent = content if body == "announced" else iter([content[:MIB], content[MIB:]])
    headers = CHUNK | {"Upload-Offset": "2"}
    answer = laptop.client.patch(f"{UPLOADS}/{upload}", content=sent, headers=headers)
    assert problem(answer) in {(413, "too-large"), (400, "size-mismatch")}
    assert offset(laptop.client, upload) == 2
    assert create(laptop.client, 2, b"abc").status_code == 413
    assert send(laptop.client, upload, 2, content[2:]).status_code == 204
    assert laptop.get("x").content == b"ab" + content[2:]


@pytest.mark.parametrize("media_type", [None, "application/octet-stream", "text/plain"])
def test_another_type_is_refused(laptop: Device, media_type: str | None) -> None:
    upload = begun(laptop.client, 5)
    headers = TUS | {"Upload-Offset": "0"} | ({"Content-Type": media_type} if media_type else {})
    answer = laptop.client.patch(f"{UPLOADS}/{upload}", content=b"abcde", headers=headers)
    assert problem(answer) == (415, "media-type")
    coded = send(laptop.client, upload, 0, b"abcde", Content_Encoding="gzip")
    assert coded.status_code == 415


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Upload-Length": "-1"},
        {"Upload-Length": "1.5"},
        {"Upload-Length": "١"},
        {"Upload-Length": "9" * 30},
        {"Upload-Length": "5", "Upload-Defer-Length": "1"},
        {"Upload-Defer-Length": "2"},
        {"Upload-Length": "5", "Upload-Concat": "partial"},
        {"Upload-Concat": "final;/api/v1/uploads/1 /api/v1/uploads/2"},
        {"Upload-Length": "5", "Upload-Metadata": "filename"},
        {"Upload-Length": "5", "Upload-Metadata": "device MQ=="},
        {"Upload-Length": "5", "Upload-Metadata": "a !!!"},
        {"Upload-Length": "5", "Upload-Metadata": "a YQ==,a YQ=="},
        {"Upload-Length": "5", "Upload-Metadata": ",,"},
        {"Upload-Length": "5", "Upload-Metadata": "filename /w=="},
        {"Upload-Length": "5", "Upload-Metadata": "a " + "YWFh" * (limits.UPLOAD_METADATA_BYTES_MAX // 4)},
        {
            "Upload-Length": "5",
            "Upload-Metadata": ",".join(f"k{n}" for n in range(limits.UPLOAD_METADATA_KEYS_MAX + 1)),
        },
        {"Upload-Length": "5", "Upload-Metadata": metadata(digest="xyz")},
        {"Upload-Length": "5", "Upload-Metadata": metadata(device="1", filename="../x")},
        {"Upload-Length": "5", "Upload-Metadata": metadata(device="1", filename="a//b")},
        {"Upload-Length": "5", "Upload-Metadata": metadata(device="1", filename="a\nb")},
        {"Upload-Length": "5", "Upload-Metadata": metadata(device="1", filename="a", mtime="yesterday")},
        {"Upload-Length": "5", "Upload-Metadata": metadata(device="1", filename="a", mtime="9" * 15)},
        {"Upload-Length": "5", "Upload-Metadata": metadata(device="1", filename="a", mode="rw")},
        {"Upload-Length": "5", "Upload-Metadata": metadata(device="1", filename="a", mode="9999")},
    ],
)
def test_what_cannot_be_understood(owner: httpx2.Client, headers: dict[str, str]) -> None:
    if headers.get("Upload-Metadata") == "filename":  # a key without a value is fine where nothing is to be named
        assert owner.post(UPLOADS, headers=TUS | headers).status_code == 201
        return
    raw = {name.encode(): value.encode() for name, value in (TUS | headers).items()}
    answer = owner.post(UPLOADS, headers=raw)
    assert answer.status_code == 400, answer.text
    assert problem(answer)[0] == 400
    assert owner.get(UPLOADS).json()["uploads"] == []


@pytest.mark.parametrize("value", ["sha1", "md5 YQ==", "sha1 !", "sha1 " + "YWFh" * 100, ""])
def test_a_checksum_that_cannot_be_read(laptop: Device, value: str) -> None:
    upload = begun(laptop.client, 5)
    answer = send(laptop.client, upload, 0, b"abcde", Upload_Checksum=value)
    assert answer.status_code == (460 if value == "sha1" else 400)
    assert offset(laptop.client, upload) == 0


@pytest.mark.parametrize("value", [None, "-1", "x", "1e3"])
def test_an_offset_that_cannot_be_read(laptop: Device, value: str | None) -> None:
    upload = begun(laptop.client, 5)
    headers = CHUNK | ({} if value is None else {"Upload-Offset": value})
    assert laptop.client.patch(f"{UPLOADS}/{upload}", content=b"x", headers=headers).status_code == 400


# -- limits


def test_the_largest_file(laptop: Device) -> None:
    assert problem(create(laptop.client, UPLOAD_BYTES_MAX + 1)) == (413, "too-large")
    assert create(laptop.client, UPLOAD_BYTES_MAX).status_code == 201
    upload = begun(laptop.client, None)
    assert send(laptop.client, upload, 0, b"", Upload_Length=str(UPLOAD_BYTES_MAX + 1)).status_code == 413
    step = 8 * MIB
    for at in range(0, UPLOAD_BYTES_MAX, step):
        assert send(laptop.client, upload, at, bytes(step)).status_code == 204
    assert problem(send(laptop.client, upload, UPLOAD_BYTES_MAX, b"x")) == (413, "too-large")


def test_what_is_announced_counts_in_the_quota(laptop: Device, join: Callable[[], httpx2.Client]) -> None:
    """One account cannot fill the store's disk with what it will not be let keep."""
    fitting = QUOTA_BYTES // UPLOAD_BYTES_MAX
    made = [begun(laptop.client, UPLOAD_BYTES_MAX) for _ in range(fitting)]
    left = QUOTA_BYTES - fitting * UPLOAD_BYTES_MAX
    assert problem(create(laptop.client, left + 1)) == (507, "quota-exceeded")
    assert laptop.put("x", bytes(left + 1)).status_code == 507
    assert laptop.put("x", bytes(left)).status_code == 201
    deferred = begun(laptop.client, None)
    assert send(laptop.client, deferred, 0, b"x").status_code == 507
    assert offset(laptop.client, deferred) == 0
    assert create(join(), UPLOAD_BYTES_MAX).status_code == 201
    laptop.client.delete(f"{UPLOADS}/{made[0]}", headers=TUS)
    assert send(laptop.client, deferred, 0, b"x", Upload_Length="2").status_code == 204


def test_uploads_of_an_account(owner: httpx2.Client) -> None:
    for _ in range(limits.UPLOADS_OPEN_MAX):
        assert create(owner, 0 + 1).status_code == 201
    refused = create(owner, 1)
    assert problem(refused) == (429, "too-many-uploads")
    assert refused.json()["limit"] == limits.UPLOADS_OPEN_MAX
