"""What this computer says of itself when it asks to be connected, and whether it has a browser to open.

All of it is a proposal: the person sees it in the portal, and may change it there.
"""

import os
import socket
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple, Optional

from otb_client.words import REPLACEMENT, printable

NAME_CHARACTERS_MAX = 100
_CHASSIS_FILE = Path("/sys/class/dmi/id/chassis_type")
_CHASSIS_KINDS = {
    **dict.fromkeys((3, 4, 5, 6, 7, 13, 15, 16, 35, 36), "homepc"),
    **dict.fromkeys((8, 9, 10, 14, 31, 32), "laptop"),
    **dict.fromkeys((17, 23, 28, 29), "server"),
    30: "tablet",
}
"""SMBIOS 3.7, 7.4.1: the kind of box."""


class Computer(NamedTuple):
    """`system`: linux, macos or windows; `kind`: one of the portal's, a guess."""

    name: str
    system: str
    kind: str


def this_computer(name: Optional[str] = None, platform: str = sys.platform) -> Computer:
    """This one, under its host name or the name given."""
    system = {"win32": "windows", "darwin": "macos"}.get(platform, "linux")
    kind = {"windows": _windows_kind, "macos": _macos_kind, "linux": linux_kind}[system]()
    return Computer(clean_name(name or _host_name()), system, kind)


def clean_name(text: str) -> str:
    """As the server takes it: 1 to 100 printable characters."""
    kept = printable(text.strip()).replace(REPLACEMENT, "")[:NAME_CHARACTERS_MAX].strip()
    return kept or "computer"


def linux_kind(chassis_file: Path = _CHASSIS_FILE) -> str:
    """By the firmware's word about the box; `other` in a virtual machine or a container."""
    try:
        return _CHASSIS_KINDS.get(int(chassis_file.read_text(encoding="ascii")), "other")
    except (OSError, ValueError):
        return "other"


def can_open_browser(environ: Optional[Mapping[str, str]] = None, platform: str = sys.platform) -> bool:
    """Whether a browser would open in front of this person: not over SSH, and not one of text in this terminal."""
    environ = os.environ if environ is None else environ
    if "SSH_CONNECTION" in environ:
        return False
    return platform in {"win32", "darwin"} or bool(environ.get("DISPLAY") or environ.get("WAYLAND_DISPLAY"))


def _host_name() -> str:
    return socket.gethostname().split(".")[0]


def _macos_kind() -> str:
    import subprocess  # noqa: PLC0415  # costs time that no other way needs

    try:
        model = subprocess.run(["/usr/sbin/sysctl", "-n", "hw.model"], capture_output=True, timeout=5, check=False)
    except (OSError, subprocess.SubprocessError):
        return "other"
    return "laptop" if b"Book" in model.stdout else "homepc"


def _windows_kind() -> str:
    """By its battery: GetSystemPowerStatus has 128 in the third byte where there is none."""
    import ctypes  # noqa: PLC0415

    status = (ctypes.c_ubyte * 12)()
    try:
        is_known = ctypes.windll.kernel32.GetSystemPowerStatus(ctypes.byref(status))  # type: ignore[attr-defined]
    except (AttributeError, OSError):
        return "other"
    if not is_known or status[1] == 255:
        return "other"
    return "homepc" if status[1] & 128 else "laptop"
