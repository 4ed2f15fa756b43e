"""Resumable uploads: what each is to become, how far it has come, and who may move it.

What always holds: the reserved bytes of all open uploads of a tenant fit its quota beside what it keeps, checked under
the ledger's lock; only the newest writer (`epoch`) moves an upload's offset; an upload's offset reaches its size in the
step that says that it is finished, never before.
"""

import secrets
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import Final

from cas.digest import Digest
from catalog import clock, cursors
from catalog.database import Database, Row, Transaction
from catalog.errors import BadRequest, Conflict, NotFound, QuotaExceeded, TooManyUploads, UploadExpired, UploadLost
from catalog.ledger import Ledger, lock_ledger
from catalog.scope import Scope
from catalog.tree import Tree
from catalog.values import Area, EntryKind, EntryPath, Page

UPLOADS_OPEN_MAX: Final = 1_000
"""Of one tenant."""
PAGE_MAX: Final = 1_000
METADATA_BYTES_MAX: Final = 8_192

_COLUMNS: Final = (
    "id, part, device_id, token_device_id, path, mtime_ns, mode, digest, metadata, size_bytes, offset_bytes,"
    " reserved_bytes, epoch, entry_id, created_at, expires_at, finished_at"
)


@dataclass(frozen=True, slots=True)
class NewUpload:
    """What an upload is to become. Without `device_id` and `path` it becomes a leased blob. `size_bytes` None: told
    later, and `reserved_bytes` grows with what comes. `metadata` is the header as it was sent."""

    size_bytes: int | None
    reserved_bytes: int
    device_id: int | None = None
    path: EntryPath | None = None
    mtime_ns: int | None = None
    mode: int | None = None
    digest: Digest | None = None
    metadata: str = ""


@dataclass(frozen=True, slots=True)
class Upload:
    """An upload's row. `offset_bytes` are durable in the part; `epoch` is the writer's right to move it."""

    id: int
    part: str
    wanted: NewUpload
    token_device_id: int | None
    offset_bytes: int
    epoch: int
    entry_id: int | None
    created_at: datetime
    expires_at: datetime
    finished_at: datetime | None

    @property
    def size_bytes(self) -> int | None:
        return self.wanted.size_bytes

    @property
    def is_finished(self) -> bool:
        return self.finished_at is not None


@dataclass(frozen=True, slots=True)
class OldUpload:
    """An upload whose time is over, as the expiry sees it."""

    tenant_id: int
    id: int
    part: str
    epoch: int


class Uploads:
    """The resumable uploads of this tenant. A device token reaches those to its device, and its own."""

    def __init__(self, scope: Scope) -> None:
        self._scope = scope

    async def create(self, new: NewUpload, lives: timedelta, others_bytes: int = 0) -> Upload:
        """Begin one. `others_bytes`: what uploads of other kinds reserve right now.

        Raises `NotFound` (the device), `Conflict` (a folder in the way), `QuotaExceeded`, `TooManyUploads`.
        """
        self._scope.require_customer("upload")
        if len(new.metadata) > METADATA_BYTES_MAX or not new.metadata.isascii():
            raise BadRequest(f"Upload-Metadata has at most {METADATA_BYTES_MAX:,} bytes of ASCII.")
        now = clock.now()
        upload = Upload(
            0, secrets.token_hex(16), new, self._scope.token_device, 0, 0, None, now, now + lives, None
        )  # fmt: skip
        return await self._scope.database.run(lambda tx: self._create(tx, upload, others_bytes))

    async def get(self, upload_id: int) -> Upload:
        """One of them. Raises `NotFound`, and `UploadExpired` while what is left of it waits to be removed."""
        self._scope.require_customer("upload")
        async with self._scope.database.reading() as tx:
            return _living(await self._row(tx, upload_id))

    async def find(self, upload_id: int) -> Upload:
        """As `get`, also one that has expired. Raises `NotFound`."""
        self._scope.require_customer("upload")
        async with self._scope.database.reading() as tx:
            return await self._row(tx, upload_id)

    async def page(self, cursor: str | None = None, limit: int = 100) -> Page[Upload]:
        """Those that are not finished, in order of their ids."""
        self._scope.require_customer("upload")
        if not 1 <= limit <= PAGE_MAX:
            raise BadRequest(f"A page has 1 to {PAGE_MAX:,} uploads.")
        after = cursors.decode(cursor, int)[0] if cursor else 0
        only = self._scope.token_device
        async with self._scope.database.reading() as tx:
            rows = await tx.fetch_all(
                f"SELECT {_COLUMNS} FROM upload WHERE tenant_id = %s AND id > %s AND finished_at IS NULL"
                " AND expires_at > %s AND (%s IS NULL OR COALESCE(device_id, token_device_id) = %s)"
                " ORDER BY id LIMIT %s",
                (self._scope.tenant.id, after, clock.to_db(clock.now()), only, only, limit + 1),
            )
        items = [_upload(row) for row in rows[:limit]]
        return Page(items, cursors.encode(items[-1].id) if len(rows) > limit else None)

    async def take_over(self, upload_id: int, lives: timedelta | None = None) -> Upload:
        """Become its newest writer: whoever wrote it before moves nothing any more. A finished one is only told of.
        `lives`: from now on; None leaves its end where it is.

        Raises `NotFound`, `UploadExpired`.
        """
        self._scope.require_customer("upload")

        async def work(tx: Transaction) -> Upload:
            upload = _living(await self._row(tx, upload_id, " FOR UPDATE"))
            if upload.is_finished:
                return upload
            expires_at = upload.expires_at if lives is None else clock.now() + lives
            mine = replace(upload, epoch=upload.epoch + 1, expires_at=expires_at)
            await tx.execute(
                "UPDATE upload SET epoch = %s, expires_at = %s WHERE tenant_id = %s AND id = %s",
                (mine.epoch, clock.to_db(mine.expires_at), self._scope.tenant.id, upload_id),
            )
            return mine

        return await self._scope.database.run(work)

    async def move(self, upload: Upload, offset_bytes: int, lives: timedelta) -> Upload:
        """So many bytes are durable; less than the whole, or fewer than before where the part has lost some.

        Raises `UploadLost` if a newer writer took over.
        """
        self._scope.require_customer("upload")
        if upload.size_bytes is not None and offset_bytes >= upload.size_bytes > 0:
            raise AssertionError("the last byte is acknowledged by finish")
        moved = replace(upload, offset_bytes=offset_bytes, expires_at=clock.now() + lives)
        await self._change(upload, "offset_bytes = %s, expires_at = %s", offset_bytes, clock.to_db(moved.expires_at))
        return moved

    async def announce(self, upload: Upload, size_bytes: int, others_bytes: int = 0) -> Upload:
        """The size of an upload that was begun without. Raises `BadRequest`, `QuotaExceeded`, `UploadLost`."""
        self._scope.require_customer("upload")
        if upload.size_bytes not in {None, size_bytes}:
            raise BadRequest(f"Upload-Length was {upload.size_bytes:,} before, and it cannot change.")
        if size_bytes < upload.offset_bytes:
            raise BadRequest(f"Upload-Length is {size_bytes:,}, and {upload.offset_bytes:,} bytes have come already.")
        wanted = replace(upload.wanted, size_bytes=size_bytes, reserved_bytes=size_bytes)
        return await self._reserve(upload, wanted, others_bytes)

    async def reserve(self, upload: Upload, reserved_bytes: int, others_bytes: int = 0) -> Upload:
        """Room for an upload whose size is not known yet. Raises `QuotaExceeded`, `UploadLost`."""
        self._scope.require_customer("upload")
        return await self._reserve(upload, replace(upload.wanted, reserved_bytes=reserved_bytes), others_bytes)

    async def finish(self, upload: Upload, digest: Digest, entry_id: int | None, lives: timedelta) -> Upload:
        """All of it is committed. The row stays a while, for clients that did not hear the answer.

        Raises `UploadLost`.
        """
        self._scope.require_customer("upload")
        now = clock.now()
        wanted = replace(upload.wanted, digest=digest, reserved_bytes=0)
        done = replace(
            upload, wanted=wanted, entry_id=entry_id, finished_at=now, expires_at=now + lives,
            offset_bytes=upload.size_bytes or 0,
        )  # fmt: skip
        await self._change(
            upload,
            "offset_bytes = size_bytes, reserved_bytes = 0, digest = %s, entry_id = %s, finished_at = %s,"
            " expires_at = %s",
            digest.raw,
            entry_id,
            clock.to_db(now),
            clock.to_db(done.expires_at),
        )
        return done

    async def remove(self, upload_id: int) -> Upload | None:
        """Forget it and return it: its part belongs to nobody then. None if it was gone already."""
        self._scope.require_customer("upload")

        async def work(tx: Transaction) -> Upload | None:
            try:
                upload = await self._row(tx, upload_id, " FOR UPDATE")
            except NotFound:
                return None
            await tx.execute(
                "DELETE FROM upload WHERE tenant_id = %s AND id = %s", (self._scope.tenant.id, upload_id)
            )  # fmt: skip
            return upload

        return await self._scope.database.run(work)

    async def _create(self, tx: Transaction, upload: Upload, others_bytes: int) -> Upload:
        tenant_id, new = self._scope.tenant.id, upload.wanted
        ledger = await lock_ledger(tx, self._scope.tenant)
        if new.device_id is not None and new.path is not None:
            await self._check_place(tx, new.device_id, new.path)
        await _check_room(tx, ledger, new.reserved_bytes, others_bytes)
        made = replace(upload, id=ledger.take_id())
        await ledger.store(tx)
        await tx.execute(
            "INSERT INTO upload (tenant_id, id, part, device_id, token_device_id, path, mtime_ns, mode, digest,"
            " metadata, size_bytes, reserved_bytes, created_at, expires_at)"
            " VALUES (%s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s, %s)",
            (tenant_id, made.id, made.part, new.device_id, made.token_device_id,
             None if new.path is None else new.path.raw, new.mtime_ns, new.mode,
             None if new.digest is None else new.digest.raw, new.metadata, new.size_bytes, new.reserved_bytes,
             clock.to_db(made.created_at), clock.to_db(made.expires_at)),
        )  # fmt: skip
        return made

    async def _check_place(self, tx: Transaction, device_id: int, path: EntryPath) -> None:
        """What can be said now of what the commit will say. Raises `NotFound`, `Conflict`."""
        key = (self._scope.tenant.id, self._scope.reach(device_id))
        if not await tx.fetch_one("SELECT 1 FROM device WHERE tenant_id = %s AND id = %s AND removed_key = 0", key):
            raise NotFound("device")
        tree = Tree(tx, *key)
        parent_id = await tree.root(Area.ORIGINALS)
        for depth, name in enumerate(path.names, 1):
            await tree.load(parent_id, [name])
            live = tree.get(parent_id, name)
            if live is None:
                return
            is_last = depth == len(path.names)
            if (live.kind is EntryKind.DIRECTORY) is is_last:
                there, shown = ("folder", "file") if is_last else ("file", "folder")
                text = name.decode("utf-8", "replace")
                raise Conflict(f"“{text}” is a {there} there, so no {shown} can have that name. Rename one of them.")
            parent_id = live.node_id

    async def _reserve(self, upload: Upload, wanted: NewUpload, others_bytes: int) -> Upload:
        self._require_reached(upload)

        async def work(tx: Transaction) -> Upload:
            ledger = await lock_ledger(tx, self._scope.tenant)
            more_bytes = wanted.reserved_bytes - upload.wanted.reserved_bytes
            await _check_room(tx, ledger, more_bytes, others_bytes, is_new=False)
            await _move(
                tx, self._scope.tenant.id, upload, "size_bytes = %s, reserved_bytes = %s", wanted.size_bytes,
                wanted.reserved_bytes,
            )  # fmt: skip
            return replace(upload, wanted=wanted)

        return await self._scope.database.run(work)

    async def _change(self, upload: Upload, assignments: str, *values: object) -> None:
        self._require_reached(upload)
        await self._scope.database.run(
            lambda tx: _move(tx, self._scope.tenant.id, upload, assignments, *values)
        )  # fmt: skip

    async def _row(self, tx: Transaction, upload_id: int, lock: str = "") -> Upload:
        row = await tx.fetch_one(
            f"SELECT {_COLUMNS} FROM upload WHERE tenant_id = %s AND id = %s{lock}", (self._scope.tenant.id, upload_id)
        )
        if row is None:
            raise NotFound("upload")
        upload = _upload(row)
        self._require_reached(upload)
        return upload

    def _require_reached(self, upload: Upload) -> None:
        """Raise `NotFound` for an upload of another device than the token's."""
        only = self._scope.token_device
        if only is not None and only != (upload.wanted.device_id or upload.token_device_id):
            raise NotFound("upload")


class UploadExpiry:
    """The system's side: which uploads are over, and which parts are known."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def expired(self, limit: int) -> Sequence[OldUpload]:
        """Some whose time is over, finished or not."""
        async with self._database.reading() as tx:
            rows = await tx.fetch_all(
                "SELECT tenant_id, id, part, epoch FROM upload WHERE expires_at <= %s ORDER BY expires_at LIMIT %s",
                (clock.to_db(clock.now()), limit),
            )
        return [OldUpload(*row) for row in rows]

    async def remove(self, upload: OldUpload) -> bool:
        """Forget it, unless somebody has gone on with it meanwhile; False then."""

        async def work(tx: Transaction) -> bool:
            removed = await tx.execute(
                "DELETE FROM upload WHERE tenant_id = %s AND id = %s AND epoch = %s AND expires_at <= %s",
                (upload.tenant_id, upload.id, upload.epoch, clock.to_db(clock.now())),
            )
            return removed == 1

        return await self._database.run(work)

    async def parts(self) -> frozenset[str]:
        """The parts of all uploads that are not finished: what may lie in `incoming/` while no server runs."""
        async with self._database.reading() as tx:
            rows = await tx.fetch_all("SELECT part FROM upload WHERE finished_at IS NULL")
        return frozenset(part for (part,) in rows)


async def _check_room(
    tx: Transaction, ledger: Ledger, more_bytes: int, others_bytes: int, *, is_new: bool = True
) -> None:
    """Raises `QuotaExceeded`, `TooManyUploads`."""
    row = await tx.fetch_one(
        "SELECT COUNT(*), COALESCE(SUM(reserved_bytes), 0) FROM upload WHERE tenant_id = %s AND finished_at IS NULL",
        (ledger.tenant.id,),
    )
    count, reserved_bytes = row or (0, 0)
    if is_new and count >= UPLOADS_OPEN_MAX:
        raise TooManyUploads(UPLOADS_OPEN_MAX)
    used_bytes = ledger.used_bytes + ledger.leased_bytes + int(reserved_bytes) + others_bytes
    if more_bytes > 0 and used_bytes + more_bytes > ledger.tenant.quota_bytes:
        raise QuotaExceeded(ledger.tenant.quota_bytes, used_bytes, more_bytes)


async def _move(tx: Transaction, tenant_id: int, upload: Upload, assignments: str, *values: object) -> None:
    await tx.execute(
        f"UPDATE upload SET {assignments} WHERE tenant_id = %s AND id = %s AND epoch = %s AND finished_at IS NULL",
        (*values, tenant_id, upload.id, upload.epoch),
    )
    # The count of changed rows would not tell: where all is as it was, it is none.
    row = await tx.fetch_one(
        "SELECT 1 FROM upload WHERE tenant_id = %s AND id = %s AND epoch = %s", (tenant_id, upload.id, upload.epoch)
    )
    if row is None:
        raise UploadLost


def _living(upload: Upload) -> Upload:
    if upload.expires_at <= clock.now():
        raise UploadExpired
    return upload


def _upload(row: Row) -> Upload:
    (upload_id, part, device_id, token_device_id, path, mtime_ns, mode, digest, metadata, size_bytes, offset_bytes,
     reserved_bytes, epoch, entry_id, created_at, expires_at, finished_at) = row  # fmt: skip
    wanted = NewUpload(
        size_bytes, reserved_bytes, device_id, None if path is None else EntryPath.parse_bytes(bytes(path)), mtime_ns,
        mode, None if digest is None else Digest(bytes(digest)), metadata,
    )  # fmt: skip
    return Upload(
        upload_id, part, wanted, token_device_id, offset_bytes, epoch, entry_id, clock.from_db(created_at),
        clock.from_db(expires_at), None if finished_at is None else clock.from_db(finished_at),
    )  # fmt: skip
