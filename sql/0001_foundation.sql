-- The catalog's first schema. Applied by tools/migrate; never edited once released: a change is a new file.
-- Times are UTC. Names and paths are bytes, exactly as the device had them. Keys start with the tenant, and
-- foreign keys are composite, so that no row can point across tenants.

CREATE TABLE store (
    id TINYINT UNSIGNED NOT NULL PRIMARY KEY CHECK (id = 1),
    store_id CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    created_at DATETIME(6) NOT NULL
) ENGINE = InnoDB;

CREATE TABLE tenant (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    uuid CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL UNIQUE,
    billing_client VARCHAR(128) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL UNIQUE,
    label VARCHAR(200) NOT NULL,
    status ENUM ('active', 'suspended', 'closed') NOT NULL DEFAULT 'active',
    quota_bytes BIGINT UNSIGNED NULL COMMENT 'NULL: the default of the settings',
    time_zone VARCHAR(64) CHARACTER SET ascii NOT NULL,
    created_at DATETIME(6) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

-- The row that every change of a tenant locks first. Apart from `tenant`, so that the lock stands in nobody's way.
CREATE TABLE ledger (
    tenant_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    used_bytes BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'logical: live, held and versions',
    next_id BIGINT UNSIGNED NOT NULL DEFAULT 1 COMMENT 'of devices, directories, entries, exports',
    FOREIGN KEY (tenant_id) REFERENCES tenant (id)
) ENGINE = InnoDB;

CREATE TABLE user (
    tenant_id BIGINT UNSIGNED NOT NULL,
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    subject VARCHAR(254) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
    email VARCHAR(254) NOT NULL,
    name VARCHAR(200) NOT NULL,
    role ENUM ('owner', 'member') NOT NULL,
    created_at DATETIME(6) NOT NULL,
    seen_at DATETIME(6) NOT NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE KEY (id),
    UNIQUE KEY (tenant_id, subject),
    FOREIGN KEY (tenant_id) REFERENCES tenant (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

CREATE TABLE staff (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    subject VARCHAR(254) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL UNIQUE,
    email VARCHAR(254) NOT NULL,
    name VARCHAR(200) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    seen_at DATETIME(6) NOT NULL
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

CREATE TABLE handoff (
    jti_hash BINARY(32) NOT NULL PRIMARY KEY,
    expires_at DATETIME(6) NOT NULL,
    KEY (expires_at)
) ENGINE = InnoDB;

CREATE TABLE session (
    token_hash BINARY(32) NOT NULL PRIMARY KEY COMMENT 'SHA-256 of the cookie',
    tenant_id BIGINT UNSIGNED NULL,
    user_id BIGINT UNSIGNED NULL,
    staff_id BIGINT UNSIGNED NULL,
    address VARCHAR(45) CHARACTER SET ascii NULL,
    user_agent VARCHAR(255) NOT NULL DEFAULT '',
    created_at DATETIME(6) NOT NULL,
    seen_at DATETIME(6) NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    KEY (tenant_id, user_id),
    KEY (expires_at),
    FOREIGN KEY (tenant_id, user_id) REFERENCES user (tenant_id, id),
    FOREIGN KEY (staff_id) REFERENCES staff (id),
    CHECK ((staff_id IS NULL) <> (user_id IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

CREATE TABLE device (
    tenant_id BIGINT UNSIGNED NOT NULL,
    id BIGINT UNSIGNED NOT NULL,
    name VARCHAR(100) NOT NULL,
    kind ENUM ('laptop', 'phone', 'tablet', 'workpc', 'homepc', 'server', 'other') NOT NULL,
    created_at DATETIME(6) NOT NULL,
    last_upload_at DATETIME(6) NULL,
    file_count BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'live files',
    size_bytes BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'of the live files',
    removed_at DATETIME(6) NULL,
    removed_key BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT '0 while live, then the id: one live name each',
    PRIMARY KEY (tenant_id, id),
    UNIQUE KEY live_name (tenant_id, name, removed_key),
    FOREIGN KEY (tenant_id) REFERENCES tenant (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

CREATE TABLE device_source (
    tenant_id BIGINT UNSIGNED NOT NULL,
    device_id BIGINT UNSIGNED NOT NULL,
    position SMALLINT UNSIGNED NOT NULL,
    path VARCHAR(4096) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL,
    PRIMARY KEY (tenant_id, device_id, position),
    FOREIGN KEY (tenant_id, device_id) REFERENCES device (tenant_id, id)
) ENGINE = InnoDB;

CREATE TABLE device_token (
    tenant_id BIGINT UNSIGNED NOT NULL,
    device_id BIGINT UNSIGNED NOT NULL,
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    token_hash BINARY(32) NOT NULL COMMENT 'SHA-256',
    label VARCHAR(100) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    last_used_at DATETIME(6) NULL,
    revoked_at DATETIME(6) NULL,
    PRIMARY KEY (tenant_id, device_id, id),
    UNIQUE KEY (id),
    UNIQUE KEY (token_hash),
    FOREIGN KEY (tenant_id, device_id) REFERENCES device (tenant_id, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

-- `id` is the blob's incarnation: never used again, so a claim can tell that its row was swept meanwhile.
CREATE TABLE `blob` (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    digest BINARY(32) NOT NULL UNIQUE COMMENT 'BLAKE3',
    size_bytes BIGINT UNSIGNED NOT NULL,
    stored_bytes BIGINT UNSIGNED NOT NULL,
    crc32 INT UNSIGNED NOT NULL COMMENT 'of the plain bytes, as zip wants it',
    encoding ENUM ('identity', 'zstd') NOT NULL,
    location VARCHAR(128) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    media_type VARCHAR(127) CHARACTER SET ascii NULL COMMENT 'read from the content, where something did',
    state ENUM ('pending', 'live', 'condemned', 'deleting') NOT NULL,
    created_at DATETIME(6) NOT NULL,
    touched_at DATETIME(6) NOT NULL COMMENT 'last claimed; the sweep waits a grace after it',
    KEY (state, touched_at)
) ENGINE = InnoDB;

-- Apart from `blob`, so that a scrub never touches the rows that uploads lock.
CREATE TABLE verification (
    blob_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    verified_at DATETIME(6) NOT NULL,
    outcome ENUM ('good', 'damaged', 'missing') NOT NULL,
    KEY (outcome, blob_id),
    FOREIGN KEY (blob_id) REFERENCES `blob` (id) ON DELETE CASCADE
) ENGINE = InnoDB;

CREATE TABLE possession (
    tenant_id BIGINT UNSIGNED NOT NULL,
    blob_id BIGINT UNSIGNED NOT NULL,
    leased_until DATETIME(6) NULL COMMENT 'counts as a reference until then, entries or not',
    created_at DATETIME(6) NOT NULL,
    PRIMARY KEY (tenant_id, blob_id),
    KEY (blob_id),
    FOREIGN KEY (tenant_id) REFERENCES tenant (id),
    FOREIGN KEY (blob_id) REFERENCES `blob` (id)
) ENGINE = InnoDB;

-- One row per journal chain: device_id 0 is the tenant's own chain. Locked until the commit.
CREATE TABLE journal_head (
    tenant_id BIGINT UNSIGNED NOT NULL,
    device_id BIGINT UNSIGNED NOT NULL,
    sequence BIGINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'of the last journal record',
    digest BINARY(32) NULL COMMENT 'of the last journal record',
    manifest_sequence BIGINT UNSIGNED NOT NULL DEFAULT 0,
    changed_at DATETIME(6) NOT NULL COMMENT 'never goes back within a chain',
    PRIMARY KEY (tenant_id, device_id),
    FOREIGN KEY (tenant_id) REFERENCES tenant (id)
) ENGINE = InnoDB;

CREATE TABLE manifest (
    tenant_id BIGINT UNSIGNED NOT NULL,
    device_id BIGINT UNSIGNED NOT NULL,
    sequence BIGINT UNSIGNED NOT NULL,
    at DATETIME(6) NOT NULL,
    actor_kind VARCHAR(16) CHARACTER SET ascii NOT NULL,
    actor VARCHAR(200) NOT NULL,
    note VARCHAR(500) NOT NULL,
    added INT UNSIGNED NOT NULL,
    removed INT UNSIGNED NOT NULL,
    size_bytes BIGINT UNSIGNED NOT NULL COMMENT 'of the files added',
    record_digest BINARY(32) NULL COMMENT 'of the journal record that carries it; set before the commit',
    PRIMARY KEY (tenant_id, device_id, sequence),
    KEY (tenant_id, device_id, at),
    FOREIGN KEY (tenant_id, device_id) REFERENCES device (tenant_id, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

-- A directory's identity, which outlives its names; `entry.node_id` of a directory is its id here.
CREATE TABLE directory (
    tenant_id BIGINT UNSIGNED NOT NULL,
    id BIGINT UNSIGNED NOT NULL,
    device_id BIGINT UNSIGNED NOT NULL,
    area ENUM ('originals', 'derived') NOT NULL,
    is_root TINYINT UNSIGNED NOT NULL DEFAULT 0,
    PRIMARY KEY (tenant_id, id),
    KEY (tenant_id, device_id, area, is_root),
    FOREIGN KEY (tenant_id, device_id) REFERENCES device (tenant_id, id)
) ENGINE = InnoDB;

-- One interval of one name: added by a manifest, removed by a later one. Never otherwise changed, only purged;
-- but `removal` turns from 'deleted' to 'recovered' when the same file lives again.
CREATE TABLE entry (
    tenant_id BIGINT UNSIGNED NOT NULL,
    id BIGINT UNSIGNED NOT NULL,
    device_id BIGINT UNSIGNED NOT NULL,
    area ENUM ('originals', 'derived') NOT NULL,
    node_id BIGINT UNSIGNED NOT NULL COMMENT 'what stays the same through versions and renames',
    parent_id BIGINT UNSIGNED NOT NULL,
    name VARBINARY(255) NOT NULL,
    name_fold VARCHAR(512) CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin NOT NULL COMMENT 'for search and order',
    kind ENUM ('directory', 'file', 'link') NOT NULL,
    media_kind ENUM ('image', 'video', 'audio', 'document', 'other') NOT NULL,
    blob_id BIGINT UNSIGNED NULL,
    size_bytes BIGINT UNSIGNED NOT NULL DEFAULT 0,
    mode SMALLINT UNSIGNED NULL,
    mtime_ns BIGINT NOT NULL,
    taken_ns BIGINT NULL,
    dated_ns BIGINT AS (IFNULL(taken_ns, mtime_ns)) VIRTUAL,
    link_target VARBINARY(4096) NULL,
    added_seq BIGINT UNSIGNED NOT NULL,
    added_at DATETIME(6) NOT NULL,
    removed_seq BIGINT UNSIGNED NULL,
    removed_at DATETIME(6) NULL,
    removal ENUM ('deleted', 'replaced', 'renamed', 'amended', 'recovered') NULL,
    removed_key BIGINT UNSIGNED AS (IFNULL(removed_seq, 0)) VIRTUAL COMMENT '0 while live; a NULL would not be unique',
    PRIMARY KEY (tenant_id, id),
    UNIQUE KEY live_name (tenant_id, parent_id, name, removed_key),
    KEY listing (tenant_id, parent_id, removed_key, kind, name_fold, id),
    KEY node (tenant_id, node_id, added_seq),
    KEY by_name (tenant_id, removed_key, name_fold, id),
    KEY by_dated (tenant_id, removed_key, dated_ns, id),
    KEY by_modified (tenant_id, removed_key, mtime_ns, id),
    KEY by_uploaded (tenant_id, removed_key, added_at, id),
    KEY held (tenant_id, removal, removed_at, id),
    KEY (tenant_id, device_id, added_seq),
    KEY (tenant_id, device_id, removed_seq),
    KEY (blob_id),
    FOREIGN KEY (tenant_id, parent_id) REFERENCES directory (tenant_id, id),
    FOREIGN KEY (tenant_id, device_id, added_seq) REFERENCES manifest (tenant_id, device_id, sequence),
    FOREIGN KEY (tenant_id, device_id, removed_seq) REFERENCES manifest (tenant_id, device_id, sequence),
    FOREIGN KEY (blob_id) REFERENCES `blob` (id),
    CHECK ((kind = 'file') = (blob_id IS NOT NULL)),
    CHECK ((removed_seq IS NULL) = (removal IS NULL))
) ENGINE = InnoDB;

CREATE TABLE export (
    tenant_id BIGINT UNSIGNED NOT NULL,
    id BIGINT UNSIGNED NOT NULL,
    name VARCHAR(200) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    created_by VARCHAR(200) NOT NULL,
    device_id BIGINT UNSIGNED NULL COMMENT 'of the device token that made it, if one did',
    member_count INT UNSIGNED NOT NULL,
    content_bytes BIGINT UNSIGNED NOT NULL,
    size_bytes BIGINT UNSIGNED NULL COMMENT 'of the zip, once planned',
    etag BINARY(32) NOT NULL COMMENT 'BLAKE3 of the plan',
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id) REFERENCES tenant (id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

-- No foreign key to `entry`: an export holds no bytes. What was purged since is found missing when it is read.
CREATE TABLE export_member (
    tenant_id BIGINT UNSIGNED NOT NULL,
    export_id BIGINT UNSIGNED NOT NULL,
    position INT UNSIGNED NOT NULL,
    path VARBINARY(4096) NOT NULL,
    entry_id BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (tenant_id, export_id, position),
    FOREIGN KEY (tenant_id, export_id) REFERENCES export (tenant_id, id) ON DELETE CASCADE
) ENGINE = InnoDB;

-- Append-only: the application's database user may SELECT and INSERT here and nothing else (sql/grants.sql).
-- No foreign keys: the audit outlives what it tells of.
CREATE TABLE audit_event (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    tenant_id BIGINT UNSIGNED NULL,
    at DATETIME(6) NOT NULL,
    actor_kind VARCHAR(16) CHARACTER SET ascii NOT NULL,
    actor VARCHAR(200) NOT NULL,
    actor_id BIGINT UNSIGNED NULL,
    device_id BIGINT UNSIGNED NULL,
    action VARCHAR(64) CHARACTER SET ascii NOT NULL,
    subject VARCHAR(512) NOT NULL,
    detail JSON NOT NULL,
    address VARCHAR(45) CHARACTER SET ascii NULL,
    KEY (tenant_id, id),
    KEY (tenant_id, action, id)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

CREATE TABLE scrub_run (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    started_at DATETIME(6) NOT NULL,
    updated_at DATETIME(6) NOT NULL,
    finished_at DATETIME(6) NULL,
    last_blob_id BIGINT UNSIGNED NOT NULL DEFAULT 0,
    counts JSON NOT NULL
) ENGINE = InnoDB;
