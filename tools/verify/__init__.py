"""tools/verify: re-read every blob and the journal, and compare."""
