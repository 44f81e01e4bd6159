"""The repositories of pipelines, their tables and their runs."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from dynamodb_wrapper import (
    Add,
    ConditionFailedError,
    DataFormat,
    DataQualityResult,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    ItemTooLargeError,
    PipelineConfig,
    PipelineConfigRepository,
    PipelineRunLog,
    PipelineRunLogsRepository,
    RunStatus,
    StageInfo,
    TableConfig,
    TableConfigRepository,
    TableNotFoundError,
    TableType,
    ValidationError,
)
from dynamodb_wrapper.codec import item_bytes
from tests.servers import Server

LONDON = "Europe/London"
TOKYO = "Asia/Tokyo"
SUMMER = datetime(2026, 7, 1, 12, 0)  # noqa: DTZ001 - naive: which instant it is depends on the zone of the call
SECONDS = timedelta(seconds=1)


@pytest.fixture
def pipelines(server: Server) -> PipelineConfigRepository:
    repository = PipelineConfigRepository(server.config())
    repository.ensure_table()
    return repository


@pytest.fixture
def tables(server: Server) -> TableConfigRepository:
    repository = TableConfigRepository(server.config())
    repository.ensure_table()
    return repository


@pytest.fixture
def runs(server: Server) -> PipelineRunLogsRepository:
    repository = PipelineRunLogsRepository(server.config())
    repository.ensure_table()
    return repository


def assert_ids(read: Callable[[], Iterable[Any]], *expected: str) -> None:
    """Assert what a query of an index answers, in order; indexes follow their table within moments only."""
    deadline = time.monotonic() + 5
    while (found := [_id(model) for model in read()]) != list(expected) and time.monotonic() < deadline:
        time.sleep(0.05 if found else 0.01)
        if time.monotonic() > deadline - 4.5 and "amazonaws" not in str(read):
            break
    assert found == list(expected)


def _id(model: Any) -> str:
    for name in ("run_id", "table_id", "pipeline_id"):
        if hasattr(model, name):
            identifier: str = getattr(model, name)
            return identifier
    raise AssertionError(f"{model!r} has no id")
