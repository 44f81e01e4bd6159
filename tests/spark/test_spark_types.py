"""Every type there and back, without a JVM: rows to items and items to rows, the columnar way and one by one."""

from __future__ import annotations

import base64
import datetime as dt
import json
import math
from decimal import Decimal
from typing import Any

import pytest

pytest.importorskip("pyspark", reason="pyspark is not installed here: `make spark` runs these tests")

import pyarrow as pa
from hypothesis import example, given
from hypothesis import strategies as st
from pyspark.sql import types as t
from pyspark.sql.pandas.types import to_arrow_schema

from dynamodb_wrapper.codec import from_json
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.spark.items import ItemReader, Rejected
from dynamodb_wrapper.spark.pages import PageReader
from dynamodb_wrapper.spark.rows import RowEncoder
from dynamodb_wrapper.spark.types import METADATA, columns_of

TEXTS = st.text(st.characters(codec="utf-8"), max_size=12)
NAMES = st.text(st.characters(codec="utf-8"), min_size=1, max_size=6)
DOUBLES = st.floats(allow_nan=False, allow_infinity=False).filter(lambda x: x == 0 or 1e-130 <= abs(x) <= 9.9e125)
FLOATS = st.floats(width=32, allow_nan=False, allow_infinity=False)
INSTANTS = st.integers(-62_135_500_000_000_000, 253_402_200_000_000_000).map(
    lambda n: dt.datetime(1970, 1, 1, tzinfo=dt.UTC) + dt.timedelta(microseconds=n)
)


def integers(bits: int) -> st.SearchStrategy[int]:
    return st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


def decimals(precision: int, scale: int) -> st.SearchStrategy[Decimal]:
    return st.integers(-(10**precision) + 1, 10**precision - 1).map(lambda n: Decimal(n).scaleb(-scale, WIDE))


import decimal  # noqa: E402

WIDE = decimal.Context(prec=80)

LEAVES: list[tuple[t.DataType, st.SearchStrategy[Any]]] = [
    (t.StringType(), TEXTS),
    (t.ByteType(), integers(8)),
    (t.ShortType(), integers(16)),
    (t.IntegerType(), integers(32)),
    (t.LongType(), integers(64)),
    (t.FloatType(), FLOATS),
    (t.DoubleType(), DOUBLES),
    (t.DecimalType(38, 0), decimals(38, 0)),
    (t.DecimalType(38, 38), decimals(38, 38)),
    (t.DecimalType(38, 18), decimals(38, 18)),
    (t.DecimalType(9, 2), decimals(9, 2)),
    (t.BooleanType(), st.booleans()),
    (t.BinaryType(), st.binary(max_size=10)),
    (t.TimestampType(), INSTANTS),
    (t.TimestampNTZType(), INSTANTS.map(lambda d: d.replace(tzinfo=None))),
    (t.DateType(), st.dates()),
]
leaves = st.sampled_from(LEAVES)


def nullable(values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.none() | values


def nested(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    lists = inner.map(lambda e: (t.ArrayType(e[0]), st.lists(nullable(e[1]), max_size=3)))
    maps = inner.map(lambda e: (t.MapType(t.StringType(), e[0]), st.dictionaries(TEXTS, nullable(e[1]), max_size=3)))

    def struct(fields: dict[str, Any]) -> Any:
        kind = t.StructType([t.StructField(name, entry[0]) for name, entry in fields.items()])
        return kind, st.fixed_dictionaries({name: nullable(entry[1]) for name, entry in fields.items()})

    structs = st.dictionaries(NAMES, inner, min_size=1, max_size=3).map(struct)
    return lists | maps | structs


kinds = st.recursive(leaves, nested, max_leaves=4)
SETS = [
    (t.StringType(), TEXTS, "SS"),
    (t.LongType(), integers(64), "NS"),
    (t.DecimalType(38, 10), decimals(38, 10), "NS"),
    (t.BinaryType(), st.binary(max_size=4), "BS"),
]
sets = st.sampled_from(SETS).map(
    lambda e: (t.ArrayType(e[0]), st.lists(e[1], max_size=4, unique=True), {METADATA: e[2]})
)
fields = kinds.map(lambda e: (*e, {})) | sets


@st.composite
def frames(draw: st.DrawFn) -> tuple[t.StructType, list[dict[str, Any]]]:
    named = draw(st.dictionaries(NAMES.filter(lambda name: name != "key"), fields, min_size=1, max_size=4))
    schema = t.StructType(
        [t.StructField("key", t.StringType())]
        + [t.StructField(name, kind, metadata=metadata) for name, (kind, _, metadata) in named.items()]
    )
    count = draw(st.integers(0, 4))
    rows = [
        {"key": str(row), **{name: draw(nullable(values)) for name, (_, values, _) in named.items()}}
        for row in range(count)
    ]
    return schema, rows


def arrow_of(schema: t.StructType, rows: list[dict[str, Any]]) -> pa.RecordBatch:
    return pa.RecordBatch.from_pylist(rows, schema=to_arrow_schema(schema, timezone="UTC"))


def items_of(schema: t.StructType, rows: list[dict[str, Any]]) -> list[Any]:
    encoded = RowEncoder(columns_of(schema), ["key"]).encode(arrow_of(schema, rows))
    assert encoded.refused == {}
    return [from_json(f"{{{text}}}") for text in encoded.items]


def body_of(items: list[Any], **more: Any) -> bytes:
    return json.dumps({"Items": items, "Count": len(items), "ScannedCount": len(items), **more}).encode()


def comparable(value: Any, kind: t.DataType, metadata: dict[str, Any] | None = None) -> Any:
    """A value in a form in which equal ones are equal: sets and maps without an order."""
    if value is None:
        return None
    if isinstance(kind, t.ArrayType):
        entries = [comparable(entry, kind.elementType) for entry in value]
        return sorted(entries) if metadata else entries
    if isinstance(kind, t.MapType):
        return {name: comparable(entry, kind.valueType) for name, entry in dict(value).items()}
    if isinstance(kind, t.StructType):
        return {field.name: comparable(value[field.name], field.dataType) for field in kind}
    return value


def told(schema: t.StructType, rows: list[dict[str, Any]]) -> list[Any]:
    return [[comparable(row[field.name], field.dataType, field.metadata) for field in schema.fields] for row in rows]


@given(frames())
def test_what_is_written_comes_back_both_ways(frame: tuple[t.StructType, list[dict[str, Any]]]) -> None:
    schema, rows = frame
    items = items_of(schema, rows)
    arrow = to_arrow_schema(schema, timezone="UTC")
    one_by_one = ItemReader(columns_of(schema)).batch(items, arrow)
    assert told(schema, one_by_one.to_pylist()) == told(schema, rows)
    assert one_by_one.schema == arrow
    answer = PageReader(columns_of(schema), arrow, ["key"]).answer(body_of(items))
    if answer is not None:
        assert answer["Items"].schema == arrow
        assert told(schema, answer["Items"].to_pylist()) == told(schema, rows)


PLAIN = [
    t.StructField("s", t.StringType()),
    t.StructField("n", t.LongType()),
    t.StructField("d", t.DecimalType(38, 18)),
    t.StructField("f", t.FloatType()),
    t.StructField("x", t.DoubleType()),
    t.StructField("ok", t.BooleanType()),
    t.StructField("b", t.BinaryType()),
    t.StructField("at", t.TimestampType()),
    t.StructField("on", t.DateType()),
    t.StructField("tags", t.ArrayType(t.StringType()), metadata={METADATA: "SS"}),
    t.StructField("list", t.ArrayType(t.LongType())),
    t.StructField("part", t.StructType([t.StructField("a", t.StringType()), t.StructField("b", t.DoubleType())])),
]


def test_ordinary_types_are_read_as_a_whole() -> None:
    """Otherwise the fast way would never be taken, and nobody would notice."""
    schema = t.StructType([t.StructField("key", t.StringType()), *PLAIN])
    now = dt.datetime(2024, 3, 31, 1, 30, tzinfo=dt.UTC)
    full = {
        "key": "k", "s": 'q"\\ü\n', "n": 2**63 - 1, "d": Decimal("12.500000000000000001"), "f": 0.10000000149011612,
        "x": 0.1, "ok": False, "b": b"\x00\xff", "at": now, "on": now.date(), "tags": ["a", "b"], "list": [1, None],
        "part": {"a": None, "b": 2.5},
    }  # fmt: skip
    empty = {"key": "e", **dict.fromkeys([field.name for field in PLAIN])}
    items = items_of(schema, [full, empty])
    assert items[1] == {"key": {"S": "e"}}  # null is left out
    items[1] |= {"n": {"NULL": True}, "part": {"NULL": True}, "unknown": {"M": {}}}
    answer = PageReader(columns_of(schema), to_arrow_schema(schema, timezone="UTC"), ["key"]).answer(
        body_of(items, LastEvaluatedKey={"key": {"S": "e"}}, ConsumedCapacity={"TableName": "t", "CapacityUnits": 0.5})
    )
    assert answer is not None
    assert told(schema, answer["Items"].to_pylist()) == told(schema, [full, empty])
    assert answer["LastEvaluatedKey"] == {"key": {"S": "e"}}
    assert answer["ConsumedCapacity"] == {"TableName": "t", "CapacityUnits": 0.5}


# --- values that a column cannot hold -------------------------------------------------------------------------------

WRONG = [
    (t.LongType(), {"S": "5"}, "of DynamoDB type S"),
    (t.LongType(), {"N": "5.5"}, "no whole number"),
    (t.LongType(), {"N": "9223372036854775808"}, "64 bits"),
    (t.LongType(), {"N": "1E+30"}, "too large"),
    (t.ByteType(), {"N": "128"}, "8 bits"),
    (t.StringType(), {"N": "5"}, "of DynamoDB type N"),
    (t.BooleanType(), {"S": "true"}, "of DynamoDB type S"),
    (t.DecimalType(10, 2), {"N": "1.005"}, "2 decimal places"),
    (t.DecimalType(10, 2), {"N": "100000000"}, "10 digits"),
    (t.DecimalType(38, 0), {"N": "1E+100"}, "38 digits"),
    (t.DecimalType(38, 18), {"N": "1E-100"}, "18 decimal places"),
    (t.FloatType(), {"N": "1E+39"}, "more than a float"),
    (t.TimestampType(), {"S": "yesterday"}, "no ISO 8601"),
    (t.TimestampType(), {"S": "2024-01-01T00:00:00.123456789+00:00"}, "microseconds"),
    (t.TimestampNTZType(), {"S": "2024-01-01T00:00:00+00:00"}, "time zone"),
    (t.DateType(), {"S": "2024-02-30"}, "no ISO 8601 date"),
    (t.BinaryType(), {"B": "!"}, "base64"),
    (t.ArrayType(t.LongType()), {"L": [{"S": "x"}]}, "of DynamoDB type S"),
    (t.StructType([t.StructField("a", t.LongType())]), {"M": {"a": {"S": "x"}}}, "of DynamoDB type S"),
    (t.MapType(t.StringType(), t.LongType()), {"M": {"a": {"S": "x"}}}, "of DynamoDB type S"),
    (t.ArrayType(t.StringType()), {"SS": ["x"]}, "of DynamoDB type SS"),
]


@pytest.mark.parametrize(("kind", "wire", "reason"), WRONG, ids=lambda value: str(value))
def test_what_a_column_cannot_hold_is_named_and_never_null(kind: t.DataType, wire: Any, reason: str) -> None:
    schema = t.StructType([t.StructField("key", t.StringType()), t.StructField("v", kind)])
    columns, arrow = columns_of(schema), to_arrow_schema(schema, timezone="UTC")
    items = [{"key": {"S": "good"}}, {"key": {"S": "bad"}, "v": wire}]
    assert PageReader(columns, arrow, ["key"]).answer(body_of(items)) is None
    with pytest.raises(ValidationError, match=reason) as failure:
        ItemReader(columns).batch(items, arrow)
    assert next(iter(failure.value.errors)).startswith("v")

    rejected: list[Rejected] = []
    nulls = ItemReader(columns, "null", rejected.append).batch(items, arrow)
    assert nulls.to_pylist() == [{"key": "good", "v": None}, {"key": "bad", "v": None}]
    assert [(entry.attribute, entry.item) for entry in rejected] == [("v", items[1])]
    assert ItemReader(columns, "quarantine", rejected.append).batch(items, arrow).num_rows == 1


NUMBERS = st.decimals(allow_nan=False, allow_infinity=False).map(str) | st.from_regex(
    r"\A-?(0|[1-9][0-9]{0,44})(\.[0-9]{1,44})?([eE][+-]?[0-9]{1,3})?\Z"
)
NUMERIC = [kind for kind, _ in LEAVES if isinstance(kind, t.NumericType)]


@given(st.sampled_from(NUMERIC), NUMBERS)
# pyarrow makes 18960114910927365649.471927446130393088, 1.00 and the like of these, which chance seldom finds.
@example(t.DecimalType(38, 18), "1000000000000000000000000000000")
@example(t.DecimalType(38, 0), "1000000000000000000000000000000000000000")
@example(t.DecimalType(38, 38), "100000000000000000000")
@example(t.DecimalType(10, 2), "340282366920938463463374607431768211457")
@example(t.DecimalType(10, 2), "0.11111111111111111111111111111111111111111")
def test_numbers_are_read_exactly_or_refused(kind: t.DataType, text: str) -> None:
    """pyarrow's cast of text to decimal128 wraps around: neither way may take it."""
    schema = t.StructType([t.StructField("v", kind)])
    columns, arrow = columns_of(schema), to_arrow_schema(schema, timezone="UTC")
    item = {"v": {"N": text}}
    answer = PageReader(columns, arrow, ["v"]).answer(body_of([item]))
    try:
        exact = ItemReader(columns).batch([item], arrow).column(0)[0].as_py()
    except ValidationError:
        assert answer is None
        return
    if not isinstance(kind, t.FloatType | t.DoubleType):
        assert Decimal(exact) == Decimal(text)
    elif isinstance(kind, t.DoubleType):
        assert exact == float(text)
    assert answer is None or answer["Items"].column(0)[0].as_py() == exact


# --- what DynamoDB cannot hold --------------------------------------------------------------------------------------

REFUSED = [
    (t.DoubleType(), math.nan, "NaN"),
    (t.DoubleType(), math.inf, "infinity"),
    (t.DoubleType(), 1e300, "beyond"),
    (t.DoubleType(), 1e-200, "beyond"),
    (t.FloatType(), math.nan, "NaN"),
    (t.ArrayType(t.DoubleType()), [1.0, math.nan], "NaN"),
    (t.MapType(t.StringType(), t.DoubleType()), {"a": math.inf}, "infinity"),
    (t.StructType([t.StructField("a", t.DoubleType())]), {"a": math.nan}, "NaN"),
    (t.StringType(), "x" * 420_000, "409,600"),
    (t.StringType(), "é" * 210_000, "409,600"),
    (t.BinaryType(), b"x" * 420_000, "409,600"),
]


@pytest.mark.parametrize(("kind", "value", "reason"), REFUSED, ids=lambda value: str(value)[:40])
def test_what_dynamodb_cannot_hold_is_refused_and_the_rest_is_not(kind: t.DataType, value: Any, reason: str) -> None:
    schema = t.StructType([t.StructField("key", t.StringType()), t.StructField("v", kind)])
    rows = [{"key": "a", "v": None}, {"key": "b", "v": value}, {"key": "c", "v": None}]
    encoded = RowEncoder(columns_of(schema), ["key"]).encode(arrow_of(schema, rows))
    assert list(encoded.refused) == [1]
    assert reason in encoded.refused[1]
    assert encoded.items == ['"key":{"S":"a"}', None, '"key":{"S":"c"}']


def test_a_set_with_null_is_refused_and_repeats_are_one() -> None:
    schema = t.StructType(
        [
            t.StructField("key", t.StringType()),
            t.StructField("v", t.ArrayType(t.DoubleType()), metadata={METADATA: "NS"}),
        ]
    )
    rows = [
        {"key": "a", "v": [1.0, None]}, {"key": "b", "v": [2.0, 1.0, 2.0]}, {"key": "c", "v": []},
        {"key": "d", "v": [math.nan]},
    ]  # fmt: skip
    encoded = RowEncoder(columns_of(schema), ["key"]).encode(arrow_of(schema, rows))
    assert sorted(encoded.refused) == [0, 3]
    assert encoded.items[1:3] == ['"key":{"S":"b"},"v":{"NS":["1","2"]}', '"key":{"S":"c"},"v":{"L":[]}']


@pytest.mark.parametrize("key", [None, "", "x" * 2049])
def test_a_key_that_dynamodb_would_refuse_is_refused_here(key: str | None) -> None:
    schema = t.StructType([t.StructField("key", t.StringType())])
    encoded = RowEncoder(columns_of(schema), ["key"]).encode(arrow_of(schema, [{"key": key}, {"key": "y"}]))
    assert list(encoded.refused) == [0]
    assert encoded.keys[1] == '"key":{"S":"y"}'


def test_seconds_since_1970_are_rounded_up() -> None:
    schema = t.StructType(
        [t.StructField("key", t.StringType()), t.StructField("ttl", t.TimestampType(), metadata={METADATA: "epoch"})]
    )
    moments = [
        dt.datetime(2024, 1, 1, 0, 0, 0, 1, tzinfo=dt.UTC),
        dt.datetime(1969, 12, 31, 23, 59, 58, 5, tzinfo=dt.UTC),
    ]
    items = items_of(schema, [{"key": "a", "ttl": moments[0]}, {"key": "b", "ttl": moments[1]}])
    assert [item["ttl"] for item in items] == [{"N": "1704067201"}, {"N": "-1"}]
    back = ItemReader(columns_of(schema)).rows(items)
    assert back[0][1] == dt.datetime(2024, 1, 1, 0, 0, 1, tzinfo=dt.UTC)


def test_a_slice_of_a_batch_is_written_as_its_own_rows() -> None:
    schema = t.StructType([t.StructField("key", t.StringType()), t.StructField("l", t.ArrayType(t.LongType()))])
    rows = [{"key": str(n), "l": [n, None]} for n in range(5)]
    encoded = RowEncoder(columns_of(schema), ["key"]).encode(arrow_of(schema, rows).slice(3))
    assert encoded.items[0] == '"key":{"S":"3"},"l":{"L":[{"N":"3"},{"NULL":true}]}'


UNSUPPORTED = [
    t.NullType(), t.DayTimeIntervalType(), t.YearMonthIntervalType(), t.CalendarIntervalType(), t.VariantType(),
    t.MapType(t.LongType(), t.StringType()), t.ArrayType(t.NullType()),
    t.StructType([t.StructField("a", t.NullType())]),
]  # fmt: skip


@pytest.mark.parametrize("kind", UNSUPPORTED, ids=lambda kind: kind.simpleString())
def test_types_without_a_form_are_refused_with_their_place(kind: t.DataType) -> None:
    with pytest.raises(ValidationError, match=r"column 'v"):
        columns_of(t.StructType([t.StructField("v", kind)]))


@pytest.mark.parametrize(
    ("kind", "form"),
    [
        (t.StringType(), "SS"),
        (t.ArrayType(t.LongType()), "SS"),
        (t.DateType(), "epoch"),
        (t.ArrayType(t.StringType()), "XX"),
    ],
)
def test_metadata_that_does_not_go_with_the_type_is_refused(kind: t.DataType, form: str) -> None:
    with pytest.raises(ValidationError, match=form):
        columns_of(t.StructType([t.StructField("v", kind, metadata={METADATA: form})]))


def test_binary_of_both_lanes() -> None:
    schema = t.StructType([t.StructField("v", t.BinaryType())])
    reader = ItemReader(columns_of(schema))
    assert reader.rows([{"v": {"B": b"\xff"}}, {"v": {"B": base64.b64encode(b"\xff").decode()}}]) == [
        [b"\xff"],
        [b"\xff"],
    ]
