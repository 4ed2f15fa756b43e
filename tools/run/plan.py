"""What one `make run` will use: its data folder, its ports and the settings of every process, from the environment.

The environment's settings are honoured so that two runs can stand side by side. Only what makes the run private is not
for choosing: everything listens on 127.0.0.1, and the database is our own. An operator's `.env` is not read.
"""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Final

from dotenv import dotenv_values

from catalog.settings import BadSettings, Settings, load_settings
from tools.run.errors import RunError
from tools.standin.settings import BadStandinSettings, StandinSettings, load_standin_settings

APP_PORT_DEFAULT: Final = "5090"
STANDIN_PORT_DEFAULT: Final = "5050"
SECRET_NAMES: Final = ("SECRET_KEY", "OTB_PORTAL_SHARED_SECRET", "MARIADB_PASSWORD")
SECRET_BYTES: Final = 32

_SETTING_NAMES: Final = frozenset(field.name.upper() for field in fields(Settings))
_STANDIN_NAMES: Final = frozenset({"STANDIN_PORT", "OTB_PORTAL_PRIVATE_KEY_FILE"})


@dataclass(frozen=True, slots=True)
class Plan:
    """The settings, checked, and where they are written for the other processes and for an operator's own commands."""

    data: Path
    settings: Settings
    standin: StandinSettings
    environ: Mapping[str, str]

    @property
    def link(self) -> str:
        return f"http://127.0.0.1:{self.standin.port}/"

    @property
    def app_url(self) -> str:
        return f"http://127.0.0.1:{self.settings.app_port}"

    @property
    def mariadb(self) -> Path:
        return self.data / "mariadb"

    @property
    def logs(self) -> Path:
        return self.data / "log"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"


def data_folder(environ: Mapping[str, str], root: Path) -> Path:
    """`DATA_DIR`, else `.data` of the checkout; made if missing, for its owner alone. Raises RunError."""
    data = Path(environ.get("DATA_DIR", "") or root / ".data").absolute()
    try:
        data.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise RunError(f"{data} cannot be made ({error.strerror}). Name another folder: DATA_DIR=… make run") from error
    if not data.is_dir() or not os.access(data, os.R_OK | os.W_OK | os.X_OK):
        raise RunError(f"This account may not write to {data}. Run as its owner, or name another: DATA_DIR=… make run")
    return data


def make_plan(environ: Mapping[str, str], data: Path, socket: Path) -> Plan:
    """Decide everything, write `settings` into the data folder, and check it. Raises RunError."""
    values = _values(environ, data, socket)
    file = data / "settings"
    _write_private(file, "".join(f"{name}='{_escaped(name, value)}'\n" for name, value in values.items()))
    children = {name: value for name, value in environ.items() if name not in _SETTING_NAMES | _STANDIN_NAMES}
    children["OTB_CLOUD_SETTINGS"] = str(file)
    for_standin = {name: values[name] for name in ("PUBLIC_URL", "OTB_PORTAL_SHARED_SECRET")} | {
        name: environ[name] for name in _STANDIN_NAMES if name in environ
    }
    try:
        settings = load_settings(children)
        standin = load_standin_settings(for_standin)
    except BadSettings as error:
        raise RunError("\n".join(error.faults)) from error
    except (BadStandinSettings, OSError) as error:
        raise RunError(str(error)) from error
    if settings.otb_portal_public_key_file is not None and standin.signer.algorithm == "HS256":
        raise RunError(
            "OTB_PORTAL_PUBLIC_KEY_FILE is set, so the stand-in needs the private key to it: "
            "OTB_PORTAL_PRIVATE_KEY_FILE=… make run"
        )
    return Plan(data, settings, standin, children | for_standin)


def _values(environ: Mapping[str, str], data: Path, socket: Path) -> dict[str, str]:
    app_port = environ.get("APP_PORT", "") or APP_PORT_DEFAULT
    standin_port = environ.get("STANDIN_PORT", "") or STANDIN_PORT_DEFAULT
    defaults = {
        "APP_PORT": app_port,
        "STORAGE_ROOT": str(data / "store"),
        "PUBLIC_URL": f"http://127.0.0.1:{app_port}",
        "OTB_PORTAL_URL": f"http://127.0.0.1:{standin_port}",
        **_secrets(data / "secrets"),
    }
    chosen = {name: environ[name] for name in sorted(_SETTING_NAMES) if environ.get(name)}
    ours = {
        "APP_HOST": "127.0.0.1",
        "MARIADB_SOCKET": str(socket),
        "MARIADB_ADMIN_USER": "root",
        "MARIADB_ADMIN_PASSWORD": "",
    }
    return defaults | chosen | ours


def _secrets(file: Path) -> dict[str, str]:
    """The secrets of this data folder: made once, readable by its owner alone."""
    known = {name: value for name, value in dotenv_values(file).items() if value} if file.exists() else {}
    made = {name: known.get(name) or secrets.token_hex(SECRET_BYTES) for name in SECRET_NAMES}
    if made != known:
        _write_private(file, "".join(f"{name}={value}\n" for name, value in made.items()))
    return made


def _escaped(name: str, value: str) -> str:
    if "\n" in value:
        raise RunError(f"{name} holds a line break. Set it in one line.")
    return value.replace("\\", "\\\\").replace("'", "\\'")


def _write_private(file: Path, text: str) -> None:
    # Under another name first, so that a full disk or a kill never leaves half a file, and never readable by others.
    new = file.with_name(f"{file.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as output:
        output.write(text)
        output.flush()
        os.fsync(output.fileno())
    new.rename(file)
