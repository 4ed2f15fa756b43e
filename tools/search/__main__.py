"""Start tools/search."""

import sys

from tools.search.main import main

sys.exit(main())
