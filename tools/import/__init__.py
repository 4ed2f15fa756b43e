"""Starts `tools.importing`: a package cannot be imported by the name of a keyword."""
