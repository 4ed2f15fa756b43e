"""A catalog as canonical text: all that the journal covers, by names that no auto-increment decides."""

from catalog.database import Database

_QUERIES = {
    "tenant": (
        "SELECT t.uuid, t.billing_client, t.status, t.quota_bytes, t.time_zone, l.used_bytes FROM tenant t"
        " JOIN ledger l ON l.tenant_id = t.id WHERE EXISTS (SELECT 1 FROM device d WHERE d.tenant_id = t.id)"
    ),
    "head": (
        "SELECT t.uuid, h.device_id, h.sequence, HEX(h.digest), h.manifest_sequence FROM journal_head h"
        " JOIN tenant t ON t.id = h.tenant_id WHERE h.sequence > 0 OR h.device_id > 0"
    ),
    "device": (
        "SELECT t.uuid, d.id, d.name, d.kind, d.created_at, d.last_upload_at, d.file_count, d.size_bytes,"
        " d.removed_at IS NULL, d.removed_key, d.history_from FROM device d JOIN tenant t ON t.id = d.tenant_id"
    ),
    "source": "SELECT t.uuid, s.device_id, s.position, s.path FROM device_source s JOIN tenant t ON t.id = s.tenant_id",
    "token": (
        "SELECT t.uuid, k.device_id, k.id, HEX(k.token_hash), k.label, k.created_at FROM device_token k"
        " JOIN tenant t ON t.id = k.tenant_id WHERE k.revoked_at IS NULL"
    ),
    "retention": (
        "SELECT t.uuid, r.versions_kept, r.days_kept FROM retention r JOIN tenant t ON t.id = r.tenant_id"
        " WHERE r.versions_kept IS NOT NULL OR r.days_kept IS NOT NULL"
    ),
    "manifest": (
        "SELECT t.uuid, m.device_id, m.sequence, m.at, m.actor_kind, m.actor, m.note, m.added, m.removed, m.purged,"
        " m.size_bytes, HEX(m.record_digest) FROM manifest m JOIN tenant t ON t.id = m.tenant_id"
    ),
    "directory": (
        "SELECT t.uuid, d.id, d.device_id, d.area, d.is_root FROM directory d JOIN tenant t ON t.id = d.tenant_id"
    ),
    "entry": (
        "SELECT t.uuid, e.id, e.device_id, e.area, e.node_id, e.parent_id, HEX(e.name), e.name_fold, e.kind,"
        " e.media_kind, HEX(b.digest), e.size_bytes, e.mode, e.mtime_ns, HEX(e.link_target), e.added_seq, e.added_at,"
        " e.removed_seq, e.removed_at, e.removal FROM entry e JOIN tenant t ON t.id = e.tenant_id"
        " LEFT JOIN `blob` b ON b.id = e.blob_id"
    ),
    "possession": (
        "SELECT t.uuid, HEX(b.digest) FROM possession p JOIN tenant t ON t.id = p.tenant_id"
        " JOIN `blob` b ON b.id = p.blob_id WHERE p.leased_until IS NULL AND b.size_bytes > 0"
    ),
    "blob": (
        "SELECT HEX(b.digest), b.size_bytes, b.crc32, b.media_type, v.outcome"
        " FROM `blob` b LEFT JOIN verification v ON v.blob_id = b.id"
        " WHERE EXISTS (SELECT 1 FROM entry e WHERE e.blob_id = b.id)"
    ),
}


async def dump(database: Database) -> list[str]:
    """One line a row, in order."""
    lines = []
    async with database.reading() as tx:
        for name, sql in _QUERIES.items():
            lines += [f"{name} {row}" for row in await tx.fetch_all(sql)]
    return sorted(lines)


async def next_ids(database: Database) -> dict[str, int]:
    """UUID of each tenant → the next id of its ledger."""
    async with database.reading() as tx:
        rows = await tx.fetch_all("SELECT t.uuid, l.next_id FROM tenant t JOIN ledger l ON l.tenant_id = t.id")
    return dict(rows)
