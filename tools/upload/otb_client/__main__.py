"""`otb-cloud` and `python -m otb_client`."""

import sys

from otb_client.cli import main

if __name__ == "__main__":
    sys.exit(main())
