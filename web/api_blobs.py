"""`/api/v1/blobs`: many small blobs in one body, and which digests this tenant has yet to send."""

import msgspec
from starlette.requests import Request
from starlette.responses import Response

from cas.digest import Digest
from catalog.errors import TooMany
from web.answers import json_answer
from web.batches import receive_batch
from web.blob_frames import BLOBS_TYPE
from web.bodies import media_type, read_json
from web.errors import WrongMediaType
from web.limits import DIGESTS_MAX
from web.sessions import Caller


class Digests(msgspec.Struct, forbid_unknown_fields=True):
    """Digests of 64 hex digits each."""

    digests: list[str]


async def store_blobs(request: Request, caller: Caller) -> Response:
    """Keep a batch of blobs. The tenant possesses them until a manifest names them, or for a day."""
    if media_type(request) != BLOBS_TYPE:
        raise WrongMediaType(BLOBS_TYPE)
    received = await receive_batch(request, caller.scope)
    return json_answer(
        {
            "stored": [digest.hex for digest in received.stored],
            "deduplicated": [digest.hex for digest in received.deduplicated],
            "rejected": [{"digest": digest.hex, "reason": why} for digest, why in received.rejected.items()],
        }
    )


async def missing_blobs(request: Request, caller: Caller) -> Response:
    """Which digests this tenant has yet to send. Says nothing about what others have."""
    wanted = await read_json(request, Digests)
    if len(wanted.digests) > DIGESTS_MAX:
        raise TooMany(DIGESTS_MAX, "digests")
    missing = await caller.scope.blobs.missing([Digest.from_hex(text) for text in wanted.digests])
    return json_answer({"missing": [digest.hex for digest in missing]})
