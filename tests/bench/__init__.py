"""Benchmarks: ratios against a plain copy with fsync of the same bytes, in the same run. `make bench` runs them."""
