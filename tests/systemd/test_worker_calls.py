"""The worker's unit lets the sandbox be built and used: it allows every system call and every kind of socket of it."""

import json
import re
import subprocess
from dataclasses import asdict
from pathlib import Path
from typing import Final

import pytest

from tests.systemd.test_units import FOLDER, analyse
from tests.tools.worker.corpus import pdf, turned
from tools.worker.making.order import Limits
from tools.worker.sandbox import Sandbox

_CALL: Final = re.compile(r"^\d+ +(?!syscall_0xf{8})(\w+)\(", re.MULTILINE | re.ASCII)
"""But for negative numbers, which strace now and then reads: the kernel has no such call."""
_SOCKET: Final = re.compile(r"\bsocket(?:pair)?\((AF_\w+),", re.ASCII)
_FAMILIES: Final = re.compile(r"^RestrictAddressFamilies=(.+)$", re.MULTILINE)
_FILTER: Final = re.compile(r"^SystemCallFilter=(.+)$", re.MULTILINE)


def allowed() -> set[str]:
    """The calls of the unit's filter, its groups opened."""
    names: set[str] = set()
    unit = (FOLDER / "otb-cloud-worker@.service").read_text("utf-8")
    waiting = [word for line in _FILTER.findall(unit) for word in line.split()]
    while waiting:
        word = waiting.pop()
        if not word.startswith("@"):
            names.add(word)
            continue
        lines = analyse("syscall-filter", "--no-pager", word).stdout.splitlines()[1:]
        waiting += [line.strip() for line in lines if line.strip() and not line.strip().startswith("#")]
    return names


@pytest.mark.parametrize(
    ("kind", "media_type", "content"),
    [("image", "image/jpeg", turned(6)), ("pdf", "application/pdf", pdf())],
    ids=["photo", "pdf"],
)
def test_the_sandbox_makes_no_call_that_the_unit_forbids(
    tmp_path: Path, kind: str, media_type: str, content: bytes
) -> None:
    sandbox, trace = Sandbox(tmp_path / "slot", "bwrap"), tmp_path / "trace"
    sandbox.clear()
    (sandbox.folder / "out").mkdir()
    sandbox.source.write_bytes(content)
    order = {"recipe": "thumbnail", "parameters": {}, "kind": kind, "media_type": media_type}
    limits = asdict(Limits(60, 60, 2 << 30, 64 << 20, 5))
    command = ["strace", "-f", "-qq", "-o", str(trace), *sandbox._command()]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(json.dumps({"order": order, "limits": limits}) + "\n")
        process.stdin.flush()
        ended = next(line for line in process.stdout if "ended" in line)
        process.stdin.close()
    assert json.loads(ended)["ended"]["code"] == 0, sandbox.log()
    traced = trace.read_text("utf-8", "replace")
    called = set(_CALL.findall(traced))
    assert {"execve", "pivot_root"} <= called, "the trace shows the sandbox being built"
    assert called - allowed() == set()
    unit = (FOLDER / "otb-cloud-worker@.service").read_text("utf-8")
    families = {word for line in _FAMILIES.findall(unit) for word in line.split()}
    assert set(_SOCKET.findall(traced)) - families == set()
