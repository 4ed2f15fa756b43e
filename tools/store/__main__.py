"""Start tools/store."""

import sys

from tools.store.main import main

sys.exit(main())
