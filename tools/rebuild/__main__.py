"""Start tools/rebuild."""

import sys

from tools.rebuild.main import main

sys.exit(main())
