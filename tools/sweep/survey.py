"""`--dry-run`: what a sweep would do now, counted and changed by nobody."""

from datetime import timedelta

from cas.trash import Trash
from catalog import clock
from catalog.settings import Settings
from catalog.system import SystemScope
from tools.sweep.report import Report


async def survey(system: SystemScope, trash: Trash, settings: Settings, report: Report) -> None:
    """Fill the report with what would go. What a purge of today would let go of shows in tomorrow's."""
    now, grace = clock.now(), timedelta(hours=settings.sweep_grace_hours)
    found = await system.sweep.survey(now - grace, now - timedelta(days=settings.hold_days))
    report.purged_files, report.freed_quota_bytes = found.expired_files, found.expired_bytes
    report.condemned, report.trashed, report.trashed_bytes = found.unreferenced, found.ripe, found.ripe_bytes
    report.packs_rewritten = len(await system.sweep_packs.mostly_dead(now - grace))
    report.packs_trashed = len(await system.sweep_packs.condemned(now - grace))
    last_day = now.date() - timedelta(days=settings.trash_days)
    for trashed in trash.all():
        if trashed.day <= last_day:
            report.emptied += 1
            report.emptied_bytes += trashed.size_bytes
    report.complete = True
