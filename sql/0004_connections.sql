-- Computers that ask to be connected: the device authorization grant of RFC 8628.

-- A row belongs to nobody until an owner approves or refuses it; from then on it is that tenant's. Rows are removed after
-- their end, whatever became of them.
CREATE TABLE connection (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    device_code_hash BINARY(32) NOT NULL UNIQUE COMMENT 'SHA-256 of what the computer keeps',
    user_code_hash BINARY(32) NOT NULL UNIQUE COMMENT 'HMAC-SHA256, keyed, of what the person types: it is short',
    name VARCHAR(100) NOT NULL COMMENT 'as the computer calls itself',
    `system` ENUM ('linux', 'macos', 'windows') NOT NULL,
    kind ENUM ('laptop', 'phone', 'tablet', 'workpc', 'homepc', 'server', 'other') NOT NULL,
    address VARCHAR(45) CHARACTER SET ascii NULL,
    network VARCHAR(45) CHARACTER SET ascii NULL COMMENT 'of the address, as far as one customer reaches: an IPv6 /64',
    created_at DATETIME(6) NOT NULL,
    expires_at DATETIME(6) NOT NULL,
    polled_at DATETIME(6) NULL,
    interval_seconds SMALLINT UNSIGNED NOT NULL,
    state ENUM ('pending', 'approved', 'refused', 'spent') NOT NULL DEFAULT 'pending',
    tenant_id BIGINT UNSIGNED NULL,
    device_id BIGINT UNSIGNED NULL,
    KEY (expires_at),
    KEY (network, expires_at),
    FOREIGN KEY (tenant_id, device_id) REFERENCES device (tenant_id, id),
    CHECK ((state IN ('approved', 'spent')) <= (tenant_id IS NOT NULL AND device_id IS NOT NULL))
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_unicode_ci;

-- Codes typed that no computer waits with, so that guessing has an end.
CREATE TABLE connection_guess (
    id BIGINT UNSIGNED NOT NULL AUTO_INCREMENT PRIMARY KEY,
    tenant_id BIGINT UNSIGNED NOT NULL,
    at DATETIME(6) NOT NULL,
    KEY (tenant_id, at),
    KEY (at),
    FOREIGN KEY (tenant_id) REFERENCES tenant (id)
) ENGINE = InnoDB;
