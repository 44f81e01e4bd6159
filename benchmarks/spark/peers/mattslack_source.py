"""mattslack's Python data source: prices are read as double and times as text, which is all it has for them."""
# mypy: disable-error-code="import-not-found"
# Installed in an environment of its own only.

from __future__ import annotations

from dynamodb_data_source import DynamoDbDataSource
from pyspark.sql import DataFrame, SparkSession

from benchmarks.spark.data import COLUMNS, SEGMENTS, table_of

PACKAGES = ("dynamodb-data-source", "boto3", "pyspark")
AS_IT_GIVES_THEM = COLUMNS.replace("placed_at timestamp", "placed_at string").replace("decimal(12,2)", "double")


def read(spark: SparkSession, endpoint_url: str, rows: int) -> DataFrame:
    """Return the table."""
    spark.dataSource.register(DynamoDbDataSource)
    options = {"table_name": table_of(rows), "aws_region": "us-east-1", "endpoint_url": endpoint_url}
    return spark.read.format("dynamodb").options(**options, total_segments=SEGMENTS).schema(AS_IT_GIVES_THEM).load()


def write(frame: DataFrame, endpoint_url: str, table: str) -> None:
    """Write a frame, its times as text."""
    frame.sparkSession.dataSource.register(DynamoDbDataSource)
    texts = frame.withColumn("placed_at", frame["placed_at"].cast("string"))
    options = {"table_name": table, "aws_region": "us-east-1", "endpoint_url": endpoint_url}
    texts.write.format("dynamodb").mode("append").options(**options).save()
