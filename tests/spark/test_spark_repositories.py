"""Repositories whose keys are made of fields, and those that share a table: the rows are the models' plain fields."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("pyspark", reason="pyspark is not installed here: `make spark` runs these tests")

import pyarrow as pa
from pyspark.sql import datasource as ds
from pyspark.sql import types as t
from pyspark.sql.pandas.types import to_arrow_schema

from dynamodb_wrapper import BaseDynamoRepository, F, ValidationError
from dynamodb_wrapper.spark.options import Options
from dynamodb_wrapper.spark.sink import DynamoDBWriter, TaskDone, planned_write
from dynamodb_wrapper.spark.source import DynamoDBDataSource, DynamoDBReader
from tests.servers import Server
from tests.spark.conftest import SERVER
from tests.spark.shop import (
    Bid,
    Bids,
    Calls,
    Card,
    Customer,
    Customers,
    Payments,
    Reading,
    Readings,
    Status,
    Transfer,
    Visit,
    Visits,
)
from tests.spark.test_spark_tables import read
from tests.spark.test_spark_tables import write as write_frame

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

AT = dt.datetime(2026, 11, 2, 9, 30, tzinfo=dt.UTC)
KEYS = ("pk", "sk", "by_place_pk", "by_place_sk")
TYPES: dict[str, t.DataType] = {
    "string": t.StringType(), "bigint": t.LongType(), "int": t.IntegerType(), "double": t.DoubleType(),
    "timestamp": t.TimestampType(),
}  # fmt: skip


def columns(ddl: str) -> t.StructType:
    """Return a schema, without the JVM that Spark parses it with."""
    return t.StructType([t.StructField(name, TYPES[kind]) for name, kind in map(str.split, ddl.split(", "))])


DDL = "user string, number bigint, place string, status string, at timestamp"
VISITS = columns(DDL)
BIDS = columns("customerId string, number bigint, label string")


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SERVER.items():
        monkeypatch.setenv(name, value)


def made(server: Server, kind: type[BaseDynamoRepository[Any]]) -> Iterator[Any]:
    # Workers find prefix and environment in their own environment, where there are none: so there are none here.
    repository = kind(server.running.config(""))
    repository.create_table()
    yield repository
    repository.delete_table()


@pytest.fixture
def visits(server: Server) -> Iterator[Visits]:
    yield from made(server, Visits)


@pytest.fixture
def readings(server: Server) -> Iterator[Readings]:
    yield from made(server, Readings)


@pytest.fixture
def bids(server: Server) -> Iterator[Bids]:
    """One of the repositories of the bazaar, beside a customer and a payment."""
    for bids in made(server, Bids):
        Customers(bids.config).create(Customer(customerId="c1", email="Ann@example.org"))
        Payments(bids.config).create(Card(customer_id="c1", payment_id="p1", last_four="1234"))
        yield bids


def chosen(server: Server, name: str, options: dict[str, Any]) -> Options:
    given = {"repository": f"tests.spark.shop:{name}", "endpoint_url": server.endpoint_url, **options}
    return Options.of({option: str(value) for option, value in given.items()})


def write(server: Server, name: str, schema: t.StructType, rows: Iterable[tuple[Any, ...]], **options: Any) -> Any:
    """Write rows as one task; return its counts."""
    named = [dict(zip(schema.names, row, strict=True)) for row in rows]
    batch = pa.RecordBatch.from_pylist(named, schema=to_arrow_schema(schema, timezone="UTC"))
    writing = planned_write(chosen(server, name, options), schema, overwrites=False, hosts=1)
    done = DynamoDBWriter(writing).write(iter([batch]))
    assert isinstance(done, TaskDone)
    return done.report.counts


def rows(server: Server, name: str, *filters: ds.Filter, **options: Any) -> list[dict[str, Any]]:
    """Read all rows as Spark would have them before it filters."""
    return [row for batch in batches(reader(server, name, *filters, **options)) for row in batch.to_pylist()]


def reader(server: Server, name: str, *filters: ds.Filter, ddl: str | None = None, **options: Any) -> DynamoDBReader:
    given = {"repository": f"tests.spark.shop:{name}", "endpoint_url": server.endpoint_url, **options}
    source = DynamoDBDataSource({option: str(value) for option, value in given.items()})
    found = source.reader(source.schema() if ddl is None else columns(ddl))
    assert isinstance(found, DynamoDBReader)
    if filters:
        found.push(filters)
    return found


def batches(found: DynamoDBReader) -> Iterator[pa.RecordBatch]:
    for partition in found.partitions():
        yield from found.read(partition)


def stored(server: Server, table: str) -> dict[str, dict[str, Any]]:
    """All items of a table, in wire form, by their keys."""
    found = server.client.scan(TableName=table, ConsistentRead=True)["Items"]
    return {f"{item['pk']['S']} {item['sk']['S']}": dict(item) for item in found}


def keys_of(item: dict[str, Any]) -> dict[str, str]:
    return {name: item[name]["S"] for name in KEYS if name in item}


def rejected(folder: Path) -> list[str]:
    return [json.loads(line)["reason"] for path in folder.glob("*.json") for line in path.read_text().splitlines()]


# --- through Spark ---------------------------------------------------------------------------------------------------


def test_a_round_trip_through_spark(spark: SparkSession, server: Server, visits: Visits) -> None:
    models = [
        Visit(user="Ann", number=1, place="x#y", at=AT),
        Visit(user="ann", number=2, place="p", status=Status.PAID),
        Visit(user="$b c", number=3),
    ]
    for model in models:
        visits.create(model)
    before = stored(server, visits.table_name)
    frame = read(spark, server, repository="tests.spark.shop:Visits").load()
    assert frame.columns == ["user", "number", "place", "status", "at"]
    assert sorted(frame.select("user", "number").collect()) == [("$b c", 3), ("Ann", 1), ("ann", 2)]
    kept = frame.repartition(2).cache()
    assert kept.count() == 3
    for model in models:
        visits.delete(model.user, model.number)
    write_frame(kept, server, repository="tests.spark.shop:Visits").save()
    # The very items that the repository had written, keys of indexes and all.
    assert stored(server, visits.table_name) == before
    assert [visit.number for visit in visits.query("ANN")] == [1, 2]
    spark.conf.set("spark.sql.python.filterPushdown.enabled", "true")
    try:
        loaded = read(spark, server, repository="tests.spark.shop:Visits", pushdown=True).load()
        assert loaded.where("user = 'Ann'").select("number").collect() == [(1,)]
    finally:
        spark.conf.unset("spark.sql.python.filterPushdown.enabled")
    indexed = read(spark, server, repository="tests.spark.shop:Visits", index="by_place").load()
    assert indexed.select("number").collect() == [(1,)]  # only what has the index's whole key is in it


def test_a_shared_table_through_spark(spark: SparkSession, server: Server, bids: Bids) -> None:
    bids.create(Bid(customerId="c1", number=7, label="x"))
    frame = read(spark, server, repository="tests.spark.shop:Bids").load()
    assert frame.collect() == [("c1", 7, "x")]
    more = frame.selectExpr("customerId", "number + 1 as number", "upper(label) as label")
    write_frame(more, server, repository="tests.spark.shop:Bids").save()
    assert bids.get_or_raise("c1", 8).label == "X"
    payments = read(spark, server, repository="tests.spark.shop:Payments").load()
    assert payments.schema.simpleString() == (
        "struct<customer_id:string,payment_id:string,method:string,last_four:string,iban:string>"
    )
    assert payments.collect() == [("c1", "p1", "card", "1234", None)]


# --- keys made of fields ---------------------------------------------------------------------------------------------


def test_rows_are_stored_as_the_repository_stores_models(server: Server, visits: Visits) -> None:
    models = [
        Visit(user="Ann", number=1, place="a#b", at=AT),
        Visit(user="ann", number=2, place="p", at=AT, status=Status.PAID),
        Visit(user="ü \x00", number=10**7),
    ]
    for model in models:
        visits.create(model)
    expected = stored(server, visits.table_name)
    for model in models:
        visits.delete(model.user, model.number)
    given = [(one.user, one.number, one.place, one.status.value, one.at) for one in models]
    assert write(server, "Visits", VISITS, given).rows_written == 3
    assert stored(server, visits.table_name) == expected


def test_rows_with_equal_keys_are_one_item(server: Server, visits: Visits) -> None:
    given = [("Ann", 1, "x", "open", AT), ("ANN", 1, "y", "paid", None)]
    assert write(server, "Visits", VISITS, given).rows_written == 2
    (item,) = stored(server, visits.table_name).values()
    assert keys_of(item) == {"pk": "USER#ann", "sk": "VISIT#00000001", "by_place_pk": "PLACE#y#paid"}


def test_a_null_is_read_with_its_default_and_so_it_is_in_keys(server: Server, visits: Visits) -> None:
    write(server, "Visits", VISITS, [("a", 1, "x", None, AT), ("a", 2, None, None, None)])
    one, two = (keys_of(item) for _, item in sorted(stored(server, visits.table_name).items()))
    assert (one["by_place_pk"], one["by_place_sk"]) == ("PLACE#x#open", "2026-11-02T09:30:00.000000Z")
    assert two.keys() == {"pk", "sk"}
    assert [visit.number for visit in visits.by_place("x", Status.OPEN)] == [1]


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        ((None, 1, None, None, None), "key 'pk' cannot be made: user cannot be null"),
        (("a", None, None, None, None), "key 'sk' cannot be made: number cannot be null"),
        (("a", -1, None, None, None), "only whole numbers from 0 on"),
        (("a", 10**8, None, None, None), "more than the 8 digits"),
        (("a" * 2050, 1, None, None, None), "DynamoDB allows 2,048"),
        (("a", 1, "x", "shut", None), "status"),
    ],
    ids=lambda value: str(value)[:40],
)
def test_a_row_that_makes_no_key_is_rejected(
    server: Server, visits: Visits, tmp_path: Path, row: tuple[Any, ...], reason: str
) -> None:
    given = [("good", 1, None, None, None), row]
    counts = write(server, "Visits", VISITS, given, on_rejected="quarantine", quarantine=tmp_path)
    assert (counts.rows_written, counts.rows_rejected) == (1, 1)
    (told,) = rejected(tmp_path)
    assert reason in told
    assert list(stored(server, visits.table_name)) == ["USER#good VISIT#00000001"]


@pytest.mark.parametrize(
    ("schema", "options", "reason"),
    [
        ("number int", {}, "no column for the key of table '.*visits': user"),
        ("user string, number int, place string, at timestamp", {}, "'by_place_pk' of place, status.*has no status"),
        ("user string, number int, pk string", {}, "makes pk of the fields"),
        ("user string, number int, place string", {"write_mode": "update"}, "has no status"),
        ("user string, number int", {"write_mode": "update"}, "columns besides the key"),
        ("user string, number int, place string", {"write_mode": "update", "upsert": "true"}, "has no status"),
    ],
)
def test_a_frame_that_makes_no_keys_is_refused(
    server: Server, visits: Visits, schema: str, options: dict[str, str], reason: str
) -> None:
    with pytest.raises(ValidationError, match=reason):
        planned_write(chosen(server, "Visits", options), columns(schema), overwrites=False, hosts=1)


def test_an_update_moves_the_keys_that_its_columns_are_part_of(server: Server, visits: Visits, tmp_path: Path) -> None:
    visits.create(Visit(user="Ann", number=1, place="x", at=AT))
    visits.create(Visit(user="Ann", number=2, place="x", at=AT))
    only_time = columns("user string, number bigint, status string, at timestamp, place string")
    moved = [("ANN", 1, "paid", AT, "y"), ("ANN", 2, "open", AT, None)]
    write(server, "Visits", only_time, moved, write_mode="update")
    one, two = (keys_of(item) for _, item in sorted(stored(server, visits.table_name).items()))
    assert one == {"pk": "USER#ann", "sk": "VISIT#00000001", "by_place_pk": "PLACE#y#paid"}
    assert two == {"pk": "USER#ann", "sk": "VISIT#00000002", "by_place_sk": "2026-11-02T09:30:00.000000Z"}
    # The fields of the key are as they were; another key would be another item.
    assert visits.get_or_raise("ann", 1) == Visit(user="Ann", number=1, place="y", at=AT, status=Status.PAID)
    # What is skipped is not known, so nothing can be made of a part of it.
    given = [("ann", 1, None, None, None), ("ann", 2, None, AT, "z"), ("ann", 9, "open", AT, "z")]
    options = {"write_mode": "update", "nulls": "skip", "on_rejected": "quarantine", "quarantine": tmp_path}
    counts = write(server, "Visits", only_time, given, **options)
    assert (counts.rows_written, counts.rows_rejected) == (1, 2)
    reasons = sorted(rejected(tmp_path))
    assert "'by_place_pk' is made of place, status, and what is stored of status is not known" in reasons[0]
    assert reasons[1] == "there is no item with this key"
    assert keys_of(stored(server, visits.table_name)["USER#ann VISIT#00000001"]) == one


def test_an_upsert_makes_an_item_that_the_repository_reads(server: Server, visits: Visits) -> None:
    options = {"write_mode": "update", "upsert": "true"}
    assert write(server, "Visits", VISITS, [("Ann", 1, "x", "open", AT)], **options).rows_written == 1
    assert visits.get_or_raise("ann", 1) == Visit(user="Ann", number=1, place="x", at=AT)
    assert [visit.number for visit in visits.by_place("x", Status.OPEN)] == [1]


def test_a_delete_needs_the_fields_of_the_key(server: Server, visits: Visits) -> None:
    visits.create(Visit(user="Ann", number=1))
    visits.create(Visit(user="Ann", number=2))
    schema = columns("user string, number bigint, pk string, other double")
    assert write(server, "Visits", schema, [("ann", 1, "?", float("nan"))], write_mode="delete").rows_written == 1
    assert [visit.number for visit in visits.query("ann")] == [2]


def test_inserts_never_replace(server: Server, visits: Visits, tmp_path: Path) -> None:
    visits.create(Visit(user="Ann", number=1, place="x"))
    given = [("ann", 1, "y", "open", None), ("ann", 2, "y", "open", None)]
    options = {"write_mode": "insert_only", "on_rejected": "quarantine", "quarantine": tmp_path}
    for _ in range(2):  # an attempt that is repeated meets its own item
        counts = write(server, "Visits", VISITS, given, **options)
        assert (counts.rows_written, counts.rows_rejected) == (1, 1)
    assert visits.get_or_raise("ann", 1).place == "x"


def test_filters_on_the_fields_of_a_partition_key_become_queries(server: Server, visits: Visits) -> None:
    for number in range(20):
        visits.create(Visit(user=f"u{number % 4}", number=number, place=f"p{number % 2}", at=AT))
    found = reader(server, "Visits", ds.EqualTo(("user",), "U1"), ds.GreaterThan(("number",), 5))
    queried = [work for partition in found.partitions() for work in partition.value]
    assert [operation for operation, _ in queried] == ["Query"]
    assert queried[0][1]["ExpressionAttributeValues"][":v0"] == {"S": "USER#u1"}
    few = rows(server, "Visits", ds.In(("user",), ("u2", "u1", "u9")), ds.LessThan(("number",), 3))
    assert sorted(row["number"] for row in few) == [1, 2]
    assert {row["number"] for row in rows(server, "Visits", ds.In(("user",), ("u1", "u2")))} == {
        number for number in range(20) if number % 4 in (1, 2)
    }
    visits.create(Visit(user="", number=99))
    assert [row["number"] for row in rows(server, "Visits", ds.In(("user",), ("", "x" * 2048)))] == [99]
    by_place = (ds.EqualTo(("place",), "p1"), ds.EqualTo(("status",), "open"))
    assert len(rows(server, "Visits", *by_place, index="by_place")) == 10
    assert reader(server, "Visits", *by_place, index="by_place").pushed.partitions == ("PLACE#p1#open",)
    both = reader(
        server, "Visits", ds.EqualTo(("user",), "u1"), ds.EqualTo(("sk",), "VISIT#00000005"), ddl=f"{DDL}, sk string"
    )
    assert [row["sk"] for batch in batches(both) for row in batch.to_pylist()] == ["VISIT#00000005"]
    for scanned in ([ds.EqualTo(("place",), "p1")], [*by_place[:1], ds.EqualTo(("status",), "shut")]):
        assert reader(server, "Visits", *scanned, index="by_place").pushed.partitions is None


def test_shards_are_written_and_read(server: Server, readings: Readings) -> None:
    schema = columns("day string, device string, value bigint")
    given = [("2026-11-02", f"d{number}", number) for number in range(20)]
    assert write(server, "Readings", schema, given).rows_written == 20
    assert len({key.split()[0] for key in stored(server, readings.table_name)}) == 4
    assert readings.get_or_raise("2026-11-02", "d7") == Reading(day="2026-11-02", device="d7", value=7)
    assert sorted(row["value"] for row in rows(server, "Readings")) == list(range(20))
    found = reader(server, "Readings", ds.EqualTo(("day",), "2026-11-02"))
    assert len(found.pushed.partitions or ()) == 4
    assert sum(batch.num_rows for batch in batches(found)) == 20
    assert write(server, "Readings", schema, given[:5], write_mode="delete").rows_written == 5
    assert len(stored(server, readings.table_name)) == 15


def test_attributes_that_a_function_computes(server: Server, tmp_path: Path) -> None:
    schema = columns("number string, at timestamp, seconds bigint")
    for calls in made(server, Calls):
        given = [("1", AT, 60), ("2", AT, 59), ("3", AT, None), ("4", None, 60), ("5", None, 1)]
        write(server, "Calls", schema, given, on_rejected="quarantine", quarantine=tmp_path)
        assert [reason.split(":")[0] for reason in rejected(tmp_path)] == ["'long_at' cannot be computed"]
        assert sorted(call.number for call in calls.long("09")) == ["1"]  # "3" lacks what the index sorts by
        found = {item["number"]["S"]: item.get("long_at") for item in calls_of(server, calls)}
        assert found == {"1": {"S": "09"}, "2": None, "3": {"S": "09"}, "5": None}
        write(server, "Calls", schema, [("1", AT, 5)], write_mode="update")
        assert list(calls.long("09")) == []
        # A frame may compute it by itself.
        own = columns("number string, at timestamp, seconds bigint, long_at string")
        write(server, "Calls", own, [("5", AT, 1, "23")])
        assert [call.number for call in calls.long("23")] == ["5"]
        assert rows(server, "Calls", ds.EqualTo(("number",), "5"))[0].keys() == {"number", "at", "seconds"}


def calls_of(server: Server, calls: Calls) -> list[dict[str, Any]]:
    return [dict(item) for item in server.client.scan(TableName=calls.table_name)["Items"]]


# --- a shared table --------------------------------------------------------------------------------------------------


def put_stranger(server: Server, bids: Bids, key: str, **attributes: Any) -> dict[str, Any]:
    """Store what other software might have under a key that a bid would have."""
    item = {"pk": {"S": "CUSTOMER#c1"}, "sk": {"S": key}, **attributes}
    server.client.put_item(TableName=bids.table_name, Item=item)
    return item


@pytest.mark.parametrize("filtered", [False, True])
def test_strangers_are_not_read(server: Server, bids: Bids, *, filtered: bool) -> None:
    bids.create(Bid(customerId="c1", number=1, label="x"))
    put_stranger(server, bids, "BID#000002", customerId={"S": "c1"}, number={"N": "2"})
    put_stranger(server, bids, "BID#000003", customerId={"S": "c1"}, _kind={"S": "Offer"})
    filters = (ds.EqualTo(("customerId",), "c1"),) if filtered else ()
    assert rows(server, "Bids", *filters) == [{"customerId": "c1", "number": 1, "label": "x"}]
    assert rows(server, "Customers", *filters) == [{"customerId": "c1", "email": "Ann@example.org"}]
    found = rows(server, "Customers", ds.EqualTo(("email",), "Ann@example.org"), index="gsi1")
    assert [row["customerId"] for row in found] == ["c1"]


@pytest.mark.parametrize("mode", ["put", "insert_only", "update", "upsert", "delete"])
def test_strangers_are_not_written_over(server: Server, bids: Bids, tmp_path: Path, mode: str) -> None:
    strangers = [
        put_stranger(server, bids, "BID#000001", _kind={"S": "Offer"}),
        put_stranger(server, bids, "BID#000002"),
    ]
    bids.create(Bid(customerId="c1", number=3, label="old"))
    given = [("c1", number, "new") for number in (1, 2, 3)]
    options = {"write_mode": "update", "upsert": "true"} if mode == "upsert" else {"write_mode": mode}
    counts = write(server, "Bids", BIDS, given, **options, on_rejected="quarantine", quarantine=tmp_path)
    expected = (0, 3) if mode == "insert_only" else (1, 2)
    assert (counts.rows_written, counts.rows_rejected) == expected
    after = stored(server, bids.table_name)
    assert [after[f"CUSTOMER#c1 BID#00000{number}"] for number in (1, 2)] == strangers
    labels = {"insert_only": "old", "delete": None}
    found = bids.get("c1", 3)
    assert (None if found is None else found.label) == labels.get(mode, "new")
    reasons = {"insert_only": "there is another item with this key", "update": "there is no item with this key"}
    assert set(rejected(tmp_path)) == {reasons.get(mode, "an item of another kind has that key")}


def test_of_puts_in_a_shared_table_the_last_row_of_a_key_stays(server: Server, bids: Bids) -> None:
    given = [("c1", 1, f"v{number}") for number in range(50)]
    counts = write(server, "Bids", BIDS, given)
    assert (counts.rows_written, counts.requests) == (50, 1)
    assert bids.get_or_raise("c1", 1).label == "v49"
    item = stored(server, bids.table_name)["CUSTOMER#c1 BID#000001"]
    assert (item["_kind"], item["schema_version"]) == ({"S": "Bid"}, {"N": "2"})


def test_older_items_are_read_up_to_date_and_not_updated_as_if_they_were(
    server: Server, bids: Bids, tmp_path: Path
) -> None:
    older = put_stranger(
        server, bids, "BID#000001", customerId={"S": "c1"}, number={"N": "1"}, title={"S": "t"}, _kind={"S": "Bid"}
    )
    assert rows(server, "Bids") == [{"customerId": "c1", "number": 1, "label": "t"}]
    options = {"write_mode": "update", "on_rejected": "quarantine", "quarantine": tmp_path}
    assert write(server, "Bids", BIDS, [("c1", 1, "new")], **options).rows_rejected == 1
    assert "schema version 1" in rejected(tmp_path)[0]
    assert stored(server, bids.table_name)["CUSTOMER#c1 BID#000001"] == older
    # A put replaces it as a whole.
    assert write(server, "Bids", BIDS, [("c1", 1, "new")]).rows_written == 1
    assert bids.get_or_raise("c1", 1).label == "new"
    # A frame may say it itself, as one that was read otherwise.
    versioned = columns("customerId string, number bigint, title string, schema_version int")
    write(server, "Bids", versioned, [("c1", 2, "t", 1)])
    assert bids.get_or_raise("c1", 2).label == "t"


def test_items_of_newer_versions_fail_or_are_left_out(server: Server, bids: Bids, tmp_path: Path) -> None:
    bids.create(Bid(customerId="c1", number=1, label="x"))
    newer = {"_kind": {"S": "Bid"}, "schema_version": {"N": "3"}, "customerId": {"S": "c1"}, "number": {"N": "2"}}
    put_stranger(server, bids, "BID#000002", **newer)
    with pytest.raises(ValidationError, match="schema version 3, and this program knows 2"):
        rows(server, "Bids")
    found = rows(server, "Bids", on_mismatch="quarantine", quarantine=tmp_path)
    assert [row["number"] for row in found] == [1]
    assert len(set(rejected(tmp_path))) == 1
    assert "a newer program wrote it" in rejected(tmp_path)[0]


@pytest.mark.parametrize(("options", "is_refused"), [({}, True), ({"write_mode": "update"}, False)])
def test_a_version_in_a_field_of_the_model_is_a_column(
    server: Server, options: dict[str, str], *, is_refused: bool
) -> None:
    chosen_options, schema = chosen(server, "Notes", options), columns("pk string, text string")
    if is_refused:
        with pytest.raises(ValidationError, match=r"no column 'schema_version'.* Add it to the frame"):
            planned_write(chosen_options, schema, overwrites=False, hosts=1)
        schema = columns("pk string, text string, schema_version int")
    planned_write(chosen_options, schema, overwrites=False, hosts=1)


# --- unions ----------------------------------------------------------------------------------------------------------

PAYMENTS = columns("customer_id string, payment_id string, method string, last_four string, iban string")


def test_models_of_a_union_are_rows_of_all_their_fields(server: Server, bids: Bids) -> None:
    payments = Payments(bids.config)
    payments.create(Transfer(customer_id="c2", payment_id="p2", iban="DE02"))
    found = rows(server, "Payments")
    assert sorted(found, key=lambda row: str(row["payment_id"])) == [
        {"customer_id": "c1", "payment_id": "p1", "method": "card", "last_four": "1234", "iban": None},
        {"customer_id": "c2", "payment_id": "p2", "method": "transfer", "last_four": None, "iban": "DE02"},
    ]
    before = stored(server, bids.table_name)
    assert write(server, "Payments", PAYMENTS, [tuple(row.values()) for row in found]).rows_written == 2
    assert stored(server, bids.table_name) == before


def test_a_row_of_no_model_of_a_union_is_rejected(server: Server, bids: Bids, tmp_path: Path) -> None:
    given = [("c3", "p3", None, "1", None), ("c3", "p4", "cash", None, None), ("c3", "p5", "card", "1", None)]
    counts = write(server, "Payments", PAYMENTS, given, on_rejected="quarantine", quarantine=tmp_path)
    assert (counts.rows_written, counts.rows_rejected) == (1, 2)
    assert sorted("null" in reason for reason in rejected(tmp_path)) == [False, True]
    assert Payments(bids.config).count("c3") == 1


def test_an_update_of_a_union_can_make_no_other_model_of_an_item(server: Server, bids: Bids) -> None:
    without = t.StructType([field for field in PAYMENTS if field.name != "method"])
    for schema, options, reason in (
        (PAYMENTS, {"write_mode": "update"}, "can neither change it"),
        (without, {"write_mode": "update", "upsert": "true"}, "nor make an item"),
        (without, {}, "no such column"),
    ):
        with pytest.raises(ValidationError, match=reason):
            planned_write(chosen(server, "Payments", options), schema, overwrites=False, hosts=1)
    write(server, "Payments", without, [("c1", "p1", "99", None)], write_mode="update")
    assert Payments(bids.config).scan().where(F.payment_id == "p1").one().last_four == "99"
