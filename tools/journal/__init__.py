"""tools/journal: the chains of the store: how they stand, and checkpoints."""
