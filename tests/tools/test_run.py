"""`make run` as a person meets it: one link, the way in through the stand-in, Ctrl-C, the same data next time."""

import os
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import httpx2
import pytest

from catalog.settings import Settings
from tests.shared.service import free_port
from tests.tools.test_processes import comm, wait_for

START_SECONDS_MAX = 180


class Run:
    """`python -m tools.run` on a data folder, as the Makefile starts it, with its output in a file."""

    def __init__(self, data: Path, **environ: str) -> None:
        self.data = data
        self.app_port, self.standin_port = free_port(), free_port()
        self.output_file = data.with_name(f"{data.name}.output-{self.app_port}")
        names = {field.name.upper() for field in fields(Settings)} | {"OTB_CLOUD_SETTINGS"}
        clean = {name: value for name, value in os.environ.items() if name not in names}
        ports = {"APP_PORT": str(self.app_port), "STANDIN_PORT": str(self.standin_port)}
        with self.output_file.open("wb") as output:
            self.process = subprocess.Popen(
                # As a terminal starts it: with a SIGHUP that is not ignored, even where these tests run under nohup.
                ["env", "--default-signal=HUP,INT", sys.executable, "-m", "tools.run"],
                env=clean | {"DATA_DIR": str(data)} | ports | environ,
                stdout=output,
                stderr=subprocess.STDOUT,
                process_group=0,
            )

    @property
    def portal(self) -> str:
        return f"http://127.0.0.1:{self.standin_port}/"

    @property
    def app(self) -> str:
        return f"http://127.0.0.1:{self.app_port}"

    def output(self) -> str:
        return self.output_file.read_text()

    def ready(self) -> "Run":
        wait_for(lambda: "Open" in self.output() or self.process.poll() is not None, START_SECONDS_MAX)
        assert self.process.poll() is None, self.output()
        return self

    def end(self, number: int = signal.SIGINT) -> int:
        self.process.send_signal(number)
        return self.process.wait(60)

    def children(self) -> dict[str, int]:
        """What each child is (`mariadbd`, or a module's name) → its process id."""
        found = {}
        for path in Path("/proc").glob("[0-9]*/stat"):
            if _parent(path) == self.process.pid:
                command = (path.parent / "cmdline").read_bytes().split(b"\0")
                found[_name([part.decode() for part in command])] = int(path.parent.name)
        return found


def _parent(path: Path) -> int | None:
    try:
        text = path.read_text()
    except OSError:
        return None
    return int(text[text.rindex(")") + 2 :].split()[1])


def _name(command: list[str]) -> str:
    return "mariadbd" if command[0].endswith("mariadbd") else command[2]


@contextmanager
def running(data: Path, **environ: str) -> Iterator[Run]:
    run = Run(data, **environ)
    try:
        yield run.ready()
    finally:
        if run.process.poll() is None:
            run.end(signal.SIGKILL)


@pytest.fixture(scope="module")
def data(quick_folder: Path) -> Iterator[Path]:
    """A data folder that a first start has filled, as the tests of this module find it."""
    folder = quick_folder / "run"
    with running(folder) as run:
        assert "Sample " in run.output()
        assert run.end() == 0, run.output()
    yield folder
    shutil.rmtree(folder)


@contextmanager
def come_in(run: Run, person: str) -> Iterator[httpx2.Client]:
    """What a browser does: the stand-in's page, its button, the form that it answers, and the app's first page."""
    with httpx2.Client(timeout=30, follow_redirects=True) as client:
        page = client.get(run.portal)
        assert page.status_code == 200
        assert f'value="{person}"' in page.text
        handoff = client.post(f"{run.portal}services/otb-cloud", data={"person": person})
        action = re.search(r'action="([^"]+)"', handoff.text)
        token = re.search(r'name="token" value="([^"]+)"', handoff.text)
        assert action
        assert token
        client.post(action[1], data={"token": token[1]})
        yield client


@pytest.fixture(scope="class")
def run(data: Path) -> Iterator[Run]:
    with running(data) as run:
        yield run


class TestWhileItRuns:
    """One run for all of these, on a data folder that an earlier run has filled."""

    def test_a_second_start_makes_no_second_sample(self, run: Run) -> None:
        assert "Sample" not in run.output()

    def test_it_prints_one_link_and_the_way_to_it_from_another_computer(self, run: Run) -> None:
        assert re.findall(r"Open +(\S+)", run.output()) == [run.portal]
        assert f"ssh -N -L {run.standin_port}:127.0.0.1:{run.standin_port} -L {run.app_port}:" in run.output()
        assert "handoff" not in run.output()

    def test_the_link_leads_everybody_to_what_the_page_says(self, run: Run) -> None:
        with come_in(run, "owner") as owner:
            devices = owner.get(f"{run.app}/api/v1/devices").json()["devices"]
            assert {device["name"]: device["kind"] for device in devices} == {"laptop": "laptop", "phone": "phone"}
            assert all(device["source_directories"] for device in devices)
            assert sum(device["files"] for device in devices) > 230
            assert owner.get(f"{run.app}/").status_code == 200
        with come_in(run, "member") as member:
            assert len(member.get(f"{run.app}/api/v1/devices").json()["devices"]) == 2
        with come_in(run, "empty") as empty:
            assert empty.get(f"{run.app}/api/v1/devices").json()["devices"] == []
        with come_in(run, "suspended") as suspended:
            assert suspended.get(f"{run.app}/api/v1/me").status_code in {401, 403}
        with come_in(run, "staff") as staff:
            assert staff.get(f"{run.app}/api/v1/devices").status_code == 403
            assert staff.get(f"{run.app}/").status_code == 200

    def test_the_sample_has_versions_deletions_and_dates_over_years(self, run: Run) -> None:
        with come_in(run, "owner") as owner:
            found = owner.get(f"{run.app}/api/v1/search", params={"q": "price list"}).json()["entries"]
            assert [entry["path"] for entry in found] == ["Documents/Price list.txt"]
            versions = owner.get(f"{run.app}/api/v1/entries/{found[0]['id']}/versions").json()
            assert len(versions["entries"]) == 3
            assert "Price list (draft).txt" in owner.get(f"{run.app}/deleted").text
            for year in range(2018, 2027):
                day = {"from": f"{year}-01-01", "to": f"{year}-12-31", "by": "modified"}
                assert owner.get(f"{run.app}/api/v1/search", params=day).json()["entries"], year

    def test_everything_listens_on_loopback_alone(self, run: Run) -> None:
        listening = {
            line.split()[1]
            for table in ("tcp", "tcp6")
            for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]
            if line.split()[3] == "0A"
        }
        for port in (run.app_port, run.standin_port):
            assert {address for address in listening if address.endswith(f":{port:04X}")} == {f"0100007F:{port:04X}"}

    def test_a_second_run_on_the_same_folder_is_refused_and_the_first_goes_on(self, run: Run) -> None:
        second = Run(run.data)
        assert second.process.wait(60) == 1
        assert f"Another make run uses {run.data} (process {run.process.pid})" in second.output()
        assert "Traceback" not in second.output()
        assert httpx2.get(f"{run.app}/readyz").status_code == 200

    def test_a_taken_port_is_refused_before_anything_starts(self, run: Run, tmp_path: Path) -> None:
        second = Run(tmp_path / "other", APP_PORT=str(run.app_port))
        assert second.process.wait(60) == 1
        assert f"Port {run.app_port} is taken" in second.output()
        assert not (tmp_path / "other" / "mariadb").exists()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_being_asked_to_end_ends_all_of_it(data: Path, number: int) -> None:
    with running(data) as run:
        children = run.children()
        assert set(children) == {"mariadbd", "tools.standin", "tools.worker", "web"}
        assert run.end(number) == 0
        assert run.output().endswith("Ending …\nEverything has ended.\n")
        assert all(comm(pid) is None for pid in children.values())


def test_even_a_killed_run_leaves_no_process_and_the_next_one_starts(data: Path) -> None:
    with running(data) as run:
        children = run.children()
        assert len(children) == 4
        run.end(signal.SIGKILL)
        wait_for(lambda: all(comm(pid) is None for pid in children.values()))
    with running(data) as again, come_in(again, "owner") as owner:
        assert len(owner.get(f"{again.app}/api/v1/devices").json()["devices"]) == 2


@pytest.mark.parametrize(
    ("child", "name"),
    [
        ("mariadbd", "MariaDB"),
        ("tools.standin", "The stand-in portal"),
        ("web", "The app"),
        ("tools.worker", "The worker"),
    ],
)
def test_when_one_part_dies_all_ends_and_a_sentence_says_which(data: Path, child: str, name: str) -> None:
    with running(data) as run:
        children = run.children()
        os.kill(children[child], signal.SIGKILL)
        assert run.process.wait(60) == 1
        assert f"{name} has ended (SIGKILL). The end of {data}/log/" in run.output()
        assert all(comm(pid) is None for pid in children.values())


def test_a_store_that_was_taken_away_is_not_replaced_by_an_empty_one(data: Path) -> None:
    store = data / "store"
    away = store.rename(data / "away")
    try:
        run = Run(data)
        assert run.process.wait(60) == 1
        assert f"The store {store} is gone" in run.output()
        assert not store.exists()
    finally:
        away.rename(store)
