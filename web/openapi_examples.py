"""Bodies and queries of the examples in `docs/api.md`. Names in braces stand for ids, as in the paths."""

from typing import Any, Final

_DEVICE: Final = "/api/v1/devices/{device}"
_ENTRIES: Final = {"entries": ["{entry}"]}

BODIES: Final[dict[tuple[str, str], dict[str, Any]]] = {
    ("put", "/api/v1/retention"): {"versions": 10, "days": 90},
    ("post", "/api/v1/devices"): {"name": "ann-laptop", "kind": "laptop", "source_directories": ["/home/ann"]},
    ("patch", _DEVICE): {"kind": "server"},
    ("post", f"{_DEVICE}/tokens"): {"label": "nightly backup"},
    ("post", f"{_DEVICE}/folders"): {"path": "photos/2024"},
    ("post", f"{_DEVICE}/manifests"): {
        "note": "nightly",
        "entries": [{"path": "photos", "type": "directory"}, {"path": "latest", "type": "link", "target": "photos"}],
        "removed": ["d"],
    },
    ("post", f"{_DEVICE}/restore"): {"at": "{at}", "directory": "f"},
    ("post", "/api/v1/connect"): {"name": "ann-laptop", "system": "linux", "kind": "laptop"},
    ("post", "/api/v1/blobs/missing"): {"digests": ["{digest}"]},
    ("post", "/api/v1/blobs/read"): {"digests": ["{digest}"]},
    ("post", "/api/v1/blobs/status"): {"digests": ["{digest}"]},
    ("post", "/api/v1/entries/rename"): _ENTRIES | {"base_name": "at the sea"},
    ("post", "/api/v1/entries/move"): _ENTRIES | {"directory": "photos/2024"},
    ("post", "/api/v1/entries/delete"): _ENTRIES,
    ("post", "/api/v1/exports"): {"device": "{device}", "directory": "f"},
    ("post", "/api/v1/derivations"): _ENTRIES | {"recipe": "rotate", "parameters": {"angle": "90"}},
    ("post", "/api/v1/grants"): {"reason": "The restore does not start", "seconds": 3600},
}

QUERIES: Final[dict[tuple[str, str], str]] = {
    ("get", f"{_DEVICE}/entries"): "?directory=f&sort=size&order=descending",
    ("get", f"{_DEVICE}/tree"): "?directory=f",
    ("get", "/api/v1/search"): "?q=jpg&kind=image&from=2024-05-01",
    ("get", "/api/v1/search/facets"): "?q=jpg",
    ("get", "/api/v1/audit"): "?action=upload&limit=20",
    ("get", "/api/v1/audit/activity.csv"): "?from=2024-05-01",
    ("get", "/api/v1/jobs"): "?limit=10",
    ("get", "/api/v1/uploads"): "?limit=10",
    ("get", "/api/v1/exports/{export}/{name}.zip"): "?part=1",
}
