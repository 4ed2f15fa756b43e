"""A closed account: nothing of it is left but the audit and a tombstone, which rebuilds and replicas honour."""

import base64
from contextlib import closing
from pathlib import Path

import pytest

from cas.local import LocalBackend
from catalog.errors import NotFound
from tests.shared.settings import write_settings
from tests.shared.worlds import Computer, World
from tests.tools.rebuild.history import Customer
from tests.tools.rebuild.test_checkpoints import everything_said
from tests.tools.rebuild.test_rebuild import database_of, differences, dump_of, rebuilt, to_process
from tests.tools.replicate.test_replicate import content, replicate
from tools.run.processes import python

pytestmark = pytest.mark.anyio


async def test_a_closed_account_is_gone_and_stays_gone(world: World, tmp_path: Path) -> None:
    gone = Customer(world, await world.sign_in("maple"), 5)
    await gone.act(30)
    await gone.computers[0].put({"deep/er/secret name.txt": b"secret bytes"})
    await gone.computers[0].send([b"leased and never named"])
    stays = await Computer.make(world, await world.sign_in("spruce"), "pc")
    await stays.put({"kept.txt": b"kept"})
    (tmp_path / "replica").mkdir()
    with closing(LocalBackend(tmp_path / "replica")) as replica:
        replicate(world, replica)
        given = write_settings(tmp_path / "settings", world.values)
        unsure = await to_process(python("tools.tenant", "close", "maple"), given)
        assert (unsure.returncode, "--erase-everything" in unsure.stderr) == (2, True)
        done = await to_process(python("tools.tenant", "close", "maple", "--erase-everything"), given)
        assert (done.stderr, done.returncode) == ("", 0)
        assert "maple: closed;" in done.stdout

        secret = base64.b64encode(b"secret name.txt")
        assert secret not in everything_said(world)
        with pytest.raises(NotFound):
            await world.catalog.system.tenant_by_client("maple")
        left = [line for line in await dump_of(world.settings) if gone.scope.tenant.uuid in line]
        assert all(line.startswith("head ") for line in left)
        async with database_of(world.settings) as database, database.reading() as tx:
            assert await tx.fetch_all(
                "SELECT 1 FROM possession WHERE tenant_id = %s UNION ALL SELECT 1 FROM user WHERE tenant_id = %s",
                (gone.scope.tenant.id, gone.scope.tenant.id),
            ) == []  # fmt: skip
            assert await tx.fetch_all("SELECT 1 FROM audit_event WHERE tenant_id = %s LIMIT 1", (gone.scope.tenant.id,))
        assert await differences(world.settings) == []
        settings, report, code = await rebuilt(world)
        assert (code, report.faults) == (0, [])
        assert any("was closed" in note for note in report.notes)
        assert not [line for line in await dump_of(settings) if gone.scope.tenant.uuid in line]
        assert [line for line in await dump_of(settings) if stays.scope.tenant.uuid in line]
        replicate(world, replica)
        assert content(replica) == content(world.backend)
    again = await world.sign_in("maple")  # a customer who comes back begins anew
    assert again.tenant.uuid != gone.scope.tenant.uuid
    assert await again.devices.all() == []
