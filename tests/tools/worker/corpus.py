"""Files of every kind that the worker reads, made here, each with what is to be seen of it.

Pictures show a red upper left corner on a grey ground, so that a wrong turn, or wrong colours, are seen in one pixel.
"""

import io
import subprocess
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pillow_heif
from docx import Document
from openpyxl import Workbook
from PIL import Image, ImageDraw
from pptx import Presentation

RED: Final = (220, 30, 30)
GREY: Final = (120, 124, 130)
WIDE: Final = (480, 320)

_TURN: Final = {
    1: (),
    2: (Image.Transpose.FLIP_LEFT_RIGHT,),
    3: (Image.Transpose.ROTATE_180,),
    4: (Image.Transpose.FLIP_TOP_BOTTOM,),
    5: (Image.Transpose.TRANSPOSE,),
    6: (Image.Transpose.ROTATE_90,),
    7: (Image.Transpose.TRANSVERSE,),
    8: (Image.Transpose.ROTATE_270,),
}
"""How the pixels must lie so that a viewer that honours the orientation shows the picture upright."""


@dataclass(frozen=True)
class Sample:
    """`name` may lie about the kind. `size`: as it is to be seen. `marked`: the red corner is to be seen in
    pictures."""

    name: str
    content: bytes
    kind: str
    size: tuple[int, int] | None = None
    marked: bool = False
    words: str = ""
    taken: str | None = None


def picture(size: tuple[int, int] = WIDE, mode: str = "RGB") -> Image.Image:
    """Grey, with a red upper left corner and a little text."""
    image = Image.new("RGB", size, GREY)
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, size[0] // 3, size[1] // 3), fill=RED)
    draw.text((size[0] // 2, size[1] // 2), "otb", fill="white")
    return image.convert(mode)


def saved(image: Image.Image, form: str, **options: Any) -> bytes:
    data = io.BytesIO()
    image.save(data, form, **options)
    return data.getvalue()


def turned(orientation: int) -> bytes:
    """A JPEG whose EXIF says how it is to be turned, taken at a place, with a camera, at a time with an offset."""
    image = picture()
    for step in _TURN[orientation]:
        image = image.transpose(step)
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif[0x010F], exif[0x0110] = "Maple", "Maple M1"
    exif.get_ifd(0x8769).update({0x9003: "2023:07:14 18:30:05", 0x9011: "-04:00"})
    exif.get_ifd(0x8825).update({1: "N", 2: (45.0, 30.0, 36.0), 3: "W", 4: (73.0, 34.0, 12.0)})
    return saved(image, "JPEG", quality=92, exif=exif)


def animated(form: str) -> bytes:
    frames = [picture(), *[Image.new("RGB", WIDE, colour) for colour in ("green", "blue")]]
    return saved(frames[0], form, save_all=True, append_images=frames[1:], duration=100, loop=0)


def sixteen_bits() -> bytes:
    image = picture(mode="L").convert("I").point(lambda value: value * 257).convert("I;16")
    return saved(image, "PNG")


def document(form: str) -> bytes:
    """An office document with the words `Maple syrup`."""
    data = io.BytesIO()
    if form == "docx":
        made = Document()
        made.add_paragraph("Maple syrup and café")
        made.add_table(1, 2).cell(0, 1).text = "in a table"
        made.save(data)
    elif form == "xlsx":
        book = Workbook()
        book.active.append(["Maple syrup", 42])
        book.save(data)
    elif form == "pptx":
        show = Presentation()
        show.slides.add_slide(show.slide_layouts[5]).shapes.title.text = "Maple syrup"
        show.save(data)
    else:
        text = (
            '<office:document-content xmlns:office="urn:oasis:names:tc:opendocument:xmlns:office:1.0"'
            ' xmlns:text="urn:oasis:names:tc:opendocument:xmlns:text:1.0"><office:body><office:text>'
            "<text:p>Maple syrup</text:p></office:text></office:body></office:document-content>"
        )
        with zipfile.ZipFile(data, "w") as archive:
            archive.writestr("mimetype", "application/vnd.oasis.opendocument.text")
            archive.writestr("content.xml", text)
    return data.getvalue()


def pdf(pages: int = 2) -> bytes:
    sheets = [picture((300, 400)) for _ in range(pages)]
    return saved(sheets[0], "PDF", save_all=True, append_images=sheets[1:])


def film(folder: Path, name: str, *options: str, sound: bool = True) -> bytes:
    """A film of two seconds with the red corner, and a tone."""
    still = folder / "still.png"
    if not still.exists():
        picture((320, 240)).save(still)
    path = folder / name
    tone = ["-f", "lavfi", "-i", "sine=frequency=440:duration=2"] if sound else []
    _ffmpeg("-loop", "1", "-framerate", "10", "-t", "2", "-i", str(still), *tone, "-pix_fmt", "yuv420p",
            *options, str(path))  # fmt: skip
    return path.read_bytes()


def repeated_film(folder: Path, times: int) -> bytes:
    """Two seconds, over and over, as one film: long to work on, and made at once."""
    short, path = folder / "short.mp4", folder / "repeated.mp4"
    short.write_bytes(film(folder, "once.mp4", "-c:v", "libx264", "-preset", "ultrafast", sound=False))
    _ffmpeg("-stream_loop", str(times - 1), "-i", str(short), "-c", "copy", str(path))
    return path.read_bytes()


def tone(folder: Path, name: str, *options: str) -> bytes:
    path = folder / name
    _ffmpeg("-f", "lavfi", "-i", "sine=frequency=440:duration=2", *options, str(path))
    return path.read_bytes()


def turned_film(folder: Path) -> bytes:
    """A MOV that lies on its side and says so."""
    flat = folder / "flat.mov"
    flat.write_bytes(film(folder, "plain.mov", "-c:v", "libx264"))
    path = folder / "turned.mov"
    _ffmpeg("-i", str(flat), "-c", "copy", "-metadata:s:v:0", "rotate=90",
            "-metadata", "creation_time=2022-03-04T05:06:07Z", str(path))  # fmt: skip
    return path.read_bytes()


def raw_picture() -> bytes:
    """A DNG of the smallest kind: an uncompressed sensor of 64 × 48 in the main image, and the preview as JPEG
    below."""
    preview = turned(1)
    width, height = 64, 48
    sensor = b"".join(((x * 37 + y * 11) % 4096).to_bytes(2, "little") for y in range(height) for x in range(width))
    return _dng(preview, sensor, width, height)


def corpus(folder: Path) -> Iterator[Sample]:
    """All of them."""
    upright = "2023-07-14T22:30:05Z"
    for orientation in range(1, 9):
        yield Sample(f"turned-{orientation}.jpg", turned(orientation), "image", WIDE, marked=True, taken=upright)
    yield Sample("cmyk.jpg", saved(picture(mode="CMYK"), "JPEG", quality=92), "image", WIDE, marked=True)
    yield Sample("grey16.png", sixteen_bits(), "image", WIDE)
    yield Sample("palette.png", saved(picture(mode="P"), "PNG"), "image", WIDE, marked=True)
    yield Sample("clear.png", saved(picture(mode="RGBA"), "PNG"), "image", WIDE, marked=True)
    yield Sample("moving.gif", animated("GIF"), "image", WIDE, marked=True)
    yield Sample("moving.webp", animated("WEBP"), "image", WIDE, marked=True)
    yield Sample("still.avif", saved(picture(), "AVIF", quality=80), "image", WIDE, marked=True)
    pillow_heif.register_heif_opener()
    yield Sample("still.heic", saved(picture(), "HEIF", quality=80), "image", WIDE, marked=True)
    yield Sample("scan.tif", saved(picture(), "TIFF", compression="tiff_lzw"), "image", WIDE, marked=True)
    yield Sample("old.bmp", saved(picture(), "BMP"), "image", WIDE, marked=True)
    yield Sample("camera.dng", raw_picture(), "image", WIDE, marked=True, taken=upright)
    yield Sample("film.mp4", film(folder, "a.mp4", "-c:v", "libx264"), "video", (320, 240), marked=True)
    yield Sample("film.mov", turned_film(folder), "video", (240, 320), taken="2022-03-04T05:06:07Z")
    yield Sample("film.mkv", film(folder, "a.mkv", "-c:v", "libx264"), "video", (320, 240), marked=True)
    webm = film(folder, "a.webm", "-c:v", "libvpx", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libvorbis")
    yield Sample("film.webm", webm, "video", (320, 240), marked=True)
    yield Sample("film.avi", film(folder, "a.avi", "-c:v", "mpeg4"), "video", (320, 240), marked=True)
    yield Sample("sound.mp3", tone(folder, "a.mp3"), "audio")
    yield Sample("sound.flac", tone(folder, "a.flac"), "audio")
    yield Sample("sound.ogg", tone(folder, "a.ogg"), "audio")
    yield Sample("sound.wav", tone(folder, "a.wav"), "audio")
    yield Sample("sound.m4a", tone(folder, "a.m4a"), "audio")
    yield Sample("paper.pdf", pdf(), "pdf", marked=True)
    for form in ("docx", "xlsx", "pptx", "odt"):
        yield Sample(f"paper.{form}", document(form), "document", words="Maple syrup")
    text = "Crème brûlée, vingt-trois façons.\nZweite Zeile: Straße.\n" * 20
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        yield Sample(f"text-{encoding}.txt", text.encode(encoding), "text", words="Crème brûlée")
    yield Sample(
        "koi.txt", ("Привет, мир. Это проверка кодировки. " * 30).encode("koi8-r"), "text", words="Привет, мир"
    )
    # Names that lie.
    yield Sample("really-a-jpeg.txt", turned(6), "image", WIDE, marked=True, taken=upright)
    yield Sample("really-a-film.jpg", film(folder, "b.mp4", "-c:v", "libx264"), "video", (320, 240), marked=True)
    yield Sample("really-a-pdf", pdf(), "pdf", marked=True)
    yield Sample("nothing.jpg", b"\0\1\2\3" * 500, "other")


def _ffmpeg(*arguments: str) -> None:
    command = ["ffmpeg", "-hide_banner", "-loglevel", "error", "-nostdin", "-y", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stderr}"


_Tag = tuple[int, int, Any]


def _dng(preview: bytes, sensor: bytes, width: int, height: int) -> bytes:
    """TIFF 6.0 and Adobe's DNG specification 1.4: IFD 0 is the JPEG preview, its SubIFD the sensor."""
    head = b"II*\0"
    make, model = b"Maple\0", b"Maple M1\0"
    exif = b"2023:07:14 18:30:05\0", b"-04:00\0"

    def build(at: dict[str, int]) -> tuple[bytes, dict[str, int]]:
        out, where = bytearray(head + (8).to_bytes(4, "little")), {}
        first: list[_Tag] = [
            (254, 4, [1]), (256, 3, [WIDE[0]]), (257, 3, [WIDE[1]]), (258, 3, [8, 8, 8]), (259, 3, [7]),
            (262, 3, [6]), (271, 2, make), (272, 2, model), (273, 4, [at["preview"]]), (274, 3, [1]), (277, 3, [3]),
            (278, 3, [WIDE[1]]), (279, 4, [len(preview)]), (330, 4, [at["raw"]]), (34665, 4, [at["exif"]]),
            (50706, 1, [1, 4, 0, 0]), (50707, 1, [1, 1, 0, 0]), (50708, 2, model),
            (50721, 10, [(1, 1), (0, 1), (0, 1), (0, 1), (1, 1), (0, 1), (0, 1), (0, 1), (1, 1)]),
            (50728, 5, [(1, 1), (1, 1), (1, 1)]), (50778, 3, [21]),
        ]  # fmt: skip
        raw: list[_Tag] = [
            (254, 4, [0]), (256, 3, [width]), (257, 3, [height]), (258, 3, [16]), (259, 3, [1]), (262, 3, [32803]),
            (273, 4, [at["sensor"]]), (277, 3, [1]), (278, 3, [height]), (279, 4, [len(sensor)]),
            (33421, 3, [2, 2]), (33422, 1, [0, 1, 1, 2]), (50717, 4, [4095]),
        ]  # fmt: skip
        out += _ifd(first, len(out))
        for name, tags in (("raw", raw), ("exif", [(36867, 2, exif[0]), (36881, 2, exif[1])])):
            where[name] = len(out)
            out += _ifd(tags, len(out))
        for name, data in (("preview", preview), ("sensor", sensor)):
            where[name] = len(out)
            out += data + b"\0" * (len(data) % 2)
        return bytes(out), where

    _, where = build(dict.fromkeys(("preview", "raw", "exif", "sensor"), 0))
    return build(where)[0]


def _ifd(tags: list[_Tag], at: int) -> bytes:
    fields, extra, behind = b"", b"", at + 2 + 12 * len(tags) + 4
    for tag, kind, value in tags:
        data, count = _values(kind, value)
        fields += tag.to_bytes(2, "little") + kind.to_bytes(2, "little") + count.to_bytes(4, "little")
        if len(data) <= 4:
            fields += data.ljust(4, b"\0")
        else:
            fields += (behind + len(extra)).to_bytes(4, "little")
            extra += data + b"\0" * (len(data) % 2)
    return len(tags).to_bytes(2, "little") + fields + b"\0\0\0\0" + extra


def _values(kind: int, value: Any) -> tuple[bytes, int]:
    if kind == 2:
        return value, len(value)
    if kind in {5, 10}:
        return b"".join(n.to_bytes(4, "little") + d.to_bytes(4, "little") for n, d in value), len(value)
    size = {1: 1, 3: 2, 4: 4}[kind]
    return b"".join(number.to_bytes(size, "little") for number in value), len(value)
