"""The one HTTP client: the bearer token, TLS, time limits, retries, and problem+json as `ApiError`.

Redirects are never followed, so that the token goes to the configured server alone. A request that may be repeated is
repeated with growing, jittered pauses until `retry_seconds` have passed since it first failed. A body that is an
iterator is given as a function, so that each attempt has a fresh one. May be used from several threads.
"""

import json
import os
import random
import threading
import time
from collections.abc import Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Optional, Union

from otb_client.errors import ApiError, BadAnswer, ClientError, LineFailed, Stopped

if TYPE_CHECKING:
    from urllib3 import BaseHTTPResponse

Body = Union[None, bytes, bytearray, memoryview, Callable[[], Iterable[Union[bytes, memoryview]]]]
"""Bytes, or a function that gives a fresh iterator of pieces; give `Content-Length` with the latter."""

CONNECTIONS = 4
CONNECT_SECONDS = 30
READ_SECONDS = 120
"""Without a byte of the answer. A commit of 50,000 entries on a busy server takes seconds."""
RETRY_SECONDS = 600
PAUSE_SECONDS_MIN = 0.25
PAUSE_SECONDS_MAX = 30.0
ANSWER_BYTES_MAX = 128 << 20
"""Of a JSON answer."""
PIECE_BYTES = 1 << 20
RETRIED_STATUSES = frozenset({408, 425, 429, 500, 502, 503, 504})


class Answer:
    """A whole answer below 400. `headers` are found in any case."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = body

    def json(self) -> dict[str, Any]:
        """The body as a JSON object. Raises `BadAnswer`."""
        try:
            value = json.loads(self.body)
        except ValueError as e:
            raise BadAnswer("The server's answer is not JSON. Is its address right?") from e
        if not isinstance(value, dict):
            raise BadAnswer("The server's answer is not a JSON object.")
        return value


class Patience:
    """How long one piece of work is tried again: pauses of 0.25 s growing to 30 s, half of each random.

    `wait` returns after a pause, or raises the error given to it when the time is over; `progress` starts anew.
    """

    def __init__(self, seconds: float, stop: threading.Event, on_wait: Optional[Callable[[str, float], None]]) -> None:
        self._seconds = seconds
        self._stop = stop
        self._on_wait = on_wait
        self.progress()

    def progress(self) -> None:
        """Something got through."""
        self._deadline: Optional[float] = None
        self._pause = PAUSE_SECONDS_MIN

    def wait(self, error: ClientError) -> None:
        """Raises `error` when there is no point, or no time, for another attempt; `Stopped` when the program ends."""
        if self._stop.is_set():
            raise Stopped("Interrupted.") from error
        if not is_passing(error):
            raise error
        now = time.monotonic()
        if self._deadline is None:
            self._deadline = now + self._seconds
        pause = self._pause * random.uniform(0.5, 1.0)  # noqa: S311
        asked = error.retry_after_seconds if isinstance(error, ApiError) else None
        pause = max(pause, min(asked or 0.0, PAUSE_SECONDS_MAX))
        if now + pause > self._deadline:
            raise error
        self._pause = min(self._pause * 2, PAUSE_SECONDS_MAX)
        if self._on_wait is not None:
            self._on_wait(str(error), pause)
        if self._stop.wait(pause):
            raise Stopped("Interrupted.") from error


def is_passing(error: ClientError) -> bool:
    """Whether the same request may succeed later."""
    if isinstance(error, ApiError):
        return error.status in RETRIED_STATUSES
    return isinstance(error, LineFailed)


class Api:
    """One server, one token. `token` empty: requests that need none. `on_wait(reason, seconds)` before each pause."""

    def __init__(
        self,
        server: str,
        token: str = "",
        *,
        connections: int = CONNECTIONS,
        retry_seconds: float = RETRY_SECONDS,
        on_wait: Optional[Callable[[str, float], None]] = None,
    ) -> None:
        self.server = server
        self.stop = threading.Event()
        """Set to make every wait and every next attempt raise `Stopped`."""
        self.retry_seconds = retry_seconds
        self._on_wait = on_wait
        self._headers = {"User-Agent": "otb-cloud/0.1", "Accept": "application/json"}
        if token:
            self._headers["Authorization"] = f"Bearer {token}"
        self._pool = _pool(server, connections)

    def close(self) -> None:
        """End every wait and close idle connections."""
        self.stop.set()
        self._pool.clear()

    def patience(self) -> Patience:
        """For work of several requests that is retried as a whole."""
        return Patience(self.retry_seconds, self.stop, self._on_wait)

    def get_json(self, path: str, query: Optional[Mapping[str, str]] = None) -> dict[str, Any]:
        """GET. Raises `ApiError`, `LineFailed`, `BadAnswer`."""
        return self.request("GET", path, query=query).json()

    def post_json(self, path: str, value: Any) -> dict[str, Any]:
        """POST of a JSON body, retried: only for what may be sent twice. Raises as `get_json`."""
        body = json.dumps(value).encode()
        return self.request("POST", path, body=body, headers={"Content-Type": "application/json"}).json()

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Optional[Mapping[str, str]] = None,
        headers: Optional[Mapping[str, str]] = None,
        body: Body = None,
        retried: bool = True,
        passed: Collection[int] = (),
    ) -> Answer:
        """One request and its whole answer. A status of 400 or more in `passed` is returned, not raised.

        Raises `ApiError`, `LineFailed` (after retries, where `retried`), `BadAnswer`, `Stopped`.
        """
        patience = self.patience()
        while True:
            try:
                with self.stream(method, path, query=query, headers=headers, body=body, passed=passed) as response:
                    return Answer(response.status, response.headers, _whole(response))
            except (LineFailed, ApiError) as e:  # noqa: PERF203
                if not retried:
                    raise
                patience.wait(e)

    @contextmanager
    def stream(
        self,
        method: str,
        path: str,
        *,
        query: Optional[Mapping[str, str]] = None,
        headers: Optional[Mapping[str, str]] = None,
        body: Body = None,
        passed: Collection[int] = (),
    ) -> Iterator["BaseHTTPResponse"]:
        """One attempt; yields the open answer, whose `read(bytes)` and `stream(bytes)` give the body.

        What breaks while it is read inside of the block becomes `LineFailed` too. Raises `ApiError`, `Stopped`.
        """
        from urllib3.exceptions import HTTPError  # noqa: PLC0415  # its import is the half of a short command's time

        if self.stop.is_set():
            raise Stopped("Interrupted.")
        url = self.server + path
        if query:
            from urllib.parse import urlencode  # noqa: PLC0415

            url += "?" + urlencode(query)
        response: Optional[BaseHTTPResponse] = None
        try:
            response = self._pool.urlopen(
                method,
                url,
                body=body() if callable(body) else body,
                headers={**self._headers, **(headers or {})},
                redirect=False,
                retries=False,
                preload_content=False,
                decode_content=True,
            )
            if 300 <= response.status < 400:
                raise BadAnswer(f"{self.server} sends its requests elsewhere. Log in with the address that is right.")
            if response.status >= 400 and response.status not in passed:
                raise _error(response)
            yield response
            response.release_conn()
            response = None
        except (HTTPError, OSError) as e:
            if self.stop.is_set():
                raise Stopped("Interrupted.") from e
            raise LineFailed(f"The line to {self.server} failed: {_reason(e)}.") from e
        finally:
            if response is not None:
                response.close()


def _pool(server: str, connections: int) -> Any:
    import urllib3  # noqa: PLC0415

    options: dict[str, Any] = {
        "num_pools": 2,
        "maxsize": connections,
        "block": False,
        "timeout": urllib3.Timeout(connect=CONNECT_SECONDS, read=READ_SECONDS),
        "blocksize": PIECE_BYTES,
    }
    proxy = _proxy(server)
    return urllib3.ProxyManager(proxy, **options) if proxy else urllib3.PoolManager(**options)


def _proxy(server: str) -> Optional[str]:
    """The proxy that the environment names for this server, if any."""
    if not any(name.lower().endswith("_proxy") for name in os.environ):
        return None
    from urllib.parse import urlsplit  # noqa: PLC0415
    from urllib.request import getproxies_environment, proxy_bypass  # noqa: PLC0415

    parts = urlsplit(server)
    if parts.hostname is None or parts.hostname in {"localhost", "127.0.0.1", "::1"} or proxy_bypass(parts.netloc):
        return None
    return getproxies_environment().get(parts.scheme)


def _error(response: "BaseHTTPResponse") -> ApiError:
    try:
        problem = json.loads(_whole(response))
    except ValueError:
        problem = {}
    response.release_conn()
    after = response.headers.get("Retry-After", "")
    return ApiError(
        response.status,
        problem if isinstance(problem, dict) else {},
        float(after) if after.isascii() and after.isdigit() else None,
    )


def _whole(response: "BaseHTTPResponse") -> bytes:
    data = bytearray()
    for piece in response.stream(PIECE_BYTES):
        data += piece
        if len(data) > ANSWER_BYTES_MAX:
            raise BadAnswer("The server's answer is larger than any answer of its API.")
    return bytes(data)


def _reason(error: BaseException) -> str:
    """The cause in a few words: urllib3 wraps it, with the pool's address in front."""
    inner = getattr(error, "reason", None)
    if isinstance(inner, BaseException):
        return _reason(inner)
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    text = str(error).rpartition(">: ")[2].rpartition("object at ")[2]
    return text.rstrip(".") or type(error).__name__
