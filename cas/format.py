"""The `FORMAT` file: which layout a root has, and which store it is. Nothing writes to a root without it."""

import json
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from cas.errors import StoreNotReady

FORMAT_NAME: Final = "otb-cloud-store"
FORMAT_VERSION: Final = 1
FORMAT_BYTES_MAX: Final = 4096


@dataclass(frozen=True, slots=True)
class StoreFormat:
    """The content of `FORMAT`: a store's id (a UUID as text) and when it was made (RFC 3339, UTC)."""

    store_id: str
    created: str

    @classmethod
    def new(cls) -> "StoreFormat":
        return cls(str(uuid.uuid4()), datetime.now(UTC).isoformat(timespec="seconds"))

    def encode(self) -> bytes:
        fields = {"format": FORMAT_NAME, "version": FORMAT_VERSION, "store_id": self.store_id, "created": self.created}
        return json.dumps(fields, indent=1).encode() + b"\n"

    @classmethod
    def decode(cls, data: bytes) -> "StoreFormat":
        """Raises `StoreNotReady` for another format or version."""
        try:
            fields = json.loads(data)
            name, version = fields["format"], fields["version"]
            decoded = cls(str(uuid.UUID(fields["store_id"])), str(fields["created"]))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise StoreNotReady("the store's FORMAT file cannot be understood", "FORMAT") from error
        if name != FORMAT_NAME or version != FORMAT_VERSION:
            raise StoreNotReady(
                f"the store has format {name} {version}; this is {FORMAT_NAME} {FORMAT_VERSION}", "FORMAT"
            )
        return decoded
