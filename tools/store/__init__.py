"""tools/store: make a store, look at its state, let it be written again."""
