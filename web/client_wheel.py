"""The wheel of `otb-cloud` that the server gives out.

It is read once, when the server starts, so that the digest in an installer is always that of the bytes served.
tools/setup builds it from tools/upload. Without it everything else works; the page, the log and `/readyz` say so.
"""

import hashlib
import logging
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from web.limits import CLIENT_WHEEL_BYTES_MAX

log: Final = logging.getLogger("otb.web")

CLIENT_DIR: Final = Path(__file__).parent / "client"
"""Where tools/setup puts the wheel, unless the setting of that name says otherwise."""
_WHEEL_NAME: Final = re.compile(r"otb_cloud_client-(\d{1,6}(?:\.\d{1,6}){0,3})-py3-none-any\.whl", re.ASCII)


@dataclass(frozen=True, slots=True)
class Wheel:
    """The client's wheel; its name tells its version."""

    name: str
    content: bytes
    sha256: str


def load_wheel(folder: Path) -> Wheel | None:
    """The newest version's wheel in the folder; None, and a warning in the log, where there is none."""
    files = [path for path in folder.glob("*.whl") if _WHEEL_NAME.fullmatch(path.name)] if folder.is_dir() else []
    if not files:
        log.warning("there is no otb-cloud wheel in %s: customers cannot connect computers. Run tools/setup.", folder)
        return None
    newest = max(files, key=_version)
    if newest.stat().st_size > CLIENT_WHEEL_BYTES_MAX:
        log.warning("%s has more than %d bytes and is not given out.", newest, CLIENT_WHEEL_BYTES_MAX)
        return None
    content = newest.read_bytes()
    return Wheel(newest.name, content, hashlib.sha256(content).hexdigest())


def _version(path: Path) -> tuple[int, ...]:
    match = _WHEEL_NAME.fullmatch(path.name)
    return tuple(int(part) for part in match[1].split(".")) if match else ()
