"""Random histories of the real store and catalog, told to go on step by step, and held against the model.

Three computers of two accounts share a few contents. What is under way stops before each of its transactions, so that
anything may happen between any two of them: other operations, a sweep, a scrub, damage, a crash, a jump of the clock.
"""

import asyncio
import random
from collections import Counter
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from cas.blob import Blob, parsed_pack_location
from cas.digest import Digest
from cas.errors import BlobDamaged, BlobMissing
from cas.journal import Journal
from cas.layout import object_keys, pack_key
from cas.lock import StoreLock
from cas.store import BlobStore
from cas.trash import Trash
from catalog.catalog import Catalog
from catalog.changes import AddKnown
from catalog.errors import ClaimLost, NotFound, NotPossessed, Purged
from catalog.export_values import Directory, Terms
from catalog.values import Area, DeviceKind, Entry, EntryPath, Tenant
from tests.catalog.conftest import sign_in
from tests.shared.rig import Rig
from tests.shared.settings import GivenSettings
from tests.shared.stores import SparseBackend
from tests.tools.integrity.model import Change, Held, Key, Model, Name, unchanged
from tests.tools.integrity.turns import Turn, pause
from tools.sweep.main import steps
from tools.sweep.report import Report as Swept
from tools.verify.pace import Pace
from tools.verify.progress import Progress
from tools.verify.repair import Copy, repair
from tools.verify.report import Outcome
from tools.verify.report import Report as Verified
from tools.verify.rest import look_at_the_rest, looking_at_files
from tools.verify.scrub import Scrub
from web.recovery import clear_leftovers
from web.threads import Workers
from web.zip_layout import ZipPlanner

T = TypeVar("T")

COMPUTERS: Final = 3
ACCOUNTS: Final = (0, 0, 1)
"""Whose each computer is."""

NAMES: Final = "abc"
CONTENTS: Final = {
    "empty": b"",
    "red": b"red, small and packed",
    "green": b"green, small and packed",
    "blue": b"blue, small and packed",
    "text": b"text that compresses " * 5_000,
    "noise": random.Random(1).randbytes(20_000),
    "pieces": random.Random(2).randbytes((4 << 20) + 1),
}
DIGESTS: Final = {content: Digest.of(data) for content, data in CONTENTS.items()}
NAMED: Final = {digest: content for content, digest in DIGESTS.items()}
SMALL: Final = tuple(content for content in CONTENTS if content != "pieces")
"""What a batch takes."""

HARMED: Final = tuple(content for content in CONTENTS if content != "empty")
"""What has bytes that can be damaged."""

UNDER_WAY_MAX: Final = 4
WORKERS: Final = Workers(1, "zip")
COMPUTER: Final = st.integers(0, COMPUTERS - 1)
NAME: Final = st.sampled_from(NAMES)
WHICH: Final = st.integers(0, 11)
LONG_AGO: Final = datetime(1970, 1, 1, tzinfo=UTC)
GRACE: Final = timedelta(hours=2)
MONTHS: Final = timedelta(days=40)
"""Longer than the hold, the grace, the trash's days and a lease."""

EMPTIED_BY: Final = 6
"""So many sweeps, a grace and the trash's days apart, take anything from its purge to its end."""

REFUSED: Final = (ClaimLost, NotFound, NotPossessed)
"""What an operation may be told whose bytes or files went away under it: nothing was changed then."""


@dataclass
class Site:
    """A database and a store that outlive crashes, and the clock that everybody sees."""

    given: GivenSettings
    copy: Path
    """The root of a store with all contents."""

    loop: asyncio.AbstractEventLoop
    offset: timedelta = timedelta()
    latest: datetime = LONG_AGO
    tenants: dict[int, Tenant] = field(default_factory=dict)
    device_ids: dict[int, int] = field(default_factory=dict)
    is_spoilt: bool = False
    seen: Counter[str] = field(default_factory=Counter)
    """How often each operation ended in which way."""

    def now(self) -> datetime:
        now = datetime.now(UTC) + self.offset
        self.latest = max(self.latest, now)
        return now

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(coroutine)


@dataclass
class Process:
    """What a crash takes away: everything that is open, and everything that is under way."""

    site: Site
    backend: SparseBackend
    store: BlobStore
    catalog: Catalog
    lock: StoreLock
    rigs: list[Rig]

    @classmethod
    async def start(cls, site: Site) -> "Process":
        """As a server starts: what an earlier one left is cleared away first."""
        settings = site.given.settings
        backend = SparseBackend(settings.storage_root)
        store = BlobStore.open(backend)
        catalog = await Catalog.open(settings, Journal(backend), store.store_id, connections_max=2)
        lock = StoreLock(settings.storage_root)
        await clear_leftovers(lock, store, catalog)
        rigs = []
        for computer, account in enumerate(ACCOUNTS):
            scope = await sign_in(catalog, f"account-{account}")
            if computer not in site.device_ids:
                site.device_ids[computer] = (await scope.devices.create(f"{computer}", DeviceKind.LAPTOP)).id
            rigs.append(Rig(settings, backend, store, catalog, scope, site.device_ids[computer]))
        return cls(site, backend, store, catalog, lock, rigs)

    async def end(self) -> None:
        await self.catalog.close()
        self.backend.close()
        self.lock.release()


@dataclass
class Act:
    """An operation under way, and what it changes if it is acknowledged."""

    words: str
    turn: Turn
    changes: Mapping[Key, Change]
    when_done: Callable[[], None] = lambda: None


class Histories(RuleBasedStateMachine):
    """One history. `site` is set before it runs, and used by one after the other."""

    site: Site

    def __init__(self) -> None:
        super().__init__()
        self.acts: list[Act] = []
        self.dropped: list[Act] = []
        self.model = Model(timedelta(days=self.site.given.settings.hold_days))
        self.was_hurt: set[str] = set()
        self.times_set_back = 0
        self.process = self.site.run(Process.start(self.site))

    @initialize(past=st.sets(st.sampled_from(HARMED)), sweeps=st.integers(1, 3))
    def what_was_purged_before(self, past: set[str], sweeps: int) -> None:
        """A beginning where the sweep has condemned some contents, is about to take them away, or just did."""
        for content in sorted(past):
            self.upload(0, NAMES[0], content, at_once=True)
            self.purge(0, at_once=True)
        for _ in range(sweeps):
            self.months_pass()
            self.sweep(full=False, at_once=True)

    # -- what people do

    @rule(computer=COMPUTER, name=NAME, content=st.sampled_from(tuple(CONTENTS)), at_once=st.booleans())
    def upload(self, computer: int, name: str, content: str, at_once: bool) -> None:
        rig = self.rig(computer)

        async def work() -> None:
            staged = rig.stage(CONTENTS[content])
            claim = await rig.claim(staged)
            await pause()
            await rig.commit(name, rig.place(staged, claim), claim)

        changes = self.added(computer, {name: content})
        self.begin("upload", work, changes, lambda: self.look_whether_healed(content), at_once=at_once)

    @rule(
        computer=COMPUTER,
        files=st.dictionaries(NAME, st.sampled_from(SMALL), min_size=1, max_size=3),
        is_bundle=st.booleans(),
        at_once=st.booleans(),
    )
    def upload_many(self, computer: int, files: dict[str, str], is_bundle: bool, at_once: bool) -> None:
        rig = self.rig(computer)

        async def work() -> None:
            send = rig.upload_bundle if is_bundle else rig.upload_batch
            await send({name: CONTENTS[content] for name, content in files.items()})

        def healed() -> None:
            for content in files.values():
                self.look_whether_healed(content)

        words = "bundle" if is_bundle else "batch"
        self.begin(words, work, self.added(computer, files), healed, at_once=at_once)

    @rule(computer=COMPUTER, name=NAME, which=WHICH, at_once=st.booleans())
    def name_known_bytes(self, computer: int, name: str, which: int, at_once: bool) -> None:
        """As a client does that asks first what is missing: it backs up what some computer has, or had."""
        contents = sorted({found.live for found in self.model.names.values() if found.live is not None})
        if not contents:
            return
        content = contents[which % len(contents)]
        rig, digest = self.rig(computer), DIGESTS[content]

        async def work() -> None:
            if missing := await rig.scope.blobs.missing([digest]):
                raise NotPossessed(missing)
            known = AddKnown(EntryPath.parse(name), digest, len(CONTENTS[content]), 1)
            await rig.scope.manifests.commit(rig.device_id, [known])

        self.begin("known bytes", work, self.added(computer, {name: content}), at_once=at_once)

    @rule(which=WHICH, at_once=st.booleans())
    @precondition(lambda self: self.model.live)
    def delete(self, which: int, at_once: bool) -> None:
        key, live = self.live(which)
        rig = self.rig(key[0])

        async def work() -> None:
            await rig.scope.entries.delete([(await rig.entry(key[1])).id])

        self.begin("delete", work, {key: Change(None, deleted=live)}, at_once=at_once)

    @rule(which=WHICH, name=NAME, at_once=st.booleans())
    @precondition(lambda self: self.model.live)
    def rename(self, which: int, name: str, at_once: bool) -> None:
        old, live = self.live(which)
        rig, new = self.rig(old[0]), (old[0], name)
        if self.model.name(new).live is not None:
            return

        async def work() -> None:
            await rig.scope.entries.rename((await rig.entry(old[1])).id, name.encode())

        self.begin("rename", work, {old: Change(None), new: Change(live)}, at_once=at_once)

    @rule(which=WHICH, at_once=st.booleans())
    @precondition(lambda self: self.model.held)
    def recover(self, which: int, at_once: bool) -> None:
        key, entry_id = self.model.held[which % len(self.model.held)]
        found = self.model.name(key)
        if found.live is not None:
            return

        async def work() -> None:
            await self.rig(key[0]).scope.entries.recover([entry_id])

        change = Change(found.held[entry_id].content, gone=frozenset({entry_id}))
        self.begin("recover", work, {key: change}, at_once=at_once)

    @rule(which=WHICH, at_once=st.booleans())
    @precondition(lambda self: self.model.live or self.model.held)
    def purge(self, which: int, at_once: bool) -> None:
        """All that there is under this name, live and deleted."""
        keys = [key for key, _ in [*self.model.live, *self.model.held]]
        key = keys[which % len(keys)]
        rig, held = self.rig(key[0]), frozenset(self.model.name(key).held)

        async def work() -> None:
            ids = sorted(held)
            with suppress(NotFound):
                ids.append((await rig.entry(key[1])).id)
            await rig.scope.purge.entries(ids)

        self.begin("purge", work, {key: Change(None, gone=held)}, at_once=at_once)

    @rule(which=WHICH)
    @precondition(lambda self: self.model.live)
    def read(self, which: int) -> None:
        """What is purged meanwhile, and swept, may be missing; nothing else may."""
        (computer, name), _ = self.live(which)
        rig = self.rig(computer)

        async def work() -> None:
            entry = await rig.entry(name)
            assert entry.blob is not None
            await self.read_with_second_look(rig, entry.blob)

        self.begin("read", work, {})

    @rule(computer=COMPUTER, at_once=st.booleans())
    def export(self, computer: int, at_once: bool) -> None:
        """All of a computer as a zip: what it names is there, or is said to have been purged."""
        rig = self.rig(computer)

        async def work() -> None:
            chosen = Directory(rig.device_id, Area.ORIGINALS, EntryPath(()))
            planner = ZipPlanner(UTC, WORKERS)
            made = await rig.scope.exports.create_of_directory(chosen, Terms("all", "UTC"), planner)
            with suppress(Purged):
                for member in await rig.scope.exports.members(made.id):
                    if member.chosen.blob is not None:
                        with suppress(NotFound):  # purged since, and swept
                            await self.read_with_second_look(rig, member.chosen.blob)

        self.begin("export", work, {}, at_once=at_once)

    # -- what the service does

    @rule(full=st.booleans(), at_once=st.booleans())
    @precondition(lambda self: not self.is_under_way("sweep"))
    def sweep(self, full: bool, at_once: bool) -> None:
        report = Swept(self.process.store.store_id)
        expired, set_back = self.expired(), self.times_set_back

        async def work() -> None:
            process = self.process
            settings = self.site.given.settings
            for _, step in steps(settings, process.catalog, process.store, process.backend, report, full=full):
                await step()

        def done() -> None:
            assert self.was_hurt or report.alarms == []
            if self.times_set_back > set_back:
                return
            left = {entry_id for name in self.found().values() for entry_id in name.held}
            assert not expired & left, "what the hold no longer protects is gone after a sweep"

        self.begin("sweep", work, {}, done, at_once=at_once)

    @rule()
    @precondition(lambda self: not self.is_under_way("scrub"))
    def scrub(self) -> None:
        report = Verified(self.process.store.store_id, 1, "now")

        async def work() -> None:
            await self.scrubbed(report)

        def done() -> None:
            told = {problem.digest for problem in report.problems}
            assert told <= {DIGESTS[content].hex for content in self.was_hurt}, "a false alarm"

        self.begin("scrub", work, {}, done)

    @rule(at_once=st.booleans())
    @precondition(lambda self: self.was_hurt and not self.is_under_way("repair"))
    def repair(self, at_once: bool) -> None:
        """From a copy of the store that has everything in files of its own."""

        async def work() -> None:
            process = self.process
            with closing(SparseBackend(self.site.copy)) as backend:
                source = Copy(process.store, BlobStore(backend, process.store.store_id))
                trash = Trash(process.backend)
                await repair(process.catalog.system, process.store, trash, [source], Verified("copy", 1, "now"))

        def done() -> None:
            for content in sorted(self.model.hurt):
                self.look_whether_healed(content)

        self.begin("repair", work, {}, done, at_once=at_once)

    @rule(account=st.sampled_from(sorted(set(ACCOUNTS))), at_once=st.booleans())
    @precondition(lambda self: not self.is_under_way("checkpoint"))
    def checkpoint(self, account: int, at_once: bool) -> None:
        """Of all chains of one account; what was purged is erased from the journal."""
        tenant = self.rig(ACCOUNTS.index(account)).scope.tenant

        async def work() -> None:
            journal = Journal(self.process.backend)
            names = [name for name in journal.chains() if name.startswith(f"{tenant.uuid}/")]
            await self.process.catalog.system.checkpoints(journal).tenant(tenant, names, even_if_not_due=True)

        self.begin("checkpoint", work, {}, at_once=at_once)

    @rule(schedule=st.lists(st.integers(0, UNDER_WAY_MAX - 1), min_size=1, max_size=20))
    @precondition(lambda self: self.acts)
    def go_on(self, schedule: list[int]) -> None:
        """Those under way take steps in this order."""
        for which in schedule:
            if self.acts:
                act = self.acts[which % len(self.acts)]
                act.turn.step()
                self.settle(act)

    @rule()
    def end_all(self) -> None:
        while self.acts:
            act = self.acts[0]
            act.turn.finish()
            self.settle(act)

    # -- what happens

    @rule(event=st.sampled_from(("crash", "an_hour_passes", "months_pass", "the_clock_is_set_back")))
    def happens(self, event: str) -> None:
        getattr(self, event)()

    def crash(self) -> None:
        """Nothing that was under way is heard of again; each did all that it meant to do, or nothing of it."""
        self.dropped += self.acts
        cut_short, self.acts = self.acts, []
        self.site.run(self.process.end())
        self.process = self.site.run(Process.start(self.site))
        found = self.found()
        for act in cut_short:
            whole = self.model.settle(act.changes, found, self.site.latest)
            self.site.seen[f"{act.words}: cut short, {'whole' if whole else 'nothing'}"] += 1
            before = {key: unchanged(self.model.name(key)) for key in act.changes}
            assert whole or self.model.settle(before, found, self.site.latest), f"the {act.words} is half done"
        for content in sorted(self.model.hurt):
            self.look_whether_healed(content)

    def an_hour_passes(self) -> None:
        self.site.offset += GRACE / 2

    def months_pass(self) -> None:
        self.site.offset += MONTHS
        self.site.run(
            self.rig(0).fetch("UPDATE possession SET leased_until = UTC_TIMESTAMP(6) WHERE leased_until IS NOT NULL")
        )  # the database has a clock of its own, which does not jump

    def the_clock_is_set_back(self) -> None:
        self.site.offset -= timedelta(days=3)
        self.times_set_back += 1

    @rule(content=st.sampled_from(HARMED), is_lost=st.booleans(), place=st.integers(0, 1 << 40))
    def damage(self, content: str, is_lost: bool, place: int) -> None:
        """One bit of the copy that the row names, or all of it. Of a pack, one bit of the slice."""
        try:
            row = self.site.run(self.process.catalog.system.blob_by_digest(DIGESTS[content].raw))
        except NotFound:
            return
        in_pack = parsed_pack_location(row.blob.location)
        key = object_keys(row.blob)[0] if in_pack is None else pack_key(in_pack[0])
        path = self.process.backend.root / key
        if not path.exists() or content in self.model.hurt:
            return
        self.was_hurt.add(content)
        self.model.hurt.add(content)
        if is_lost and in_pack is None:
            path.unlink()
            return
        offset = (0 if in_pack is None else in_pack[1]) + place % row.blob.stored_bytes
        flip_bit(path, offset, place % 8)

    @rule()
    def scrub_alone(self) -> None:
        """It finds exactly what was damaged and is still named."""
        self.end_all()
        report = Verified(self.process.store.store_id, 1, "now")
        self.site.run(self.scrubbed(report))
        told = {problem.digest for problem in report.problems}
        rows = self.site.run(self.process.catalog.system.blobs_after(0, 1_000))
        named = {row.blob.digest.hex for row in rows if row.state in {"live", "condemned"}}
        for content in sorted(self.model.hurt):
            digest = DIGESTS[content].hex
            if digest in told:
                self.model.known.add(content)
            elif digest in named:
                self.look_whether_healed(content)
                assert content not in self.model.hurt, "damage was not found"
        self.site.seen["scrubs that found damage"] += bool(told)
        assert told <= {DIGESTS[content].hex for content in self.model.known}, "a false alarm"
        assert [*report.journal_faults, *report.row_faults, *report.permission_faults] == []

    @rule(computer=COMPUTER, which=WHICH, how=st.sampled_from(("alone", "batch", "bundle")))
    @precondition(lambda self: self.model.known)
    def send_again_what_is_damaged(self, computer: int, which: int, how: str) -> None:
        """Whoever sends the bytes again heals them for everybody."""
        self.end_all()
        if not self.model.known:
            return
        content = sorted(self.model.known)[which % len(self.model.known)]
        rig = self.rig(computer)
        assert self.site.run(rig.scope.blobs.missing([DIGESTS[content]])) == [DIGESTS[content]]
        if how != "alone" and content in SMALL:
            self.upload_many(computer, {NAMES[0]: content}, is_bundle=how == "bundle", at_once=True)
        else:
            self.upload(computer, NAMES[0], content, at_once=True)
        assert content not in self.model.hurt, "sent again, and not healed"
        self.site.seen["healed"] += 1

    # -- what must be

    @invariant()
    def everything_is_as_it_was_acknowledged(self) -> None:
        """Names of nothing that is under way; a step of the sweep may have ended holds."""
        busy = {key for act in self.acts for key in act.changes}
        found = self.found()
        for key in found.keys() - busy:
            same = {key: unchanged(self.model.name(key))}
            assert self.model.settle(same, found, self.site.latest), (
                f"{key}: {self.model.name(key)} became {found[key]}"
            )

    @rule()
    def read_everything(self) -> None:
        """Every file, live, deleted or replaced."""
        for rig in self.process.rigs[::2]:
            rows = self.site.run(
                rig.fetch("SELECT id FROM entry WHERE tenant_id = %s AND kind = 'file'", rig.scope.tenant.id)
            )
            for (entry_id,) in rows:
                entry = self.site.run(rig.scope.entries.get(int(str(entry_id))))
                assert entry.blob is not None
                self.site.run(self.read_with_second_look(rig, entry.blob))

    def teardown(self) -> None:
        try:
            self.crash()
            self.read_everything()
            self.scrub_alone()
            self.leave_nothing()
        except BaseException:
            self.site.is_spoilt = True
            raise
        finally:
            for act in self.dropped:
                act.turn.drop()
            self.site.run(self.process.end())

    def leave_nothing(self) -> None:
        """What is purged comes back as room, to the last file, and no account owes anything."""
        for rig in self.process.rigs:
            self.site.run(purge_all(rig))
        self.months_pass()
        rig = self.rig(0)
        for _ in range(EMPTIED_BY):
            self.site.run(rig.sweep())
            self.site.offset += MONTHS
        assert self.site.run(rig.fetch("SELECT digest FROM `blob` WHERE size_bytes > 0")) == []
        assert self.site.run(rig.fetch("SELECT id FROM pack")) == []
        assert (
            self.site.run(rig.fetch("SELECT used_bytes, leased_bytes FROM ledger WHERE used_bytes + leased_bytes"))
            == []
        )
        assert [rig.files(folder) for folder in ("blobs", "packs", "trash")] == [[], [], []]
        assert list(self.process.backend.temporaries()) == []

    # -- how

    def live(self, which: int) -> tuple[Key, str]:
        return self.model.live[which % len(self.model.live)]

    def rig(self, computer: int) -> Rig:
        return self.process.rigs[computer]

    def added(self, computer: int, files: Mapping[str, str]) -> dict[Key, Change]:
        before = {(computer, name): self.model.name((computer, name)) for name in files}
        return {
            (computer, name): Change(content, revives=before[computer, name].live is None)
            for name, content in files.items()
        }

    def begin(
        self,
        words: str,
        work: Callable[[], Awaitable[None]],
        changes: Mapping[Key, Change],
        when_done: Callable[[], None] = lambda: None,
        *,
        at_once: bool = False,
    ) -> None:
        """Under way from here on, up to its first stop; or to its end. A name is of one operation at a time."""
        busy = {key for act in self.acts for key in act.changes}
        if busy & changes.keys() or len(self.acts) >= UNDER_WAY_MAX:
            return
        act = Act(words, Turn(self.site.loop, work), changes, when_done)
        self.acts.append(act)
        (act.turn.finish if at_once else act.turn.step)()
        self.settle(act)

    def is_under_way(self, words: str) -> bool:
        return any(act.words == words for act in self.acts)

    def settle(self, act: Act) -> None:
        """If it has ended: what it said is so."""
        if not act.turn.is_done:
            return
        self.acts.remove(act)
        error = act.turn.error
        found = self.found()
        self.site.seen.update([f"{act.words}: {'acknowledged' if error is None else type(error).__name__}"])
        if error is None:
            assert self.model.settle(act.changes, found, self.site.latest), f"the {act.words} was acknowledged"
            act.when_done()
            return
        if not isinstance(error, REFUSED) or act.words in {"sweep", "scrub", "repair", "checkpoint", "export"}:
            raise error
        before = {key: unchanged(self.model.name(key)) for key in act.changes}
        assert self.model.settle(before, found, self.site.latest), f"the {act.words} was refused"

    def found(self) -> dict[Key, Name]:
        """All names as the catalog has them."""
        names = {(computer, name): Name() for computer in range(COMPUTERS) for name in NAMES}
        return names | self.site.run(listed(self.process.rigs))

    def expired(self) -> set[int]:
        before = self.site.now() - self.model.hold
        return {
            entry_id for name in self.model.names.values() for entry_id, held in name.held.items()
            if held.deleted_at <= before
        }  # fmt: skip

    def look_whether_healed(self, content: str) -> None:
        if content not in self.model.hurt:
            return
        with suppress(NotFound, BlobDamaged, BlobMissing):
            row = self.site.run(self.process.catalog.system.blob_by_digest(DIGESTS[content].raw))
            self.process.store.check(row.blob)
            self.model.heal(content)

    async def read_with_second_look(self, rig: Rig, blob: Blob) -> str | None:
        """It takes its time, and asks again where the bytes have moved meanwhile, as a server does."""
        for _ in range(3):
            await pause()
            try:
                return await self.content_of(rig, blob)
            except BlobMissing:
                blob = (await rig.catalog.system.blob_by_digest(blob.digest.raw)).blob
        assert NAMED[blob.digest] in self.model.hurt, "a file that is there cannot be read"
        return None

    async def content_of(self, rig: Rig, blob: Blob) -> str | None:
        """What the bytes are, None if they are damaged and should be. Wrong ones are never given out."""
        try:
            with rig.store.read(blob) as reader:
                data = b"".join(reader.chunks())
        except BlobDamaged:
            assert blob.digest in {DIGESTS[content] for content in self.model.hurt}, "whole bytes are called damaged"
            return None
        assert data == CONTENTS[NAMED[blob.digest]], "wrong bytes are given out"
        return NAMED[blob.digest]

    async def scrubbed(self, report: Verified) -> None:
        """A whole run of tools/verify."""
        side, pace = self.process.catalog.system, Pace()
        report.run = await side.start_scrub()
        progress = Progress(report, pace, wanted=False)
        await Scrub(side, self.process.store, pace, report, progress).run(0, 1)
        report.problems = [one for one in report.problems if one.outcome in {Outcome.DAMAGED, Outcome.MISSING}]
        async with looking_at_files(side, self.process.backend.root, pace, report) as files:
            await files
        await look_at_the_rest(side, self.process.store, self.process.backend, pace, progress, report)
        await side.finish_scrub(report.run)


async def listed(rigs: Sequence[Rig]) -> dict[Key, Name]:
    """What is live and what is held, by computer and name."""
    found: dict[Key, Name] = {}
    for computer, rig in enumerate(rigs):
        page = await rig.scope.entries.page(rig.device_id, Area.ORIGINALS, EntryPath(()))
        for entry in page.items:
            found[computer, str(entry.path)] = Name(content_named(entry))
        for entry in (await rig.scope.entries.held()).items:
            if entry.device_id == rig.device_id and entry.removed_at is not None:
                key = (computer, str(entry.path))
                name = found.get(key, Name())
                held = {**name.held, entry.id: Held(content_named(entry), entry.removed_at)}
                found[key] = Name(name.live, held)
    return found


def content_named(entry: Entry) -> str:
    assert entry.blob is not None
    return NAMED[entry.blob.digest]


async def purge_all(rig: Rig) -> None:
    page = await rig.scope.entries.page(rig.device_id, Area.ORIGINALS, EntryPath(()))
    held = (await rig.scope.entries.held()).items
    ids = [entry.id for entry in page.items] + [entry.id for entry in held if entry.device_id == rig.device_id]
    if ids:
        await rig.scope.purge.entries(ids)


def flip_bit(path: Path, offset: int, bit: int) -> None:
    path.chmod(0o600)
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)[0]
        file.seek(offset)
        file.write(bytes([byte ^ 1 << bit]))
    path.chmod(0o400)
