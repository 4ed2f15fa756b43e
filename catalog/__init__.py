"""What the bytes mean: tenants, devices, manifests, entries, search, audit. All SQL is here. Async."""
