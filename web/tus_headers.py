"""tus 1.0.0 in headers (https://tus.io/protocols/resumable-upload): parsed once, and written for answers.

What always holds: of what a client announces nothing is believed but its form; names become paths, digests and times of
the catalog's types here.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final, Protocol

from blake3 import blake3
from starlette.requests import Request

from cas.digest import Digest
from catalog.errors import BadRequest
from catalog.uploads import NewUpload, Upload
from catalog.values import EntryPath
from web.bodies import media_type
from web.digests import PLAIN_DIGEST
from web.errors import TUS_VERSION, TooLarge, WrongMediaType, WrongTusVersion
from web.limits import (
    UPLOAD_CHECKSUM_CHARACTERS_MAX,
    UPLOAD_METADATA_BYTES_MAX,
    UPLOAD_METADATA_KEYS_MAX,
)
from web.parameters import parse_id
from web.times import http_date, parse_time

EXTENSIONS: Final = "creation,creation-with-upload,creation-defer-length,checksum,expiration,termination"
CHUNK_TYPE: Final = "application/offset+octet-stream"
RESUMABLE: Final = "Tus-Resumable"
ENTRY_HEADER: Final = "X-OTB-Entry"

_NOTHING: Final = frozenset({"", "null", "undefined"})
"""What stock clients send for a path they do not have: they make text of a JavaScript null."""
_KEY: Final = re.compile(r"[!-+\--~]{1,200}", re.ASCII)
_MILLISECONDS: Final = re.compile(r"-?\d{1,15}", re.ASCII)
_MODE: Final = re.compile(r"0[0-7]{1,5}|[1-9]\d{0,3}|0", re.ASCII)
_MODE_MAX: Final = 0o7777
_MTIME_NS_MAX: Final = 2**63 - 1


class Hasher(Protocol):
    """What hashlib and blake3 have in common."""

    def update(self, data: bytes | bytearray | memoryview, /) -> object: ...

    def digest(self) -> bytes: ...


_ALGORITHMS: Final[Mapping[str, Callable[[], Hasher]]] = {
    "sha1": lambda: hashlib.sha1(usedforsecurity=False),
    "sha256": hashlib.sha256,
    "blake3": blake3,
}
ALGORITHMS: Final = ",".join(_ALGORITHMS)


@dataclass(frozen=True, slots=True)
class Checksum:
    """What the bytes of one request are to hash to, and the hasher that they are to be given to."""

    wanted: bytes
    hasher: Hasher

    @property
    def holds(self) -> bool:
        return self.hasher.digest() == self.wanted


def check_version(request: Request) -> None:
    """Raises `WrongTusVersion`."""
    if request.headers.get(RESUMABLE) != TUS_VERSION:
        raise WrongTusVersion


def check_chunk_type(request: Request) -> None:
    """Raises `WrongMediaType` unless the body is a piece of a file as it is."""
    if media_type(request) != CHUNK_TYPE:
        raise WrongMediaType(CHUNK_TYPE)
    if request.headers.get("content-encoding", "identity").lower() != "identity":
        raise WrongMediaType("the file's bytes as they are, without Content-Encoding")


def has_body(request: Request) -> bool:
    """Whether bytes come along, announced or in chunks."""
    return "transfer-encoding" in request.headers or request.headers.get("content-length", "0").strip("0") != ""


def offset_of(request: Request) -> int:
    """`Upload-Offset`. Raises `BadRequest`."""
    offset_bytes = _number(request, "Upload-Offset")
    if offset_bytes is None:
        raise BadRequest("Upload-Offset is missing. Say where these bytes go.")
    return offset_bytes


def length_of(request: Request, bytes_max: int) -> int | None:
    """`Upload-Length`, or None where it is not sent. Raises `BadRequest`, `TooLarge`."""
    size_bytes = _number(request, "Upload-Length")
    if size_bytes is not None and size_bytes > bytes_max:
        raise TooLarge(bytes_max, "A file")
    return size_bytes


def checksum_of(request: Request) -> Checksum | None:
    """`Upload-Checksum`. Raises `BadRequest`."""
    header = request.headers.get("upload-checksum")
    if header is None:
        return None
    algorithm, _, encoded = header.partition(" ")
    if algorithm not in _ALGORITHMS or len(header) > UPLOAD_CHECKSUM_CHARACTERS_MAX:
        raise BadRequest(f"Upload-Checksum must be one of {ALGORITHMS}, a space, and the digest in base64.")
    return Checksum(_base64(encoded, "Upload-Checksum"), _ALGORITHMS[algorithm]())


def new_upload(request: Request, bytes_max: int) -> NewUpload:
    """What a POST asks for. Raises `BadRequest`, `BadPath`, `BadDigest`, `NotFound`, `TooLarge`."""
    if "upload-concat" in request.headers:
        raise BadRequest("This server does not join uploads. Send the file as one upload.")
    size_bytes = length_of(request, bytes_max)
    is_deferred = request.headers.get("upload-defer-length") == "1"
    if is_deferred is (size_bytes is not None):
        raise BadRequest("Send either Upload-Length or Upload-Defer-Length: 1.")
    header = request.headers.get("upload-metadata", "")
    said = _metadata(header)
    return _wanted(said, NewUpload(size_bytes, size_bytes or 0, metadata=header))


def expecting(upload: Upload, digest: Digest | None) -> Upload:
    """The same, to be compared with a digest that was told after its creation. Raises `BadRequest`."""
    if digest is None:
        return upload
    if upload.wanted.digest not in {None, digest}:
        raise BadRequest("The digest in Upload-Metadata was another, and it cannot change.")
    return replace(upload, wanted=replace(upload.wanted, digest=digest))


def describe(upload: Upload) -> dict[str, str]:
    """The headers that say where an upload stands."""
    headers = {"Upload-Offset": str(upload.offset_bytes)}
    if upload.is_finished:
        headers |= finished(upload)
    else:
        headers["Upload-Expires"] = http_date(int(upload.expires_at.timestamp()) * 1_000_000_000)
    return headers


def describe_fully(upload: Upload) -> dict[str, str]:
    """The same with all that the client once said."""
    size = {"Upload-Defer-Length": "1"} if upload.size_bytes is None else {"Upload-Length": str(upload.size_bytes)}
    metadata = {"Upload-Metadata": upload.wanted.metadata} if upload.wanted.metadata else {}
    return describe(upload) | size | metadata


def finished(upload: Upload) -> dict[str, str]:
    """What it became."""
    headers = {} if upload.wanted.digest is None else {PLAIN_DIGEST: upload.wanted.digest.hex}
    return headers if upload.entry_id is None else headers | {ENTRY_HEADER: str(upload.entry_id)}


def _number(request: Request, name: str) -> int | None:
    text = request.headers.get(name)
    if text is None:
        return None
    if not (text.isascii() and text.isdigit()) or len(text) > 18:
        raise BadRequest(f"{name} is not a number.")
    return int(text)


def _base64(text: str, what: str) -> bytes:
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as e:
        raise BadRequest(f"{what} is not base64.") from e


def _metadata(header: str) -> dict[str, str]:
    """key → value; raw bytes that are no text stand as U+FFFD, since nothing that we read may hold them."""
    if len(header) > UPLOAD_METADATA_BYTES_MAX:
        raise BadRequest(f"Upload-Metadata has at most {UPLOAD_METADATA_BYTES_MAX:,} bytes.")
    pairs = [part.strip().partition(" ") for part in header.split(",")] if header.strip() else []
    if len(pairs) > UPLOAD_METADATA_KEYS_MAX:
        raise BadRequest(f"Upload-Metadata has at most {UPLOAD_METADATA_KEYS_MAX} keys.")
    said: dict[str, str] = {}
    for key, _, value in pairs:
        if not _KEY.fullmatch(key) or key in said:
            raise BadRequest("Upload-Metadata must be pairs of a key and its value in base64, each key once.")
        raw = _base64(value, f"Upload-Metadata's {key}")
        if key in {"filename", "relativePath"}:
            said[key] = _text(raw, key)
        else:
            said[key] = raw.decode("utf-8", "replace")
    return said


def _text(raw: bytes, key: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError as e:
        raise BadRequest(f"Upload-Metadata's {key} is not UTF-8. Send such names through a manifest.") from e


def _wanted(said: Mapping[str, str], upload: NewUpload) -> NewUpload:
    """The metadata that we know: what the upload is to become."""
    digest, device = said.get("digest", ""), said.get("device", "")
    if digest not in _NOTHING:
        upload = replace(upload, digest=Digest.from_hex(digest))
    if device in _NOTHING:
        return upload
    return replace(
        upload,
        device_id=parse_id(device, "device"),
        path=_path(said),
        mtime_ns=_mtime_ns(said.get("mtime", "")),
        mode=_mode(said.get("mode", "")),
    )


def _path(said: Mapping[str, str]) -> EntryPath:
    """`relativePath`, with the folders, before `filename`. One leading slash is a stock client's way to write it."""
    text = said.get("relativePath", "")
    if text in _NOTHING:
        text = said.get("filename", "")
    path = EntryPath.parse(text.removeprefix("/"))
    if not path.names:
        raise BadRequest("Upload-Metadata names a device and no file. Add filename or relativePath.")
    return path


def _mtime_ns(text: str) -> int | None:
    if text in _NOTHING:
        return None
    if not _MILLISECONDS.fullmatch(text):
        return parse_time(text, "Upload-Metadata's mtime")
    nanoseconds = int(text) * 1_000_000
    if abs(nanoseconds) > _MTIME_NS_MAX:
        raise BadRequest("Upload-Metadata's mtime lies outside of the years 1678 to 2261.")
    return nanoseconds


def _mode(text: str) -> int | None:
    """Decimal as in the API's JSON, or octal with a leading zero as people write it."""
    if text in _NOTHING:
        return None
    if not _MODE.fullmatch(text):
        raise BadRequest("Upload-Metadata's mode must be a number such as 420 or 0644.")
    mode = int(text, 8 if text.startswith("0") else 10)
    if mode > _MODE_MAX:
        raise BadRequest(f"Upload-Metadata's mode must be from 0 to {_MODE_MAX}.")
    return mode
