"""Start tools/verify."""

import sys

from tools.verify.main import main

sys.exit(main())
