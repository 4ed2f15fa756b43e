"""Start tools/tenant."""

import sys

from tools.tenant.main import main

sys.exit(main())
