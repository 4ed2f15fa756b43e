-- Rebuilding the catalog from the store: while one is under way, nothing else may use this catalog.

CREATE TABLE rebuild (
    id TINYINT UNSIGNED NOT NULL PRIMARY KEY CHECK (id = 1),
    started_at DATETIME(6) NOT NULL,
    finished_at DATETIME(6) NULL
) ENGINE = InnoDB;

-- Accounts that are whole again, so that an interrupted rebuild goes on with the next.
CREATE TABLE rebuilt_tenant (
    tenant_id BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    finished_at DATETIME(6) NOT NULL,
    FOREIGN KEY (tenant_id) REFERENCES tenant (id)
) ENGINE = InnoDB;
