"""The OpenAPI document: small blobs by the batch."""

from typing import Final

from cas.layout import PACK_BLOB_BYTES_MAX
from catalog.holdings import Unsafe
from catalog.possession import LEASE_HOURS
from web.blob_frames import BLOBS_TYPE as BLOBS
from web.limits import BATCH_BLOBS_MAX, BATCH_BODY_BYTES_MAX, DIGESTS_MAX, READ_BLOBS_MAX, READ_BYTES_MAX
from web.openapi_parts import JSON, Spec, answer, change, json_body, problem
from web.openapi_schemas import BINARY, DIGEST, FLAG, TEXT, TIME, Schema, list_of, nullable, one_of, record, ref

SCHEMAS: Final[dict[str, Schema]] = {
    "Digests": record({"digests": list_of(DIGEST, DIGESTS_MAX)}),
    "ReceivedBlobs": record(
        {
            "stored": list_of(DIGEST, BATCH_BLOBS_MAX),
            "deduplicated": list_of(DIGEST, BATCH_BLOBS_MAX),
            "rejected": list_of(record({"digest": DIGEST, "reason": TEXT}), BATCH_BLOBS_MAX),
        }
    ),
    "DigestsToRead": record({"digests": {**list_of(DIGEST, READ_BLOBS_MAX), "minItems": 1}}),
    "BlobStatus": record(
        {
            "digest": DIGEST,
            "safe": {**FLAG, "description": "A live file of the account has these bytes, and they are not damaged."},
            "verified": nullable(TIME),
            "reason": nullable(
                {
                    **one_of(Unsafe),
                    "description": "Why they are not safe: never sent; sent, but no live file has them; the stored copy"
                    " is damaged, and sending them again heals it.",
                }
            ),
        }
    ),
    "BlobStatuses": record({"blobs": list_of(ref("BlobStatus"), DIGESTS_MAX)}),
    "Missing": record({"missing": list_of(DIGEST, DIGESTS_MAX)}),
}

PATHS: Final[dict[str, Spec]] = {
    "/api/v1/blobs": {
        "post": change(
            "Send many small blobs at once",
            {
                "200": answer("ReceivedBlobs", "Each digest of the body stands in one of the three lists."),
                "408": problem("The bytes came too slowly; nothing was kept."),
                "507": problem("The account's space, or the server's storage, is full; nothing was kept."),
            },
            body={
                "required": True,
                "description": "Repeated: a digest (32 bytes), a length (8 bytes, big-endian), the blob's bytes. At"
                f" most {PACK_BLOB_BYTES_MAX >> 20} MiB each, {BATCH_BODY_BYTES_MAX >> 20} MiB and {BATCH_BLOBS_MAX:,}"
                f" blobs in all. They are kept for {LEASE_HOURS} hours, or as long as a manifest names them.",
                "content": {BLOBS: {"schema": BINARY}},
            },
        ),
    },
    "/api/v1/blobs/missing": {
        "post": change(
            f"Which of up to {DIGESTS_MAX:,} digests this account has yet to send",
            {"200": answer("Missing", "In the order asked.")},
            body=json_body("Digests"),
        )
    },
    "/api/v1/blobs/read": {
        "post": change(
            "Read many small blobs at once",
            {
                "200": {
                    "description": "As `POST /api/v1/blobs` takes them, each once, in any order. A damaged blob breaks"
                    " the answer off.",
                    "content": {BLOBS: {"schema": BINARY}},
                },
                "404": problem("The account has no such bytes; `missing` names them. Nothing was sent."),
                "422": problem(
                    f"A blob has more than {PACK_BLOB_BYTES_MAX >> 20} MiB; `large` names them. Nothing was sent."
                ),
                "500": problem("The stored copy of one is damaged. Nothing, or not all, was sent."),
            },
            body={
                "required": True,
                "description": f"At most {READ_BLOBS_MAX:,} digests, of blobs of at most"
                f" {PACK_BLOB_BYTES_MAX >> 20} MiB each and {READ_BYTES_MAX >> 20} MiB in all.",
                "content": {JSON: {"schema": ref("DigestsToRead")}},
            },
        )
    },
    "/api/v1/blobs/status": {
        "post": change(
            f"Whether the bytes of up to {DIGESTS_MAX:,} digests are safe here",
            {"200": answer("BlobStatuses", "In the order asked, each once.")},
            body=json_body("Digests"),
        )
    },
}
