"""boto3 by hand: a segment for each partition of an RDD, and a batch writer for each partition of a frame."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any

import boto3
from pyspark.sql import DataFrame, Row, SparkSession

from benchmarks.spark.data import COLUMNS, SEGMENTS, table_of

PACKAGES = ("boto3", "botocore", "pyspark")


def read(spark: SparkSession, endpoint_url: str, rows: int) -> DataFrame:
    """Return the table."""

    def scan(segments: Iterable[int]) -> Iterator[tuple[Any, ...]]:
        table = boto3.resource("dynamodb", endpoint_url=endpoint_url).Table(table_of(rows))
        for segment in segments:
            start: dict[str, Any] = {}
            while True:
                answer = table.scan(Segment=segment, TotalSegments=SEGMENTS, **start)
                yield from map(row_of, answer["Items"])
                if "LastEvaluatedKey" not in answer:
                    break
                start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    return spark.sparkContext.parallelize(range(SEGMENTS), SEGMENTS).mapPartitions(scan).toDF(COLUMNS)


def row_of(item: dict[str, Any]) -> tuple[Any, ...]:
    """Return an item as a row."""
    return (
        item["pk"],
        item["sk"],
        item["status"],
        item["total"],
        datetime.fromisoformat(item["placed_at"]),
        int(item["version"]),
        float(item["weight"]),
        item["paid"],
        item["note"],
        item["email"],
        item["city"],
    )


def write(frame: DataFrame, endpoint_url: str, table: str) -> None:
    """Write a frame."""

    def put(rows: Iterable[Row]) -> None:
        with boto3.resource("dynamodb", endpoint_url=endpoint_url).Table(table).batch_writer() as batch:
            for row in rows:
                item = row.asDict()
                item["placed_at"] = row.placed_at.isoformat()
                item["weight"] = Decimal(str(row.weight))
                batch.put_item(item)

    frame.foreachPartition(put)
