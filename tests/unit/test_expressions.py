"""Conditions, updates and projections: what is sent, and what is refused before it is."""

from __future__ import annotations

import copy
import datetime as dt
import json
import pickle
import uuid
from collections.abc import Mapping
from decimal import Decimal
from enum import Enum, StrEnum
from typing import Any

import pytest
from boto3.dynamodb.conditions import Attr, Key
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_serializer, field_validator

from dynamodb_wrapper.codec import EpochSeconds, KeyedList, ModelCodec, TimeRules
from dynamodb_wrapper.exceptions import ExpressionError, ValidationError
from dynamodb_wrapper.expressions import (
    Add,
    Append,
    Condition,
    Delete,
    ExpressionWriter,
    F,
    Path,
    Prepend,
    Remove,
    SetIfMissing,
    Written,
    as_condition,
    every,
    paths_of,
)


class Status(StrEnum):
    OPEN = "open"
    PAID = "paid"


class Level(Enum):
    LOW = 1


class Address(BaseModel):
    city: str
    zip_code: str = Field("", alias="zip")


class Line(BaseModel):
    sku: str
    amount: Decimal = Decimal(1)

    @field_serializer("amount")
    def _in_cents(self, value: Decimal) -> int:
        return int(value * 100)

    @field_validator("sku")
    @classmethod
    def _upper(cls, value: str) -> str:
        return value.upper()


class Order(BaseModel):
    model_config = ConfigDict(populate_by_name=True)
    id: str
    total: Decimal = Decimal(0)
    count: int = Field(0, ge=0)
    ratio: float = 0.0
    status: Status = Status.OPEN
    level: Level | None = None
    paid: bool = False
    raw: bytes = b""
    at: dt.datetime | None = None
    day: dt.date | None = None
    key: uuid.UUID | None = None
    tags: set[str] = set()
    numbers: set[int] | None = None
    pairs: set[tuple[int, int]] = set()
    lines: list[Line] = []
    words: list[str] = []
    grid: list[list[int]] = []
    boxes: list[list[list[int]]] = []
    pair: tuple[int, str] = (0, "")
    address: Address | None = None
    by_name: dict[str, int] = {}
    by_number: dict[int, Decimal] = {}
    untyped: Any = None
    name: str = ""
    size: int = 0
    odd: int = Field(0, alias="odd name.of-it")
    stages: list[Line] = []
    expires: dt.datetime | None = None


@pytest.fixture(scope="module")
def codec() -> ModelCodec[Order]:
    times = TimeRules.of(assumed="America/New_York", stored_in_utc=True, shown="Asia/Tokyo")
    return ModelCodec(Order, times=times, stored={"expires": EpochSeconds(), "stages": KeyedList("sku")})


def inlined(text: str, writer: ExpressionWriter) -> str:
    """The expression with its placeholders filled in; that they are all declared and all used is checked on the way."""
    parameters = writer.parameters()
    names: Mapping[str, str] = parameters.get("ExpressionAttributeNames", {})
    values: Mapping[str, Any] = parameters.get("ExpressionAttributeValues", {})
    assert len(set(names.values())) == len(names)
    assert len({repr(value) for value in values.values()}) == len(values)
    for placeholder in sorted((*names, *values), key=len, reverse=True):
        assert placeholder in text, "AWS refuses what is declared and not used"
        shown = names.get(placeholder) or "|".join(f"{tag}:{value}" for tag, value in values[placeholder].items())
        text = text.replace(placeholder, f"<{shown}>")
    assert "#" not in text
    assert " :" not in text
    return text


def written(condition: Condition, codec: ModelCodec[Any]) -> str:
    writer = ExpressionWriter(codec)
    return inlined(writer.condition(condition), writer)


def updated(codec: ModelCodec[Any], changes: Mapping[Any, object]) -> str:
    writer = ExpressionWriter(codec)
    targets = [
        (codec.target(place.steps if isinstance(place, Path) else (place,)), change)
        for place, change in changes.items()
    ]
    return inlined(writer.update(targets), writer)


# --- every node -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (F.total == 5, "<total> = <N:5>"),
        (F.total != Decimal("1.50"), "<total> <> <N:1.5>"),
        (F.total < 5, "<total> < <N:5>"),
        (F.total <= 5, "<total> <= <N:5>"),
        (F.total > 5, "<total> > <N:5>"),
        (F.total >= 5, "<total> >= <N:5>"),
        (5 < F.total, "<total> > <N:5>"),  # noqa: SIM300
        (5 == F.total, "<total> = <N:5>"),  # noqa: SIM300
        (Decimal(5) >= F.total, "<total> <= <N:5>"),
        (F.total == F.count, "<total> = <count>"),
        (F.total.between(1, F.count), "<total> BETWEEN <N:1> AND <count>"),
        (F.status.in_([Status.PAID, "open"]), "<status> IN (<S:paid>, <S:open>)"),
        (F.status.in_(status for status in Status), "<status> IN (<S:open>, <S:paid>)"),
        (F.at.exists(), "attribute_exists(<at>)"),
        (F.at.not_exists(), "attribute_not_exists(<at>)"),
        (F.at.is_type("NULL"), "attribute_type(<at>, <S:NULL>)"),
        (F.name.begins_with("a"), "begins_with(<name>, <S:a>)"),
        (F.raw.begins_with(b"a"), "begins_with(<raw>, <B:b'a'>)"),
        (F.name.begins_with(F.id), "begins_with(<name>, <id>)"),
        (F.at.begins_with("2024-0"), "begins_with(<at>, <S:2024-0>)"),
        (F.status.begins_with("o"), "begins_with(<status>, <S:o>)"),
        (F.name.contains("a"), "contains(<name>, <S:a>)"),
        (F.raw.contains(b"a"), "contains(<raw>, <B:b'a'>)"),
        (F.tags.contains("a"), "contains(<tags>, <S:a>)"),
        (F.tags.contains(F.name), "contains(<tags>, <name>)"),
        (F.numbers.contains("7"), "contains(<numbers>, <N:7>)"),
        (F.words.contains("a"), "contains(<words>, <S:a>)"),
        (F.untyped.contains(1), "contains(<untyped>, <N:1>)"),
        (F.tags.size() > 2, "size(<tags>) > <N:2>"),
        (F.address.city.size() == F.count, "size(<address>.<city>) = <count>"),
        (F.words.size().between(1, 3), "size(<words>) BETWEEN <N:1> AND <N:3>"),
        (F.words.size().in_([1, 2]), "size(<words>) IN (<N:1>, <N:2>)"),
        (~F.paid.exists(), "NOT attribute_exists(<paid>)"),
        (F["size"] > 1, "<size> > <N:1>"),
    ],
)
def test_every_node(codec: ModelCodec[Order], condition: Condition, text: str) -> None:
    assert written(condition, codec) == text


A, B, C = F.total > 1, F.count > 2, F.name.exists()
SHORT = {"<total> > <N:1>": "A", "<count> > <N:2>": "B", "attribute_exists(<name>)": "C"}


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (A & B & C, "A AND B AND C"),
        (A & (B & C), "A AND B AND C"),
        (A | B | C, "A OR B OR C"),
        (A | B & C, "A OR (B AND C)"),
        ((A | B) & C, "(A OR B) AND C"),
        (~A & B, "NOT A AND B"),
        (~(A & B), "NOT (A AND B)"),
        (~(A | B) | C, "(NOT (A OR B)) OR C"),
        (~~A, "NOT (NOT A)"),
        ((A & B) | (B & C), "(A AND B) OR (B AND C)"),
        (~A | ~(B & ~C), "(NOT A) OR (NOT (B AND (NOT C)))"),
    ],
)
def test_grouping(codec: ModelCodec[Order], condition: Condition, text: str) -> None:
    whole = written(condition, codec)
    for long, short in SHORT.items():
        whole = whole.replace(long, short)
    assert whole.replace("(NOT A) AND B", "NOT A AND B") == text


NUMBERS = st.integers(0, 2)
COMPARISONS = st.one_of(
    *(
        NUMBERS.map(lambda number, path=path, make=make: make(path, number))  # type: ignore[misc]
        for path in (F.a, F.b)
        for make in (
            lambda path, number: path == number,
            lambda path, number: path != number,
            lambda path, number: path < number,
            lambda path, number: path >= number,
            lambda path, number: path.in_([number, 2]),
            lambda path, number: path.between(number, 2),
        )
    ),
    st.just(F.a == F.b),
)
TREES = st.recursive(
    COMPARISONS,
    lambda trees: (
        st.builds(lambda x, y: x & y, trees, trees)
        | st.builds(lambda x, y: x | y, trees, trees)
        | trees.map(lambda tree: ~tree)
    ),
    max_leaves=6,
)


class Pair(BaseModel):
    a: int
    b: int


def truth(condition: Any, pair: Mapping[str, int]) -> bool:
    """What a condition means, by its nodes."""
    kind = type(condition).__name__
    if kind in ("Every", "Some"):
        return (all if kind == "Every" else any)(truth(part, pair) for part in condition.conditions)
    if kind == "Not":
        return not truth(condition.condition, pair)
    path, *rest = (getattr(condition, name) for name in condition.__dataclass_fields__)
    mine = pair[path.steps[0]]
    if kind == "In":
        return mine in rest[0]
    if kind == "Between":
        return bool(rest[0] <= mine <= rest[1])
    other = pair[rest[1].steps[0]] if isinstance(rest[1], Path) else rest[1]
    return bool({"=": mine == other, "<>": mine != other, "<": mine < other, ">=": mine >= other}[rest[0]])


@given(TREES, NUMBERS, NUMBERS)
def test_a_server_reads_a_condition_as_it_was_meant(condition: Condition, a: int, b: int) -> None:
    comparisons = pytest.importorskip("moto.dynamodb.comparisons")
    dynamo_type = pytest.importorskip("moto.dynamodb.models.dynamo_type")
    writer = ExpressionWriter(ModelCodec(Pair))
    text = writer.condition(condition)
    parameters = writer.parameters()
    parsed = comparisons.get_filter_expression(
        text, parameters["ExpressionAttributeNames"], parameters.get("ExpressionAttributeValues", {})
    )
    item = dynamo_type.Item(dynamo_type.DynamoType({"S": "k"}), None, {"a": {"N": str(a)}, "b": {"N": str(b)}})
    assert parsed.expr(item) is truth(condition, {"a": a, "b": b})


# --- misuse ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "misuse",
    [
        lambda: A and B,
        lambda: A or B,
        lambda: not A,
        lambda: 1 < F.total < 5,
        lambda: "a" in [F.name],
        lambda: F.paid and B,
        lambda: not F.paid,
        lambda: bool(F.tags.size()),
        lambda: A & True,
        lambda: A & F.paid,
        lambda: F.paid & A,
        lambda: A | None,
        lambda: list(F.tags),
        lambda: "x" in F.tags,
        lambda: [*F.tags],
    ],
)
def test_what_python_cannot_express_is_a_type_error(misuse: Any) -> None:
    with pytest.raises(TypeError):
        misuse()


@pytest.mark.parametrize(
    "misuse",
    [
        lambda: F.at == None,  # noqa: E711
        lambda: F.at != None,  # noqa: E711
        lambda: F.at > None,
        lambda: None == F.at,  # noqa: E711, SIM300
        lambda: F.total.between(None, 5),
        lambda: F.status.in_(["open", None]),
    ],
)
def test_comparing_with_none_is_refused_and_says_what_to_do(misuse: Any) -> None:
    with pytest.raises(ExpressionError, match=r"\.not_exists\(\)"):
        misuse()


@pytest.mark.parametrize("step", [-1, True, 1.5, None, slice(0, 1)])
def test_steps_are_names_or_indexes(step: Any) -> None:
    with pytest.raises(ExpressionError, match="a step into"):
        F.lines[step]
    with pytest.raises(ExpressionError, match="attribute name"):
        F[step]


@pytest.mark.parametrize("options", ["open", b"open"])
def test_in_does_not_take_one_text(options: Any) -> None:
    with pytest.raises(ExpressionError, match="not one text"):
        F.status.in_(options)


def test_paths_and_conditions_are_values() -> None:
    path = F.lines[0]["odd name"].sku
    assert path.steps == ("lines", 0, "odd name", "sku")
    assert repr(path) == "F['lines'][0]['odd name']['sku']"
    assert copy.deepcopy(path).steps == pickle.loads(pickle.dumps(path)).steps == path.steps
    assert hash(path) == hash(F.lines[0]["odd name"].sku)
    assert {path: 1}[path] == 1
    condition = (F.total > 5) & ~F.at.exists()
    assert repr(pickle.loads(pickle.dumps(condition))) == repr(condition)
    with pytest.raises(AttributeError):
        path.steps = ()  # type: ignore[misc]
    with pytest.raises(AttributeError):
        condition.conditions = ()  # type: ignore[attr-defined]
    assert not hasattr(path, "__len__")
    assert not hasattr(F, "__wrapped__")


@pytest.mark.parametrize(
    "given_condition", [F.paid, F, "total > 5", None, True, lambda: None, Attr("x"), F.tags.size()]
)
def test_what_is_no_condition_is_refused(given_condition: Any) -> None:
    with pytest.raises(ExpressionError, match="expected a condition"):
        as_condition(given_condition)


def test_a_function_without_its_parentheses_is_no_condition(codec: ModelCodec[Order]) -> None:
    with pytest.raises(ExpressionError, match="expected a condition"):
        as_condition(F.at.exists)  # type: ignore[arg-type]
    with pytest.raises(ExpressionError, match="expected a condition"):
        ExpressionWriter(codec).condition(F.paid)  # type: ignore[arg-type]


# --- names and places -----------------------------------------------------------------------------------------------


def test_unknown_fields_are_refused_with_those_there_are(codec: ModelCodec[Order]) -> None:
    with pytest.raises(ExpressionError, match=r"Order has no field 'totl'; it has id, total, count, ") as caught:
        written(F.totl > 5, codec)
    assert caught.value.errors == {"totl": "no such field"}
    for condition in (F.address.town == "x", F.name.first == "x", F.tags[0] == "x", F.words.first == "x", F.at[0] == 1):
        with pytest.raises(ExpressionError, match="no place"):
            written(condition, codec)


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (F.odd == 1, "<odd name.of-it> = <N:1>"),
        (F["odd name.of-it"] == 1, "<odd name.of-it> = <N:1>"),
        (F.address.zip_code == "1", "<address>.<zip> = <S:1>"),
        (F.address.zip == "1", "<address>.<zip> = <S:1>"),
        (F["address.zip_code"] == "1", "<address>.<zip> = <S:1>"),
        (F["lines[3].sku"] == "a", "<lines>[3].<sku> = <S:A>"),
        (F["words[0]"] == "a", "<words>[0] = <S:a>"),
        (F.lines[3].sku == "a", "<lines>[3].<sku> = <S:A>"),
        (F.lines[0].amount == Decimal("1.25"), "<lines>[0].<amount> = <N:125>"),
        (F.grid[0][1] > 5, "<grid>[0][1] > <N:5>"),
        (F.pair[1] == "x", "<pair>[1] = <S:x>"),
        (F.by_name["odd. name"] == 1, "<by_name>.<odd. name> = <N:1>"),
        (F.by_name.items == 1, "<by_name>.<items> = <N:1>"),
        (F.by_number[5] == 1, "<by_number>.<5> = <N:1>"),
        (F.untyped.any["thing"][2] == "x", "<untyped>.<any>.<thing>[2] = <S:x>"),
        (F.stages["EXTRACT"].amount == 1, "<stages>.<EXTRACT>.<amount> = <N:100>"),
        (F.stages.EXTRACT.exists(), "attribute_exists(<stages>.<EXTRACT>)"),
    ],
)
def test_places_are_stored_names(codec: ModelCodec[Order], condition: Condition, text: str) -> None:
    assert written(condition, codec) == text


def test_corner_29_reserved_words_and_odd_names_need_no_care() -> None:
    class Reserved(BaseModel):
        model_config = ConfigDict(extra="allow")
        name: str = ""
        status: str = ""

    names = ("name", "status", "ABORT", "with space", "with-dash", "#n0", ":v0", "ünïcode", "1digit")
    writer = ExpressionWriter(ModelCodec(Reserved))
    text = writer.condition(every(*(F[name] == "x" for name in names)))  # type: ignore[arg-type]
    parameters = writer.parameters()
    assert list(parameters["ExpressionAttributeNames"].values()) == list(names)
    assert text == " AND ".join(f"#n{number} = :v0" for number in range(len(names)))
    assert parameters["ExpressionAttributeValues"] == {":v0": {"S": "x"}}


def test_models_that_take_any_attribute_take_any_path() -> None:
    class Open(BaseModel):
        model_config = ConfigDict(extra="allow")
        known: Address | None = None

    codec = ModelCodec(Open)
    assert written(F.anything.at["all"][0] == 5, codec) == "<anything>.<at>.<all>[0] = <N:5>"
    assert written(F["anything.inside"] == 5, codec) == "<anything>.<inside> = <N:5>"
    with pytest.raises(ExpressionError):
        written(F.known.town == "x", codec)


def test_paths_of_yields_every_path() -> None:
    condition = (F.a == F.b) & (~F.c.contains(F.d) | F.e.size().between(F.f, 1)) & F.g.in_([F.h, 1]) & (F.i > 1)
    assert [path.steps[0] for path in paths_of(condition)] == list("abcdefghi")


# --- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        (F.total == 0.1, "<total> = <N:0.1>"),
        (F.total == "7.50", "<total> = <N:7.5>"),
        (F.ratio == 0.1, "<ratio> = <N:0.1>"),
        (F.ratio == 1, "<ratio> = <N:1>"),
        (F.count > 1.5, "<count> > <N:1.5>"),
        (F.count > -5, "<count> > <N:-5>"),
        (F.status == Status.PAID, "<status> = <S:paid>"),
        (F.status == "paid", "<status> = <S:paid>"),
        (F.level == Level.LOW, "<level> = <N:1>"),
        (F.level == 1, "<level> = <N:1>"),
        (F.paid == True, "<paid> = <BOOL:True>"),  # noqa: E712
        (F.raw == b"\x00", "<raw> = <B:b'\\x00'>"),
        (F.day == dt.date(2024, 2, 29), "<day> = <S:2024-02-29>"),
        (F.key == uuid.UUID(int=1), "<key> = <S:00000000-0000-0000-0000-000000000001>"),
        (F.key == uuid.UUID(int=1).hex, "<key> = <S:00000000-0000-0000-0000-000000000001>"),
        (F.tags == {"b", "a"}, "<tags> = <SS:['a', 'b']>"),
        (F.words == ["a"], "<words> = <L:[{'S': 'a'}]>"),
        (F.address == Address(city="x"), "<address> = <M:{'city': {'S': 'x'}, 'zip': {'S': ''}}>"),
        (F.untyped == 0.5, "<untyped> = <N:0.5>"),
        (F.expires > dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC), "<expires> > <N:1719835200>"),
    ],
)
def test_values_are_encoded_as_the_field_is(codec: ModelCodec[Order], condition: Condition, text: str) -> None:
    assert written(condition, codec) == text


@pytest.mark.parametrize(
    "condition",
    [F.status >= "p", F.status == "lost", F.day > "2024-02", F.expires < "yesterday"],
)
def test_text_that_the_field_never_holds_is_refused(codec: ModelCodec[Order], condition: Condition) -> None:
    with pytest.raises(ExpressionError, match=r"is never '.*': it is stored as"):
        written(condition, codec)


@pytest.mark.parametrize(
    "at",
    [
        dt.datetime(2024, 7, 1, 12, tzinfo=dt.UTC),
        dt.datetime(2024, 7, 1, 14, tzinfo=dt.timezone(dt.timedelta(hours=2))),
        dt.datetime(2024, 7, 1, 8),  # noqa: DTZ001 - in the default zone, New York
        "2024-07-01T12:00:00Z",
        "2024-07-01T14:00+02:00",
        "2024-07-01 08:00:00",
    ],
)
def test_corner_21_an_instant_is_compared_in_its_stored_form(codec: ModelCodec[Order], at: Any) -> None:
    stored = codec.encode(Order(id="x", at=at))["at"]["S"]
    assert stored == "2024-07-01T12:00:00.000000+00:00"
    assert written(F.at == at, codec) == f"<at> = <S:{stored}>"
    assert written(F.at.in_([at]), codec) == f"<at> IN (<S:{stored}>)"


@given(
    st.builds(
        Order,
        id=st.just("x"),
        total=st.decimals(-1000, 1000, places=2),
        ratio=st.floats(-1e6, 1e6).map(lambda ratio: round(ratio, 6)),
        at=st.datetimes(timezones=st.timezones(), allow_imaginary=False, min_value=dt.datetime(2, 1, 1)),  # noqa: DTZ001
        tags=st.sets(st.text(max_size=2)),
        raw=st.binary(max_size=3),
        status=st.sampled_from(Status),
    )
)
def test_a_comparison_is_with_what_is_stored(order: Order) -> None:
    codec = ModelCodec(Order)
    for name, wire in codec.encode(order).items():
        if name in Order.model_fields:
            writer = ExpressionWriter(codec)
            writer.condition(F[name] == getattr(order, name))
            assert list(writer.parameters()["ExpressionAttributeValues"].values()) == [wire]


@pytest.mark.parametrize(
    "condition",
    [
        F.total == "many",
        F.total > b"x",
        F.id == 5,
        F.paid == "perhaps",
        F.tags == "a",
        F.words == 5,
        F.address.city == 5,
        F.grid[0][0] == "x",
        F.total == float("nan"),
        F.count == 10**130,
        F.tags.contains(5),
        F.name.contains(5),
        F.name.begins_with(5),  # type: ignore[arg-type]
        F.name.begins_with(b"x"),
        F.total.begins_with("1"),
        F.total.contains(1),
        F.by_name.contains(1),
        F.tags.begins_with("a"),
        F.at.is_type("DATETIME"),
        F.tags.size() > 1.5,
        F.tags.size() == True,  # noqa: E712
        F.tags.size() == "2",
        F.total.size() > 1,
        F.paid < True,
        F.tags > {"a"},
        F.words.between(["a"], ["b"]),
        F.untyped > [1],
    ],
)
def test_values_that_can_never_be_there_are_refused(codec: ModelCodec[Order], condition: Condition) -> None:
    with pytest.raises(ValidationError):
        written(condition, codec)


@pytest.mark.parametrize("count", [1, 100])
def test_in_takes_up_to_100_options(codec: ModelCodec[Order], count: int) -> None:
    assert written(F.count.in_(range(count)), codec).count("<N:") == count


@pytest.mark.parametrize("count", [0, 101])
def test_in_refuses_no_options_and_too_many(codec: ModelCodec[Order], count: int) -> None:
    with pytest.raises(ExpressionError, match=f"1 to 100 options, got {count}"):
        written(F.count.in_(range(count)), codec)


def test_equal_sets_of_options_are_written_alike() -> None:
    words = [f"word{number}" for number in range(50)]
    assert repr(F.name.in_(set(words))) == repr(F.name.in_(frozenset(reversed(words))))


# --- placeholders and limits ----------------------------------------------------------------------------------------


def test_equal_names_and_equal_values_share_a_placeholder(codec: ModelCodec[Order]) -> None:
    writer = ExpressionWriter(codec)
    assert writer.condition((F.total > 1) & (F.count < 1) & (F.total != 2)) == "#n0 > :v0 AND #n1 < :v0 AND #n0 <> :v1"
    assert writer.projection([("total",), ("lines", 0, "sku"), ("total",)]) == "#n0, #n2[0].#n3"
    assert writer.condition(F.name == "1") == "#n4 = :v2", "text 1 and number 1 are two values"
    assert writer.parameters() == {
        "ExpressionAttributeNames": {"#n0": "total", "#n1": "count", "#n2": "lines", "#n3": "sku", "#n4": "name"},
        "ExpressionAttributeValues": {":v0": {"N": "1"}, ":v1": {"N": "2"}, ":v2": {"S": "1"}},
    }


def test_corner_33_empty_placeholders_are_not_sent(codec: ModelCodec[Order]) -> None:
    assert ExpressionWriter(codec).parameters() == {}
    writer = ExpressionWriter(codec)
    assert writer.condition(F.at.exists()) == "attribute_exists(#n0)"
    assert writer.parameters() == {"ExpressionAttributeNames": {"#n0": "at"}}
    writer = ExpressionWriter(codec)
    assert writer.condition(Written("a = b")) == "a = b"
    assert writer.parameters() == {}


def test_parameters_are_a_copy(codec: ModelCodec[Order]) -> None:
    writer = ExpressionWriter(codec)
    writer.condition(F.total > 1)
    writer.parameters()["ExpressionAttributeNames"].clear()
    assert writer.parameters()["ExpressionAttributeNames"] == {"#n0": "total"}


def test_written_expressions_keep_their_placeholders(codec: ModelCodec[Order]) -> None:
    writer = ExpressionWriter(codec)
    writer.adopt({"#n0": "count", "#mine": "name"}, {":v1": {"N": "9"}, ":v0": {"S": "x"}})
    text = writer.condition((F.total > 1) & Written("#n0 < :v1 OR #mine = :v0") & (F.count == 9))
    assert text == "#n2 > :v2 AND (#n0 < :v1 OR #mine = :v0) AND #n0 = :v1"
    assert writer.parameters() == {
        "ExpressionAttributeNames": {"#n0": "count", "#mine": "name", "#n2": "total"},
        "ExpressionAttributeValues": {":v1": {"N": "9"}, ":v0": {"S": "x"}, ":v2": {"N": "1"}},
    }


def test_placeholders_that_collide_are_refused(codec: ModelCodec[Order]) -> None:
    writer = ExpressionWriter(codec)
    writer.condition(F.total > 1)
    writer.adopt({"#n0": "total"}, {":v0": {"N": "1"}})
    with pytest.raises(ExpressionError, match="'#n0' is used for two things"):
        writer.adopt({"#n0": "count"}, {})
    with pytest.raises(ExpressionError, match="':v0' is used for two things"):
        writer.adopt({}, {":v0": {"N": "2"}})


@pytest.mark.parametrize(("operators", "fits"), [(300, True), (301, False)])
def test_corner_29_more_than_300_operators_are_refused(codec: ModelCodec[Order], operators: int, *, fits: bool) -> None:
    # Every "a AND NOT b" in a row: short names, so that the length is no issue.
    condition = F.id.exists()
    used = 1
    while used < operators:
        condition = ~condition
        used += 1
    writer = ExpressionWriter(codec)
    if fits:
        assert writer.condition(condition).count("NOT") == operators - 1
        assert writer.condition(condition), "the count starts anew with each expression"
    else:
        with pytest.raises(ExpressionError, match="301 operators and functions and DynamoDB allows 300"):
            writer.condition(condition)


def test_corner_29_more_than_4_kb_are_refused(codec: ModelCodec[Order]) -> None:
    def of(parts: int) -> Condition:
        condition = every(*(F.untyped[f"field{number}"] == 1 for number in range(parts)))
        assert condition is not None
        return condition

    text = ExpressionWriter(codec).condition(of(140))
    assert len(text.encode()) <= 4096
    with pytest.raises(ExpressionError, match=r"bytes and DynamoDB allows 4,096"):
        ExpressionWriter(codec).condition(of(250))
    with pytest.raises(ExpressionError, match=r"bytes and DynamoDB allows 4,096"):
        ExpressionWriter(codec).projection([("untyped", f"field{number}") for number in range(600)])
    with pytest.raises(ExpressionError, match=r"bytes and DynamoDB allows 4,096"):
        updated(codec, {F.untyped[f"field{number}"]: number for number in range(300)})


# --- boto3's conditions ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (Attr("total").eq(1), F.total == 1),
        (Key("id").eq("x"), F.id == "x"),
        (Attr("total").ne(1), F.total != 1),
        (Attr("total").lt(1), F.total < 1),
        (Attr("total").lte(1), F.total <= 1),
        (Attr("total").gt(Decimal("1.5")), F.total > Decimal("1.5")),
        (Key("total").gte(1), F.total >= 1),
        (Key("total").between(1, 2), F.total.between(1, 2)),
        (Key("name").begins_with("a"), F.name.begins_with("a")),
        (Attr("status").is_in(["open", "paid"]), F.status.in_(["open", "paid"])),
        (Attr("status").is_in({"open", "paid"}), F.status.in_({"paid", "open"})),
        (Attr("at").exists(), F.at.exists()),
        (Attr("at").not_exists(), F.at.not_exists()),
        (Attr("at").attribute_type("S"), F.at.is_type("S")),
        (Attr("tags").contains("a"), F.tags.contains("a")),
        (Attr("tags").size().gt(2), F.tags.size() > 2),
        (Attr("tags").size().between(1, 2), F.tags.size().between(1, 2)),
        (Attr("total").eq(Attr("count")), F.total == F.count),
        (Attr("total").between(Attr("count"), 5), F.total.between(F.count, 5)),
        (Attr("address.zip").eq("1"), F.address.zip_code == "1"),
        (Attr("lines[2].sku").eq("a"), F.lines[2].sku == "a"),
        (Attr("words[0]").eq("a"), F.words[0] == "a"),
        (Attr("at").gt(dt.datetime(2024, 7, 1, tzinfo=dt.UTC)), F.at > dt.datetime(2024, 7, 1, tzinfo=dt.UTC)),
        (~Attr("at").exists(), ~F.at.exists()),
        (
            (Attr("total").gt(1) | Attr("count").gt(2)) & ~(Attr("name").eq("a") & Attr("paid").eq(True)),
            ((F.total > 1) | (F.count > 2)) & ~((F.name == "a") & (F.paid == True)),  # noqa: E712
        ),
    ],
)
def test_boto3_conditions_mean_the_same(codec: ModelCodec[Order], theirs: Any, ours: Condition) -> None:
    assert written(as_condition(theirs), codec) == written(ours, codec)
    assert as_condition(ours) is ours


def test_boto3_conditions_are_checked_like_ours(codec: ModelCodec[Order]) -> None:
    with pytest.raises(ExpressionError, match="no field 'totl'"):
        written(as_condition(Attr("totl").eq(1)), codec)
    with pytest.raises(ExpressionError, match="total is never 'x'"):
        written(as_condition(Key("total").eq("x")), codec)


# --- updates --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"total": 5, "name": "x"}, "SET <total> = <N:5>, <name> = <S:x>"),
        ({"status": "paid"}, "SET <status> = <S:paid>"),
        ({"odd": 1}, "SET <odd name.of-it> = <N:1>"),
        ({"at": dt.datetime(2024, 7, 1, 8)}, "SET <at> = <S:2024-07-01T12:00:00.000000+00:00>"),  # noqa: DTZ001
        ({"expires": "2024-07-01T12:00:00Z"}, "SET <expires> = <N:1719835200>"),
        ({"tags": ["b", "a", "b"]}, "SET <tags> = <SS:['a', 'b']>"),
        ({"address.zip": "1"}, "SET <address>.<zip> = <S:1>"),
        ({F.lines[0].sku: "a"}, "SET <lines>[0].<sku> = <S:A>"),
        ({F.lines[0].amount: "1.25"}, "SET <lines>[0].<amount> = <N:125>"),
        ({F.by_number[7]: 1}, "SET <by_number>.<7> = <N:1>"),
        ({"level": None}, "SET <level> = <NULL:True>"),
        (
            {F.stages["A"]: {"sku": "a"}},
            "SET <stages>.<A> = <M:{'sku': {'S': 'A'}, 'amount': {'N': '100'}}>",
        ),
        ({"at": Remove}, "REMOVE <at>"),
        ({"at": Remove(), F.lines[2]: Remove, "name": "x"}, "SET <name> = <S:x> REMOVE <at>, <lines>[2]"),
        ({"total": Add(5)}, "ADD <total> <N:5>"),
        ({"total": Add(Decimal("-0.5")), "count": Add(-1)}, "ADD <total> <N:-0.5>, <count> <N:-1>"),
        ({"ratio": Add(0.5)}, "ADD <ratio> <N:0.5>"),
        ({"untyped": Add(1)}, "ADD <untyped> <N:1>"),
        ({F.by_name["x"]: Add(5)}, "SET <by_name>.<x> = if_not_exists(<by_name>.<x>, <N:0>) + <N:5>"),
        ({"tags": Add({"b", "a"})}, "ADD <tags> <SS:['a', 'b']>"),
        ({"numbers": Add(frozenset([2, 1]))}, "ADD <numbers> <NS:['1', '2']>"),
        ({"tags": Delete("b", "a")}, "DELETE <tags> <SS:['a', 'b']>"),
        ({"tags": Delete({"a"})}, "DELETE <tags> <SS:['a']>"),
        ({"numbers": Delete([1])}, "DELETE <numbers> <NS:['1']>"),
        ({"name": SetIfMissing("x")}, "SET <name> = if_not_exists(<name>, <S:x>)"),
        ({"words": Append("a")}, "SET <words> = list_append(if_not_exists(<words>, <L:[]>), <L:[{'S': 'a'}]>)"),
        (
            {"words": Append("a", "b")},
            "SET <words> = list_append(if_not_exists(<words>, <L:[]>), <L:[{'S': 'a'}, {'S': 'b'}]>)",
        ),
        (
            {"words": Prepend(("a", "b"))},
            "SET <words> = list_append(<L:[{'S': 'a'}, {'S': 'b'}]>, if_not_exists(<words>, <L:[]>))",
        ),
        (
            {"lines": Append(Line(sku="a"))},
            "SET <lines> = list_append(if_not_exists(<lines>, <L:[]>), "
            "<L:[{'M': {'sku': {'S': 'A'}, 'amount': {'N': '100'}}}]>)",
        ),
        (
            {"untyped": Append(1, "x")},
            "SET <untyped> = list_append(if_not_exists(<untyped>, <L:[]>), <L:[{'N': '1'}, {'S': 'x'}]>)",
        ),
    ],
)
def test_every_kind_of_change(codec: ModelCodec[Order], changes: Any, text: str) -> None:
    assert updated(codec, changes) == text


@pytest.mark.parametrize(
    ("field", "given_values", "elements"),
    [
        ("grid", ([1, 2],), [[1, 2]]),
        ("grid", ([[1], [2]],), [[1], [2]]),
        ("grid", ([1], [2]), [[1], [2]]),
        ("grid", ((1, 2),), [[1, 2]]),
        ("grid", ([[]],), [[]]),
        ("boxes", ([[1]],), [[[1]]]),
        ("boxes", ([[[1]], [[2]]],), [[[1]], [[2]]]),
        ("words", (["a", "b"],), ["a", "b"]),
        ("words", ([],), []),
    ],
)
def test_appending_lists_to_lists_of_lists(
    codec: ModelCodec[Order], field: str, given_values: Any, elements: Any
) -> None:
    writer = ExpressionWriter(codec)
    writer.update([(codec.target((field,)), Append(*given_values))])
    expected = codec.encode(Order(id="x", **{field: elements}))[field]
    assert expected in writer.parameters()["ExpressionAttributeValues"].values()


@pytest.mark.parametrize(
    "changes",
    [
        {"total": "many"},
        {"count": -1},
        {"status": "lost"},
        {"id": None},
        {"total": float("inf")},
        {"address": {"zip": "1"}},
        {F.lines[0].sku: 5},
        {"total": Add("5")},
        {"total": Add(True)},
        {"total": Add(None)},  # type: ignore[arg-type]
        {"total": Add(float("nan"))},
        {"count": Add(0.5)},
        {"count": Add(Decimal("1.5"))},
        {F.by_name["x"]: Add(1.5)},
        {"name": Add(1)},
        {"words": Add({"a"})},
        {"words": Add(1)},
        {"tags": Add(1)},
        {"tags": Add(set())},
        {"tags": Add({1})},
        {"pairs": Add({(1, 2)})},
        {"numbers": Delete("x")},
        {"tags": Delete()},
        {"words": Delete("a")},
        {"name": Append("x")},
        {"tags": Append("x")},
        {"numbers": Append(1)},
        {"by_name": Append(1)},
        {"stages": Append(Line(sku="a"))},
        {"words": Append(1)},
        {"grid": Append(["x"])},
        {"name": SetIfMissing(5)},
        {"untyped": SetIfMissing(Add(1))},
        {"untyped": SetIfMissing(Remove)},
        {"untyped": F.total},
        {"total": F.count},
        {"untyped": F.total > 1},
        {"untyped": object()},
    ],
)
def test_changes_that_do_not_fit_are_refused(codec: ModelCodec[Order], changes: Any) -> None:
    with pytest.raises(ValidationError):
        updated(codec, changes)


@pytest.mark.parametrize(
    "changes",
    [
        {"total": 1, "total ": 1},
        {"address": None, "address.city": "x"},
        {F.address.zip: "1", F.address.zip_code: "2"},
        {"lines": [], F.lines[0]: Remove},
        {F.by_name["x"]: 1, "by_name": {}},
        {F.untyped.a.b: 1, F.untyped.a: Remove},
    ],
)
def test_changes_of_one_place_are_refused(codec: ModelCodec[Order], changes: Any) -> None:
    with pytest.raises(ExpressionError, match=r"overlap|no field"):
        updated(codec, changes)


def test_neighbouring_places_do_not_overlap(codec: ModelCodec[Order]) -> None:
    text = updated(codec, {F.by_name["a"]: 1, F.by_name["ab"]: 2, F.words[0]: "x", F.words[1]: "y"})
    assert text == "SET <by_name>.<a> = <N:1>, <by_name>.<ab> = <N:2>, <words>[0] = <S:x>, <words>[1] = <S:y>"


def test_conditions_and_updates_of_one_request_share_placeholders(codec: ModelCodec[Order]) -> None:
    writer = ExpressionWriter(codec)
    update = writer.update([(codec.target(("count",)), Add(1)), (codec.target(("name",)), "x")])
    condition = writer.condition((F.count < 1) & (F.name != "x"))
    assert (update, condition) == ("SET #n1 = :v1 ADD #n0 :v0", "#n0 < :v0 AND #n1 <> :v1")
    assert json.dumps(writer.parameters(), default=str)


def test_every_leaves_out_what_is_not_given() -> None:
    assert every() is every(None, None) is None
    assert every(None, A) is A
    assert repr(every(A, None, B & C)) == repr(A & B & C)
