"""The journal, re-read: every chain proves itself or is reported."""

from cas.backend import Backend
from cas.errors import CasError
from cas.journal import Journal
from tools.verify.pace import Pace
from tools.verify.report import LISTED_MAX, Report


def check_chains(backend: Backend, pace: Pace, report: Report) -> None:
    """Follow every chain to its end or to its first fault. Raises `Stopped`."""
    journal = Journal(backend)
    for chain in journal.chains():
        report.journal_chains += 1
        try:
            for record in journal.records(chain):
                report.journal_records += 1
                pace.read(len(record.body or b""))
        except CasError as error:
            if len(report.journal_faults) < LISTED_MAX:
                report.journal_faults.append(str(error))
