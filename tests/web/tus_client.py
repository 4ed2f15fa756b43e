"""tus as tests speak it: each request by itself, with every header in sight."""

import base64

import httpx2

UPLOADS = "/api/v1/uploads"
TUS = {"Tus-Resumable": "1.0.0"}
CHUNK = TUS | {"Content-Type": "application/offset+octet-stream"}


def metadata(**values: str) -> str:
    """`Upload-Metadata`."""
    return ",".join(f"{key} {base64.b64encode(value.encode()).decode()}".strip() for key, value in values.items())


def create(
    client: httpx2.Client, size: int | None, content: bytes | None = None, checksum: str | None = None, /, **said: str
) -> httpx2.Response:
    """POST, with the first bytes if there are any. `size` None: deferred."""
    headers = TUS | ({"Upload-Defer-Length": "1"} if size is None else {"Upload-Length": str(size)})
    headers |= {"Upload-Metadata": metadata(**said)} if said else {}
    headers |= CHUNK if content is not None else {}
    headers |= {"Upload-Checksum": checksum} if checksum is not None else {}
    return client.post(UPLOADS, content=content, headers=headers)


def begun(client: httpx2.Client, size: int | None, content: bytes | None = None, /, **said: str) -> str:
    """A new upload's id."""
    answer = create(client, size, content, **said)
    assert answer.status_code == 201, answer.text
    return answer.headers["location"].rpartition("/")[2]


def send(client: httpx2.Client, upload: str, offset: int, content: bytes, **headers: str) -> httpx2.Response:
    """PATCH. Header names are written with underscores."""
    more = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.patch(
        f"{UPLOADS}/{upload}", content=content, headers=CHUNK | {"Upload-Offset": str(offset)} | more
    )  # fmt: skip


def offset(client: httpx2.Client, upload: str) -> int:
    """HEAD."""
    answer = client.head(f"{UPLOADS}/{upload}", headers=TUS)
    assert answer.status_code == 200, answer.status_code
    return int(answer.headers["upload-offset"])
