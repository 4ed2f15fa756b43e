-- Purges, the queue of blobs that the sweep looks at, retention rules for versions, and what sweeps have done.

ALTER TABLE manifest
    ADD COLUMN purged INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'entries that it removed for good' AFTER removed;

-- No foreign key: a reference to `blob` would lock the row that uploads claim. What is gone already is passed over.
CREATE TABLE sweep_candidate (
    blob_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    queued_at DATETIME(6) NOT NULL,
    KEY (queued_at, blob_id)
) ENGINE = InnoDB;

-- How long versions that were replaced are kept. No row, or NULL in both: for ever.
CREATE TABLE retention (
    tenant_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    versions_kept INT UNSIGNED NULL COMMENT 'of each file, the newest so many are kept',
    days_kept INT UNSIGNED NULL COMMENT 'and all that were replaced within so many days',
    changed_at DATETIME(6) NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenant (id)
) ENGINE = InnoDB;

ALTER TABLE pack ADD COLUMN condemned_at DATETIME(6) NULL COMMENT 'rewritten, or found without a live blob';

CREATE TABLE sweep_run (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    started_at DATETIME(6) NOT NULL,
    updated_at DATETIME(6) NOT NULL,
    finished_at DATETIME(6) NULL,
    last_blob_id BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'how far the full check has come',
    counts JSON NOT NULL
) ENGINE = InnoDB;
