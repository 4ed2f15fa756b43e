"""The JSON of the API's values. Ids are strings, times RFC 3339 in UTC, digests 64 hex digits, sizes bytes."""

from collections.abc import Sequence
from datetime import UTC, datetime

from catalog.history import Changed
from catalog.search import Facets
from catalog.undoing import Undone
from catalog.usage import Breakdown, UsedDay
from catalog.values import (
    AuditEvent,
    CommitResult,
    Device,
    DeviceToken,
    Entry,
    Export,
    Grant,
    Manifest,
    OpenSession,
    Page,
    PlannedPart,
    Restored,
    Tenant,
    Usage,
    User,
)
from web.exports import export_etag, export_url
from web.path_bytes import to_base64url
from web.times import moment_text, time_text

Json = dict[str, object]


def entry_json(entry: Entry) -> Json:
    """An entry.

    `path_bytes` (base64url) is there where the path is not valid UTF-8, and `path` then has U+FFFD in it.
    """
    shape: Json = {
        "id": str(entry.id),
        "device": str(entry.device_id),
        "area": entry.area,
        "path": str(entry.path),
        "name": entry.name.decode("utf-8", "replace"),
        "type": entry.kind,
        "digest": entry.blob.digest.hex if entry.blob else None,
        "size": entry.size_bytes,
        "mtime": time_text(entry.mtime_ns),
        "taken": None if entry.taken_ns is None else time_text(entry.taken_ns),
        "uploaded": moment_text(entry.uploaded_at),
        "mode": entry.mode,
        "media_type": entry.media_type,
        "kind": entry.media_kind,
        "target": None if entry.link_target is None else entry.link_target.decode("utf-8", "replace"),
        "removed": None if entry.removed_at is None else moment_text(entry.removed_at),
        "removal": entry.removal,
    }
    if not _is_text(entry.path.raw):
        shape["path_bytes"] = to_base64url(entry.path.raw)
    return shape


def device_json(device: Device) -> Json:
    return {
        "id": str(device.id),
        "name": device.name,
        "kind": device.kind,
        "source_directories": device.source_directories,
        "created": moment_text(device.created_at),
        "last_upload": None if device.last_upload_at is None else moment_text(device.last_upload_at),
        "files": device.file_count,
        "size": device.size_bytes,
    }


def token_json(token: DeviceToken) -> Json:
    return {
        "id": str(token.id),
        "label": token.label,
        "created": moment_text(token.created_at),
        "last_used": None if token.last_used_at is None else moment_text(token.last_used_at),
    }


def tenant_json(tenant: Tenant) -> Json:
    return {"id": tenant.uuid, "label": tenant.label, "time_zone": tenant.time_zone}


def billing_status_json(tenant: Tenant) -> Json:
    return {"billing_client": tenant.billing_client, "status": tenant.status}


def user_json(user: User) -> Json:
    return {"id": str(user.id), "name": user.name, "email": user.email, "role": user.role}


def usage_json(usage: Usage) -> Json:
    return {
        "used_bytes": usage.used_bytes,
        "quota_bytes": usage.quota_bytes,
        "file_count": usage.file_count,
        "device_count": usage.device_count,
    }


def manifest_json(manifest: Manifest) -> Json:
    return {
        "id": str(manifest.sequence),
        "at": moment_text(manifest.at),
        "actor_kind": manifest.actor_kind,
        "actor": manifest.actor,
        "note": manifest.note,
        "added": manifest.added,
        "removed": manifest.removed,
        "size": manifest.size_bytes,
    }


def changed_json(changed: Changed) -> Json:
    """`before` is null where the name took no other's place."""
    before = None if changed.before is None else entry_json(changed.before)
    return {"change": changed.kind, "entry": entry_json(changed.entry), "before": before}


def undone_json(done: Undone) -> Json:
    """`manifest` is null where nothing was, or could be, undone."""
    result = done.result
    return {
        "manifest": None if result is None or result.manifest is None else str(result.manifest.sequence),
        "added": 0 if result is None else result.added,
        "replaced": 0 if result is None else result.replaced,
        "removed": 0 if result is None else result.removed,
        "kept": done.kept,
        "conflicts": [{"path": conflict.path, "reason": conflict.why} for conflict in done.conflicts],
    }


def restored_json(done: Restored) -> Json:
    return {
        "added": done.added,
        "replaced": done.replaced,
        "unchanged": done.unchanged,
        "removed": done.removed,
        "manifests": done.manifests,
    }


def commit_json(result: CommitResult) -> Json:
    """`manifest` is null where nothing had to change."""
    return {
        "manifest": None if result.manifest is None else str(result.manifest.sequence),
        "added": result.added,
        "replaced": result.replaced,
        "unchanged": result.unchanged,
        "removed": result.removed,
    }


def bundle_json(result: CommitResult) -> Json:
    """As `commit_json`; `deduplicated`: of the bytes that came along, what this account had before."""
    return commit_json(result) | {"deduplicated": [digest.hex for digest in result.deduplicated]}


def event_json(event: AuditEvent) -> Json:
    return {
        "id": str(event.id),
        "at": moment_text(event.at),
        "actor_kind": event.actor_kind,
        "actor": event.actor,
        "action": event.action,
        "subject": event.subject,
        "detail": event.detail,
        "address": event.address,
        "device": None if event.device_id is None else str(event.device_id),
        "on_behalf_of": event.on_behalf_of,
        "grant": None if event.grant_id is None else str(event.grant_id),
        "hash": event.hash.hex(),
    }


def grant_json(grant: Grant) -> Json:
    """`devices` null: all. `state`: waiting, use, ended or expired."""
    return {
        "id": str(grant.id),
        "reason": grant.reason,
        "write": grant.may_write,
        "devices": None if grant.devices is None else [str(device) for device in sorted(grant.devices)],
        "state": grant.state(datetime.now(UTC)),
        "created": moment_text(grant.created_at),
        "created_by": grant.created_by,
        "expires": moment_text(grant.expires_at),
        "redeemed": None if grant.redeemed_at is None else moment_text(grant.redeemed_at),
        "staff": grant.staff,
        "ended": None if grant.ended_at is None else moment_text(grant.ended_at),
        "ended_by": grant.ended_by,
    }


def session_json(session: OpenSession, here: str) -> Json:
    """`here`: the id of the session that asks."""
    return {
        "id": session.id,
        "user": session.user,
        "address": session.address,
        "user_agent": session.user_agent,
        "created": moment_text(session.created_at),
        "seen": moment_text(session.seen_at),
        "expires": moment_text(session.expires_at),
        "current": session.id == here,
    }


def account_usage_json(usage: Usage, breakdown: Breakdown | None, days: Sequence[UsedDay]) -> Json:
    """`breakdown` is null for a large account that was not counted yet."""
    return usage_json(usage) | {
        "breakdown": None if breakdown is None else _breakdown_json(breakdown),
        "days": [
            {
                "day": used.day.isoformat(),
                "logical_bytes": used.logical_bytes,
                "files": used.file_count,
                "quota_bytes": used.quota_bytes,
            }
            for used in days
        ],
    }


def _breakdown_json(breakdown: Breakdown) -> Json:
    return {
        "counted": moment_text(breakdown.taken_at),
        "live_bytes": breakdown.live_bytes,
        "held_bytes": breakdown.held_bytes,
        "version_bytes": breakdown.version_bytes,
        "unique_bytes": breakdown.unique_bytes,
        "shared_bytes": breakdown.shared_bytes,
        "devices": [
            {
                "device": str(device.id),
                "name": device.name,
                "held_bytes": device.held_bytes,
                "version_bytes": device.version_bytes,
                "kinds": [
                    {"kind": share.kind, "files": share.files, "bytes": share.size_bytes} for share in device.kinds
                ],
            }
            for device in breakdown.devices
        ],
    }


def export_json(export: Export, parts: Sequence[PlannedPart]) -> Json:
    """An export; `url`, `size_bytes` and `etag` are those of its first zip, `parts` has them all."""
    shown = [
        {
            "url": export_url(export, part.number),
            "size_bytes": part.size_bytes,
            "etag": export_etag(export, part.number),
        }
        for part in parts
    ]
    return {
        "export": str(export.id),
        "name": export.name,
        "created": moment_text(export.created_at),
        "created_by": export.created_by,
        "at": None if export.at is None else moment_text(export.at),
        "since": None if export.since is None else str(export.since),
        **shown[0],
        "members": export.member_count,
        "content_bytes": export.content_bytes,
        "parts": shown,
    }


def entries_json(page: Page[Entry]) -> Json:
    return {"entries": [entry_json(entry) for entry in page.items], "next": page.next}


def facets_json(facets: Facets) -> Json:
    return {
        "total": facets.total,
        "exact": facets.is_exact,
        "complete": facets.is_complete,
        "devices": [{"device": str(device_id), "count": count} for device_id, count in facets.devices.items()],
        "kinds": [{"kind": kind, "count": count} for kind, count in facets.kinds.items()],
        "months": [{"month": month, "count": count} for month, count in facets.months.items()],
    }


def _is_text(raw: bytes) -> bool:
    try:
        raw.decode()
    except UnicodeDecodeError:
        return False
    return True
