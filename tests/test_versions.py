"""No dependency is older than the version that mended its known faults, and what brings faults for nothing is absent.

The floors come from the advisories named beside them; a newer advisory is a new line here. Everything we name ourselves
has a floor, and what is locked, with its digests, is at or above it.
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


PROJECTS: Final = ["pyproject.toml", "tools/upload/pyproject.toml", "tools/billing/pyproject.toml"]
OURS: Final = {"otb-cloud-billing", "otb-cloud-client"}


def floors() -> list[tuple[str, str, str]]:
    """The file, the package and its floor, of each dependency that a `pyproject.toml` names; "" where it has none."""
    found = []
    for file in PROJECTS:
        project = tomllib.loads((ROOT / file).read_text("utf-8"))
        groups = [project["project"]["dependencies"], *project.get("dependency-groups", {}).values()]
        for requirement in (one for group in groups for one in group):
            match = re.fullmatch(r"([\w-]+)(?:\[\w+\])?(?:[>=]=([\d.]+))?", requirement)
            assert match, requirement
            if match[1] not in OURS:
                found.append((file, match[1].lower(), match[2] or ""))
    return found


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


@pytest.mark.parametrize(("file", "name", "floor"), floors())
def test_each_dependency_has_a_floor_without_a_known_fault(file: str, name: str, floor: str) -> None:
    assert floor, f"{name} in {file} has none"
    assert locked()[name] >= numbers(floor)
    if name in FLOORS:
        assert numbers(floor) >= numbers(FLOORS[name][0]), FLOORS[name][1]


def test_what_is_locked_is_known_by_its_digest() -> None:
    lock = tomllib.loads((ROOT / "uv.lock").read_text("utf-8"))
    fetched = [package for package in lock["package"] if "registry" in package["source"]]
    files = [file for package in fetched for file in [*package.get("wheels", []), package.get("sdist")] if file]
    assert len(files) >= len(fetched) > 100
    assert all(file["hash"].startswith("sha256:") for file in files)
