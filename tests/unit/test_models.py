from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pydantic
import pytest

from dynamodb_wrapper.codec import ModelCodec
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.models import (
    DataFormat,
    DataQualityResult,
    LogLevel,
    PipelineConfig,
    PipelineRunEvent,
    PipelineRunLog,
    RunStatus,
    StageInfo,
    TableConfig,
    TableType,
)
from dynamodb_wrapper.operations.runs import STAGES

AT = datetime(2026, 3, 29, 0, 30, 15, 250_000, tzinfo=UTC)


def pipeline(**fields: Any) -> PipelineConfig:
    return PipelineConfig(pipeline_id="p", pipeline_name="P", source_type="s3", destination_type="dynamodb", **fields)


def table(**fields: Any) -> TableConfig:
    required = {"table_id": "t", "pipeline_id": "p", "table_name": "T", "location": "s3://b/t"}
    return TableConfig(**{**required, "table_type": "source", "data_format": "parquet", **fields})


def run(**fields: Any) -> PipelineRunLog:
    return PipelineRunLog(
        **{"run_id": "r", "pipeline_id": "p", "status": "running", "trigger_type": "manual", **fields}
    )


class TestEnums:
    @pytest.mark.parametrize("enum", [RunStatus, LogLevel, TableType, DataFormat])
    def test_values_are_the_names_in_lower_case_and_equal_their_text(self, enum: Any) -> None:
        members: list[Any] = list(enum)
        assert [member.value for member in members] == [member.name.lower() for member in members]
        assert all(
            member == member.value and isinstance(member, str) and f"{member}" == member.value for member in members
        )

    def test_members(self) -> None:
        assert list(RunStatus) == ["pending", "running", "success", "failed", "cancelled", "skipped"]
        assert list(LogLevel) == ["debug", "info", "warning", "error", "critical"]
        assert list(TableType) == ["source", "destination", "lookup", "intermediate"]
        assert list(DataFormat) == ["parquet", "json", "csv", "avro", "delta", "dynamodb"]

    def test_end_states(self) -> None:
        assert [status for status in RunStatus if not status.is_terminal] == [RunStatus.PENDING, RunStatus.RUNNING]

    def test_of_takes_text_or_member(self) -> None:
        assert RunStatus.of("failed") is RunStatus.of(RunStatus.FAILED) is RunStatus.FAILED

    @pytest.mark.parametrize("value", ["sucess", "", None, 3])
    def test_of_names_what_is_allowed(self, value: Any) -> None:
        with pytest.raises(ValidationError, match=r"RunStatus.*pending, running, success") as caught:
            RunStatus.of(value)
        assert caught.value.errors.keys() == {"RunStatus"}


class TestDefaults:
    @pytest.mark.parametrize("make", [pipeline, table, run])
    def test_times_are_aware_and_now(self, make: Any) -> None:
        model = make()
        for time in (model.created_at, model.updated_at):
            assert time.utcoffset() == timedelta(0)
            assert abs(datetime.now(UTC) - time) < timedelta(minutes=1)

    @pytest.mark.parametrize("model", [pipeline(), table()])
    def test_of_the_configurations(self, model: Any) -> None:
        assert model.environment == "dev"
        assert model.is_active is True
        assert model.tags == {}
        assert (model.description, model.created_by, model.updated_by) == (None, None, None)

    def test_of_a_pipeline(self) -> None:
        made = pipeline()
        assert (made.version, made.cpu_cores, made.memory_gb, made.schedule_expression) == ("1.0.0", None, None, None)
        assert made.config == made.source_config == made.destination_config == made.spark_config == {}

    def test_of_a_table(self) -> None:
        made = table()
        assert (made.table_type, made.data_format) == (TableType.SOURCE, DataFormat.PARQUET)
        assert (made.record_count, made.size_bytes, made.last_updated_data) == (None, None, None)
        assert made.caching_enabled is False

    def test_of_a_run(self) -> None:
        made = run()
        assert made.start_time.utcoffset() == timedelta(0)
        assert (made.end_time, made.duration_seconds, made.heartbeat_at) == (None, None, None)
        assert (made.stages, made.log_messages, made.data_quality_results) == ([], [], [])
        assert (made.total_records_processed, made.total_records_failed, made.retry_count, made.attempt) == (0, 0, 0, 1)
        assert (made.data_quality_passed, made.log_level, made.environment) == (True, LogLevel.INFO, "dev")

    def test_of_a_stage(self) -> None:
        assert StageInfo(stage_name="extract").status is RunStatus.PENDING

    def test_are_not_shared(self) -> None:
        pipeline().tags["a"] = "b"
        assert pipeline().tags == {}


class TestValidation:
    @pytest.mark.parametrize(
        ("make", "fields"),
        [
            (pipeline, {"pipeline_nam": "x"}),
            (pipeline, {"cpu_cores": 0}),
            (pipeline, {"memory_gb": Decimal(0)}),
            (pipeline, {"environment": ""}),
            (pipeline, {"tags": {"a": 1}}),
            (table, {"table_id": ""}),
            (table, {"record_count": -1}),
            (table, {"retention_days": -1}),
            (table, {"table_type": "sink"}),
            (run, {"run_id": ""}),
            (run, {"total_records_failed": -1}),
            (run, {"attempt": 0}),
            (run, {"status": "done"}),
            (run, {"stages": [{"stage_name": ""}]}),
            (run, {"stages": [{"stage_name": "a", "stat": "running"}]}),
            (run, {"log_messages": [1]}),
        ],
    )
    def test_refuses_naming_the_field(self, make: Any, fields: dict[str, Any]) -> None:
        (name,) = fields
        with pytest.raises(pydantic.ValidationError) as caught:
            make(**fields)
        assert caught.value.errors()[0]["loc"][0] == name

    def test_holds_on_assignment(self) -> None:
        model = run()
        with pytest.raises(pydantic.ValidationError):
            model.status = "done"  # type: ignore[assignment]
        assert model.status is RunStatus.RUNNING

    def test_an_end_before_the_start_is_kept_as_it_was_seen(self) -> None:
        assert run(start_time=AT, end_time=AT - timedelta(seconds=1), duration_seconds=-1).duration_seconds == -1

    def test_naive_times_stay_until_they_are_written(self) -> None:
        naive = datetime(2026, 7, 1, 12, 0)  # noqa: DTZ001 - the point of the test
        assert run(start_time=naive).start_time == naive

    def test_numbers_are_exact(self) -> None:
        assert pipeline(memory_gb="3.1").memory_gb == Decimal("3.1")


class TestStored:
    @pytest.mark.parametrize(
        "model",
        [
            pipeline(
                memory_gb=Decimal("7.5"), cpu_cores=4, spark_config={"spark.x": "1", "n": 2, "deep": [{"a": None}]}
            ),
            table(
                schema_definition={"fields": [{"name": "a", "type": "long"}]},
                validation_rules={"a": {"min": 0}},
                data_quality_checks=["not_null", {"check": "unique"}],
                last_updated_data=AT,
                record_count=10**15,
            ),
            table(validation_rules=[{"column": "a"}], data_quality_checks={"a": 1}),
            PipelineRunEvent(run_id="r", sequence=7, message={"level": "info", "text": "x"}),
        ],
    )
    def test_comes_back_equal(self, model: Any) -> None:
        codec: ModelCodec[Any] = ModelCodec(type(model))
        assert codec.decode(codec.encode(model)) == model

    def test_a_whole_run_comes_back_equal(self) -> None:
        model = run(
            status=RunStatus.FAILED,
            start_time=AT,
            end_time=AT + timedelta(seconds=90),
            duration_seconds=Decimal("90.000001"),
            stages=[
                StageInfo(stage_name="zulu", status=RunStatus.SUCCESS, start_time=AT, records_processed=5),
                StageInfo(
                    stage_name="alpha", status=RunStatus.FAILED, error_message="boom", duration_seconds=Decimal("1.5")
                ),
            ],
            data_quality_results=[
                DataQualityResult(check_name="n", passed=False, expected_value=0, actual_value=Decimal("0.5")),
                DataQualityResult(check_name="s", passed=True, expected_value=["a"], actual_value=None),
            ],
            log_messages=["text", {"level": "error", "at": "x", "n": 1}],
            input_tables=["a"],
            tags={"team": "x"},
            heartbeat_at=AT,
            error_type="ValueError",
            parent_run_id="r0",
        )
        codec = ModelCodec(PipelineRunLog, stored={"stages": STAGES})
        item = codec.encode(model)
        assert item["stages"]["M"].keys() == {"zulu", "alpha"}
        assert codec.decode(item) == model

    def test_two_stages_of_one_name_are_refused(self) -> None:
        codec = ModelCodec(PipelineRunLog, stored={"stages": STAGES})
        with pytest.raises(ValidationError, match="two elements with the same 'stage_name'"):
            codec.encode(run(stages=[{"stage_name": "a"}, {"stage_name": "a"}]))
