-- Resumable uploads under way: how far each has come, durably, and what it becomes.

-- `offset_bytes` is less than `size_bytes` until all is committed, so that a client that asks is never told too much.
CREATE TABLE upload (
    tenant_id BIGINT UNSIGNED NOT NULL,
    id BIGINT UNSIGNED NOT NULL COMMENT 'from the ledger',
    part CHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'the name in incoming/',
    device_id BIGINT UNSIGNED NULL COMMENT 'where the entry goes; none: the bytes are leased',
    token_device_id BIGINT UNSIGNED NULL COMMENT 'of the device token that made it, if one did',
    path VARBINARY(4096) NULL,
    mtime_ns BIGINT NULL,
    mode SMALLINT UNSIGNED NULL,
    digest BINARY(32) NULL COMMENT 'as announced; once finished, as it is',
    metadata VARCHAR(8192) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'as it was sent',
    size_bytes BIGINT UNSIGNED NULL COMMENT 'none: to be told later',
    offset_bytes BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'what is durable in the part',
    reserved_bytes BIGINT UNSIGNED NOT NULL COMMENT 'counts in the quota; 0 once finished',
    epoch BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'of the newest writer: an older one moves nothing any more',
    entry_id BIGINT UNSIGNED NULL COMMENT 'what it became',
    created_at DATETIME(6) NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    finished_at DATETIME(6) NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE KEY (part),
    KEY open (tenant_id, finished_at, reserved_bytes),
    KEY (expires_at),
    FOREIGN KEY (tenant_id) REFERENCES tenant (id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES device (tenant_id, id)
) ENGINE = InnoDB;
