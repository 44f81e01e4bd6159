"""Writing without a JVM, as one task does it: equal keys, giving up, and attempts that come twice."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("pyspark", reason="pyspark is not installed here: `make spark` runs these tests")

import pyarrow as pa
from pyspark.sql import types as t
from pyspark.sql.pandas.types import to_arrow_schema

from dynamodb_wrapper.exceptions import BatchIncompleteError, ValidationError
from dynamodb_wrapper.operations.effects import Call, Sleep
from dynamodb_wrapper.spark import register
from dynamodb_wrapper.spark.metrics import Job, Meter
from dynamodb_wrapper.spark.options import Options
from dynamodb_wrapper.spark.quarantine import Quarantine
from dynamodb_wrapper.spark.rate import Reservation, Unlimited
from dynamodb_wrapper.spark.requests import BatchWrites, Row
from dynamodb_wrapper.spark.sink import DynamoDBWriter, TaskDone, planned_write
from dynamodb_wrapper.spark.source import DynamoDBDataSource
from dynamodb_wrapper.spark.tables import Table, config_of
from dynamodb_wrapper.spark.types import columns_of
from tests.servers import Server
from tests.spark.conftest import SERVER, put, stored
from tests.spark.test_spark_tables import reports, wire

SCHEMA = t.StructType(
    [
        t.StructField("pk", t.StringType()),
        t.StructField("sk", t.LongType()),
        t.StructField("x", t.LongType()),
        t.StructField("y", t.LongType()),
    ]
)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVER.items():
        monkeypatch.setenv(name, value)


def batch_of(rows: Iterable[tuple[Any, ...]], schema: t.StructType = SCHEMA) -> pa.RecordBatch:
    named = [dict(zip(schema.names, row, strict=True)) for row in rows]
    return pa.RecordBatch.from_pylist(named, schema=to_arrow_schema(schema, timezone="UTC"))


def write(server: Server, table: str, *batches: pa.RecordBatch, schema: t.StructType = SCHEMA, **options: Any) -> Any:
    """Write batches as one task; return its counts."""
    given = {"table": table, "endpoint_url": server.endpoint_url, **options}
    chosen = Options.of({name: str(value) for name, value in given.items()})
    done = DynamoDBWriter(planned_write(chosen, schema, overwrites=False, hosts=1)).write(iter(batches))
    assert isinstance(done, TaskDone)
    return done.report.counts


# --- equal keys ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 4, 100])
def test_of_puts_with_one_key_the_last_stays_however_they_are_batched(server: Server, table: str, size: int) -> None:
    rows = [("a", 1, number, None) for number in range(100)]
    batches = [batch_of(rows[start : start + size]) for start in range(0, 100, size)]
    assert write(server, table, *batches).rows_written == 100
    assert stored(server, table) == [wire("a", 1, x={"N": "99"})]


def test_updates_with_one_key_add_up(server: Server, table: str) -> None:
    """They may be about other columns, so none stands for another."""
    rows = [("a", 1, 1, None), ("b", 1, 5, None), ("a", 1, None, 2), ("a", 1, 3, None)]
    counts = write(server, table, batch_of(rows), write_mode="update", upsert="true", nulls="skip")
    assert counts.rows_written == 4
    assert stored(server, table) == [wire("a", 1, x={"N": "3"}, y={"N": "2"}), wire("b", 1, x={"N": "5"})]


@pytest.mark.parametrize("size", [1, 3])
def test_of_inserts_with_one_key_the_first_stays_and_each_other_one_is_rejected(
    server: Server, table: str, tmp_path: Path, size: int
) -> None:
    rows = [("a", 1, 1, None), ("a", 1, 2, None), ("a", 1, 3, None)]
    batches = [batch_of(rows[start : start + size]) for start in range(0, 3, size)]
    counts = write(
        server, table, *batches, write_mode="insert_only", on_rejected="quarantine", quarantine=tmp_path / "q"
    )
    assert (counts.rows_written, counts.rows_rejected) == (1, 2)
    assert stored(server, table) == [wire("a", 1, x={"N": "1"})]
    # And done again, as Spark does with a task that failed, they are the same.
    again = write(server, table, *batches, write_mode="insert_only", on_rejected="quarantine", quarantine=tmp_path)
    assert (again.rows_written, again.rows_rejected) == (1, 2)


def test_every_rejected_row_is_told(server: Server, table: str, tmp_path: Path) -> None:
    rows = [("a", 1, 1, None), ("a", 1, 2, None), ("a", 2, 1, None)]
    counts = write(server, table, batch_of(rows), write_mode="update", on_rejected="quarantine", quarantine=tmp_path)
    assert (counts.rows_written, counts.rows_rejected) == (0, 3)
    told = [entry["row"]["x"] for path in tmp_path.glob("*.json") for entry in lines(path)]
    assert sorted(told) == [1, 1, 2]


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        (t.DoubleType(), [0.0, -0.0]),
        (t.DoubleType(), [1e22, 10_000_000_000_000_000_000_000.0]),
        (t.DecimalType(20, 4), [Decimal("1.0"), Decimal("1.0000")]),
    ],
)
def test_equal_numbers_are_one_key(server: Server, table: str, kind: t.DataType, values: list[Any]) -> None:
    """DynamoDB refuses a batch with one key twice, in whichever form its number is written."""
    schema = t.StructType([t.StructField("pk", t.StringType()), t.StructField("sk", kind)])
    assert write(server, table, batch_of([("a", value) for value in values], schema), schema=schema).rows_written == 2
    assert len(stored(server, table)) == 1


# --- reading what is said never to be null ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "field",
    [
        t.StructField("n", t.LongType(), nullable=False),
        t.StructField("n", t.ArrayType(t.LongType(), containsNull=False)),
        t.StructField("n", t.MapType(t.StringType(), t.LongType(), valueContainsNull=False)),
        t.StructField("n", t.StructType([t.StructField("a", t.LongType(), nullable=False)])),
    ],
    ids=str,
)
def test_a_column_that_is_said_never_to_be_null_is_refused(field: t.StructField) -> None:
    """Spark believes it: a filter for null finds nothing then, and a null in a number's place fails in the JVM."""
    source = DynamoDBDataSource({"table": "t", "partition_key": "pk", "endpoint_url": "http://127.0.0.1:1"})
    schema = t.StructType([t.StructField("pk", t.StringType()), field])
    with pytest.raises(ValidationError, match=r"n cannot be null, .* schema\.toNullable\(\)"):
        source.reader(schema)
    source.reader(schema.toNullable())


# --- giving up --------------------------------------------------------------------------------------------------------


class Paced(Unlimited):
    """Counts how often it is told of throttling."""

    def __init__(self) -> None:
        self.asked = self.throttles = 0

    def reserve(self) -> Reservation:
        self.asked += 1
        return Reservation()

    def throttled(self) -> None:
        self.throttles += 1


def play(flow: Any, answer: dict[str, Any], pauses: list[float]) -> None:
    """Run a flow, giving one answer to all its calls, and noting its pauses instead of taking them."""
    effect = next(flow)
    while len(pauses) < 100:
        if isinstance(effect, Sleep):
            assert effect.jittered
            pauses.append(effect.seconds)
        else:
            assert isinstance(effect, Call)
        effect = flow.send(None if isinstance(effect, Sleep) else answer)


def test_leftovers_without_end_are_given_up_and_what_was_written_is_counted() -> None:
    options = Options.of({"table": "t", "partition_key": "pk", "endpoint_url": "http://127.0.0.1:1"})
    job, pace = Job("j", "write", "t", options), Paced()
    schema = t.StructType([t.StructField("pk", t.StringType())])
    rows = [Row(number, key := f'"pk":{{"S":"{number}"}}', key) for number in range(25)]
    pauses: list[float] = []
    with Meter(job, config_of(options), pace) as meter, Quarantine(job, meter) as quarantine:
        table = Table("t", ("pk",), ("pk",), ())
        writes = BatchWrites(table, options, columns_of(schema), meter, pace, quarantine)
        (flow,) = writes.flows(rows, batch_of([(str(number),) for number in range(25)], schema))
        left = [{"PutRequest": {"Item": {"pk": {"S": str(number)}}}} for number in (7, 9)]
        with pytest.raises(BatchIncompleteError) as failure:
            play(flow, {"UnprocessedItems": {"t": left}}, pauses)
        assert meter.counts.rows_written == 23
    assert sorted(item["pk"]["S"] for item in failure.value.unprocessed) == ["7", "9"]
    assert len(pauses) == 10
    assert pauses == sorted(pauses)
    assert pauses[-1] <= 5
    # Leftovers are for want of capacity: the rate limit hears of each, and each request asks it.
    assert (pace.throttles, pace.asked) == (11, 11)


# --- attempts that come twice -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"write_mode": "insert_only"}, {"write_mode": "update", "upsert": "true"}])
def test_two_attempts_at_a_task_leave_what_one_leaves(
    server: Server, table: str, tmp_path: Path, options: dict[str, str]
) -> None:
    """As speculation makes them, and a worker that died before Spark heard that it was done."""
    put(server, table, [wire("z", 1)])
    batch = batch_of([("a", number, number, None) for number in range(40)])
    expected = [wire("a", number, x={"N": str(number)}) for number in range(40)] + [wire("z", 1)]
    for _ in range(2):
        assert write(server, table, batch, **options, metrics_path=tmp_path).rows_written == 40
        assert stored(server, table) == expected
    assert len(reports(tmp_path, "write")) == 2  # each attempt has a report of its own


class Session:
    """What `register` asks of a session."""

    def __init__(self, speculation: str) -> None:
        self.conf = {"spark.speculation": speculation}
        self.dataSource = self
        self.registered: list[type] = []

    def register(self, source: type) -> None:
        self.registered.append(source)


@pytest.mark.parametrize("speculation", ["true", "false"])
def test_speculation_is_warned_of(speculation: str, caplog: pytest.LogCaptureFixture) -> None:
    session = Session(speculation)
    with caplog.at_level(logging.WARNING):
        register(session)  # type: ignore[arg-type]
    assert [source.name() for source in session.registered] == ["dynamodb"]
    assert ("spark.speculation is on" in caplog.text) is (speculation == "true")
