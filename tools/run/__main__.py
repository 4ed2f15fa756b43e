"""`make run`: starts everything in order, prints the link, and ends everything when asked or when one part dies."""

import http.client
import os
import signal
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack, suppress
from pathlib import Path
from types import FrameType
from typing import Final, NoReturn

from tools.run.checks import check_ports, only_run
from tools.run.errors import RunError, ServerFailed
from tools.run.mariadb import PrivateMariaDB
from tools.run.plan import Plan, data_folder, make_plan
from tools.run.processes import Child, end_of, python, run_to_end

ROOT: Final = Path(__file__).resolve().parents[2]
READY_SECONDS_MAX: Final = 60.0
LOG_BYTES_KEPT: Final = 10 * 1024 * 1024

_ASKING: Final = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Asked(BaseException):
    """Somebody asked for the end: Ctrl-C, SIGTERM, or the terminal is gone."""


def main() -> int:
    try:
        heed_signals()
        run(os.environ)
    except RunError as error:
        say(f"\n{error}")
        return 1
    except Asked:
        say("Everything has ended.")
    return 0


def run(environ: Mapping[str, str]) -> NoReturn:
    """Start everything and watch it. Raises Asked, or RunError."""
    os.umask(0o077)
    data = data_folder(environ, ROOT)
    with only_run(data), ExitStack() as started:
        mariadb = PrivateMariaDB(data / "mariadb", data / "log" / "mariadb.log")
        plan = make_plan(environ, data, mariadb.socket)
        check_ports(plan)
        trim_logs(plan)
        started.callback(mariadb.stop)
        try:
            start_database(plan, mariadb)
            serve(plan, [mariadb.child, *start_servers(plan, started)])
        finally:
            ignore_signals()
            say("\nEnding …")


def serve(plan: Plan, children: Sequence[Child]) -> NoReturn:
    """All is up: make the sample, print the link, and watch. Raises ServerFailed when a child has ended."""
    try:
        make_sample(plan)
    except ServerFailed:
        check_alive(children)  # the server's own end says more than what it did to the sample
        raise
    print_link(plan)
    while True:
        check_alive(children)
        time.sleep(0.5)


def start_database(plan: Plan, mariadb: PrivateMariaDB) -> None:
    """The store first, so that a database without its store can only mean that the store was taken away."""
    say(f"Store      {plan.settings.storage_root}")
    if not (plan.settings.storage_root / "FORMAT").exists():
        if mariadb.data.exists():
            raise RunError(
                f"The store {plan.settings.storage_root} is gone, or its disk is not mounted, while its database is "
                f"still in {mariadb.folder}. Bring it back. To begin anew without the old files, delete {plan.data}."
            )
        say("           making its folders (once, some seconds)")
        run_to_end("tools/store init", python("tools.store", "init"), log=plan.log("store"), env=plan.environ)
    say(f"Database   private MariaDB in {mariadb.folder}")
    mariadb.start()
    run_to_end("tools/migrate", python("tools.migrate"), log=plan.log("migrate"), env=plan.environ)


def start_servers(plan: Plan, started: ExitStack) -> list[Child]:
    """The stand-in portal and the app, both answering, and one worker."""
    children = []
    for name, module, url in (
        ("The stand-in portal", "tools.standin", f"127.0.0.1:{plan.standin.port}/"),
        ("The app", "web", f"127.0.0.1:{plan.settings.app_port}/readyz"),
    ):
        child = Child.start(name, python(module), log=plan.log(module.split(".")[-1]), env=plan.environ)
        started.callback(child.stop)
        children.append((child, url))
    for child, url in children:
        wait_until_ready(child, url)
    # Last: it waits for nobody, and nobody for it.
    worker = Child.start("The worker", python("tools.worker"), log=plan.log("worker"), env=plan.environ)
    started.callback(worker.stop)
    return [*[child for child, _ in children], worker]


def make_sample(plan: Plan) -> None:
    """Fill the sample customer once; an interrupted filling goes on at the next start."""
    done = plan.data / "sample-customer"
    if done.exists():
        return
    say("Sample     making a customer with photos over years (once, some seconds)")
    run_to_end("tools/demo", python("tools.demo", "--resume"), log=plan.log("demo"), env=plan.environ)
    done.touch()


def wait_until_ready(child: Child, url: str) -> None:
    """Return once the URL answers 200. Raises ServerFailed."""
    deadline = time.monotonic() + READY_SECONDS_MAX
    while not _answers(url):
        check_alive([child])
        if time.monotonic() > deadline:
            raise ServerFailed(f"{child.name} does not answer at http://{url}. {end_of(child.log)}")
        time.sleep(0.05)


def check_alive(children: Sequence[Child]) -> None:
    for child in children:
        if not child.is_running:
            raise child.failure()


def trim_logs(plan: Plan) -> None:
    """A log that has grown too long becomes the one old log of its name."""
    for log in plan.logs.glob("*.log"):
        if log.stat().st_size > LOG_BYTES_KEPT:
            log.replace(log.with_suffix(".log.old"))


def print_link(plan: Plan) -> None:
    ports = (plan.standin.port, plan.settings.app_port)
    forwards = " ".join(f"-L {port}:127.0.0.1:{port}" for port in ports)
    say(
        f"\n    Open  {plan.link}\n\n"
        "On a server without a browser, run this on your own computer and open the same link there:\n\n"
        f"    ssh -N {forwards} {_login()}\n\n"
        f"Ctrl-C ends everything. The data stays in {plan.data} for the next make run."
    )


def say(text: str) -> None:
    """Print for the person at the terminal. If the terminal is gone there is nobody to tell, and the end goes on."""
    with suppress(OSError):
        print(text, flush=True)


def heed_signals() -> None:
    """From now on SIGINT, SIGTERM and SIGHUP raise Asked, once."""
    for number in _ASKING:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:  # nohup
            signal.signal(number, _ask)


def ignore_signals() -> None:
    """Nothing interrupts the end: a second Ctrl-C would leave half of it running."""
    for number in _ASKING:
        signal.signal(number, signal.SIG_IGN)


def _ask(_number: int, _frame: FrameType | None) -> NoReturn:
    ignore_signals()
    raise Asked


def _answers(url: str) -> bool:
    host, _, path = url.partition("/")
    connection = http.client.HTTPConnection(host, timeout=5)
    try:
        connection.request("GET", f"/{path}")
        return connection.getresponse().status == http.HTTPStatus.OK
    except (OSError, http.client.HTTPException):  # not listening yet: asked again until the deadline
        return False
    finally:
        connection.close()


def _login() -> str:
    # The address by which the person's own ssh reached this machine, where there is one.
    connection = os.environ.get("SSH_CONNECTION", "").split()
    host = connection[2] if len(connection) == 4 else socket.gethostname()
    return f"{os.environ.get('USER') or 'root'}@{host}"


if __name__ == "__main__":
    sys.exit(main())
