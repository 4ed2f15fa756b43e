"""One record more in the journal than in the catalog: a commit that failed, or, where the audit's checkpoints say so, a
change that a customer was told is safe."""

import subprocess
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from cas.local import LocalBackend
from catalog.settings import Settings
from tests.shared.worlds import Computer, World
from tests.tools.rebuild.test_rebuild import differences
from tools.rebuild.main import run
from tools.rebuild.report import Report
from tools.replicate.dumps import add_dump, load_dump

pytestmark = pytest.mark.anyio


def loaded(world: World, folder: Path, key: str) -> Settings:
    """A new database from a dump."""
    name = f"{world.settings.mariadb_db[:40]}_old"
    client = ["mariadb", "--no-defaults", f"--socket={world.settings.mariadb_socket}", "--user=root"]
    subprocess.run([*client, "-e", f"CREATE DATABASE {name}"], check=True)
    with closing(LocalBackend(folder)) as dumps:
        load_dump(dumps, key, [*client, name])
    return replace(world.settings, mariadb_db=name, mariadb_user="root", mariadb_password="")


async def test_an_acknowledged_change_that_a_loaded_dump_lacks_is_a_difference(world: World, tmp_path: Path) -> None:
    laptop = await Computer.make(world, await world.sign_in("maple"), "laptop")
    await laptop.put({"a.txt": b"1"})
    await world.catalog.audit_checkpoints.write()
    with closing(LocalBackend(tmp_path)) as dumps:
        key = add_dump(world.settings, dumps)
    older = loaded(world, tmp_path, key)
    assert await differences(older) == []
    await laptop.put({"b.txt": b"2"})
    report = Report()
    assert await run(older, report, "compare") == 0, "nothing outside the database tells yet"
    assert any("or the catalog is older" in note for note in report.notes)
    await world.catalog.audit_checkpoints.write()
    [text] = await differences(older)
    assert "has 1 record more than the catalog, which is older than the journal" in text
    assert await run(older, Report(), "compare", may_be_older=True) == 0
    assert await differences(world.settings) == []


async def test_a_commit_that_failed_is_no_difference_however_much_came_after_it(world: World) -> None:
    scope = await world.sign_in("maple")
    laptop, phone = await Computer.make(world, scope, "laptop"), await Computer.make(world, scope, "phone")
    both = (await laptop.put({"a.txt": b"1"})).entry_ids + (await phone.put({"b.txt": b"2"})).entry_ids
    with world.failing_journal(after=1):
        await scope.entries.delete(both)
    await phone.put({"c.txt": b"3"})
    await world.catalog.audit_checkpoints.write()
    report = Report()
    assert await run(world.settings, report, "compare") == 0
    assert report.notes != []
