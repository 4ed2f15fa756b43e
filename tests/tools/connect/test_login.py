"""`otb-cloud login`, `logout` and `status` against the real server, and against servers that misbehave."""

import argparse
import itertools
import json
import signal
import stat
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx2
import pytest
from otb_client import cli, config, login
from otb_client.api import Api
from otb_client.computer import can_open_browser, clean_name, linux_kind, this_computer
from otb_client.errors import BadAnswer, LineFailed
from otb_client.output import Output
from otb_client.words import printable, size_text

from tests.shared.portal import new_person, sign_in
from tests.shared.service import Service, free_port
from tests.tools.connect.client import Login, decide, otb_cloud


@pytest.fixture
def owner(service: Service) -> Iterator[httpx2.Client]:
    with sign_in(service.url, service.settings, new_person()) as client:
        yield client


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "settings"


def settings_in(folder: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((folder / "config.json").read_text())
    return found


@pytest.fixture
def log_in(service: Service, owner: httpx2.Client, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """`log_in("approve", device=…)`: the command in this process, decided before it asks for the first time."""
    monkeypatch.setenv("OTB_CLOUD_CONFIG", str(folder))
    monkeypatch.setattr(login, "Api", Impatient)

    def logged_in(do: str = "approve", *, force: bool = False, **fields: str) -> int:
        monkeypatch.setattr(login, "_show", lambda code, _out: decide(owner, code.user_code, do, **fields))
        wanted = argparse.Namespace(server=service.url, name=None, no_browser=True, force=force, json=False)
        return login.run(wanted)

    return logged_in


class Impatient(Api):
    """Polls at once."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.stop.wait = lambda timeout=None: False  # type: ignore[method-assign]


def test_login_status_logout_and_back(service: Service, owner: httpx2.Client, folder: Path) -> None:
    client = Login(folder, service.url, "--name", "ann's laptop")
    event = client.event()
    assert event["verification_uri"] == f"{service.url}/connect"
    assert "Connect ann&#39;s laptop?" in owner.get(event["verification_uri_complete"]).text
    decide(owner, event["user_code"])
    summary = client.event()
    code, words = client.end()
    assert (code, summary["connected"], summary["device_name"]) == (0, True, "laptop")
    assert event["user_code"] in words
    assert "this computer is “laptop” of" in words
    kept = settings_in(folder)
    assert (kept["server"], kept["device"], kept["device_name"]) == (service.url, summary["device"], "laptop")
    assert stat.S_IMODE((folder / "config.json").stat().st_mode) == 0o600
    assert kept["token"] not in words + json.dumps(summary)

    shown = otb_cloud(folder, "status")
    assert shown.returncode == 0, shown.stderr
    for text in (service.url, summary["account"], "laptop: 0 files", "0 bytes of 1 TB used", "never"):
        assert text in shown.stdout
    machine = json.loads(otb_cloud(folder, "status", "--json").stdout)
    assert (machine["device"], machine["files"], machine["used_bytes"]) == (summary["device"], 0, 0)

    left = otb_cloud(folder, "logout")
    assert left.returncode == 0
    assert f"revoke it in the portal: {service.url}/devices/{summary['device']}" in left.stdout
    assert settings_in(folder)["token"] == ""
    assert kept["token"] not in "".join(path.read_text() for path in folder.rglob("*") if path.is_file())
    refused = otb_cloud(folder, "status")
    assert (refused.returncode, refused.stderr) == (
        3,
        "otb-cloud: This computer is not connected yet. Run: otb-cloud login SERVER\n",
    )
    assert "was not connected" in otb_cloud(folder, "logout").stdout


def test_a_connected_computer_is_left_alone_unless_forced(
    service: Service, log_in: Callable[..., int], folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert log_in() == 0
    before = settings_in(folder)
    capsys.readouterr()
    assert log_in() == 0
    assert "is connected already: it is “laptop” of" in capsys.readouterr().out
    assert settings_in(folder) == before
    elsewhere = otb_cloud(folder, "login", "https://cloud.example.org")
    assert elsewhere.returncode == 2
    assert f"is connected to {service.url} as “laptop”" in elsewhere.stderr
    assert log_in(force=True, device=before["device"]) == 0
    assert "works until you revoke it" in capsys.readouterr().out
    after = settings_in(folder)
    assert (after["device"], after["token"] != before["token"]) == (before["device"], True)


def test_a_revoked_token_is_told_and_login_makes_a_new_one(
    owner: httpx2.Client, log_in: Callable[..., int], folder: Path
) -> None:
    log_in()
    device = settings_in(folder)["device"]
    (token,) = owner.get(f"/api/v1/devices/{device}/tokens").json()["tokens"]
    owner.delete(f"/api/v1/devices/{device}/tokens/{token['id']}")
    shown = otb_cloud(folder, "status")
    assert (shown.returncode, "token is not valid" in shown.stderr) == (3, True)
    assert log_in(device=device) == 0
    assert otb_cloud(folder, "status").returncode == 0


def test_refused_in_the_portal(log_in: Callable[..., int], folder: Path) -> None:
    with pytest.raises(login.Refused, match="was refused in the portal") as refused:
        log_in("refuse")
    assert refused.value.exit_code == 3
    assert settings_in(folder)["token"] == ""


def test_a_code_that_was_fetched_by_another_is_no_login(
    service: Service, owner: httpx2.Client, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = login._ask(Api(service.url), this_computer("x"))
    decide(owner, code.user_code)
    assert httpx2.post(f"{service.url}/api/v1/connect/token", json={"device_code": code.device_code}).is_success
    with pytest.raises(login.Refused, match="has expired or was used"):
        login._wait(Impatient(service.url), code)


def test_ctrl_c_while_waiting(service: Service, folder: Path) -> None:
    client = Login(folder, service.url)
    client.code()
    client.process.send_signal(signal.SIGINT)
    code, words = client.end()
    assert (code, "interrupted" in words, "Traceback" in words) == (130, True, False)


def test_the_server_goes_away_and_comes_back_while_somebody_approves(
    service: Service, owner: httpx2.Client, folder: Path
) -> None:
    client = Login(folder, service.url)
    code = client.code()
    service.kill()
    service.start()
    assert decide(owner, code).status_code == 303
    assert client.event()["connected"] is True
    assert client.end()[0] == 0


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "Say which server"),
        (("http://cloud.example.org",), 2, "is not an https address"),
        (("ftp://cloud.example.org",), 2, "is not an https address"),
        (("https://",), 2, "is not a server's address"),
        (("https://a.example/x",), 2, "is not a server's address"),
        (("http://127.0.0.1:1",), 4, "The line to http://127.0.0.1:1 failed"),
        (("--nonsense",), 2, "unrecognized arguments"),
    ],
)
def test_wrong_servers(
    folder: Path,
    arguments: tuple[str, ...],
    code: int,
    words: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OTB_CLOUD_CONFIG", str(folder))
    monkeypatch.setattr(signal, "signal", lambda *_: None)
    try:
        ended = cli.main(["login", *arguments])
    except SystemExit as e:
        ended = int(str(e.code))
    assert (ended, words in capsys.readouterr().err) == (code, True)


def test_settings_that_cannot_be_written_cost_no_code(service: Service, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    done = otb_cloud(tmp_path / "file" / "settings", "login", service.url)
    assert (done.returncode, "settings" in done.stderr) == (2, True)
    assert "type the code" not in done.stdout


class Misbehaving(ThreadingHTTPServer):
    """A server that answers what it is told, in order, then the last again; `asked` has the times of the polls."""

    def __init__(self, answers: list[tuple[int, object]]) -> None:
        self.answers = answers
        self.asked: list[str] = []
        super().__init__(("127.0.0.1", free_port()), _Handler)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}"


class _Handler(BaseHTTPRequestHandler):
    server: Misbehaving

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.asked.append(self.path)
        status, body = self.server.answers.pop(0) if len(self.server.answers) > 1 else self.server.answers[0]
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def misbehave() -> Iterator[Callable[..., Misbehaving]]:
    servers: list[Misbehaving] = []

    def start(*answers: tuple[int, object]) -> Misbehaving:
        server = Misbehaving(list(answers))
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,)).start()
        return server

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


GOOD = {
    "device_code": "d",
    "user_code": "BCDF-GHJK",
    "verification_uri": "http://127.0.0.1/connect",
    "verification_uri_complete": "http://127.0.0.1/connect?code=BCDF-GHJK",
    "expires_in": 600,
    "interval": 0,
}
TOKEN = {"token": "otbd_x", "device": {"id": "1", "name": "laptop\x1b[2J"}, "tenant": "\u202eevil"}


def pending(error: str, **more: object) -> tuple[int, object]:
    return 400, {"error": error, "detail": "Not yet.", **more}


def test_the_pace_is_the_servers(misbehave: Callable[..., Misbehaving], monkeypatch: pytest.MonkeyPatch) -> None:
    server = misbehave(
        (201, GOOD | {"interval": 1}),
        pending("authorization_pending"),
        pending("slow_down", interval=7),
        pending("slow_down"),
        (503, {}),
        pending("authorization_pending"),
        pending("slow_down", interval=10**9),
        (200, TOKEN),
    )
    api = Api(server.url)
    waited: list[float] = []
    monkeypatch.setattr(api.stop, "wait", waited.append)
    assert login._wait(api, login._ask(api, this_computer("x"))) == TOKEN
    assert waited == [1, 1, 7, 12, 12, 12, login.INTERVAL_SECONDS_MAX]


def test_a_line_that_fails_is_tried_until_the_code_is_over(
    misbehave: Callable[..., Misbehaving], monkeypatch: pytest.MonkeyPatch
) -> None:
    server = misbehave((201, GOOD))
    code = login._ask(Api(server.url), this_computer("x"))
    nowhere = Api(f"http://127.0.0.1:{free_port()}")
    ticks = itertools.count(0.0, 200.0)
    monkeypatch.setattr("otb_client.login.time.monotonic", lambda: next(ticks))
    monkeypatch.setattr(nowhere.stop, "wait", lambda seconds: False)
    with pytest.raises(LineFailed):
        login._wait(nowhere, code)


@pytest.mark.parametrize(
    "answer",
    [
        (201, b"<html>"),
        (201, []),
        (201, {}),
        (201, GOOD | {"user_code": 7}),
        (201, GOOD | {"expires_in": "soon"}),
        (302, {}),
    ],
)
def test_an_answer_that_is_none_is_told(misbehave: Callable[..., Misbehaving], answer: tuple[int, object]) -> None:
    with pytest.raises(BadAnswer):
        login._ask(Api(misbehave(answer).url), this_computer("x"))


def test_a_token_that_is_none_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTB_CLOUD_CONFIG", str(folder))
    broken: dict[str, Any]
    for broken in ({}, TOKEN | {"token": ""}, TOKEN | {"device": "1"}):
        with pytest.raises(BadAnswer, match="holds no token"):
            login._keep(config.Config(), "http://127.0.0.1", broken, Output())
    assert not folder.exists()


def test_what_a_server_says_cannot_play_with_the_terminal(misbehave: Callable[..., Misbehaving], folder: Path) -> None:
    hostile = GOOD | {"user_code": "\x1b]0;x\x07", "verification_uri": "http://127.0.0.1/\x1b[31m"}
    done = otb_cloud(folder, "login", misbehave((201, hostile), (200, TOKEN)).url)
    assert done.returncode == 0, done.stderr
    assert not {"\x1b", "\x07", "\u202e"} & set(done.stdout + done.stderr)


def test_no_browser_is_opened_for_another_address(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    for page in ("file:///etc/passwd", "http://evil.example/connect", "https://cloud.example.evil.example/"):
        login._open(login.Code("d", "c", page, page, 600, 3), "https://cloud.example")
    assert opened == []
    login._open(login.Code("d", "c", "", "https://cloud.example/connect?code=x", 600, 3), "https://cloud.example")
    assert opened == ["https://cloud.example/connect?code=x"]


def test_a_browser_is_opened_where_somebody_sees_it() -> None:
    assert can_open_browser({"DISPLAY": ":0"}, "linux")
    assert can_open_browser({"WAYLAND_DISPLAY": "wayland-0"}, "linux")
    assert can_open_browser({}, "darwin")
    assert can_open_browser({}, "win32")
    assert not can_open_browser({}, "linux")
    assert not can_open_browser({"DISPLAY": ":10", "SSH_CONNECTION": "x"}, "linux")


@pytest.mark.parametrize(("chassis", "kind"), [("10\n", "laptop"), ("3", "homepc"), ("23", "server"), ("x", "other")])
def test_the_kind_of_box(tmp_path: Path, chassis: str, kind: str) -> None:
    (tmp_path / "chassis_type").write_text(chassis)
    assert linux_kind(tmp_path / "chassis_type") == kind
    assert linux_kind(tmp_path / "none") == "other"


def test_the_name_is_one_that_the_server_takes() -> None:
    assert clean_name(" ann's\tPC ") == "ann'sPC"
    assert clean_name("\x1b\u202e") == "computer"
    assert len(clean_name("x" * 500)) == 100
    assert this_computer().name
    assert this_computer("n", "linux").system == "linux"


def test_sizes_and_texts() -> None:
    sizes = [0, 1, 1023, 1024, 1536, 10 * 1024, 1 << 20, (1 << 20) - 1, 331 << 30, 1 << 40]
    texts = [size_text(size) for size in sizes]
    assert texts == ["0 bytes", "1 byte", "1023 bytes", "1 KB", "1.5 KB", "10 KB", "1 MB", "1 MB", "331 GB", "1 TB"]
    assert printable("a\x07b\u202ec é") == "a\N{REPLACEMENT CHARACTER}b\N{REPLACEMENT CHARACTER}c é"


def test_a_bad_answer_is_no_device() -> None:
    with pytest.raises(BadAnswer):
        login._name_and_account({"device": None, "tenant": {}})
