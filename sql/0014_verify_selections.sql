-- Runs of tools/verify that read a selection: recorded like the others, and never gone on with.

ALTER TABLE scrub_run ADD COLUMN selection VARCHAR(200) NULL COMMENT 'NULL: everything';
