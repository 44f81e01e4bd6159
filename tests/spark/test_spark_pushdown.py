"""Pushed filters never lose a row: hundreds of predicates over messy items, with and without pushdown."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from decimal import Decimal
from typing import TYPE_CHECKING, Any

import pytest

pytest.importorskip("pyspark", reason="pyspark is not installed here: `make spark` runs these tests")

from pyspark.sql import datasource as ds
from pyspark.sql import types as t

from dynamodb_wrapper.spark.filters import Pushed, expressions, pushed
from dynamodb_wrapper.spark.source import DynamoDBDataSource, DynamoDBReader
from dynamodb_wrapper.spark.types import columns_of
from tests.servers import Server
from tests.spark.conftest import SERVER, make_table, put

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

SCHEMA = t.StructType(
    [
        t.StructField("pk", t.StringType()),
        t.StructField("sk", t.LongType()),
        t.StructField("s", t.StringType()),
        t.StructField("n", t.LongType()),
        t.StructField("d", t.DecimalType(20, 4)),
        t.StructField("x", t.DoubleType()),
        t.StructField("ok", t.BooleanType()),
        t.StructField("a.b", t.StringType()),
        t.StructField("tags", t.ArrayType(t.StringType()), metadata={"dynamodb": "SS"}),
    ]
)
TEXTS = ["a", "b", "ab", "b\u00e9", "\U0001f600", "", "NULL", "size", "Z"]
WHOLE = [-1, 0, 1, 2, 10, 2**53 + 1, -(2**63)]
EXACT = [Decimal("0.1"), Decimal("-0.0001"), Decimal("1"), Decimal("2.5")]


def messy_items(seed: int) -> list[dict[str, Any]]:
    """Items with values, without them, and with NULL."""
    chance = random.Random(seed)
    items = []
    for number in range(120):
        item: dict[str, Any] = {
            "pk": {"S": chance.choice(["a", "b", "c", "\u00e9"])},
            "sk": {"N": str(number % 40 - 10)},
        }
        values = {
            "s": {"S": chance.choice(TEXTS)},
            "n": {"N": str(chance.choice(WHOLE))},
            "d": {"N": str(chance.choice(EXACT))},
            "x": {"N": chance.choice(["0.1", "1E+20", "-3"])},
            "ok": {"BOOL": chance.random() < 0.5},
            "a.b": {"S": chance.choice(TEXTS)},
            "tags": chance.choice([{"SS": ["a"]}, {"L": []}]),
        }
        for name, wire in values.items():
            kind = chance.random()
            if kind < 0.6:
                item[name] = wire
            elif kind < 0.8 and name != "s":
                item[name] = {"NULL": True}  # not in "s": ministack refuses begins_with where an item has a NULL
        items.append(item)
    unique = {(item["pk"]["S"], item["sk"]["N"]): item for item in items}
    return list(unique.values())


COLUMNS: dict[str, list[Any]] = {
    "pk": ["a", "b", "z", "\u00e9", ""],
    "sk": [-10, 0, 5, 29, 100],
    "s": TEXTS,
    "n": WHOLE,
    "d": EXACT,
    "x": [0.1, 1e20],
    "ok": [True, False],
    "a.b": TEXTS,
}


def some_filter(chance: random.Random) -> ds.Filter:
    name = chance.choice([*COLUMNS, "pk", "sk", "pk"])
    values = COLUMNS[name]
    one = chance.choice(values)
    text = isinstance(one, str)
    kinds: list[Callable[[], ds.Filter]] = [
        lambda: ds.EqualTo((name,), one),
        lambda: ds.EqualTo((name,), one),
        lambda: ds.EqualNullSafe((name,), one),
        lambda: ds.In((name,), tuple(chance.choices(values, k=chance.randint(1, 4)))),
        lambda: ds.IsNull((name,)),
        lambda: ds.IsNotNull((name,)),
        lambda: ds.Not(ds.EqualTo((name,), one)),
        lambda: ds.Not(ds.In((name,), (one,))),
        lambda: ds.GreaterThan((name,), one),
        lambda: ds.GreaterThanOrEqual((name,), one),
        lambda: ds.LessThan((name,), one),
        lambda: ds.LessThanOrEqual((name,), one),
    ]
    if text:
        kinds += [
            lambda: ds.StringStartsWith((name if name != "a.b" else "s",), one),
            lambda: ds.StringContains((name,), one),
            lambda: ds.StringEndsWith((name,), one),
        ]
    return chance.choice(kinds)()


def holds(one: ds.Filter, row: dict[str, Any]) -> bool | None:
    """What Spark makes of a filter: None is unknown."""
    if isinstance(one, ds.Not):
        inner = holds(one.child, row)
        return None if inner is None else not inner
    value = row[one.attribute[0]]  # type: ignore[attr-defined]
    if isinstance(one, ds.IsNull):
        return value is None
    if isinstance(one, ds.IsNotNull):
        return value is not None
    operand = one.value  # type: ignore[attr-defined]
    if isinstance(one, ds.EqualNullSafe):
        return bool(value == operand)
    if value is None:
        return None
    match one:
        case ds.EqualTo():
            return bool(value == operand)
        case ds.In():
            return value in operand
        case ds.GreaterThan():
            return bool(order(value) > order(operand))
        case ds.GreaterThanOrEqual():
            return bool(order(value) >= order(operand))
        case ds.LessThan():
            return bool(order(value) < order(operand))
        case ds.LessThanOrEqual():
            return bool(order(value) <= order(operand))
        case ds.StringStartsWith():
            return bool(value.startswith(operand))
        case ds.StringContains():
            return operand in value
        case ds.StringEndsWith():
            return bool(value.endswith(operand))
    raise AssertionError(one)


def order(value: Any) -> Any:
    return value.encode() if isinstance(value, str) else value


def all_rows(reader: DynamoDBReader) -> Iterator[dict[str, Any]]:
    for partition in reader.partitions():
        for batch in reader.read(partition):
            yield from batch.to_pylist()


@pytest.fixture(scope="module")
def messy(ministack_server: Any) -> Iterator[tuple[Server, str]]:
    server = Server(ministack_server)
    table = make_table(server)
    put(server, table, messy_items(7))
    yield server, table
    server.clean_up()


def test_no_row_is_lost(messy: tuple[Server, str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Filters as Spark hands them over, and Spark's own second look at each row."""
    server, table = messy
    for name, value in SERVER.items():
        monkeypatch.setenv(name, value)
    options = {
        "endpoint_url": str(server.endpoint_url),
        "table": table,
        "segments": "2",
        "tasks": "1",
        "pushdown": "true",
    }
    source = DynamoDBDataSource({**options, "partition_key": "pk", "sort_key": "sk"})

    def reader() -> DynamoDBReader:
        made = source.reader(SCHEMA)
        assert isinstance(made, DynamoDBReader)
        return made

    everything = list(all_rows(reader()))
    assert len(everything) == len(messy_items(7))
    chance = random.Random(11)
    queries = filtered = fewer = 0
    for _ in range(700):
        filters = [some_filter(chance) for _ in range(chance.randint(1, 3))]
        one = reader()
        returned = one.pushFilters(filters)
        assert returned == filters  # every filter goes back to Spark
        found = list(all_rows(one))
        kept = [row for row in found if all(holds(each, row) for each in filters)]
        expected = [row for row in everything if all(holds(each, row) for each in filters)]
        assert by_key(kept) == by_key(expected), filters
        queries += one.pushed.partitions is not None
        filtered += one.pushed.where is not None
        fewer += len(found) < len(everything)
    # Otherwise it has not been tested.
    assert queries > 80
    assert filtered > 200
    assert fewer > 250


def by_key(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return sorted(rows, key=lambda row: (row["pk"], row["sk"]))


PREDICATES = [
    "pk in ('a', 'c') and sk between 0 and 7", "pk = 'b' and sk >= 5 and sk < 9", "pk = 'a' and pk = 'b'",
    "pk = '\u00e9' and s is null", "pk <=> 'a'", "pk = ''", "not (s = 'a')", "s is null", "s in ('a', 'b', null)",
    "s not in ('a', 'b')", "s like 'a%'", "s like '%b%'", "s like 'a%b'", "s >= 'b\u00e9'", "s <=> null",
    "n = 9007199254740993", "n > 0.5", "n = 1 or s = 'a'", "n <> 1 and s is not null", "d = 0.1", "d = 2.5D", "x > 1",
    "not ok", "ok <=> false", "`a.b` = 'a'", "tags is null", "pk = 'a' and (n = 1 or n = 2)", "s = pk", "false",
]  # fmt: skip


def test_spark_finds_the_same_rows_with_and_without_pushdown(messy: tuple[Server, str], spark: SparkSession) -> None:
    from pyspark.sql.functions import lit

    server, table = messy
    reader = spark.read.format("dynamodb").options(endpoint_url=str(server.endpoint_url), tasks="1", segments="1")
    reader = reader.option("pushdown", "true")

    def found() -> list[Any]:
        frames = []
        for number, predicate in enumerate(PREDICATES):
            # A frame for each: Spark would read one frame once.
            frame = reader.schema(SCHEMA).load(table).where(predicate)
            frames.append(frame.select(lit(number).alias("number"), "pk", "sk"))
        union = frames[0]
        for frame in frames[1:]:
            union = union.unionAll(frame)
        return sorted(union.coalesce(1).collect())

    without = found()
    spark.conf.set("spark.sql.python.filterPushdown.enabled", "true")
    try:
        assert found() == without
        plan = reader.schema(SCHEMA).load(table).where("pk = 'a'")
        assert plan.rdd.getNumPartitions() == 1
    finally:
        spark.conf.unset("spark.sql.python.filterPushdown.enabled")
    assert {row.number for row in without} >= {0, 1, 3}


def test_a_frame_may_be_used_in_several_queries(messy: tuple[Server, str], spark: SparkSession) -> None:
    """Spark reads the next query of a frame with what was pushed for the last one; so nothing is, unless asked for."""
    server, table = messy
    spark.conf.set("spark.sql.python.filterPushdown.enabled", "true")
    try:
        frame = (
            spark.read.format("dynamodb").option("endpoint_url", str(server.endpoint_url)).schema(SCHEMA).load(table)
        )
        everything = frame.count()
        some = frame.where("pk = 'a'").count()
        assert 0 < some < everything
        assert frame.count() == everything
        assert frame.where("pk = 'a'").unionAll(frame.where("pk <> 'a'")).count() == everything
    finally:
        spark.conf.unset("spark.sql.python.filterPushdown.enabled")


COLUMNS_OF = columns_of(SCHEMA)


def push(*filters: ds.Filter, coerces: bool = False) -> Pushed:
    return pushed(filters, COLUMNS_OF, ["pk"], ["sk"], coerces=coerces)


@pytest.mark.parametrize(
    "one",
    [
        ds.EqualTo(("x",), 0.1),
        ds.EqualTo(("d",), 0.1),
        ds.EqualTo(("tags",), ["a"]),
        ds.EqualTo(("s", "inner"), "a"),
        ds.EqualTo(("n",), True),
        ds.StringStartsWith(("s",), ""),
        ds.StringEndsWith(("s",), "a"),
        ds.Not(ds.GreaterThan(("n",), 1)),
        ds.Not(ds.EqualNullSafe(("n",), 1)),
        ds.EqualTo(("unknown",), "a"),
    ],
    ids=str,
)
def test_what_is_not_pushed(one: ds.Filter) -> None:
    assert push(one) == Pushed()


def test_wrong_types_read_as_null_keep_filters_off_all_but_the_key() -> None:
    assert push(ds.IsNull(("n",)), ds.EqualTo(("s",), "a"), coerces=True) == Pushed()
    assert push(ds.EqualTo(("pk",), "a"), ds.EqualTo(("n",), 1), coerces=True) == Pushed(("a",))


def test_a_query_has_no_key_attribute_in_its_filter_and_one_condition_on_the_sort_key() -> None:
    found = push(
        ds.EqualTo(("pk",), "a"), ds.GreaterThan(("sk",), 1), ds.LessThan(("sk",), 9), ds.Not(ds.EqualTo(("sk",), 5)),
        ds.IsNotNull(("pk",)), ds.EqualTo(("s",), "x"),
    )  # fmt: skip
    params = expressions(found, "pk", "a", ["pk", "size"], None)
    assert params == {
        "KeyConditionExpression": "#n0 = :v0 AND #n1 BETWEEN :v1 AND :v2",
        "FilterExpression": "#n2 = :v3",
        "ProjectionExpression": "#n0, #n3",
        "ExpressionAttributeNames": {"#n0": "pk", "#n1": "sk", "#n2": "s", "#n3": "size"},
        "ExpressionAttributeValues": {":v0": {"S": "a"}, ":v1": {"N": "1"}, ":v2": {"N": "9"}, ":v3": {"S": "x"}},
    }


def test_a_range_that_ends_before_it_begins_is_no_between() -> None:
    """DynamoDB refuses one."""
    found = push(ds.EqualTo(("pk",), "a"), ds.GreaterThan(("sk",), 9), ds.LessThan(("sk",), 1))
    assert expressions(found, "pk", "a", [], None)["KeyConditionExpression"] == "#n0 = :v0 AND #n1 > :v1"


def test_a_long_in_is_cut_and_a_longer_expression_left_out() -> None:
    found = push(ds.In(("n",), tuple(range(250))))
    text = expressions(found, None, None, [], None)["FilterExpression"]
    assert [part.count(":v") for part in text.split(" OR ")] == [100, 100, 50]
    assert push(ds.In(("n",), tuple(range(900))), ds.EqualTo(("s",), "a")).where is not None
    assert push(ds.In(("pk",), tuple(map(str, range(1001))))).partitions is None


def test_no_query_is_for_a_key_that_cannot_be() -> None:
    """DynamoDB refuses one whose key is empty or too long, where Spark finds no rows."""
    assert push(ds.In(("pk",), ("", "a", "b" * 2048, "c" * 2049, "\u00e9" * 1025))).partitions == ("a", "b" * 2048)
    by_text = columns_of(t.StructType([t.StructField(name, t.StringType()) for name in ("pk", "sk")]))
    for value, is_asked in (("a" * 1024, True), ("a" * 1025, False), ("", False)):
        for kind in (ds.EqualTo, ds.LessThan, ds.GreaterThanOrEqual):
            filters = [ds.EqualTo(("pk",), "a"), kind(("sk",), value)]
            assert (pushed(filters, by_text, ["pk"], ["sk"], coerces=False).sort is not None) is is_asked
    filters = [ds.EqualTo(("pk",), "a"), ds.LessThan(("sk",), "z" * 1025), ds.GreaterThan(("sk",), "b")]
    found = expressions(pushed(filters, by_text, ["pk"], ["sk"], coerces=False), "pk", "a", [], None)
    assert found["KeyConditionExpression"] == "#n0 = :v0 AND #n1 > :v1"


def test_contradicting_keys_read_nothing() -> None:
    assert push(ds.EqualTo(("pk",), "a"), ds.EqualTo(("pk",), "b")).partitions == ()
