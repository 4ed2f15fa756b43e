"""tools/setup on machines that lack something; Debian's programs are played by scripts that write down their call."""

import os
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
NEEDED_TO_RUN = "bubblewrap ffmpeg mariadb-client mariadb-client-core mariadb-server-core"

# Everything that the script itself uses, and nothing that it may install.
SHELL_TOOLS = (
    *("sh", "env", "dirname", "uname", "sort", "tr", "id", "mkdir", "cut", "flock", "tail", "grep", "sleep"),
    *("rm", "mv", "find", "cksum", "printf", "python3", "cat", "touch", "chmod", "echo"),
)

APT_GET = """#!/bin/sh
echo "apt-get $* frontend=$DEBIAN_FRONTEND runlevel=$RUNLEVEL offline=$SYSTEMD_OFFLINE" >>"$CALLS"
case "$*" in
    *update*) [ ! -e "$FOLDER/no-network" ] || { echo "E: no network here"; exit 100; } ;;
    *install*) [ -e "$FOLDER/broken" ] ||
        for name in mariadb-install-db mariadbd my_print_defaults mariadb-dump ffmpeg bwrap; do
        printf '#!/bin/sh\\n' >"$FOLDER/bin/$name"; chmod +x "$FOLDER/bin/$name"
    done ;;
esac
"""
UV = """#!/bin/sh
[ "$1" != --version ] || { echo "uv 0.13.9"; exit; }
echo "uv $* cache=$UV_CACHE_DIR downloads=$UV_PYTHON_DOWNLOADS" >>"$CALLS"
[ "$1" != build ] || { [ ! -e "$FOLDER/no-hatchling" ] || { echo "no hatchling here"; exit 2; }
    mkdir web/client.new; touch web/client.new/otb_cloud_client-0.1.0-py3-none-any.whl; }
"""
BUILD_CLIENT = "uv build --wheel --out-dir web/client.new tools/upload"

BUILD = """#!/bin/sh
echo "build" >>"$CALLS"
[ ! -e "$FOLDER/no-npm" ] || { echo "npm error network"; exit 1; }
"""


class Machine:
    """A checkout with nothing but tools/setup and a uv, on a machine that holds only the programs in `bin`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.checkout = folder / "checkout with a space"
        (folder / "bin").mkdir()
        (self.checkout / "tools").mkdir(parents=True)
        # PATH alone does not hide the programs of /usr/sbin, which the script looks for as well.
        text = (ROOT / "tools" / "setup").read_text().replace("PATH=$PATH:/usr/sbin:/sbin", "")
        self.program("apt-get", APT_GET)
        self._write(self.checkout / "tools" / "setup", text)
        (self.checkout / "web" / "browser").mkdir(parents=True)
        self._write(self.checkout / "web" / "browser" / "build", BUILD)
        self.client_source = self.checkout / "tools" / "upload" / "main.py"
        self.client_source.parent.mkdir()
        self.client_source.write_text("first")
        (self.checkout / ".uv" / "bin").mkdir(parents=True)
        self._write(self.checkout / ".uv" / "bin" / "uv", UV)
        for name in SHELL_TOOLS:
            found = subprocess.run(["sh", "-c", f"command -v {name}"], capture_output=True, text=True, check=True)
            if found.stdout.startswith("/"):
                (folder / "bin" / name).symlink_to(found.stdout.strip())

    def program(self, name: str, text: str) -> None:
        path = self.folder / "bin" / name
        path.unlink(missing_ok=True)
        self._write(path, text)

    def setup(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        environ = {
            "PATH": str(self.folder / "bin"),
            "HOME": os.environ["HOME"],
            "CALLS": str(self.folder / "calls"),
            "FOLDER": str(self.folder),
        }
        command = [str(self.checkout / "tools" / "setup"), *arguments]
        return subprocess.run(command, env=environ, cwd="/", capture_output=True, text=True, check=False, timeout=60)

    def calls(self) -> list[str]:
        file = self.folder / "calls"
        return file.read_text().splitlines() if file.exists() else []

    def is_user(self, number: int) -> None:
        self.program("id", f'#!/bin/sh\n[ "$1" = -u ] && echo {number} || echo somebody\n')

    def _write(self, path: Path, text: str) -> None:
        path.write_text(text)
        path.chmod(0o755)


@pytest.fixture
def machine(tmp_path: Path) -> Machine:
    made = Machine(tmp_path)
    made.is_user(0)
    return made


def test_what_is_missing_is_installed_without_questions_and_without_starting_a_service(machine: Machine) -> None:
    done = machine.setup("run")
    assert done.returncode == 0, done.stderr
    update, install, sync, build, client = machine.calls()
    assert "update" in update
    assert f"install --no-install-recommends {NEEDED_TO_RUN} " in install
    for call in (update, install):
        assert "-o DPkg::Lock::Timeout=" in call
        assert "frontend=noninteractive runlevel=1 offline=1" in call
    assert sync == f"uv sync --frozen cache={machine.checkout}/.uv/cache downloads=never"
    assert build == "build"
    assert client.startswith(BUILD_CLIENT)
    assert [file.suffix for file in (machine.checkout / "web" / "client").glob("otb*")] == [".whl"]
    assert f"Installing Debian packages: {NEEDED_TO_RUN}\n" in done.stderr


def test_a_second_time_installs_nothing_and_says_nothing(machine: Machine) -> None:
    machine.setup("run")
    before = len(machine.calls())
    (machine.checkout / "web" / "static" / "built").mkdir(parents=True)
    (machine.checkout / "web" / "static" / "built" / ".stamp").touch()
    done = machine.setup("run")
    assert (done.returncode, done.stdout) == (0, "")
    assert "npm" not in done.stderr
    sync = f"uv sync --frozen cache={machine.checkout}/.uv/cache downloads=never"
    assert machine.calls()[before:] == [sync, "build"]


def test_the_client_is_built_again_when_its_source_changed_and_only_then(machine: Machine) -> None:
    machine.setup("run")
    built = []
    for change in (lambda: None, lambda: machine.client_source.write_text("second"), machine.client_source.unlink):
        before = len(machine.calls())
        change()
        assert machine.setup("run").returncode == 0
        built.append(any(call.startswith(BUILD_CLIENT) for call in machine.calls()[before:]))
    assert built == [False, True, True]
    machine.client_source.write_text("third")
    (machine.folder / "no-hatchling").touch()
    done = machine.setup("run")
    assert done.returncode == 1
    assert "Building otb-cloud failed." in done.stderr
    assert "no hatchling here" in done.stderr
    assert (machine.checkout / "web" / "client").is_dir()


def test_npm_that_fails_shows_its_words(machine: Machine) -> None:
    (machine.folder / "no-npm").touch()
    done = machine.setup("run")
    assert done.returncode == 1
    assert "npm error network" in done.stderr
    assert "Bundling what the pages need from npm failed." in done.stderr


def test_without_root_a_sentence_says_what_to_run(machine: Machine) -> None:
    machine.is_user(1000)
    done = machine.setup("run")
    assert done.returncode == 1
    assert f"As root, run\n\n    apt-get install -y --no-install-recommends {NEEDED_TO_RUN}\n" in done.stderr
    assert machine.calls() == []


def test_without_apt_a_sentence_says_so(machine: Machine) -> None:
    (machine.folder / "bin" / "apt-get").unlink()
    done = machine.setup("run")
    assert done.returncode == 1
    assert "this machine has no apt-get" in done.stderr


def test_a_failing_apt_shows_its_words(machine: Machine) -> None:
    (machine.folder / "no-network").touch()
    done = machine.setup("run")
    assert done.returncode == 1
    assert "E: no network here" in done.stderr
    assert "Updating the package lists failed." in done.stderr


def test_a_package_that_does_not_bring_its_program_is_not_passed_over(machine: Machine) -> None:
    (machine.folder / "broken").touch()
    done = machine.setup("run")
    assert done.returncode == 1
    assert f"Still missing after the installation: {NEEDED_TO_RUN}" in done.stderr


def test_the_package_lists_locked_by_another_are_waited_for(machine: Machine) -> None:
    locked = 'case "$*" in *update*) [ -e "$FOLDER/seen" ] || { touch "$FOLDER/seen"; '
    locked += 'echo "E: Could not get lock /var/lib/apt/lists/lock."; exit 100; } ;; esac'
    machine.program("apt-get", APT_GET.replace("#!/bin/sh\n", f"#!/bin/sh\n{locked}\n"))
    done = machine.setup("run")
    assert done.returncode == 0, done.stderr
    assert "Waiting for another program that is updating the package lists" in done.stderr


def test_the_tests_need_more_than_a_run(machine: Machine) -> None:
    machine.is_user(1000)
    done = machine.setup("test")
    packages = "chromium-headless-shell zstd b3sum unzip p7zip-full strace fuse3 nginx-light"
    for package in packages.split():
        assert package in done.stderr


def test_an_unknown_word_shows_the_usage(machine: Machine) -> None:
    for arguments in ((), ("everything",)):
        done = machine.setup(*arguments)
        assert (done.returncode, done.stderr) == (1, "usage: tools/setup run|test|bench\n")
