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
    ExpressionError,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    ItemTooLargeError,
    PipelineConfig,
    PipelineConfigRepository,
    PipelineRunEvent,
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
    """Assert what a query of an index answers, in order; on AWS an index follows its table within moments only."""
    deadline = time.monotonic() + 3
    while (found := [_id(model) for model in read()]) != list(expected) and time.monotonic() < deadline:
        time.sleep(0.1)
    assert found == list(expected)


def _id(model: PipelineConfig | TableConfig | PipelineRunLog) -> str:
    if isinstance(model, PipelineRunLog):
        return model.run_id
    return model.table_id if isinstance(model, TableConfig) else model.pipeline_id


def new_pipeline(pipelines: PipelineConfigRepository, pipeline_id: str, **fields: Any) -> PipelineConfig:
    return pipelines.create_pipeline_config(pipeline_id, "Orders", "s3", "dynamodb", **fields)


def new_table(tables: TableConfigRepository, table_id: str, pipeline_id: str = "p1", **fields: Any) -> TableConfig:
    options = {"table_type": "source", "data_format": "parquet", **fields}
    return tables.create_table_config(table_id, pipeline_id, "orders", location="s3://bucket/orders", **options)


def new_run(runs: PipelineRunLogsRepository, run_id: str, pipeline_id: str = "p1", **fields: Any) -> PipelineRunLog:
    return runs.create_run_log(run_id, pipeline_id, "manual", **fields)


def ago(hours: float) -> datetime:
    return datetime.now(UTC) - timedelta(hours=hours)


class TestTables:
    def test_names_and_keys(
        self, pipelines: PipelineConfigRepository, tables: TableConfigRepository, runs: PipelineRunLogsRepository
    ) -> None:
        names = [repository.table_name for repository in (pipelines, tables, runs, runs.events)]
        bases = ["pipeline_config", "table_config", "pipeline_run_logs", "pipeline_run_events"]
        assert names == [pipelines.config.get_table_name(base) for base in bases]
        assert [repository.primary_key for repository in (pipelines, tables, runs, runs.events)] == [
            "pipeline_id",
            "table_id",
            "run_id",
            "run_id",
        ]

    def test_of_runs_are_made_and_deleted_together(self, server: Server) -> None:
        runs = PipelineRunLogsRepository(server.config())
        runs.create_table()
        assert (runs.table_status(), runs.events.table_status()) == ("ACTIVE", "ACTIVE")
        assert runs.ensure_table() is False
        runs.events.delete_table()
        assert runs.ensure_table() is True
        assert runs.delete_table() is True
        assert (runs.table_status(), runs.events.table_status()) == (None, None)
        assert runs.delete_table() is False


class TestPipelineConfigs:
    def test_create_and_get(self, pipelines: PipelineConfigRepository) -> None:
        created = new_pipeline(
            pipelines,
            "p1",
            created_by="ann",
            environment="staging",
            memory_gb=Decimal("7.5"),
            spark_config={"spark.executor.cores": 2},
            tags={"team": "data"},
        )
        assert pipelines.get_by_pipeline_id("p1") == created
        assert (created.created_by, created.environment, created.memory_gb) == ("ann", "staging", Decimal("7.5"))
        assert created.is_active is True
        assert created.created_at == created.updated_at
        assert pipelines.get_by_pipeline_id("p2") is None

    def test_create_never_overwrites(self, pipelines: PipelineConfigRepository) -> None:
        first = new_pipeline(pipelines, "p1")
        with pytest.raises(ItemAlreadyExistsError) as caught:
            new_pipeline(pipelines, "p1", description="other")
        assert caught.value.item == first

    def test_create_refuses_unknown_fields_and_wrong_values_by_name(self, pipelines: PipelineConfigRepository) -> None:
        with pytest.raises(ValidationError, match="desciption") as unknown:
            new_pipeline(pipelines, "p1", desciption="typo")
        assert unknown.value.errors.keys() == {"desciption"}
        with pytest.raises(ValidationError, match="cpu_cores"):
            new_pipeline(pipelines, "p1", cpu_cores=-1)
        with pytest.raises(ValidationError, match="pipeline_id"):
            new_pipeline(pipelines, "")
        assert pipelines.list_all() == []

    def test_the_active_index_follows_every_write(self, pipelines: PipelineConfigRepository) -> None:
        one = new_pipeline(pipelines, "p1")
        new_pipeline(pipelines, "p2", is_active=False)
        new_pipeline(pipelines, "p3")
        assert_ids(pipelines.get_active_pipelines, "p1", "p3")
        pipelines.update_pipeline_status("p3", False)
        assert_ids(pipelines.get_active_pipelines, "p1")
        pipelines.update_pipeline_status("p2", True)
        assert_ids(pipelines.get_active_pipelines, "p1", "p2")
        one.is_active = False
        pipelines.update(one)
        assert_ids(pipelines.get_active_pipelines, "p2")
        pipelines.patch("p1", is_active=True)
        assert_ids(pipelines.get_active_pipelines, "p1", "p2")
        pipelines.patch("p2", is_active=False)
        assert_ids(pipelines.get_active_pipelines, "p1")
        one.is_active = True
        pipelines.put(one)
        pipelines.delete("p2")
        assert_ids(pipelines.get_active_pipelines, "p1")
        assert "active" not in PipelineConfig.model_fields

    def test_update_status_touches_nothing_else(self, pipelines: PipelineConfigRepository) -> None:
        created = new_pipeline(pipelines, "p1", created_by="ann", description="daily")
        changed = pipelines.update_pipeline_status("p1", False, "bob")
        assert changed.updated_at > created.updated_at
        assert changed == created.model_copy(
            update={"is_active": False, "updated_by": "bob", "updated_at": changed.updated_at}
        )
        again = pipelines.update_pipeline_status("p1", is_active=True)
        assert (again.is_active, again.updated_by) == (True, "bob")
        assert pipelines.get_by_pipeline_id("p1") == again

    def test_update_status_of_nothing(self, pipelines: PipelineConfigRepository) -> None:
        with pytest.raises(ItemNotFoundError):
            pipelines.update_pipeline_status("p1", False)
        assert pipelines.exists("p1") is False

    def test_by_environment(self, pipelines: PipelineConfigRepository) -> None:
        for pipeline_id, environment in (("p3", "dev"), ("p1", "dev"), ("p2", "prod")):
            new_pipeline(pipelines, pipeline_id, environment=environment, is_active=pipeline_id != "p3")
        assert_ids(lambda: pipelines.get_pipelines_by_environment("dev"), "p1", "p3")
        assert_ids(lambda: pipelines.get_pipelines_by_environment("prod"), "p2")
        assert_ids(lambda: pipelines.get_pipelines_by_environment("staging"))

    def test_zones(self, pipelines: PipelineConfigRepository) -> None:
        created = new_pipeline(pipelines, "p1", created_at=SUMMER, current_timezone=LONDON)
        assert created.created_at == SUMMER.replace(tzinfo=ZoneInfo(LONDON)) == datetime(2026, 7, 1, 11, tzinfo=UTC)
        assert_ids(pipelines.get_active_pipelines, "p1")
        shown = [
            pipelines.get_by_pipeline_id("p1", TOKYO),
            *pipelines.get_active_pipelines(TOKYO),
            *pipelines.get_pipelines_by_environment("dev", TOKYO),
            pipelines.update_pipeline_status("p1", True, current_timezone=TOKYO),
        ]
        assert [model and model.created_at.isoformat() for model in shown] == ["2026-07-01T20:00:00+09:00"] * 4
        stored = pipelines.get_by_pipeline_id("p1")
        assert stored is not None
        assert stored.created_at.isoformat() == "2026-07-01T11:00:00+00:00"


class TestTableConfigs:
    def test_create_and_get(self, tables: TableConfigRepository) -> None:
        created = new_table(
            tables, "t1", created_by="ann", data_format=DataFormat.DELTA, primary_key_columns=["id"], retention_days=30
        )
        assert tables.get_by_table_id("t1") == created
        assert (created.table_name, created.table_type, created.data_format) == ("orders", "source", "delta")
        assert tables.get_by_table_id("t2") is None

    def test_create_refuses(self, tables: TableConfigRepository) -> None:
        with pytest.raises(ValidationError, match="retention_day:"):
            new_table(tables, "t1", retention_day=3)
        with pytest.raises(ValidationError, match="table_type"):
            new_table(tables, "t1", table_type="sink")
        new_table(tables, "t1")
        with pytest.raises(ItemAlreadyExistsError):
            new_table(tables, "t1")

    def test_by_pipeline_and_active(self, tables: TableConfigRepository) -> None:
        two = new_table(tables, "t2")
        new_table(tables, "t1")
        new_table(tables, "t3", is_active=False)
        new_table(tables, "t4", pipeline_id="p2")
        assert_ids(lambda: tables.get_tables_by_pipeline("p1"), "t1", "t2", "t3")
        assert_ids(lambda: sorted(tables.get_active_tables_by_pipeline("p1"), key=_id), "t1", "t2")
        tables.patch("t1", is_active=False)
        assert_ids(lambda: tables.get_active_tables_by_pipeline("p1"), "t2")
        tables.patch("t3", is_active=True)
        two.is_active = False
        tables.update(two)
        assert_ids(lambda: tables.get_active_tables_by_pipeline("p1"), "t3")
        tables.patch("t3", pipeline_id="p2")
        assert_ids(lambda: tables.get_active_tables_by_pipeline("p1"))
        assert_ids(lambda: sorted(tables.get_active_tables_by_pipeline("p2"), key=_id), "t3", "t4")

    def test_by_type(self, tables: TableConfigRepository) -> None:
        new_table(tables, "in1")
        new_table(tables, "in2", pipeline_id="p2")
        new_table(tables, "out1", table_type=TableType.DESTINATION)
        new_table(tables, "look", table_type="lookup")
        assert_ids(lambda: tables.get_tables_by_type("source"), "in1", "in2")
        assert_ids(lambda: tables.get_tables_by_type(TableType.SOURCE, "p2"), "in2")
        assert_ids(lambda: tables.get_tables_by_type("lookup", "p2"))
        assert_ids(lambda: tables.get_source_tables("p1"), "in1")
        assert_ids(lambda: tables.get_destination_tables("p1"), "out1")
        assert_ids(lambda: tables.get_destination_tables("p2"))
        with pytest.raises(ValidationError, match="no TableType"):
            tables.get_tables_by_type("sources")

    def test_statistics(self, tables: TableConfigRepository) -> None:
        created = new_table(tables, "t1", size_bytes=5)
        changed = tables.update_table_statistics(
            "t1", record_count=0, last_updated_data=SUMMER, current_timezone=LONDON
        )
        assert (changed.record_count, changed.size_bytes) == (0, 5)
        assert changed.last_updated_data == datetime(2026, 7, 1, 11, tzinfo=UTC)
        assert changed.updated_at > created.updated_at
        assert tables.get_by_table_id("t1") == changed
        assert tables.update_table_statistics("t1", 7, 8).last_updated_data == changed.last_updated_data

    def test_statistics_refused(self, tables: TableConfigRepository) -> None:
        with pytest.raises(ItemNotFoundError):
            tables.update_table_statistics("t1", record_count=1)
        new_table(tables, "t1")
        with pytest.raises(ValidationError, match="record_count"):
            tables.update_table_statistics("t1", record_count=-1)
        with pytest.raises(ValidationError, match="at least one"):
            tables.update_table_statistics("t1")

    def test_zones(self, tables: TableConfigRepository) -> None:
        created = new_table(tables, "t1", last_updated_data=SUMMER, current_timezone=TOKYO)
        assert str(created.last_updated_data) == "2026-07-01 12:00:00+09:00"
        assert_ids(tables.by_pipeline("p1").all, "t1")
        shown = [
            tables.get_by_table_id("t1", LONDON),
            *tables.get_tables_by_pipeline("p1", LONDON),
            *tables.get_active_tables_by_pipeline("p1", LONDON),
            *tables.get_tables_by_type("source", None, LONDON),
            *tables.get_source_tables("p1", LONDON),
            tables.update_table_statistics("t1", 1, current_timezone=LONDON),
        ]
        assert [str(model and model.last_updated_data) for model in shown] == ["2026-07-01 04:00:00+01:00"] * 6


class TestRuns:
    def test_whole_life(self, runs: PipelineRunLogsRepository) -> None:
        created = new_run(runs, "r1", created_by="ann", tags={"team": "data"})
        assert (created.status, created.created_by, created.end_time) == (RunStatus.PENDING, "ann", None)
        assert runs.get_by_run_id("r1") == created
        running = runs.update_run_status("r1", RunStatus.RUNNING)
        assert (running.end_time, running.duration_seconds) == (None, None)
        assert_ids(runs.get_running_pipelines, "r1")
        runs.add_stage_info("r1", StageInfo(stage_name="extract", status=RunStatus.RUNNING))
        runs.add_stage_info("r1", {"stage_name": "extract", "status": "success", "records_processed": 10})
        runs.patch("r1", total_records_processed=Add(10), current_stage="load", heartbeat_at=datetime.now(UTC))
        runs.add_log_messages("r1", ["started", {"level": "info", "records": 10}])
        runs.patch("r1", data_quality_results=[DataQualityResult(check_name="count", passed=True, actual_value=10)])
        ended = runs.update_run_status("r1", "success")
        assert ended.end_time is not None
        assert ended.duration_seconds is not None
        assert ended.duration_seconds == Decimal((ended.end_time - ended.start_time) // (SECONDS / 10**6)) / 10**6
        assert ended.start_time == created.start_time
        assert ended.stages == [StageInfo(stage_name="extract", status=RunStatus.SUCCESS, records_processed=10)]
        assert (ended.total_records_processed, ended.current_stage) == (10, "load")
        assert ended.log_messages == ["started", {"level": "info", "records": 10}]
        assert runs.get_by_run_id("r1") == ended
        assert_ids(runs.get_running_pipelines)
        assert_ids(lambda: runs.get_runs_by_status("success"), "r1")

    def test_create_refuses(self, runs: PipelineRunLogsRepository) -> None:
        with pytest.raises(ValidationError, match="trigger:"):
            new_run(runs, "r1", trigger="x")
        assert runs.exists("r1") is False
        first = new_run(runs, "r1")
        with pytest.raises(ItemAlreadyExistsError) as caught:
            new_run(runs, "r1")
        assert caught.value.item == first

    def test_by_pipeline_newest_first(self, runs: PipelineRunLogsRepository) -> None:
        for number, hours in enumerate((3, 1, 2, 400)):
            new_run(runs, f"r{number}", start_time=ago(hours))
        new_run(runs, "other", "p2")
        assert_ids(lambda: runs.get_runs_by_pipeline("p1"), "r1", "r2", "r0", "r3")
        assert_ids(lambda: runs.get_runs_by_pipeline("p1", 2), "r1", "r2")
        assert_ids(lambda: runs.get_runs_by_pipeline("p1", limit=9), "r1", "r2", "r0", "r3")
        assert_ids(lambda: runs.get_runs_by_pipeline("p3"))
        with pytest.raises(ValidationError, match="limit"):
            runs.get_runs_by_pipeline("p1", limit=0)

    def test_by_status_newest_first(self, runs: PipelineRunLogsRepository) -> None:
        for number, (pipeline_id, hours) in enumerate((("p1", 3), ("p2", 1), ("p1", 2))):
            new_run(runs, f"r{number}", pipeline_id, start_time=ago(hours), status="running")
        new_run(runs, "r3")
        assert_ids(lambda: runs.get_runs_by_status(RunStatus.RUNNING), "r1", "r2", "r0")
        assert_ids(lambda: runs.get_runs_by_status("running", "p1"), "r2", "r0")
        assert_ids(lambda: runs.get_runs_by_status("pending", pipeline_id="p1"), "r3")
        assert_ids(runs.get_running_pipelines, "r1", "r2", "r0")
        runs.update_run_status("r2", RunStatus.CANCELLED)
        assert_ids(lambda: runs.get_runs_by_status("running", "p1"), "r0")
        with pytest.raises(ValidationError, match="no RunStatus"):
            runs.get_runs_by_status("runing")

    def test_failed_within_hours(self, runs: PipelineRunLogsRepository) -> None:
        for number, (pipeline_id, hours) in enumerate((("p1", 23), ("p2", 1), ("p1", 25), ("p1", 2))):
            new_run(runs, f"r{number}", pipeline_id, start_time=ago(hours), status="failed")
        new_run(runs, "fine", start_time=ago(1), status="success")
        assert_ids(runs.get_failed_runs, "r1", "r3", "r0")
        assert_ids(lambda: runs.get_failed_runs("p1"), "r3", "r0")
        assert_ids(lambda: runs.get_failed_runs("p1", hours=3), "r3")
        assert_ids(lambda: runs.get_failed_runs(hours=100), "r1", "r3", "r0", "r2")
        assert_ids(lambda: runs.get_failed_runs(hours=0))

    @pytest.mark.parametrize("hours", [-1, float("nan"), float("inf"), 10**12, "24", None])
    def test_hours_that_are_none(self, runs: PipelineRunLogsRepository, hours: Any) -> None:
        with pytest.raises(ValidationError, match="hours"):
            runs.get_failed_runs(hours=hours)
        with pytest.raises(ValidationError, match="hours"):
            runs.get_recent_runs(hours=hours)

    def test_recent(self, runs: PipelineRunLogsRepository) -> None:
        for hours, (run_id, status) in enumerate(
            (("a", "success"), ("b", "failed"), ("c", "skipped"), ("d", "success"))
        ):
            new_run(runs, run_id, "p1" if run_id < "c" else "p2", start_time=ago(hours), status=status)
        new_run(runs, "old", start_time=ago(30))
        assert_ids(runs.get_recent_runs, "a", "b", "c", "d")
        assert_ids(lambda: runs.get_recent_runs(limit=3), "a", "b", "c")
        assert_ids(lambda: runs.get_recent_runs("p1"), "a", "b")
        assert_ids(lambda: runs.get_recent_runs("p1", limit=1), "a")
        assert_ids(lambda: runs.get_recent_runs(hours=2.5), "a", "b", "c")
        assert_ids(lambda: runs.get_recent_runs(hours=48), "a", "b", "c", "d", "old")
        with pytest.raises(ValidationError, match="limit"):
            runs.get_recent_runs(limit=0)

    def test_zones(self, runs: PipelineRunLogsRepository) -> None:
        stage = {"stage_name": "s", "start_time": SUMMER}
        created = new_run(runs, "r1", start_time=SUMMER, stages=[stage], status="failed", current_timezone=LONDON)
        assert created.start_time.isoformat() == "2026-07-01T12:00:00+01:00"
        assert str(created.stages[0].start_time) == "2026-07-01 12:00:00+01:00"
        assert_ids(lambda: runs.get_runs_by_pipeline("p1"), "r1")
        long = 24 * 365 * 50
        shown = [
            runs.get_by_run_id("r1", TOKYO),
            *runs.get_runs_by_pipeline("p1", None, TOKYO),
            *runs.get_runs_by_status("failed", None, TOKYO),
            *runs.get_failed_runs(None, long, TOKYO),
            *runs.get_recent_runs(None, long, TOKYO),
            runs.update_run_status("r1", "running", current_timezone=TOKYO),
            *runs.get_running_pipelines(TOKYO),
        ]
        assert [str(run and run.start_time) for run in shown] == ["2026-07-01 20:00:00+09:00"] * 7
        ended = runs.update_run_status("r1", "failed", end_time=SUMMER + 90 * SECONDS, current_timezone=LONDON)
        assert ended.end_time == datetime(2026, 7, 1, 11, 1, 30, tzinfo=UTC)
        assert ended.duration_seconds == 90


class TestStatus:
    @pytest.mark.parametrize("status", [status for status in RunStatus if status.is_terminal])
    def test_every_end_state_sets_the_end(self, runs: PipelineRunLogsRepository, status: RunStatus) -> None:
        started = new_run(runs, "r1", start_time=ago(1)).start_time
        ended = runs.update_run_status("r1", status, "why", started + timedelta(seconds=5, microseconds=7))
        assert (ended.status, ended.error_message) == (status, "why")
        assert ended.duration_seconds == Decimal("5.000007")
        assert_ids(lambda: runs.get_runs_by_status(status), "r1")

    def test_a_run_that_goes_on_has_no_end(self, runs: PipelineRunLogsRepository) -> None:
        new_run(runs, "r1")
        runs.update_run_status("r1", "failed", error_message="boom")
        again = runs.update_run_status("r1", "running")
        assert (again.end_time, again.duration_seconds, again.error_message) == (None, None, "boom")
        with pytest.raises(ValidationError, match="end_time"):
            runs.update_run_status("r1", "running", end_time=ago(0))

    def test_an_end_before_the_start_takes_no_time(self, runs: PipelineRunLogsRepository) -> None:
        started = new_run(runs, "r1").start_time
        assert runs.update_run_status("r1", "failed", end_time=started - SECONDS).duration_seconds == 0

    def test_refused(self, runs: PipelineRunLogsRepository) -> None:
        for status in ("success", "running"):
            with pytest.raises(ItemNotFoundError):
                runs.update_run_status("r1", status)
        assert runs.exists("r1") is False
        new_run(runs, "r1")
        with pytest.raises(ValidationError, match=r"'done' is no RunStatus"):
            runs.update_run_status("r1", "done")

    def test_a_run_without_a_start_has_no_duration(self, runs: PipelineRunLogsRepository) -> None:
        runs.patch("r1", upsert=True, pipeline_id="p1", status="running", trigger_type="manual")
        ended = runs.update_run_status("r1", "success")
        assert ended.end_time is not None
        assert ended.duration_seconds is None

    def test_other_fields_go_with_it(self, runs: PipelineRunLogsRepository) -> None:
        new_run(runs, "r1")
        failed = runs.update_run_status("r1", "failed", "boom", error_type="ValueError", error_stack_trace="line 1")
        assert (failed.error_message, failed.error_type, failed.error_stack_trace) == ("boom", "ValueError", "line 1")
        assert failed.duration_seconds is not None
        assert runs.update_run_status("r1", "running", attempt=2).attempt == 2
        with pytest.raises(ExpressionError, match="atempt"):
            runs.update_run_status("r1", "running", atempt=3)


class TestSignsOfLife:
    def test_only_a_run_that_goes_on_gives_them(self, runs: PipelineRunLogsRepository) -> None:
        new_run(runs, "r1")
        before = datetime.now(UTC)
        alive = runs.note_heartbeat("r1")
        assert alive.heartbeat_at is not None
        assert before <= alive.heartbeat_at
        runs.update_run_status("r1", "cancelled")
        with pytest.raises(ConditionFailedError, match="has ended") as ended:
            runs.note_heartbeat("r1")
        assert ended.value.item.status == RunStatus.CANCELLED
        with pytest.raises(ItemNotFoundError):
            runs.note_heartbeat("r2")

    def test_stale_runs_are_found_and_closed_once(self, runs: PipelineRunLogsRepository) -> None:
        silent = ago(1)
        new_run(runs, "pending", heartbeat_at=silent)
        new_run(runs, "running", status="running", heartbeat_at=silent, start_time=ago(2))
        new_run(runs, "other", pipeline_id="p2", status="running", heartbeat_at=silent)
        new_run(runs, "alive", status="running", heartbeat_at=ago(0))
        new_run(runs, "without", status="running")
        new_run(runs, "over", status="failed", heartbeat_at=silent)
        assert_ids(lambda: sorted(runs.get_stale_runs(), key=lambda run: run.run_id), "other", "pending", "running")
        assert_ids(lambda: runs.get_stale_runs(pipeline_id="p2"), "other")
        assert runs.get_stale_runs(silent_seconds=2 * 3600) == []
        closed = {run.run_id: run for run in runs.close_stale_runs(pipeline_id="p1")}
        assert closed.keys() == {"pending", "running"}
        assert closed["running"].status == RunStatus.FAILED
        assert closed["running"].error_type == "HeartbeatLost"
        assert closed["running"].error_message == (
            f"no sign of life since {silent.isoformat(timespec='seconds')}: its process is gone"
        )
        assert closed["running"].end_time == silent
        assert closed["running"].duration_seconds == pytest.approx(3600, abs=1)
        assert runs.close_stale_runs(pipeline_id="p1") == []
        assert runs.get_or_raise("alive").status == RunStatus.RUNNING

    @pytest.mark.parametrize("seconds", [0, -1, "x", float("nan"), float("inf")])
    def test_seconds_that_are_none(self, runs: PipelineRunLogsRepository, seconds: Any) -> None:
        with pytest.raises(ValidationError, match="silent_seconds"):
            runs.get_stale_runs(seconds)


class TestDataQuality:
    def test_one_that_does_not_pass_is_remembered(self, runs: PipelineRunLogsRepository) -> None:
        new_run(runs, "r1")
        good = runs.add_data_quality_results("r1", [{"check_name": "count", "passed": True, "actual_value": 10}])
        assert good.data_quality_passed
        runs.add_data_quality_results("r1", [DataQualityResult(check_name="nulls", passed=False, actual_value=3)])
        last = runs.add_data_quality_results("r1", [DataQualityResult(check_name="range", passed=True)])
        assert [result.check_name for result in last.data_quality_results] == ["count", "nulls", "range"]
        assert not last.data_quality_passed

    def test_refused(self, runs: PipelineRunLogsRepository) -> None:
        new_run(runs, "r1")
        for results in ([], [{"check_name": "count"}], [{"check_name": "count", "passed": True, "extra": 1}]):
            with pytest.raises(ValidationError):
                runs.add_data_quality_results("r1", results)
        with pytest.raises(ItemNotFoundError):
            runs.add_data_quality_results("r2", [{"check_name": "count", "passed": True}])


class TestStages:
    def test_keep_their_order_and_a_replaced_one_its_place(self, runs: PipelineRunLogsRepository) -> None:
        new_run(runs, "r1")
        names = ["zulu", "alpha", "mike", "a.b-c d", "10", "9"]
        for name in names:
            runs.add_stage_info("r1", StageInfo(stage_name=name, start_time=SUMMER, error_message="x"))
        assert [stage.stage_name for stage in runs.get_or_raise("r1").stages] == names
        run = runs.add_stage_info("r1", {"stage_name": "alpha", "status": "failed", "records_processed": 3})
        assert [stage.stage_name for stage in run.stages] == names
        assert run.stages[1] == StageInfo(stage_name="alpha", status=RunStatus.FAILED, records_processed=3)
        assert runs.get_by_run_id("r1") == run

    def test_come_after_those_of_a_whole_write(self, runs: PipelineRunLogsRepository) -> None:
        run = new_run(runs, "r1", stages=[{"stage_name": "b"}, {"stage_name": "a"}])
        assert [stage.stage_name for stage in run.stages] == ["b", "a"]
        run.stages.reverse()
        runs.update(run)
        runs.add_stage_info("r1", {"stage_name": "0"})
        runs.patch("r1", changes={"stages.b.status": "skipped"})
        found = runs.get_or_raise("r1")
        assert [(stage.stage_name, stage.status.value) for stage in found.stages] == [
            ("a", "pending"),
            ("b", "skipped"),
            ("0", "pending"),
        ]

    def test_where_there_is_no_attribute_yet(self, runs: PipelineRunLogsRepository) -> None:
        runs.patch("r1", upsert=True, pipeline_id="p1", status="running", trigger_type="manual")
        runs.add_stage_info("r1", {"stage_name": "b"})
        assert [stage.stage_name for stage in runs.add_stage_info("r1", {"stage_name": "a"}).stages] == ["b", "a"]

    def test_refused(self, runs: PipelineRunLogsRepository) -> None:
        with pytest.raises(ItemNotFoundError):
            runs.add_stage_info("r1", StageInfo(stage_name="a"))
        assert runs.exists("r1") is False
        new_run(runs, "r1")
        for stage in ({"status": "failed"}, {"stage_name": ""}, {"stage_name": "a", "stat": "x"}, "a"):
            with pytest.raises(ValidationError):
                runs.add_stage_info("r1", stage)  # type: ignore[arg-type]
        assert runs.get_or_raise("r1").stages == []


class TestLogMessages:
    def test_beyond_the_bound_go_to_the_events(self, server: Server, runs: PipelineRunLogsRepository) -> None:
        new_run(runs, "r1")
        messages = [f"message {number:04} {'x' * 100}" for number in range(5000)]
        for begin in range(0, 150, 30):
            runs.add_log_messages("r1", messages[begin : begin + 30])
        run = runs.add_log_messages("r1", messages[150:])
        assert run.log_messages == messages[:100]
        assert run.log_event_count == 4900
        assert runs.get_log_messages("r1") == messages
        item = server.client.get_item(TableName=runs.table_name, Key={"run_id": {"S": "r1"}})["Item"]
        assert item_bytes(dict(item)) < 50_000  # type: ignore[arg-type]
        sequences = [event.sequence for event in runs.events.query("r1")]
        assert sequences == list(range(4901))

    def test_one_by_one(self, runs: PipelineRunLogsRepository) -> None:
        new_run(runs, "r1", log_messages=["first"])
        for number in range(102):
            runs.add_log_messages("r1", [str(number)])
        assert runs.get_or_raise("r1").log_event_count == 3
        assert runs.get_log_messages("r1") == ["first", *map(str, range(102))]

    def test_the_first_long_one_and_all_after_it_are_events(self, runs: PipelineRunLogsRepository) -> None:
        new_run(runs, "r1")
        long = {"level": "error", "trace": "x" * 300_000}
        run = runs.add_log_messages("r1", ["a", long, "b"])
        assert (run.log_messages, run.log_event_count) == (["a"], 2)
        run = runs.add_log_messages("r1", ["c"])
        assert (run.log_messages, run.log_event_count) == (["a"], 3)
        assert runs.get_log_messages("r1") == ["a", long, "b", "c"]

    def test_given_on_creation(self, runs: PipelineRunLogsRepository) -> None:
        messages = [f"{number} {'x' * 500}" for number in range(1000)]
        created = new_run(runs, "r1", log_messages=messages)
        assert created.log_messages == messages[:100]
        assert created.log_event_count == 900
        assert runs.get_log_messages("r1") == messages

    def test_of_runs_are_kept_apart(self, runs: PipelineRunLogsRepository) -> None:
        for run_id in ("r1", "r2", "r3"):
            new_run(runs, run_id)
        for run_id in ("r1", "r2"):
            runs.add_log_messages(run_id, [f"{run_id} {number}" for number in range(110)])
        assert runs.get_log_messages("r2") == [f"r2 {number}" for number in range(110)]
        assert runs.get_log_messages("r3") == []

    def test_numbers_survive_a_writer_with_an_old_run(self, runs: PipelineRunLogsRepository) -> None:
        old = new_run(runs, "r1")
        runs.add_log_messages("r1", [str(number) for number in range(103)])
        runs.update(old)  # takes the run's own messages with it: that is what a whole write does
        runs.add_log_messages("r1", [str(number) for number in range(200, 302)])
        events = [event.message for event in runs.events.query("r1") if event.sequence]
        assert events == ["100", "101", "102", "300", "301"]

    def test_none_is_no_change(self, runs: PipelineRunLogsRepository) -> None:
        new_run(runs, "r1", log_messages=["a"])
        assert runs.add_log_messages("r1", []).log_messages == ["a"]

    def test_refused(self, runs: PipelineRunLogsRepository) -> None:
        for messages in (["a"], ["x" * 2000], []):
            with pytest.raises(ItemNotFoundError):
                runs.add_log_messages("r1", messages)
        with pytest.raises(ItemNotFoundError):
            runs.get_log_messages("r1")
        assert list(runs.events.scan()) == []
        new_run(runs, "r1")
        with pytest.raises(ValidationError, match="list"):
            runs.add_log_messages("r1", "abc")
        with pytest.raises(ValidationError, match="message"):
            runs.add_log_messages("r1", ["a", 3])  # type: ignore[list-item]
        with pytest.raises(ItemTooLargeError):
            runs.add_log_messages("r1", ["a", "x" * 500_000])
        assert runs.get_log_messages("r1") == []

    def test_without_the_table_of_events(self, runs: PipelineRunLogsRepository) -> None:
        new_run(runs, "r1")
        runs.events.delete_table()
        assert runs.add_log_messages("r1", ["a"]).log_messages == ["a"]
        with pytest.raises(TableNotFoundError, match="pipeline_run_events"):
            runs.add_log_messages("r1", ["x" * 2000])


def test_a_deleted_run_takes_its_messages_and_reports_along(runs: PipelineRunLogsRepository) -> None:
    runs.create_run_log("r1", "p1", "manual", log_messages=[f"message {number}" for number in range(300)])
    runs.create_run_log("r2", "p1", "manual", log_messages=[f"other {number}" for number in range(150)])
    assert runs.delete("r1")
    runs.create_run_log("r1", "p1", "manual")
    assert runs.get_log_messages("r1") == []
    assert len(runs.get_log_messages("r2")) == 150
    runs.events.put(PipelineRunEvent(run_id="r1#tasks", sequence=7, message={"rows": 3}))
    assert runs.delete("r1")
    assert runs.events.get("r1#tasks", 7) is None
    assert not runs.delete("r1")
