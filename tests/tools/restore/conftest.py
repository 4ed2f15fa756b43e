"""A server, computers that back up to it, and what they restore."""

from tests.tools.upload.conftest import computer, make_computer

__all__ = ["computer", "make_computer"]
