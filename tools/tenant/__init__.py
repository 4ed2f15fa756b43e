"""tools/tenant: list tenants, set a quota, suspend, resume."""
