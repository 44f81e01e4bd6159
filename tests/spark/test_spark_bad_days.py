"""What a data engineer meets on a bad day: each is the right result, or an error that says what to do."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults import rules
from tests.faults.proxy import Proxy
from tests.servers import Server
from tests.spark.conftest import put, stored
from tests.spark.test_spark_tables import read, reports, wire, write

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

pytestmark = pytest.mark.usefixtures("spark")

LARGEST = 400 * 1024


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    assert server.endpoint_url is not None
    one = Proxy(server.endpoint_url)
    yield one
    one.close()


def rejections(folder: Path) -> list[str]:
    return [json.loads(line)["reason"] for path in folder.glob("*.json") for line in path.read_text().splitlines()]


def quarantined(frame: DataFrame, server: Server, table: str, folder: Path, **options: Any) -> list[str]:
    """Write a frame, and return why rows were rejected."""
    write(frame, server, on_rejected="quarantine", quarantine=folder, **options).save(table)
    return sorted(rejections(folder))


# --- rows that cannot be stored --------------------------------------------------------------------------------------


def test_rows_that_cannot_be_stored_are_named_and_the_others_are_there(
    spark: SparkSession, server: Server, table: str, tmp_path: Path
) -> None:
    fits, too_large = "x" * (LARGEST - len("pkasknote") - 2), "x" * LARGEST
    rows = [
        ("a", 1, fits), ("a", 2, too_large), ("a", 3, "ü" * (LARGEST // 2)), (None, 4, ""), ("", 5, ""),
        ("a", None, ""), ("k" * 2049, 6, ""), ("a", 7, "fine"),
    ]  # fmt: skip
    frame = spark.createDataFrame(rows, "pk string, sk int, note string")
    reasons = quarantined(frame, server, table, tmp_path)
    assert [item["sk"]["N"] for item in stored(server, table)] == ["1", "7"]
    assert reasons[:2] == ["key 'pk' is empty", "key 'pk' is null"]
    assert reasons[2:4] == ["key 'pk' takes more than DynamoDB's 2,048 bytes", "key 'sk' is null"]
    assert [reason.startswith("the item takes 409,6") for reason in reasons[4:]] == [True, True]
    with pytest.raises(Exception, match=r"2 rows could not be written: key 'pk' is null; key 'pk' is empty"):
        write(frame.where("sk in (4, 5)").coalesce(1), server).save(table)


def test_only_the_row_is_rejected_that_dynamodb_refuses(
    spark: SparkSession, server: Server, table: str, tmp_path: Path
) -> None:
    """It refuses a batch as a whole, for an index that nobody here knows."""
    rows = [("a", number, "" if number in (3, 33) else "open") for number in range(60)]
    frame = spark.createDataFrame(rows, "pk string, sk int, status string").coalesce(1)
    with pytest.raises(Exception, match=r"(?s)ValidationError.*of its rows had been written to table"):
        write(frame, server).save(table)
    for mode in ("put", "insert_only", "update"):
        reasons = quarantined(frame, server, table, tmp_path / mode, write_mode=mode, upsert="true")
        assert len(reasons) == 2
        assert len(stored(server, table)) == 58
        for item in stored(server, table):
            server.client.delete_item(TableName=table, Key={"pk": item["pk"], "sk": item["sk"]})


def test_a_key_of_another_type_than_the_table_s(
    spark: SparkSession, server: Server, table: str, tmp_path: Path
) -> None:
    frame = spark.createDataFrame([("a", "1"), ("a", "2")], "pk string, sk string").coalesce(1)
    with pytest.raises(Exception, match=r"ValidationError.*(does not match the schema|Type mismatch for key sk)"):
        write(frame, server).save(table)
    assert len(quarantined(frame, server, table, tmp_path)) == 2


def test_times_that_nothing_else_could_read(spark: SparkSession, server: Server, table: str, tmp_path: Path) -> None:
    frame = spark.sql(
        "select 'a' as pk, id as sk, timestamp_micros(case when id = 0 then 0 else id * 253402300800000000 end) as at, "
        "date_from_unix_date(int(id * 2932897)) as on, timestamp_ntz '2024-01-01' as plain from range(-1, 2)"
    ).coalesce(1)
    reasons = quarantined(frame, server, table, tmp_path)
    assert [item["sk"]["N"] for item in stored(server, table)] == ["0"]
    assert len(reasons) == 2
    assert all("year" in reason for reason in reasons)


# --- frames ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["put", "insert_only", "update", "delete"])
def test_an_empty_frame_writes_nothing(
    spark: SparkSession, server: Server, table: str, tmp_path: Path, mode: str
) -> None:
    schema = "pk string, sk int, tags array<string>, m map<string,int>, d decimal(38,18)"
    write(spark.createDataFrame([], schema), server, write_mode=mode, metrics_path=tmp_path).save(table)
    if mode == "put":
        write(spark.range(5).selectExpr("'a' as pk", "int(id) as sk").where("sk > 9"), server).save(table)
    assert stored(server, table) == []
    (job,) = reports(tmp_path, "-job")
    assert (job["outcome"], job["counts"]["rows_written"], job["counts"]["requests"]) == ("committed", 0, 0)


def test_names_with_dots_and_in_upper_and_lower_case(spark: SparkSession, server: Server, table: str) -> None:
    schema = 'pk string, sk int, `a.b` string, `size` int, `#n0` string, `q"` struct<`x.y`:int, `:v0`:int>, `Ü` int'
    rows = [("p", 1, "x", 2, "y", (3, 4), 5)]
    for mode in ("put", "update"):
        write(spark.createDataFrame(rows, schema).coalesce(1), server, write_mode=mode).save(table)
    expected = {
        "a.b": {"S": "x"}, "size": {"N": "2"}, "#n0": {"S": "y"}, 'q"': {"M": {"x.y": {"N": "3"}, ":v0": {"N": "4"}}},
        "Ü": {"N": "5"},
    }  # fmt: skip
    assert stored(server, table) == [wire("p", 1, **expected)]
    spark.conf.set("spark.sql.python.filterPushdown.enabled", "true")
    try:
        pushed = read(spark, server, pushdown=True).schema(schema).load(table)
        assert pushed.where("`a.b` = 'x' and `#n0` = 'y' and SIZE > 1").collect() == rows
    finally:
        spark.conf.unset("spark.sql.python.filterPushdown.enabled")
    assert read(spark, server).load(table).select('`q"`.`x.y`', "`a.b`").collect() == [(3, "x")]


def test_two_attributes_that_differ_in_case(spark: SparkSession, server: Server, table: str) -> None:
    put(server, table, [wire("p", 1, n={"N": "1"}, N={"N": "2"})])
    frame = read(spark, server).load(table)
    assert frame.columns == ["pk", "sk", "N", "n"]
    with pytest.raises(Exception, match="AMBIGUOUS_REFERENCE"):
        frame.select("n")
    spark.conf.set("spark.sql.caseSensitive", "true")
    try:
        assert read(spark, server).load(table).select("n", "N").collect() == [(1, 2)]
        copy = frame.selectExpr("pk", "sk + 1 as sk", "n", "N")
        write(copy, server).save(table)
    finally:
        spark.conf.unset("spark.sql.caseSensitive")
    assert stored(server, table)[1] == wire("p", 2, n={"N": "1"}, N={"N": "2"})
    with pytest.raises(Exception, match=r"no column for the key of table .*: pk; its columns are PK, sk"):
        write(spark.createDataFrame([("p", 1)], "PK string, sk int"), server).save(table)


def test_nested_types_there_and_back(spark: SparkSession, server: Server, table: str) -> None:
    schema = (
        "pk string, sk int, deep array<struct<a: array<struct<m: map<string, array<struct<d: decimal(38,18), at: "
        "timestamp, b: binary>>>>>, s: map<string, map<string, boolean>>>>"
    )
    at = dt.datetime(2024, 3, 10, 7, 30, 0, 5, dt.UTC)
    inner = {"k.1": [(Decimal("12345678901234567890.000000000000000001"), at, bytearray(b"\x00")), None], "": None}
    full = [([(inner,), (None,), None], {"x": {"y": True, "z": None}}), None, (None, {}), ([], None)]
    rows = [("p", 1, full), ("p", 2, []), ("p", 3, None), ("p", 4, [None])]
    frame = spark.createDataFrame(rows, schema)
    write(frame, server).save(table)
    back = read(spark, server).schema(schema).load(table)
    assert sorted(back.collect(), key=lambda row: row.sk) == sorted(frame.collect(), key=lambda row: row.sk)
    assert "deep" in stored(server, table)[1]
    assert "deep" not in stored(server, table)[2]


def test_numbers_at_the_edge(spark: SparkSession, server: Server, table: str, tmp_path: Path) -> None:
    largest = Decimal("99999999999999999999.999999999999999999")
    schema = "pk string, sk int, d decimal(38,18), n bigint"
    frame = spark.createDataFrame([("p", 1, largest, 2**63 - 1), ("p", 2, largest.copy_negate(), -(2**63))], schema)
    write(frame, server).save(table)
    assert sorted(read(spark, server).schema(schema).load(table).collect()) == sorted(frame.collect())
    over = [
        wire("q", 1, d={"N": "1E+20"}),
        wire("q", 2, d={"N": "0.0000000000000000001"}),
        wire("q", 3, n={"N": "1e19"}),
    ]
    put(server, table, over)
    with pytest.raises(Exception, match=r"attribute '[dn]' is .*, (which has )?more (than|decimal)"):
        read(spark, server).schema(schema).load(table).collect()
    left_out = read(spark, server, on_mismatch="quarantine", quarantine=tmp_path).schema(schema).load(table)
    assert left_out.where("pk = 'q'").collect() == []
    assert len(set(rejections(tmp_path))) == 3
    nulls = read(spark, server, on_mismatch="null").schema(schema).load(table)
    assert nulls.where("pk = 'q' and d is null and n is null").count() == 3


def test_a_column_without_a_form_in_dynamodb(spark: SparkSession, server: Server, table: str) -> None:
    """The likeliest: of nothing but nulls. Others: `test_spark_types`."""
    frame = spark.sql("select 'a' as pk, 1 as sk, array(map('a', struct(null as y))) as x")
    with pytest.raises(
        Exception, match=r"column 'x\[\]\{\}.y' is of type void, which has no form in DynamoDB; cast it"
    ):
        write(frame, server).save(table)


# --- tables and permissions ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keys", [{}, {"partition_key": "pk", "sort_key": "sk"}], ids=["described", "told"])
def test_a_table_that_is_not_there_is_named(spark: SparkSession, server: Server, keys: dict[str, str]) -> None:
    with pytest.raises(Exception, match=r"TableNotFoundError.*no-such-table|no-such-table.*TableNotFoundError"):
        read(spark, server, **keys).schema("pk string").load("no-such-table").collect()
    frame = spark.createDataFrame([("a", 1)], "pk string, sk int")
    with pytest.raises(Exception, match=r"TableNotFoundError.*no-such-table|no-such-table.*TableNotFoundError"):
        write(frame, server, **keys).save("no-such-table")


def test_what_may_not_be_done_is_named(spark: SparkSession, server: Server, table: str, proxy: Proxy) -> None:
    put(server, table, [wire("a", 1)])
    frame = spark.createDataFrame([("a", 1)], "pk string, sk int").coalesce(1)
    proxy.inject(rules.refusal("AccessDeniedException"), "DescribeTable", times=1)
    with pytest.raises(Exception, match=r"AccessDeniedError.*DescribeTable"):
        read(spark, server, endpoint_url=proxy.url).schema("pk string").load(table).collect()
    keys = {"partition_key": "pk", "sort_key": "sk", "endpoint_url": proxy.url}
    for operation, action in (
        ("Scan", lambda: read(spark, server, **keys, tasks=1).schema("pk string").load(table).collect()),
        ("BatchWriteItem", lambda: write(frame, server, **keys).save(table)),
        ("PutItem", lambda: write(frame, server, **keys, write_mode="insert_only").save(table)),
    ):
        proxy.inject(rules.refusal("AccessDeniedException"), operation, times=None)
        with pytest.raises(Exception, match=rf"AccessDeniedError.*{operation}"):
            action()
        proxy.calm()


def test_throttling_without_end_is_given_up_and_told(
    spark: SparkSession, server: Server, table: str, proxy: Proxy, tmp_path: Path
) -> None:
    proxy.inject(rules.refusal("ThrottlingException"), "BatchWriteItem", skip=1, times=None)
    frame = spark.range(50).selectExpr("'p' as pk", "int(id) as sk").coalesce(1)
    options = {"config": "tests.spark.shop:impatient", "endpoint_url": proxy.url, "in_flight": 1}
    with pytest.raises(Exception, match=r"(?s)ThrottlingError.*0 of its rows had been written"):
        write(frame, server, **options, metrics_path=tmp_path).save(table)
    assert len(stored(server, table)) == 25
    assert {task["outcome"] for task in reports(tmp_path, "write")} == {"failed"}
