"""ffmpeg and ffprobe, called so that a hostile file can make them read nothing else.

The demuxer is named by us from the file's first bytes, so no playlist or script format is ever chosen; protocols are
files and pipes alone. What they write on stderr becomes the log of the job.
"""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from tools.worker.making.order import Order, Progress, Refused

DEMUXERS: Final = {
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "audio/mp4": "mov",
    "video/x-matroska": "matroska",
    "video/webm": "matroska",
    "video/x-msvideo": "avi",
    "video/x-flv": "flv",
    "video/mpeg": "mpeg",
    "video/mp2t": "mpegts",
    "video/ogg": "ogg",
    "audio/ogg": "ogg",
    "audio/mpeg": "mp3",
    "audio/aac": "aac",
    "audio/flac": "flac",
    "audio/wav": "wav",
    "audio/aiff": "aiff",
}
_QUIET: Final = ("-hide_banner", "-nostdin", "-loglevel", "error")
_MICROSECONDS: Final = 1_000_000


def input_options(order: Order) -> list[str]:
    """How the source is opened."""
    if order.media_type not in DEMUXERS:
        raise Refused("This kind of film or sound is not read here.")
    return ["-protocol_whitelist", "file,pipe", "-f", DEMUXERS[order.media_type], "-i", f"file:{order.source}"]


def probe(order: Order) -> dict[str, Any]:
    """What ffprobe says of the streams and the container. Raises `Refused`."""
    wanted = ["-hide_banner", "-loglevel", "error", "-print_format", "json", "-show_format", "-show_streams"]
    command = ["ffprobe", *wanted, *input_options(order)]
    done = subprocess.run(command, check=False, stdout=subprocess.PIPE, stderr=sys.stderr)  # noqa: S603 - names are ours
    found: dict[str, Any] = json.loads(done.stdout or b"{}") if done.returncode == 0 else {}
    if not found.get("streams"):
        raise Refused("The film or sound cannot be read: it is damaged, or holds nothing.")
    return found


def run(order: Order, arguments: Sequence[str], before: Sequence[str] = ()) -> None:
    """ffmpeg with the source as its only input. Raises `Refused` when it fails."""
    command = _command(order, arguments, before)
    _checked(subprocess.run(command, check=False, stderr=sys.stderr).returncode)  # noqa: S603 - as above


def run_watched(order: Order, arguments: Sequence[str], seconds: float, progress: Progress) -> None:
    """As `run`; tells how much of `seconds` is done."""
    command = _command(order, ["-progress", "pipe:1", "-nostats", *arguments])
    with subprocess.Popen(  # noqa: S603 - as above
        command, stdout=subprocess.PIPE, stderr=sys.stderr, text=True
    ) as process:
        if process.stdout is None:
            raise AssertionError("a pipe was asked for")
        for line in process.stdout:
            name, _, value = line.strip().partition("=")
            if name == "out_time_us" and value.isdigit() and seconds > 0:
                progress(min(99, int(int(value) / _MICROSECONDS / seconds * 100)))
    _checked(process.returncode)


def made(path: Path) -> Path:
    """The file, which must be there and hold something. Raises `Refused`."""
    if not path.is_file() or path.stat().st_size == 0:
        raise Refused("The film or sound cannot be read: nothing came out of it.")
    return path


def _command(order: Order, arguments: Sequence[str], before: Sequence[str] = ()) -> list[str]:
    return ["ffmpeg", *_QUIET, "-y", *before, *input_options(order), *arguments]


def _checked(returncode: int) -> None:
    if returncode != 0:
        raise Refused("The film or sound cannot be read to its end. The log says what was found.")
