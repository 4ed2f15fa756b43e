"""What keeps tools/demo from filling the sample customer."""


class DemoError(Exception):
    """The service refused a step, or cannot be reached; the text says which step and what the service said."""
