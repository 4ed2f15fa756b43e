"""`--mirror`: what is gone here goes into the hold there, compared name by name with what the backup holds.

Only below what was looked at. A root that could not be listed to its end, is missing, is empty, or misses a mount
that it had is left alone: files out of sight are not gone. Excluded files are there, so they stay.
"""

import os
from collections.abc import Iterator
from typing import Any

from otb_client.errors import ApiError, BadAnswer
from otb_client.names import local_path, path_of_json
from otb_client.run import Run
from otb_client.scan import Root

PAGE_ENTRIES = 1000


def gone_below(run: Run, root: Root) -> Iterator[bytes]:
    """Paths of the backup below `root` that are not here; of a folder that is gone, the folder alone."""
    last_gone = b""
    for path in _tree(run, root.path):
        if last_gone and path.startswith(last_gone):
            continue
        if is_gone(local_path(path)):
            last_gone = path + b"/"
            yield path


def may_compare(root: Root) -> bool:
    """Whether what is not seen below this root is really gone."""
    return root.is_whole and not root.is_empty


def is_gone(local: str) -> bool:
    """False also where it cannot be told: no permission, a line to a network drive that broke."""
    try:
        os.lstat(local)
    except (FileNotFoundError, NotADirectoryError):
        return True
    except (OSError, ValueError):
        return False
    return False


def _tree(run: Run, path: bytes) -> Iterator[bytes]:
    """Everything in the backup below a folder, parents before what is in them."""
    query = {"area": "originals", "limit": str(PAGE_ENTRIES), **_directory(path)}
    while True:
        try:
            page: dict[str, Any] = run.api.get_json(f"/api/v1/devices/{run.device}/tree", query)
        except ApiError as e:
            if e.status == 404:
                return
            raise
        entries, cursor = page.get("entries"), page.get("next")
        if not isinstance(entries, list):
            raise BadAnswer("The server's answer to what the backup holds cannot be read.")
        for entry in entries:
            yield path_of_json(entry)
        if not isinstance(cursor, str):
            return
        query["cursor"] = cursor


def _directory(path: bytes) -> dict[str, str]:
    from otb_client.names import json_path  # noqa: PLC0415

    return {name.replace("path", "directory"): value for name, value in json_path(path).items()} if path else {}
