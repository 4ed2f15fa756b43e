-- Packs: many small blobs in one file; and leases: bytes a tenant has sent that no manifest names yet.

-- `pending` from before the file has its name until its blobs' rows are committed, so that a start finds what was left.
CREATE TABLE pack (
    id BINARY(16) NOT NULL PRIMARY KEY COMMENT 'random; never comes back',
    state ENUM ('pending', 'live', 'condemned', 'deleting') NOT NULL,
    blob_count INT UNSIGNED NOT NULL DEFAULT 0,
    stored_bytes BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'of the file',
    dead_bytes BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'of slices that no blob points to',
    created_at DATETIME(6) NOT NULL,
    KEY (state, created_at)
) ENGINE = InnoDB;

ALTER TABLE ledger
    ADD COLUMN leased_bytes BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'possessed by lease alone' AFTER used_bytes;

ALTER TABLE possession ADD KEY lease (tenant_id, leased_until);
