"""No dependency is older than the version that mended its known faults, and what brings faults for nothing is absent.

The floors come from the advisories named beside them; a newer advisory is a new line here.
"""

import re
import tomllib
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[1]
FLOORS: Final = {
    "asyncmy": ("0.2.12", "CVE-2025-65896: keys of a dict reached a statement unescaped"),
    "cryptography": ("44.0.1", "CVE-2024-12797: raw public keys of TLS were not checked"),
    "jinja2": ("3.1.6", "CVE-2025-27516: the sandbox could be left"),
    "pillow": ("12.2", "CVE-2026-40192, CVE-2026-42309, CVE-2026-42310: hostile images"),
    "pyjwt": ("2.10.1", "CVE-2024-53861: an issuer that is part of another was taken"),
    "starlette": ("1.3.1", "CVE-2025-62727, CVE-2026-48710, CVE-2026-54282: ranges, and hosts in request.url"),
    "urllib3": ("2.6.0", "CVE-2025-66418, CVE-2025-66471: decompression without end"),
    "werkzeug": ("3.1.4", "CVE-2025-66221: names of devices on Windows; the stand-in and OTB Billing"),
}
ABSENT: Final = {
    "python-multipart": "bodies come raw: its parser had four advisories in three years, and we need none",
}


def locked() -> dict[str, tuple[int, ...]]:
    lock = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))
    return {package["name"]: numbers(package["version"]) for package in lock["package"] if "version" in package}


def numbers(version: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", version))


@pytest.mark.parametrize("name", FLOORS)
def test_a_package_is_no_older_than_its_last_known_fault(name: str) -> None:
    floor, why = FLOORS[name]
    assert locked()[name] >= numbers(floor), why


@pytest.mark.parametrize("name", ABSENT)
def test_what_we_do_without_is_not_there(name: str) -> None:
    assert name not in locked(), ABSENT[name]
