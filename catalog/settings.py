"""The settings: one file and the environment, which wins. The only place that reads either.

They live here because `web` and `tools` may both import `catalog`, and nothing below them needs a setting.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import ip_network
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit
from zoneinfo import ZoneInfo, available_timezones

from dotenv import dotenv_values

from catalog.logs import JSON, TEXT

SECRET_BYTES_MIN: Final = 32
"""The least length of `SECRET_KEY` and of the shared secret: the output of HMAC-SHA256 (RFC 7518, 3.2)."""

LOOPBACK_HOSTS: Final = frozenset({"127.0.0.1", "localhost", "::1"})


class BadSettings(ValueError):
    """One or more settings are missing or wrong; `faults` has a sentence for each."""

    def __init__(self, faults: list[str]) -> None:
        super().__init__("\n".join(faults))
        self.faults = faults


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the operator chose. Sizes in bytes, times in seconds unless the name says otherwise."""

    app_host: str
    app_port: int
    proxy_addresses: tuple[str, ...]
    accel_location: str | None
    accel_verified_days: int
    secret_key: str
    storage_root: Path
    search_dir: Path
    mariadb_host: str
    mariadb_port: int
    mariadb_socket: str | None
    mariadb_db: str
    mariadb_user: str
    mariadb_password: str
    mariadb_admin_user: str
    mariadb_admin_password: str
    otb_portal_shared_secret: str
    otb_portal_shared_secret_before: str
    otb_portal_public_key_file: Path | None
    otb_portal_public_key_file_before: Path | None
    otb_portal_allowed_skew_seconds: int
    otb_portal_url: str
    public_url: str
    brand_dir: Path | None
    client_dir: Path | None
    quota_default_bytes: int
    hold_days: int
    session_idle_seconds: int
    session_seconds_max: int
    time_zone_default: str
    upload_bytes_max: int
    upload_expires_hours: int
    replica: str | None
    replica_s3_endpoint: str | None
    replica_s3_region: str
    replica_s3_access_key: str
    replica_s3_secret_key: str
    replica_spool: Path | None
    replica_grace_days: int
    audit_key_file: Path | None
    sweep_grace_hours: int
    trash_days: int
    log_format: str
    lapse_days: int
    mail_server: str | None
    mail_port: int
    mail_tls: str
    mail_user: str
    mail_password: str
    mail_from: str
    worker_slots: int
    worker_heavy_slots: int
    worker_lease_seconds: int
    worker_memory_bytes: int
    worker_source_bytes_max: int
    worker_sandbox: str
    worker_vaapi_device: str

    @property
    def is_https(self) -> bool:
        """Whether customers reach the service by https, so that cookies are `Secure`."""
        return urlsplit(self.public_url).scheme == "https"


class _Reader:
    """Reads one value at a time and collects a sentence for each fault."""

    def __init__(self, values: Mapping[str, str]) -> None:
        self.values = values
        self.faults: list[str] = []

    def text(self, name: str, default: str | None = None) -> str:
        value = self.values.get(name, "") or default
        if value is None:
            self.faults.append(f"{name} is not set. Put it into the settings file or the environment.")
            return ""
        return value

    def number(self, name: str, default: int, least: int, most: int) -> int:
        value = self.values.get(name, "") or str(default)
        if value.isascii() and value.isdigit() and least <= int(value) <= most:
            return int(value)
        self.faults.append(f"{name} must be a whole number from {least:,} to {most:,}, not {value!r}.")
        return default

    def checked(self, name: str, default: str | None, is_good: Callable[[str], bool], want: str) -> str:
        value = self.text(name, default)
        if value and not is_good(value):
            self.faults.append(f"{name} must be {want}.")
        return value.rstrip("/") if name.endswith("_URL") else value

    def networks(self, name: str) -> tuple[str, ...]:
        """Addresses and networks (10.0.0.0/8), separated by commas."""
        found = tuple(part.strip() for part in self.values.get(name, "").split(",") if part.strip())
        for part in found:
            try:
                ip_network(part)
            except ValueError:
                self.faults.append(f"{name} must be IP addresses or networks separated by commas; {part!r} is neither.")
        return found

    def optional(self, name: str, is_good: Callable[[str], bool], want: str) -> str | None:
        return self.checked(name, "", is_good, want) or None

    def path(self, name: str) -> Path | None:
        value = self.values.get(name, "")
        return Path(value) if value else None


def load_settings(environ: Mapping[str, str] | None = None, file: Path | None = None) -> Settings:
    """Read the file (`OTB_CLOUD_SETTINGS`, else `.env` here) under the environment. Raises `BadSettings`."""
    environ = os.environ if environ is None else environ
    named = environ.get("OTB_CLOUD_SETTINGS")
    file = file or Path(named or ".env")
    if named and not file.is_file():
        raise BadSettings([f"OTB_CLOUD_SETTINGS names {named}, which is not a file."])
    from_file = {k: v for k, v in dotenv_values(file, interpolate=False).items() if v} if file.is_file() else {}
    reader = _Reader({**from_file, **environ})
    settings = _read(reader)
    if reader.faults:
        raise BadSettings(reader.faults)
    return settings


def _read(r: _Reader) -> Settings:
    secret = f"a random text of at least {SECRET_BYTES_MIN} characters (openssl rand -hex 32)"
    return Settings(
        app_host=r.text("APP_HOST", "127.0.0.1"),
        app_port=r.number("APP_PORT", 5090, 1, 65535),
        proxy_addresses=r.networks("PROXY_ADDRESSES"),
        accel_location=r.optional("ACCEL_LOCATION", _is_location, "a path that begins and ends with a slash"),
        accel_verified_days=r.number("ACCEL_VERIFIED_DAYS", 35, 1, 365),
        secret_key=r.checked("SECRET_KEY", None, _is_secret, secret),
        storage_root=Path(
            r.checked("STORAGE_ROOT", None, _is_absolute, "an absolute path, e.g. /tank/backups/otb-cloud")
        ),
        search_dir=Path(r.checked("SEARCH_DIR", _search_dir(r.values), _is_absolute, "an absolute path")),
        mariadb_host=r.text("MARIADB_HOST", "127.0.0.1"),
        mariadb_port=r.number("MARIADB_PORT", 3306, 1, 65535),
        mariadb_socket=r.text("MARIADB_SOCKET", "") or None,
        mariadb_db=r.checked("MARIADB_DB", "otb_cloud", _is_identifier, "letters, digits and underscores"),
        mariadb_user=r.checked("MARIADB_USER", "otb_cloud", _is_identifier, "letters, digits and underscores"),
        mariadb_password=r.text("MARIADB_PASSWORD"),
        mariadb_admin_user=r.text("MARIADB_ADMIN_USER", "root"),
        mariadb_admin_password=r.text("MARIADB_ADMIN_PASSWORD", ""),
        otb_portal_shared_secret=r.checked("OTB_PORTAL_SHARED_SECRET", None, _is_secret, secret),
        otb_portal_shared_secret_before=r.checked("OTB_PORTAL_SHARED_SECRET_BEFORE", "", _is_secret, secret),
        otb_portal_public_key_file=r.path("OTB_PORTAL_PUBLIC_KEY_FILE"),
        otb_portal_public_key_file_before=r.path("OTB_PORTAL_PUBLIC_KEY_FILE_BEFORE"),
        otb_portal_allowed_skew_seconds=r.number("OTB_PORTAL_ALLOWED_SKEW_SECONDS", 300, 0, 3600),
        otb_portal_url=r.checked("OTB_PORTAL_URL", "https://portal.outsidethebox.top", _is_url, "an http(s) URL"),
        public_url=r.checked("PUBLIC_URL", "https://otb-cloud.outsidethebox.top", _is_public_url, _PUBLIC),
        brand_dir=r.path("BRAND_DIR"),
        client_dir=r.path("CLIENT_DIR"),
        quota_default_bytes=r.number("QUOTA_DEFAULT_BYTES", 1 << 40, 0, 1 << 60),
        hold_days=r.number("HOLD_DAYS", 30, 0, 3650),
        session_idle_seconds=r.number("SESSION_IDLE_SECONDS", 12 * 3600, 60, 30 * 86400),
        session_seconds_max=r.number("SESSION_SECONDS_MAX", 7 * 86400, 60, 90 * 86400),
        time_zone_default=r.checked("TIME_ZONE_DEFAULT", "America/Toronto", _is_time_zone, _ZONE),
        upload_bytes_max=r.number("UPLOAD_BYTES_MAX", 1 << 40, 1, 1 << 50),
        upload_expires_hours=r.number("UPLOAD_EXPIRES_HOURS", 24, 1, 24 * 30),
        replica=r.optional("REPLICA", _is_replica, "an absolute path, or s3://bucket/prefix"),
        replica_s3_endpoint=r.optional("REPLICA_S3_ENDPOINT", _is_public_url, _PUBLIC),
        replica_s3_region=r.text("REPLICA_S3_REGION", "us-east-1"),
        replica_s3_access_key=r.text("REPLICA_S3_ACCESS_KEY", ""),
        replica_s3_secret_key=r.text("REPLICA_S3_SECRET_KEY", ""),
        replica_spool=r.path("REPLICA_SPOOL"),
        replica_grace_days=r.number("REPLICA_GRACE_DAYS", 30, 0, 3650),
        audit_key_file=r.path("AUDIT_KEY_FILE"),
        sweep_grace_hours=r.number("SWEEP_GRACE_HOURS", 24, 0, 24 * 365),
        trash_days=r.number("TRASH_DAYS", 14, 0, 365),
        log_format=r.checked("LOG_FORMAT", TEXT, lambda value: value in {TEXT, JSON}, f"{TEXT} or {JSON}"),
        lapse_days=r.number("LAPSE_DAYS", 7, 0, 365),
        mail_server=r.text("MAIL_SERVER", "") or None,
        mail_port=r.number("MAIL_PORT", 587, 1, 65535),
        mail_tls=r.checked("MAIL_TLS", "starttls", lambda value: _is_mail_tls(value, r.values), _MAIL_TLS),
        mail_user=r.text("MAIL_USER", ""),
        mail_password=r.text("MAIL_PASSWORD", ""),
        mail_from=r.checked("MAIL_FROM", _mail_from(r.values), _is_mail_address, "an address such as otb@example.com"),
        worker_slots=r.number("WORKER_SLOTS", min(16, os.cpu_count() or 1), 1, 64),
        worker_heavy_slots=r.number("WORKER_HEAVY_SLOTS", 1, 0, 16),
        worker_lease_seconds=r.number("WORKER_LEASE_SECONDS", 30, 1, 3600),
        worker_memory_bytes=r.number("WORKER_MEMORY_BYTES", 2 << 30, 256 << 20, 1 << 40),
        worker_source_bytes_max=r.number("WORKER_SOURCE_BYTES_MAX", 32 << 30, 1 << 20, 1 << 50),
        worker_sandbox=r.checked("WORKER_SANDBOX", "bwrap", _is_sandbox, "bwrap, or limits where bwrap cannot run"),
        worker_vaapi_device=r.checked("WORKER_VAAPI_DEVICE", "", _is_device, _DEVICE),
    )  # fmt: skip


_PUBLIC: Final = "an https URL without a path (http only for a loopback host)"


_DEVICE: Final = "a device's path, e.g. /dev/dri/renderD128"


_MAIL_TLS: Final = "starttls, tls, or none where MAIL_SERVER is a loopback host"


_ZONE: Final = "a time zone's name, e.g. America/Toronto"


def _search_dir(values: Mapping[str, str]) -> str:
    """Beside the store, so that it is on the same disk and not in it."""
    root = values.get("STORAGE_ROOT", "").rstrip("/")
    return f"{root}-search" if _is_absolute(root) else "/"  # the root's own fault is told by itself


def _mail_from(values: Mapping[str, str]) -> str:
    return f"otb-cloud@{urlsplit(values.get('PUBLIC_URL', '')).hostname or 'otb-cloud.outsidethebox.top'}"


def _is_mail_tls(value: str, values: Mapping[str, str]) -> bool:
    return value in {"starttls", "tls"} or (value == "none" and values.get("MAIL_SERVER") in LOOPBACK_HOSTS)


def _is_mail_address(value: str) -> bool:
    return bool(re.fullmatch(r"[0-9A-Za-z.!#$%&*+/=?^_{|}~-]{1,64}@[0-9A-Za-z.-]{1,255}", value))


def _is_absolute(value: str) -> bool:
    return Path(value).is_absolute()


def _is_replica(value: str) -> bool:
    return Path(value).is_absolute() or bool(
        re.fullmatch(r"s3://[a-z0-9][a-z0-9.-]{1,61}[a-z0-9](/[0-9A-Za-z._-]+)*", value)
    )


def _is_location(value: str) -> bool:
    return bool(re.fullmatch(r"/([0-9A-Za-z_-]+/)+", value))


def _is_secret(value: str) -> bool:
    return len(value.encode()) >= SECRET_BYTES_MIN


def _is_identifier(value: str) -> bool:
    return value.isascii() and value.replace("_", "a").isalnum() and len(value) <= 64


def _is_sandbox(value: str) -> bool:
    return value in {"bwrap", "limits"}


def _is_device(value: str) -> bool:
    return value.startswith("/dev/")


def _is_url(value: str) -> bool:
    parts = urlsplit(value)
    return parts.scheme in {"http", "https"} and bool(parts.hostname)


def _is_public_url(value: str) -> bool:
    parts = urlsplit(value)
    if not _is_url(value) or parts.path not in {"", "/"} or parts.query or parts.fragment:
        return False
    return parts.scheme == "https" or parts.hostname in LOOPBACK_HOSTS


def _is_time_zone(value: str) -> bool:
    return value in available_timezones() and ZoneInfo(value) is not None
