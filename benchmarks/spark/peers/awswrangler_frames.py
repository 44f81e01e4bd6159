"""awswrangler: it knows pandas and not Spark, so a read is one frame in the driver, and a write one for each batch."""
# mypy: disable-error-code="import-not-found, import-untyped"
# Installed in an environment of its own only.

from __future__ import annotations

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import awswrangler
import pandas as pd
from pyspark.sql import DataFrame, SparkSession

from benchmarks.spark.data import COLUMNS, table_of

PACKAGES = ("awswrangler", "boto3", "pyspark", "pandas")
AS_IT_GIVES_THEM = (
    COLUMNS.replace("placed_at timestamp", "placed_at string")
    .replace("total decimal(12,2)", "total decimal(38,18)")
    .replace("version bigint", "version decimal(38,18)")
    .replace("weight double", "weight decimal(38,18)")
)


def read(spark: SparkSession, endpoint_url: str, rows: int) -> DataFrame:
    """Return the table, its numbers as decimals and its times as text."""
    spark.conf.set("spark.sql.execution.arrow.pyspark.enabled", "true")
    awswrangler.config.dynamodb_endpoint_url = endpoint_url
    frame = awswrangler.dynamodb.read_items(table_of(rows), allow_full_scan=True)
    names = [column.split()[0] for column in AS_IT_GIVES_THEM.split(", ")]
    return spark.createDataFrame(frame[names], AS_IT_GIVES_THEM)


def write(frame: DataFrame, endpoint_url: str, table: str) -> None:
    """Write a frame, its times as text."""

    def put(batches: Iterable[Any]) -> Iterator[Any]:
        awswrangler.config.dynamodb_endpoint_url = endpoint_url
        for batch in batches:
            batch["placed_at"] = batch["placed_at"].dt.strftime("%Y-%m-%dT%H:%M:%S.%f+00:00")
            batch["weight"] = batch["weight"].map(lambda value: Decimal(str(value)))
            awswrangler.dynamodb.put_df(batch, table)
            yield pd.DataFrame({"done": [len(batch)]})

    frame.mapInPandas(put, "done long").collect()
