"""A crowd of customers at two server processes on one socket: nothing fails; and when MariaDB is started again and a
process killed in the middle, everybody goes on by himself and nothing is lost. `tests/bench/load.py` has the times.
"""

import asyncio
import signal
from collections.abc import AsyncIterator, Callable, Iterator

import pytest

from tests.shared.crowd import Crowd
from tests.shared.servers import Servers, serving
from tests.shared.sites import new_site
from tools.run.mariadb import PrivateMariaDB

pytestmark = pytest.mark.anyio
Scale = Callable[[float, float], float]


@pytest.fixture(scope="module")
def servers(own_mariadb: PrivateMariaDB, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Servers]:
    folder = tmp_path_factory.mktemp("crowd")
    with serving(new_site(folder, own_mariadb.socket, "crowd", PROXY_ADDRESSES="127.0.0.1"), folder, 2) as running:
        yield running


@pytest.fixture
async def crowd(servers: Servers, scale: Scale) -> AsyncIterator[Crowd]:
    think = (scale(0.1, 5), scale(0.4, 10))
    made = Crowd(servers.url, servers.given.settings, int(scale(8, 300)), think)
    await made.move_in()
    yield made
    await made.close()


async def test_a_crowd_is_served(crowd: Crowd, scale: Scale) -> None:
    crowd.begin()
    await asyncio.sleep(scale(2, 600))
    await crowd.end()
    assert (crowd.seen.faults, crowd.seen.repeats) == ([], 0)
    assert {"browse", "search", "upload", "download", "export", "zip"} >= crowd.seen.seconds.keys()
    assert crowd.seen.seconds["browse"]


async def test_trouble_loses_nothing_and_everybody_goes_on(
    crowd: Crowd, servers: Servers, own_mariadb: PrivateMariaDB, scale: Scale
) -> None:
    crowd.begin()
    await asyncio.sleep(scale(1, 200))
    servers.replace(0, signal.SIGKILL)
    await asyncio.sleep(scale(1, 200))
    await asyncio.to_thread(own_mariadb.stop)
    own_mariadb.start()
    await asyncio.sleep(scale(1, 200))
    await crowd.end()
    assert crowd.seen.repeats > 0, "nobody noticed the trouble"
    await crowd.check()
    assert crowd.seen.faults == []
