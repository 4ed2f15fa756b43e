import sys

from tools.worker.main import main

if __name__ == "__main__":
    sys.exit(main())
