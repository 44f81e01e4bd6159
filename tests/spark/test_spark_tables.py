"""Reading and writing tables through a real session, on a real server."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.servers import Server
from tests.spark.conftest import SERVER, make_table, put, stored
from tests.spark.shop import Address, Order, Orders, Status, Ticket, Tickets

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, DataFrameReader, DataFrameWriter, SparkSession

pytestmark = pytest.mark.usefixtures("spark")


def read(spark: SparkSession, server: Server, **options: Any) -> DataFrameReader:
    reader = spark.read.format("dynamodb").option("endpoint_url", str(server.endpoint_url))
    return reader.options(**{name: str(value) for name, value in options.items()})


def write(frame: DataFrame, server: Server, **options: Any) -> DataFrameWriter:
    writer = frame.write.format("dynamodb").mode("append").option("endpoint_url", str(server.endpoint_url))
    return writer.options(**{name: str(value) for name, value in options.items()})


def items(count: int, **more: Any) -> list[dict[str, Any]]:
    return [{"pk": {"S": f"p{n % 5}"}, "sk": {"N": str(n)}, "n": {"N": str(n)}, **more} for n in range(count)]


def reports(folder: Path, kind: str = "") -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*.json")) if kind in path.name]


def test_round_trip(spark: SparkSession, server: Server, table: str, tmp_path: Path) -> None:
    schema = (
        "pk string, sk bigint, total decimal(12,2), at timestamp, note string, list array<double>, m map<string,int>"
    )
    rows = [
        ("a", 1, Decimal("12.50"), dt.datetime(2024, 3, 10, 7, 30, 0, 5, dt.UTC), 'q"ü\n', [0.1, None], {"x": 1}),
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


def test_a_repository_names_table_keys_and_schema(spark: SparkSession, server: Server) -> None:
    # Workers find prefix and environment in their own environment, where there are none: so there are none here.
    orders = Orders(server.running.config(""))
    orders.create_table()
    try:
        placed = dt.datetime(2024, 3, 31, 1, 30, tzinfo=dt.UTC)
        order = Order(
            pk="c1", sk=7, status=Status.PAID, total=Decimal("12.50"), placed_at=placed, tags={"a", "b"},
            codes={1, 2**40}, address=Address(street="x", zip="1"), prices={"eur": 0.1}, lines=[1, 2], blob=b"\x00",
            expires_at=placed.replace(year=2090),  # the server deletes what has expired
        )  # fmt: skip
        orders.create(order)
        orders.create(Order(pk="c2", sk=8))
        frame = read(spark, server, repository="tests.spark.shop:Orders").load()
        forms = {field.name: field.metadata.get("dynamodb") for field in frame.schema}
        assert {name: form for name, form in forms.items() if form} == {
            "tags": "SS", "codes": "NS", "expires_at": "epoch",
        }  # fmt: skip
        before = stored(server, orders.table_name)
        # Sets, epochs and all: a round trip through a shuffle leaves the very same items.
        again = frame.repartition(2).union(frame.limit(0)).withColumnRenamed("pk", "key").withColumnRenamed("key", "pk")
        write(again, server, repository="tests.spark.shop:Orders").save()
        assert [same_sets(item) for item in stored(server, orders.table_name)] == [same_sets(item) for item in before]
        assert orders.get_or_raise("c1", 7) == order
        # A computed column has lost its metadata; the repository still knows.
        computed = frame.selectExpr(
            "pk", "sk", "transform(tags, t -> upper(t)) as tags", "expires_at + interval 1 day as expires_at"
        )
        assert computed.schema["tags"].metadata == {}
        write(computed, server, repository="tests.spark.shop:Orders", write_mode="update", nulls="skip").save()
        assert orders.get_or_raise("c1", 7).tags == {"A", "B"}
        with pytest.raises(Exception, match="'total' is string"):
            write(
                frame.selectExpr("pk", "sk", "string(total) total"), server, repository="tests.spark.shop:Orders"
            ).save()
        found = read(spark, server, repository="tests.spark.shop:Orders", index="by_status").load()
        assert found.where("status = 'paid'").select("pk").collect() == [("c1",)]
    finally:
        orders.delete_table()


def same_sets(item: dict[str, Any]) -> dict[str, Any]:
    return {
        name: {tag: sorted(payload) if tag in ("SS", "NS", "BS") else payload for tag, payload in wire.items()}
        for name, wire in item.items()
    }


def test_items_of_older_versions_are_brought_up_to_date(spark: SparkSession, server: Server) -> None:
    tickets = Tickets(server.running.config(""))
    tickets.create_table()
    reader = read(spark, server, repository="tests.spark.shop:Tickets", pushdown=True)
    try:
        put(server, tickets.table_name, [{"pk": {"S": "a"}, "sk": {"N": "1"}, "title": {"S": "old"}}])
        tickets.create(Ticket(pk="a", sk=2, label="new", priority=1))
        spark.conf.set("spark.sql.python.filterPushdown.enabled", "true")
        try:
            for condition, expected in (
                ("true", [(1, "old", 5), (2, "new", 1)]),
                ("priority = 5 AND pk = 'a'", [(1, "old", 5)]),
                ("label = 'old'", [(1, "old", 5)]),
                ("pk = 'a' AND sk > 1", [(2, "new", 1)]),
            ):
                assert sorted(reader.load().where(condition).select("sk", "label", "priority").collect()) == expected
        finally:
            spark.conf.unset("spark.sql.python.filterPushdown.enabled")
        frame = reader.load()
        write(frame, server, repository="tests.spark.shop:Tickets").save()
        assert [item["schema_version"] for item in stored(server, tickets.table_name)] == [{"N": "2"}] * 2
        assert tickets.get_or_raise("a", 1) == Ticket(pk="a", sk=1, label="old", priority=5)
    finally:
        tickets.delete_table()


# --- reading ---------------------------------------------------------------------------------------------------------


def test_segments_read_every_item_once(spark: SparkSession, server: Server, table: str, tmp_path: Path) -> None:
    put(server, table, items(230))
    frame = read(spark, server, segments=7, tasks=3, page_size=10, metrics_path=tmp_path).schema("pk string, n int")
    loaded = frame.load(table)
    assert loaded.rdd.getNumPartitions() == 3
    assert sorted(row.n for row in loaded.collect()) == list(range(230))
    assert sum(report["counts"]["rows_read"] for report in reports(tmp_path)) == 230
    assert {report["outcome"] for report in reports(tmp_path)} == {"ok"}


def test_an_empty_table_has_no_rows(spark: SparkSession, server: Server, table: str) -> None:
    assert read(spark, server).schema("pk string, m map<string,int>").load(table).collect() == []
    assert read(spark, server).schema("pk string").load(table).count() == 0


def test_missing_and_null_are_null_and_a_wrong_type_is_named(
    spark: SparkSession, server: Server, table: str, tmp_path: Path
) -> None:
    good = [{"pk": {"S": "a"}, "sk": {"N": "1"}}, {"pk": {"S": "a"}, "sk": {"N": "2"}, "n": {"NULL": True}}]
    put(server, table, [*good, {"pk": {"S": "a"}, "sk": {"N": "3"}, "n": {"S": "three"}}])
    schema = "pk string, sk int, n bigint"
    with pytest.raises(Exception, match=r"attribute 'n' is of DynamoDB type S; its column is bigint"):
        read(spark, server).schema(schema).load(table).collect()
    nulls = read(spark, server, on_mismatch="null").schema(schema).load(table)
    assert [row.n for row in nulls.collect()] == [None] * 3
    assert nulls.where("n is null").count() == 3
    apart = read(spark, server, on_mismatch="quarantine", quarantine=tmp_path / "q").schema(schema).load(table)
    assert [row.sk for row in apart.orderBy("sk").collect()] == [1, 2]
    (entry,) = [json.loads(path.read_text()) for path in (tmp_path / "q").iterdir()][:1]
    assert entry["item"]["sk"] == {"N": "3"}
    assert "DynamoDB type S" in entry["reason"]


def test_early_stop_reads_little(spark: SparkSession, server: Server, table: str, tmp_path: Path) -> None:
    put(server, table, items(600))
    loaded = read(spark, server, segments=1, metrics_path=tmp_path).schema("pk string, n int").load(table)
    assert len(loaded.limit(5).collect()) == 5
    assert sum(report["counts"]["requests"] for report in reports(tmp_path)) <= 3


def test_options_of_a_request(spark: SparkSession, server: Server, table: str) -> None:
    put(server, table, items(3, status={"S": "open"}))
    frame = read(spark, server, consistent="true").schema("pk string, n int").load(table)
    assert frame.count() == 3
    indexed = read(spark, server, index="by_status").schema("status string, n int").load(table)
    assert sorted(row.n for row in indexed.collect()) == [0, 1, 2]
    with pytest.raises(Exception, match="no index 'by_colour'; it has: by_status"):
        read(spark, server, index="by_colour").schema("n int").load(table).collect()


def test_keys_in_the_options_spare_describe_table(spark: SparkSession, server: Server, table: str) -> None:
    put(server, table, items(3))
    told = read(spark, server, partition_key="pk", sort_key="sk", segments=2, page_size=1).schema("n int").load(table)
    assert sorted(row.n for row in told.collect()) == [0, 1, 2]


def test_inference_states_its_doubts_and_refuses_to_guess(spark: SparkSession, server: Server, table: str) -> None:
    put(server, table, items(30, price={"N": "1.25"}, tags={"SS": ["a"]}, at={"M": {"x": {"BOOL": True}}}))
    schema = read(spark, server).load(table).schema
    assert schema.simpleString() == (
        "struct<pk:string,sk:bigint,at:struct<x:boolean>,n:bigint,price:decimal(38,2),tags:array<string>>"
    )
    assert schema["tags"].metadata == {"dynamodb": "SS"}
    put(server, table, [{"pk": {"S": "x"}, "sk": {"N": "-1"}, "price": {"S": "cheap"}}])
    with pytest.raises(Exception, match="'price' has values of the DynamoDB types N, S"):
        read(spark, server).load(table)
    with pytest.raises(Exception, match="the table is empty"):
        read(spark, server).load(make_table(server))


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"aws_secret_access_key": "x"}, "would be secret"),
        ({"colour": "red"}, "'colour' is unknown; known are: capacity"),
        ({"segments": "0"}, "whole number, 1 or more"),
        ({"capacity": "5", "capacity_percent": "5"}, "choose one"),
        ({"capacity_percent": "50"}, "on demand"),
        ({"on_mismatch": "quarantine"}, "does not say where"),
        ({"on_mismatch": "shrug"}, "must be one of fail, null, quarantine"),
        ({"config": "tests.nowhere:config"}, "cannot be imported"),
        ({"endpoint_url": "embedded://x"}, "cannot reach"),
        ({"model": "tests.spark.shop:Loose"}, "can be anything"),
    ],
)
def test_wrong_options_are_refused_at_planning(
    spark: SparkSession, server: Server, table: str, options: dict[str, str], reason: str
) -> None:
    reader = read(spark, server, **options)
    if "model" not in options:
        reader = reader.schema("pk string")
    with pytest.raises(Exception, match=reason):
        reader.load(table).collect()


def test_no_secret_is_in_a_plan(spark: SparkSession, server: Server, table: str) -> None:
    frame = read(spark, server).schema("pk string").load(table)
    plan = frame._jdf.queryExecution().toString()
    assert "testing" not in plan


# --- writing ---------------------------------------------------------------------------------------------------------


def frame_of(
    spark: SparkSession, rows: list[tuple[Any, ...]], schema: str = "pk string, sk int, a string, b int"
) -> Any:
    return spark.createDataFrame(rows, schema)


def wire(pk: str, sk: int, **attributes: Any) -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"N": str(sk)}, **attributes}


def test_put_replaces_whole_items_and_the_last_row_of_a_key_wins(
    spark: SparkSession, server: Server, table: str, tmp_path: Path
) -> None:
    put(server, table, [wire("a", 1, old={"S": "x"})])
    rows = [("a", 1, f"v{n}", n) for n in range(60)] + [("b", 1, None, None)]
    write(frame_of(spark, rows).coalesce(1), server, metrics_path=tmp_path).save(table)
    assert stored(server, table) == [wire("a", 1, a={"S": "v59"}, b={"N": "59"}), wire("b", 1)]
    (job,) = reports(tmp_path, "job")
    assert job["counts"]["rows_written"] == 61


def test_delete_needs_keys_only(spark: SparkSession, server: Server, table: str) -> None:
    put(server, table, [wire("a", 1), wire("a", 2), wire("b", 1)])
    write(frame_of(spark, [("a", 1, None, None), ("x", 9, "y", 1)]), server, write_mode="delete").save(table)
    assert stored(server, table) == [wire("a", 2), wire("b", 1)]


@pytest.mark.parametrize(
    ("nulls", "expected"),
    [
        ("remove", {"b": {"N": "2"}}),
        ("null", {"a": {"NULL": True}, "b": {"N": "2"}}),
        ("skip", {"a": {"S": "x"}, "b": {"N": "2"}}),
    ],
)
def test_update_changes_the_columns_only(
    spark: SparkSession, server: Server, table: str, nulls: str, expected: dict[str, Any]
) -> None:
    put(server, table, [wire("a", 1, a={"S": "x"}, b={"N": "1"}, other={"S": "kept"})])
    write(frame_of(spark, [("a", 1, None, 2)]), server, write_mode="update", nulls=nulls).save(table)
    assert stored(server, table) == [wire("a", 1, other={"S": "kept"}, **expected)]


def test_update_makes_no_item_unless_asked_to(spark: SparkSession, server: Server, table: str) -> None:
    rows = frame_of(spark, [("a", 1, "x", 2), ("a", 2, None, None)])
    with pytest.raises(Exception, match="2 rows could not be written: there is no item with this key"):
        write(rows.coalesce(1), server, write_mode="update").save(table)
    assert stored(server, table) == []
    write(rows, server, write_mode="update", upsert="true", nulls="null").save(table)
    assert stored(server, table)[0] == wire("a", 1, a={"S": "x"}, b={"N": "2"})


def test_insert_only_never_replaces_and_a_repeated_attempt_meets_its_own_items(
    spark: SparkSession, server: Server, table: str, tmp_path: Path
) -> None:
    put(server, table, [wire("a", 1, a={"S": "other"}), wire("a", 2, a={"S": "mine"}, b={"N": "1.0"})])
    rows = frame_of(spark, [("a", 1, "mine", 1), ("a", 2, "mine", 1), ("a", 3, "mine", 1)])
    quarantine = {"on_rejected": "quarantine", "quarantine": tmp_path / "q", "metrics_path": tmp_path / "m"}
    write(rows, server, write_mode="insert_only", **quarantine).save(table)
    assert [item["a"]["S"] for item in stored(server, table)] == ["other", "mine", "mine"]
    (job,) = reports(tmp_path / "m", "job")
    assert (job["counts"]["rows_written"], job["counts"]["rows_rejected"]) == (2, 1)
    (entry,) = reports(tmp_path / "q")
    assert entry["row"] == {"pk": "a", "sk": 1, "a": "mine", "b": 1}
    assert entry["reason"] == "there is another item with this key"


def test_rows_that_cannot_be_stored_fail_with_counts_and_the_others_are_written(
    spark: SparkSession, server: Server, table: str
) -> None:
    rows = [("a", 1, 1.0), ("a", 2, float("nan")), ("", 3, 1.0), (None, 4, 1.0)]
    frame = spark.createDataFrame(rows, "pk string, sk int, x double").coalesce(1)
    with pytest.raises(Exception, match=r"3 rows could not be written: 'x' is nan.*is empty.*is null"):
        write(frame, server).save(table)
    assert stored(server, table) == [wire("a", 1, x={"N": "1"})]


@pytest.mark.parametrize(
    ("schema", "options", "reason"),
    [
        ("pk string, a int", {}, "no column for the key .*: sk"),
        ("pk string, sk boolean", {}, "key 'sk' is boolean"),
        ("pk string, sk int", {"write_mode": "update"}, "besides the key"),
        ("pk string, sk int, i interval day", {}, "interval day"),
    ],
)
def test_frames_that_do_not_fit_are_refused_at_planning(
    spark: SparkSession, server: Server, table: str, schema: str, options: dict[str, str], reason: str
) -> None:
    with pytest.raises(Exception, match=reason):
        write(spark.createDataFrame([], schema), server, **options).save(table)


def test_overwrite_is_refused_unless_it_is_asked_for(spark: SparkSession, server: Server, table: str) -> None:
    put(server, table, [wire("z", 1)])
    frame = frame_of(spark, [("a", 1, None, None)])
    with pytest.raises(Exception, match="would have to delete"):
        write(frame, server).mode("overwrite").save(table)
    write(frame, server, overwrite="replace_items").mode("overwrite").save(table)
    assert stored(server, table) == [wire("a", 1), wire("z", 1)]


def test_float32_keeps_its_digits(spark: SparkSession, server: Server, table: str) -> None:
    frame = spark.createDataFrame([("a", 1, 0.1)], "pk string, sk int, x float")
    write(frame, server).save(table)
    assert stored(server, table) == [wire("a", 1, x={"N": "0.1"})]
    assert read(spark, server).schema("pk string, sk int, x float").load(table).collect() == frame.collect()


def test_delete_looks_at_the_keys_only(spark: SparkSession, server: Server, table: str) -> None:
    put(server, table, [wire("a", 1)])
    frame = spark.createDataFrame([("a", 1, float("nan"))], "pk string, sk int, x double")
    write(frame, server, write_mode="delete").save(table)
    assert stored(server, table) == []


def test_a_config_of_ones_own_and_the_lane_through_botocore(spark: SparkSession, server: Server, table: str) -> None:
    schema = "pk string, sk int, b binary, m map<string,binary>, s string"
    frame = spark.createDataFrame([("a", 1, bytearray(b"\x00\xff"), {"x": bytearray(b"y")}, "é")], schema)
    for mode in ("put", "insert_only", "update"):
        write(frame, server, config="tests.spark.shop:through_botocore", write_mode=mode).save(table)
        back = read(spark, server, config="tests.spark.shop:through_botocore").schema(schema).load(table)
        assert back.collect() == frame.collect()
    assert stored(server, table)[0]["b"] == {"B": b"\x00\xff"}
    with pytest.raises(Exception, match="gives str, no DynamoDBConfig"):
        read(spark, server, config="tests.spark.shop:no_config").schema(schema).load(table).collect()


def test_reports_reach_a_function(spark: SparkSession, server: Server, table: str, tmp_path: Path) -> None:
    frame = frame_of(spark, [("a", 1, None, None)]).coalesce(1)
    options = {"metrics": "tests.spark.shop:noted_report", "run_id": tmp_path}
    write(frame, server, **options).save(table)
    read(spark, server, **options, tasks=1).schema("pk string").load(table).collect()
    found = {path.name.split("-", 2)[2][:5]: path.read_text() for path in tmp_path.iterdir()}
    assert found == {"write": "TaskReport", "job": "JobReport", "read-": "TaskReport"}


def test_a_percentage_is_of_what_is_provisioned(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("pyspark", reason="pyspark is not installed here: `make spark` runs these tests")
    from dynamodb_wrapper.spark.options import Options
    from dynamodb_wrapper.spark.tables import capacity_of, config_of, table_of

    for name, value in SERVER.items():
        monkeypatch.setenv(name, value)
    units = {"ReadCapacityUnits": 40, "WriteCapacityUnits": 10}
    server.client.create_table(
        TableName=f"{server.table_prefix}-provisioned",
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
        AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
        BillingMode="PROVISIONED",
        ProvisionedThroughput=units,
    )
    given = {"table": f"{server.table_prefix}-provisioned", "endpoint_url": str(server.endpoint_url)}
    options = Options.of({**given, "capacity_percent": "25"})
    config = config_of(options)
    table = table_of(options, config)
    assert [capacity_of(options, table, unit, config) for unit in ("Read", "Write")] == [10.0, 2.5]
    assert capacity_of(Options.of({**given, "capacity": "7"}), table, "Read", config) == 7.0
    assert capacity_of(Options.of(given), table, "Read", config) is None
