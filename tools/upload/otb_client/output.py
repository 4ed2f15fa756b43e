"""What the commands say: text for people, or with `--json` one JSON object per line for scripts.

With `--json`, stdout holds JSON alone and people's text goes to stderr.
"""

import json
import sys
import threading
from typing import Any, TextIO


class Output:
    """Where a command speaks to. Its methods may be called from any thread."""

    def __init__(self, *, as_json: bool = False) -> None:
        self.as_json = as_json
        self.text_stream: TextIO = sys.stderr if as_json else sys.stdout
        self._lock = threading.Lock()

    def text(self, line: str) -> None:
        """One line for people."""
        self._write(self.text_stream, line)

    def warn(self, line: str) -> None:
        """One line about what went wrong, for people."""
        self._write(sys.stderr, line)

    def event(self, name: str, **fields: Any) -> None:
        """One JSON line `{"event": name, …}`; nothing without `--json`."""
        if self.as_json:
            self._write(sys.stdout, json.dumps({"event": name, **fields}))

    def _write(self, stream: TextIO, line: str) -> None:
        data = line.encode(stream.encoding or "utf-8", "replace").decode(stream.encoding or "utf-8", "replace")
        with self._lock:
            stream.write(data + "\n")
            stream.flush()
