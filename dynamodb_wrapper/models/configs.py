"""Configurations: of pipelines, and of the tables they read and write."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import Annotated, Any

from pydantic import Field

from dynamodb_wrapper.models.enums import DataFormat, TableType
from dynamodb_wrapper.models.records import Count, Record, Settings, Text

Rules = list[Any] | dict[str, Any]
"""Rules in order, or by name; the library stores them and does not look inside."""


class Config(Record):
    """What the configurations have in common.

    Attributes:
        description: What it is for.
        environment: The environment it belongs to; default ``"dev"``.
        tags: Labels, text to text.
        is_active: Whether it is in use; default True.
        created_by: Who created it.
        updated_by: Who changed it last.
    """

    description: str | None = None
    environment: Text = "dev"
    tags: dict[str, str] = Field(default_factory=dict)
    is_active: bool = True
    created_by: str | None = None
    updated_by: str | None = None


class PipelineConfig(Config):
    """How a data pipeline is set up.

    Attributes:
        pipeline_id: The key.
        pipeline_name: Its name, for people.
        source_type: What it reads from, for example ``"s3"``.
        destination_type: What it writes to.
        config: Its settings.
        source_config: Settings of the source.
        destination_config: Settings of the destination.
        spark_config: Spark's settings, by Spark's names.
        schedule_expression: When it runs, for example ``"cron(0 6 * * ? *)"``; None for on demand.
        version: The version of the pipeline, text; default ``"1.0.0"``.
        cpu_cores: Cores it is given, at least 1.
        memory_gb: Memory it is given, in GB, above 0.
    """

    pipeline_id: Text
    pipeline_name: Text
    source_type: Text
    destination_type: Text
    config: Settings = Field(default_factory=dict)
    source_config: Settings = Field(default_factory=dict)
    destination_config: Settings = Field(default_factory=dict)
    spark_config: Settings = Field(default_factory=dict)
    schedule_expression: str | None = None
    version: str = "1.0.0"
    cpu_cores: Annotated[int, Field(ge=1)] | None = None
    memory_gb: Annotated[Decimal, Field(gt=0)] | None = None


class TableConfig(Config):
    """A table (or folder, or topic) that a pipeline reads or writes.

    Attributes:
        table_id: The key.
        pipeline_id: The pipeline it belongs to.
        table_name: Its name where it is kept.
        table_type: What it is to the pipeline.
        data_format: How its data is kept.
        location: Where it is kept: a path, an address.
        schema_definition: Its schema, in whatever form the pipeline uses.
        partition_columns: The columns it is partitioned by, in order.
        primary_key_columns: The columns of its primary key, in order.
        connection_config: How to connect to it.
        read_options: Options for reading, by the reader's names.
        write_options: Options for writing.
        validation_rules: Rules its rows must keep.
        data_quality_checks: Checks that are made on it.
        caching_enabled: Whether it is cached when it is read; default False.
        cache_level: How, for example ``"MEMORY_AND_DISK"``.
        retention_days: How long its data is kept; None for ever.
        archive_after_days: When its data is archived; None for never.
        last_updated_data: When its data (not this configuration) last changed.
        record_count: How many records it has; None when that is not known.
        size_bytes: How large it is; None when that is not known.
    """

    table_id: Text
    pipeline_id: Text
    table_name: Text
    table_type: TableType
    data_format: DataFormat
    location: Text
    schema_definition: Settings | None = None
    partition_columns: list[str] = Field(default_factory=list)
    primary_key_columns: list[str] = Field(default_factory=list)
    connection_config: Settings = Field(default_factory=dict)
    read_options: Settings = Field(default_factory=dict)
    write_options: Settings = Field(default_factory=dict)
    validation_rules: Rules = Field(default_factory=list)
    data_quality_checks: Rules = Field(default_factory=list)
    caching_enabled: bool = False
    cache_level: str | None = None
    retention_days: Count | None = None
    archive_after_days: Count | None = None
    last_updated_data: datetime | None = None
    record_count: Count | None = None
    size_bytes: Count | None = None
