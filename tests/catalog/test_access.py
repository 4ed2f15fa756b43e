"""Every public function of a tenant's repositories, called by everybody who must not get through.

What always holds: a function without a row fails, so that none is added without somebody asking who may call it. Rows
are called on the victim's laptop as another tenant, as the token of another device, and as staff whose grant is for
another device, and find nothing, are refused, or answer without a mark of what they may not see; and as staff who may
only look at that very laptop, who change nothing.
"""

import inspect
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import timedelta
from types import SimpleNamespace
from typing import Any, Final

import pytest

from cas.digest import Digest
from catalog import clock
from catalog.catalog import Catalog
from catalog.changes import AddDirectory
from catalog.errors import CatalogError, NotAllowed, NotFound
from catalog.export_values import Directory, Terms
from catalog.folders import FolderView
from catalog.recipes import RECIPES
from catalog.restoring import Wanted
from catalog.search import SearchQuery
from catalog.tenant import TenantScope
from catalog.uploads import NewUpload, Upload
from catalog.values import (
    Actor,
    Area,
    Claimable,
    Connection,
    DeviceKind,
    Entry,
    EntryPath,
    PlannedPart,
    Retention,
    System,
    UsedGrant,
)
from tests.catalog.conftest import Uploader, blob_for, sign_in

pytestmark = pytest.mark.anyio

MARK: Final = "geheim7f3a"
ROOT: Final = EntryPath(())
DAY: Final = timedelta(days=1)
BLOB: Final = blob_for(b"of nobody")


@dataclass(frozen=True)
class Victim:
    """An account with one of everything on its laptop, named with the mark, and another device."""

    scope: TenantScope
    laptop: int
    phone: int
    entry: Entry
    digest: Digest
    export: int
    grant: int
    upload: Upload
    token: int
    session: str

    @property
    def terms(self) -> Terms:
        return Terms("x", "UTC")


class NoPlanner:
    """Plans nothing: nobody here gets as far."""

    async def place(self, chosen: Sequence[Any]) -> list[Any]:
        raise AssertionError(f"an export of {chosen} was begun")

    def finish(self) -> list[PlannedPart]:
        return []


async def no_pages() -> AsyncIterator[Sequence[Entry]]:
    for page in list[list[Entry]]():
        yield page


PLAN: Final = NoPlanner()
PART: Final = PlannedPart(1, 0, 0, 0, b"", 0, 0, 0, 0)
CONNECTION: Final = Connection(
    10**9, "BCDF-GHJK", "x", System.LINUX, DeviceKind.LAPTOP, None, clock.now(), clock.now() + DAY
)  # fmt: skip
Call = Callable[[TenantScope, Victim], Any]

READS: Final[dict[str, Call]] = {
    "usage": lambda s, _: s.usage(),
    "audit.page": lambda s, _: s.audit.page(),
    "audit.each": lambda s, _: s.audit.each(),
    "audit.head": lambda s, _: s.audit.head(),
    "audit.actions": lambda s, _: s.audit.actions(),
    "audit.actors": lambda s, _: s.audit.actors(),
    "blobs.missing": lambda s, v: s.blobs.missing([v.digest]),
    "blobs.check_room": lambda s, _: s.blobs.check_room(1),
    "derived.known": lambda s, v: s.derived.known(v.digest, "rotate", 1, {"angle": "90"}),
    "derived.of": lambda s, v: s.derived.of(v.entry.id),
    "derived.made_of": lambda s, v: s.derived.made_of([v.entry.id]),
    "damage.page": lambda s, _: s.damage.page(),
    "damage.any": lambda s, _: s.damage.any(),
    "devices.all": lambda s, _: s.devices.all(),
    "devices.get": lambda s, v: s.devices.get(v.laptop),
    "devices.tokens": lambda s, v: s.devices.tokens(v.laptop),
    "entries.get": lambda s, v: s.entries.get(v.entry.id),
    "entries.by_ids": lambda s, v: s.entries.by_ids([v.entry.id]),
    "entries.by_path": lambda s, v: s.entries.by_path(v.laptop, Area.ORIGINALS, v.entry.path),
    "entries.page": lambda s, v: s.entries.page(v.laptop, Area.ORIGINALS, ROOT),
    "entries.held": lambda s, _: s.entries.held(),
    "entries.versions": lambda s, v: s.entries.versions(v.entry.id),
    "exports.page": lambda s, _: s.exports.page(),
    "exports.get": lambda s, v: s.exports.get(v.export),
    "exports.selection": lambda s, v: s.exports.selection(v.export),
    "exports.part": lambda s, v: s.exports.part(v.export, 1),
    "exports.parts": lambda s, v: s.exports.parts(v.export),
    "exports.purged": lambda s, v: s.exports.purged(v.export),
    "exports.members": lambda s, v: s.exports.members(v.export, 1),
    "exports.position_at": lambda s, v: s.exports.position_at(v.export, PART, "local", 0),
    "folders.page": lambda s, v: s.folders.page(v.laptop, Area.ORIGINALS, ROOT, FolderView()),
    "grants.all": lambda s, _: s.grants.all(),
    "grants.live": lambda s, _: s.grants.live(),
    "grants.get": lambda s, v: s.grants.get(v.grant),
    "history.span": lambda s, v: s.history.span(v.laptop),
    "history.buckets": lambda s, v: s.history.buckets(v.laptop, clock.now() - DAY, clock.now(), 3),
    "history.manifest": lambda s, v: s.history.manifest(v.laptop, 1),
    "history.until": lambda s, v: s.history.until(v.laptop, clock.now()),
    "history.changes": lambda s, v: s.history.changes(v.laptop, 1),
    "holdings.find": lambda s, v: s.holdings.find([v.digest]),
    "holdings.statuses": lambda s, v: s.holdings.statuses([v.digest]),
    "jobs.page": lambda s, _: s.jobs.page(),
    "jobs.get": lambda s, v: s.jobs.get(v.entry.id),
    "jobs.delete_ended": lambda s, _: s.jobs.delete_ended(),  # of what the caller reaches
    "jobs.log": lambda s, v: s.jobs.log(v.entry.id),
    "manifests.page": lambda s, v: s.manifests.page(v.laptop),
    "people.all": lambda s, _: s.people.all(),
    "people.sessions": lambda s, _: s.people.sessions(),
    "people.tokens": lambda s, _: s.people.tokens(),
    "renditions.find": lambda s, v: s.renditions.find(v.digest, RECIPES["thumbnail"]),
    "renditions.facts": lambda s, v: s.renditions.facts([v.digest]),
    "renditions.why_none": lambda s, v: s.renditions.why_none(v.digest, RECIPES["thumbnail"]),
    "retention.get": lambda s, _: s.retention.get(),
    "safety.assurance": lambda s, _: s.safety.assurance(),
    "search.find": lambda s, _: s.search.find(SearchQuery(MARK[:6])),
    "search.facets": lambda s, _: s.search.facets(SearchQuery(MARK[:6])),
    "trail.steps": lambda s, v: s.trail.steps(v.entry),
    "trail.places": lambda s, v: s.trail.places(v.entry),
    "trail.keeping": lambda s, v: s.trail.keeping(v.entry),
    "trees.page": lambda s, v: s.trees.page(v.laptop, Area.ORIGINALS, ROOT),
    "usages.breakdown": lambda s, _: s.usages.breakdown(),
    "usages.days": lambda s, _: s.usages.days(clock.now().date() - DAY, clock.now().date()),
    "uploads.page": lambda s, _: s.uploads.page(),
    "uploads.get": lambda s, v: s.uploads.get(v.upload.id),
    "uploads.find": lambda s, v: s.uploads.find(v.upload.id),
}
"""What only reads; staff who may look get an answer, or are refused what is never theirs."""

CHANGES: Final[dict[str, Call]] = {
    "approvals.approve": lambda s, v: s.approvals.approve(CONNECTION, v.laptop),
    "approvals.approve_new": lambda s, _: s.approvals.approve_new(CONNECTION, "x", DeviceKind.LAPTOP),
    "approvals.refuse": lambda s, _: s.approvals.refuse(CONNECTION),
    "devices.update": lambda s, v: s.devices.update(v.laptop, name="stolen"),
    "devices.remove": lambda s, v: s.devices.remove(v.laptop),
    "devices.create_token": lambda s, v: s.devices.create_token(v.laptop, "x"),
    "devices.revoke_token": lambda s, v: s.devices.revoke_token(v.laptop, v.token),
    "entries.rename": lambda s, v: s.entries.rename(v.entry.id, b"stolen"),
    "entries.move": lambda s, v: s.entries.move([v.entry.id], ROOT),
    "entries.create_folder": lambda s, v: s.entries.create_folder(v.laptop, EntryPath.parse("stolen")),
    "entries.revert": lambda s, v: s.entries.revert(v.entry.id),
    "entries.delete": lambda s, v: s.entries.delete([v.entry.id]),
    "entries.recover": lambda s, v: s.entries.recover([v.entry.id]),
    "exports.create": lambda s, v: s.exports.create([v.entry.id], v.terms, PLAN),
    "exports.create_of_directory": lambda s, v: s.exports.create_of_directory(
        Directory(v.laptop, Area.ORIGINALS, ROOT), v.terms, PLAN
    ),
    "exports.create_since": lambda s, v: s.exports.create_since(v.export, v.terms, PLAN),
    "exports.create_again": lambda s, v: s.exports.create_again(v.export, v.terms, PLAN),
    "exports.remove": lambda s, v: s.exports.remove(v.export),
    "grants.end": lambda s, v: s.grants.end(v.grant),
    "jobs.ask": lambda s, v: s.jobs.ask([v.entry.id], "rotate", {"angle": "90"}),
    "jobs.retry": lambda s, v: s.jobs.retry(v.entry.id),
    "jobs.cancel": lambda s, v: s.jobs.cancel(v.entry.id),
    "jobs.delete": lambda s, v: s.jobs.delete(v.entry.id),
    "manifests.commit": lambda s, v: s.manifests.commit(v.laptop, [AddDirectory(EntryPath.parse("stolen"))]),
    "manifests.remove": lambda s, v: s.manifests.remove(v.laptop, [AddDirectory(EntryPath.parse("stolen"))]),
    "people.end_session": lambda s, v: s.people.end_session(v.session),
    "purge.entries": lambda s, v: s.purge.entries([v.entry.id]),
    "restoring.restore": lambda s, v: s.restoring.restore(Wanted(v.laptop, Area.ORIGINALS, ROOT, clock.now(), True)),
    "undoing.undo": lambda s, v: s.undoing.undo(v.laptop, 1),
    "uploads.create": lambda s, v: s.uploads.create(NewUpload(1, 1, v.laptop, EntryPath.parse("stolen")), DAY),
    "uploads.take_over": lambda s, v: s.uploads.take_over(v.upload.id),
    "uploads.move": lambda s, v: s.uploads.move(v.upload, 1, DAY),
    "uploads.announce": lambda s, v: s.uploads.announce(v.upload, 10),
    "uploads.reserve": lambda s, v: s.uploads.reserve(v.upload, 5),
    "uploads.finish": lambda s, v: s.uploads.finish(v.upload, v.digest, None, DAY),
}
"""What changes something of the laptop: never done, whoever of these asks."""

OF_ONES_OWN: Final[dict[str, Call]] = {
    "blobs.claim": lambda s, _: s.blobs.claim([Claimable(BLOB.digest, 9, 9, BLOB.crc32, "identity")]),
    "blobs.lease": lambda s, _: s.blobs.lease([]),
    "blobs.begin_pack": lambda s, _: s.blobs.begin_pack("0" * 32),
    "blobs.drop_pack": lambda s, _: s.blobs.drop_pack("0" * 32),
    "blobs.drop_expired": lambda s, _: s.blobs.drop_expired(),
    "devices.create": lambda s, _: s.devices.create("made", DeviceKind.LAPTOP),
    "grants.issue": lambda s, _: s.grants.issue(None, may_write=True, seconds=3600, reason="more"),
    "people.end_other_sessions": lambda s, _: s.people.end_other_sessions(10**9, bytes(32)),
    "purge.expired": lambda s, _: s.purge.expired(),
    "purge.outdated": lambda s, _: s.purge.outdated(Retention(0, 0)),
    "retention.set": lambda s, _: s.retention.set(Retention(0, 0)),
    "uploads.remove": lambda s, v: s.uploads.remove(v.upload.id),
    "exports.create_of_found": lambda s, v: s.exports.create_of_found(no_pages(), "", v.terms, PLAN),
}
"""What acts on the caller's own account, or silently on nothing: staff are refused, whatever their grant."""

NOT_CALLED: Final = {
    "audit.record": "writes the caller's own act, which nobody is refused",
    "blobs.receive": "takes a pack that was begun; begin_pack is refused",
    "derived.finish": "the worker's, with a claimed job; `catalog.commit` checks the device",
}


@pytest.fixture(scope="module")
def uncalled() -> set[str]:
    return set(READS) | set(CHANGES) | set(OF_ONES_OWN) | set(NOT_CALLED)


@pytest.fixture
async def victim(laptop: Uploader) -> Victim:
    scope = laptop.scope
    phone = await scope.devices.create("phone", DeviceKind.PHONE)
    await scope.devices.update(laptop.device_id, name=f"{MARK} laptop")
    await laptop.add((f"{MARK}/{MARK}.txt", MARK.encode()))
    entry = await scope.entries.by_path(laptop.device_id, Area.ORIGINALS, EntryPath.parse(f"{MARK}/{MARK}.txt"))
    assert entry.blob is not None
    upload = await scope.uploads.create(NewUpload(10, 10, laptop.device_id, EntryPath.parse(f"{MARK}2")), DAY)
    grant, _ = await scope.grants.issue({laptop.device_id}, may_write=False, seconds=3600, reason=MARK)
    token, _ = await scope.devices.create_token(laptop.device_id, MARK)
    session = (await scope.people.sessions())[0].id
    return Victim(
        scope, laptop.device_id, phone.id, entry, entry.blob.digest, 10**9, grant.id, upload, token, session
    )  # fmt: skip


async def outcome(call: Call, scope: TenantScope, victim: Victim) -> str:
    """What the call answers, as text, or the kind of error."""
    try:
        answer = call(scope, victim)
        if inspect.isasyncgen(answer):
            return repr([item async for item in answer])
        return repr(await answer)
    except CatalogError as error:
        return f"{type(error).__name__}{error if MARK in str(error) else ''}"


async def strangers(catalog: Catalog, victim: Victim) -> dict[str, TenantScope]:
    tenant, later = victim.scope.tenant, clock.now() + DAY
    elsewhere = UsedGrant(10**9, "Olive Owner", True, frozenset({victim.phone}), later)
    sam = Actor("staff", "Sam Support", 1, None, "Olive Owner", 10**9)
    return {
        "another tenant": await sign_in(catalog, f"stranger of {tenant.uuid}"),
        "the token of another device": catalog.tenant(tenant, Actor("device", "phone"), victim.phone),
        "staff with a grant of another device": catalog.tenant(tenant, sam, grant=elsewhere),
    }


async def state_of(victim: Victim) -> str:
    """All of the laptop, to be compared."""
    scope = victim.scope
    parts = [
        await scope.devices.all(), await scope.entries.get(victim.entry.id), await scope.manifests.page(victim.laptop),
        await scope.grants.all(), await scope.people.sessions(), await scope.devices.tokens(victim.laptop),
        await scope.uploads.get(victim.upload.id),
    ]  # fmt: skip
    return repr(parts)


def test_every_public_function_has_a_row(uncalled: set[str]) -> None:
    found = {"usage"}
    for name, repository in _repositories().items():
        for method, function in inspect.getmembers(repository, inspect.isfunction):
            is_async = inspect.iscoroutinefunction(function) or inspect.isasyncgenfunction(function)
            if is_async and not method.startswith("_") and "tx" not in inspect.signature(function).parameters:
                found.add(f"{name}.{method}")
    assert found - uncalled == set(), "ask who may call these, and add their rows"
    assert uncalled - found == set(), "these are gone"


def _repositories() -> dict[str, type]:
    """The repositories of a `TenantScope`, by their attribute."""
    scope = TenantScope(SimpleNamespace(tenant=SimpleNamespace(id=1)))  # type: ignore[arg-type]
    return {name: type(value) for name, value in vars(scope).items() if not name.startswith("_")}


async def test_nobody_reads_what_is_not_theirs(catalog: Catalog, victim: Victim) -> None:
    for who, scope in (await strangers(catalog, victim)).items():
        for name, call in READS.items():
            answer = await outcome(call, scope, victim)
            assert MARK not in answer, f"{who}, {name}"


async def test_nobody_changes_what_is_not_theirs(catalog: Catalog, victim: Victim) -> None:
    before = await state_of(victim)
    for who, scope in (await strangers(catalog, victim)).items():
        for name, call in CHANGES.items():
            answer = await outcome(call, scope, victim)
            assert answer in {"NotFound", "NotAllowed", "UploadLost"}, f"{who}, {name}: {answer}"
    assert await state_of(victim) == before


async def test_staff_never_act_for_the_account(catalog: Catalog, victim: Victim) -> None:
    """Even with a grant to change everything."""
    before = await state_of(victim)
    everything = UsedGrant(10**9, "Olive Owner", True, None, clock.now() + DAY)
    staff = catalog.tenant(victim.scope.tenant, Actor("staff", "Sam", 1, None, "Olive", 10**9), grant=everything)
    for name, call in OF_ONES_OWN.items():
        assert await outcome(call, staff, victim) == NotAllowed.__name__, name
    assert await state_of(victim) == before


async def test_staff_who_may_look_change_nothing(catalog: Catalog, victim: Victim) -> None:
    before = await state_of(victim)
    looking = UsedGrant(10**9, "Olive Owner", False, frozenset({victim.laptop}), clock.now() + DAY)
    staff = catalog.tenant(victim.scope.tenant, Actor("staff", "Sam", 1, None, "Olive", 10**9), grant=looking)
    changes = CHANGES | OF_ONES_OWN | {"jobs.delete_ended": READS["jobs.delete_ended"]}
    for name, call in changes.items():
        assert await outcome(call, staff, victim) in {NotAllowed.__name__, NotFound.__name__}, name
    assert MARK in await outcome(READS["entries.get"], staff, victim)
    assert MARK in await outcome(READS["search.find"], staff, victim)
    assert await state_of(victim) == before
