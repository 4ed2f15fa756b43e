"""Start tools/lapses."""

import sys

from tools.lapses.main import main

sys.exit(main())
