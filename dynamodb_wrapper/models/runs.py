"""Runs of pipelines: what happened, stage by stage."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from dynamodb_wrapper.models.enums import LogLevel, RunStatus
from dynamodb_wrapper.models.records import Count, Record, Settings, Strict, Text
from dynamodb_wrapper.utils.timezone import utcnow

LogMessage = str | dict[str, Any]
"""One message of a run: text, or a structured record."""


class StageInfo(Strict):
    """One stage of a run.

    Attributes:
        stage_name: Its name, once per run.
        status: Where it stands; default pending.
        start_time: When it began.
        end_time: When it ended.
        duration_seconds: How long it took.
        records_processed: How many records went through it.
        error_message: What went wrong.
    """

    stage_name: Text
    status: RunStatus = RunStatus.PENDING
    start_time: datetime | None = None
    end_time: datetime | None = None
    duration_seconds: Decimal | None = None
    records_processed: Count = 0
    error_message: str | None = None


class DataQualityResult(Strict):
    """What one check of the data found.

    Attributes:
        check_name: The check.
        passed: Whether the data passed it.
        expected_value: What it wanted, of any type.
        actual_value: What it found.
        error_message: Why it did not pass, or could not be made.
    """

    check_name: Text
    passed: bool
    expected_value: Any = None
    actual_value: Any = None
    error_message: str | None = None


class TableMetrics(Strict):
    """What the tasks of a run did with one DynamoDB table.

    Attributes:
        table_name: The physical table.
        operation: ``read`` or ``write``.
        tasks: How many partitions there were.
        failed_attempts: How many attempts at them failed.
        rows_read: Rows that were read.
        rows_written: Rows that DynamoDB has taken.
        rows_rejected: Rows that were not, or not wholly, read or written.
        rows_retried: Rows that DynamoDB left over, and that were sent again.
        bytes: Of bodies of requests (write) or answers (read), of all attempts.
        capacity: Capacity units consumed, by all attempts.
        requests: Requests, each with its retries, of all attempts.
        attempts: Requests, each try counted.
        throttles: Tries that were refused for want of capacity.
    """

    table_name: Text
    operation: Text
    tasks: Count = 0
    failed_attempts: Count = 0
    rows_read: Count = 0
    rows_written: Count = 0
    rows_rejected: Count = 0
    rows_retried: Count = 0
    bytes: Count = 0
    capacity: Decimal = Decimal(0)
    requests: Count = 0
    attempts: Count = 0
    throttles: Count = 0


class PipelineRunLog(Record):
    """One run of a pipeline.

    Attributes:
        run_id: The key.
        pipeline_id: The pipeline that ran.
        status: Where the run stands.
        trigger_type: What started it, for example ``"manual"`` or ``"schedule"``.
        start_time: When it began; default now.
        end_time: When it ended.
        duration_seconds: How long it took.
        stages: Its stages, in order, each name once.
        current_stage: The stage it is in.
        total_records_processed: Records that went through it.
        total_records_failed: Records that failed.
        input_data_size_bytes: What it read; None when that is not known.
        output_data_size_bytes: What it wrote; None when that is not known.
        spark_application_id: Spark's id of it.
        cpu_hours: Processor time it took.
        memory_usage_gb: Memory it took, in GB.
        data_quality_results: What the checks found.
        data_quality_passed: Whether the data passed them; default True.
        error_message: What went wrong.
        error_stack_trace: Where.
        error_type: The class of the exception.
        retry_count: How often it was retried.
        attempt: Which attempt this is, from 1.
        parent_run_id: The run this one repeats or belongs to.
        heartbeat_at: When it last gave a sign of life: a run without an end and without a recent one is dead.
        pipeline_version: The version of the pipeline that ran.
        config_snapshot: The configuration it ran with.
        spark_version: Spark's version.
        python_version: Python's version.
        input_tables: Tables it read.
        output_tables: Tables it wrote.
        table_metrics: What it did with DynamoDB tables, by table and operation; there when it has ended.
        log_level: How much it logs; default info.
        log_messages: Its first messages. Those beyond a bound are in a table of their own, so that a long run stays
            under 400 KB: the repository's ``add_log_messages`` and ``get_log_messages`` see to that.
        log_event_count: How many further messages were put there.
        monitoring_urls: Where to watch it, by name.
        created_by: Who started it.
        environment: The environment it ran in; default ``"dev"``.
        tags: Labels, text to text.
    """

    run_id: Text
    pipeline_id: Text
    status: RunStatus
    trigger_type: Text
    start_time: datetime = Field(default_factory=utcnow)
    end_time: datetime | None = None
    duration_seconds: Decimal | None = None
    stages: list[StageInfo] = Field(default_factory=list)
    current_stage: str | None = None
    total_records_processed: Count = 0
    total_records_failed: Count = 0
    input_data_size_bytes: Count | None = None
    output_data_size_bytes: Count | None = None
    spark_application_id: str | None = None
    cpu_hours: Annotated[Decimal, Field(ge=0)] | None = None
    memory_usage_gb: Annotated[Decimal, Field(ge=0)] | None = None
    data_quality_results: list[DataQualityResult] = Field(default_factory=list)
    data_quality_passed: bool = True
    error_message: str | None = None
    error_stack_trace: str | None = None
    error_type: str | None = None
    retry_count: Count = 0
    attempt: Annotated[int, Field(ge=1)] = 1
    parent_run_id: str | None = None
    heartbeat_at: datetime | None = None
    pipeline_version: str | None = None
    config_snapshot: Settings = Field(default_factory=dict)
    spark_version: str | None = None
    python_version: str | None = None
    input_tables: list[str] = Field(default_factory=list)
    output_tables: list[str] = Field(default_factory=list)
    table_metrics: list[TableMetrics] = Field(default_factory=list)
    log_level: LogLevel = LogLevel.INFO
    log_messages: list[LogMessage] = Field(default_factory=list)
    log_event_count: Count = 0
    monitoring_urls: dict[str, str] = Field(default_factory=dict)
    created_by: str | None = None
    environment: Text = "dev"
    tags: dict[str, str] = Field(default_factory=dict)


class PipelineRunEvent(Strict):
    """A log message of a run that is kept outside the run's own item.

    Attributes:
        run_id: The run.
        sequence: Its place among the run's messages, from 1. Number 0 is no message: it counts the numbers given out.
        message: The message.
        last_sequence: On number 0, the last number given out.
        created_at: When it was written.
    """

    run_id: Text
    sequence: Count
    message: LogMessage = ""
    last_sequence: Count | None = None
    created_at: datetime = Field(default_factory=utcnow)
