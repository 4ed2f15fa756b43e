-- Devices that have not backed up for days: when their owners were last told.

ALTER TABLE device ADD COLUMN lapse_mailed_at DATETIME(6) NULL COMMENT 'not in the journal: after a rebuild they are told again';
