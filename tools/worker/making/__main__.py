import sys

from tools.worker.making.server import main

if __name__ == "__main__":
    sys.exit(main())
