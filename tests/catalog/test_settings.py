"""Settings: the environment wins over the file, and each fault is a sentence."""

from pathlib import Path

import pytest

from catalog.settings import BadSettings, load_settings

GOOD = {
    "SECRET_KEY": "k" * 32,
    "STORAGE_ROOT": "/tank/backups/otb-cloud",
    "MARIADB_PASSWORD": "p",
    "OTB_PORTAL_SHARED_SECRET": "s" * 32,
}
NOWHERE = Path("/nonexistent/.env")


def test_defaults() -> None:
    settings = load_settings(GOOD, NOWHERE)
    assert (settings.app_port, settings.mariadb_db, settings.hold_days) == (5090, "otb_cloud", 30)
    assert settings.is_https


def test_the_environment_wins_over_the_file(tmp_path: Path) -> None:
    file = tmp_path / "settings"
    file.write_text("APP_PORT=6000\nHOLD_DAYS=7\nSECRET_KEY='with $dollar and # sign, 32 characters'\n")
    settings = load_settings(
        {k: v for k, v in GOOD.items() if k != "SECRET_KEY"} | {"APP_PORT": "7000", "OTB_CLOUD_SETTINGS": str(file)}
    )
    assert (settings.app_port, settings.hold_days) == (7000, 7)
    assert settings.secret_key == "with $dollar and # sign, 32 characters"


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("SECRET_KEY", "short", "SECRET_KEY must be a random text of at least 32"),
        ("SECRET_KEY", "", "SECRET_KEY is not set"),
        ("STORAGE_ROOT", "relative/path", "STORAGE_ROOT must be an absolute path"),
        ("MAIL_TLS", "none", "MAIL_TLS must be starttls, tls, or none where MAIL_SERVER is a loopback host"),
        ("MAIL_FROM", "otb@example.com\nBcc: x", "MAIL_FROM must be an address"),
        ("ACCEL_LOCATION", "/a/../b/", "ACCEL_LOCATION must be a path that begins and ends with a slash"),
        ("APP_PORT", "0", "APP_PORT must be a whole number"),
        ("APP_PORT", "many", "APP_PORT must be a whole number"),
        ("PUBLIC_URL", "http://cloud.example.com", "PUBLIC_URL must be an https URL"),
        ("PUBLIC_URL", "https://cloud.example.com/path", "PUBLIC_URL must be an https URL"),
        ("OTB_PORTAL_URL", "portal", "OTB_PORTAL_URL must be an http(s) URL"),
        ("PROXY_ADDRESSES", "10.0.0.5, mintme", "PROXY_ADDRESSES must be IP addresses or networks"),
        ("PROXY_ADDRESSES", "10.0.0.5/8", "PROXY_ADDRESSES must be"),
        ("TIME_ZONE_DEFAULT", "Mars/Olympus", "TIME_ZONE_DEFAULT must be a time zone"),
        ("MARIADB_DB", "a`b", "MARIADB_DB must be letters"),
        ("OTB_CLOUD_SETTINGS", "/nonexistent", "which is not a file"),
    ],
)
def test_each_fault_is_a_sentence(name: str, value: str, said: str) -> None:
    with pytest.raises(BadSettings) as refused:
        load_settings(GOOD | {name: value}, NOWHERE)
    assert said in str(refused.value)
    assert "k" * 32 not in str(refused.value)


def test_every_fault_is_named_at_once() -> None:
    with pytest.raises(BadSettings) as refused:
        load_settings({}, NOWHERE)
    assert len(refused.value.faults) == 4
