"""`docs/security.md` is whole: each requirement of ASVS 5.0 at levels 1 and 2 has its answer, and each test exists."""

import re
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parent.parent
TEXT: Final = (ROOT / "docs" / "security.md").read_text()
ANSWERED: Final = re.compile(r"^\| ((?:[\d.]+(?:–[\d.]+)?(?:, )?)+) .+? \| (.+) \|$", re.MULTILINE)
NAMED: Final = re.compile(r"`([\w/]+\.py)::(\w+)`")

LEVELS_1_AND_2: Final = """
1.1.1-2 1.2.1-9 1.3.1-11 1.4.1-3 1.5.1-2 2.1.1-3 2.2.1-3 2.3.1-4 2.4.1-1 3.2.1-2 3.3.1-4 3.4.1-6 3.5.1-5 3.7.1-2
4.1.1-3 4.2.1-1 4.3.1-2 4.4.1-4 5.1.1-1 5.2.1-3 5.3.1-2 5.4.1-3 6.1.1-3 6.2.1-12 6.3.1-4 6.4.1-4 6.5.1-5 6.6.1-3
6.8.1-4 7.1.1-3 7.2.1-4 7.3.1-2 7.4.1-5 7.5.1-2 7.6.1-2 8.1.1-2 8.2.1-3 8.3.1-1 8.4.1-1 9.1.1-3 9.2.1-4 10.1.1-2
10.2.1-2 10.3.1-4 10.4.1-11 10.5.1-5 10.6.1-2 10.7.1-3 11.1.1-2 11.2.1-3 11.3.1-3 11.4.1-4 11.5.1-1 11.6.1-1 12.1.1-3
12.2.1-2 12.3.1-4 13.1.1-1 13.2.1-5 13.3.1-2 13.4.1-5 14.1.1-2 14.2.1-4 14.3.1-3 15.1.1-3 15.2.1-3 15.3.1-7 16.1.1-1
16.2.1-5 16.3.1-4 16.4.1-3 16.5.1-3 17.1.1-1 17.2.1-4 17.3.1-2
"""
"""Section by section, the first and last of their numbers: the rest of each section is of level 3."""


def numbers(first: str, last: str) -> list[str]:
    """All from the first to the last; `last` is a number of the same section, or its last part alone."""
    section, start = first.rsplit(".", 1)
    return [f"{section}.{number}" for number in range(int(start), int(last.rsplit(".", 1)[-1]) + 1)]


def answered() -> list[str]:
    found = []
    for row in ANSWERED.finditer(TEXT):
        for part in row[1].split(", "):
            first, _, last = part.partition("–")
            found += numbers(first, last or first)
    return found


def test_each_requirement_is_answered_once() -> None:
    wanted = [number for part in LEVELS_1_AND_2.split() for number in numbers(*part.split("-"))]
    assert len(wanted) == 253
    assert sorted(answered()) == sorted(wanted)


def test_each_test_that_is_named_exists() -> None:
    named = sorted(set(NAMED.findall(TEXT)))
    texts = {file: (ROOT / "tests" / file).read_text() for file, _ in named}
    missing = [test for test in named if not re.search(rf"^ *(async )?def {test[1]}\(", texts[test[0]], re.MULTILINE)]
    assert missing == []


def test_each_attack_names_its_test() -> None:
    attacks = TEXT.partition("## OWASP")[0]
    rows = [line for line in attacks.splitlines() if line.startswith("| ") and not line.startswith("| attack")]
    assert len(rows) > 25
    assert [row for row in rows if not NAMED.search(row)] == []
