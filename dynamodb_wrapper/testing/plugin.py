"""The pytest plugin: fixtures that give each test a DynamoDB of its own, with a clock, faults and a list of requests.

pytest loads it in every run of whoever has this library installed. So it imports nothing of it until a fixture is used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from dynamodb_wrapper.config import DynamoDBConfig
    from dynamodb_wrapper.testing.clock import Clock
    from dynamodb_wrapper.testing.faults import Faults
    from dynamodb_wrapper.testing.requests import Requests
    from dynamodb_wrapper.testing.stage import Stage
    from dynamodb_wrapper.testing.tables import Tables

_MARKER = "dynamodb_config"
_STAGE = pytest.StashKey["Stage"]()


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known, for ``--strict-markers``."""
    config.addinivalue_line(
        "markers", f"{_MARKER}(**settings): settings of the test's DynamoDBConfig, for example retries=0"
    )


@pytest.hookimpl(trylast=True)
def pytest_runtest_call(item: pytest.Item) -> None:
    """Let a test fail that has passed, but did not use the faults that it set."""
    stage = item.stash.get(_STAGE, None)
    if stage is not None and (problem := stage.faults.unused()):
        pytest.fail(problem, pytrace=False)


@pytest.fixture
def dynamodb_base_config() -> DynamoDBConfig:
    """Where the tests' DynamoDB is: a new, empty one inside this process.

    Override this fixture to test on another server. What tests leave there is theirs to delete: give each a
    ``table_prefix`` of its own.
    """
    from dynamodb_wrapper.config import DynamoDBConfig

    return DynamoDBConfig.embedded()


@pytest.fixture
def dynamodb_stage(request: pytest.FixtureRequest, dynamodb_base_config: DynamoDBConfig) -> Iterator[Stage]:
    """All of the following in one object."""
    from dynamodb_wrapper.testing.stage import Stage

    settings: dict[str, object] = {}
    for marker in request.node.iter_markers(_MARKER):
        if marker.args:
            raise pytest.UsageError(f"the marker {_MARKER} takes settings by name, not {marker.args}")
        settings = {**marker.kwargs, **settings}  # the closest comes first
    stage = Stage(dynamodb_base_config.model_copy(update=settings))
    with stage.entered():
        request.node.stash[_STAGE] = stage
        yield stage
        del request.node.stash[_STAGE]


@pytest.fixture
def dynamodb_config(dynamodb_stage: Stage) -> DynamoDBConfig:
    """The configuration of the test's DynamoDB; repositories made with it have the clock and meet the faults.

    ``@pytest.mark.dynamodb_config(retries=0)`` changes settings.
    """
    return dynamodb_stage.config


@pytest.fixture
def dynamodb_tables(dynamodb_stage: Stage) -> Tables:
    """Makes repositories of either colour with their tables: call it with their classes, and get as many back."""
    return dynamodb_stage.tables


@pytest.fixture
def dynamodb_clock(dynamodb_stage: Stage) -> Clock:
    """The time of the test: it stands still, but for ``move``, ``set`` and the waits of the library."""
    dynamodb_stage.clock.stop()
    return dynamodb_stage.clock


@pytest.fixture
def dynamodb_faults(dynamodb_stage: Stage) -> Faults:
    """Sets what befalls the next requests: ``dynamodb_faults.throttle(2)``. One that does not happen fails the test."""
    return dynamodb_stage.faults


@pytest.fixture
def dynamodb_requests(dynamodb_stage: Stage) -> Requests:
    """What was sent, and budgets: ``with dynamodb_requests.assert_requests(max=2): ...``."""
    return dynamodb_stage.requests


@pytest.fixture
def dynamodb_environment(dynamodb_stage: Stage, monkeypatch: pytest.MonkeyPatch) -> Iterator[DynamoDBConfig]:
    """The configuration, which ``DynamoDBConfig.from_env()`` gives too, and which is the default of the process.

    For code that makes its configuration itself, or has none (``get_table``, ``aws_services``).
    """
    from dynamodb_wrapper.testing.environment import variables_of
    from dynamodb_wrapper.transport import DynamoDBSingleton

    for name, value in variables_of(dynamodb_stage.config).items():
        if value:
            monkeypatch.setenv(name, value)
        else:
            monkeypatch.delenv(name, raising=False)
    singleton = DynamoDBSingleton()
    before = singleton._configured
    singleton.configure(dynamodb_stage.config)
    yield dynamodb_stage.config
    singleton.configure(before)
