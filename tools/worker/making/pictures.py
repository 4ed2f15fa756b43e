"""Pictures, with Pillow: opened by the format that their bytes announce and no other, the right way up, in sRGB.

Limits: the pixels of one picture, and the first frame of what moves. All else (memory, time, size of the output) is the
sandbox's to limit.
"""

import io
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final

import pillow_heif
from PIL import Image, ImageCms, ImageOps, UnidentifiedImageError

from tools.worker.making.order import FoundFacts, Order, Piece, Refused, Result
from tools.worker.making.picture_facts import picture_facts
from tools.worker.making.sniff import IMAGE, RAW_TYPE

PIXELS_MAX: Final = 200_000_000
THUMBNAIL_EDGE: Final = 320
PREVIEW_EDGE: Final = 1_600
PREVIEW_BYTES_MAX: Final = 1 << 20
"""What fits into a pack."""
_QUALITIES: Final = (80, 65, 45, 25)
_WEBP_EFFORT: Final = 2
"""libwebp's method: half the time of its usual 4, for a twentieth of the size."""
_JPEG_QUALITY: Final = 95

FORMATS: Final = {
    "image/jpeg": ("JPEG", "MPO"),
    "image/png": ("PNG",),
    "image/gif": ("GIF",),
    "image/bmp": ("BMP",),
    "image/webp": ("WEBP",),
    "image/tiff": ("TIFF",),
    "image/avif": ("AVIF",),
    "image/heic": ("HEIF",),
}
_WRITTEN: Final = {
    "jpeg": ("JPEG", "image/jpeg", ".jpg"),
    "png": ("PNG", "image/png", ".png"),
    "webp": ("WEBP", "image/webp", ".webp"),
    "avif": ("AVIF", "image/avif", ".avif"),
}
_SRGB: Final = ImageCms.createProfile("sRGB")


def prepare() -> None:
    """Load the decoders, once, before the processes that use them are forked, and go through the commonest way, so that
    what is only found on it is there as well."""
    pillow_heif.register_heif_opener(thumbnails=False)
    Image.init()
    Image.MAX_IMAGE_PIXELS = None  # checked below, with a sentence of our own
    photo = io.BytesIO()
    Image.new("RGB", (64, 48)).save(photo, "JPEG", exif=Image.Exif())
    with opened(photo, "image/jpeg") as image:
        picture_facts(image, FoundFacts(IMAGE, "image/jpeg"))
        _small(image, THUMBNAIL_EDGE)


@contextmanager
def opened(source: Path | io.BytesIO, media_type: str) -> Iterator[Image.Image]:
    """The picture, header read. Raises `Refused`."""
    try:
        image = Image.open(source, formats=FORMATS.get(media_type, ()))
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError) as error:
        raise Refused(f"The picture cannot be read: its header is damaged ({_plain(error)}).") from error
    with image:
        if image.width * image.height > PIXELS_MAX:
            raise Refused(
                f"The picture has {image.width * image.height / 1e6:,.0f} million pixels;"
                f" at most {PIXELS_MAX / 1e6:,.0f} million are read."
            )
        yield image


def load(image: Image.Image) -> None:
    """Decode the first frame. Raises `Refused`."""
    try:
        image.load()
    except (OSError, ValueError, SyntaxError, EOFError, IndexError, TypeError, RuntimeError) as error:
        raise Refused(f"The picture cannot be read: it is damaged ({_plain(error)}).") from error


def make_thumbnail(order: Order) -> Result:
    """The facts and the thumbnail, in one reading."""
    with _opened_order(order) as image:
        facts = _facts(order, image)
        try:
            return Result([save_small(image, order.out, THUMBNAIL_EDGE)], facts)
        except Refused as error:
            return Result(facts=facts, refusal=str(error))


def make_preview(order: Order) -> Result:
    with _opened_order(order) as image:
        return Result([save_small(image, order.out, PREVIEW_EDGE)])


def save_small(image: Image.Image, out: Path, edge: int, name: str = "0") -> Piece:
    """As `_small`, into a file."""
    (out / name).write_bytes(_small(image, edge))
    return Piece(name, "image/webp", ".webp")


def _small(image: Image.Image, edge: int) -> bytes:
    """The picture in at most `edge` pixels each way as WebP of at most `PREVIEW_BYTES_MAX`. Raises `Refused`."""
    # JPEG: decode at 1/2, 1/4 or 1/8 of the size, as little as is still enough.
    image.draft("RGB", (edge, edge))
    load(image)
    small = _eight_bits(image)
    small.thumbnail((edge, edge), Image.Resampling.LANCZOS, reducing_gap=None)
    small = to_srgb(ImageOps.exif_transpose(small), image.info.get("icc_profile"))
    for quality in _QUALITIES:
        data = io.BytesIO()
        small.save(data, "WEBP", quality=quality, method=_WEBP_EFFORT)
        if data.tell() <= PREVIEW_BYTES_MAX:
            return data.getvalue()
    raise Refused("The picture cannot be made small enough to be shown.")


def make_rotated(order: Order) -> Result:
    turns = {
        "90": Image.Transpose.ROTATE_270,
        "180": Image.Transpose.ROTATE_180,
        "270": Image.Transpose.ROTATE_90,
    }
    with _upright(order) as image:
        return _saved_alike(order, image, image.transpose(turns[order.word("angle")]))


def make_cropped(order: Order) -> Result:
    left, top = order.number("left"), order.number("top")
    right, bottom = left + order.number("width"), top + order.number("height")
    with _upright(order) as image:
        if right > image.width or bottom > image.height:
            raise Refused(f"The part lies outside of the picture, which has {image.width:,} × {image.height:,} pixels.")
        return _saved_alike(order, image, image.crop((left, top, right, bottom)))


def make_resized(order: Order) -> Result:
    edge = order.number("edge")
    with _upright(order) as image:
        if max(image.size) <= edge:
            raise Refused(f"The picture has {image.width:,} × {image.height:,} pixels: it is small enough already.")
        small = _eight_bits(image)
        small.thumbnail((edge, edge), Image.Resampling.LANCZOS, reducing_gap=None)
        return _saved_alike(order, image, small)


def make_converted(order: Order) -> Result:
    with _upright(order) as image:
        made = to_srgb(_eight_bits(image), image.info.get("icc_profile"))
        return Result([_saved(order, made, order.word("format"), order.number("quality"), _kept(image))])


def make_stripped(order: Order) -> Result:
    """The same picture without metadata. Its colours are brought into sRGB, since the profile goes as well."""
    with _upright(order) as image:
        made = to_srgb(_eight_bits(image), image.info.get("icc_profile"))
        return Result([_saved(order, made, _format_like(order), _JPEG_QUALITY, {})])


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """The colours as a browser shows them without a profile."""
    if profile and image.mode in {"RGB", "CMYK", "L"}:
        # A broken profile is as good as none: the picture is shown, a shade off.
        with suppress(ImageCms.PyCMSError, OSError, ValueError, TypeError):
            converted = ImageCms.profileToProfile(image, io.BytesIO(profile), _SRGB, outputMode="RGB")
            if converted is not None:
                return _without_profile(converted)
    if image.mode not in {"RGB", "RGBA", "L"}:
        image = image.convert("RGBA" if _has_alpha(image) else "RGB")
    return _without_profile(image)


@contextmanager
def _opened_order(order: Order) -> Iterator[Image.Image]:
    if order.media_type == RAW_TYPE or (order.media_type == "image/tiff" and _is_raw_tiff(order.source)):
        from tools.worker.making.raw import embedded_preview  # noqa: PLC0415 - LibRaw and numpy, for the few that need them

        with opened(io.BytesIO(embedded_preview(order.source)), "image/jpeg") as image:
            yield image
        return
    with opened(order.source, order.media_type) as image:
        yield image


@contextmanager
def _upright(order: Order) -> Iterator[Image.Image]:
    """The whole picture, decoded and turned as it is to be seen."""
    with _opened_order(order) as image:
        load(image)
        turned = ImageOps.exif_transpose(image)
        turned.info.setdefault("icc_profile", image.info.get("icc_profile"))
        yield turned


def _facts(order: Order, image: Image.Image) -> FoundFacts:
    facts = FoundFacts(IMAGE, order.media_type)
    picture_facts(image, facts)
    return facts


def _saved_alike(order: Order, original: Image.Image, made: Image.Image) -> Result:
    """In the source's own format where it can be written, with its colours and its other metadata."""
    kept = _kept(original)
    if profile := original.info.get("icc_profile"):
        kept["icc_profile"] = profile
    return Result([_saved(order, made, _format_like(order), _JPEG_QUALITY, kept)])


def _saved(order: Order, image: Image.Image, into: str, quality: int, kept: dict[str, Any]) -> Piece:
    name, media_type, extension = _WRITTEN[into]
    if name == "JPEG":
        image = _flat(image)
    elif image.mode not in {"1", "L", "LA", "P", "RGB", "RGBA", "I;16"} or (name != "PNG" and image.mode != "RGB"):
        image = image.convert("RGBA" if _has_alpha(image) else "RGB")
        kept.pop("icc_profile", None)
    options: dict[str, Any] = {"quality": quality, **kept} if name != "PNG" else kept
    if name == "JPEG" and quality >= _JPEG_QUALITY:
        options["subsampling"] = 0
    try:
        image.save(order.out / "0", name, **options)
    except (OSError, ValueError) as error:
        raise Refused(f"The picture cannot be written as {name} ({_plain(error)}).") from error
    return Piece("0", media_type, extension, dict(order.parameters))


def _kept(image: Image.Image) -> dict[str, Any]:
    """EXIF without the orientation, which the pixels have now."""
    exif = image.getexif()
    exif.pop(0x0112, None)
    return {"exif": exif.tobytes()} if len(exif) else {}


def _format_like(order: Order) -> str:
    of_type = {"image/png": "png", "image/gif": "png", "image/bmp": "png", "image/webp": "webp", "image/avif": "avif"}
    return of_type.get(order.media_type, "jpeg")


def _eight_bits(image: Image.Image) -> Image.Image:
    """A copy in a mode that Pillow scales well: 16 bits are brought to 8, palettes to colours."""
    if image.mode.startswith("I;16"):
        return image.convert("I").point(lambda value: value / 257).convert("L")
    if image.mode in {"I", "F"}:
        low, high = image.getextrema()
        scale = 255 / (high - low) if isinstance(high, int | float) and high > low else 1  # type: ignore[operator]
        return image.point(lambda value: value * scale - low * scale).convert("L")  # type: ignore[operator]
    if image.mode in {"P", "PA", "LA", "La", "RGBa"}:
        return image.convert("RGBA" if _has_alpha(image) else "RGB")
    if image.mode == "1":
        return image.convert("L")
    return image.copy()


def _flat(image: Image.Image) -> Image.Image:
    """On white, where something shows through: JPEG knows no transparency."""
    image = _eight_bits(image)
    if image.mode == "RGBA":
        ground = Image.new("RGB", image.size, "white")
        ground.paste(image, mask=image.getchannel("A"))
        return ground
    return image if image.mode in {"L", "RGB", "CMYK"} else image.convert("RGB")


def _has_alpha(image: Image.Image) -> bool:
    return image.mode in {"RGBA", "LA", "PA", "La", "RGBa"} or "transparency" in image.info


def _without_profile(image: Image.Image) -> Image.Image:
    image.info.pop("icc_profile", None)
    image.info.pop("exif", None)
    return image


def _is_raw_tiff(source: Path) -> bool:
    """Cameras write RAW as TIFF: DNG says so, the others have a camera's name and hold the sensor's data in a folder
    below."""
    with opened(source, "image/tiff") as image:
        tags = getattr(image, "tag_v2", {})
        return 50706 in tags or (271 in tags and 330 in tags and 34665 in tags)


def _plain(error: Exception) -> str:
    return str(error).split("\n", 1)[0][:120] or type(error).__name__
