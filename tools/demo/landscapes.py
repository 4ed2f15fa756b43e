"""Paints the sample's photos: skies, ridges, lakes, towns. The same seed paints the same picture."""

import io
import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Final

from PIL import Image, ImageChops, ImageDraw, ImageFilter

Colour = tuple[int, int, int]

JPEG_QUALITY: Final = 86
GRAIN: Final = 7
_EXIF_IFD: Final = 0x8769
_MAKE, _MODEL, _DATE_TIME, _DATE_TIME_ORIGINAL, _OFFSET_TIME_ORIGINAL = 0x010F, 0x0110, 0x0132, 0x9003, 0x9011


class Scene(StrEnum):
    MOUNTAINS = "mountains"
    LAKE = "lake"
    SEA = "sea"
    TOWN = "town"
    FIELDS = "fields"


@dataclass(frozen=True, slots=True)
class Light:
    """The colours of one time of day: the sky from its top to the horizon, what shines, and the nearest ground."""

    top: Colour
    middle: Colour
    horizon: Colour
    disc: Colour
    ground: Colour


LIGHTS: Final = {
    "dawn": Light((64, 86, 140), (216, 150, 160), (255, 214, 170), (255, 240, 214), (38, 44, 62)),
    "day": Light((52, 120, 196), (122, 178, 226), (222, 236, 244), (255, 252, 236), (34, 74, 56)),
    "golden": Light((74, 96, 150), (232, 164, 112), (255, 222, 150), (255, 246, 210), (56, 42, 40)),
    "dusk": Light((30, 32, 78), (128, 72, 120), (244, 140, 100), (255, 214, 170), (20, 18, 36)),
    "mist": Light((150, 164, 176), (190, 200, 206), (226, 230, 230), (246, 246, 240), (70, 86, 92)),
    "night": Light((8, 12, 34), (22, 34, 72), (56, 72, 112), (236, 238, 244), (6, 10, 20)),
    "autumn": Light((96, 130, 164), (206, 190, 170), (250, 226, 186), (255, 246, 222), (104, 52, 28)),
}


def paint(seed: int, scene: Scene, light: Light, size: tuple[int, int], taken: datetime) -> bytes:
    """A JPEG of `size` pixels with the camera's date in its EXIF; `taken` must know its time zone."""
    dice = random.Random(seed)  # noqa: S311 - pictures, not secrets
    image = _sky(size, light)
    _shine(image, light, dice)
    _SCENES[scene](image, light, dice)
    return _jpeg(_grain(image), taken)


def _sky(size: tuple[int, int], light: Light) -> Image.Image:
    column = Image.new("RGB", (1, 64))
    for y in range(64):
        at = y / 63 * 2
        start, end = (light.top, light.middle) if at < 1 else (light.middle, light.horizon)
        column.putpixel((0, y), _mix(start, end, at % 1 if at < 2 else 1))
    width, height = size
    sky = Image.new("RGB", size, light.horizon)
    sky.paste(_widen(column, (width, int(height * 0.72))), (0, 0))
    return sky


def _shine(image: Image.Image, light: Light, dice: random.Random) -> None:
    width, height = image.size
    x, y = dice.uniform(0.15, 0.85) * width, dice.uniform(0.18, 0.5) * height
    radius = dice.uniform(0.022, 0.045) * width
    small = Image.new("L", (width // 8, height // 8))
    draw = ImageDraw.Draw(small)
    for spread, strength in ((9, 30), (5, 60), (2.4, 110)):
        _disc(draw, x / 8, y / 8, radius * spread / 8, strength)
    glow = small.filter(ImageFilter.GaussianBlur(radius / 8 * 1.8)).resize(image.size, Image.Resampling.BILINEAR)
    image.paste(light.disc, (0, 0), glow)
    half = int(radius) + 6
    disc = Image.new("L", (2 * half, 2 * half))
    _disc(ImageDraw.Draw(disc), half, half, radius, 245)
    image.paste(light.disc, (int(x) - half, int(y) - half), disc.filter(ImageFilter.GaussianBlur(1.2)))
    if sum(light.top) < 90:
        _stars(image, dice)


def _stars(image: Image.Image, dice: random.Random) -> None:
    width, height = image.size
    for _ in range(160):
        x, y, tone = dice.randrange(width), int(dice.random() ** 1.6 * height * 0.6), dice.randrange(90, 250)
        image.putpixel((x, y), (tone, tone, min(255, tone + 12)))


def _disc(draw: ImageDraw.ImageDraw, x: float, y: float, radius: float, tone: int) -> None:
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), fill=tone)


def _mountains(image: Image.Image, light: Light, dice: random.Random) -> None:
    for depth in range(5):
        _ridge(image, light, dice, depth / 4, 0.46 + depth * 0.11, rough=0.16 - depth * 0.018)
    _trees(image, light, dice)


def _fields(image: Image.Image, light: Light, dice: random.Random) -> None:
    for depth in range(6):
        _ridge(image, light, dice, depth / 5, 0.56 + depth * 0.075, rough=0.045, smooth=True)


def _lake(image: Image.Image, light: Light, dice: random.Random) -> None:
    for depth in range(3):
        _ridge(image, light, dice, depth / 4, 0.44 + depth * 0.06, rough=0.13 - depth * 0.02)
    _water(image, 0.66)
    _ridge(image, light, dice, 1.0, 0.94, rough=0.05)


def _sea(image: Image.Image, light: Light, dice: random.Random) -> None:
    _ridge(image, light, dice, 0.25, 0.6, rough=0.05, smooth=True)
    _water(image, 0.62)
    draw = ImageDraw.Draw(image, "RGBA")
    width, height = image.size
    for _ in range(90):
        y = height * (0.64 + dice.random() ** 1.5 * 0.36)
        x, half = dice.randrange(width), dice.uniform(0.01, 0.05) * width
        draw.line((x - half, y, x + half, y), fill=(*light.disc, dice.randrange(18, 60)), width=1 + height // 900)


def _town(image: Image.Image, light: Light, dice: random.Random) -> None:
    width, height = image.size
    draw = ImageDraw.Draw(image)
    for depth in range(3):
        x = -dice.uniform(0, 0.05) * width
        colour = _mix(light.horizon, light.ground, 0.45 + depth * 0.25)
        while x < width:
            wide = dice.uniform(0.03, 0.085) * width
            top = height * (0.42 + depth * 0.13 + dice.uniform(-0.1, 0.1))
            draw.rectangle((x, top, x + wide, height), fill=colour)
            if dice.random() < 0.4:
                draw.polygon([(x, top), (x + wide / 2, top - wide * 0.5), (x + wide, top)], fill=colour)
            if depth:
                _windows(draw, (x, top, wide, height), light, dice)
            x += wide + dice.uniform(0, 0.006) * width
    _ridge(image, light, dice, 1.0, 0.95, rough=0.015, smooth=True)


def _windows(
    draw: ImageDraw.ImageDraw, house: tuple[float, float, float, int], light: Light, dice: random.Random
) -> None:
    left, top, wide, bottom = house
    lit = (255, 214, 140) if sum(light.top) < 300 else _mix(light.horizon, light.ground, 0.35)
    step = max(9.0, wide / 5)
    for row in range(1, int((bottom - top) / step)):
        for column in range(1, int(wide / step)):
            if dice.random() < 0.42:
                x, y = left + column * step, top + row * step
                draw.rectangle((x, y, x + step * 0.34, y + step * 0.48), fill=lit)


def _ridge(
    image: Image.Image,
    light: Light,
    dice: random.Random,
    near: float,
    base: float,
    *,
    rough: float,
    smooth: bool = False,
) -> None:
    """One line of hills: the farther, the paler (`near` from 0 to 1); `base` is its height from the top, 0 to 1."""
    width, height = image.size
    line = _waves(dice, rough) if smooth else _broken_line(dice, rough)
    points = [(i / (len(line) - 1) * width, (base + y) * height) for i, y in enumerate(line)]
    colour = _mix(light.horizon, light.ground, 0.22 + near * 0.78)
    shape = Image.new("L", (width, height))
    ImageDraw.Draw(shape).polygon([(0, height), *points, (width, height)], fill=255)
    low = _mix(colour, light.horizon, 0.28 * (1 - near))
    image.paste(_gradient((width, height), colour, low), mask=shape)


def _gradient(size: tuple[int, int], top: Colour, bottom: Colour) -> Image.Image:
    column = Image.new("RGB", (1, 2))
    column.putpixel((0, 0), top)
    column.putpixel((0, 1), bottom)
    return _widen(column, size)


def _widen(column: Image.Image, size: tuple[int, int]) -> Image.Image:
    # Each way on its own: smoothing along a row of equal pixels would take most of the time.
    return column.resize((1, size[1]), Image.Resampling.BICUBIC).resize(size, Image.Resampling.NEAREST)


def _broken_line(dice: random.Random, rough: float, steps: int = 8) -> list[float]:
    """Midpoint displacement (Fournier, Fussell and Carpenter, 1982)."""
    line = [dice.uniform(-rough, rough) for _ in range(3)]
    scale = rough
    for _ in range(steps):
        scale *= 0.55
        middle = [(a + b) / 2 + dice.uniform(-scale, scale) for a, b in itertools.pairwise(line)]
        line = [value for pair in zip(line, middle, strict=False) for value in pair] + line[-1:]
    return line


def _waves(dice: random.Random, rough: float, points: int = 160) -> list[float]:
    waves = [(dice.uniform(0.6, 3.4), dice.uniform(0, math.tau), dice.uniform(0.3, 1)) for _ in range(3)]
    total = sum(height for _, _, height in waves)
    return [
        rough * sum(height * math.sin(i / points * math.tau * pace + start) for pace, start, height in waves) / total
        for i in range(points + 1)
    ]


def _trees(image: Image.Image, light: Light, dice: random.Random) -> None:
    width, height = image.size
    draw = ImageDraw.Draw(image)
    colour = _mix(light.ground, (0, 0, 0), 0.35)
    for _ in range(46):
        x, foot = dice.uniform(0, width), height * dice.uniform(0.93, 1.03)
        tall = height * dice.uniform(0.06, 0.15)
        for part in range(4):
            top, half = foot - tall * (1 - part * 0.2), tall * (0.07 + part * 0.055)
            draw.polygon([(x, top), (x - half, top + tall * 0.38), (x + half, top + tall * 0.38)], fill=colour)


def _water(image: Image.Image, shore: float) -> None:
    """Below the shore lies the picture above it, upside down, darker and blurred along the waves."""
    width, height = image.size
    line = int(height * shore)
    above = image.crop((0, max(0, line - (height - line)), width, line)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
    squeezed = above.resize((width // 6, above.height)).resize(above.size, Image.Resampling.BICUBIC)
    depth = Image.new("RGB", above.size, (188, 200, 214))
    image.paste(ImageChops.multiply(squeezed, depth), (0, line))


def _grain(image: Image.Image) -> Image.Image:
    """What a sensor adds; without it a painted sky compresses like no photo."""
    dots = Image.frombytes("L", (128, 128), random.Random(image.width).randbytes(128 * 128))  # noqa: S311
    dots = dots.point([128 + (value - 128) * GRAIN // 128 for value in range(256)])
    tiles = Image.new("L", image.size)
    for y in range(0, image.height, 128):
        for x in range(0, image.width, 128):
            tiles.paste(dots, (x, y))
    return ImageChops.add(image, Image.merge("RGB", [tiles] * 3), offset=-128)


def _jpeg(image: Image.Image, taken: datetime) -> bytes:
    exif = Image.Exif()
    stamp = taken.strftime("%Y:%m:%d %H:%M:%S")
    exif[_MAKE], exif[_MODEL], exif[_DATE_TIME] = "OutsideTheBox", "Sample camera", stamp
    offset = taken.strftime("%z")
    exif.get_ifd(_EXIF_IFD).update({_DATE_TIME_ORIGINAL: stamp, _OFFSET_TIME_ORIGINAL: f"{offset[:3]}:{offset[3:]}"})
    out = io.BytesIO()
    image.save(out, "JPEG", quality=JPEG_QUALITY, exif=exif)
    return out.getvalue()


def _mix(start: Colour, end: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(start, end, strict=True))
    return red, green, blue


_SCENES: Final[dict[Scene, Callable[[Image.Image, Light, random.Random], None]]] = {
    Scene.MOUNTAINS: _mountains,
    Scene.LAKE: _lake,
    Scene.SEA: _sea,
    Scene.TOWN: _town,
    Scene.FIELDS: _fields,
}
LIGHT_NAMES: Final[Sequence[str]] = tuple(LIGHTS)
