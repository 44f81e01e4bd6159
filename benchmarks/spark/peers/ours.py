"""This library's format ``dynamodb``."""

from __future__ import annotations

from typing import Any

from pyspark.sql import DataFrame, SparkSession

from benchmarks.spark.data import COLUMNS, SEGMENTS, table_of
from dynamodb_wrapper.spark import register

PACKAGES = ("pyspark", "pyarrow", "botocore")


def options(endpoint_url: str, capacity: float | None) -> dict[str, Any]:
    """Return the options of both directions."""
    limited = {} if capacity is None else {"capacity": capacity}
    return {"endpoint_url": endpoint_url, "partition_key": "pk", "sort_key": "sk", **limited}


def read(spark: SparkSession, endpoint_url: str, rows: int, *, capacity: float | None = None) -> DataFrame:
    """Return the table."""
    register(spark)
    reader = spark.read.format("dynamodb").options(**options(endpoint_url, capacity)).schema(COLUMNS)
    tasks = spark.sparkContext.defaultParallelism
    return reader.option("segments", max(SEGMENTS, tasks)).option("tasks", tasks).load(table_of(rows))


def write(frame: DataFrame, endpoint_url: str, table: str, *, capacity: float | None = None) -> None:
    """Write a frame."""
    register(frame.sparkSession)
    frame.write.format("dynamodb").mode("append").options(**options(endpoint_url, capacity)).save(table)
