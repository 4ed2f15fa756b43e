"""tools/replicate: the store and its journal a second time, and the drill that restores from there."""
