"""The hardware's encoder: how it is asked for, and that the processor does the work where the device does not. No test
needs the hardware: that the encoder's own output is good is for a machine that has it."""

import asyncio
import shutil
from pathlib import Path
from typing import Final

import pytest

from tests.tools.worker.corpus import film
from tools.worker.making.make import make
from tools.worker.making.order import Limits, Order
from tools.worker.sandbox import Sandbox

DEVICE: Final = "/dev/dri/renderD199"
"""A name that no driver gives."""
_PARAMETERS: Final = {"profile": "compress", "rotation": "90"}


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("film") / "in.mp4"
    path.write_bytes(film(path.parent, "film.mp4", "-c:v", "libx264", "-preset", "ultrafast"))
    return path


def ffmpeg_in_between(folder: Path, monkeypatch: pytest.MonkeyPatch, hardware: str) -> Path:
    """A program called ffmpeg that notes its arguments, one call a line; what asks for the hardware's encoder gets
    `hardware`, all else the real one. Returns the notes."""
    real, notes = shutil.which("ffmpeg"), folder / "notes"
    program = folder / "bin" / "ffmpeg"
    program.parent.mkdir()
    program.write_text(
        f'#!/bin/sh\necho "$*" >>{notes}\nfor last; do :; done\n'
        f'case "$*" in *h264_vaapi*) {hardware} ;; *) exec {real} "$@" ;; esac\n'
    )
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return notes


def order(source: Path, out: Path) -> Order:
    out.mkdir()
    return Order("video", dict(_PARAMETERS), "video", "video/mp4", source, out, DEVICE)


def test_the_hardware_is_asked_first_and_then_nobody_else(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = ffmpeg_in_between(tmp_path, monkeypatch, 'printf film >"$last"')
    result = make(order(source, tmp_path / "out"), lambda _percent: None)
    assert [piece.media_type for piece in result.pieces] == ["video/mp4"]
    assert (tmp_path / "out" / "0").read_bytes() == b"film"
    (command,) = notes.read_text().splitlines()
    assert f"-vaapi_device {DEVICE} -vf transpose=1,scale=" in command
    assert ",format=nv12,hwupload -c:v h264_vaapi -qp 29 " in command
    assert f"-i file:{source}" in command


def test_a_device_that_fails_leaves_it_to_the_processor(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also when it fails in the middle: what it wrote until then is not taken for the film."""
    notes = ffmpeg_in_between(tmp_path, monkeypatch, 'printf half >"$last"; exit 1')
    make(order(source, tmp_path / "out"), lambda _percent: None)
    first, second = notes.read_text().splitlines()
    assert "h264_vaapi" in first
    assert "-c:v libx264" in second
    assert "vaapi" not in second
    assert (tmp_path / "out" / "0").read_bytes()[4:8] == b"ftyp"


def test_without_the_device_the_sandbox_makes_it_all_the_same(source: Path, tmp_path: Path) -> None:
    """The real ffmpeg, as the setting makes a worker call it."""
    ended, piece, log = asyncio.run(in_sandbox(source, tmp_path / "slot"))
    assert ended == 0, log
    assert piece[4:8] == b"ftyp"
    assert DEVICE in log, log


async def in_sandbox(source: Path, folder: Path) -> tuple[int, bytes, str]:
    sandbox = Sandbox(folder, "bwrap", DEVICE)
    try:
        await sandbox.start()
        shutil.copy(source, sandbox.source)
        wanted = {"recipe": "video", "parameters": _PARAMETERS, "kind": "video", "media_type": "video/mp4"}
        ended = await sandbox.run(wanted, Limits(60, 60, 4 << 30, 64 << 20, 5), lambda _percent: None)
        return ended.code, (folder / "out" / "0").read_bytes(), sandbox.log()
    finally:
        await sandbox.close()
