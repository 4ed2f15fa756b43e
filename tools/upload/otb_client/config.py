"""The settings of this computer: which server, which device, its token, and the folders confirmed here.

One JSON file, `config.json`, readable by its owner alone, replaced as a whole. It stands in the system's folder for
settings, or in `OTB_CLOUD_CONFIG`. The token goes only to a server reached by HTTPS, or to this machine itself.
"""

import json
import os
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from urllib.parse import urlsplit

from otb_client.errors import NotConnected, UsageError

CONFIG_VARIABLE = "OTB_CLOUD_CONFIG"
FILE_NAME = "config.json"
_LOOPBACK = {"localhost", "127.0.0.1", "::1"}
_APP = "otb-cloud"


@dataclass(frozen=True)
class Config:
    """`server`: origin without a slash at its end; `device`: its id there; `confirmed`: folders as local paths."""

    server: str = ""
    device: str = ""
    device_name: str = ""
    token: str = ""
    confirmed: tuple[str, ...] = ()

    def connected(self, server: str, device: str, token: str, device_name: str = "") -> "Config":
        """After a login. What was confirmed holds for one device of one server only."""
        same = (server, device) == (self.server, self.device)
        return replace(
            self,
            server=server,
            device=device,
            device_name=device_name,
            token=token,
            confirmed=self.confirmed if same else (),
        )

    def confirming(self, folder: str) -> "Config":
        """With one more folder that may be backed up from here."""
        return replace(self, confirmed=tuple(sorted({*self.confirmed, folder})))


def config_folder() -> Path:
    """Where `config.json` is; not necessarily there yet."""
    given = os.environ.get(CONFIG_VARIABLE)
    if given:
        return Path(given)
    from platformdirs import user_config_path  # noqa: PLC0415  # costs time that no other way needs

    return user_config_path(_APP, appauthor=False, roaming=False)


def cache_folder() -> Path:
    """Where what can be lost is kept: the cache and the lock."""
    given = os.environ.get(CONFIG_VARIABLE)
    if given:
        return Path(given) / "cache"
    from platformdirs import user_cache_path  # noqa: PLC0415

    return user_cache_path(_APP, appauthor=False)


def load() -> Config:
    """The settings, empty where there are none. Raises `UsageError` for a file that cannot be used."""
    file = config_folder() / FILE_NAME
    try:
        value = json.loads(file.read_bytes())
        if not isinstance(value, dict):
            raise ValueError("it is not an object")
        known = {field.name: value[field.name] for field in fields(Config) if field.name in value}
        confirmed = known.pop("confirmed", [])
        if not all(isinstance(text, str) for text in [*known.values(), *confirmed]):
            raise ValueError("its values are not texts")
        return Config(confirmed=tuple(confirmed), **known)
    except FileNotFoundError:
        return Config()
    except (OSError, ValueError, TypeError) as e:
        raise UsageError(
            f"The settings in {file} cannot be read: {e}. Repair the file, or remove it and log in."
        ) from e


def load_connected() -> Config:
    """The settings of a computer that is connected. Raises `NotConnected`, `UsageError`."""
    config = load()
    if not (config.server and config.device and config.token):
        raise NotConnected
    return replace(config, server=check_server(config.server))


def save(config: Config) -> Path:
    """Replace the settings, as a whole and readable by their owner alone; returns the file."""
    folder = config_folder()
    try:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        file = folder / FILE_NAME
        part = folder / f".{FILE_NAME}.{os.getpid()}"
        part.unlink(missing_ok=True)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as out:
            json.dump(asdict(config), out, indent=2)
            out.write("\n")
            out.flush()
            os.fsync(out.fileno())
        part.replace(file)
    except OSError as e:
        raise UsageError(f"The settings cannot be written to {folder}: {e.strerror}.") from e
    return file


def check_server(text: str) -> str:
    """The server's origin, `https://cloud.example.org`. Raises `UsageError` where a token must not be sent."""
    given = text.strip()
    parts = urlsplit((given if "://" in given else f"https://{given}").rstrip("/") + "/")
    try:
        is_whole = parts.port != 0 and not (parts.path.strip("/") or parts.query or parts.fragment or parts.username)
    except ValueError as e:
        raise UsageError(f"{text!r} is not a server's address: {e}.") from e
    if not (parts.hostname and is_whole):
        raise UsageError(f"{text!r} is not a server's address. Write it like https://cloud.example.org")
    if parts.scheme != "https" and not (parts.scheme == "http" and parts.hostname in _LOOPBACK):
        raise UsageError(f"{given} is not an https address: the token of this computer would be sent readable by all.")
    return f"{parts.scheme}://{parts.netloc}"
