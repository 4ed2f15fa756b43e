"""What the sample customer has: two devices, photos over years, documents, versions of one, and a few deletions.

Nothing here is random: the same plan comes out each time, so that an interrupted filling can simply be done again.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final
from zoneinfo import ZoneInfo

from tools.demo import documents
from tools.demo.landscapes import LIGHTS, Scene, paint

HOME: Final = ZoneInfo("America/Toronto")
LAPTOP_PHOTO_PIXELS: Final = (960, 640)
PHONE_PHOTO_PIXELS: Final = (720, 960)


@dataclass(frozen=True, slots=True)
class SampleDevice:
    name: str
    kind: str
    source_directories: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class SampleFile:
    """One file as it is sent: `content` makes the bytes when they are needed."""

    path: str
    modified: datetime
    content: Callable[[], bytes]


@dataclass(frozen=True, slots=True)
class _Album:
    folder: str
    first: datetime
    days: int
    photos: int
    scenes: tuple[Scene, ...]
    lights: tuple[str, ...]


LAPTOP: Final = SampleDevice("laptop", "laptop", ("/Users/ana/Pictures", "/Users/ana/Documents"))
PHONE: Final = SampleDevice("phone", "phone", ("DCIM/Camera", "Download"))


def _day(year: int, month: int, day: int, hour: int = 9, minute: int = 0) -> datetime:
    return datetime(year, month, day, hour, minute, tzinfo=HOME)


_ALBUMS: Final = (
    _Album("2018/2018-10 Algonquin", _day(2018, 10, 6), 3, 15, (Scene.LAKE, Scene.MOUNTAINS), ("autumn", "mist")),
    _Album("2019/2019-02 Québec en hiver", _day(2019, 2, 9), 2, 13, (Scene.TOWN, Scene.MOUNTAINS), ("night", "mist")),
    _Album("2019/2019-07 Tobermory", _day(2019, 7, 19), 4, 16, (Scene.SEA, Scene.LAKE), ("day", "golden")),
    _Album("2020/2020-08 Prince Edward County", _day(2020, 8, 1), 2, 14, (Scene.FIELDS, Scene.SEA), ("golden", "day")),
    _Album("2021/2021-05 First light", _day(2021, 5, 22, 5), 2, 12, (Scene.FIELDS, Scene.LAKE), ("dawn", "mist")),
    _Album("2022/2022-09 Wedding Roy", _day(2022, 9, 17, 13), 1, 18, (Scene.FIELDS, Scene.LAKE), ("golden", "dusk")),
    _Album("2023/2023-12 Montréal, Noël", _day(2023, 12, 22, 15), 2, 13, (Scene.TOWN,), ("night", "dusk")),
    _Album("2024/2024-05 Wedding O'Neill", _day(2024, 5, 25, 12), 1, 18, (Scene.SEA, Scene.FIELDS), ("day", "golden")),
    _Album("2024/2024-07 Gaspésie", _day(2024, 7, 5), 6, 20, (Scene.SEA, Scene.MOUNTAINS), ("day", "dusk", "mist")),
    _Album("2025/2025-06 Harbour at night", _day(2025, 6, 14, 20), 1, 12, (Scene.TOWN, Scene.SEA), ("night", "dusk")),
    _Album("2026/2026-02 Rockies", _day(2026, 2, 14), 5, 19, (Scene.MOUNTAINS, Scene.LAKE), ("dawn", "day", "dusk")),
)


def laptop_photos() -> Iterator[SampleFile]:
    """The albums, with the camera's running numbers."""
    number = 2041
    for seed, album in enumerate(_ALBUMS):
        dice = random.Random(seed)  # noqa: S311 - dates, not secrets
        for i, taken in enumerate(_moments(album, dice)):
            name = f"DSC{number:05}.JPG" if album.first.year < 2020 else f"IMG_{number}.jpg"
            scene, light = album.scenes[i % len(album.scenes)], album.lights[dice.randrange(len(album.lights))]
            yield _photo(f"Pictures/{album.folder}/{name}", number, scene, light, LAPTOP_PHOTO_PIXELS, taken)
            number += dice.choice((1, 1, 1, 2, 5))


def phone_photos() -> Iterator[SampleFile]:
    """What the phone took, a few each month of two years."""
    dice = random.Random(77)  # noqa: S311 - dates, not secrets
    for i in range(52):
        taken = _day(2024, 10, 3) + timedelta(days=14 * i + dice.randrange(9), seconds=dice.randrange(13 * 3600))
        path = f"DCIM/Camera/PXL_{taken:%Y%m%d_%H%M%S}.jpg"
        scene, light = dice.choice(tuple(Scene)), dice.choice(tuple(LIGHTS))
        yield _photo(path, 9000 + i, scene, light, PHONE_PHOTO_PIXELS, taken)


def laptop_documents() -> Iterator[SampleFile]:
    """Documents in the order in which they are sent: the price list comes three times, each a version."""
    prices = "Documents/Price list.txt"
    yield _document(prices, _day(2024, 1, 8), documents.price_list(220, 2400, "Prices of 2024."))
    for year in range(2019, 2026):
        path = f"Documents/Accounts/income {year}.csv"
        yield _document(path, _day(year + 1, 1, 12, 17), documents.income(year))
    yield from _notes()
    yield _document(prices, _day(2025, 1, 6), documents.price_list(240, 2600, "Prices of 2025."))
    yield from _papers()
    yield _document(prices, _day(2026, 1, 5), documents.price_list(260, 2900, "Prices of 2026. Travel is extra."))
    yield _document("Documents/Price list (draft).txt", _day(2025, 11, 3), documents.price_list(270, 3100, "Draft."))


def phone_documents() -> Iterator[SampleFile]:
    made = _day(2026, 2, 10, 11)
    words = ("Toronto YYZ to Calgary YYC, 13 February 2026, 18:05.", "One carry-on bag, camera equipment declared.")
    yield SampleFile("Download/boarding pass YYC.pdf", made, lambda: documents.pdf("Boarding pass", words, made))


def laptop_deleted() -> list[str]:
    """What is deleted last, so that the hold is not empty: a draft, and a photo from the middle of an album."""
    photos = [file.path for file in laptop_photos() if "Tobermory" in file.path]
    return ["Documents/Price list (draft).txt", photos[len(photos) // 2]]


def _notes() -> Iterator[SampleFile]:
    for path, day, lines in (
        ("gear", _day(2023, 3, 2), ("Two bodies, five batteries", "24–70, 70–200, 35", "Rain covers!")),
        (
            "shot list – Gaspésie",
            _day(2024, 7, 1),
            ("Percé before sunrise", "Boats at Bonaventure", "Phare de Pointe-à-la-Renommée"),
        ),
        (
            "shot list – O'Neill wedding",
            _day(2024, 5, 20),
            ("Families by the pier", "Rings on the old map", "First dance, from above"),
        ),
        (
            "backup routine",
            _day(2025, 2, 3),
            ("Cards to the laptop the same evening", "OTB Cloud overnight", "Clear cards after two days"),
        ),
    ):
        yield _document(f"Documents/Notes/{path}.md", day, documents.notes(path.capitalize(), lines))


def _papers() -> Iterator[SampleFile]:
    contract = "The photographer documents the day and delivers at least 400 edited pictures within eight weeks."
    rights = "The couple may print and share the pictures; the photographer may show ten of them as samples."
    for folder, title, made, words in (
        ("Contracts", "Wedding agreement Roy", _day(2022, 3, 14, 10), (contract, rights)),
        ("Contracts", "Wedding agreement O'Neill", _day(2023, 11, 30, 10), (contract, rights)),
        (
            "Invoices",
            "2024-017 Café Lumière",
            _day(2024, 6, 4, 16),
            ("Twelve product photographs at 45 $.", "Total 540 $."),
        ),
        (
            "Invoices",
            "2025-009 Harbour Authority",
            _day(2025, 6, 20, 16),
            ("The harbour at night, one evening.", "Total 780 $."),
        ),
        (
            "Invoices",
            "2026-003 Alpine Lodge",
            _day(2026, 3, 2, 16),
            ("Winter pictures for the brochure.", "Total 1,950 $."),
        ),
    ):
        yield SampleFile(f"Documents/{folder}/{title}.pdf", made, _later_pdf(title, words, made))


def _later_pdf(title: str, words: tuple[str, ...], made: datetime) -> Callable[[], bytes]:
    return lambda: documents.pdf(title, words, made)


def _document(path: str, modified: datetime, content: bytes) -> SampleFile:
    return SampleFile(path, modified, lambda: content)


def _photo(path: str, seed: int, scene: Scene, light: str, pixels: tuple[int, int], taken: datetime) -> SampleFile:
    return SampleFile(path, taken, lambda: paint(seed, scene, LIGHTS[light], pixels, taken))


def _moments(album: _Album, dice: random.Random) -> list[datetime]:
    """Whole seconds within the album's days, at most ten hours after each day's start, in order."""
    return sorted(
        album.first + timedelta(days=dice.randrange(album.days), seconds=dice.randrange(10 * 3600))
        for _ in range(album.photos)
    )
