"""Start tools/sweep."""

import sys

from tools.sweep.main import main

sys.exit(main())
