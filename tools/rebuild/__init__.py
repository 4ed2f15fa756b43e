"""tools/rebuild: the catalog from the store alone, and an existing catalog held against the store."""
