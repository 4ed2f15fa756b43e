"""Bytes under their digest: writing, reading, verifying, the journal. Synchronous. Knows no tenant, no SQL, no HTTP."""
