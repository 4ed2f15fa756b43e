"""A site of the module's own, and a new account on it for each test."""

from tests.tools.sweep.conftest import rig, site

__all__ = ["rig", "site"]
