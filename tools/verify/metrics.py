"""Figures of a run for the node exporter's textfile collector: written in one step, so that it never reads half."""

import time
from pathlib import Path

from catalog import clock
from catalog.scrubbing import Freshness
from tools.verify.report import Outcome, Report


def write_metrics(file: Path, report: Report, freshness: Freshness) -> None:
    """Replace the file. Raises OSError."""
    partial = file.with_name(f".{file.name}.partial")
    partial.write_text("".join(f"{line}\n" for line in _lines(report, freshness)), encoding="ascii")
    partial.replace(file)


def _lines(report: Report, freshness: Freshness) -> list[str]:
    age = 0.0 if freshness.oldest is None else (clock.now() - freshness.oldest).total_seconds()
    kind = "all" if report.selection is None else "selection"
    found = [
        f'otb_verify_blobs{{outcome="{outcome}",kind="{kind}"}} {report.counts.get(outcome, 0)}' for outcome in Outcome
    ]
    return [
        *found,
        f'otb_verify_bytes_read{{kind="{kind}"}} {report.bytes_read}',
        f'otb_verify_seconds{{kind="{kind}"}} {report.seconds}',
        f'otb_verify_complete{{kind="{kind}"}} {int(report.complete)}',
        f'otb_verify_exit_code{{kind="{kind}"}} {report.exit_code}',
        f'otb_verify_end_timestamp_seconds{{kind="{kind}"}} {time.time():.0f}',
        f"otb_verify_row_faults {len(report.row_faults)}",
        f"otb_verify_permission_faults {len(report.permission_faults)}",
        f"otb_verify_orphan_bytes {report.orphan_bytes}",
        f"otb_store_blobs {freshness.blobs}",
        f"otb_store_blobs_never_verified {freshness.never}",
        f"otb_store_blobs_unhealthy {freshness.unhealthy}",
        f"otb_store_oldest_verification_age_seconds {age:.0f}",
    ]
