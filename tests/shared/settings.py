"""Settings of a test's own: a file in a temporary folder, and an environment that holds nothing but its name."""

import os
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from catalog.settings import Settings, load_settings

_NAMES = frozenset(field.name.upper() for field in fields(Settings)) | {"OTB_CLOUD_SETTINGS"}


@dataclass(frozen=True)
class GivenSettings:
    """The settings of one database and store: as values, as a file, and as the environment of a process."""

    values: Mapping[str, str]
    file: Path

    @property
    def settings(self) -> Settings:
        return load_settings(self.environ)

    @property
    def environ(self) -> dict[str, str]:
        """This process's environment without any setting of the person who runs the tests, and with the file's name."""
        kept = {name: value for name, value in os.environ.items() if name not in _NAMES}
        return kept | {"OTB_CLOUD_SETTINGS": str(self.file)}

    def with_values(self, **values: str) -> "GivenSettings":
        """The same with some settings changed, in a file beside this one."""
        return write_settings(self.file.with_name(f"settings-{secrets.token_hex(4)}"), {**self.values, **values})


def write_settings(file: Path, values: Mapping[str, str]) -> GivenSettings:
    """Write the settings file. Values must hold no quote and no line break."""
    file.write_text("".join(f"{name}='{value}'\n" for name, value in values.items()), encoding="utf-8")
    return GivenSettings(values, file)


def values_for(folder: Path, socket: Path, name: str) -> dict[str, str]:
    """The settings of a database and user `name` on the private MariaDB, and of a store under `folder`."""
    return {
        "SECRET_KEY": secrets.token_hex(32),
        "STORAGE_ROOT": str(folder / "store"),
        "MARIADB_SOCKET": str(socket),
        "MARIADB_DB": name,
        "MARIADB_USER": name,
        "MARIADB_PASSWORD": secrets.token_hex(16),
        "OTB_PORTAL_SHARED_SECRET": secrets.token_hex(32),
        "OTB_PORTAL_URL": "http://127.0.0.1:5050",
        "PUBLIC_URL": "http://127.0.0.1:5090",
    }
