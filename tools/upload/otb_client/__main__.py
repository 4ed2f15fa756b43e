"""`otb-cloud` and `python -m otb_client`."""

import sys


def main() -> int:
    """Run one command; returns its exit code."""
    return 0


if __name__ == "__main__":
    sys.exit(main())
