"""The documents tell the truth: every setting, tool and folder is in them, and the files they name exist."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from catalog.settings import Settings

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTS = [ROOT / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


@pytest.mark.parametrize("name", [field.name.upper() for field in fields(Settings)])
def test_every_setting_is_explained(name: str) -> None:
    assert f"`{name}`" in OPERATIONS


@pytest.mark.parametrize("name", sorted(path.parent.name for path in (ROOT / "tools").glob("*/__main__.py")))
def test_every_tool_is_explained(name: str) -> None:
    assert f"tools/{name}" in OPERATIONS


@pytest.mark.parametrize("name", ["cas", "catalog", "web", "tools", "sql", "systemd", "tests"])
def test_every_folder_has_its_place_in_the_architecture(name: str) -> None:
    assert f"`{name}/`" in (ROOT / "docs" / "architecture.md").read_text()


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: path.name)
def test_files_that_documents_name_exist(document: Path) -> None:
    named = re.findall(r"`((?:docs|tests|tools|catalog|cas|web|sql|systemd)/[\w./-]+)`", document.read_text())
    missing = [name for name in named if not (ROOT / name).exists()]
    assert missing == []


def test_decisions_are_numbered_without_a_gap() -> None:
    numbers = [int(path.name[:4]) for path in sorted((ROOT / "docs" / "decisions").glob("*.md"))]
    assert numbers == list(range(1, len(numbers) + 1))
