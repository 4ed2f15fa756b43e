"""Films and sound: facts, pictures of them, and the workshop."""

import math
import re
from pathlib import Path
from typing import Any, Final

from tools.worker.making import ffmpeg
from tools.worker.making.order import FoundFacts, Order, Piece, Progress, Refused, Result
from tools.worker.making.pictures import PREVIEW_EDGE, THUMBNAIL_EDGE, opened, save_small
from tools.worker.making.sniff import AUDIO, VIDEO

POSTER_SECOND_MAX: Final = 3.0
_STRIP_COLUMNS: Final = 4
_STRIP_WIDTH: Final = 400
_WAVE: Final = "showwavespic=s={width}x{height}:split_channels=0:colors=0x3b6ea5"
_WAVE_RATE: Final = 8_000
"""Enough for a picture, at a fifth of the work."""
_ISO6709: Final = re.compile(r"([+-]\d{1,2}(?:\.\d+)?)([+-]\d{1,3}(?:\.\d+)?)")
_ROTATE: Final = {"auto": "", "90": "transpose=1,", "180": "hflip,vflip,", "270": "transpose=2,"}
_EVEN: Final = "scale=trunc(iw/2)*2:trunc(ih/2)*2"


def make_thumbnail(order: Order) -> Result:
    """The facts, and a picture: of a film one moment, of sound its cover or its waveform."""
    facts = media_facts(order)
    try:
        return Result([_picture(order, facts, THUMBNAIL_EDGE)], facts)
    except Refused as error:
        return Result(facts=facts, refusal=str(error))


def make_preview(order: Order) -> Result:
    return Result([_picture(order, media_facts(order), PREVIEW_EDGE)])


def make_poster(order: Order) -> Result:
    facts, second = media_facts(order), order.number("second")
    if facts.duration_ms is not None and second * 1_000 >= max(facts.duration_ms, 1):
        raise Refused(f"The film ends after {facts.duration_ms / 1_000:,.0f} seconds.")
    path = _frame(order, second, "")
    path.rename(order.out / "0")
    return Result([Piece("0", "image/png", ".png", dict(order.parameters))])


def make_strip(order: Order) -> Result:
    """Moments at even distances, in rows of four."""
    facts, frames = media_facts(order), order.number("frames")
    if facts.kind != VIDEO or not facts.duration_ms:
        raise Refused("The film's length is not known, so no strip can be made of it.")
    every = facts.duration_ms / 1_000 / frames
    rows = math.ceil(frames / _STRIP_COLUMNS)
    filters = f"fps=1/{every:.6f}:round=up,scale={_STRIP_WIDTH}:-2,tile={_STRIP_COLUMNS}x{rows}:padding=4:color=white"
    ffmpeg.run(order, ["-map", "0:v:0", "-vf", filters, "-frames:v", "1", "-q:v", "3", "-f", "mjpeg", f"{order.out}/0"])
    ffmpeg.made(order.out / "0")
    return Result([Piece("0", "image/jpeg", ".jpg", dict(order.parameters))])


def make_video(order: Order, progress: Progress) -> Result:
    """The workshop: H.264 and AAC in MP4, ready to play before it is all there."""
    facts = media_facts(order)
    if facts.kind != VIDEO:
        raise Refused("There is no film in this file.")
    seconds = (facts.duration_ms or 0) / 1_000
    path = order.out / "0"
    if not (order.vaapi and _encoded_by_hardware(order, seconds, progress, path)):
        ffmpeg.run_watched(order, [*_software(order), *_container(order), f"{path}"], seconds, progress)
    ffmpeg.made(path)
    return Result([Piece("0", "video/mp4", ".mp4", dict(order.parameters))])


def make_audio(order: Order, progress: Progress) -> Result:
    facts, kbps = media_facts(order), f"{order.number('kbps')}k"
    codecs = {
        "mp3": (["-c:a", "libmp3lame", "-b:a", kbps, "-f", "mp3"], "audio/mpeg", ".mp3"),
        "opus": (["-c:a", "libopus", "-b:a", kbps, "-f", "ogg"], "audio/ogg", ".opus"),
        "flac": (["-c:a", "flac", "-f", "flac"], "audio/flac", ".flac"),
        "m4a": (["-c:a", "aac", "-b:a", kbps, "-f", "ipod", "-movflags", "+faststart"], "audio/mp4", ".m4a"),
    }
    options, media_type, extension = codecs[order.word("format")]
    arguments = ["-map", "0:a:0", "-vn", "-map_metadata", "0", *options, f"{order.out}/0"]
    ffmpeg.run_watched(order, arguments, (facts.duration_ms or 0) / 1_000, progress)
    ffmpeg.made(order.out / "0")
    return Result([Piece("0", media_type, extension, dict(order.parameters))])


def make_waveform(order: Order) -> Result:
    width = order.number("width")
    _waveform(order, width, width // 5).rename(order.out / "0")
    return Result([Piece("0", "image/png", ".png", dict(order.parameters))])


def media_facts(order: Order) -> FoundFacts:
    """What the container says. A file with a film extension that holds only sound is sound. Raises `Refused`."""
    found = ffmpeg.probe(order)
    film = next((s for s in found["streams"] if s.get("codec_type") == "video" and not _is_cover(s)), None)
    facts = FoundFacts(VIDEO if film else AUDIO, order.media_type)
    facts.duration_ms = _milliseconds(found)
    if film is not None:
        facts.width, facts.height = _seen_size(film)
    tags = {name.lower(): str(value) for name, value in found.get("format", {}).get("tags", {}).items()}
    facts.taken, facts.taken_source = _taken(tags)
    make, model = tags.get("com.apple.quicktime.make", ""), tags.get("com.apple.quicktime.model", "")
    facts.camera = f"{make} {model}".strip()[:200] or None
    place = _ISO6709.match(tags.get("com.apple.quicktime.location.iso6709", tags.get("location", "")))
    if place and abs(float(place[1])) <= 90 and abs(float(place[2])) <= 180:
        facts.latitude, facts.longitude = float(place[1]), float(place[2])
    return facts


def _picture(order: Order, facts: FoundFacts, edge: int) -> Piece:
    if facts.kind == VIDEO:
        second = min(POSTER_SECOND_MAX, (facts.duration_ms or 0) / 10_000)
        path = _frame(order, second, f"scale='min({edge},iw)':'min({edge},ih)':force_original_aspect_ratio=decrease")
    else:
        path = _cover(order) or _waveform(order, edge, edge // 2)
    with opened(path, "image/png") as image:
        piece = save_small(image, order.out, edge)
    path.unlink()
    return piece


def _frame(order: Order, second: float, filters: str) -> Path:
    """One picture of the film as PNG, at the second or, where nothing is there, at the beginning."""
    path = order.out / "frame.png"
    chosen = ["-map", "0:v:0", "-frames:v", "1", *(["-vf", filters] if filters else []), "-f", "image2", str(path)]
    if second > 0:
        ffmpeg.run(order, chosen, before=["-ss", f"{second:.3f}"])
    if not path.is_file():
        ffmpeg.run(order, chosen)
    return ffmpeg.made(path)


def _cover(order: Order) -> Path | None:
    path = order.out / "frame.png"
    if not any(_is_cover(stream) for stream in ffmpeg.probe(order)["streams"]):
        return None
    ffmpeg.run(order, ["-map", "0:v:0", "-frames:v", "1", "-f", "image2", str(path)])
    return ffmpeg.made(path)


def _waveform(order: Order, width: int, height: int) -> Path:
    path = order.out / "frame.png"
    wave = _WAVE.format(width=width, height=height)
    graph = f"[0:a:0]aresample={_WAVE_RATE},{wave}[wave]"
    chosen = ["-filter_complex", graph, "-map", "[wave]", "-frames:v", "1", "-f", "image2", str(path)]
    ffmpeg.run(order, chosen)
    return ffmpeg.made(path)


def _software(order: Order) -> list[str]:
    quality = {"default": ("22", "medium"), "compress": ("28", "medium"), "hq": ("17", "slow")}
    crf, preset = quality[order.word("profile")]
    filters = f"{_ROTATE[order.word('rotation')]}{_box(order)},format=yuv420p"
    return ["-vf", filters, "-c:v", "libx264", "-preset", preset, "-crf", crf]


def _encoded_by_hardware(order: Order, seconds: float, progress: Progress, path: Path) -> bool:
    """The same by VAAPI; False where the device does not do it, and then the processor does."""
    quality = {"default": "23", "compress": "29", "hq": "18"}[order.word("profile")]
    filters = f"{_ROTATE[order.word('rotation')]}{_box(order)},format=nv12,hwupload"
    device = ["-vaapi_device", order.vaapi, "-vf", filters, "-c:v", "h264_vaapi", "-qp", quality]
    try:
        ffmpeg.run_watched(order, [*device, *_container(order), f"{path}"], seconds, progress)
    except Refused:
        path.unlink(missing_ok=True)
        return False
    return path.is_file() and path.stat().st_size > 0


def _container(order: Order) -> list[str]:
    sound = {"default": "160k", "compress": "96k", "hq": "256k"}[order.word("profile")]
    streams = ["-map", "0:v:0", "-map", "0:a:0?", "-map_metadata", "0", "-c:a", "aac", "-b:a", sound]
    return [*streams, "-movflags", "+faststart", "-f", "mp4"]


def _box(order: Order) -> str:
    """Into 1080p or 720p, whichever way it lies, and never larger than it is; even numbers, as the encoder wants
    them."""
    long, short = {"default": (1920, 1080), "compress": (1280, 720), "hq": (0, 0)}[order.word("profile")]
    if not long:
        return _EVEN
    wide = f"min(iw,if(gt(iw,ih),{long},{short}))"
    high = f"min(ih,if(gt(iw,ih),{short},{long}))"
    return f"scale='{wide}':'{high}':force_original_aspect_ratio=decrease,{_EVEN}"


def _is_cover(stream: dict[str, Any]) -> bool:
    return bool(stream.get("disposition", {}).get("attached_pic"))


def _milliseconds(found: dict[str, Any]) -> int | None:
    for holder in (found.get("format", {}), *found["streams"]):
        try:
            value = float(holder["duration"])
        except (KeyError, ValueError):
            continue
        if 0 <= value < 10**8:
            return int(value * 1_000)
    return None


def _seen_size(film: dict[str, Any]) -> tuple[int, int]:
    turned = any(abs(int(side.get("rotation", 0))) % 180 == 90 for side in film.get("side_data_list", ()))
    width, height = int(film["width"]), int(film["height"])
    return (height, width) if turned else (width, height)


def _taken(tags: dict[str, str]) -> tuple[str | None, str | None]:
    apple = tags.get("com.apple.quicktime.creationdate", "")
    found = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d)([+-]\d\d):?(\d\d)", apple)
    if found:
        return f"{found[1]}{found[2]}:{found[3]}", "quicktime:creationdate"
    created = tags.get("creation_time", "")
    found = re.match(r"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d{1,6})?)Z", created)
    # The epoch of QuickTime and that of Unix are what cameras without a clock write.
    if found and not created.startswith(("1904-", "1970-01-01T00:00:0")):
        return f"{found[1]}+00:00", "container:creation_time"
    return None, None
