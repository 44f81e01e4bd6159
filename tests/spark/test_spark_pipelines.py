"""Pipelines on Spark: sessions from stored settings, tables by their configurations, runs that know what tasks did."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from dynamodb_wrapper import ItemNotFoundError, RunStatus, ValidationError
from dynamodb_wrapper.spark import SparkDynamoDBIntegration, create_spark_session_with_dynamodb
from tests import servers
from tests.spark.conftest import stored

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


@pytest.fixture
def integration(spark: SparkSession, server: servers.Server) -> SparkDynamoDBIntegration:
    made = SparkDynamoDBIntegration(server.config())
    for repository in (made.pipelines, made.tables, made.runs):
        repository.ensure_table()
    made.pipelines.create_pipeline_config(
        "p1", "Pipeline 1", "csv", "dynamodb", spark_config={"spark.sql.shuffle.partitions": 3, "spark.note": "x"}
    )
    return made


def files(integration: SparkDynamoDBIntegration, folder: Path, format: str = "parquet", **fields: Any) -> str:
    table_id = f"t-{uuid4().hex[:6]}"
    integration.tables.create_table_config(table_id, "p1", "t", "destination", format, str(folder / table_id), **fields)
    return table_id


def dynamodb(integration: SparkDynamoDBIntegration, table: str, **fields: Any) -> str:
    table_id = f"t-{uuid4().hex[:6]}"
    keys = ["pk", "sk"]
    integration.tables.create_table_config(
        table_id, "p1", table, "destination", "dynamodb", "dynamodb", primary_key_columns=keys, **fields
    )
    return table_id


def test_a_session_beside_the_one_that_is_there(
    integration: SparkDynamoDBIntegration, spark: SparkSession, caplog: pytest.LogCaptureFixture
) -> None:
    before = spark.conf.get("spark.sql.shuffle.partitions")
    session = integration.create_spark_session("p1", {"spark.executor.cores": 7, "spark.sql.ansi.enabled": True})
    assert session is not spark
    assert session.sparkContext is spark.sparkContext
    assert session.conf.get("spark.sql.shuffle.partitions") == "3"
    assert session.conf.get("spark.sql.ansi.enabled") == "true"
    assert spark.conf.get("spark.sql.shuffle.partitions") == before
    assert "spark.executor.cores" in caplog.text
    session.range(1).createOrReplaceTempView("only_here")
    assert not spark.catalog.tableExists("only_here")
    other = create_spark_session_with_dynamodb(spark_config={"spark.sql.shuffle.partitions": 5})
    assert other.conf.get("spark.sql.shuffle.partitions") == "5"


@pytest.mark.parametrize("format", ["parquet", "json", "csv"])
def test_files_there_and_back(
    integration: SparkDynamoDBIntegration, spark: SparkSession, tmp_path: Path, format: str
) -> None:
    options = {"header": True} if format == "csv" else {}
    table_id = files(
        integration,
        tmp_path,
        format,
        read_options=options,
        write_options=options,
        schema_definition={"id": "bigint", "name": "string"},
    )
    frame = spark.createDataFrame([(1, "a"), (2, None)], "id bigint, name string")
    assert integration.write_table(frame, table_id) == 2
    assert integration.write_table(frame, table_id) == 2
    back = integration.read_table(spark, table_id)
    assert sorted(back.collect(), key=str) == sorted(frame.union(frame).collect(), key=str)
    table = integration.tables.get_or_raise(table_id)
    assert table.record_count == 4
    assert table.size_bytes is not None
    assert table.size_bytes > 0
    assert table.last_updated_data is not None


def test_a_table_that_is_replaced(integration: SparkDynamoDBIntegration, spark: SparkSession, tmp_path: Path) -> None:
    table_id = files(integration, tmp_path, partition_columns=["day"], write_options={"mode": "overwrite"})
    frame = spark.createDataFrame([(1, "mon"), (2, "tue")], "id bigint, day string")
    integration.write_table(frame, table_id)
    assert integration.write_table(frame.limit(1), table_id) == 1
    assert integration.tables.get_or_raise(table_id).record_count == 1
    assert integration.write_table(frame, table_id, mode="ignore") == 0
    assert integration.read_table(spark, table_id).count() == 1


def test_statistics_of_an_observed_frame_need_no_second_computation(
    integration: SparkDynamoDBIntegration, spark: SparkSession, tmp_path: Path
) -> None:
    table_id = files(integration, tmp_path)
    from pyspark.sql.functions import udf

    computed = spark.sparkContext.accumulator(0)
    counted = udf(lambda value: (value, computed.add(1))[0], "bigint")
    frame = integration.observed(spark.range(10).select(counted("id").alias("id")))
    frame.write.parquet(str(tmp_path / table_id))
    assert integration.update_table_stats_after_write(table_id, frame).record_count == 10
    assert computed.value == 10
    assert integration.update_table_stats_after_write(table_id, spark.range(3), appended=True).record_count == 13


def test_a_run_knows_what_its_tasks_did(
    integration: SparkDynamoDBIntegration, spark: SparkSession, server: servers.Server, table: str
) -> None:
    table_id = dynamodb(integration, table)
    frame = spark.range(60).selectExpr("concat('p', id % 5) AS pk", "id AS sk", "cast(id AS string) AS name")
    with integration.pipeline_run_context("p1") as run_id:
        with integration.stage(run_id, "load") as stage:
            stage.records_processed = integration.write_table(frame.repartition(3), table_id, run_id)
        back = integration.read_table(spark, table_id, run_id)
        assert back.count() == 60
    assert len(stored(server, table)) == 60
    run = integration.runs.get_or_raise(run_id)
    assert (run.status, run.total_records_processed) == (RunStatus.SUCCESS, 60)
    assert (run.input_tables, run.output_tables) == ([table_id], [table_id])
    assert run.spark_application_id == spark.sparkContext.applicationId
    by_operation = {metrics.operation: metrics for metrics in run.table_metrics}
    assert by_operation["write"].rows_written == 60
    assert by_operation["write"].tasks == 3
    assert by_operation["write"].capacity >= 60
    assert by_operation["read"].rows_read == 60
    assert {metrics.table_name for metrics in run.table_metrics} == {table}
    assert integration.tables.get_or_raise(table_id).last_updated_data is not None


def test_a_run_that_fails_in_a_task(
    integration: SparkDynamoDBIntegration, spark: SparkSession, server: servers.Server, table: str
) -> None:
    table_id = dynamodb(integration, table)
    frame = spark.range(10).selectExpr("concat('p', id) AS pk", "id AS sk", "if(id = 7, double('NaN'), 1.5D) AS price")
    with pytest.raises(Exception, match="NaN") as raised, integration.pipeline_run_context("p1") as run_id:
        integration.write_table(frame.coalesce(1), table_id, run_id)
    run = integration.runs.get_or_raise(run_id)
    assert run.status == RunStatus.FAILED
    assert run.error_type is not None
    assert run.error_type.startswith("pyspark.")
    assert "NaN" in str(run.error_message)
    assert type(raised.value).__name__ in str(run.error_stack_trace)
    (metrics,) = run.table_metrics
    assert metrics.rows_rejected == 1
    assert run.total_records_failed == 1
    assert metrics.rows_written == len(stored(server, table)) == 9
    assert metrics.failed_attempts >= 1
    assert integration.tables.get_or_raise(table_id).record_count is None


def test_a_run_that_there_is_not(integration: SparkDynamoDBIntegration, spark: SparkSession, tmp_path: Path) -> None:
    table_id = files(integration, tmp_path)
    with pytest.raises(ItemNotFoundError):
        integration.write_table(spark.range(3), table_id, "no-such-run")
    assert not (tmp_path / table_id).exists()


def test_configurations_that_make_no_sense(
    integration: SparkDynamoDBIntegration, spark: SparkSession, tmp_path: Path
) -> None:
    bad_mode = files(integration, tmp_path, write_options={"mode": "upsert"})
    with pytest.raises(ValidationError, match="upsert"):
        integration.get_table_write_options(bad_mode)
    bad_schema = files(integration, tmp_path, schema_definition={"fields": [1]})
    with pytest.raises(ValidationError, match="schema_definition"):
        integration.read_table(spark, bad_schema)
    (tmp_path / "x").mkdir()
    bad_level = files(
        integration, tmp_path, caching_enabled=True, cache_level="SOMEWHERE", schema_definition={"i": "int"}
    )
    integration.write_table(spark.range(1).selectExpr("cast(id AS int) AS i"), bad_level)
    with pytest.raises(ValidationError, match="SOMEWHERE"):
        integration.read_table(spark, bad_level)


def test_options(integration: SparkDynamoDBIntegration, table: str) -> None:
    table_id = dynamodb(
        integration, table, connection_config={"region": "eu-west-1"}, read_options={"consistent": True}
    )
    assert integration.get_table_read_options(table_id) == {
        "format": "dynamodb",
        "table": table,
        "partition_key": "pk",
        "sort_key": "sk",
        "region": "eu-west-1",
        "consistent": True,
    }
    assert integration.get_table_write_options(table_id)["mode"] == "append"
    assert integration.get_spark_config_from_pipeline("p1", {"spark.note": None, "spark.x": True}) == {
        "spark.app.name": "Pipeline 1",
        "spark.sql.shuffle.partitions": "3",
        "spark.x": "true",
    }
