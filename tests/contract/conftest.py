"""One suite, every server: a contract test takes `server`, and runs once on each server in CONTRACT_SERVERS."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.contract.differences import DIFFERENCES
from tests.contract.shop import Make, maker

HERE = Path(__file__).parent


@pytest.fixture(scope="session", params=servers.chosen())
def running_server(request: pytest.FixtureRequest) -> servers.RunningServer:
    """The server process, shared by the tests of this session."""
    running: servers.RunningServer = request.getfixturevalue(f"{request.param}_server")
    return running


@pytest.fixture
def server(running_server: servers.RunningServer) -> Iterator[servers.Server]:
    """The server under this test's own table prefix; what the test creates there is deleted after it."""
    server = servers.Server(running_server)
    yield server
    server.clean_up()


@pytest.fixture
def make(server: servers.Server) -> Make:
    """Makes repositories on this server, with their tables."""
    return maker(server)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the cases a server cannot do, from the one table of them."""
    for item in items:
        if not isinstance(item, pytest.Function) or HERE not in item.path.parents or not hasattr(item, "callspec"):
            continue
        difference = DIFFERENCES.get((str(item.callspec.params.get("running_server")), _case_name(item)))
        if difference is None:
            continue
        if difference.every_time:
            item.add_marker(pytest.mark.xfail(reason=difference.reason, strict=True))
        else:
            item.add_marker(pytest.mark.skip(reason=difference.reason))


def _case_name(item: pytest.Function) -> str:
    marker = item.get_closest_marker("case")
    return str(marker.args[0]) if marker else item.originalname
