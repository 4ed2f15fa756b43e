"""The words of the activity page: what each act is called, one event as a sentence, a run of the same act as one line.

An action without an entry here is still shown, by its own name, so that no event is ever hidden.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final, Protocol

RUN_MIN: Final = 3
"""So many uploads in a row by one actor from one address are one line that unfolds: a folder sent file by file."""


class Event(Protocol):
    """What is read of the catalog's `AuditEvent`."""

    @property
    def actor_kind(self) -> str: ...
    @property
    def actor(self) -> str: ...
    @property
    def action(self) -> str: ...
    @property
    def subject(self) -> str: ...
    @property
    def detail(self) -> Mapping[str, object]: ...
    @property
    def address(self) -> str | None: ...


@dataclass(frozen=True, slots=True)
class _Action:
    """`words` in the filter; `sentence` of one event, with {subject} and what its detail says."""

    words: str
    sentence: str
    icon: str


_ACTIONS: Final[Mapping[str, _Action]] = {
    "upload": _Action("Uploads", "Uploaded {subject}", "upload"),
    "delete": _Action("Deletions", "Deleted {subject}", "trash"),
    "recover": _Action("Recoveries", "Recovered {subject}", "recover"),
    "purge": _Action("Deleted for good", "Deleted {subject} for good", "trash"),
    "purge.hold": _Action("Holds that ended", "Removed {subject}", "trash"),
    "purge.versions": _Action("Old versions removed", "Removed {subject}", "trash"),
    "retention.change": _Action("Rules for versions", "Changed how long {subject} are kept", "settings"),
    "rename": _Action("Renames", "Renamed {subject}", "rename"),
    "move": _Action("Moves", "Moved {subject}", "folder"),
    "folder": _Action("Folders made", "Made the folder {subject}", "folder"),
    "revert": _Action("Versions brought back", "Brought back a version of {subject}", "recover"),
    "download": _Action("Downloads", "Downloaded {subject}", "download"),
    "export.create": _Action("Zips prepared", "Prepared a zip of {members}: {subject}", "folder"),
    "export.download": _Action("Zips downloaded", "Downloaded the zip {subject}", "download"),
    "undo": _Action("Changes undone", "Undid {subject}", "recover"),
    "restore": _Action("Folders restored", "Restored {subject} to an earlier moment", "recover"),
    "export.delete": _Action("Exports removed", "Removed the export {subject}", "trash"),
    "device.create": _Action("Devices added", "Added the device {subject}", "devices"),
    "device.change": _Action("Devices changed", "Changed the device {subject}", "devices"),
    "device.remove": _Action("Devices removed", "Removed the device {subject}", "devices"),
    "token.create": _Action("Tokens made", "Made the token “{label}” for {subject}", "key"),
    "token.revoke": _Action("Tokens revoked", "Revoked a token of {subject}", "key"),
    "connect.approve": _Action("Computers connected", "Connected the computer “{computer}” as {subject}", "laptop"),
    "connect.refuse": _Action("Computers refused", "Refused to connect the computer {subject}", "alert"),
    "support.grant": _Action("Support access given", "Gave support access: {subject}", "key"),
    "support.redeem": _Action("Support came in", "Came in to help: {subject}", "key"),
    "support.look": _Action("Looked at by support", "Looked at {subject}", "search"),
    "support.end": _Action("Support access ended", "Ended support access: {subject}", "key"),
    "session.end": _Action("Sessions ended", "Ended a session of {subject}", "sign-out"),
    "audit.export": _Action("Activity downloaded", "Downloaded the activity as {subject}", "download"),
    "sign_in": _Action("Sign-ins", "Signed in", "sign-in"),
    "sign_in.refused": _Action("Refused sign-ins", "A sign-in was refused ({reason})", "alert"),
    "sign_out": _Action("Sign-outs", "Signed out", "sign-out"),
    "tenant.quota": _Action("Space changed", "Changed the account’s space", "settings"),
    "tenant.suspend": _Action("Account suspended", "Suspended the account", "pause"),
    "tenant.resume": _Action("Account reopened", "Reopened the account", "play"),
}
_UNKNOWN_ICON: Final = "activity"
_RUNS: Final = frozenset({"upload", "download"})


def action_words(action: str) -> str:
    """What the action is called in the filter."""
    known = _ACTIONS.get(action)
    return known.words if known else action.replace(".", " ").replace("_", " ").capitalize()


def action_icon(action: str) -> str:
    """The name of the action's icon in `_icons.html`."""
    known = _ACTIONS.get(action)
    return known.icon if known else _UNKNOWN_ICON


def event_words(event: Event) -> str:
    """One event as a few words: what was done, and to what."""
    known = _ACTIONS.get(event.action)
    if known is None:
        return f"{action_words(event.action)}: {event.subject}" if event.subject else action_words(event.action)
    members = _number(event.detail.get("members"))
    return known.sentence.format(
        subject=event.subject,
        label=event.detail.get("label") or "unnamed",
        computer=event.detail.get("computer") or "unnamed",
        reason=str(event.detail.get("reason") or "no reason given").replace("_", " "),
        members="1 item" if members == 1 else f"{members:,} items",
    )


def event_bytes(event: Event) -> int:
    """The bytes that the event moved, where it says so."""
    return _number(event.detail.get("bytes")) if event.action in _RUNS else 0


def runs(events: Sequence[Event]) -> list[list[Event]]:
    """The events in their order; neighbours that are one act done file by file stand together, all others alone."""
    lines: list[list[Event]] = []
    for (action, *_), same in groupby(events, key=lambda e: (e.action, e.actor_kind, e.actor, e.address)):
        together = list(same)
        if action in _RUNS and len(together) >= RUN_MIN:
            lines.append(together)
        else:
            lines += [[event] for event in together]
    return lines


def run_words(run: Sequence[Event]) -> str:
    """A run as a few words: `Uploaded 214 files`."""
    verb = "Uploaded" if run[0].action == "upload" else "Downloaded"
    return f"{verb} {len(run):,} files"


def _number(value: object) -> int:
    return value if isinstance(value, int) else 0
