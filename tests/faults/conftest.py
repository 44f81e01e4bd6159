"""Every case runs with each skin on each lane, through a proxy in front of a server: the first that is chosen."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import servers
from tests.contract import skins
from tests.faults.bench import LANES, Bench
from tests.faults.proxy import Proxy

# One is enough: what is tested is this side of the wire, and the proxy alters what every server answers alike.
SERVERS = [name for name in ("ministack", "endpoint", "moto") if name in servers.chosen()][:1]


@pytest.fixture(scope="session", params=SERVERS)
def running_server(request: pytest.FixtureRequest) -> servers.RunningServer:
    running: servers.RunningServer = request.getfixturevalue(f"{request.param}_server")
    return running


@pytest.fixture(scope="session")
def loop() -> Iterator[skins.Loop]:
    """The event loop of the async skin."""
    loop = skins.Loop()
    yield loop
    loop.close()


@pytest.fixture(scope="module", params=LANES, ids="-".join)
def lane(request: pytest.FixtureRequest) -> tuple[str, str]:
    """The skin and the transport."""
    lane: tuple[str, str] = request.param
    return lane


@pytest.fixture(scope="module")
def module_bench(running_server: servers.RunningServer, lane: tuple[str, str]) -> Iterator[Bench]:
    assert running_server.endpoint_url is not None
    server = servers.Server(running_server)
    proxy = Proxy(running_server.endpoint_url)
    bench = Bench(proxy, server, lane[1])
    bench.make_tables()
    yield bench
    server.clean_up()
    proxy.close()


@pytest.fixture
def bench(
    module_bench: Bench,
    lane: tuple[str, str],
    loop: skins.Loop,
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Bench]:
    """The proxy and the tables of the module, without rules; a test takes keys that no other test has."""
    skins.use(lane[0], loop, request.module, monkeypatch)
    module_bench.start_anew()
    yield module_bench
    module_bench.proxy.release()
