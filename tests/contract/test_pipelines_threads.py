"""Many writers of one run at once, on servers that lock items as DynamoDB does (moto alone does not)."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from threading import Barrier
from typing import TypeVar

import pytest

from dynamodb_wrapper import Add, PipelineConfigRepository, PipelineRunLogsRepository, RunStatus, TableConfigRepository
from tests.servers import RunningServer, Server

R = TypeVar("R")
WRITERS = 8


@pytest.fixture(params=["ministack", "embedded"])
def locking(request: pytest.FixtureRequest) -> Iterator[Server]:
    running: RunningServer = request.getfixturevalue(f"{request.param}_server")
    server = Server(running)
    yield server
    server.clean_up()


@pytest.fixture
def runs(locking: Server) -> PipelineRunLogsRepository:
    repository = PipelineRunLogsRepository(locking.config())
    repository.ensure_table()
    repository.create_run_log("r1", "p1", "manual", stages=[{"stage_name": "first"}])
    return repository


def at_once(work: Callable[[int], R]) -> list[R]:
    """Run the work in as many threads as there are writers, all beginning together."""
    barrier = Barrier(WRITERS)

    def writer(number: int) -> R:
        barrier.wait(10)
        return work(number)

    with ThreadPoolExecutor(WRITERS) as pool:
        return list(pool.map(writer, range(WRITERS)))


def test_no_stage_is_lost(runs: PipelineRunLogsRepository) -> None:
    def work(number: int) -> None:
        for part in range(3):
            runs.add_stage_info("r1", {"stage_name": f"{number}-{part}", "status": "running"})
            runs.add_stage_info("r1", {"stage_name": f"{number}-{part}", "status": "success"})

    at_once(work)
    stages = runs.get_or_raise("r1").stages
    assert stages[0].stage_name == "first"
    assert {stage.stage_name for stage in stages[1:]} == {f"{n}-{part}" for n in range(WRITERS) for part in range(3)}
    assert all(stage.status is RunStatus.SUCCESS for stage in stages[1:])
    for number in range(WRITERS):
        mine = [stage.stage_name for stage in stages if stage.stage_name.startswith(f"{number}-")]
        assert mine == sorted(mine), "one writer's stages are in the order it added them"


def test_all_add_the_same_stage(runs: PipelineRunLogsRepository) -> None:
    at_once(lambda number: runs.add_stage_info("r1", {"stage_name": "same", "records_processed": number}))
    names = [stage.stage_name for stage in runs.get_or_raise("r1").stages]
    assert names == ["first", "same"]


def test_no_message_is_lost(runs: PipelineRunLogsRepository) -> None:
    def work(number: int) -> None:
        for part in range(30):
            runs.add_log_messages("r1", [f"{number} {part:02}"])

    at_once(work)
    messages = runs.get_log_messages("r1")
    assert sorted(map(str, messages)) == sorted(f"{n} {part:02}" for n in range(WRITERS) for part in range(30))
    for number in range(WRITERS):
        mine = [message for message in map(str, messages) if message.startswith(f"{number} ")]
        assert mine == sorted(mine), "one writer's messages are in the order it wrote them"
    run = runs.get_or_raise("r1")
    assert len(run.log_messages) + run.log_event_count == len(messages)
    assert len(run.log_messages) <= 100


def test_no_batch_of_messages_is_lost(runs: PipelineRunLogsRepository) -> None:
    at_once(lambda number: runs.add_log_messages("r1", [f"{number} {part:02}" for part in range(40)]))
    messages = list(map(str, runs.get_log_messages("r1")))
    assert sorted(messages) == sorted(f"{n} {part:02}" for n in range(WRITERS) for part in range(40))


def test_different_changes_all_hold(runs: PipelineRunLogsRepository) -> None:
    changes: list[Callable[[], object]] = [
        lambda: runs.update_run_status("r1", "running"),
        lambda: runs.add_stage_info("r1", {"stage_name": "second"}),
        lambda: runs.add_log_messages("r1", ["hello"]),
        lambda: runs.patch("r1", spark_application_id="app"),
        lambda: runs.patch("r1", total_records_processed=Add(3)),
        lambda: runs.patch("r1", total_records_processed=Add(4)),
        lambda: runs.patch("r1", changes={"tags.team": "data"}),
        lambda: runs.patch("r1", current_stage="second"),
    ]
    at_once(lambda number: changes[number]())
    run = runs.get_or_raise("r1")
    assert (run.status, len(run.stages), run.log_messages, run.spark_application_id) == ("running", 2, ["hello"], "app")
    assert (run.total_records_processed, run.tags, run.current_stage) == (7, {"team": "data"}, "second")


def test_configurations(locking: Server) -> None:
    pipelines, tables = PipelineConfigRepository(locking.config()), TableConfigRepository(locking.config())
    pipelines.ensure_table()
    tables.ensure_table()
    pipelines.create_pipeline_config("p1", "P", "s3", "s3")
    tables.create_table_config("t1", "p1", "T", "source", "csv", "s3://b/t")
    changes: list[Callable[[], object]] = [
        lambda: pipelines.update_pipeline_status("p1", False, "ann"),
        lambda: pipelines.patch("p1", cpu_cores=3),
        lambda: pipelines.patch("p1", description="x"),
        lambda: tables.update_table_statistics("t1", record_count=5),
        lambda: tables.update_table_statistics("t1", size_bytes=6),
        lambda: tables.update_table_statistics("t1", last_updated_data=datetime(2026, 1, 1, tzinfo=UTC)),
        lambda: tables.patch("t1", is_active=False),
        lambda: tables.patch("t1", description="y"),
    ]
    at_once(lambda number: changes[number]())
    pipeline, table = pipelines.get_or_raise("p1"), tables.get_or_raise("t1")
    assert (pipeline.is_active, pipeline.updated_by, pipeline.cpu_cores, pipeline.description) == (False, "ann", 3, "x")
    assert (table.record_count, table.size_bytes, table.is_active, table.description) == (5, 6, False, "y")
    assert table.last_updated_data == datetime(2026, 1, 1, tzinfo=UTC)
