"""Programs that people start: migrate, store, tenant, verify, run, demo."""
