"""tools/sweep: what nothing names any more goes to the trash, and at last for good."""
