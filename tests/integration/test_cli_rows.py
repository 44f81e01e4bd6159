"""Rows of files: what was written is what is read, for every model and every value that DynamoDB has."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable
from decimal import Decimal
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, computed_field, create_model

from dynamodb_wrapper.cli.files import parquet
from dynamodb_wrapper.cli.files.cells import CsvRows
from dynamodb_wrapper.cli.files.parquet import ParquetRows
from dynamodb_wrapper.cli.files.rows import ModelRows, PlainRows, StoredRows
from dynamodb_wrapper.codec import Item, KeyedList, TimeRules, union_model
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations.copies import is_same
from dynamodb_wrapper.operations.declaration import Declaration
from dynamodb_wrapper.operations.entity import Entity
from tests.unit.test_codec_property import LEAVES, TEXTS, Colour, Options, Ratio, Visit, models, normal

# --- any item -------------------------------------------------------------------------------------------------------

NUMBERS = st.integers(-(10**38) + 1, 10**38 - 1).map(str) | st.decimals(-1000, 1000, places=3).map(
    lambda number: format(number.normalize(), "f")
)
SCALARS = st.one_of(
    TEXTS.map(lambda text: {"S": text}),
    NUMBERS.map(lambda number: {"N": number}),
    st.booleans().map(lambda value: {"BOOL": value}),
    st.just({"NULL": True}),
)
OF_DYNAMODB = st.one_of(
    st.binary(max_size=8).map(lambda raw: {"B": raw}),
    st.lists(TEXTS, min_size=1, max_size=3, unique=True).map(lambda members: {"SS": members}),
    st.lists(st.integers().map(str), min_size=1, max_size=3, unique=True)
    .filter(lambda members: all(len(member) < 30 for member in members))
    .map(lambda members: {"NS": members}),
    st.lists(st.binary(max_size=8), min_size=1, max_size=3, unique=True).map(lambda members: {"BS": members}),
)


def values(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    return st.recursive(
        leaves,
        lambda inner: st.one_of(
            st.lists(inner, max_size=3).map(lambda elements: {"L": elements}),
            st.dictionaries(TEXTS, inner, max_size=3).map(lambda entries: {"M": entries}),
        ),
        max_leaves=6,
    )


def items(leaves: st.SearchStrategy[Any]) -> st.SearchStrategy[Item]:
    return st.dictionaries(st.text(min_size=1, max_size=5), values(leaves), max_size=4).map(
        lambda item: {**item, "pk": {"S": "x"}}
    )


def entity_of(model: type[BaseModel], **declared: Any) -> Entity[Any]:
    declaration = Declaration("Things", model, "pk", **declared)
    return Entity("things", declaration, declaration.codec_for(model, TimeRules()))


class Keyed(BaseModel):
    pk: str


@given(items(SCALARS | OF_DYNAMODB))
def test_dynamodb_json_keeps_everything(item: Item) -> None:
    rows = StoredRows(entity_of(Keyed), has_model=False)
    line = rows.row(item)
    assert line.count(b"\n") == 1
    assert is_same(rows.item(line), item)


@given(items(SCALARS))
def test_json_without_a_model_keeps_what_json_has(item: Item) -> None:
    rows = PlainRows()
    assert is_same(rows.item(rows.row(item)), item)


@given(items(OF_DYNAMODB), values(OF_DYNAMODB).filter(lambda wire: wire not in ({"L": []}, {"M": {}})))
def test_json_without_a_model_refuses_what_would_come_back_as_something_else(item: Item, wire: Any) -> None:
    item["more"] = {"L": [{"M": {"deep": wire}}]}
    if "B" in str(wire) or "SS" in str(wire) or "NS" in str(wire):
        with pytest.raises(ValidationError, match="dynamodb-json"):
            PlainRows().row(item)
    json.loads(PlainRows(lossy=True).row(item))


def test_numbers_keep_their_digits_in_json() -> None:
    digits = "12345678901234567890123456789012345678"
    item: Item = {"pk": {"S": "x"}, "n": {"N": digits}, "small": {"N": "0.00000000000000000000123"}}
    line = PlainRows().row(item)
    assert digits.encode() in line
    assert PlainRows().item(line) == item


# --- models ---------------------------------------------------------------------------------------------------------

Way = Callable[[Entity[Any], Item], Item]


def through_json(entity: Entity[Any], item: Item) -> Item:
    return ModelRows(entity).item(ModelRows(entity).row(item))


def through_csv(entity: Entity[Any], item: Item) -> Item:
    rows = CsvRows(entity)
    rows.begin(rows.header)
    return rows.item(rows.row(item))


@pytest.fixture
def through_parquet(tmp_path: Path) -> Way:
    def way(entity: Entity[Any], item: Item) -> Item:
        rows, path = ParquetRows(entity), tmp_path / "one.parquet"
        rows.write(iter([rows.row(item)]), path)
        (row,) = parquet.rows_of(path, 0)
        return rows.item(row)

    return way


@pytest.fixture(params=["json", "csv", "parquet"])
def way(request: pytest.FixtureRequest, through_parquet: Way) -> Way:
    return {"json": through_json, "csv": through_csv, "parquet": through_parquet}[request.param]


def unless_refused(way: Way, entity: Entity[Any], item: Item, reasons: tuple[str, ...]) -> Item | None:
    """What comes back of an item; None when it was refused for one of these reasons."""
    try:
        return way(entity, item)
    except ValidationError as error:
        if not any(reason in str(error) for reason in reasons):
            raise
        return None


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), models())
def test_any_model_comes_back_or_is_refused(way: Way, data: st.DataObject, drawn: Any) -> None:
    model, instances = drawn
    instance = data.draw(instances)
    keyed = create_model("Keyed", __base__=model, pk=(str, ...))
    whole = keyed.model_construct(**{name: getattr(instance, name) for name in model.model_fields}, pk="x")
    entity = entity_of(keyed)
    item = entity.encode(whole)
    back = unless_refused(way, entity, item, ("does not say that it is there", "64 bits", "no columns"))
    if back is None:
        return
    assert is_same(back, item)
    assert normal(entity.decode(back), dt.UTC) == normal(entity.decode(item), dt.UTC)


NOT_LOOKED_INTO = (Ratio, Visit, Options)
"""An enum of values of several types, a dataclass and a typed dictionary: what they have inside is not told."""


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data(), st.sampled_from([kind for kind in LEAVES if kind not in NOT_LOOKED_INTO]))
def test_no_type_is_refused_where_a_model_names_it(way: Way, data: st.DataObject, kind: Any) -> None:
    values = LEAVES[kind]
    holder = create_model(
        "Holder",
        pk=(str, ...),
        one=(kind, ...),
        maybe=(kind | None, None),
        several=(list[kind], ...),
        named=(dict[str, kind], {}),
    )
    model = holder.model_construct(
        pk="x",
        one=data.draw(values),
        maybe=data.draw(st.none() | values),
        several=data.draw(st.lists(values, max_size=3)),
        named=data.draw(st.dictionaries(TEXTS, values, max_size=2)),
    )
    entity = entity_of(holder)
    item = entity.encode(model)
    back = unless_refused(way, entity, item, ("64 bits",))
    assert back is None or is_same(back, item)


class Colours(BaseModel):
    pk: str
    note: str | None = None
    label: str = "none"
    count: int | None = 5
    is_new: bool = False
    price: Decimal = Decimal(0)
    tags: set[str] = Field(default_factory=set)
    levels: set[int] | None = None
    raw: bytes | None = None
    colour: Colour | None = None
    seen: dt.datetime | None = None
    extra: Any = None


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"note": "", "label": "", "count": None},
        {"note": '""', "label": '"', "count": 0},
        {"note": "a,b\r\n\"c\"\n", "label": " padded ", "count": 2**53 + 1},
        {"note": "None", "label": "null", "price": Decimal("1E-10")},
        {"note": "\ufeffmarked", "label": "﻿", "raw": b""},
        {"raw": b"\x00\xff", "tags": {"", "a", "null"}, "levels": {1, 10**17}, "colour": Colour.ODD},
        {"extra": {"a": [1, Decimal("1.5"), "x", None, True]}, "seen": dt.datetime(2024, 2, 29, tzinfo=dt.UTC)},
        {"extra": ""},
        {"extra": "5"},
    ],
)  # fmt: skip
def test_none_the_empty_text_and_odd_texts_are_told_from_each_other(way: Way, values: dict[str, Any]) -> None:
    entity = entity_of(Colours)
    model = Colours(pk="x", **values)
    assert entity.decode(way(entity, entity.encode(model))) == model


class Card(BaseModel):
    method: Literal["card"] = "card"
    pk: str
    digits: bytes


class Transfer(BaseModel):
    method: Literal["transfer"] = "transfer"
    pk: str
    codes: set[str] = Field(default_factory=set)
    paid_at: dt.datetime | None = None
    days: int | None = 5


def test_one_of_several_models_comes_back_as_what_it_was(way: Way) -> None:
    model = union_model(Annotated[Card | Transfer, Field(discriminator="method")])
    assert model is not None
    entity = entity_of(model)
    at = dt.datetime(2026, 1, 2, tzinfo=dt.UTC)
    for one in (Card(pk="x", digits=b"\x00\x01"), Transfer(pk="x", codes={"a"}, paid_at=at), Transfer(pk="x")):
        assert entity.decode(way(entity, entity.encode(one))) == one
    item = entity.encode(Transfer(pk="x", days=None))
    back = unless_refused(way, entity, item, ("days",))
    assert back is None or is_same(back, item)


class Step(BaseModel):
    name: str
    raw: bytes


class Recipe(BaseModel):
    pk: str
    steps: list[Step]
    ends: dt.datetime

    @computed_field  # type: ignore[prop-decorator]
    @property
    def length(self) -> int:
        return len(self.steps)


def test_what_is_stored_in_forms_of_its_own_is_in_files_as_the_model_has_it(way: Way) -> None:
    entity = entity_of(Recipe, stored={"steps": KeyedList("name")}, ttl="ends")
    steps = [Step(name="stir", raw=b"\xff"), Step(name="bake", raw=b"")]
    recipe = Recipe(pk="x", steps=steps, ends=dt.datetime(2026, 1, 2, tzinfo=dt.UTC))
    item = entity.encode(recipe)
    assert (item["ends"].keys(), item["steps"].keys()) == ({"N"}, {"M"})
    assert is_same(way(entity, item), item)
    row = json.loads(ModelRows(entity).row(item))
    assert (row["ends"][:10], row["length"], row["steps"][0]["name"]) == ("2026-01-02", 2, "stir")


def test_a_row_of_csv_as_spreadsheets_have_it() -> None:
    rows = CsvRows(entity_of(Colours))
    rows.begin(b"\xef\xbb\xbfpk,note,label,is_new,price,tags,extra\r\n")
    item = rows.item(b'x,,hello,TRUE,"1.50","[""a"",""b""]",plain')
    assert item["price"] == {"N": "1.5"}
    assert item["label"] == {"S": "hello"}
    assert sorted(item["tags"]["SS"]) == ["a", "b"]
    assert item["extra"] == {"S": "plain"}
    assert "note" not in item
    assert item["is_new"] == {"BOOL": True}


@pytest.mark.parametrize(
    ("header", "reason"),
    [(b"pk,nmae\n", "'nmae' is no field"), (b"pk,pk\n", "twice"), (b'pk,"note\n', "no CSV")],
)
def test_a_header_that_is_none_of_the_model_is_refused(header: bytes, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        CsvRows(entity_of(Colours)).begin(header)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"x", "1 cells"),
        (b"x,1,2", "3 cells"),
        (b'x,"1', "no CSV"),
        (b"x,\xff", "no UTF-8"),
        (b"x,many", "valid integer"),
    ],
)
def test_a_row_of_csv_that_is_none_is_refused(row: bytes, reason: str) -> None:
    rows = CsvRows(entity_of(Colours))
    rows.begin(b"pk,count")
    with pytest.raises(ValidationError, match=reason):
        rows.item(row)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b"", "not JSON"),
        (b"[1]", "no JSON object"),
        (b'{"pk": "x"', "not JSON"),
        (b'{"pk": "x", "count": NaN}', "NaN"),
        (b'{"count": 1}', "pk: Field required"),
        (b'{"pk": "x", "price": "dear"}', "price"),
        (b'{"pk": "x", "raw": "%%"}', "base64"),
        (b'{"pk": "\\ud800"}', "Unicode"),
        (b'{"pk": "x", "extra": ' + b"[" * 100_000 + b"}", "nested too deeply|not JSON"),
        (b'{"pk": "x", "price": 1' + b"0" * 200 + b"}", "range of numbers"),
    ],
)
def test_a_row_of_json_that_is_none_is_refused(row: bytes, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        ModelRows(entity_of(Colours)).item(row)


@pytest.mark.parametrize(
    ("row", "reason"),
    [
        (b'{"pk": {"S": "x"}}', "no line of DynamoDB JSON"),
        (b'{"Item": {"pk": "x"}}', "no value of DynamoDB JSON"),
        (b'{"Item": {"pk": {"S": "x", "N": "1"}}}', "no value of DynamoDB JSON"),
        (b'{"Item": {"pk": {"S": "x"}, "n": {"N": 1}}}', "no value of DynamoDB JSON"),
        (b'{"Item": {"pk": {"S": "x"}, "n": {"N": "one"}}}', "no number"),
        (b'{"Item": {"pk": {"S": "x"}, "n": {"SS": []}}}', "no value of DynamoDB JSON"),
        (b'{"Item": {"pk": {"S": "x"}, "n": {"SS": ["a", "a"]}}}', "twice"),
        (b'{"Item": {"pk": {"S": "x"}, "n": {"NULL": false}}}', "no value of DynamoDB JSON"),
        (b'{"Item": {"pk": {"S": "x"}, "n": {"B": "%"}}}', "base64"),
        (b'{"Metadata": {"WriteTimestampMicros": {"N": "1"}}, "Keys": {"pk": {"S": "x"}}}', "incremental"),
    ],
)
def test_a_line_of_dynamodb_json_that_is_none_is_refused(row: bytes, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        StoredRows(entity_of(Keyed), has_model=False).item(row)


def test_what_a_model_does_not_know_is_counted() -> None:
    entity = entity_of(Keyed)
    rows = ModelRows(entity)
    assert json.loads(rows.row({"pk": {"S": "x"}, "old": {"N": "1"}})) == {"pk": "x"}
    rows.item(b'{"pk": "x", "odl": 1}')
    assert (rows.not_known.count, rows.not_known.names) == (2, ["old", "odl"])


def test_what_a_model_forbids_is_refused() -> None:
    class Strict(BaseModel):
        model_config = ConfigDict(extra="forbid")
        pk: str

    with pytest.raises(ValidationError, match="odl"):
        ModelRows(entity_of(Strict)).item(b'{"pk": "x", "odl": 1}')


def test_a_whole_number_that_parquet_cannot_hold_is_refused() -> None:
    entity = entity_of(Colours)
    with pytest.raises(ValidationError, match="64 bits"):
        ParquetRows(entity).row(entity.encode(Colours(pk="x", count=2**63)))


def test_a_parquet_file_of_another_program(tmp_path: Path) -> None:
    arrow = parquet.pyarrow()
    noon = dt.datetime(2026, 7, 1, 12)  # noqa: DTZ001 - as files have it
    columns = {
        "pk": arrow.array(["x"]),
        "count": arrow.array([5.0]),
        "price": arrow.array([Decimal("1.50")], arrow.decimal128(10, 2)),
        "tags": arrow.array([["a", "b"]]),
        "note": arrow.array(["a"]).dictionary_encode(),
        "seen": arrow.array([noon], arrow.timestamp("ns")),
        "raw": arrow.array([b"\x00"]),
        "extra": arrow.array([{"a": [1, None]}]),
        "colour": arrow.array([None], arrow.null()),
    }
    path = tmp_path / "theirs.parquet"
    parquet.pyarrow("pyarrow.parquet").write_table(arrow.table(columns), path)
    declaration = Declaration("Things", Colours, "pk")
    times = TimeRules.of(assumed="Europe/London", stored_in_utc=True, shown=None)
    entity = Entity("things", declaration, declaration.codec_for(Colours, times))
    rows = ParquetRows(entity)
    rows.begin(json.dumps(parquet.columns_of(path)[0]).encode())
    (row,) = parquet.rows_of(path, 0)
    assert entity.decode(rows.item(row)) == Colours(
        pk="x",
        count=5,
        price=Decimal("1.5"),
        tags={"a", "b"},
        note="a",
        seen=dt.datetime(2026, 7, 1, 11, tzinfo=dt.UTC),
        raw=b"\x00",
        extra={"a": [1, None]},
    )
    with pytest.raises(ValidationError, match="'other' is no field"):
        rows.begin(b'["pk", "other"]')


def test_columns_of_parquet_have_the_types_of_the_fields() -> None:
    class Typed(BaseModel):
        pk: str
        count: int
        ratio: float
        price: Decimal
        is_new: bool
        raw: bytes
        at: dt.datetime
        day: dt.date
        tags: set[str]
        names: list[str]
        inner: Keyed
        colour: StrEnum

    types = {field.name: str(field.type) for field in ParquetRows(entity_of(Typed)).schema()}
    assert types == {
        "pk": "string",
        "count": "int64",
        "ratio": "double",
        "price": "string",
        "is_new": "bool",
        "raw": "binary",
        "at": "timestamp[us, tz=UTC]",
        "day": "date32[day]",
        "tags": str(_list_type()),
        "names": str(_list_type()),
        "inner": "string",
        "colour": "string",
    }


def _list_type() -> Any:
    arrow = parquet.pyarrow()
    return arrow.list_(arrow.string())
