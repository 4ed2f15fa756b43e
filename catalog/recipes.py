"""Recipes: what can be made of a file, with the limits of every parameter and the kinds of content each accepts.

What always holds: a request is checked here before there is a job; the canonical form of its parameters is part of the
derivation's key, so a recipe whose output would change for the same parameters gets a new version.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import msgspec

from cas.digest import Digest
from catalog.errors import BadRequest, NotFound

Value = int | str


class SourceKind(StrEnum):
    """What a file's content is, whatever its name says."""

    IMAGE = "image"
    VIDEO = "video"
    AUDIO = "audio"
    PDF = "pdf"
    DOCUMENT = "document"
    TEXT = "text"
    OTHER = "other"


class Lane(StrEnum):
    """Light work never waits behind heavy work: a worker keeps room for it."""

    LIGHT = "light"
    HEAVY = "heavy"


@dataclass(frozen=True, slots=True)
class Number:
    """A whole number from `least` to `most`. Without a default it must be given."""

    name: str
    label: str
    least: int
    most: int
    default: int | None = None

    def checked(self, value: object) -> Value:
        if isinstance(value, int) and not isinstance(value, bool) and self.least <= value <= self.most:
            return value
        raise BadRequest(f"“{self.name}” is a whole number from {self.least:,} to {self.most:,}.")


@dataclass(frozen=True, slots=True)
class Choice:
    """One of some words; each with what a person is shown."""

    name: str
    label: str
    words: Mapping[str, str]
    default: str | None = None

    def checked(self, value: object) -> Value:
        if isinstance(value, str) and value in self.words:
            return value
        raise BadRequest(f"“{self.name}” is one of {', '.join(self.words)}.")


Parameter = Number | Choice


@dataclass(frozen=True, slots=True)
class Recipe:
    """`deterministic`: the same source gives the same bytes with the same libraries, so a claim can be checked by
    making it again. `seconds_max`: of wall clock, for one try. `in_place`: a rendition, which belongs to its
    source."""

    name: str
    version: int
    title: str
    accepts: frozenset[SourceKind]
    parameters: tuple[Parameter, ...] = ()
    lane: Lane = Lane.LIGHT
    seconds_max: int = 60
    deterministic: bool = True
    in_place: bool = False

    def checked(self, given: Mapping[str, object]) -> dict[str, Value]:
        """Every parameter, checked, defaults filled in. Raises `BadRequest`."""
        known = {parameter.name for parameter in self.parameters}
        for name in given:
            if name not in known:
                raise BadRequest(f"“{self.name}” has no parameter “{name[:50]}”.")
        values: dict[str, Value] = {}
        for parameter in self.parameters:
            value = given.get(parameter.name, parameter.default)
            if value is None:
                raise BadRequest(f"“{self.name}” needs “{parameter.name}”.")
            values[parameter.name] = parameter.checked(value)
        return values


PIXELS_EDGE_MAX: Final = 20_000
_IMAGE: Final = frozenset({SourceKind.IMAGE})
_VIDEO: Final = frozenset({SourceKind.VIDEO})
_AUDIBLE: Final = frozenset({SourceKind.AUDIO, SourceKind.VIDEO})
_EVERYTHING: Final = frozenset(SourceKind) - {SourceKind.OTHER}

_FORMAT: Final = Choice("format", "Format", {"jpeg": "JPEG", "png": "PNG", "webp": "WebP", "avif": "AVIF"})
_QUALITY: Final = Number("quality", "Quality (1 to 100)", 1, 100, 90)
_HALF_HOUR: Final = 1_800
_HOURS: Final = 6 * 3_600

THUMBNAIL: Final = Recipe("thumbnail", 2, "Thumbnail", _EVERYTHING, in_place=True)
PREVIEW: Final = Recipe("preview", 2, "Preview", _EVERYTHING, in_place=True)

RECIPES: Final[Mapping[str, Recipe]] = {
    recipe.name: recipe
    for recipe in (
        THUMBNAIL,
        PREVIEW,
        Recipe(
            "rotate",
            1,
            "Rotate",
            _IMAGE,
            (Choice("angle", "Clockwise by", {"90": "90°", "180": "180°", "270": "270°"}, "90"),),
        ),
        Recipe(
            "crop",
            1,
            "Crop",
            _IMAGE,
            (
                Number("left", "Left (pixels)", 0, PIXELS_EDGE_MAX, 0),
                Number("top", "Top (pixels)", 0, PIXELS_EDGE_MAX, 0),
                Number("width", "Width (pixels)", 1, PIXELS_EDGE_MAX),
                Number("height", "Height (pixels)", 1, PIXELS_EDGE_MAX),
            ),
        ),
        Recipe(
            "resize",
            1,
            "Make smaller",
            _IMAGE,
            (Number("edge", "Longer edge (pixels)", 16, 10_000, 2_048),),
        ),
        Recipe("convert", 1, "Convert", _IMAGE, (_FORMAT, _QUALITY)),
        Recipe("strip", 1, "Remove place, camera and other metadata", _IMAGE),
        Recipe(
            "pdf-pages",
            1,
            "Pages as pictures",
            frozenset({SourceKind.PDF}),
            (
                Number("first", "First page", 1, 10_000, 1),
                Number("pages", "How many pages", 1, 50, 1),
                Number("dpi", "Dots per inch", 36, 300, 150),
            ),
            seconds_max=300,
        ),
        Recipe(
            "video-poster",
            1,
            "A picture of one moment",
            _VIDEO,
            (Number("second", "At second", 0, 86_400, 0),),
            seconds_max=120,
        ),
        Recipe(
            "contact-strip",
            1,
            "Contact strip",
            _VIDEO,
            (Number("frames", "How many pictures", 4, 36, 12),),
            lane=Lane.HEAVY,
            seconds_max=_HALF_HOUR,
        ),
        Recipe(
            "video",
            1,
            "Video workshop",
            _VIDEO,
            (
                Choice(
                    "profile",
                    "Profile",
                    {
                        "default": "Default: plays everywhere, up to 1080p",
                        "compress": "Compress: much smaller, up to 720p",
                        "hq": "High quality: as large as it is, hardly any loss",
                    },
                    "default",
                ),
                Choice(
                    "rotation",
                    "Rotation",
                    {"auto": "As the file says", "90": "90° clockwise", "180": "180°", "270": "270° clockwise"},
                    "auto",
                ),
            ),
            lane=Lane.HEAVY,
            seconds_max=_HOURS,
            deterministic=False,
        ),
        Recipe(
            "audio",
            1,
            "Audio alone, or in another format",
            _AUDIBLE,
            (
                Choice("format", "Format", {"mp3": "MP3", "opus": "Opus", "flac": "FLAC", "m4a": "AAC"}, "mp3"),
                Number("kbps", "Kilobits a second", 32, 320, 160),
            ),
            lane=Lane.HEAVY,
            seconds_max=_HALF_HOUR,
            deterministic=False,
        ),
        Recipe(
            "waveform",
            1,
            "Waveform as a picture",
            _AUDIBLE,
            (Number("width", "Width (pixels)", 200, 4_000, 1_600),),
            lane=Lane.HEAVY,
            seconds_max=_HALF_HOUR,
        ),
    )
}


def recipe_named(name: str) -> Recipe:
    """The recipe of this name, in its current version. Raises `NotFound`."""
    if name not in RECIPES:
        raise NotFound("recipe")
    return RECIPES[name]


def asked_recipe(name: str) -> Recipe:
    """A recipe that somebody may ask for. Raises `BadRequest` for renditions, which come by themselves, and unknown
    ones."""
    recipe = RECIPES.get(name)
    if recipe is None or recipe.in_place:
        raise BadRequest(f"“recipe” is one of {', '.join(r.name for r in asked_recipes())}.")
    return recipe


def asked_recipes(kind: SourceKind | None = None) -> list[Recipe]:
    """The recipes that somebody may ask for; of a kind, those that accept it."""
    return [r for r in RECIPES.values() if not r.in_place and (kind is None or kind in r.accepts)]


def canonical(parameters: Mapping[str, Value]) -> str:
    """The one way to write these parameters: JSON, keys in order, ASCII."""
    return msgspec.json.encode(dict(parameters), order="sorted").decode("ascii")


def parameters_of(text: str) -> dict[str, Value]:
    """What `canonical` wrote."""
    return msgspec.json.decode(text, type=dict[str, Value])


def derivation_key(source: Digest, recipe: str, version: int, parameters: str) -> Digest:
    """The derivation's key: BLAKE3 over the source's digest, a NUL between the rest."""
    return Digest.of(b"\0".join([source.raw, recipe.encode(), str(version).encode(), parameters.encode()]))
