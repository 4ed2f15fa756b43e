"""What to do where another file stands in the place of one to restore: as the options say, or as somebody answers."""

import sys
from enum import Enum

from otb_client.names import shown
from otb_client.restore_report import Report


class Policy(Enum):
    """What to do where another file stands in the place of one to restore."""

    ASK = "ask"
    REFUSE = "refuse"
    OVERWRITE = "overwrite"
    SKIP = "skip"
    RENAME = "rename"


_ANSWERS = {
    "y": (Policy.OVERWRITE, False),
    "a": (Policy.OVERWRITE, True),
    "n": (Policy.SKIP, False),
    "s": (Policy.SKIP, True),
    "r": (Policy.RENAME, False),
}
"""The key → the policy, and whether it is for all that come after."""


class Asker:
    """What to do about a file that is here and differs: as the options say, or as the person at the terminal does."""

    def __init__(self, policy: Policy, report: Report) -> None:
        self._policy = policy
        self._report = report

    def decide(self, path: bytes) -> Policy:
        """Never `ASK`."""
        while self._policy is Policy.ASK:
            self._report.paused.set()
            self._report.clear()
            sys.stderr.write(
                f"{shown(path)} is here and differs. Replace it? (y)es, (n)o, (a)ll, (s)kip all, (r)ename: "
            )
            sys.stderr.flush()
            answer = sys.stdin.readline()
            self._report.paused.clear()
            if not answer:  # the terminal is gone
                self._policy = Policy.REFUSE
                break
            known = _ANSWERS.get(answer.strip().lower()[:1])
            if known is None:
                continue
            policy, is_for_all = known
            if not is_for_all:
                return policy
            self._policy = policy
        return self._policy
