"""What `tools/import` does: bring the originals of the earlier scaffold into the store."""
