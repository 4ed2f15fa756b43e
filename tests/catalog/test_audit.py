"""The audit's chains: whatever is done to an event is found; filters and pages tell the truth."""

import hashlib
from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat, PublicFormat

from cas.journal import Journal
from cas.memory import MemoryBackend
from catalog import clock, records
from catalog.audit import AuditFilter, append
from catalog.audit_checkpoints import AuditCheckpoints
from catalog.audit_signing import AuditKey
from catalog.catalog import Catalog
from catalog.database import Database, StatementFailed
from catalog.errors import BadRequest, NotFound
from catalog.opening import connect_options
from catalog.records import AuditHeadsLine
from catalog.settings import BadSettings, Settings
from catalog.tenant import TenantScope
from catalog.values import Actor, Area, DeviceKind, EntryPath, UsedGrant
from tests.catalog.conftest import Uploader, sign_in
from tools.verify.audit_chain import AuditReport, check_audit

pytestmark = pytest.mark.anyio

Sql = Callable[..., Awaitable[None]]


@pytest.fixture
async def root(catalog_settings: Settings) -> Any:
    """Statements as somebody who rules the database."""
    options = dict(connect_options(catalog_settings)) | {"user": "root", "password": ""}
    database = await Database.open(connect=options, connections_max=1)

    async def run(sql: str, *params: object) -> None:
        async with database.reading() as tx:
            await tx.execute(sql, params)

    yield run
    await database.close()


@pytest.fixture
def kept() -> Journal:
    return Journal(MemoryBackend())


@pytest.fixture
async def checkpoints(catalog: Catalog, kept: Journal, root: Sql) -> AuditCheckpoints:
    """Checkpoints of this test alone, in a journal of its own."""
    await root("UPDATE audit_checkpoint SET chain = LOWER(UUID()), sequence = 0, digest = NULL")
    await root("DELETE FROM audit_head_kept")
    return AuditCheckpoints(catalog.system._database, kept, None)


async def prove(catalog: Catalog, kept: Journal, scope: TenantScope, key: AuditKey | None = None) -> list[str]:
    """The faults of this tenant's chain."""
    report = await check_audit(catalog.system.audit, kept, key)
    return [fault.partition(": ")[2] for fault in report.faults if fault.startswith(scope.tenant.uuid)]


async def act(scope: TenantScope, count: int = 6) -> None:
    for number in range(count):
        await scope.audit.record(
            "download", f"naïve 😀 “{number}”\n", {"n": number, "ü": None}, device_id=number or None
        )


async def test_an_untouched_audit_proves_itself(
    catalog: Catalog, laptop: Uploader, kept: Journal, checkpoints: AuditCheckpoints
) -> None:
    await laptop.add(("a/Été.jpg", b"x"))
    await act(laptop.scope)
    assert await checkpoints.write() >= 1
    await act(laptop.scope, 1)
    assert await prove(catalog, kept, laptop.scope) == []
    head = await laptop.scope.audit.head()
    (newest, *_) = (await laptop.scope.audit.page()).items
    assert (head.sequence, head.hash) == (newest.id, newest.hash)
    assert head.sequence == 3 + 6 + 1


CHANGES = {
    "its words": ("UPDATE audit_event SET subject = 'x' WHERE chain = %s AND sequence = 4", "event 4 was changed"),
    "its time": (
        "UPDATE audit_event SET at = at + INTERVAL 1 MICROSECOND WHERE chain = %s AND sequence = 4",
        "event 4 was changed",
    ),
    "who": ("UPDATE audit_event SET actor_id = NULL WHERE chain = %s AND sequence = 2", "event 2 was changed"),
    "its hash": (
        "UPDATE audit_event SET hash = REPEAT('x', 32) WHERE chain = %s AND sequence = 3",
        "event 3 was changed",
    ),
    "removed": ("DELETE FROM audit_event WHERE chain = %s AND sequence IN (3, 4)", "events 3 to 4 are missing"),
    "the first removed": ("DELETE FROM audit_event WHERE chain = %s AND sequence = 1", "events 1 to 1 are missing"),
    "cut off": ("DELETE FROM audit_event WHERE chain = %s AND sequence > 5", "its end is cut off: events 6 to 7"),
    "all of them": ("DELETE FROM audit_event WHERE chain = %s", "its end is cut off: events 1 to 7"),
    "moved away": (
        "UPDATE audit_event SET tenant_id = 0 WHERE chain = %s AND sequence = 3",
        "events 3 to 3 are missing",
    ),
}


@pytest.mark.parametrize("what", CHANGES)
async def test_what_is_done_to_an_event_is_found(
    catalog: Catalog, scope: TenantScope, kept: Journal, root: Sql, what: str
) -> None:
    sql, fault = CHANGES[what]
    await act(scope)
    assert await prove(catalog, kept, scope) == []
    await root(sql, scope.tenant.id)
    assert (await prove(catalog, kept, scope))[0].startswith(fault)


async def test_events_put_in_another_order_are_found(
    catalog: Catalog, scope: TenantScope, kept: Journal, root: Sql
) -> None:
    await act(scope)
    for old, new in ((3, 99), (4, 3), (99, 4)):
        await root("UPDATE audit_event SET sequence = %s WHERE chain = %s AND sequence = %s", new, scope.tenant.id, old)
    assert len(await prove(catalog, kept, scope)) >= 2


async def test_an_event_of_another_account_does_not_fit(
    catalog: Catalog, scope: TenantScope, kept: Journal, root: Sql
) -> None:
    """Even the first: a chain begins with its account's name."""
    other = await sign_in(catalog, "the other one")
    await root("DELETE FROM audit_event WHERE chain = %s AND sequence = 1", scope.tenant.id)
    await root(
        "UPDATE audit_event SET tenant_id = %s WHERE chain = %s AND sequence = 1", scope.tenant.id, other.tenant.id
    )
    assert (await prove(catalog, kept, scope))[0].startswith("event 1 was changed")


async def test_a_chain_made_anew_and_a_cut_end_are_found_by_the_journal_alone(
    catalog: Catalog, scope: TenantScope, kept: Journal, checkpoints: AuditCheckpoints, root: Sql
) -> None:
    """Whoever rules the database moves the head as well; the checkpoints stay where they are."""
    await act(scope)
    await checkpoints.write()
    key = (scope.tenant.id,)
    await root("DELETE FROM audit_event WHERE chain = %s AND sequence > 5", *key)
    await root(
        "UPDATE audit_head h JOIN audit_event e ON e.chain = h.chain AND e.sequence = 5"
        " SET h.sequence = 5, h.hash = e.hash WHERE h.chain = %s",
        *key,
    )
    assert await prove(catalog, kept, scope) == ["its end is cut off: the journal knows 7 events, 5 are there"]
    await act(scope, 2)
    assert await prove(catalog, kept, scope) == ["event 7 is not the one that the journal knows"]
    await root("DELETE FROM audit_event WHERE chain = %s", *key)
    await root("DELETE FROM audit_head WHERE chain = %s", *key)
    assert await prove(catalog, kept, scope) == ["the whole chain is gone; the journal knows 7 events"]


async def test_checkpoints_name_what_changed_and_nothing_else(
    catalog: Catalog, scope: TenantScope, kept: Journal, checkpoints: AuditCheckpoints
) -> None:
    await checkpoints.write()
    assert await checkpoints.write() == 0
    await act(scope, 2)
    assert await checkpoints.write() == 1
    chain = await catalog.system.audit.checkpoints_under()
    *_, last = kept.records(chain)
    (line,) = records.decode(last.body or b"")
    assert isinstance(line, AuditHeadsLine)
    head = await scope.audit.head()
    assert [(h.chain, h.sequence, h.hash) for h in line.heads] == [(scope.tenant.uuid, 3, head.hash.hex())]


async def test_two_servers_write_checkpoints_one_after_the_other(
    catalog: Catalog, scope: TenantScope, kept: Journal, checkpoints: AuditCheckpoints
) -> None:
    second = AuditCheckpoints(catalog.system._database, kept, None)
    for _ in range(5):
        await act(scope, 1)
        await checkpoints.write()
        await act(scope, 1)
        await second.write()
    assert len(list(kept.records(await catalog.system.audit.checkpoints_under()))) == 10


async def test_a_checkpoint_whose_commit_failed_is_abandoned_and_names_the_same_heads_again(
    catalog: Catalog, scope: TenantScope, kept: Journal, checkpoints: AuditCheckpoints, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The record is durable, and the process dies before COMMIT."""
    await act(scope)
    whole = kept.append

    def append_and_die(*record: Any) -> None:
        whole(*record)
        raise OSError(5, "Input/output error")

    with monkeypatch.context() as patched:
        patched.setattr(kept, "append", append_and_die)
        with pytest.raises(OSError, match="Input/output"):
            await checkpoints.write()
    await act(scope, 1)
    assert await checkpoints.write() >= 1
    assert len(list(kept.records(await catalog.system.audit.checkpoints_under()))) == 1
    assert await prove(catalog, kept, scope) == []


def key_files(folder: Path) -> tuple[Path, Path]:
    """A private key and its public half, as PEM files."""
    key = Ed25519PrivateKey.generate()
    private, public = folder / "private.pem", folder / "public.pem"
    private.write_bytes(key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    public.write_bytes(key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo))
    return private, public


async def test_signed_checkpoints_are_checked_with_the_public_half(
    catalog: Catalog, scope: TenantScope, kept: Journal, checkpoints: AuditCheckpoints, tmp_path: Path
) -> None:
    private, public = key_files(tmp_path)
    signing = AuditCheckpoints(catalog.system._database, kept, AuditKey.load(private))
    await act(scope, 1)
    await signing.write()

    async def proved(file: Path) -> AuditReport:
        return await check_audit(catalog.system.audit, kept, AuditKey.load(file))

    assert not [fault for fault in (await proved(public)).faults if fault.startswith("audit/")]
    await act(scope, 1)
    await checkpoints.write()  # somebody without the key
    unsigned = [fault for fault in (await proved(public)).faults if fault.startswith("audit/")]
    assert len(unsigned) == 1
    assert "checkpoint 2 carries no signature" in unsigned[0]
    stranger = key_files(tmp_path)[1]
    assert len([fault for fault in (await proved(stranger)).faults if fault.startswith("audit/")]) == 2


def test_a_key_file_that_is_none_is_said_so(tmp_path: Path) -> None:
    assert AuditKey.load(None) is None
    for content in (b"", b"-----BEGIN PUBLIC KEY-----\nx\n-----END PUBLIC KEY-----\n", b"secret"):
        (tmp_path / "key").write_bytes(content)
        with pytest.raises(BadSettings):
            AuditKey.load(tmp_path / "key")


async def test_checkpoints_of_an_earlier_catalog_are_told_and_not_compared(
    catalog: Catalog, scope: TenantScope, kept: Journal, checkpoints: AuditCheckpoints, root: Sql
) -> None:
    await act(scope)
    await checkpoints.write()
    await root("UPDATE audit_checkpoint SET chain = LOWER(UUID()), sequence = 0, digest = NULL")
    await root("DELETE FROM audit_event WHERE chain = %s", scope.tenant.id)
    await root("DELETE FROM audit_head WHERE chain = %s", scope.tenant.id)
    report = await check_audit(catalog.system.audit, kept, None)
    assert len(report.earlier) == 1
    assert await prove(catalog, kept, scope) == []


async def test_the_application_reaches_neither_numbers_nor_heads(catalog: Catalog, scope: TenantScope) -> None:
    row = "audit_event (id, at, actor_kind, actor, action, subject, detail) VALUES (1, NOW(), '', '', '', '', '{}')"
    forbidden = (
        "UPDATE audit_head SET sequence = 1",
        "DELETE FROM audit_head",
        "INSERT INTO audit_head VALUES (1, 1, '')",
        f"REPLACE INTO {row}",
        f"INSERT INTO {row} ON DUPLICATE KEY UPDATE subject = 'x'",
        "DROP TRIGGER audit_event_chained",
    )
    for sql in forbidden:
        with pytest.raises(StatementFailed):
            async with catalog.system._database.reading() as tx:
                await tx.execute(sql)
    before = await scope.audit.head()
    async with catalog.system._database.reading() as tx:
        await tx.execute(
            "INSERT INTO audit_event (tenant_id, sequence, hash, at, actor_kind, actor, action, subject, detail)"
            " VALUES (%s, 77, REPEAT('x', 32), UTC_TIMESTAMP(6), 'user', 'x', 'x', 'x', '{}')",
            (scope.tenant.id,),
        )
    after = await scope.audit.head()
    assert after.sequence == before.sequence + 1
    assert after.hash != hashlib.sha256(b"").digest()


async def test_events_of_before_the_chains_are_chained_by_the_migration(
    catalog: Catalog, scope: TenantScope, kept: Journal, root: Sql, catalog_settings: Settings
) -> None:
    """The migration is run again over the same events, without what it made: numbers and hashes come out the same."""
    other = await sign_in(catalog, "migrated too")
    await act(scope, 3)
    await act(other, 2)
    heads = {head.name: head for head in await catalog.system.audit.heads()}
    await root("UPDATE audit_event SET sequence = 1000000 + id, hash = ''")
    await root("DELETE FROM audit_head")
    text = next((Path(__file__).parents[2] / "sql").glob("*_audit_chain.sql")).read_text()
    update = text[text.index("UPDATE audit_event SET") : text.index("ALTER TABLE audit_event\n    DROP")]
    database = await Database.open(
        connect=dict(connect_options(catalog_settings)) | {"user": "root", "password": ""}, connections_max=1
    )
    async with database.reading() as tx:
        await tx.execute("SET @chain = NULL, @sequence = 0, @hash = ''")
        for statement in update.split(";\n"):
            if statement.strip():
                await tx.execute(statement)
    await database.close()
    again = {head.name: head for head in await catalog.system.audit.heads()}
    for one in (scope, other):
        assert again[one.tenant.uuid] == heads[one.tenant.uuid]
        assert await prove(catalog, kept, one) == []


async def test_filters_hold_together_and_pages_follow_each_other(laptop: Uploader, catalog: Catalog) -> None:
    scope = laptop.scope
    await laptop.add(("a.txt", b"a"))
    await act(scope, 4)
    member = catalog.tenant(scope.tenant, Actor("user", "Mia Member", 77, None))
    await member.audit.record("download", "b.txt", device_id=laptop.device_id)
    everything = (await scope.audit.page()).items
    assert [event.id for event in everything] == list(range(len(everything), 0, -1))

    async def found(**wanted: Any) -> list[str]:
        return [event.subject for event in (await scope.audit.page(wanted=AuditFilter(**wanted))).items]

    assert await found(action="upload") == ["a.txt"]
    assert await found(actor="Mia Member") == ["b.txt"]
    assert await found(actor="Mia Member", action="upload") == []
    assert await found(device_id=laptop.device_id, action="download") == ["b.txt", "naïve 😀 “1”\n"]
    assert set(await found(device_id=laptop.device_id)) >= {"b.txt", "a.txt", "laptop"}
    today = clock.now().astimezone(scope._scope.zone).date()
    assert len(await found(first_day=today, last_day=today)) == len(everything)
    assert await found(last_day=date(2020, 1, 1)) == []
    with pytest.raises(BadRequest):
        await found(first_day=today, last_day=date(2020, 1, 1))
    with pytest.raises(BadRequest):
        await found(first_day=date(1900, 1, 1))
    first = await scope.audit.page(limit=3)
    assert first.next is not None
    second = await scope.audit.page(first.next, limit=3)
    assert [event.id for event in [*first.items, *second.items]] == [event.id for event in everything[:6]]
    assert [actor.name for actor in await scope.audit.actors()] == ["Mia Member", "Olive Owner"]
    assert await scope.audit.actions() == ["device.create", "download", "sign_in", "upload"]


async def test_every_event_once_and_in_order(scope: TenantScope, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("catalog.audit.PAGE_MAX", 4)
    await act(scope, 10)
    seen = [event.id async for page in scope.audit.each() for event in page]
    assert seen == list(range(1, 12))


async def test_staff_see_the_events_of_their_devices_and_their_own(catalog: Catalog, laptop: Uploader) -> None:
    scope = laptop.scope
    phone = await scope.devices.create("phone", DeviceKind.PHONE)
    await laptop.add(("a.txt", b"a"))
    grant = UsedGrant(9, "Olive Owner", False, frozenset({laptop.device_id}), clock.now())
    actor = Actor("staff", "Sam Support", 5, None, "Olive Owner", grant.id)

    async def seen(used: UsedGrant) -> set[str]:
        staff = catalog.tenant(scope.tenant, actor, grant=used)
        assert (await staff.audit.head()).sequence == 0
        return {event.action + ":" + event.subject for event in (await staff.audit.page()).items}

    staff = catalog.tenant(scope.tenant, actor, grant=grant)
    await staff.audit.record("support.look", "a folder")
    assert await seen(grant) == {"support.look:a folder", "upload:a.txt", "device.create:laptop"}
    assert await seen(replace(grant, devices=None)) == {
        "support.look:a folder", "upload:a.txt", "device.create:laptop", "device.create:phone",
    }  # fmt: skip
    assert await seen(replace(grant, id=10, devices=frozenset())) == set()
    with pytest.raises(NotFound):
        await staff.audit.page(wanted=AuditFilter(device_id=phone.id))
    (look,) = (await scope.audit.page(wanted=AuditFilter(grant_id=9))).items
    assert (look.actor_kind, look.actor, look.on_behalf_of) == ("staff", "Sam Support", "Olive Owner")
    assert (await staff.entries.page(laptop.device_id, Area.ORIGINALS, EntryPath(()))).items


async def test_an_event_is_written_with_its_act_or_not_at_all(catalog: Catalog, scope: TenantScope) -> None:
    async def work(tx: Any) -> None:
        await append(tx, scope.tenant.id, scope.actor, "x", "x")
        raise RuntimeError

    before = await scope.audit.head()
    with pytest.raises(RuntimeError):
        await catalog.system._database.run(work)
    assert await scope.audit.head() == before
