-- The file page tells who downloaded a file: the entry that an event is about, as an index can find it.

ALTER TABLE audit_event
    ADD COLUMN entry_id BIGINT UNSIGNED AS (CAST(JSON_VALUE(detail, '$.entry') AS UNSIGNED)) VIRTUAL,
    ADD KEY of_entry (tenant_id, entry_id, id);
