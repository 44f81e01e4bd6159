"""Changes of a table as a stream, and a stream into a table, through a real session, on a real server."""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from dynamodb_wrapper.spark import change_schema
from tests.faults import rules
from tests.faults.proxy import Proxy
from tests.servers import Server
from tests.spark.conftest import make_table, put, stored
from tests.spark.shop import Order
from tests.spark.test_spark_tables import reports, wire

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

pytestmark = pytest.mark.usefixtures("spark")

BOTH = "NEW_AND_OLD_IMAGES"
ITEMS = "pk string, sk int, n int"


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    assert server.endpoint_url is not None
    one = Proxy(server.endpoint_url)
    yield one
    one.close()


def streamed(server: Server, view: str = BOTH) -> str:
    return make_table(server, StreamSpecification={"StreamEnabled": True, "StreamViewType": view})


def schema(spark: SparkSession, ddl: str = ITEMS, **more: Any) -> StructType:
    return change_schema(spark.createDataFrame([], ddl).schema, keys=("pk", "sk"), **more)


def changes(spark: SparkSession, server: Server, table: str, **options: Any) -> DataFrame:
    given = {"endpoint_url": server.endpoint_url, "starting_position": "trim_horizon", "poll_seconds": 0.05, **options}
    columns = given.pop("schema", None) or schema(spark)
    reader = spark.readStream.format("dynamodb").schema(columns)
    return reader.options(**{name: str(value) for name, value in given.items()}).load(table)


def run_once(frame: DataFrame, folder: Path, sink: str = "parquet", **options: Any) -> Any:
    """Run a query over what there is now, and stop."""
    writer = frame.writeStream.format(sink).trigger(availableNow=True)
    options = {"checkpointLocation": folder / "checkpoint", "path": folder / "out", **options}
    query = writer.options(**{name: str(value) for name, value in options.items()}).start()
    query.awaitTermination()
    return query


def test_changes_as_they_are(spark: SparkSession, server: Server, tmp_path: Path) -> None:
    table = streamed(server)
    client = server.client
    item = {
        "pk": {"S": "a"}, "sk": {"N": "1"}, "total": {"N": "12.5"}, "status": {"S": "open"},
        "tags": {"SS": ["x"]}, "blob": {"B": b"\x00\x01"}, "placed_at": {"S": "2024-03-10T07:30:00.000005+00:00"},
        "address": {"M": {"street": {"S": "s"}}}, "prices": {"M": {"p": {"N": "0.1"}}}, "unknown": {"S": "u"},
    }  # fmt: skip
    client.put_item(TableName=table, Item=item)
    client.put_item(TableName=table, Item={**item, "total": {"N": "13"}})
    client.delete_item(TableName=table, Key={"pk": {"S": "a"}, "sk": {"N": "1"}})
    frame = changes(spark, server, table, schema=change_schema(Order, keys=("pk", "sk")))
    run_once(frame, tmp_path)
    found = spark.read.parquet(str(tmp_path / "out")).orderBy("sequence_number").collect()
    assert [row.event_name for row in found] == ["INSERT", "MODIFY", "REMOVE"]
    assert [row["keys"].asDict() for row in found] == [{"pk": "a", "sk": 1}] * 3
    inserted, modified, removed = found
    assert (inserted.old, removed.new) == (None, None)
    assert (inserted.new.total, modified.old.total, modified.new.total) == (
        Decimal("12.50"), Decimal("12.50"), Decimal("13.00"),
    )  # fmt: skip
    new = inserted.new
    assert (new.tags, new.blob, new.address.street, new.prices) == (["x"], b"\x00\x01", "s", {"p": 0.1})
    assert new.placed_at.astimezone(dt.UTC) == dt.datetime(2024, 3, 10, 7, 30, 0, 5, dt.UTC)
    assert abs(inserted.approximate_creation_time.timestamp() - dt.datetime.now(dt.UTC).timestamp()) < 120
    assert not inserted.expired


def test_restarts_lose_nothing_and_repeat_nothing(spark: SparkSession, server: Server, tmp_path: Path) -> None:
    table = streamed(server)
    frame = changes(spark, server, table, max_records=30)
    for start in (0, 50, 50, 100):  # the third run finds nothing
        put(server, table, [wire("p", n % 7, n={"N": str(n)}) for n in range(start, start + 50)] if start else [])
        run_once(frame, tmp_path)
    rows = spark.read.parquet(str(tmp_path / "out")).collect()
    assert len({row.event_id for row in rows}) == len(rows)


def test_smoke_latest(spark: SparkSession, server: Server, tmp_path: Path) -> None:
    table = streamed(server)
