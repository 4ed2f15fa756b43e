"""The feed for billing: one JSON object a line, and a last line that signs all before it.

First `{"feed":"otb-cloud usage","version":1,"day":…}`, then `{"client","logical_bytes","files","quota_bytes"}` per
account in order of client, last `{"accounts":N,"hmac_sha256":…}`: over every byte before that line, keyed with
HMAC-SHA256 of the words `otb-cloud usage feed v1` under the portal's shared secret, so that no signature of the feed
fits anything else.
"""

import hashlib
import hmac
from collections.abc import AsyncIterator
from datetime import date
from typing import Final

import msgspec

from catalog.usage import UsageRecords

_WORDS: Final = b"otb-cloud usage feed v1"


def feed_key(shared_secret: str) -> bytes:
    """The key that signs feeds."""
    return hmac.digest(shared_secret.encode(), _WORDS, "sha256")


async def feed_lines(records: UsageRecords, day: date, key: bytes) -> AsyncIterator[bytes]:
    """The feed of a day, line by line."""
    signature = hmac.new(key, digestmod=hashlib.sha256)

    def signed(content: object) -> bytes:
        line = msgspec.json.encode(content) + b"\n"
        signature.update(line)
        return line

    yield signed({"feed": "otb-cloud usage", "version": 1, "day": day.isoformat()})
    accounts, after = 0, ""
    while page := await records.of_day(day, after):
        for client, used in page:
            yield signed(
                {
                    "client": client,
                    "logical_bytes": used.logical_bytes,
                    "files": used.file_count,
                    "quota_bytes": used.quota_bytes,
                }
            )
        accounts, after = accounts + len(page), page[-1][0]
    yield msgspec.json.encode({"accounts": accounts, "hmac_sha256": signature.hexdigest()}) + b"\n"
