"""Start tools/journal."""

import sys

from tools.journal.main import main

sys.exit(main())
