"""Start tools/replicate."""

import sys

from tools.replicate.main import main

sys.exit(main())
