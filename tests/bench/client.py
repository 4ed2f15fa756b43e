"""The client's side: a process of its own, plain sockets, so that the server is what is measured."""

import http.client
import json
import sys
import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from queue import Empty, SimpleQueue
from urllib.parse import quote

STEP_BYTES = 1 << 20


@dataclass(frozen=True)
class Job:
    """What to do: `upload` sends each file under its number, `download` reads the URL's body and drops it."""

    host: str
    port: int
    headers: dict[str, str]
    device: str
    prefix: str
    files: list[str]
    connections: int
    url: str = ""

    def text(self) -> str:
        return json.dumps(asdict(self))


def upload(job: Job) -> None:
    """PUT every file over `connections` connections."""
    ahead: SimpleQueue[tuple[int, str]] = SimpleQueue()
    for numbered in enumerate(job.files):
        ahead.put(numbered)
    faults: list[BaseException] = []
    threads = [threading.Thread(target=_send, args=(job, ahead, faults)) for _ in range(job.connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if faults:
        raise faults[0]


def _send(job: Job, ahead: "SimpleQueue[tuple[int, str]]", faults: list[BaseException]) -> None:
    connection = http.client.HTTPConnection(job.host, job.port, timeout=600, blocksize=STEP_BYTES)
    try:
        while True:
            try:
                number, name = ahead.get_nowait()
            except Empty:
                return
            path = f"/api/v1/devices/{job.device}/files/originals/{quote(job.prefix)}/{number // 500}/{number}"
            with Path(name).open("rb") as file:
                connection.request("PUT", path, file, job.headers | {"Content-Length": str(Path(name).stat().st_size)})
            answer = connection.getresponse()
            body = answer.read()
            if answer.status not in {200, 201}:
                raise RuntimeError(f"{answer.status} {body[:500]!r}")
    except BaseException as error:  # noqa: BLE001 - raised again by the thread that waits
        faults.append(error)
    finally:
        connection.close()


def download(job: Job) -> None:
    """GET the URL and read it to its end. Raises where the length is not the announced one."""
    connection = http.client.HTTPConnection(job.host, job.port, timeout=600)
    connection.request("GET", job.url, headers=job.headers)
    answer = connection.getresponse()
    if answer.status != 200:
        raise RuntimeError(f"{answer.status} {answer.read(500)!r}")
    wanted, buffer, got = int(answer.headers["Content-Length"]), bytearray(STEP_BYTES), 0
    while count := answer.readinto(buffer):
        got += count
    if got != wanted:
        raise RuntimeError(f"{got} bytes came instead of {wanted}")


def main(arguments: Sequence[str]) -> None:
    job = Job(**json.loads(sys.stdin.read()))
    {"upload": upload, "download": download}[arguments[0]](job)


if __name__ == "__main__":
    main(sys.argv[1:])
