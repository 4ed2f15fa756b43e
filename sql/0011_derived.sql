-- Derived files: what is known of a file's content, its thumbnail and preview, what was made of it on request, and the jobs
-- that make all this. Everything is a tenant's own and hangs on its possession of the source, so that it goes with it; bytes
-- that two tenants' jobs make alike are stored once, as any blob is.

-- Read from the content, once for each blob that a tenant possesses.
CREATE TABLE media (
    tenant_id BIGINT UNSIGNED NOT NULL,
    blob_id BIGINT UNSIGNED NOT NULL,
    kind ENUM ('image', 'video', 'audio', 'pdf', 'document', 'text', 'other') NOT NULL,
    media_type VARCHAR(127) CHARACTER SET ascii NOT NULL COMMENT 'as the content says, whatever the name',
    width INT UNSIGNED NULL COMMENT 'as a person sees it, turned',
    height INT UNSIGNED NULL,
    duration_ms BIGINT UNSIGNED NULL,
    pages INT UNSIGNED NULL,
    taken_ns BIGINT NULL,
    taken_source VARCHAR(32) CHARACTER SET ascii NULL COMMENT 'which field of which standard said so',
    taken_has_offset TINYINT UNSIGNED NULL COMMENT '0: a local time, taken to be in the tenant''s time zone',
    camera VARCHAR(200) NULL,
    latitude DOUBLE NULL,
    longitude DOUBLE NULL,
    read_at DATETIME(6) NOT NULL,
    PRIMARY KEY (tenant_id, blob_id),
    FOREIGN KEY (tenant_id, blob_id) REFERENCES possession (tenant_id, blob_id) ON DELETE CASCADE
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

-- Which blobs have facts since when: `seq` rises without a gap within a tenant, so that a search index can catch up.
CREATE TABLE media_head (
    tenant_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    seq BIGINT UNSIGNED NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenant (id)
) ENGINE = InnoDB;

CREATE TABLE media_note (
    tenant_id BIGINT UNSIGNED NOT NULL,
    seq BIGINT UNSIGNED NOT NULL,
    blob_id BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (tenant_id, seq),
    FOREIGN KEY (tenant_id) REFERENCES tenant (id)
) ENGINE = InnoDB;

-- A thumbnail or preview, or why there is none. `derived_id` is a reference: it keeps the blob from the sweep.
CREATE TABLE rendition (
    tenant_id BIGINT UNSIGNED NOT NULL,
    source_id BIGINT UNSIGNED NOT NULL,
    recipe VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version SMALLINT UNSIGNED NOT NULL,
    derived_id BIGINT UNSIGNED NULL,
    media_type VARCHAR(127) CHARACTER SET ascii NULL,
    failure VARCHAR(500) NULL COMMENT 'a sentence for the customer',
    log MEDIUMTEXT NULL,
    made_at DATETIME(6) NOT NULL,
    PRIMARY KEY (tenant_id, source_id, recipe),
    KEY (derived_id),
    FOREIGN KEY (tenant_id, source_id) REFERENCES possession (tenant_id, blob_id) ON DELETE CASCADE,
    FOREIGN KEY (derived_id) REFERENCES `blob` (id),
    CHECK ((derived_id IS NULL) = (failure IS NOT NULL)),
    CHECK ((derived_id IS NULL) = (media_type IS NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

-- Where a derived file comes from. Outlives its source, and goes with the derived bytes.
CREATE TABLE derivation (
    tenant_id BIGINT UNSIGNED NOT NULL,
    key_digest BINARY(32) NOT NULL COMMENT 'BLAKE3 of source, recipe, version and parameters',
    source_digest BINARY(32) NOT NULL,
    recipe VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version SMALLINT UNSIGNED NOT NULL,
    parameters VARCHAR(1000) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'JSON, keys in order, nothing left out',
    blob_id BIGINT UNSIGNED NOT NULL,
    made_at DATETIME(6) NOT NULL,
    PRIMARY KEY (tenant_id, key_digest),
    KEY (tenant_id, source_digest),
    KEY (tenant_id, blob_id),
    FOREIGN KEY (tenant_id, blob_id) REFERENCES possession (tenant_id, blob_id) ON DELETE CASCADE
) ENGINE = InnoDB;

-- `claims` counts how often a worker took the job; the number of its claim is the worker's right to finish it.
CREATE TABLE job (
    tenant_id BIGINT UNSIGNED NOT NULL,
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT,
    recipe VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    version SMALLINT UNSIGNED NOT NULL,
    parameters VARCHAR(1000) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    source_id BIGINT UNSIGNED NOT NULL,
    rendition_of BIGINT UNSIGNED NULL COMMENT 'the source, of a rendition: one job for each',
    entry_id BIGINT UNSIGNED NULL COMMENT 'the file that somebody asked it for',
    device_id BIGINT UNSIGNED NULL COMMENT 'of that file',
    lane ENUM ('light', 'heavy') NOT NULL,
    priority TINYINT UNSIGNED NOT NULL COMMENT '0 first',
    turn BIGINT UNSIGNED NOT NULL COMMENT 'its place among the tenants, by start-time fair queueing',
    state ENUM ('waiting', 'running', 'done', 'failed', 'cancelled') NOT NULL DEFAULT 'waiting',
    not_before DATETIME(6) NOT NULL,
    claims INT UNSIGNED NOT NULL DEFAULT 0,
    lost INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'claims whose worker was not heard of again',
    refusals INT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'tries that failed',
    worker VARCHAR(100) NOT NULL DEFAULT '',
    leased_until DATETIME(6) NULL,
    cancel_asked TINYINT UNSIGNED NOT NULL DEFAULT 0,
    progress TINYINT UNSIGNED NOT NULL DEFAULT 0 COMMENT 'percent',
    failure VARCHAR(500) NULL COMMENT 'a sentence for the customer',
    log MEDIUMTEXT NULL,
    asked_by VARCHAR(200) NOT NULL,
    created_at DATETIME(6) NOT NULL,
    started_at DATETIME(6) NULL,
    finished_at DATETIME(6) NULL,
    PRIMARY KEY (tenant_id, id),
    UNIQUE KEY (id),
    UNIQUE KEY one_rendition (tenant_id, rendition_of, recipe),
    KEY queue (state, lane, priority, turn, id),
    KEY lease (state, leased_until),
    KEY cards (tenant_id, entry_id, id),
    FOREIGN KEY (tenant_id, source_id) REFERENCES possession (tenant_id, blob_id) ON DELETE CASCADE,
    CHECK ((rendition_of IS NULL) <> (entry_id IS NULL)),
    CHECK ((device_id IS NULL) = (entry_id IS NULL)),
    CHECK ((state = 'running') = (leased_until IS NOT NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

-- The files that a job left. No foreign key to `entry`: they may be purged, and the card then says so.
CREATE TABLE job_output (
    tenant_id BIGINT UNSIGNED NOT NULL,
    job_id BIGINT UNSIGNED NOT NULL,
    position SMALLINT UNSIGNED NOT NULL,
    entry_id BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (tenant_id, job_id, position),
    FOREIGN KEY (tenant_id, job_id) REFERENCES job (tenant_id, id) ON DELETE CASCADE
) ENGINE = InnoDB;

-- How far the workers have looked through a device's manifests for files that need renditions.
CREATE TABLE media_mark (
    tenant_id BIGINT UNSIGNED NOT NULL,
    device_id BIGINT UNSIGNED NOT NULL,
    sequence BIGINT UNSIGNED NOT NULL,
    entry_id BIGINT UNSIGNED NOT NULL COMMENT 'the last one seen of that manifest',
    PRIMARY KEY (tenant_id, device_id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES device (tenant_id, id)
) ENGINE = InnoDB;

-- Since the beginning; deleting a job takes nothing away here.
CREATE TABLE job_counter (
    recipe VARCHAR(32) CHARACTER SET ascii COLLATE ascii_bin NOT NULL,
    outcome ENUM ('done', 'failed', 'cancelled', 'retried', 'lost') NOT NULL,
    jobs BIGINT UNSIGNED NOT NULL,
    milliseconds BIGINT UNSIGNED NOT NULL COMMENT 'that workers spent on them',
    PRIMARY KEY (recipe, outcome)
) ENGINE = InnoDB;
