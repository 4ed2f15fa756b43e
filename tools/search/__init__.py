"""Looks at the search indexes, and makes them again."""
