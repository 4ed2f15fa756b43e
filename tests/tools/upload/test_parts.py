"""The parts that need no server: the schedule's texts, rates, excludes, the cache's rows, batches, retries."""

import plistlib
import sqlite3
import subprocess
import threading
import time
import xml.etree.ElementTree as ET
from collections.abc import Mapping
from pathlib import Path

import pytest
from blake3 import blake3
from otb_client import schedule
from otb_client.api import Patience
from otb_client.cache import Cache, FolderRow, Record
from otb_client.commit import Committer
from otb_client.errors import ApiError, ClientError, LineFailed, Stopped, UsageError
from otb_client.excludes import rules_of
from otb_client.history import NOTE, History, is_ours
from otb_client.output import Output
from otb_client.progress import Progress
from otb_client.rate import RateLimit, parse_rate
from otb_client.run import Run
from otb_client.schedule import Daily, entry_for
from otb_client.send import BUNDLE_TYPE, HEAD, Batch

COMMAND = ["/opt/my tools/python", "-m", "otb_client", "upload"]
AT = Daily(20, 5)
_TASK = "{http://schemas.microsoft.com/windows/2004/02/mit/task}"


def text_of(platform: str, environ: dict[str, str] | None = None) -> dict[str, bytes]:
    entry = entry_for(platform, AT, COMMAND, Path("/home/ann"), environ or {})
    return {file.name: text for file, text in entry.files}


def test_systemd_gets_a_user_timer_that_makes_up_for_missed_runs(tmp_path: Path) -> None:
    texts = text_of("linux", {"OTB_CLOUD_CONFIG": '/a b/50%"'})
    timer, service = texts["otb-cloud-upload.timer"].decode(), texts["otb-cloud-upload.service"].decode()
    assert "OnCalendar=*-*-* 20:05:00\n" in timer
    assert "Persistent=true\n" in timer
    assert 'ExecStart="/opt/my tools/python" "-m" "otb_client" "upload"\n' in service
    assert 'Environment="OTB_CLOUD_CONFIG=/a b/50%%\\""\n' in service


def test_systemd_itself_takes_the_units(tmp_path: Path) -> None:
    entry = entry_for("linux", AT, ["/bin/true", "a b"], Path("/home/ann"), {})
    for file, text in entry.files:
        (tmp_path / file.name).write_bytes(text)
    units = sorted(str(file) for file in tmp_path.iterdir())
    try:
        done = subprocess.run(
            ["systemd-analyze", "--user", "--man=no", "verify", *units], capture_output=True, text=True, check=False
        )
    except FileNotFoundError:  # this system has no systemd: the texts above are what can be held to account
        return
    assert str(tmp_path) not in done.stderr, done.stderr


def test_launchd_gets_a_plist() -> None:
    ((name, text),) = text_of("darwin", {"OTB_CLOUD_CONFIG": "/a"}).items()
    value = plistlib.loads(text)
    assert name == "top.outsidethebox.otb-cloud.upload.plist"
    assert value["ProgramArguments"] == COMMAND
    assert value["StartCalendarInterval"] == {"Hour": 20, "Minute": 5}
    assert value["EnvironmentVariables"] == {"OTB_CLOUD_CONFIG": "/a"}


def test_the_task_scheduler_gets_xml() -> None:
    ((_, text),) = text_of("win32").items()
    task = ET.fromstring(text.decode("utf-16"))
    assert task.findtext(f".//{_TASK}StartBoundary") == "2024-01-01T20:05:00"
    assert task.findtext(f".//{_TASK}StartWhenAvailable") == "true"
    assert task.findtext(f".//{_TASK}Command") == "/opt/my tools/python"
    assert task.findtext(f".//{_TASK}Arguments") == "-m otb_client upload"


def test_a_task_with_settings_of_its_own() -> None:
    ((_, text),) = text_of("win32", {"OTB_CLOUD_CONFIG": "C:\\a & b"}).items()
    task = ET.fromstring(text.decode("utf-16"))
    arguments = task.findtext(f".//{_TASK}Arguments") or ""
    assert task.findtext(f".//{_TASK}Command") == "cmd.exe"
    assert 'set "OTB_CLOUD_CONFIG=C:\\a & b" && "/opt/my tools/python" -m otb_client upload' in arguments


def test_a_system_without_a_known_scheduler_is_told_what_to_do() -> None:
    with pytest.raises(UsageError, match="cron"):
        entry_for("plan9", AT, COMMAND, Path("/"), {})


@pytest.mark.parametrize("text", ["24:00", "8", "20:60", "", "8 pm", "20:00:00"])
def test_times_of_the_day_that_are_none(text: str) -> None:
    with pytest.raises(Exception, match="not a time"):
        schedule.parse_daily(text)


def test_times_of_the_day() -> None:
    assert (str(schedule.parse_daily("8:05")), str(schedule.parse_daily(" 20:00 "))) == ("08:05", "20:00")


# -- rates ------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "rate"), [("2M", 2 << 20), ("500k", 500 << 10), ("1.5MiB/s", 3 << 19), ("4096", 4096), ("1g", 1 << 30)]
)
def test_rates(text: str, rate: int) -> None:
    assert parse_rate(text) == rate


@pytest.mark.parametrize("text", ["", "fast", "-1M", "0", "100", "1T", "9999999G", "1e9"])
def test_rates_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="is not a rate"):
        parse_rate(text)


def test_threads_share_a_rate() -> None:
    limit = RateLimit(1 << 20)
    sent: list[int] = []
    began = time.monotonic()
    threads = [
        threading.Thread(target=lambda: sent.extend(len(piece) for piece in limit.pieces(bytes(100 << 10))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(sent) == 400 << 10
    assert time.monotonic() - began > 0.3


# -- excludes ---------------------------------------------------------------------------------------------------------


def test_deeper_rules_win_and_no_rules_cost_nothing() -> None:
    assert rules_of("/a/", ["# only a remark", ""]) is None
    above = rules_of("/a/", ["*.tmp", "/top"])
    below = rules_of("/a/b/", ["!kept.tmp"], above)
    assert below is not None
    assert below.excludes("/a/b/x.tmp", is_folder=False)
    assert not below.excludes("/a/b/kept.tmp", is_folder=False)
    assert below.excludes("/a/top", is_folder=True)
    assert not below.excludes("/a/b/top", is_folder=True)


def test_rules_on_windows_use_slashes() -> None:
    rules = rules_of("C:\\a\\", ["build/out/"])
    assert rules is not None
    assert rules.excludes("C:\\a\\build\\out", is_folder=True)


# -- the cache --------------------------------------------------------------------------------------------------------


def record(size: int, digest: bytes = b"d" * 32) -> Record:
    return (size, -5, 2**64 - 1, 7, 0o100644, digest)


def saved(cache: Cache, path: bytes, *names: str) -> None:
    cache.save([(path, FolderRow(True, 1, 2, False, {name: record(9) for name in names}))])


def test_rows_come_back_and_a_new_epoch_keeps_digests_only(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    saved(cache, b"a", "x", "caf\udce9")
    cache.set_state(3, 0)
    cache.close()
    cache = Cache(tmp_path / "c")
    assert cache.folder(b"a") == FolderRow(True, 1, 2, False, {"x": record(9), "caf\udce9": record(9)})
    assert (cache.sequence, cache.pending) == (3, 0)
    cache.distrust()
    assert not cache.folder(b"a").is_committed
    assert set(cache.folder(b"a").records) == {"x", "caf\udce9"}
    assert cache.sequence == 0
    cache.close()


def test_what_is_removed_is_forgotten_with_all_below_it(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    for path in (b"a", b"a/b", b"a/b/c", b"a/bb"):
        saved(cache, path, "b", "x")
    cache.forget_below(b"a/b")
    assert set(cache.folder(b"a").records) == {"x"}
    assert [bool(cache.folder(path).records) for path in (b"a/b", b"a/b/c", b"a/bb")] == [False, False, True]
    cache.close()


@pytest.mark.parametrize("column", ["names", "records", "checksum", "path"])
def test_a_damaged_row_is_no_row(tmp_path: Path, column: str) -> None:
    cache = Cache(tmp_path / "c")
    saved(cache, b"a", "x", "y")
    cache.close()
    with sqlite3.connect(tmp_path / "c") as db:
        db.execute(f"UPDATE folder SET {column} = CAST(zeroblob(length({column})) AS BLOB)")
    db.close()
    cache = Cache(tmp_path / "c")
    assert cache.folder(b"a").records == {}
    assert cache.folder(b"\0").records == {}
    cache.close()


def test_a_cache_of_another_version_is_begun_anew(tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "c") as db:
        db.execute("PRAGMA user_version = 99")
    db.close()
    cache = Cache(tmp_path / "c")
    saved(cache, b"a", "x")
    assert cache.folder(b"a").records
    cache.close()


def test_a_folder_that_cannot_be_written_is_told_and_not_fatal(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    told: list[str] = []
    cache = Cache(tmp_path / "file" / "c", told.append)
    saved(cache, b"a", "x")
    assert cache.folder(b"a").records == {}
    assert len(told) == 1
    cache.close()


# -- batches and retries ----------------------------------------------------------------------------------------------


def test_a_batch_keeps_only_what_is_wanted() -> None:
    batch, blobs = Batch(), [bytes([number]) * number for number in range(1, 6)]
    for blob in blobs:
        batch.append(blake3(blob).digest(), blob)
    wanted = [blobs[1], blobs[4]]
    batch.keep({blake3(blob).digest() for blob in wanted})
    expected = b"".join(HEAD.pack(blake3(blob).digest(), len(blob)) + blob for blob in wanted)
    assert bytes(batch.view[: batch.used]) == expected
    assert batch.ends[-1] == batch.used


def waits(error: ClientError, seconds: float) -> list[float]:
    """The pauses until it gave up with this very error."""
    pauses: list[float] = []
    patience = Patience(seconds, threading.Event(), lambda _reason, pause: pauses.append(pause))
    with pytest.raises(type(error)) as raised:  # noqa: PT012
        while True:
            patience.wait(error)
    assert raised.value is error
    return pauses


def test_pauses_grow_and_end() -> None:
    pauses = waits(LineFailed("no route"), 2.5)
    assert 2 <= len(pauses) <= 8
    assert all(0.1 < pause < 2.1 for pause in pauses)
    assert max(pauses) > pauses[0]


@pytest.mark.parametrize(("status", "is_retried"), [(503, True), (429, True), (500, True), (507, False), (422, False)])
def test_only_what_may_pass_is_tried_again(status: int, *, is_retried: bool) -> None:
    assert bool(waits(ApiError(status, {}), 0.6)) is is_retried


def test_stopping_ends_a_pause_at_once() -> None:
    stop = threading.Event()
    patience = Patience(600, stop, None)
    threading.Timer(0.2, stop.set).start()
    began = time.monotonic()
    with pytest.raises(Stopped):  # noqa: PT012
        while True:
            patience.wait(LineFailed("no route"))
    assert time.monotonic() - began < 2


def manifests(*sequences: int, **other: str) -> list[dict[str, str]]:
    return [{"id": str(number), "note": NOTE, "actor_kind": "device", **other} for number in sequences]


def test_manifests_that_are_answered_out_of_turn_are_all_ours(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache.sqlite")
    history = History(cache, 4)
    for _ in range(3):
        history.begin()
    assert (cache.sequence, cache.pending) == (4, 7)
    history.end({"manifest": "6"})
    assert (cache.sequence, cache.pending, history.is_alone) == (4, 7, False)
    history.end({"manifest": "5"})
    assert (cache.sequence, cache.pending, history.is_alone) == (6, 7, True)
    history.end({"manifest": None})
    assert (cache.sequence, cache.pending) == (6, 0)


def test_a_manifest_of_somebody_else_leaves_a_gap(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache.sqlite")
    history = History(cache, 4)
    for sequence in (6, 7):
        history.begin()
        history.end({"manifest": str(sequence)})
    assert (cache.sequence, history.is_alone) == (4, False)


def test_a_post_that_failed_may_have_been_committed(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache.sqlite")
    history = History(cache, 4)
    history.begin()
    history.end(None)
    assert (cache.sequence, cache.pending) == (4, 5)


def test_the_next_run_believes_an_unbroken_row_of_its_own_alone() -> None:
    assert is_ours(manifests(5, 4), known=5, pending=0)
    assert is_ours(manifests(7, 6, 5, 4), known=5, pending=8)
    assert is_ours([], known=0, pending=0)
    assert not is_ours(manifests(6, 5), known=5, pending=0)
    assert not is_ours(manifests(9, 8, 7, 6), known=5, pending=8)
    assert not is_ours([*manifests(7), *manifests(6, note="other"), *manifests(5)], known=5, pending=8)
    assert not is_ours([*manifests(7), *manifests(6, actor_kind="user"), *manifests(5)], known=5, pending=8)
    assert not is_ours(manifests(9, 8, 7), known=5, pending=9)


# -- bundles ----------------------------------------------------------------------------------------------------------


class Refusing:
    """A server that refuses every request with this status."""

    def __init__(self, status: int) -> None:
        self.status = status
        self.asked: list[str] = []

    def request(self, _method: str, _path: str, *, headers: Mapping[str, str], **_: object) -> object:
        self.asked.append(headers["Content-Type"])
        raise ApiError(self.status, {})


@pytest.mark.parametrize(("status", "times"), [(415, 1), (409, 2), (400, 2)])
def test_a_refused_bundle_goes_in_two_steps_and_an_old_server_is_asked_once(
    tmp_path: Path, status: int, times: int
) -> None:
    server = Refusing(status)
    cache = Cache(tmp_path / "c")
    run = Run(server, cache, Progress(Output(as_json=False)), "1", used_bytes=0, limit=None)  # type: ignore[arg-type]
    committer = Committer(run, 0, may_remove=False)
    batch = Batch()
    batch.append(blake3(b"x").digest(), b"x")
    assert [committer.bundle(batch), committer.bundle(batch)] == [None, None]
    assert server.asked == [BUNDLE_TYPE] * times
    assert (cache.sequence, cache.pending) == (0, 1)  # what was refused may be taken for under way, which costs nothing
    committer.finish()
    cache.close()


def test_a_bundle_that_fails_for_another_reason_is_an_error(tmp_path: Path) -> None:
    cache = Cache(tmp_path / "c")
    run = Run(Refusing(507), cache, Progress(Output(as_json=False)), "1", used_bytes=0, limit=None)  # type: ignore[arg-type]
    committer = Committer(run, 0, may_remove=False)
    with pytest.raises(ApiError):
        committer.bundle(Batch())
    committer.finish()
    cache.close()
