-- Search has an index of its own beside the catalog (catalog/search.py), so an entry's row no longer pays for four.

ALTER TABLE entry
    DROP KEY by_name,
    DROP KEY by_dated,
    DROP KEY by_modified,
    DROP KEY by_uploaded,
    DROP COLUMN dated_ns;
