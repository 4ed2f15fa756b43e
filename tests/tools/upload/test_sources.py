"""Which folders are backed up without being named: the device's, once somebody here agreed to each."""

import os
import pty
import subprocess
from pathlib import Path

from tests.tools.upload.computer import Computer


def declare(computer: Computer, *folders: Path | str) -> None:
    """In the portal."""
    answer = computer.device.client.patch(
        f"/api/v1/devices/{computer.device.id}", json={"source_directories": [str(folder) for folder in folders]}
    )
    assert answer.status_code == 200, answer.text


def with_file(folder: Path) -> Path:
    folder.mkdir(parents=True)
    (folder / "file").write_text(str(folder))
    return folder


def test_an_unconfirmed_folder_is_skipped_told_and_exit_code_1(computer: Computer) -> None:
    wanted = with_file(computer.home / "Pictures")
    declare(computer, wanted)

    done = computer.run("upload", "--json")

    assert done.code == 1
    assert [event["path"] for event in done.named("unconfirmed")] == [str(wanted)]
    assert f"otb-cloud sources --confirm {wanted}" in done.err
    assert computer.manifests() == []


def test_a_confirmed_folder_is_backed_up_and_one_declared_later_is_not(computer: Computer) -> None:
    wanted, private = with_file(computer.home / "Pictures"), with_file(computer.home / "private")
    declare(computer, wanted)
    assert computer.run("sources").code == 1
    assert computer.run("sources", "--confirm", str(wanted)).code == 0
    assert computer.run("upload").code == 0
    declare(computer, wanted, private, "/")  # the portal was hijacked

    done = computer.run("upload", "--json")

    assert done.code == 1
    assert len(done.named("unconfirmed")) == 2
    assert set(computer.listing()) == {"Pictures"}


def test_home_is_this_users(computer: Computer) -> None:
    wanted = with_file(computer.home / "Pictures")
    declare(computer, "~/Pictures")
    assert computer.run("sources", "--confirm", "~/Pictures").out.split()[-1] == str(wanted)
    assert computer.run("upload").code == 0
    assert computer.content(wanted / "file") == str(wanted).encode()


def test_only_what_was_declared_can_be_confirmed_and_it_can_be_revoked(computer: Computer) -> None:
    wanted = with_file(computer.home / "Pictures")
    declare(computer, wanted)
    assert computer.run("sources", "--confirm", str(computer.home)).code == 2
    assert computer.run("sources", "--confirm", str(wanted)).code == 0
    assert computer.run("sources", "--revoke", str(wanted)).code == 1
    assert computer.run("upload").code == 1


def test_the_settings_stay_readable_by_their_owner_alone(computer: Computer) -> None:
    wanted = with_file(computer.home / "Pictures")
    declare(computer, wanted)
    (computer.settings / "config.json").chmod(0o644)
    computer.run("sources", "--confirm", str(wanted))
    assert (computer.settings / "config.json").stat().st_mode & 0o777 == 0o600


def test_no_folder_declared_and_none_given(computer: Computer) -> None:
    done = computer.run("upload")
    assert done.code == 2
    assert "No folder is named" in done.err


def answered(computer: Computer, text: bytes) -> int:
    """`otb-cloud upload` on a terminal where somebody types this; its exit code."""
    parent, child = pty.openpty()
    process = subprocess.Popen(
        computer.command("upload"), env=computer.environ, stdin=child, stdout=subprocess.PIPE, stderr=child
    )
    os.close(child)
    os.write(parent, text)
    process.communicate(timeout=60)
    os.close(parent)
    return process.returncode


def test_on_a_terminal_it_asks_and_only_yes_is_yes(computer: Computer) -> None:
    wanted = with_file(computer.home / "Pictures")
    declare(computer, wanted)
    assert answered(computer, b"\n") == 1
    assert answered(computer, b"n\n") == 1
    assert computer.manifests() == []
    assert answered(computer, b"y\n") == 0
    assert computer.run("upload").code == 0
    assert len(computer.manifests()) == 1
