"""Places in the library, and the addresses of their pages."""

from dataclasses import dataclass
from urllib.parse import quote

from catalog.values import Area, EntryPath


@dataclass(frozen=True, slots=True)
class Place:
    """A folder: `path` from the root of a device's area."""

    device_id: int
    area: Area
    path: EntryPath


def folder_url(place: Place) -> str:
    """The page of a folder."""
    return f"/files/{place.device_id}/{place.area}/" + "/".join(quote(name, safe="") for name in place.path.names)


def areas_of(device_id: int, current: str) -> list[tuple[str, str, bool]]:
    """The five areas of a device as (address, words, whether it is the current one)."""
    pages = {
        Area.ORIGINALS: (f"/files/{device_id}/originals/", "Originals"),
        Area.DERIVED: (f"/files/{device_id}/derived/", "Derived"),
        "exports": ("/exports", "Exports"),
        "deleted": (f"/deleted?device={device_id}", "Deleted"),
        "tmp": (f"/uploads?device={device_id}", "Uploading"),
    }
    return [(address, words, str(area) == current) for area, (address, words) in pages.items()]
