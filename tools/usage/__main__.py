"""Start tools/usage."""

import sys

from tools.usage.main import main

sys.exit(main())
