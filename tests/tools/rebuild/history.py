"""What customers do, at random and in any order, on a real catalog and store."""

import random
from collections.abc import Awaitable, Callable

from catalog.changes import AddDirectory, AddLink, PathChange, RemovePath
from catalog.errors import CatalogError
from catalog.tenant import TenantScope
from catalog.values import Actor, DeviceKind, EntryPath, Retention
from tests.shared.worlds import Computer, World

FOLDERS = ("", "Photos/", "Photos/2024/", "Fotos/München/", "docs/")
NAMES = ("a.jpg", "b.txt", "übung.pdf", "c", "d.mov", "Straße.png")


class Customer:
    """One account with two devices, and a random person at them."""

    def __init__(self, world: World, scope: TenantScope, seed: int) -> None:
        self._world = world
        self.scope = scope
        self._random = random.Random(seed)
        self.computers: list[Computer] = []
        self._shared = [self._random.randbytes(self._random.randrange(1, 3000)) for _ in range(4)]

    async def act(self, times: int) -> None:
        """Two new devices, and `times` things done with them."""
        self.computers = [await Computer.make(self._world, self.scope, name) for name in ("laptop", "phone")]
        await self.go_on(times)

    async def go_on(self, times: int) -> None:
        """Do `times` things; what is refused changes nothing, as it should."""
        acts: list[Callable[[], Awaitable[object]]] = [
            self._put, self._put, self._put_packed, self._put_packed, self._delete, self._rename, self._recover,
            self._odd, self._purge, self._device, self._account, self._delete_everywhere, self._fail,
        ]  # fmt: skip
        for _ in range(times):
            try:
                await self._random.choice(acts)()
            except CatalogError:
                continue

    def _files(self) -> dict[str, bytes]:
        chosen = [
            self._random.choice(FOLDERS) + self._random.choice(NAMES) for _ in range(self._random.randrange(1, 5))
        ]
        return {
            path: self._random.choice([*self._shared, b"", self._random.randbytes(self._random.randrange(6000))])
            for path in chosen
        }

    async def _put(self) -> None:
        await self._computer().put(self._files(), self._random.choice([None, 1, 1_700_000_000_123_456_789]))

    async def _put_packed(self) -> None:
        await self._computer().put_packed(self._files())

    async def _some_ids(self, most: int = 3) -> list[int]:
        ids = list((await self._computer().ids()).values())
        return self._random.sample(ids, min(len(ids), self._random.randint(1, most)))

    async def _delete(self) -> None:
        await self.scope.entries.delete(await self._some_ids())

    async def _delete_everywhere(self) -> None:
        both = [list((await computer.ids()).values()) for computer in self.computers]
        await self.scope.entries.delete([self._random.choice(ids) for ids in both if ids])

    async def _rename(self) -> None:
        for entry_id in await self._some_ids(1):
            await self.scope.entries.rename(entry_id, f"renamed {self._random.randrange(5)}".encode())

    async def _recover(self) -> None:
        held = (await self.scope.entries.held()).items
        if held:
            await self.scope.entries.recover([entry.id for entry in self._random.sample(held, 1)])

    async def _odd(self) -> None:
        changes: list[PathChange] = [
            AddDirectory(EntryPath.parse("empty/folder"), 5, 0o750),
            AddLink(EntryPath.parse(f"link {self._random.randrange(3)}"), b"../anywhere\xff"),
            RemovePath(EntryPath.parse(self._random.choice(NAMES))),
        ]
        await self.scope.manifests.commit(self._computer().device_id, self._random.sample(changes, 2), "odd things")

    async def _purge(self) -> None:
        held = (await self.scope.entries.held()).items
        chosen = [entry.id for entry in held[:2]] if self._random.random() < 0.7 else await self._some_ids(1)
        await self.scope.purge.entries(chosen)

    async def _device(self) -> None:
        computer, number = self._computer(), self._random.randrange(1000)
        match self._random.randrange(4):
            case 0:
                await self.scope.devices.update(
                    computer.device_id, name=f"device {number}", source_directories=[f"/new/{number}"]
                )
            case 1:
                made = await self.scope.devices.create(f"short-lived {number}", DeviceKind.TABLET)
                await self.scope.devices.create_token(made.id, "lost with it")
                await self.scope.devices.remove(made.id)
            case 2:
                await self.scope.devices.create_token(computer.device_id, f"token {number}")
            case _:
                for token in (await self.scope.devices.tokens(computer.device_id))[:1]:
                    await self.scope.devices.revoke_token(computer.device_id, token.id)

    async def _account(self) -> None:
        if self._random.random() < 0.5:
            rule = Retention(self._random.choice([None, 3]), self._random.choice([None, 30]))
            await self.scope.retention.set(rule)
        else:
            quota = self._random.choice([None, 10_000_000])
            await self._world.catalog.system.set_quota(self.scope.tenant.id, quota, Actor("operator", "root"))

    async def _fail(self) -> None:
        """A commit of both devices whose record is durable on one of them alone."""
        ids = [next(iter((await computer.ids()).values()), None) for computer in self.computers]
        if None not in ids:
            with self._world.failing_journal(after=1):
                await self.scope.entries.delete([found for found in ids if found is not None])

    def _computer(self) -> Computer:
        return self._random.choice(self.computers)
