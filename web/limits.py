"""Every limit of the HTTP side, named; those of the catalog under the names that are used here.

The OpenAPI document quotes them, and tests reach each of them.
"""

from typing import Final, NamedTuple

from catalog import audit, blobs, commit, entries, exports, history, holdings, jobs, trees, uploads

KIB: Final = 1 << 10
MIB: Final = 1 << 20


class Rate(NamedTuple):
    """The least that a client must send or take, on the average of so many seconds."""

    bytes_per_second: int
    seconds: float

    def __str__(self) -> str:
        return f"{self.bytes_per_second // KIB} KiB a second over {self.seconds:g} seconds"


class Allowance(NamedTuple):
    """How often something may be done: so many times at once, and then so many a second."""

    at_once: int
    per_second: float


JSON_BODY_BYTES_MAX: Final = 1 * MIB
"""Of a JSON request body, where no other limit is named."""
MANIFEST_BODY_BYTES_MAX: Final = 32 * MIB
MANIFEST_ENTRIES_MAX: Final = commit.CHANGES_PER_MANIFEST_MAX
"""Entries and removals of one manifest, together."""
FORM_BODY_BYTES_MAX: Final = 256 * KIB
FORM_FIELDS_MAX: Final = 10_000
"""A selection of a folder's files is one field per file."""
DIGESTS_MAX: Final = blobs.DIGESTS_PER_REQUEST_MAX
"""Of one `blobs/missing`."""
BATCH_BODY_BYTES_MAX: Final = 64 * MIB
BATCH_BLOBS_MAX: Final = 10_000
"""Of one `POST blobs`; each blob at most `cas.layout.PACK_BLOB_BYTES_MAX`."""
BUNDLE_MANIFEST_BYTES_MAX: Final = 2 * MIB
"""The manifest's part of a bundle; all of it at most `BATCH_BODY_BYTES_MAX`."""
ENTRY_IDS_MAX: Final = entries.ENTRIES_PER_REQUEST_MAX
"""Of one rename, delete, recover or export."""

READ_BLOBS_MAX: Final = holdings.READ_DIGESTS_MAX
READ_BYTES_MAX: Final = 64 * MIB
"""Of one `blobs/read`; each blob at most `cas.layout.PACK_BLOB_BYTES_MAX`."""
TREE_ITEMS: Final = 1_000
TREE_ITEMS_MAX: Final = trees.PAGE_MAX

CONNECT_BODY_BYTES_MAX: Final = 4 * KIB
"""Of a computer that asks to be connected: a name, or a code."""
CLIENT_WHEEL_BYTES_MAX: Final = 4 * MIB
"""Of the otb-cloud that the server gives out, which it holds in memory."""

QUERY_BYTES_MAX: Final = 4 * KIB
PAGE_ITEMS: Final = 100
PAGE_ITEMS_MAX: Final = entries.PAGE_MAX
AUDIT_ITEMS_MAX: Final = audit.PAGE_MAX
"""Of the audit, and of a device's history."""

JOBS_MAX: Final = jobs.PAGE_MAX
"""Of a page of jobs."""
EXPORT_ITEMS_MAX: Final = exports.PAGE_MAX
HISTORY_ITEMS_MAX: Final = history.PAGE_MAX
"""Of what one manifest changed."""

PIECE_BYTES: Final = 1 * MIB
"""What is handed between the event loop and a worker thread at once; less costs more than the work itself."""
FLOW_BYTES: Final = 2 * MIB
"""What is received at once of a large upload that comes fast, while as much is being written."""
UPLOADS_AT_ONCE: Final = 32
UPLOADS_AT_ONCE_OF_TENANT: Final = 16
SMALL_UPLOAD_BYTES_MAX: Final = 64 * KIB
"""A file of at most so much is read whole, and stored together with others that arrive at the same moment."""
SMALL_UPLOADS_AT_ONCE: Final = 768
SMALL_UPLOADS_AT_ONCE_OF_TENANT: Final = 256
"""Each holds its bytes and no more, so an idle one costs little."""
SMALL_UPLOADS_TOGETHER_MAX: Final = 64
LARGE_BODIES_AT_ONCE: Final = 4
"""Bodies of more than `JSON_BODY_BYTES_MAX`: each takes some 100 MB while it is read."""
DOWNLOADS_AT_ONCE: Final = 64
DOWNLOADS_AT_ONCE_OF_TENANT: Final = 24
"""Zips among them. Each holds some 3 MiB: a piece on its way, one ready, and one held back until it is checked. A zip
has its list and directory beside that where they are at most 8 MiB, and one that is taken fast comes 4 MiB at once."""
READ_THREADS: Final = 8
WRITE_THREADS: Final = 16
RETRY_AFTER_SECONDS: Final = 5

BODY_RATES: Final = (Rate(1 * KIB, 12), Rate(16 * KIB, 60))
"""Of a body, both: a gap of some seconds is forgiven, dripping is not. Only waiting for the client counts."""
ANSWER_RATE: Final = Rate(1 * KIB, 60)
"""Of who takes an answer. A browser that pauses a film comes again with Range."""
UPLOADS_OPEN_MAX: Final = uploads.UPLOADS_OPEN_MAX
"""Resumable uploads of one account that are not finished."""
UPLOAD_METADATA_BYTES_MAX: Final = uploads.METADATA_BYTES_MAX
UPLOAD_METADATA_KEYS_MAX: Final = 50
UPLOAD_CHECKSUM_CHARACTERS_MAX: Final = 200
PARTS_WRITTEN_AT_ONCE: Final = 16
PARTS_WRITTEN_AT_ONCE_OF_TENANT: Final = 8
"""Resumable uploads hold memory only while their bytes flow, some 8 MiB each; others wait their turn."""
PART_PENDING_BYTES: Final = 64 * KIB
"""What a resumable upload may hold in memory without a turn."""
PART_FLOW_SECONDS: Final = 0.5
"""A block that takes longer than this to fill gives the turn back."""
PART_FLOW_GAP_SECONDS: Final = 0.1
"""Who brings nothing for so long gives the turn back as well."""
PART_IDLE_SECONDS: Final = 2.0
"""How often an upload without a turn looks whether it is time to save what came."""
PART_SAVE_BYTES: Final = 64 * MIB
PART_SAVE_SECONDS: Final = 5.0
PART_SAVE_SECONDS_OF_FEW: Final = 30.0
"""How much of a resumable upload a killed server may forget: so many bytes, or what came in so many seconds; where that
is less than 1 MiB, in some more."""
REHASH_BYTES: Final = 64 * MIB
REHASHED_AT_ONCE: Final = 2
"""Parts that a restarted server reads again, in steps of so many bytes."""
HASHES_KEPT_MAX: Final = 2_048
AUDIT_CHECKPOINT_SECONDS: Final = 300.0
"""How long an event may be in the audit before the journal knows of it."""
EXPIRY_SECONDS: Final = 60.0
EXPIRED_AT_ONCE: Final = 200
QUOTA_STEP_BYTES: Final = 64 * MIB
"""An upload of unknown length reserves its room in such steps."""

OPEN_CALLS: Final = Allowance(1_000, 100)
"""Of an address (of IPv6, a network of 64 bits): what anybody may call, as sign-in, health and the installers."""
REFUSED_SIGN_INS: Final = Allowance(100, 1)
"""Of an address: handoffs that were forged, over, or used before."""
WRONG_CREDENTIALS: Final = Allowance(500, 20)
"""Of an address: sessions and device tokens that are none. A page that was open when its session ended asks for
hundreds of pictures."""
CHANGES: Final = Allowance(600, 20)
"""Of a session or a device token: unsafe calls but for those that bring files in (`web/routing.py`, `bulk`), of which
slots bound how many run at once."""
KEYS_MAX: Final = 65_536
"""Of each of these, how many addresses, sessions or tokens are remembered."""

RANGE_HEADER_BYTES_MAX: Final = 100
CONDITION_HEADER_BYTES_MAX: Final = 4 * KIB

HANDOFF_TOKEN_BYTES_MAX: Final = 8 * KIB
HANDOFF_SECONDS_MAX: Final = 60
CLAIM_CHARACTERS_MAX: Final = 200
SESSION_TOKEN_CHARACTERS_MAX: Final = 200

HEADERS_BYTES_MAX: Final = 64 * KIB
"""Of a request's line and headers together."""
HEADERS_SECONDS_MAX: Final = 10
"""From the connection, or a request's first byte, until its headers are complete."""
DATABASE_WAIT_SECONDS: Final = 30
SHUTDOWN_SECONDS: Final = 50
DRAIN_SECONDS: Final = 3
"""So long a server that ends serves the connections it has, where its socket goes to another one; longer than the proxy
keeps an idle connection (`systemd/nginx/otb-cloud.conf`), so that it closes none that a request is on its way over."""
ALIVE_SECONDS: Final = 5
"""How often systemd's watchdog hears of us."""
KEEP_ALIVE_SECONDS: Final = 15
CONNECTIONS_WAITING_MAX: Final = 2_048
DOWNLOAD_LOG_SECONDS: Final = 600
"""A download of one entry by one actor is one audit event in this time, however many ranges it takes."""
