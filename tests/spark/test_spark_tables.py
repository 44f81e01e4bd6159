"""Reading and writing tables through a real session, on a real server."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers import Server
from tests.spark.conftest import make_table, put, stored
from tests.spark.shop import Address, Order, Orders, Status

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, DataFrameReader, DataFrameWriter, SparkSession

pytestmark = pytest.mark.usefixtures("spark")

FACTORY = "tests.spark.configs:from_options"


def read(spark: SparkSession, server: Server, **options: Any) -> DataFrameReader:
    reader = spark.read.format("dynamodb").option("endpoint_url", str(server.endpoint_url))
    return reader.options(**{name: str(value) for name, value in options.items()})


def write(frame: DataFrame, server: Server, **options: Any) -> DataFrameWriter:
    writer = frame.write.format("dynamodb").mode("append").option("endpoint_url", str(server.endpoint_url))
    return writer.options(**{name: str(value) for name, value in options.items()})


def items(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"pk": {"S": f"p{n % 5}"}, "sk": {"N": str(n)}, "n": {"N": str(n)}, **more} for n in range(count)]


def reports(folder: Path, kind: str = "") -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob(f"*{kind}*.json"))]


def test_round_trip(spark: SparkSession, server: Server, table: str, tmp_path: Path) -> None:
    schema = "pk string, sk bigint, total decimal(12,2), at timestamp, note string, list array<double>, m map<string,int>"
    rows = [
        ("a", 1, Decimal("12.50"), dt.datetime(2024, 3, 10, 7, 30, 0, 5), 'q"ü\n', [0.1, None], {"x": 1}),
        ("b", 2, None, None, None, None, None),
    ]
    frame = spark.createDataFrame(rows, schema)
    write(frame, server, metrics_path=tmp_path).save(table)
    # The frame's timestamps are in the session's zone; they are stored in UTC, as models have them.
    assert stored(server, table) == [
        {
            "pk": {"S": "a"}, "sk": {"N": "1"}, "total": {"N": "12.5"},
            "at": stored(server, table)[0]["at"], "note": {"S": 'q"ü\n'},
            "list": {"L": [{"N": "0.1"}, {"NULL": True}]}, "m": {"M": {"x": {"N": "1"}}},
        },
        {"pk": {"S": "b"}, "sk": {"N": "2"}},
    ]  # fmt: skip
    back = read(spark, server).schema(schema).load(table)
    assert sorted(back.collect()) == sorted(frame.collect())
    (job,) = reports(tmp_path, "job")
    assert (job["outcome"], job["counts"]["rows_written"], job["unfinished"]) == ("committed", 2, 0)
    assert job["counts"]["capacity"] >= 2
    assert sum(task["counts"]["rows_written"] for task in reports(tmp_path, "write")) == 2
