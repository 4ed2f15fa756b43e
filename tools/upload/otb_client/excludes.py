"""What is left out: gitignore's rules, from the command line, from files, and from `.otbignore` in any folder.

A deeper `.otbignore` wins over a higher one, and the command line's rules are the highest: they count from each root.
An excluded folder is not entered, so nothing in it can be taken back in. The `.otbignore` itself is backed up.
"""

from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, Optional

from otb_client.errors import UsageError

if TYPE_CHECKING:
    from pathspec import GitIgnoreSpec

IGNORE_FILE = ".otbignore"
IGNORE_BYTES_MAX = 1 << 20


class Rules(NamedTuple):
    """Rules that count below one folder; `base`: that folder's local path with a separator at its end."""

    base: str
    spec: "GitIgnoreSpec"
    above: Optional["Rules"]

    def excludes(self, path: str, *, is_folder: bool) -> bool:
        """Whether `path`, a local path below `base`, is left out."""
        rules: Optional[Rules] = self
        while rules is not None:
            relative = path[len(rules.base) :].replace("\\", "/") if "\\" in rules.base else path[len(rules.base) :]
            verdict = rules.spec.check_file(relative + "/" if is_folder else relative).include
            if verdict is not None:
                return verdict
            rules = rules.above
        return False


def given_lines(patterns: list[str], files: list[str]) -> list[str]:
    """The lines of `--exclude` and `--exclude-from`. Raises `UsageError`."""
    lines = list(patterns)
    for file in files:
        try:
            lines += _lines(Path(file))
        except (OSError, ValueError) as e:  # noqa: PERF203
            raise UsageError(f"The excludes in {file} cannot be read: {e}.") from e
    return lines


def rules_of(base: str, lines: list[str], above: Optional[Rules] = None) -> Optional[Rules]:
    """Rules of these lines, or those above alone where there are none. Raises `UsageError` for a bad pattern."""
    if not any(line.strip() and not line.startswith("#") for line in lines):
        return above
    from pathspec import GitIgnoreSpec  # noqa: PLC0415  # most runs need none of it

    try:
        return Rules(base, GitIgnoreSpec.from_lines(lines), above)
    except ValueError as e:
        raise UsageError(f"A pattern of what to leave out cannot be used: {e}.") from e


def rules_of_folder(base: str, file: str, above: Optional[Rules]) -> Optional[Rules]:
    """With the folder's own `.otbignore`. Raises `UsageError`, `OSError`: rather stop than send what is private."""
    try:
        return rules_of(base, _lines(Path(file)), above)
    except ValueError as e:
        raise UsageError(f"{file} cannot be read: {e}.") from e


def _lines(file: Path) -> list[str]:
    """Raises `OSError`, `ValueError`."""
    with file.open("rb") as stream:
        data = stream.read(IGNORE_BYTES_MAX + 1)
    if len(data) > IGNORE_BYTES_MAX:
        raise ValueError(f"it has more than {IGNORE_BYTES_MAX:,} bytes")
    return data.decode("utf-8-sig", "surrogateescape").splitlines()
