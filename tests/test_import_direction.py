"""The house's rule of who may import whom (docs/architecture.md), read from the code itself."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
HOUSES = ("cas", "catalog", "web", "tools", "tests")
MAY_IMPORT = {
    "cas": {"cas"},
    "catalog": {"catalog", "cas.blob", "cas.digest"},
    "web": {"web", "catalog", "cas"},
    "tools": {"tools", "catalog", "cas"},
}


def imported(file: Path) -> list[str]:
    """The modules of ours that a file imports, at its top or anywhere inside."""
    found = []
    for node in ast.walk(ast.parse(file.read_text())):
        if isinstance(node, ast.Import):
            found += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: relative imports hide the direction"
            found.append(node.module or "")
    return [name for name in found if name.partition(".")[0] in HOUSES]


@pytest.mark.parametrize("house", MAY_IMPORT)
def test_imports_go_one_way(house: str) -> None:
    files = sorted((ROOT / house).rglob("*.py"))
    assert files
    for file in files:
        for name in imported(file):
            allowed = any(name == may or name.startswith(may + ".") for may in MAY_IMPORT[house])
            assert allowed, f"{file.relative_to(ROOT)} imports {name}; {house} may import {sorted(MAY_IMPORT[house])}"


def test_only_the_catalog_speaks_sql() -> None:
    for file in [*(ROOT / "cas").rglob("*.py"), *(ROOT / "web").rglob("*.py"), *(ROOT / "tools").rglob("*.py")]:
        assert "asyncmy" not in file.read_text(), f"{file.relative_to(ROOT)} reaches for the database driver"
