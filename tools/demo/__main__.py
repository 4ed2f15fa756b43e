"""Start tools/demo."""

import sys

from tools.demo.main import main

sys.exit(main())
