"""Looking up the names of a manifest: what it costs does not grow with what else the tenant holds."""

import pytest

from catalog.catalog import Catalog
from catalog.changes import AddLink
from catalog.database import Transaction
from catalog.tree import NAMES_PER_QUERY, Tree
from catalog.values import Area, EntryPath
from tests.catalog.conftest import Uploader

pytestmark = pytest.mark.anyio

NAMES = 8 * NAMES_PER_QUERY


async def rows_read(tx: Transaction) -> int:
    """By this connection so far, one after the other in some index."""
    rows = await tx.fetch_all("SHOW SESSION STATUS WHERE Variable_name IN ('Handler_read_next', 'Handler_read_prev')")
    return sum(int(count) for _, count in rows)


async def test_a_look_up_reads_no_other_rows_than_those_of_its_names(catalog: Catalog, laptop: Uploader) -> None:
    links = [AddLink(EntryPath((b"folder", b"%05d" % number)), b"target") for number in range(NAMES)]
    await laptop.scope.manifests.commit(laptop.device_id, links)
    wanted = [link.path.name for link in links[:NAMES_PER_QUERY]]
    async with catalog._database.reading() as tx:
        tree = Tree(tx, laptop.scope.tenant.id, laptop.device_id)
        root_id = await tree.root(Area.ORIGINALS)
        await tree.load(root_id, [b"folder"])
        folder = tree.get(root_id, b"folder")
        assert folder is not None
        before = await rows_read(tx)
        await tree.load(folder.node_id, wanted)
        assert await rows_read(tx) - before <= 2 * NAMES_PER_QUERY
    assert all(tree.get(folder.node_id, name) is not None for name in wanted)
