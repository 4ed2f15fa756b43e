-- What accounts use: a row per tenant and day for billing, and the newest breakdown, so that no page counts millions of rows.

CREATE TABLE usage_day (
    tenant_id BIGINT UNSIGNED NOT NULL,
    day DATE NOT NULL COMMENT 'UTC',
    logical_bytes BIGINT UNSIGNED NOT NULL COMMENT 'the most that was counted when it was recorded that day',
    file_count BIGINT UNSIGNED NOT NULL COMMENT 'live, at the last record of the day',
    quota_bytes BIGINT UNSIGNED NOT NULL,
    recorded_at DATETIME(6) NOT NULL,
    PRIMARY KEY (tenant_id, day),
    KEY (day),
    FOREIGN KEY (tenant_id) REFERENCES tenant (id)
) ENGINE = InnoDB;

CREATE TABLE usage_breakdown (
    tenant_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    taken_at DATETIME(6) NOT NULL,
    next_id BIGINT UNSIGNED NOT NULL COMMENT 'of the ledger then: while it is the same, nothing was added',
    used_bytes BIGINT UNSIGNED NOT NULL COMMENT 'of the ledger then',
    detail JSON NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenant (id)
) ENGINE = InnoDB;
