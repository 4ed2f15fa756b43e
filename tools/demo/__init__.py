"""tools/demo: makes the sample customer of `make run` through every customer's door: handoff, session, HTTP API."""
