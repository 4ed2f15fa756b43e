"""A customer's whole life with the backup: everything up, a little changed, up again, and back as it was at first.

At the issue's figures: 400,000 files of a realistic mix, at most 10 GiB in all.
"""

import os
import random
import resource
import shutil
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

from tests.shared.service import Service
from tests.tools.upload.computer import SECONDS_MAX, Computer

FILES_PER_FOLDER = 40
CHANGED_SHARE = 0.01
PROOF_SECONDS_MAX = 7_200
FRAME_HEAD_BYTES = 40


def make_mix(top: Path, files: int, total_bytes_max: int) -> int:
    """Mostly small files, some photos, few large ones; half compress. Returns their bytes."""
    rng = random.Random(42)
    left, text = total_bytes_max, b"It was a bright cold day in April. " * 40_000
    for number in range(files):
        if number % FILES_PER_FOLDER == 0:
            branch = number // FILES_PER_FOLDER
            folder = top / f"area {branch % 10}" / f"year {branch // 10 % 30}" / f"folder {branch}"
            folder.mkdir(parents=True)
        kind = rng.random()
        size = (
            rng.randrange(0, 8_000) if kind < 0.8
            else rng.randrange(8_000, 60_000) if kind < 0.97
            else rng.randrange(60_000, 400_000) if kind < 0.999
            else rng.randrange(1 << 20, 8 << 20)
        )  # fmt: skip
        size = min(size, left)
        left -= size
        content = rng.randbytes(size) if number % 2 else b"%d " % number + text[: max(0, size - 8)]
        (folder / f"file {number}.{'jpg' if number % 2 else 'txt'}").write_bytes(content[:size])
    return total_bytes_max - left


def fingerprints(top: Path) -> dict[str, tuple[int, int, int, int]]:
    """size, mtime_ns, mode and a hash of each file's content; of folders their time and mode."""
    found = {}
    for folder, folders, files in os.walk(top):
        for name in folders + files:
            path = Path(folder, name)
            st = path.stat()
            content = hash(path.read_bytes()) if name in files and path.is_file() else 0
            found[str(path.relative_to(top))] = (st.st_size * bool(content), st.st_mtime_ns, st.st_mode, content)
    return found


def test_up_changed_up_again_and_back_as_at_first(
    make_computer: Callable[..., Computer],
    make_service: Callable[..., Service],
    tmp_path: Path,
    scale: Callable[[int, int], int],
) -> None:
    # Ten gigabytes do not belong into memory.
    service = make_service(on_disk=True) if scale(0, 1) else make_service()
    computer = make_computer(on=service)
    files = scale(1_000, 400_000)
    seconds_max = scale(SECONDS_MAX, PROOF_SECONDS_MAX)
    top = computer.home / "all"
    make_mix(top, files, scale(60 << 20, 10 << 30))
    first = fingerprints(top)
    time.sleep(0.2)  # so that the cache may trust the youngest times

    started = time.monotonic()
    sent = computer.run("upload", "--json", str(top), timeout=seconds_max)
    first_seconds = time.monotonic() - started
    assert sent.code == 0, sent
    assert sent.summary["files"] == files
    moment = datetime.now(UTC).isoformat().replace("+00:00", "Z")

    changed_or_gone, changed, changed_bytes = change(top, files)
    started = time.monotonic()
    again = computer.run("upload", "--json", "--mirror", str(top), timeout=seconds_max)
    second_seconds = time.monotonic() - started
    assert again.code == 0, again
    # The second run's work is looking: it reads and sends what changed, names that and its folders, and nothing else.
    assert (again.summary["to_read"], again.summary["sent"]) == (changed, changed)
    assert again.summary["unchanged"] == again.summary["files"] - changed
    assert again.summary["committed"] <= 2 * changed_or_gone
    assert again.summary["sent_bytes"] == changed_bytes
    assert changed_bytes <= again.summary["line_bytes"] <= changed_bytes + changed * FRAME_HEAD_BYTES

    out = tmp_path / "out"
    started = time.monotonic()
    done = computer.run("restore", str(top), "--to", str(out), "--at", moment, "--json", timeout=seconds_max)
    restore_seconds = time.monotonic() - started
    assert done.code == 0, done
    assert done.summary["restored"] == files
    assert fingerprints(out) == first
    shutil.rmtree(out)
    now = computer.run("restore", str(top), "--to", str(tmp_path / "now"), "--json", timeout=seconds_max)
    assert now.code == 0, now
    assert fingerprints(tmp_path / "now") == fingerprints(top)
    peak_bytes = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss << 10
    print(
        f"\n{files:,} files: first run {first_seconds:.1f} s, second {second_seconds:.1f} s, restore"
        f" {restore_seconds:.1f} s; server {service.memory_peak_bytes() >> 20} MiB, clients at most"
        f" {peak_bytes >> 20} MiB"
    )
    assert computer.run("check", str(top), "--quick", timeout=seconds_max).code == 0


def change(top: Path, files: int) -> tuple[int, int, int]:
    """One in a hundred: half of them other content, a quarter gone, a quarter new.

    Returns how many they are, how many of them must be read, and the bytes of these.
    """
    rng = random.Random(7)
    paths = sorted(path for path in top.rglob("*") if path.is_file())
    chosen = rng.sample(paths, max(8, int(files * CHANGED_SHARE)))
    sizes = []
    for number, path in enumerate(chosen):
        if number % 4 == 0:
            path.unlink()
        elif number % 4 == 1:
            sizes.append(path.with_name(f"new {number}.txt").write_bytes(rng.randbytes(3_000)))
        else:
            sizes.append(path.write_bytes(rng.randbytes(rng.randrange(1, 9_000))))
    return len(chosen), len(sizes), sum(sizes)
