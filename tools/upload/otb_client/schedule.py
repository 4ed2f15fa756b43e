"""`otb-cloud schedule`: a daily backup by the system's own means: systemd's user timer, launchd, or the Task Scheduler.

What is written is text made by pure functions, and only this user's: nothing needs an administrator's rights. A run
that was missed, because the computer slept, is made up for on all three.
"""

import argparse
import os
import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple
from xml.sax.saxutils import escape

from otb_client import config
from otb_client.errors import DONE, FAILED, ClientError, UsageError

NAME = "otb-cloud-upload"
LAUNCHD_LABEL = "top.outsidethebox.otb-cloud.upload"
SPREAD_SECONDS = 600
"""All customers' computers must not begin in the same second."""
COMMAND_SECONDS_MAX = 60
_TIME = re.compile(r"([01]?\d|2[0-3]):([0-5]\d)", re.ASCII)


class Daily(NamedTuple):
    """A time of the day, local."""

    hour: int
    minute: int

    def __str__(self) -> str:
        return f"{self.hour:02d}:{self.minute:02d}"


class Entry(NamedTuple):
    """What one system needs: files to write, commands to enable, and to remove. `shown` is run for `--show`."""

    files: tuple[tuple[Path, bytes], ...]
    enable: tuple[tuple[str, ...], ...]
    disable: tuple[tuple[str, ...], ...]
    show: tuple[str, ...]


def add_parser(subparsers: Any) -> None:
    """The command's options."""
    parser = subparsers.add_parser(
        "schedule",
        help="back up every day by itself",
        description="Writes an entry of the system's own scheduler that runs otb-cloud upload every day.",
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--daily", type=parse_daily, metavar="HH:MM", help="at this time, local; later if it was missed")
    what.add_argument("--remove", action="store_true", help="no more")
    what.add_argument("--show", action="store_true", help="what is scheduled now")
    parser.add_argument("--print", action="store_true", dest="only_print", help="only print what would be written")


def parse_daily(text: str) -> Daily:
    """`20:00`. Raises argparse's error."""
    match = _TIME.fullmatch(text.strip())
    if match is None:
        raise argparse.ArgumentTypeError(f"{text!r} is not a time of the day such as 20:00")
    return Daily(int(match.group(1)), int(match.group(2)))


def run(args: argparse.Namespace) -> int:
    """Write, remove or show the entry of this system."""
    at = args.daily or Daily(0, 0)
    entry = entry_for(sys.platform, at, upload_command(), Path.home(), _environment())
    if args.only_print:
        for file, text in entry.files:
            print(f"# {file}\n{text.decode('utf-16' if file.suffix == '.xml' else 'utf-8')}")
        return DONE
    if args.show:
        return _show(entry)
    if args.remove:
        _disable(entry)
        print("No backup is scheduled any more.")
        return DONE
    config.load_connected()
    for file, text in entry.files:
        _write(file, text)
    for command in entry.enable:
        _call(command)
    print(f"Backed up every day at {at}, beginning up to {SPREAD_SECONDS // 60} minutes later.")
    return DONE


def upload_command() -> list[str]:
    """How this very program is started again."""
    return [sys.executable, "-m", "otb_client", "upload"]


def entry_for(platform: str, at: Daily, command: Sequence[str], home: Path, environ: dict[str, str]) -> Entry:
    """The entry for a platform as `sys.platform` names it. Raises `UsageError` where no scheduler is known."""
    if platform == "win32":
        return _task_scheduler(at, command, environ)
    if platform == "darwin":
        return _launchd(at, command, home, environ)
    if platform.startswith("linux"):
        return _systemd(at, command, home, environ)
    raise UsageError(f"No scheduler is known for {platform}. Let cron run: {' '.join(command)}")


def _environment() -> dict[str, str]:
    """What the scheduled run needs of this one's environment."""
    given = os.environ.get(config.CONFIG_VARIABLE)
    return {config.CONFIG_VARIABLE: os.path.abspath(given)} if given else {}  # noqa: PTH100


# -- systemd ----------------------------------------------------------------------------------------------------------


def _systemd(at: Daily, command: Sequence[str], home: Path, environ: dict[str, str]) -> Entry:
    folder = home / ".config" / "systemd" / "user"
    lines = "".join(f"Environment={_systemd_quoted(f'{name}={value}')}\n" for name, value in environ.items())
    words = " ".join(_systemd_quoted(word) for word in command)
    service = (
        "[Unit]\nDescription=Backup to OTB Cloud\nWants=network-online.target\nAfter=network-online.target\n\n"
        f"[Service]\nType=oneshot\n{lines}ExecStart={words}\n"
        # 1 means that some files could not be read: told in the log, and no failed unit.
        "SuccessExitStatus=1\nNice=10\nIOSchedulingClass=idle\n"
    )
    timer = (
        "[Unit]\nDescription=Daily backup to OTB Cloud\n\n"
        f"[Timer]\nOnCalendar=*-*-* {at}:00\nPersistent=true\nRandomizedDelaySec={SPREAD_SECONDS}\n\n"
        "[Install]\nWantedBy=timers.target\n"
    )
    control = ("systemctl", "--user")
    return Entry(
        ((folder / f"{NAME}.service", service.encode()), (folder / f"{NAME}.timer", timer.encode())),
        ((*control, "daemon-reload"), (*control, "enable", "--now", f"{NAME}.timer")),
        ((*control, "disable", "--now", f"{NAME}.timer"),),
        (*control, "list-timers", "--all", f"{NAME}.timer"),
    )


def _systemd_quoted(word: str) -> str:
    """systemd.syntax(7): double quotes, backslashes; `%` and `$` doubled."""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%").replace("$", "$$")
    if "\n" in word:
        raise UsageError(f"A path with a line feed cannot be scheduled: {word!r}.")
    return f'"{escaped}"'


# -- launchd ----------------------------------------------------------------------------------------------------------


def _launchd(at: Daily, command: Sequence[str], home: Path, environ: dict[str, str]) -> Entry:
    import plistlib  # noqa: PLC0415

    file = home / "Library" / "LaunchAgents" / f"{LAUNCHD_LABEL}.plist"
    log = str(home / "Library" / "Logs" / f"{NAME}.log")
    text = plistlib.dumps(
        {
            "Label": LAUNCHD_LABEL,
            "ProgramArguments": list(command),
            "EnvironmentVariables": dict(environ),
            "StartCalendarInterval": {"Hour": at.hour, "Minute": at.minute},
            "ProcessType": "Background",
            "LowPriorityIO": True,
            "StandardOutPath": log,
            "StandardErrorPath": log,
        }
    )
    return Entry(
        ((file, text),),
        (("launchctl", "unload", str(file)), ("launchctl", "load", "-w", str(file))),
        (("launchctl", "unload", "-w", str(file)),),
        ("launchctl", "list", LAUNCHD_LABEL),
    )


# -- Task Scheduler ---------------------------------------------------------------------------------------------------

_TASK = """<?xml version="1.0" encoding="UTF-16"?>
<Task version="1.2" xmlns="http://schemas.microsoft.com/windows/2004/02/mit/task">
  <RegistrationInfo><Description>Daily backup to OTB Cloud</Description></RegistrationInfo>
  <Triggers>
    <CalendarTrigger>
      <StartBoundary>2024-01-01T{at}:00</StartBoundary>
      <RandomDelay>PT{spread}S</RandomDelay>
      <ScheduleByDay><DaysInterval>1</DaysInterval></ScheduleByDay>
    </CalendarTrigger>
  </Triggers>
  <Settings>
    <MultipleInstancesPolicy>IgnoreNew</MultipleInstancesPolicy>
    <DisallowStartIfOnBatteries>false</DisallowStartIfOnBatteries>
    <StopIfGoingOnBatteries>false</StopIfGoingOnBatteries>
    <StartWhenAvailable>true</StartWhenAvailable>
    <RunOnlyIfNetworkAvailable>true</RunOnlyIfNetworkAvailable>
    <ExecutionTimeLimit>PT0S</ExecutionTimeLimit>
    <Priority>8</Priority>
  </Settings>
  <Actions><Exec><Command>{command}</Command><Arguments>{arguments}</Arguments></Exec></Actions>
</Task>
"""


def _task_scheduler(at: Daily, command: Sequence[str], environ: dict[str, str]) -> Entry:
    if environ:
        # A task has no environment of its own.
        assigned = " && ".join(f'set "{name}={value}"' for name, value in environ.items())
        command = ["cmd.exe", "/d", "/s", "/c", f'"{assigned} && {subprocess.list2cmdline(command)}"']
        arguments = " ".join(command[1:])
    else:
        arguments = subprocess.list2cmdline(command[1:])
    text = _TASK.format(at=at, spread=SPREAD_SECONDS, command=escape(command[0]), arguments=escape(arguments))
    file = Path(tempfile.gettempdir()) / f"{NAME}.xml"
    return Entry(
        ((file, text.encode("utf-16")),),
        (("schtasks", "/Create", "/F", "/TN", NAME, "/XML", str(file)),),
        (("schtasks", "/Delete", "/F", "/TN", NAME),),
        ("schtasks", "/Query", "/TN", NAME),
    )


# -- doing ------------------------------------------------------------------------------------------------------------


def _show(entry: Entry) -> int:
    """The scheduler's own words; exit code 1 where nothing is scheduled."""
    done = _called(entry.show)
    is_there = done.returncode == 0 and (entry.show[0] != "systemctl" or entry.files[-1][0].exists())
    print(done.stdout.strip() if is_there else "No backup is scheduled.")
    return DONE if is_there else 1


def _disable(entry: Entry) -> None:
    for command in entry.disable:
        _called(command)  # fails where nothing was scheduled, which is what is wanted
    for file, _ in entry.files:
        file.unlink(missing_ok=True)
    if entry.disable[0][0] == "systemctl":
        _called(("systemctl", "--user", "daemon-reload"))


def _write(file: Path, text: bytes) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(text)
    except OSError as e:
        raise UsageError(f"{file} cannot be written: {e.strerror}.") from e


def _call(command: Sequence[str]) -> None:
    done = _called(command)
    if done.returncode and "unload" not in command:
        raise NotScheduled(command, (done.stderr or done.stdout).strip())


class NotScheduled(ClientError):
    """The system's scheduler refused."""

    exit_code = FAILED

    def __init__(self, command: Sequence[str], text: str) -> None:
        super().__init__(f"{' '.join(command[:3])} failed: {text or 'no reason was given'}")


def _called(command: Sequence[str]) -> "subprocess.CompletedProcess[str]":
    try:
        return subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, errors="replace", timeout=COMMAND_SECONDS_MAX, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as e:
        raise UsageError(f"{command[0]} cannot be run here: {e}.") from e
