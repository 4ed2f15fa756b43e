"""`python -m tools.standin`: serves the stand-in portal on 127.0.0.1 until it is told to end."""

import os
import sys

from werkzeug.serving import make_server

from tools.standin.app import create_app
from tools.standin.settings import BadStandinSettings, load_standin_settings


def main() -> int:
    try:
        settings = load_standin_settings(os.environ)
    except (BadStandinSettings, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    server = make_server("127.0.0.1", settings.port, create_app(settings), threaded=True)
    print(f"The stand-in portal listens on http://127.0.0.1:{settings.port}/", flush=True)
    server.serve_forever()
    return 0


if __name__ == "__main__":
    sys.exit(main())
