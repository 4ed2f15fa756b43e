"""Connect this computer as a customer does it: the line of the page really run, the code approved in a real browser
through the portal, and then the program used.
"""

import os
import queue
import re
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx2
import pytest
from playwright.sync_api import Page, expect

from tests.browser.test_portal import Portal, portal  # noqa: F401 - `portal` is a fixture
from tests.browser.watch import DESK, PHONE, Watched
from tests.shared.portal import handoff, new_person
from tools.standin.people import EMPTY_OWNER

Window = Callable[..., Watched]

INSTALL_SECONDS_MAX = 300
CODE = re.compile(r"[A-Z]{4}-[A-Z]{4}")


class Terminal:
    """A shell of the customer's: a home of its own, no screen, and nothing of ours on the PATH."""

    def __init__(self, home: Path) -> None:
        self.home = home
        home.mkdir()
        hidden = {
            "DISPLAY",
            "WAYLAND_DISPLAY",
            "SSH_CONNECTION",
            "XDG_DATA_HOME",
            "XDG_CONFIG_HOME",
            "OTB_CLOUD_CONFIG",
        }
        kept = {name: value for name, value in os.environ.items() if name not in hidden}
        own = Path.home() / ".config" / "pip" / "pip.conf"
        index = {"PIP_CONFIG_FILE": str(own)} if own.exists() and "PIP_CONFIG_FILE" not in kept else {}
        self.environ = kept | index | {"HOME": str(home), "PATH": "/usr/local/bin:/usr/bin:/bin"}

    def run(self, line: str) -> subprocess.CompletedProcess[str]:
        """Run a line to its end."""
        return subprocess.run(
            ["sh", "-c", line], env=self.environ, cwd=self.home, capture_output=True, text=True, check=False,
            timeout=INSTALL_SECONDS_MAX,
        )  # fmt: skip

    def start(self, line: str) -> "Running":
        """Run a line that waits for somebody."""
        return Running(line, self.environ, self.home)


class Running:
    """A line that runs; what it prints is read as it comes."""

    def __init__(self, line: str, environ: dict[str, str], home: Path) -> None:
        self.process = subprocess.Popen(
            ["sh", "-c", line], env=environ, cwd=home, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: list[str] = []
        self._codes: queue.Queue[str | None] = queue.Queue()
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def code(self) -> str:
        """The code that it shows."""
        code = self._codes.get(timeout=INSTALL_SECONDS_MAX)
        assert code is not None, "".join(self.lines)
        return code

    def end(self) -> tuple[int, str]:
        """Wait; its exit code and all that it printed."""
        status = self.process.wait(INSTALL_SECONDS_MAX)
        self._reader.join()
        return status, "".join(self.lines)

    def _read(self) -> None:
        assert self.process.stdout is not None
        with self.process.stdout as stream:
            for line in stream:
                self.lines.append(line)
                if CODE.fullmatch(line.strip()):
                    self._codes.put(line.strip())
        self._codes.put(None)


def ask(url: str, name: str = "ann-laptop") -> str:
    """A computer asks; its code."""
    answer = httpx2.post(f"{url}/api/v1/connect", json={"name": name, "system": "macos", "kind": "laptop"})
    assert answer.status_code == 201, answer.text
    return str(answer.json()["user_code"])


@pytest.fixture
def owner(portal: Portal, open_window: Window) -> Callable[..., Watched]:  # noqa: F811
    """`owner(width=…)`: a window of a new account's owner, on the page."""

    def opened(**look: Any) -> Watched:
        window = open_window(**look)
        service = portal.service
        window.page.goto(f"{service.url}/auth/handoff?token={handoff(service.settings, new_person())}")
        window.page.goto(f"{service.url}/connect")
        return window

    return opened


def press_until(page: Page, name: str, key: str = "Tab") -> None:
    """Press the key until what has the focus is called so."""
    for _ in range(60):
        page.keyboard.press(key)
        if page.evaluate("document.activeElement.textContent.trim()") == name:
            return
    raise AssertionError(f"The keyboard does not reach “{name}”.")


def wrong_wheel_is_not_installed(terminal: Terminal, url: str) -> None:
    """Another wheel than the script names, as somebody in between could send it; what is there goes on working."""
    script = httpx2.get(f"{url}/connect/install.sh").text
    digest = re.findall(r"sha256=([0-9a-f]{64})", script)[0]
    done = terminal.run(f"cat <<'END' | sh\n{script.replace(digest, '0' * 64)}\nEND")
    assert (done.returncode, "pip could not install otb-cloud" in done.stderr) == (1, True), done.stderr
    assert "sha256" in done.stderr.lower()
    assert terminal.run('"$HOME/.local/bin/otb-cloud" status').returncode == 0


def test_the_line_of_the_page_and_a_browser_connect_a_computer(
    portal: Portal,  # noqa: F811
    open_window: Window,
    tmp_path: Path,
) -> None:
    url = portal.service.url
    terminal = Terminal(tmp_path / "home of ann")
    line = f"curl -fsSL {url}/connect/install.sh | sh"
    installing = terminal.start(line)
    window = open_window(DESK)
    window.expected_statuses = {401}
    page = window.page
    code = installing.code()
    page.goto(f"{url}/connect?code={code}")
    expect(page.get_by_role("heading", level=1)).to_have_text("Sign in to connect your computer")
    window.check_accessible()
    page.get_by_role("link", name="Go to the Client Portal").click()
    page.get_by_role("button", name=re.compile(re.escape(EMPTY_OWNER.name))).click()
    page.wait_for_url(f"{url}/connect?code={code}")
    expect(page.get_by_text(code)).to_be_visible()
    expect(page.get_by_text("Approve only what you started yourself.")).to_be_visible()
    window.check_accessible()
    page.get_by_label("Its name").fill("Ann’s laptop")
    press_until(page, "Approve")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Approved. The computer finishes connecting by itself")).to_be_visible()
    expect(page.get_by_role("heading", level=1)).to_have_text("Ann’s laptop")
    status, said = installing.end()
    assert status == 0, said
    assert "Connected: this computer is “Ann’s laptop” of" in said
    assert ".local/bin is not on your PATH" in said
    assert (terminal.home / ".config" / "otb-cloud" / "config.json").stat().st_mode & 0o777 == 0o600

    shown = terminal.run('"$HOME/.local/bin/otb-cloud" status')
    assert shown.returncode == 0, shown.stderr
    assert f"Server       {url}" in shown.stdout
    assert "Ann’s laptop: 0 files" in shown.stdout
    again = terminal.run(line)
    assert again.returncode == 0, again.stderr
    assert "is connected already" in again.stdout

    wrong_wheel_is_not_installed(terminal, url)

    page.reload()
    revoke = page.get_by_role("button", name=re.compile("^Revoke "))
    revoke.click()
    page.get_by_role("dialog").get_by_role("button", name="Revoke").click()
    expect(page.get_by_text("The token was revoked.")).to_be_visible()
    refused = terminal.run('"$HOME/.local/bin/otb-cloud" status')
    assert (refused.returncode, "token is not valid" in refused.stderr) == (3, True)


def test_half_a_script_does_nothing(portal: Portal, tmp_path: Path) -> None:  # noqa: F811
    terminal = Terminal(tmp_path / "home")
    script = httpx2.get(f"{portal.service.url}/connect/install.sh").text
    for part in (0.3, 0.6, 0.95):
        half = script[: int(len(script) * part)]
        terminal.run(f"cat <<'END' | sh\n{half}\nEND")
    assert list(terminal.home.iterdir()) == []


def test_without_python_it_says_what_is_missing(portal: Portal, tmp_path: Path) -> None:  # noqa: F811
    terminal = Terminal(tmp_path / "home")
    tools = tmp_path / "bin"
    tools.mkdir()
    for name in ("sh", "mkdir", "curl", "cat"):
        (tools / name).symlink_to(terminal.run(f"command -v {name}").stdout.strip())
    terminal.environ["PATH"] = str(tools)
    done = terminal.run(f"curl -fsSL {portal.service.url}/connect/install.sh | sh")
    assert done.returncode == 1
    assert "needs Python 3.9 or newer" in done.stderr


@pytest.mark.parametrize(("width", "dark"), [(DESK, False), (PHONE, True)])
def test_a_code_is_typed_by_keyboard_and_refused(
    portal: Portal,  # noqa: F811
    owner: Callable[..., Watched],
    width: int,
    dark: bool,
) -> None:
    code = ask(portal.service.url)
    window = owner(width=width, dark=dark)
    window.expected_statuses = {404}
    page = window.page
    window.check_fits()
    window.check_accessible()
    field = page.get_by_label("Code", exact=True)
    field.focus()
    page.keyboard.type("bcdf ghjk")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("No computer waits with this code")
    expect(field).to_be_focused()
    window.check_accessible()
    field.select_text()
    page.keyboard.type(code.lower().replace("-", ""))
    page.keyboard.press("Enter")
    expect(page.get_by_role("heading", level=1)).to_have_text("Connect ann-laptop?")
    window.check_fits()
    window.check_accessible()
    press_until(page, "Refuse")
    page.keyboard.press("Enter")
    expect(page.get_by_text("Refused. That computer gets nothing.")).to_be_visible()
    expect(page).to_have_url(f"{portal.service.url}/connect")


def test_a_device_that_is_there_needs_no_name(portal: Portal, owner: Callable[..., Watched]) -> None:  # noqa: F811
    url = portal.service.url
    page = owner(width=PHONE).page
    for number, code in enumerate((ask(url), ask(url))):
        page.goto(f"{url}/connect?code={code}")
        name = page.get_by_label("Its name")
        if number == 0:
            expect(name).to_have_value("ann-laptop")
        else:
            expect(page.get_by_role("radio", name="ann-laptop")).to_be_checked()
            expect(name).to_be_hidden()
            page.get_by_role("radio", name="A new device").check(force=True)
            expect(name).to_be_visible()
            page.get_by_role("radio", name="ann-laptop").check(force=True)
        page.get_by_role("button", name="Approve").click()
        expect(page.get_by_role("heading", level=1)).to_have_text("ann-laptop")
    page.goto(f"{url}/devices")
    expect(page.get_by_role("link", name="ann-laptop", exact=True)).to_have_count(1)


def test_without_scripts_all_of_it_works(portal: Portal, owner: Callable[..., Watched]) -> None:  # noqa: F811
    page = owner(scripts=False).page
    expect(page.get_by_role("button", name=re.compile("^Copy"))).to_have_count(0)
    page.get_by_label("Code", exact=True).fill(ask(portal.service.url))
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("button", name="Approve").click()
    expect(page.get_by_text("Approved.")).to_be_visible()


def test_the_copy_button_copies_the_line(portal: Portal, owner: Callable[..., Watched]) -> None:  # noqa: F811
    page = owner().page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.get_by_role("button", name="Copy the line for Linux and macOS").click()
    expect(page.get_by_text("Copied")).to_be_attached()
    line = f"curl -fsSL {portal.service.url}/connect/install.sh | sh"
    assert page.evaluate("navigator.clipboard.readText()") == line


def test_the_ways_there(portal: Portal, owner: Callable[..., Watched]) -> None:  # noqa: F811
    page = owner().page
    for address in ("/", "/devices"):
        page.goto(portal.service.url + address)
        page.get_by_role("link", name=re.compile("^connect this computer$", re.IGNORECASE)).click()
        expect(page.get_by_role("heading", level=1)).to_have_text("Connect this computer")
