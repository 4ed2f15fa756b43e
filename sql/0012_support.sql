-- Support access: what an owner lets staff do, once, for a while.

CREATE TABLE support_grant (
    tenant_id BIGINT UNSIGNED NOT NULL,
    id BIGINT UNSIGNED NOT NULL COMMENT 'from the ledger',
    token_hash BINARY(32) NOT NULL UNIQUE COMMENT 'SHA-256',
    reason VARCHAR(500) NOT NULL,
    may_write TINYINT UNSIGNED NOT NULL,
    all_devices TINYINT UNSIGNED NOT NULL COMMENT 'else those of support_grant_device',
    created_at DATETIME(6) NOT NULL,
    created_by VARCHAR(200) NOT NULL,
    expires_at DATETIME(6) NOT NULL COMMENT 'of the token and of the access',
    redeemed_at DATETIME(6) NULL,
    staff_id BIGINT UNSIGNED NULL,
    staff VARCHAR(200) NULL,
    session_hash BINARY(32) NULL UNIQUE COMMENT 'the one staff session that it lets in, while it does',
    seen_at DATETIME(6) NULL,
    ended_at DATETIME(6) NULL,
    ended_by VARCHAR(200) NULL,
    PRIMARY KEY (tenant_id, id),
    FOREIGN KEY (tenant_id) REFERENCES tenant (id),
    FOREIGN KEY (staff_id) REFERENCES staff (id),
    CHECK ((redeemed_at IS NULL) = (staff_id IS NULL)),
    CHECK (session_hash IS NULL OR redeemed_at IS NOT NULL)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

CREATE TABLE support_grant_device (
    tenant_id BIGINT UNSIGNED NOT NULL,
    grant_id BIGINT UNSIGNED NOT NULL,
    device_id BIGINT UNSIGNED NOT NULL,
    PRIMARY KEY (tenant_id, grant_id, device_id),
    FOREIGN KEY (tenant_id, grant_id) REFERENCES support_grant (tenant_id, id),
    FOREIGN KEY (tenant_id, device_id) REFERENCES device (tenant_id, id)
) ENGINE = InnoDB;

-- Tokens typed that open nothing, so that guessing has an end.
CREATE TABLE support_guess (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    staff_id BIGINT UNSIGNED NOT NULL,
    address VARCHAR(45) CHARACTER SET ascii NULL,
    at DATETIME(6) NOT NULL,
    KEY (staff_id, at),
    KEY (address, at),
    KEY (at),
    FOREIGN KEY (staff_id) REFERENCES staff (id)
) ENGINE = InnoDB;
