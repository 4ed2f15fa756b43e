-- The audit's chains: every event carries a number in its chain and a hash over itself and the event before it, so that
-- one that was changed, removed, added or moved is found (tools/verify --audit). docs/audit.md has the format.
-- The database makes number and hash as an event is inserted: no code can forget them, and the application's user can
-- neither choose them nor touch a head. A chain is a tenant's; chain 0 has what belongs to no tenant.

CREATE TABLE audit_head (
    chain BIGINT UNSIGNED NOT NULL PRIMARY KEY COMMENT 'the tenant, or 0',
    sequence BIGINT UNSIGNED NOT NULL COMMENT 'of the last event',
    hash BINARY(32) NOT NULL COMMENT 'of the last event'
) ENGINE = InnoDB;

-- How far the heads were written into the store's journal, under `audit/` and this catalog's own name: whoever cuts
-- the end of a chain off here has not cut it off there. One row, locked while a checkpoint is written.
CREATE TABLE audit_checkpoint (
    id TINYINT UNSIGNED NOT NULL PRIMARY KEY CHECK (id = 1),
    chain CHAR(36) CHARACTER SET ascii COLLATE ascii_bin NOT NULL COMMENT 'in the journal; a rebuilt catalog has a new one',
    sequence BIGINT UNSIGNED NOT NULL COMMENT 'of the last record',
    digest BINARY(32) NULL COMMENT 'of the last record'
) ENGINE = InnoDB;

INSERT INTO audit_checkpoint (id, chain, sequence) VALUES (1, LOWER(UUID()), 0);

CREATE TABLE audit_head_kept (
    chain BIGINT UNSIGNED NOT NULL PRIMARY KEY,
    sequence BIGINT UNSIGNED NOT NULL COMMENT 'of the head that the newest checkpoint of this chain names'
) ENGINE = InnoDB;

ALTER TABLE audit_event
    ADD COLUMN chain BIGINT UNSIGNED AS (IFNULL(tenant_id, 0)) VIRTUAL,
    ADD COLUMN sequence BIGINT UNSIGNED NOT NULL DEFAULT 0,
    ADD COLUMN hash BINARY(32) NOT NULL DEFAULT '',
    ADD COLUMN on_behalf_of VARCHAR(200) NULL COMMENT 'of staff: who let them in',
    ADD COLUMN grant_id BIGINT UNSIGNED NULL COMMENT 'of staff: by which grant';

SET @chain = NULL, @sequence = 0, @hash = '';

-- The events of before, in their order. The last assignment only remembers the chain for the next row.
UPDATE audit_event SET
    sequence = (@sequence := IF(@chain <=> IFNULL(tenant_id, 0), @sequence + 1, 1)),
    hash = UNHEX(@hash := SHA2(CONCAT(
        IF(@chain <=> IFNULL(tenant_id, 0), @hash, SHA2(CONCAT('otb-cloud audit 1\n',
            IFNULL((SELECT t.uuid FROM tenant t WHERE t.id = tenant_id), 'system')), 256)), '\n',
        @sequence, '\n', CAST(at AS CHAR), '\n',
        CHAR_LENGTH(actor_kind), ':', actor_kind, '\n', CHAR_LENGTH(actor), ':', actor, '\n',
        IFNULL(actor_id, '-'), '\n', IFNULL(device_id, '-'), '\n', CHAR_LENGTH(action), ':', action, '\n',
        CHAR_LENGTH(subject), ':', subject, '\n', CHAR_LENGTH(detail), ':', detail, '\n',
        IFNULL(address, '-'), '\n', '-', '\n', '-', '\n'), 256)),
    grant_id = IF((@chain := IFNULL(tenant_id, 0)) IS NULL, 0, NULL)
    ORDER BY IFNULL(tenant_id, 0), id;

INSERT INTO audit_head (chain, sequence, hash)
    SELECT e.chain, e.sequence, e.hash FROM audit_event e
    WHERE e.sequence = (SELECT MAX(f.sequence) FROM audit_event f WHERE f.chain = e.chain);

ALTER TABLE audit_event
    DROP INDEX tenant_id,
    DROP INDEX tenant_id_2,
    ADD UNIQUE KEY in_chain (chain, sequence),
    ADD KEY by_action (chain, action, sequence),
    ADD KEY by_actor (chain, actor, sequence),
    ADD KEY by_device (chain, device_id, sequence),
    ADD KEY by_time (chain, at, sequence);

-- Statements within begin with their semicolon: one at a line's end would end the whole.
CREATE TRIGGER audit_event_chained BEFORE INSERT ON audit_event FOR EACH ROW
BEGIN
    DECLARE number BIGINT UNSIGNED
    ; DECLARE before_hash CHAR(64) CHARACTER SET ascii
    ; INSERT INTO audit_head (chain, sequence, hash) VALUES (IFNULL(NEW.tenant_id, 0), 1,
        UNHEX(SHA2(CONCAT('otb-cloud audit 1\n',
            IFNULL((SELECT t.uuid FROM tenant t WHERE t.id = NEW.tenant_id), 'system')), 256)))
        ON DUPLICATE KEY UPDATE sequence = sequence + 1
    ; SELECT h.sequence, LOWER(HEX(h.hash)) INTO number, before_hash FROM audit_head h
        WHERE h.chain = IFNULL(NEW.tenant_id, 0)
    ; SET NEW.sequence = number
    ; SET NEW.hash = UNHEX(SHA2(CONCAT(
        before_hash, '\n', number, '\n', CAST(NEW.at AS CHAR), '\n',
        CHAR_LENGTH(NEW.actor_kind), ':', NEW.actor_kind, '\n', CHAR_LENGTH(NEW.actor), ':', NEW.actor, '\n',
        IFNULL(NEW.actor_id, '-'), '\n', IFNULL(NEW.device_id, '-'), '\n',
        CHAR_LENGTH(NEW.action), ':', NEW.action, '\n', CHAR_LENGTH(NEW.subject), ':', NEW.subject, '\n',
        CHAR_LENGTH(NEW.detail), ':', NEW.detail, '\n', IFNULL(NEW.address, '-'), '\n',
        IF(NEW.on_behalf_of IS NULL, '-', CONCAT(CHAR_LENGTH(NEW.on_behalf_of), ':', NEW.on_behalf_of)), '\n',
        IFNULL(NEW.grant_id, '-'), '\n'), 256))
    ; UPDATE audit_head SET hash = NEW.hash WHERE chain = IFNULL(NEW.tenant_id, 0)
    ; END;
