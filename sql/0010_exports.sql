-- Exports whose every byte can be made without those before it: names and places are kept with each member.
-- What was saved before had neither, was listed nowhere, and holds no bytes: it is made again by asking again.

DELETE FROM export_member;
DELETE FROM export;

ALTER TABLE export
    ADD COLUMN time_zone VARCHAR(64) CHARACTER SET ascii NOT NULL COMMENT 'whose clock the zips show',
    ADD COLUMN selection JSON NOT NULL COMMENT 'what was asked for, to ask it again',
    ADD COLUMN `at` DATETIME(6) NULL COMMENT 'the moment it shows, if not that of its making',
    ADD COLUMN since_id BIGINT UNSIGNED NULL COMMENT 'the export after which it begins',
    ADD COLUMN part_bytes_max BIGINT UNSIGNED NULL,
    MODIFY COLUMN size_bytes BIGINT UNSIGNED NULL COMMENT 'of the zips; none while it is being made';

-- How far each device had come: its last manifest that the export shows.
CREATE TABLE export_device (
    tenant_id BIGINT UNSIGNED NOT NULL,
    export_id BIGINT UNSIGNED NOT NULL,
    device_id BIGINT UNSIGNED NOT NULL,
    sequence BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (tenant_id, export_id, device_id),
    FOREIGN KEY (tenant_id, export_id) REFERENCES export (tenant_id, id) ON DELETE CASCADE
) ENGINE = InnoDB;

CREATE TABLE export_part (
    tenant_id BIGINT UNSIGNED NOT NULL,
    export_id BIGINT UNSIGNED NOT NULL,
    part INT UNSIGNED NOT NULL COMMENT 'from 1',
    first_position INT UNSIGNED NOT NULL,
    member_count INT UNSIGNED NOT NULL,
    local_bytes BIGINT UNSIGNED NOT NULL COMMENT 'of the members, headers and content',
    central_bytes BIGINT UNSIGNED NOT NULL COMMENT 'of the members in the directory',
    list_name VARBINARY(255) NOT NULL COMMENT 'of the list of digests; empty: there is none',
    list_bytes BIGINT UNSIGNED NOT NULL,
    list_crc32 INT UNSIGNED NOT NULL,
    list_mtime_ns BIGINT NOT NULL,
    size_bytes BIGINT UNSIGNED NOT NULL COMMENT 'of the zip',
    PRIMARY KEY (tenant_id, export_id, part),
    FOREIGN KEY (tenant_id, export_id) REFERENCES export (tenant_id, id) ON DELETE CASCADE
) ENGINE = InnoDB;

ALTER TABLE export_member
    ADD COLUMN part INT UNSIGNED NOT NULL,
    ADD COLUMN name VARBINARY(20000) NULL COMMENT 'in the zip, where it is not the path',
    ADD COLUMN `offset` BIGINT UNSIGNED NOT NULL,
    ADD COLUMN listed_at BIGINT UNSIGNED NOT NULL,
    ADD COLUMN central_at BIGINT UNSIGNED NOT NULL;
