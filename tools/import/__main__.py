"""Start tools/import."""

import sys

from tools.importing.main import main

sys.exit(main())
