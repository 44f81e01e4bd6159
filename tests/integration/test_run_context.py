"""Runs and stages that are recorded while a block lasts, on the embedded server; Spark is not needed for that."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest

from dynamodb_wrapper import ConnectionError, ItemNotFoundError, PipelineRunLogsRepository, RunStatus, ValidationError
from dynamodb_wrapper.spark.integration import SparkDynamoDBIntegration, log_pipeline_run_from_spark
from dynamodb_wrapper.spark.run_context import error_fields, recorded_run, redacted
from dynamodb_wrapper.spark.run_metrics import destination, note_task, summed
from tests.servers import Embedded
from tests.timing import until


@pytest.fixture
def integration() -> SparkDynamoDBIntegration:
    made = SparkDynamoDBIntegration(Embedded().config(f"runs{uuid4().hex[:8]}"))
    for repository in (made.pipelines, made.tables, made.runs):
        repository.ensure_table()
    made.pipelines.create_pipeline_config(
        "p1", "Pipeline 1", "csv", "parquet", source_config={"path": "s3://a", "password": "TOP"}, version="2.1.0"
    )
    return made


class Silent(PipelineRunLogsRepository):
    """Its writes fail from a moment on."""

    table_name = "pipeline_run_logs"
    is_away = False

    def update_run_status(self, *arguments: Any, **fields: Any) -> Any:
        if self.is_away:
            raise ConnectionError("nobody there")
        return super().update_run_status(*arguments, **fields)

    def add_stage_info(self, *arguments: Any) -> Any:
        if self.is_away:
            raise ConnectionError("nobody there")
        return super().add_stage_info(*arguments)


def test_a_run_that_succeeds(integration: SparkDynamoDBIntegration) -> None:
    with integration.pipeline_run_context("p1", "schedule", "ann", tags={"team": "data"}, attempt=2) as run_id:
        run = integration.runs.get_or_raise(run_id)
        assert (run.status, run.pipeline_id, run.trigger_type, run.created_by) == ("running", "p1", "schedule", "ann")
        assert (run.pipeline_version, run.attempt, run.tags) == ("2.1.0", 2, {"team": "data"})
        assert run.config_snapshot == {"source_config": {"path": "s3://a", "password": "*** hidden ***"}}
        assert run.heartbeat_at is not None
        assert run.python_version is not None
    run = integration.runs.get_or_raise(run_id)
    assert (run.status, run.error_message) == (RunStatus.SUCCESS, None)
    assert run.duration_seconds is not None
    assert run_id.startswith("p1-")


def test_of_no_pipeline(integration: SparkDynamoDBIntegration) -> None:
    with pytest.raises(ItemNotFoundError), integration.pipeline_run_context("p2"):
        pytest.fail("it does not begin")
    assert integration.runs.list_all() == []


@pytest.mark.parametrize(
    ("raised", "status", "kind"),
    [
        (ValueError("no such bucket"), "failed", "ValueError"),
        (ItemNotFoundError("t", {"p": 1}), "failed", "dynamodb_wrapper.exceptions.items.ItemNotFoundError"),
        (KeyboardInterrupt(), "cancelled", "KeyboardInterrupt"),
        (asyncio.CancelledError(), "cancelled", "asyncio.exceptions.CancelledError"),
        (SystemExit(3), "failed", "SystemExit"),
        (SystemExit(0), "success", None),
        (SystemExit(), "success", None),
    ],
)
def test_what_ends_it_goes_on(
    integration: SparkDynamoDBIntegration, raised: BaseException, status: str, kind: str | None
) -> None:
    def failing_step() -> None:
        raise raised

    with pytest.raises(type(raised)) as seen, integration.pipeline_run_context("p1") as run_id:
        failing_step()
    assert seen.value is raised
    run = integration.runs.get_or_raise(run_id)
    assert run.status == status
    if kind is None:
        assert (run.error_type, run.error_stack_trace) == (None, None)
        return
    assert run.error_type is not None
    assert run.error_type.rpartition(".")[2] == kind.rpartition(".")[2]
    assert run.error_message == (str(raised) or kind.rpartition(".")[2])
    assert "in failing_step" in str(run.error_stack_trace)


def test_an_end_that_the_block_gives_stays(integration: SparkDynamoDBIntegration) -> None:
    with integration.pipeline_run_context("p1") as run_id:
        integration.runs.update_run_status(run_id, "skipped", "nothing new")
    assert integration.runs.get_or_raise(run_id).status == RunStatus.SKIPPED


def test_a_run_that_was_taken_for_dead_and_is_not(integration: SparkDynamoDBIntegration) -> None:
    runs = integration.runs
    with integration.pipeline_run_context("p1") as run_id:
        runs.patch(run_id, heartbeat_at=datetime.now(UTC) - timedelta(hours=1))
        assert [run.run_id for run in runs.close_stale_runs()] == [run_id]
    run = runs.get_or_raise(run_id)
    assert (run.status, run.error_type, run.error_message) == (RunStatus.SUCCESS, None, None)


def test_signs_of_life_until_the_end(integration: SparkDynamoDBIntegration, caplog: pytest.LogCaptureFixture) -> None:
    runs = integration.runs
    with integration.pipeline_run_context("p1", heartbeat_seconds=0.02) as run_id:
        first = runs.get_or_raise(run_id).heartbeat_at
        until(lambda: runs.get_or_raise(run_id).heartbeat_at > first)  # type: ignore[operator]
        with caplog.at_level(logging.WARNING):
            runs.update_run_status(run_id, "cancelled")  # by an operator
            until(lambda: "gives no more signs of life" in caplog.text)
    assert runs.get_or_raise(run_id).status == RunStatus.CANCELLED


def test_a_log_that_cannot_be_written_does_not_hide_the_error(
    integration: SparkDynamoDBIntegration, caplog: pytest.LogCaptureFixture
) -> None:
    runs = Silent(integration.config)
    error = ValueError("the job's own")

    def job() -> None:
        runs.is_away = True
        raise error

    with pytest.raises(ValueError, match="the job's own"), recorded_run(runs, "p1", "manual") as run_id:
        job()
    assert error.__notes__ == ["the run log could not be written: nobody there"]
    assert "nobody there" in caplog.text
    assert runs.get_or_raise(run_id).status == RunStatus.RUNNING


def test_a_success_that_cannot_be_written_is_told(integration: SparkDynamoDBIntegration) -> None:
    runs = Silent(integration.config)
    with pytest.raises(ConnectionError) as seen, recorded_run(runs, "p1", "manual") as run_id:
        runs.is_away = True
    assert seen.value.__notes__ == [
        f"the work of run {run_id!r} is done; only its run log could not be brought to success"
    ]


def test_stages(integration: SparkDynamoDBIntegration) -> None:
    with integration.pipeline_run_context("p1") as run_id:
        with integration.stage(run_id, "extract") as stage:
            now = integration.runs.get_or_raise(run_id)
            assert (now.current_stage, [one.status for one in now.stages]) == ("extract", [RunStatus.RUNNING])
            stage.records_processed = 12
        with pytest.raises(ZeroDivisionError), integration.stage(run_id, "load"):
            _ = 1 / 0
        with integration.stage(run_id, "publish") as stage:
            stage.status = RunStatus.SKIPPED
    stages = integration.runs.get_or_raise(run_id).stages
    assert [(one.stage_name, one.status, one.records_processed) for one in stages] == [
        ("extract", "success", 12),
        ("load", "failed", 0),
        ("publish", "skipped", 0),
    ]
    assert stages[1].error_message == "division by zero"
    assert all(isinstance(one.duration_seconds, Decimal) for one in stages)


def test_a_stage_whose_log_cannot_be_written_goes_on(integration: SparkDynamoDBIntegration) -> None:
    integration.runs = Silent(integration.config)
    with recorded_run(integration.runs, "p1", "manual") as run_id:
        integration.runs.is_away = True
        with integration.stage(run_id, "extract") as stage:
            stage.records_processed = 1
        with pytest.raises(ZeroDivisionError) as seen, integration.stage(run_id, "load"):
            _ = 1 / 0
        assert seen.value.__notes__ == ["the run log could not be written: nobody there"]
        integration.runs.is_away = False


def test_errors_are_shortened_in_the_middle() -> None:
    fields = error_fields(ValueError("begin" + "x" * 1_000_000 + "end"))
    assert fields["error_message"].startswith("beginx")
    assert fields["error_message"].endswith("xend")
    assert len(fields["error_message"]) < 4_100
    assert len(fields["error_stack_trace"]) < 60_100
    assert "characters left out" in fields["error_stack_trace"]


def test_secrets_are_not_in_the_snapshot() -> None:
    settings = {
        "spark.hadoop.fs.s3a.Secret.key": "x",
        "a": {"apiToken": "x", "rows": 5},
        "path": "p",
        "sources": [{"passwd": "x", "url": "jdbc:pg://h/db?user=a&password=x"}, "s3://bucket/keys"],
        "fs.azure.account.key.a.net": "x",
        "primary_key_columns": ["id"],
    }
    assert redacted(settings) == {
        "spark.hadoop.fs.s3a.Secret.key": "*** hidden ***",
        "a": {"apiToken": "*** hidden ***", "rows": 5},
        "path": "p",
        "sources": [{"passwd": "*** hidden ***", "url": "*** hidden ***"}, "s3://bucket/keys"],
        "fs.azure.account.key.a.net": "*** hidden ***",
        "primary_key_columns": ["id"],
    }


def test_noting_a_run_step_by_step(integration: SparkDynamoDBIntegration) -> None:
    config = integration.config
    run = log_pipeline_run_from_spark("r1", "p1", "running", "schedule", config=config, created_by="ann")
    assert (run.status, run.trigger_type, run.created_by) == (RunStatus.RUNNING, "schedule", "ann")
    run = log_pipeline_run_from_spark("r1", "p1", "failed", config=config, error_message="boom")
    assert (run.status, run.trigger_type, run.error_message) == (RunStatus.FAILED, "schedule", "boom")
    assert run.duration_seconds is not None


def report(number: int, attempt: int, outcome: str = "ok", **counts: Any) -> dict[str, Any]:
    known = dict.fromkeys(("rows_read", "rows_written", "rows_rejected", "rows_retried"), 0)
    more = dict.fromkeys(("bytes", "requests", "attempts", "throttles"), 0)
    return {
        "table_name": "flights",
        "operation": "write",
        "job_id": "j1",
        "partition": number,
        "attempt": attempt,
        "outcome": outcome,
        "counts": {**known, **more, "capacity": 0.0, **counts},
    }


def test_rows_are_those_of_the_last_attempt_and_costs_of_all() -> None:
    (sums,) = summed(
        [
            report(0, 5, rows_written=10, capacity=10.5, requests=2),
            report(1, 6, "failed", rows_written=4, rows_rejected=1, capacity=4.0, requests=1, throttles=3),
            report(1, 9, rows_written=11, capacity=11.0, requests=2),
        ]
    )
    assert (sums.table_name, sums.operation, sums.tasks, sums.failed_attempts) == ("flights", "write", 2, 1)
    assert (sums.rows_written, sums.rows_rejected) == (21, 0)
    assert (sums.capacity, sums.requests, sums.throttles) == (Decimal("25.5"), 5, 3)


def test_an_attempt_that_failed_later_does_not_undo_one_that_did_not() -> None:
    (sums,) = summed([report(0, 3, rows_written=1000), report(0, 4, "failed", rows_written=10)])
    assert (sums.rows_written, sums.tasks, sums.failed_attempts) == (1000, 1, 1)


def test_a_frame_that_is_used_twice_is_read_twice() -> None:
    reads = [{**report(0, number, rows_read=100, capacity=5.0), "operation": "read"} for number in (1, 2)]
    (sums,) = summed(reads)
    assert (sums.rows_read, sums.capacity, sums.tasks) == (200, Decimal("10.0"), 1)


class UnspeakableError(Exception):
    """As if its own message were wrong."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


@pytest.mark.parametrize("error", [UnspeakableError(), FileNotFoundError("caf\udce9.csv"), KeyError("\x00")])
def test_errors_that_are_hard_to_tell(integration: SparkDynamoDBIntegration, error: Exception) -> None:
    with pytest.raises(type(error)) as seen, integration.pipeline_run_context("p1") as run_id:
        raise error
    assert seen.value is error
    run = integration.runs.get_or_raise(run_id)
    assert run.status == RunStatus.FAILED
    assert run.error_message
    assert run.error_stack_trace


def test_a_run_that_is_nearly_full_still_ends(integration: SparkDynamoDBIntegration) -> None:
    def job(run_id: str) -> None:
        integration.runs.patch(run_id, config_snapshot={"much": "x" * 380_000})
        raise ValueError("boom " * 10_000)

    with pytest.raises(ValueError, match="boom"), integration.pipeline_run_context("p1") as run_id:
        job(run_id)
    run = integration.runs.get_or_raise(run_id)
    assert (run.status, run.error_type, run.error_stack_trace) == (RunStatus.FAILED, "ValueError", None)
    assert str(run.error_message).startswith("boom boom")


def test_sums_that_cannot_be_made_do_not_hide_the_error(
    integration: SparkDynamoDBIntegration, caplog: pytest.LogCaptureFixture
) -> None:
    def at_end(run_id: str) -> dict[str, Any]:
        raise KeyError("attempt")

    with pytest.raises(ZeroDivisionError), recorded_run(integration.runs, "p1", "manual", at_end=at_end) as run_id:
        _ = 1 / 0
    assert integration.runs.get_or_raise(run_id).status == RunStatus.FAILED
    assert "could not be summed up" in caplog.text


@pytest.mark.parametrize("seconds", [0, -1, "30", float("nan")])
def test_heartbeats_that_are_none(integration: SparkDynamoDBIntegration, seconds: Any) -> None:
    with (
        pytest.raises(ValidationError, match="heartbeat_seconds"),
        integration.pipeline_run_context("p1", heartbeat_seconds=seconds),
    ):
        pytest.fail("it does not begin")
    assert integration.runs.list_all() == []


def test_a_status_that_is_none_creates_no_run(integration: SparkDynamoDBIntegration) -> None:
    with pytest.raises(ValidationError, match="succes"):
        log_pipeline_run_from_spark("r1", "p1", "succes", config=integration.config)
    assert not integration.runs.exists("r1")


@dataclass(frozen=True)
class Report:
    """As far as it is looked at."""

    run_id: str
    key: str
    partition: int
    values: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        return self.values


def test_what_tasks_report_is_in_the_run_when_it_ends(integration: SparkDynamoDBIntegration) -> None:
    with integration.pipeline_run_context("p1") as run_id:
        to = destination(integration.runs.events.table_name, run_id)
        for number in (0, 1, 1):  # the last one is written twice
            values = report(number, number, rows_written=5, rows_rejected=number, capacity=2.5)
            note_task(Report(to, f"j1-write-{number}", number, values), integration.config)  # type: ignore[arg-type]
    run = integration.runs.get_or_raise(run_id)
    assert [(sums.rows_written, sums.capacity) for sums in run.table_metrics] == [(10, Decimal("5.0"))]
    assert run.total_records_failed == 1
    assert integration.runs.get_log_messages(run_id) == []
