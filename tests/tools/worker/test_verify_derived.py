"""`tools/verify --derived` on what a real worker has made: alike is proved, other bytes are told, and so is a source
that is not what it was."""

import secrets
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from cas.blob import parsed_pack_location
from cas.digest import Digest
from cas.layout import pack_key
from catalog.recipes import RECIPES, canonical, derivation_key
from tests.shared.service import Service
from tests.shared.sql import execute, fetched
from tests.shared.workers import WorkerProcess, asked, ended_job, until
from tests.tools.worker.corpus import turned
from tests.web.device import Device, stored
from tools.run.processes import python
from tools.verify.remake import FROM_SOURCE

PHOTO = turned(6)
COPIES = 300
"""So many that a run over them takes far longer than it takes to interrupt it."""
_KEY = derivation_key(Digest.of(PHOTO), "rotate", RECIPES["rotate"].version, canonical({"angle": "90"}))
_COPY = (
    "INSERT INTO derivation (tenant_id, key_digest, source_digest, recipe, version, parameters, blob_id, made_at)"
    " SELECT tenant_id, %s, IFNULL(%s, source_digest), IFNULL(%s, recipe), IFNULL(%s, version), parameters, blob_id,"
    " made_at FROM derivation WHERE key_digest = %s"
)
_ENTRY = "SELECT e.id FROM entry e JOIN `blob` b ON b.id = e.blob_id WHERE b.digest = %s"


@pytest.fixture(scope="module", autouse=True)
def turned_photo(
    service: Service, owner: httpx2.Client, laptop: Device, tmp_path_factory: pytest.TempPathFactory
) -> bytes:
    """A worker has made a photo's thumbnail and preview, the photo turned, and that one's thumbnail and preview."""
    photo = stored(laptop, "photo.jpg", PHOTO)
    (job,) = asked(owner, [photo], "rotate", angle="90")
    worker = WorkerProcess(service.given, tmp_path_factory.mktemp("worker")).start("--until-idle")
    try:
        until(lambda: worker.has_ended, "all is made", 120)
    finally:
        worker.stop()
    done = ended_job(owner, job)
    assert done["state"] == "done", done
    return owner.get(f"/api/v1/entries/{done['outputs'][0]['id']}/content").content


def verify(service: Service, *options: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*python("tools.verify"), *(options or ("--derived",))],
        env=service.given.environ, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip


def counts(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout.partition("\n")[0].removeprefix("derived files and renditions: ")


@contextmanager
def copies(service: Service, *rows: tuple[bytes | None, str | None, int | None]) -> Iterator[list[bytes]]:
    """Copies of the photo's derivation, with another source, recipe or version where one is given; their keys."""
    keys = [secrets.token_bytes(32) for _ in rows]
    execute(service.settings, _COPY, *[(key, *row, _KEY.raw) for key, row in zip(keys, rows, strict=True)])
    yield keys
    execute(service.settings, "DELETE FROM derivation WHERE key_digest = %s", *[(key,) for key in keys])


def test_what_was_made_is_made_again_alike(service: Service) -> None:
    done = verify(service, "--derived", "--progress")
    assert (done.returncode, counts(done)) == (0, "5 equal"), done.stdout + done.stderr
    assert "done: 5 equal" in done.stderr
    assert done.stdout.count("\n") == 1


def test_other_bytes_are_told_and_what_cannot_be_compared_is_counted(service: Service, turned_photo: bytes) -> None:
    strange = (None, None, None), (None, "audio", None), (None, None, 99), (secrets.token_bytes(32), None, None)
    with copies(service, *strange) as keys:
        falsify = "UPDATE derivation SET blob_id = (SELECT id FROM `blob` WHERE digest = %s) WHERE key_digest = %s"
        execute(service.settings, falsify, (Digest.of(PHOTO).raw, keys[0]))
        done = verify(service)
    assert done.returncode == 0, done.stdout + done.stderr
    assert counts(done).split(", ") == [
        "5 equal",
        "1 different",
        "1 source deleted",
        "1 of a recipe that is not deterministic",
        "1 of another version of the recipe",
    ]
    source, now = Digest.of(PHOTO), Digest.of(turned_photo)
    assert done.stdout.splitlines()[1:] == [f'different: rotate {{"angle":"90"}} of {source}: now {now}, then {source}']


def test_an_interrupted_run_says_what_it_has_seen(service: Service) -> None:
    command = [*python("tools.verify"), "--derived", "--progress"]
    with copies(service, *[(None, None, None)] * COPIES):
        run = subprocess.Popen(
            command, env=service.given.environ, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )
        with run:
            assert run.stderr is not None
            assert "making again: 1 equal" in run.stderr.readline()
            run.send_signal(signal.SIGTERM)
            said, complaints = run.communicate(timeout=60)
    assert run.returncode == 130, complaints
    assert "tools/verify: interrupted" in complaints
    seen = int(said.removeprefix("derived files and renditions: ").partition(" equal")[0])
    assert 1 <= seen < COPIES


def test_sources_that_are_damaged_or_missing_are_told(service: Service, turned_photo: bytes) -> None:
    photo, turned_path = object_of(service, PHOTO), object_of(service, turned_photo)
    flip(photo)
    away = turned_path.rename(turned_path.with_name("away"))
    done = verify(service)
    flip(photo)
    away.rename(turned_path)
    assert (done.returncode, counts(done)) == (1, "3 source damaged, 2 source missing"), done.stdout + done.stderr
    told = done.stdout.splitlines()[1:]
    assert len(told) == 5
    assert told[0].startswith(f'source damaged: rotate {{"angle":"90"}} of {Digest.of(PHOTO)}: ')
    assert sum(line.startswith("source missing: ") and Digest.of(turned_photo).hex in line for line in told) == 2


def test_what_is_damaged_is_made_again(service: Service, owner: httpx2.Client, turned_photo: bytes) -> None:
    """A derived file, and the packs with all thumbnails and previews, of which two can be made of that file alone."""
    for pack in packs_of_renditions(service):
        pack.unlink()
    flip(object_of(service, turned_photo))
    done = verify(service, "--fresh", "--remake")
    assert done.returncode == 1, done.stdout + done.stderr
    assert f"{FROM_SOURCE}: 5" in done.stdout, done.stdout + done.stderr
    ((entry,),) = fetched(service.settings, _ENTRY, (Digest.of(turned_photo).raw,))
    assert owner.get(f"/api/v1/entries/{entry}/content").content == turned_photo
    assert owner.get(f"/api/v1/entries/{entry}/thumbnail").status_code == 200
    assert fetched(service.settings, "SELECT blob_id FROM verification WHERE outcome <> 'good'") == []


def object_of(service: Service, content: bytes) -> Path:
    """Where the store keeps these bytes."""
    digest = Digest.of(content).hex
    return next((service.settings.storage_root / "blobs" / digest[:2] / digest[2:4]).glob(f"{digest}*"))


def packs_of_renditions(service: Service) -> set[Path]:
    """The packs in which the thumbnails and previews lie."""
    rows = fetched(service.settings, "SELECT b.location FROM rendition r JOIN `blob` b ON b.id = r.derived_id")
    places = [parsed_pack_location(location) for (location,) in rows]
    return {service.settings.storage_root / pack_key(place[0]) for place in places if place is not None}


def flip(path: Path) -> None:
    """Change one bit in the middle, or change it back."""
    path.chmod(0o600)
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
