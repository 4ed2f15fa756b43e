"""The words of the activity page: what each action of the audit is called, and one event as a sentence.

An action without an entry here is still shown, by its own name, so that no event is ever hidden.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class _Action:
    words: str
    icon: str


_ACTIONS: Final[Mapping[str, _Action]] = {}
_UNKNOWN_ICON: Final = "activity"


def action_words(action: str) -> str:
    """What the action is called in the filter and on the page."""
    known = _ACTIONS.get(action)
    return known.words if known else action.replace(".", " ").replace("_", " ").capitalize()


def action_icon(action: str) -> str:
    """The name of the action's icon in `_icons.html`."""
    known = _ACTIONS.get(action)
    return known.icon if known else _UNKNOWN_ICON


def event_words(action: str, subject: str, detail: Mapping[str, object]) -> str:
    """One event as a few words: what was done, to what, and how many."""
    return f"{action_words(action)}: {subject}" if subject else action_words(action)
