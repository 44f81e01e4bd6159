"""Reading in one pass, and generated encoders, do what the simple way does: any model, any item, right or wrong."""

from __future__ import annotations

import datetime as dt
import enum
import json
import re
import uuid
from decimal import Decimal
from functools import partial
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    ValidationInfo,
    create_model,
    field_validator,
    model_validator,
)

from dynamodb_wrapper.codec import ModelCodec
from dynamodb_wrapper.codec.wire import Item, Wire
from dynamodb_wrapper.codec.wire_json import from_json, to_json, with_bytes
from dynamodb_wrapper.exceptions import ValidationError
from tests.unit.test_codec_property import LEAVES, TYPES, models

TEXT = st.text(max_size=4)
NUMBER = st.integers(-(10**12), 10**12).map(str) | st.sampled_from(["0.1", "-2.5", "1E+3", "10" + 30 * "0", "0"])
BINARY = st.sampled_from(["", "AA==", "aGk="])
WIRES: st.SearchStrategy[Wire] = st.recursive(
    st.one_of(
        st.builds(lambda text: {"S": text}, TEXT | st.sampled_from(["2026-01-01", "true", "1", "red", "P1D", "05:00"])),
        st.builds(lambda number: {"N": number}, NUMBER),
        st.builds(lambda flag: {"BOOL": flag}, st.booleans()),
        st.builds(lambda text: {"B": text}, BINARY),
        st.just({"NULL": True}),
        st.builds(lambda texts: {"SS": texts}, st.lists(TEXT, min_size=1, max_size=2, unique=True)),
        st.builds(lambda numbers: {"NS": numbers}, st.lists(NUMBER, min_size=1, max_size=2, unique=True)),
        st.builds(lambda texts: {"BS": texts}, st.lists(BINARY, min_size=1, max_size=2, unique=True)),
    ),
    lambda inner: (
        st.builds(lambda members: {"L": members}, st.lists(inner, max_size=2))
        | st.builds(
            lambda entries: {"M": entries},
            st.dictionaries(TEXT | st.sampled_from(["S", "N", "NULL", "x", "at"]), inner, max_size=2),
        )
    ),
    max_leaves=4,
)


_SETS = re.compile(rb'"[SNB]S":')
"""An item with a set: its entries have places in no order, as have those of a list that is read into a set."""

_PLACES = re.compile(r"(?<=\.)[0-9]+")


def outcome(read: Any, text: bytes) -> object:
    """What reading gives: the model with everything it holds, or what is wrong by field."""
    try:
        model = read(text)
    except ValidationError as error:
        in_order = _SETS.search(text) is None
        return sorted(
            (place if in_order and not place.startswith("unique.") else _PLACES.sub("", place), message)
            for place, message in error.errors.items()
        )
    except DeprecationWarning as warning:  # IPv6Network(False)
        return str(warning)
    return typed(model)


def typed(value: Any) -> object:
    """A value beside the types of everything in it: 1, True and Decimal(1) are equal, and not the same."""
    if isinstance(value, BaseModel):
        inside = {name: typed(entry) for name, entry in value.__dict__.items()}
        return type(value), inside, typed(value.__pydantic_extra__), value.model_fields_set
    if isinstance(value, dict):
        return type(value), [(typed(name), typed(entry)) for name, entry in value.items()]
    if isinstance(value, list | tuple):
        return type(value), [typed(entry) for entry in value]
    if isinstance(value, set | frozenset):
        return type(value), sorted(map(repr, map(typed, value)))
    if isinstance(value, Decimal):
        return type(value), format(value, "f")  # 1E+3 is 1000: DynamoDB itself never answers with an exponent
    return type(value), repr(value)


def check_same(codec: ModelCodec[Any], item: Item) -> None:
    text = to_json(item)
    simply = outcome(lambda text: codec.decoded_simply(from_json(text)), text)
    assert outcome(codec.decode_json, text) == simply
    assert outcome(lambda text: codec.decode(from_json(text)), text) == simply, "parsed"
    with_binary = partial(json.loads, object_hook=with_bytes)
    assert outcome(lambda text: codec.decode(with_binary(text)), text) == simply, "parsed as botocore does"


@st.composite
def disturbed(draw: st.DrawFn, item: Item) -> Item:
    """An item with attributes missing, of other types, or unknown."""
    found = dict(item)
    for name in item:
        change = draw(st.sampled_from(["keep", "keep", "drop", "other", "inside"]))
        if change == "drop":
            del found[name]
        elif change == "other":
            found[name] = draw(WIRES)
        elif change == "inside" and "M" in found[name]:
            found[name] = {"M": draw(disturbed(found[name]["M"]))}
        elif change == "inside" and "L" in found[name]:
            found[name] = {"L": [*found[name]["L"], draw(WIRES)]}
    return found | draw(st.dictionaries(TEXT, WIRES, max_size=1))


@given(st.data(), models(TYPES))
def test_any_item_of_any_model_is_read_alike(data: st.DataObject, drawn: Any) -> None:
    cls, instances = drawn
    codec = ModelCodec(cls)
    item = from_json(to_json(codec.encode(data.draw(instances))))
    check_same(codec, item)
    check_same(codec, data.draw(disturbed(item)))


@pytest.mark.parametrize("kind", list(LEAVES))
@given(data=st.data())
def test_any_value_in_the_place_of_any_type_is_read_alike(kind: Any, data: st.DataObject) -> None:
    holder = create_model(
        "Holder",
        one=(kind, None),
        maybe=(kind | None, "x") if isinstance(kind, type) else (kind, None),
        several=(list[kind], []),
        named=(dict[str, kind], {}),
        unique=(set[kind], set()) if isinstance(kind, type) and kind.__hash__ else (list[kind], []),
    )
    wire = data.draw(WIRES)
    name = data.draw(st.sampled_from(sorted(holder.model_fields)))
    check_same(ModelCodec(holder), {name: wire})


# --- what is read in one pass ---------------------------------------------------------------------------------------


class Status(enum.StrEnum):
    OPEN = "open"
    PAID = "paid"


class Address(BaseModel):
    street: str
    floor: int | None = None


class Order(BaseModel):
    customer: str = Field(alias="c")
    status: Status
    total: Decimal
    weight: float
    quantity: Annotated[int, Field(gt=0)]
    active: bool
    placed_at: dt.datetime
    day: dt.date
    token: uuid.UUID
    raw: bytes
    kind: Literal["web", "shop"]
    tags: list[str]
    labels: set[str]
    sizes: frozenset[int]
    names: dict[str, str]
    address: Address
    others: list[Address]
    note: str | None = None
    home: Address | None = None
    required_or_none: str | None

    @field_validator("customer")
    @classmethod
    def short(cls, value: str) -> str:
        if len(value) > 20:
            raise ValueError("too long")
        return value.upper()

    @model_validator(mode="after")
    def positive(self) -> Order:
        if self.total < 0:
            raise ValueError("below nothing")
        return self


ORDER = Order(
    c="ada",
    status=Status.OPEN,
    total=Decimal("12.50"),
    weight=0.1,
    quantity=3,
    active=True,
    placed_at=dt.datetime(2026, 11, 1, tzinfo=dt.UTC),
    day=dt.date(2026, 11, 1),
    token=uuid.UUID(int=7),
    raw=b"\x00",
    kind="web",
    tags=["a"],
    labels={"x"},
    sizes=frozenset((1, 2)),
    names={"k": "v"},
    address=Address(street="Hill"),
    others=[Address(street="Hill", floor=2)],
    home=Address(street="Hill"),
    required_or_none=None,
)


def test_an_ordinary_model_is_read_in_one_pass_field_by_field() -> None:
    codec = ModelCodec(Order)
    explanation = codec.explain()
    assert explanation.in_one_pass
    assert explanation.read_simply == {}
    item = from_json(codec.encode_json(ORDER))
    assert codec._one_pass.item(to_json(item)) == ORDER, "and not by falling back"
    check_same(codec, item)
    for name in item:
        check_same(codec, {other: wire for other, wire in item.items() if other != name})
        for wire in ({"NULL": True}, {"S": "x"}, {"N": "1"}, {"BOOL": True}, {"L": []}, {"M": {}}, {"SS": ["x"]}):
            check_same(codec, {**item, name: wire})


def test_what_pydantic_must_not_see_on_the_wire_is_read_simply() -> None:
    class Unions(BaseModel):
        place: dt.date | str
        anything: Any = None
        padded: Annotated[str, BeforeValidator(lambda text: text)] = ""

    explanation = ModelCodec(Unions).explain()
    assert explanation.in_one_pass
    assert set(explanation.read_simply) == {"place", "anything", "padded"}


class Loose(BaseModel):
    anything: Any = None
    named: dict[str, Any] = {}
    several: list[Any] = []


@given(st.sampled_from(sorted(Loose.model_fields)), WIRES)
def test_plain_data_is_read_alike_in_the_pass(name: str, wire: Wire) -> None:
    codec = ModelCodec(Loose)
    assert codec.explain().in_one_pass
    check_same(codec, {name: wire})


@pytest.mark.parametrize("config", [ConfigDict(strict=True), ConfigDict(extra="allow")])
def test_some_models_are_read_simply_as_a_whole(config: ConfigDict) -> None:
    cls = create_model("Whole", __config__=config, name=(str, ...))
    explanation = ModelCodec(cls).explain()
    assert not explanation.in_one_pass
    assert explanation.reason
    check_same(ModelCodec(cls), {"name": {"S": "x"}})


def test_a_validator_before_the_whole_model_sees_plain_values() -> None:
    seen: list[object] = []

    class Early(BaseModel):
        name: str

        @model_validator(mode="before")
        @classmethod
        def look(cls, data: Any) -> Any:
            seen.append(data)
            return data

    codec = ModelCodec(Early)
    assert not codec.explain().in_one_pass
    assert codec.decode_json(b'{"name":{"S":"x"}}') == Early(name="x")
    assert seen[0] == {"name": "x"}


def test_a_validator_is_told_the_mode_of_ordinary_validation() -> None:
    class Told(BaseModel):
        name: str

        @field_validator("name")
        @classmethod
        def note(cls, value: str, info: ValidationInfo) -> str:
            return f"{value} {info.mode}"

    codec = ModelCodec(Told)
    assert codec.explain().in_one_pass
    assert codec._one_pass.item(b'{"name":{"S":"x"}}').name == "x python"  # type: ignore[union-attr]


def test_an_error_of_a_validator_is_the_one_the_simple_way_raises() -> None:
    class Broken(BaseModel):
        name: Annotated[str, AfterValidator(lambda _: {}["nothing"])]

    codec = ModelCodec(Broken)
    with pytest.raises(KeyError, match="nothing"):
        codec.decode_json(b'{"name":{"S":"x"}}')


class Tree(BaseModel):
    name: str
    children: list[Tree] = []


def test_a_model_that_contains_itself_is_read() -> None:
    tree = Tree(name="a", children=[Tree(name="b", children=[Tree(name="c")])])
    codec = ModelCodec(Tree)
    assert codec.decode_json(codec.encode_json(tree)) == tree
    assert codec.explain().read_simply == {"children[]": "Tree contains itself"}


# --- generated encoders ---------------------------------------------------------------------------------------------


def written(encode: Any, model: BaseModel) -> object:
    """What writing gives: the item, or what is wrong by field."""
    try:
        return encode(model)
    except ValidationError as error:
        return error.errors or error.message
    except DeprecationWarning as warning:  # IPv6Network(False)
        return str(warning)


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.decimals(),
    st.text(max_size=3) | st.just("\ud800"),
    st.binary(max_size=3),
    st.datetimes(),
    st.uuids(),
    st.sampled_from(Status),
    st.lists(st.text(max_size=2) | st.integers(), max_size=2),
    st.sets(st.text(max_size=2) | st.integers(), max_size=2),
    st.dictionaries(st.text(max_size=2) | st.integers(), st.text(max_size=2) | st.none(), max_size=2),
    st.just(Address(street="Hill")),
    st.just(Address.model_construct(street=5)),
)


def check_is_written_alike(codec: ModelCodec[Any], model: BaseModel) -> None:
    simply = written(codec._encoded_simply, model)
    assert written(codec.encode, model) == simply
    as_json = written(codec.encode_json, model)
    assert as_json == (to_json(simply) if isinstance(as_json, bytes) else simply)
    names = ("c", "note", "tags", "one")
    if (at_once := codec.encode_at_once(model, names)) is not None:
        assert at_once == ({name: wire for name, wire in codec.encode(model).items() if name in names}, as_json)


@given(st.sampled_from(sorted(Order.model_fields)), VALUES)
def test_any_value_assigned_to_any_field_is_written_alike(name: str, value: object) -> None:
    codec = ModelCodec(Order)
    model = ORDER.model_copy(update={name: value})
    check_is_written_alike(codec, model)


@given(st.data(), st.sampled_from(list(LEAVES)), VALUES)
def test_any_value_in_the_place_of_any_type_is_written_alike(data: st.DataObject, kind: Any, value: object) -> None:
    one = kind if kind is JsonValue else kind | None
    holder = create_model("Holder", one=(one, None), several=(list[kind], []), named=(dict[str, kind], {}))
    wrong = {"one": value, "several": [value], "named": {"x": value}}
    name = data.draw(st.sampled_from(sorted(wrong)))
    codec = ModelCodec(holder)
    model = holder.model_construct(**{name: wrong[name]})
    check_is_written_alike(codec, model)


NESTED = st.recursive(VALUES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(), inner, max_size=2))


@given(NESTED)
def test_plain_data_is_written_alike(value: object) -> None:
    codec = ModelCodec(Loose)
    for model in (Loose(anything=value), Loose(named={"x": value}), Loose(several=[value])):
        check_is_written_alike(codec, model)


def test_an_ordinary_model_is_written_by_generated_code() -> None:
    codec = ModelCodec(Order)
    assert codec._encoders.to_item is not None
    assert codec._encoders.to_item(ORDER.__dict__) == codec._encoded_simply(ORDER)
    assert codec._encoders.to_json is not None
    assert codec._encoders.to_json(ORDER.__dict__).encode() == to_json(codec._encoded_simply(ORDER))


class OddlyNamed(BaseModel):
    percent: str = Field("%s", alias="100%s %(a)s")
    quoted: Address | None = Field(None, alias='"\\\n')
    marks: dict[str, list[dict[str, str]]] = Field({"%d": [{"%": "%s"}]}, alias="%")
    kind: Literal["%s", '"'] = "%s"


@pytest.mark.parametrize("model", [OddlyNamed(), OddlyNamed(**{'"\\\n': Address(street="%s")})])
def test_names_and_values_that_mean_something_in_code_are_written_as_they_are(model: OddlyNamed) -> None:
    codec = ModelCodec(OddlyNamed)
    assert codec._encoders.to_json is not None
    assert codec.encode_at_once(model, ("100%s %(a)s",)) == ({"100%s %(a)s": {"S": "%s"}}, codec.encode_json(model))
    check_is_written_alike(codec, model)


def test_a_model_that_contains_itself_is_written_and_one_that_never_ends_is_refused() -> None:
    tree = Tree(name="a", children=[Tree(name="b")])
    codec = ModelCodec(Tree)
    assert codec._encoders.to_item is not None
    check_is_written_alike(codec, tree)
    tree.children.append(tree)
    with pytest.raises(ValidationError, match=r"contains itself|Circular reference"):
        codec.encode(tree)


# --- whole answers --------------------------------------------------------------------------------------------------


def body(**members: Any) -> bytes:
    return to_json(members)


def test_an_answer_is_read_with_its_models() -> None:
    codec = ModelCodec(Order)
    read = codec.answer_reader("Item")
    assert read is not None
    item = from_json(codec.encode_json(ORDER))
    capacity = {"TableName": "t", "CapacityUnits": 0.5}
    assert read(body(Item=item, ConsumedCapacity=capacity)) == {"Item": ORDER, "ConsumedCapacity": capacity}
    assert read(b"{}") == {}, "there is no such item"
    assert read(body(Item={**item, "total": {"S": "lots"}})) is None
    assert read(b"[]") is None
    assert read(b'{"Item":null}') is None


def test_a_page_is_read_with_its_models_and_the_key_to_go_on_after() -> None:
    codec = ModelCodec(Order)
    read = codec.answer_reader("Items")
    assert read is not None
    item = from_json(codec.encode_json(ORDER))
    page = {
        "Items": [item, item],
        "Count": 2,
        "ScannedCount": 5,
        "LastEvaluatedKey": {"c": {"S": "ADA"}, "n": {"N": "1"}},
    }
    assert read(body(**page)) == {**page, "Items": [ORDER, ORDER]}
    assert read(body(Items=[], Count=0, ScannedCount=0)) == {"Items": [], "Count": 0, "ScannedCount": 0}
    for wrong in (
        {"LastEvaluatedKey": {"b": {"B": "AA=="}}},  # bytes are the lane's affair
        {"Items": [item, {}]},
        {"Items": {}},
        {"Count": "2"},
        {"Count": 3},
    ):
        assert read(body(**{**page, **wrong})) is None
    for missing in ("Items", "Count"):
        assert read(body(**{name: value for name, value in page.items() if name != missing})) is None


def test_fields_that_were_left_out_count_as_given_in_every_form_of_answer() -> None:
    class Sparse(BaseModel):
        name: str
        note: str | None

    codec = ModelCodec(Sparse)
    get, page = codec.answer_reader("Item"), codec.answer_reader("Items")
    assert get is not None
    assert page is not None
    item = {"name": {"S": "x"}}
    single, several = get(body(Item=item)), page(body(Items=[item], Count=1, ScannedCount=1))
    assert single is not None
    assert several is not None
    for model in (single["Item"], *several["Items"], codec.decode(item)):
        assert model.model_fields_set == {"name", "note"}


def test_a_model_that_is_read_the_simple_way_has_no_reader() -> None:
    strict = create_model("Strict", __config__=ConfigDict(strict=True), name=(str, ...))
    assert ModelCodec(strict).answer_reader("Item") is None
