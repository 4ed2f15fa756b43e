"""What the race's processes do until they are killed: upload, delete and purge; sweep; verify. All share a few
contents, so that everybody is after the same blobs."""

import asyncio
import os
import random
from contextlib import suppress
from pathlib import Path
from typing import Final

from cas.lock import StoreLock
from catalog.errors import BadRequest, ClaimLost, DatabaseUnavailable, NotFound, NotPossessed
from tests.shared.rig import Rig, open_rig
from tests.shared.settings import GivenSettings
from tools.sweep.main import main as sweep
from tools.verify.main import main as verify

CONTENTS: Final = 40
NAMES: Final = 12
EXPECTED: Final = (BadRequest, ClaimLost, NotFound, NotPossessed, DatabaseUnavailable)
"""What a race may end in for one of those who run: nothing was changed then, and nothing acknowledged."""


def content(number: int) -> bytes:
    """One of the contents that all share: small ones, which packs take, and some of more than one piece of a file."""
    return random.Random(number).randbytes(1 + number * 300) if number % 10 else bytes([number]) * (3 << 20)


def run(role: str, file: str, seed: int) -> None:
    """A process of the race. Returns only if something went wrong, with an exit code that says so."""
    os.environ["OTB_CLOUD_SETTINGS"] = file
    try:
        if role == "upload":
            asyncio.run(_upload(GivenSettings({}, Path(file)), random.Random(seed)))
        while role == "sweep":
            assert sweep(["--full"]) in {0, 2}, "a sweep raised an alarm"  # 2: the other one has the lock
        while role == "verify":
            assert verify(["--fresh"]) == 0, "verify found damage, or could not run"
    except BaseException:
        Path(file).with_name(f"failed-{role}-{seed}").write_text("see the log", "utf-8")
        raise


async def _upload(given: GivenSettings, random_: random.Random) -> None:
    # Who writes holds the store's lock shared, as a server does: whoever gets it alone takes `incoming/` for leftovers.
    with StoreLock(given.settings.storage_root) as lock:
        lock.share(lambda: None)
        async with open_rig(given) as rig:
            while True:
                with suppress(*EXPECTED):
                    await _act(rig, random_)


async def _act(rig: Rig, random_: random.Random) -> None:
    name, data = f"{random_.randrange(NAMES)}", content(random_.randrange(CONTENTS))
    match random_.randrange(6):
        case 0 | 1:
            await rig.upload(name, data)
        case 2:
            small = [content(number) for number in random_.sample(range(CONTENTS), 8) if number % 10]
            await rig.upload_batch({f"{name}-{place}": one for place, one in enumerate(small)})
        case 3:
            await rig.scope.entries.delete([(await rig.entry(name)).id])
        case 4:
            held = (await rig.scope.entries.held()).items
            await rig.scope.purge.entries([entry.id for entry in held])
        case _:
            held = (await rig.scope.entries.held()).items
            await rig.scope.entries.recover([entry.id for entry in held[:2]])
