"""One suite, every server, both skins.

A contract test takes `server`, and runs once on each server in CONTRACT_SERVERS with each skin in CONTRACT_SKINS. When
that is not set, it runs blocking on each server, and async on the last of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import servers
from tests.contract import skins
from tests.contract.differences import DIFFERENCES
from tests.contract.shop import Make, maker

HERE = Path(__file__).parent


@pytest.fixture(scope="session")
def loop() -> Iterator[skins.Loop]:
    """The event loop of the async skin."""
    loop = skins.Loop()
    yield loop
    loop.close()


@pytest.fixture(autouse=True, params=skins.chosen())
def skin(request: pytest.FixtureRequest, loop: skins.Loop, monkeypatch: pytest.MonkeyPatch) -> str:
    """What the repositories of the test are: ``sync``, or ``async`` ones that are used as if they were."""
    skins.use(request.param, loop, request.module, monkeypatch)
    return str(request.param)


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


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the skins that a server is not to have, and mark the cases it cannot do, from the one table of them."""
    left_out = [item for item in items if not _has_skin(item)]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if _has_skin(item)]
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


def _has_skin(item: pytest.Item) -> bool:
    params = item.callspec.params if hasattr(item, "callspec") else {}
    return "skin" not in params or skins.runs_on(params["skin"], params.get("running_server"))


def _case_name(item: pytest.Function) -> str:
    marker = item.get_closest_marker("case")
    return str(marker.args[0]) if marker else item.originalname
