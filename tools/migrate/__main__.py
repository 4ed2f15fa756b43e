"""Start tools/migrate."""

import sys

from tools.migrate.main import main

sys.exit(main())
