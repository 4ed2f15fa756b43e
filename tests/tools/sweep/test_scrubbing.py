"""tools/verify beside the blobs of everything: selections, rows that disagree, permissions, figures, repair."""

import asyncio
import random
import secrets
import shutil
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from cas.blob import Blob, parsed_pack_location
from cas.errors import BlobDamaged, BlobMissing
from cas.layout import BLOBS, PIECE_BYTES, blob_key, has_pieces, pack_key, pieces_key
from cas.local import LocalBackend
from cas.store import BlobStore
from cas.trash import Trash
from catalog.values import VerificationRecord
from tests.shared.rig import Rig
from tools.verify.main import _parser
from tools.verify.pace import Pace
from tools.verify.permissions import checked_files
from tools.verify.repair import FROM_COPY, FROM_TRASH, NOT_HEALED, Copy, repair
from tools.verify.report import Report
from tools.verify.selection import Selection

pytestmark = pytest.mark.anyio

KIB = 1 << 10


async def chosen(rig: Rig, *arguments: str) -> list[str]:
    """The hex digests of what a selection reads."""
    selection = await Selection.chosen(rig.catalog.system, _parser().parse_args(arguments))
    assert selection is not None
    return [row.blob.digest.hex async for page in selection.pages() for row in page]


async def digest_of(rig: Rig, path: str) -> str:
    blob = (await rig.entry(path)).blob
    assert blob is not None
    return blob.digest.hex


async def mark(rig: Rig, path: str, outcome: str) -> int:
    """Record what a scrub would."""
    entry = await rig.entry(path)
    assert entry.blob is not None
    row = await rig.catalog.system.blob_by_digest(entry.blob.digest.raw)
    await rig.catalog.system.record_verifications([VerificationRecord(row.id, outcome)])
    return row.id


async def test_selections_name_what_they_say(rig: Rig) -> None:
    for name in "abc":
        await rig.upload(name, secrets.token_bytes(KIB))
    a, b, c = [await digest_of(rig, name) for name in "abc"]
    client = rig.scope.tenant.billing_client
    assert set(await chosen(rig, "--tenant", client)) == {a, b, c}
    assert await chosen(rig, "--digest", b) == [b]
    assert await chosen(rig, "--file", f"{client}/{(await rig.entry('c')).id}") == [c]
    assert {a, b, c} <= set(await chosen(rig, "--since", "1h"))
    await rig.fetch("UPDATE `blob` SET created_at = created_at - INTERVAL 2 DAY WHERE digest = %s", bytes.fromhex(a))
    assert a not in await chosen(rig, "--since", "1d")
    assert {a, b, c} <= set(await chosen(rig, "--percent", "100"))


async def test_a_sample_takes_what_was_read_longest_ago(rig: Rig) -> None:
    await rig.upload("new", secrets.token_bytes(KIB))
    await rig.upload("old", secrets.token_bytes(KIB))
    await rig.fetch(
        "INSERT INTO verification SELECT id, UTC_TIMESTAMP(6), 'good' FROM `blob`"
        " ON DUPLICATE KEY UPDATE verified_at = UTC_TIMESTAMP(6)"
    )
    old = await mark(rig, "old", "good")
    await rig.fetch("UPDATE verification SET verified_at = verified_at - INTERVAL 90 DAY WHERE blob_id = %s", old)
    assert await chosen(rig, "--percent", "0.001") == [await digest_of(rig, "old")], "rounded up to one"
    await rig.upload("never", secrets.token_bytes(KIB))
    assert await chosen(rig, "--percent", "0.001") == [await digest_of(rig, "never")]
    freshness = await rig.catalog.system.scrubbing.freshness()
    assert freshness.never == 1
    assert freshness.oldest is not None
    assert (datetime.now(UTC) - freshness.oldest).days == 90
    await rig.catalog.system.finish_scrub(await rig.catalog.system.start_scrub("a selection"))
    assert (await rig.catalog.condition()).verified_at == freshness.oldest, "a selection is not everything"


@pytest.mark.parametrize("arguments", [["--percent", "0"], ["--since", "soon"], ["--file", "7"], ["--digest", "xyz"]])
def test_a_selection_that_cannot_be_understood_is_refused(arguments: list[str]) -> None:
    with pytest.raises(SystemExit):
        _parser().parse_args(arguments)


async def test_rows_that_agree_raise_no_alarm(rig: Rig) -> None:
    await rig.upload_batch({name: secrets.token_bytes(KIB) for name in "abc"})
    await rig.send_batch(secrets.token_bytes(KIB))
    await rig.upload("a", secrets.token_bytes(KIB))
    await rig.scope.entries.delete([(await rig.entry("b")).id])
    await rig.purge("c")
    assert await rig.catalog.system.scrubbing.disagreements() == []


@pytest.mark.parametrize(
    ("wrong", "right", "words"),
    [
        ("UPDATE ledger SET used_bytes = used_bytes + 1 WHERE tenant_id = %s",
         "UPDATE ledger SET used_bytes = used_bytes - 1 WHERE tenant_id = %s", "used_bytes is"),
        ("UPDATE ledger SET leased_bytes = leased_bytes + 1 WHERE tenant_id = %s",
         "UPDATE ledger SET leased_bytes = leased_bytes - 1 WHERE tenant_id = %s", "leased_bytes is"),
        ("UPDATE device SET file_count = file_count + 1 WHERE tenant_id = %s",
         "UPDATE device SET file_count = file_count - 1 WHERE tenant_id = %s", "files of"),
        ("UPDATE entry SET size_bytes = size_bytes + 1 WHERE tenant_id = %s",
         "UPDATE entry SET size_bytes = size_bytes - 1 WHERE tenant_id = %s", "its blob has"),
        ("UPDATE pack SET state = 'condemned' WHERE %s > 0",
         "UPDATE pack SET state = 'live' WHERE %s > 0", "lies in pack"),
        ("UPDATE `blob` b JOIN possession p ON p.blob_id = b.id SET b.state = 'deleting' WHERE p.tenant_id = %s",
         "UPDATE `blob` b JOIN possession p ON p.blob_id = b.id SET b.state = 'live' WHERE p.tenant_id = %s",
         "which is deleting"),
    ],
    ids=["used", "leased", "device", "size", "pack", "state"],
)  # fmt: skip
async def test_rows_that_disagree_are_found(rig: Rig, wrong: str, right: str, words: str) -> None:
    await rig.upload_batch({name: secrets.token_bytes(KIB) for name in "ab"})
    tenant_id = rig.scope.tenant.id
    await rig.fetch(wrong, tenant_id)
    found = await rig.catalog.system.scrubbing.disagreements()
    await rig.fetch(right, tenant_id)
    assert [fault for fault in found if words in fault], found
    assert await rig.catalog.system.scrubbing.disagreements() == []


async def test_wrong_permissions_are_found(rig: Rig) -> None:
    blob = await rig.upload("a", secrets.token_bytes(KIB))
    path = rig.backend.root / blob_key(blob.digest, blob.encoding)
    for mode, faults in ((0o400, 0), (0o600, 1), (0o404, 1)):
        path.chmod(mode)
        report = Report("store", 1, "now")
        files = [info.key for info in checked_files(rig.backend.root, BLOBS, Pace(), report)]
        assert blob_key(blob.digest, blob.encoding) in files
        assert len(report.permission_faults) == faults, report.permission_faults
    path.chmod(0o400)


# -- repair ----------------------------------------------------------------------------------------------------------


def spoil(rig: Rig, key: str, place: int) -> None:
    path = rig.backend.root / key
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 1]))
    path.chmod(0o400)


async def repaired(rig: Rig, folder: Path) -> dict[str, int]:
    report = Report("store", 1, "now")
    with closing(LocalBackend(folder)) as backend:
        copy = Copy(rig.store, BlobStore(backend, rig.store.store_id))
        await repair(rig.catalog.system, rig.store, Trash(rig.backend), [copy], report)
    return report.repaired


async def test_what_is_damaged_or_missing_is_healed_from_a_copy(rig: Rig, tmp_path: Path) -> None:
    files = {"file": secrets.token_bytes(3 * KIB), "gone": secrets.token_bytes(3 * KIB)}
    for name, data in files.items():
        await rig.upload(name, data)
    packed = {"packed": secrets.token_bytes(KIB), "beside": secrets.token_bytes(KIB)}
    await rig.upload_batch(packed)
    shutil.copytree(rig.backend.root, tmp_path / "copy")
    for name in ("file", "gone", "packed"):
        blob = (await rig.entry(name)).blob
        assert blob is not None
        place = parsed_pack_location(blob.location)
        if name == "gone":
            (rig.backend.root / blob_key(blob.digest, blob.encoding)).unlink()
        elif place is None:
            spoil(rig, blob_key(blob.digest, blob.encoding), 7)
        else:
            spoil(rig, pack_key(place[0]), place[1] + 7)
        await mark(rig, name, "missing" if name == "gone" else "damaged")
    assert await repaired(rig, tmp_path / "copy") == {FROM_COPY: 3}
    for name, data in (files | packed).items():
        assert await rig.read(name) == data
    assert await rig.scope.blobs.missing([(await rig.entry("packed")).blob.digest]) == []  # type: ignore[union-attr]
    await rig.sweeps()
    assert await rig.missing() == []


async def test_a_copy_that_is_damaged_itself_heals_nothing(rig: Rig, tmp_path: Path) -> None:
    blob = await rig.upload("a", secrets.token_bytes(3 * KIB))
    key = blob_key(blob.digest, blob.encoding)
    spoil(rig, key, 7)
    shutil.copytree(rig.backend.root, tmp_path / "copy")
    await mark(rig, "a", "damaged")
    assert await repaired(rig, tmp_path / "copy") == {NOT_HEALED: 1}
    with pytest.raises(BlobDamaged):
        await rig.read("a")
    assert await rig.scope.blobs.missing([blob.digest]) == [blob.digest]
    await rig.purge("a")
    await rig.sweeps()


async def test_what_is_missing_comes_back_out_of_the_trash(rig: Rig, tmp_path: Path) -> None:
    await rig.upload("a", data := secrets.token_bytes(3 * KIB))
    blob = (await rig.entry("a")).blob
    assert blob is not None
    rig.store.trash(blob, datetime.now(UTC).date())
    await mark(rig, "a", "missing")
    (tmp_path / "empty").mkdir()
    assert await repaired(rig, tmp_path / "empty") == {FROM_TRASH: 1}
    assert await rig.read("a") == data


# -- corruptions -----------------------------------------------------------------------------------------------------


async def test_every_corruption_is_found_and_none_is_healed_wrongly(rig: Rig, scale: object) -> None:
    """One bit or one block of any stored file, as random as they come; often of piece digests and their seal."""
    random_ = random.Random(3)
    contents = [random_.randbytes(random_.randrange(1, 40 * KIB)) for _ in range(40)]
    contents += [b"text " * random_.randrange(1, 20_000) + bytes([number]) for number in range(20)]
    contents.append(random_.randbytes(4 * KIB * KIB + 1))
    for number, data in enumerate(contents[:30] + contents[40:]):
        await rig.upload(f"{number}", data)
    await rig.upload_batch({f"packed-{number}": data for number, data in enumerate(contents[30:40])})
    rows = await rig.fetch("SELECT id FROM entry WHERE tenant_id = %s AND kind = 'file'", rig.scope.tenant.id)
    blobs = [(await rig.scope.entries.get(int(str(row[0])))).blob for row in rows]
    found = await asyncio.to_thread(corrupt_and_check, rig, [b for b in blobs if b], random_, scale(300, 10_000))  # type: ignore[operator]
    assert found == []
    assert await rig.missing() == [], "and clean data raises no alarm"


def corrupt_and_check(rig: Rig, blobs: list[Blob], random_: random.Random, count: int) -> list[str]:
    """Corruptions that were not found. Each is taken back before the next."""
    unseen, targets = [], [target for blob in blobs for target in targets_of(blob)]
    for number in range(count):
        blob, key, start, length = random_.choice(targets)
        path = rig.backend.root / key
        before = path.read_bytes()
        data = bytearray(before)
        at = start + random_.randrange(length)
        if number % 2:
            data[at] ^= 1 << random_.randrange(8)
        else:
            block = random_.randbytes(min(512, start + length - at))
            data[at : at + len(block)] = block
        path.chmod(0o600)
        path.write_bytes(data)
        if bytes(data) != before and is_whole(rig.store, blob):
            unseen.append(f"{key} at {at}")
        path.write_bytes(before)
        path.chmod(0o400)
    return unseen


def targets_of(blob: Blob) -> list[tuple[Blob, str, int, int]]:
    """What may be corrupted: the blob, and where its bytes lie (key, offset, length), then each 32 bytes of its piece
    digests and seal."""
    place = parsed_pack_location(blob.location)
    start, key = (0, blob_key(blob.digest, blob.encoding)) if place is None else (place[1], pack_key(place[0]))
    targets = [(blob, key, start, blob.stored_bytes)]
    if has_pieces(blob.encoding, blob.size_bytes):
        pieces = -(-blob.size_bytes // PIECE_BYTES)
        targets += [(blob, pieces_key(blob.digest), number * 32, 32) for number in range(pieces + 1)]
    return targets


def is_whole(store: BlobStore, blob: object) -> bool:
    try:
        store.check(blob)  # type: ignore[arg-type]
    except (BlobDamaged, BlobMissing):
        return False
    return True
