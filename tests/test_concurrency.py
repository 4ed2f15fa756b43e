"""`docs/concurrency.md` is whole: each pair of operations has its cell, each row a test, and each test exists."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
LINES: Final = (ROOT / "docs" / "concurrency.md").read_text().splitlines()
NUMBERED: Final = re.compile(r"\| (\d+) \| .+ \| .+ \| .+ \| (.+) \|")
NAMED: Final = re.compile(r"`([\w/]+\.py)::(\w+)`")
LETTERS: Final = {"h", "e"}
NOTHING: Final = "\u00b7"


def rows() -> dict[int, str]:
    """What drives each numbered row."""
    return {int(found[1]): found[2] for line in LINES if (found := NUMBERED.fullmatch(line))}


def matrix() -> tuple[list[str], dict[str, list[str]]]:
    """The operations, and the cells of each."""
    start = next(number for number, line in enumerate(LINES) if line.startswith("| | |"))
    lines = [line.split("|")[1:-1] for line in LINES[start:] if line.startswith("| ")]
    operations = [cell.strip() for cell in lines[0][2:]]
    return operations, {line[0].strip(): [cell.strip() for cell in line[2:]] for line in lines[1:]}


def test_rows_are_numbered_without_a_gap() -> None:
    assert list(rows()) == list(range(1, len(rows()) + 1))
    assert len(rows()) > 90


def test_each_row_names_what_drives_it() -> None:
    assert [number for number, driven_by in rows().items() if not NAMED.search(driven_by)] == []


def test_each_test_that_is_named_exists() -> None:
    named = sorted({found for line in LINES for found in NAMED.findall(line)})
    texts = {file: (ROOT / "tests" / file).read_text() for file, _ in named}
    assert [test for test in named if not re.search(rf"^(async )?def {test[1]}\(", texts[test[0]], re.MULTILINE)] == []


def test_every_pair_of_operations_has_its_cell() -> None:
    operations, cells = matrix()
    assert list(cells) == operations
    known = LETTERS | {str(number) for number in rows()}
    for place, operation in enumerate(operations):
        assert len(cells[operation]) == len(operations)
        assert set(cells[operation][:place]) <= {""}, "a pair stands in the upper half alone"
        for other, cell in zip(operations[place:], cells[operation][place:], strict=True):
            assert cell == NOTHING or set(cell.split(", ")) <= known, f"{operation} and {other}: {cell}"
