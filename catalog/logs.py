"""How programs log: lines for people, or one JSON object a line (LOG_FORMAT), as journald and collectors take them.

They lie here for the same reason as the settings. What always holds: a line of level INFO names no file, token, digest
or query; what a request was about is said by its route, and all lines of one request share its id.
"""

import json
import logging
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Final

TEXT: Final = "text"
JSON: Final = "json"

REQUEST_ID: Final[ContextVar[str]] = ContextVar("request_id", default="")
"""Of the request that is being answered; empty where none is."""

_TEXT_FORMAT: Final = "%(asctime)s %(levelname)s %(name)s: %(message)s"


class JsonLines(logging.Formatter):
    """One JSON object a line, in ASCII, whatever the message holds. The attribute `fields` of a record (a dict) is
    joined in."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if request_id := REQUEST_ID.get():
            line["request"] = request_id
        line |= getattr(record, "fields", {})
        if record.exc_info:
            line["exception"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


def begin_logging(log_format: str) -> None:
    """To stderr, from INFO on."""
    handler = logging.StreamHandler()
    handler.setFormatter(JsonLines() if log_format == JSON else logging.Formatter(_TEXT_FORMAT))
    logging.basicConfig(level=logging.INFO, handlers=[handler])
