"""SIGKILL of the server at random moments during uploads: what was acknowledged is there and whole, nothing is half."""

import random
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import httpx2
import pytest
from blake3 import blake3

from cas.blob import OWN_FILE
from cas.journal import Journal
from cas.local import LocalBackend
from cas.store import BlobStore
from catalog.catalog import Catalog
from tests.shared.portal import session_of, sign_in
from tests.shared.service import Service

UPLOADERS = 4


@dataclass
class Uploads:
    """What uploaders tried and what was acknowledged. `gate` is closed while the server is down."""

    acknowledged: dict[str, str] = field(default_factory=dict)
    tried: int = 0
    gate: threading.Event = field(default_factory=threading.Event)
    idle: threading.Semaphore = field(default_factory=lambda: threading.Semaphore(0))
    is_over: bool = False


def upload_for_ever(service: Service, client: httpx2.Client, device: str, uploads: Uploads, number: int) -> None:
    rng = random.Random(number)
    cookies, headers = session_of(client)
    with httpx2.Client(base_url=service.url, cookies=cookies, headers=headers, timeout=60) as mine:
        count = 0
        while not uploads.is_over:
            count += 1
            content = content_of(rng)
            name = f"folder {count % 7}/{number}-{count}.bin"
            uploads.tried += 1
            try:
                answer = mine.put(f"/api/v1/devices/{device}/files/originals/{name}", content=content)
            except httpx2.TransportError:
                uploads.idle.release()
                uploads.gate.wait()
                continue
            if answer.status_code in {200, 201}:
                uploads.acknowledged[name] = blake3(content).hexdigest()


def content_of(rng: random.Random) -> bytes:
    """Small, large, compressible, and now and then what somebody else uploads as well."""
    kind = rng.randrange(10)
    if kind == 0:
        return b"the same for all " * rng.randrange(1, 50)
    if kind < 4:
        return (b"%d line\n" % rng.randrange(10**9)) * rng.randrange(1, 100_000)
    return rng.randbytes(rng.choice([0, 100, 5_000, 100_000, 2_000_000, 9_000_000]))


def test_nothing_acknowledged_is_lost_by_sigkill(
    make_service: Callable[..., Service], scale: Callable[[int, int], int]
) -> None:
    service = make_service(on_disk=scale(0, 1) == 1)
    rounds = scale(4, 200)
    uploads = Uploads()
    rng = random.Random(7)
    with sign_in(service.url, service.settings) as client:
        device = str(client.post("/api/v1/devices", json={"name": "laptop", "kind": "laptop"}).json()["id"])
        threads = [
            threading.Thread(target=upload_for_ever, args=(service, client, device, uploads, i), daemon=True)
            for i in range(UPLOADERS)
        ]
        for thread in threads:
            thread.start()
        for _ in range(rounds):
            uploads.gate.clear()
            wanted = len(uploads.acknowledged) + 2
            time.sleep(rng.uniform(0.05, 0.8))
            _wait_for(uploads, wanted)
            service.kill()
            for _ in threads:
                uploads.idle.acquire()
            service.start()
            assert leftovers(service.settings.storage_root) == []
            uploads.gate.set()
        uploads.is_over = True
        uploads.gate.set()
        for thread in threads:
            thread.join()
        check_acknowledged(client, device, uploads)
    print(f"{rounds} kills, {uploads.tried} uploads tried, {len(uploads.acknowledged)} acknowledged, 0 lost")
    assert len(uploads.acknowledged) > rounds


def _wait_for(uploads: Uploads, acknowledged: int) -> None:
    """A busy machine takes longer to acknowledge anything."""
    give_up = time.monotonic() + 60
    while len(uploads.acknowledged) < acknowledged and time.monotonic() < give_up:
        time.sleep(0.01)


def leftovers(root: Path) -> list[str]:
    """Partial files: everything in `incoming/`."""
    return [path.name for path in (root / "incoming").iterdir()]


def check_acknowledged(client: httpx2.Client, device: str, uploads: Uploads) -> None:
    """Every acknowledged file reads back whole; every other file that is listed does so too."""
    for name, digest in uploads.acknowledged.items():
        answer = client.get(f"/api/v1/devices/{device}/files/originals/{name}")
        assert answer.status_code == 200, f"{name} was acknowledged and answers {answer.status_code}"
        assert blake3(answer.content).hexdigest() == digest
    listed = 0
    for number in range(7):
        params = {"area": "originals", "directory": f"folder {number}", "limit": "1000"}
        while True:
            answer = client.get(f"/api/v1/devices/{device}/entries", params=params)
            if answer.status_code == 404:
                break  # no upload came so far
            page = answer.json()
            for entry in page["entries"]:
                listed += 1
                if entry["path"] not in uploads.acknowledged:
                    whole = client.get(f"/api/v1/entries/{entry['id']}/content").content
                    assert blake3(whole).hexdigest() == entry["digest"]
            if page["next"] is None:
                break
            params["cursor"] = page["next"]
    assert len(uploads.acknowledged) <= listed <= uploads.tried


@pytest.mark.anyio
async def test_after_a_kill_no_claim_is_left_and_every_row_has_its_blob(
    make_service: Callable[..., Service], scale: Callable[[int, int], int]
) -> None:
    """Killed while large files arrive; after the restart the catalog and the store agree to the last blob."""
    service = make_service(on_disk=scale(0, 1) == 1)
    with sign_in(service.url, service.settings) as client:
        device = str(client.post("/api/v1/devices", json={"name": "laptop", "kind": "laptop"}).json()["id"])
        uploads = Uploads()
        threads = [
            threading.Thread(target=upload_for_ever, args=(service, client, device, uploads, 50 + i), daemon=True)
            for i in range(UPLOADERS)
        ]
        for thread in threads:
            thread.start()
        for _ in range(scale(2, 10)):
            uploads.gate.clear()
            time.sleep(0.5)
            service.kill()
            for _ in threads:
                uploads.idle.acquire()
            service.start()
            uploads.gate.set()
        uploads.is_over = True
        for thread in threads:
            thread.join()
    service.stop()
    backend = LocalBackend(service.settings.storage_root)
    store = BlobStore.open(backend)
    catalog = await Catalog.open(service.settings, Journal(backend), store.store_id)
    assert await catalog.system.take_unfinished(1_000) == []
    rows = await catalog.system.blobs_after(0, 100_000)
    for row in rows:
        store.check(row.blob)
    known = {row.blob.digest.hex for row in rows if row.blob.location == OWN_FILE}
    on_disk = {path.name.partition(".")[0] for path in (service.settings.storage_root / "blobs").rglob("*/*/*")}
    assert on_disk == known
    packs = {pack_id for pack_id, _ in store.packs()}
    assert await catalog.system.known_packs(sorted(packs)) == packs
    assert await catalog.system.unfinished_packs(1_000) == []
    await catalog.close()
