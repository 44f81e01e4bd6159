"""What is done in a shorter way where that cannot be told from the long one."""

from __future__ import annotations

import gc
import math
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Annotated, Any, Literal
from weakref import ref

import pytest
from hypothesis import given, reject
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, PlainSerializer, PrivateAttr, field_validator, model_validator

from dynamodb_wrapper import (
    Add,
    BaseDynamoRepository,
    CorruptResponseError,
    DynamoDBWrapperError,
    F,
    Remove,
    SetIfMissing,
    ValidationError,
)
from dynamodb_wrapper.codec import (
    Derived,
    EpochSeconds,
    Item,
    Member,
    ModelCodec,
    Shape,
    TimeRules,
    from_json,
    to_json,
)
from dynamodb_wrapper.expressions import Condition, Path
from dynamodb_wrapper.operations import bulk, patches
from dynamodb_wrapper.operations.batches import BatchOptions
from dynamodb_wrapper.operations.effects import Call, Flow, Now, Sleep, Together
from dynamodb_wrapper.operations.entity import Entity

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)
READERS = st.sampled_from(["read", "parsed"])


class Place(BaseModel):
    city: str
    zip: int = 0


class Order(BaseModel):
    customer: str
    number: int
    total: Decimal = Decimal(0)
    place: Place | None = None
    tags: set[str] = set()
    placed_at: datetime | None = None


class Orders(BaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "customer"
    sort_key = "number"


def entity_of(repository: type[BaseDynamoRepository[Any]]) -> Entity[Any]:
    declaration = repository._declaration
    assert declaration is not None
    return Entity("orders", declaration, declaration.codec_for(declaration.model_class, TimeRules()))


def keyed_by(annotation: Any, model: type[BaseModel] | None = None, **options: Any) -> Entity[Any]:
    """A table whose partition key is of a type."""
    base: Any = model or BaseModel
    keyed = type("Keyed", (base,), {"__annotations__": {"id": annotation}, **options})
    return entity_of(type("Table", (BaseDynamoRepository,), _declared(keyed)))


def _declared(model: Any) -> dict[str, Any]:
    return {"table_name": "orders", "model_class": model, "primary_key": "id"}


ORDERS = entity_of(Orders)


def finished(flow: Flow[Any], answer: Callable[[Call], dict[str, Any]], *, by_reader: bool) -> Any:
    """Run a flow over a lane that reads answers where it may, or over one that parses them all."""

    def outcome(effect: Any) -> Any:
        if isinstance(effect, Together):
            return [finished(inner, answer, by_reader=by_reader) for inner in effect.flows]
        if isinstance(effect, Now):
            return NOON
        if isinstance(effect, Sleep):
            return None
        body = to_json(answer(effect))
        read = effect.read(body) if by_reader and effect.read is not None else None
        return from_json(body) if read is None else read

    try:
        effect = next(flow)
        while True:
            effect = flow.send(outcome(effect))
    except StopIteration as end:
        return end.value


def both_ways(flow: Callable[[], Flow[Any]], answer: Callable[[Call], dict[str, Any]]) -> Any:
    """Return what a flow comes to, the same over either lane."""
    results = []
    for by_reader in (True, False):
        try:
            results.append((finished(flow(), answer, by_reader=by_reader), None))
        except DynamoDBWrapperError as error:
            results.append((type(error), (str(error), error.context)))
    assert results[0] == results[1]
    return results[0][0]


def wire(number: int, **attributes: Any) -> Item:
    return {"customer": {"S": "c"}, "number": {"N": str(number)}, **attributes}


# --- answers ----------------------------------------------------------------------------------------------------------

ATTRIBUTES = st.fixed_dictionaries(
    {},
    optional={
        "total": st.sampled_from([{"N": "1.50"}, {"S": "lots"}, {"NULL": True}]),
        "place": st.sampled_from([{"M": {"city": {"S": "Bath"}}}, {"M": {}}, {"NULL": True}]),
        "tags": st.sampled_from([{"SS": ["a", "b"]}, {"L": []}]),
        "placed_at": st.sampled_from([{"S": "2026-11-01T12:00:00.000000+00:00"}, {"S": "2026-11-01"}, {"S": "noon"}]),
        "unknown": st.sampled_from([{"B": "AA=="}, {"M": {"n": {"N": "1"}}}]),
    },
)


@given(ATTRIBUTES)
def test_a_patch_gives_the_same_model_whoever_reads_the_answer(attributes: Item) -> None:
    def flow() -> Flow[Order]:
        return patches.patch(ORDERS, ("c", 1), None, {"total": 5}, when=None, upsert=False)

    both_ways(flow, lambda call: {"Attributes": wire(1, **attributes)})


def test_an_answer_to_a_patch_is_read_with_its_model() -> None:
    def flow() -> Flow[Order]:
        return patches.patch(ORDERS, ("c", 1), None, {"total": 5}, when=None, upsert=False)

    sent = next(flow())
    assert isinstance(sent, Call)
    assert sent.read is not None
    capacity = {"TableName": "orders", "CapacityUnits": 1.0}
    read = sent.read(to_json({"Attributes": wire(1), "ConsumedCapacity": capacity}))
    assert read == {"Attributes": Order(customer="c", number=1), "ConsumedCapacity": capacity}
    for body in (b"{}", b"[]", b'{"Attributes":null}', b'{"Attributes":{}}', b"", b"{"):
        assert sent.read(body) is None, "left to be parsed, and to be refused there"


def fetched(keys: list[Any], entity: Entity[Any] = ORDERS) -> Callable[[], Flow[Any]]:
    return lambda: bulk.get_many(entity, keys, None, BatchOptions(), consistent=False)


@given(st.lists(ATTRIBUTES, max_size=5), st.randoms(use_true_random=False), st.sets(st.integers(0, 5)))
def test_a_batch_gives_the_same_models_whoever_reads_the_answers(
    drawn: list[Item], random: Any, left: set[int]
) -> None:
    numbers = [*range(len(drawn)), *range(len(drawn)), 99]

    def answer(call: Call) -> dict[str, Any]:
        asked = call.params["RequestItems"]["orders"]["Keys"]
        unread = [key for key in asked if int(key["number"]["N"]) in left][: len(asked) - 1]
        present = [int(key["number"]["N"]) for key in asked if key not in unread]
        items = [wire(number, **drawn[number]) for number in present if number < len(drawn)]
        random.shuffle(items)
        return {"Responses": {"orders": items}, "UnprocessedKeys": {"orders": {"Keys": unread}} if unread else {}}

    both_ways(fetched([("c", number) for number in numbers]), answer)


@pytest.mark.parametrize(
    "answer",
    [
        {"Responses": {"orders": [wire(2)]}},
        {"Responses": {"orders": [wire(1), wire(2)]}, "UnprocessedKeys": {}},
        {"Responses": {"others": [wire(1)]}, "UnprocessedKeys": {}},
    ],
)
def test_an_item_that_nobody_asked_for_is_no_answer(answer: dict[str, Any]) -> None:
    assert both_ways(fetched([("c", 1)]), lambda call: answer) is CorruptResponseError


def test_an_answer_to_a_batch_is_read_with_its_models() -> None:
    reader = ORDERS.batch_reader
    assert reader is not None
    answer = {"Responses": {"orders": [wire(1)]}, "UnprocessedKeys": {"orders": {"Keys": [wire(2)]}}}
    read = reader.read(to_json(answer))
    assert read == {**answer, "Responses": {"orders": [Order(customer="c", number=1)]}}
    assert reader.key_of(Order(customer="c", number=1)) == wire(1)
    assert reader.read(b'{"Responses":{}}') == {"Responses": {}}
    for body in (b"{}", b'{"Responses":[]}', b'{"Responses":{"orders":{}}}', b'{"Responses":{},"UnprocessedKeys":[]}'):
        assert reader.read(body) is None, "left to be parsed, and to be refused there"


@pytest.mark.parametrize("by_reader", [True, False])
def test_a_key_asked_for_twice_gives_two_models(by_reader: bool) -> None:
    answer = {"Responses": {"orders": [wire(1)]}, "UnprocessedKeys": {}}
    first, second = finished(fetched([("c", 1), ("c", 1)])(), lambda call: answer, by_reader=by_reader)
    assert first == second
    assert first is not second


@pytest.mark.parametrize("text", ["1", "1.0", "01", "1e0"])
def test_a_number_in_a_key_is_the_same_whichever_way_it_is_written(text: str) -> None:
    answer = {"Responses": {"orders": [{"customer": {"S": "c"}, "number": {"N": text}}]}}
    assert both_ways(fetched([("c", 1)]), lambda call: answer) == [Order(customer="c", number=1)]


class Shouting(BaseModel):
    id: str

    @field_validator("id")
    @classmethod
    def shout(cls, value: str) -> str:
        return value.upper()


class Renaming(BaseModel):
    id: str

    @model_validator(mode="after")
    def rename(self) -> Renaming:
        self.id = "other"
        return self


class Finishing(BaseModel):
    id: str

    def model_post_init(self, context: Any, /) -> None:
        self.id = "other"


class Secretive(BaseModel):
    id: str
    _note: str = PrivateAttr("x")


class Stripping(BaseModel):
    model_config = ConfigDict(str_strip_whitespace=True)
    id: str


@pytest.mark.parametrize("model", [Shouting, Renaming, Finishing, Secretive, Stripping])
def test_a_model_that_may_change_its_key_is_read_the_simple_way_in_batches(model: type[BaseModel]) -> None:
    entity = entity_of(type("Table", (BaseDynamoRepository,), _declared(model)))
    assert entity.batch_reader is None
    (found,) = both_ways(
        fetched(["a"], entity), lambda call: {"Responses": {"orders": call.params["RequestItems"]["orders"]["Keys"]}}
    )
    assert type(found) is model


def test_what_is_left_out_counts_as_given_in_batches_and_patches_too() -> None:
    class Sparse(BaseModel):
        id: str
        note: str | None

    entity = entity_of(type("Table", (BaseDynamoRepository,), _declared(Sparse)))
    assert entity.batch_reader is not None
    item = {"id": {"S": "x"}}
    batch = entity.batch_reader.read(to_json({"Responses": {"orders": [item]}}))
    read = entity.codec.answer_reader("Attributes")
    assert batch is not None
    assert read is not None
    patched = read(to_json({"Attributes": item}))
    assert patched is not None
    for model in (*batch["Responses"]["orders"], patched["Attributes"]):
        assert model.model_fields_set == {"id", "note"}


# --- keys -------------------------------------------------------------------------------------------------------------


class Color(StrEnum):
    RED = "red"


class Text(str):
    """A kind of text."""


VALUES = (
    st.text(max_size=3)
    | st.integers(-(10**40), 10**40)
    | st.sampled_from(
        [None, True, 1.0, 1.5, -0.0, float("nan"), b"x", b"", "x" * 1024, "x" * 1025, "x" * 2048, "x" * 2049, "\ud800"]
    )
    | st.sampled_from([Decimal("1.0"), Decimal("1.5"), Color.RED, Text("x"), Text(""), "unique#x", [], {}, NOON])
)
KEYS: dict[str, Entity[Any]] = {
    "text": keyed_by(str),
    "whole": keyed_by(int),
    "exact": keyed_by(Decimal),
    "raw": keyed_by(bytes),
    "choice": keyed_by(Color),
    "literal": keyed_by(Literal["a", "b"]),
    "short text": keyed_by(Annotated[str, Field(max_length=2)]),
    "positive": keyed_by(Annotated[int, Field(gt=0)]),
    "strict": keyed_by(str, model_config=ConfigDict(strict=True)),
    "lower": keyed_by(str, model_config=ConfigDict(str_to_lower=True)),
    "aliased": keyed_by(Annotated[str, Field(alias="ID")]),
    "written otherwise": keyed_by(Annotated[str, PlainSerializer(lambda value: value * 2)]),
    "changed": keyed_by(str, Shouting),
}


def keyed(make: Callable[[], Any]) -> object:
    try:
        return make()
    except DynamoDBWrapperError as error:
        return type(error), str(error)


@pytest.mark.parametrize("kind", list(KEYS))
@given(value=VALUES)
def test_any_value_makes_the_key_that_the_long_way_makes(kind: str, value: object) -> None:
    entity = KEYS[kind]
    (attribute,) = entity.table_key_attributes
    assert keyed(lambda: entity.key(value)) == keyed(lambda: {attribute: entity.key_part("id", value)})


def test_plain_values_take_the_short_way_and_no_others() -> None:
    short = {kind for kind, entity in KEYS.items() if entity.codec.stored_as_it_is("id")}
    assert short == {"text", "whole", "strict", "aliased"}
    with pytest.raises(ValidationError, match="empty"):
        KEYS["text"].key("")


def test_a_table_with_unique_values_keeps_their_guards_from_its_keys() -> None:
    class User(BaseModel):
        id: str
        email: str

    class Users(BaseDynamoRepository[User]):
        table_name = "orders"
        primary_key = "id"
        unique = ("email",)

    with pytest.raises(ValidationError, match="kept for the guards"):
        entity_of(Users).key("unique#email#x")


# --- times ------------------------------------------------------------------------------------------------------------


class Timed(BaseModel):
    at: datetime


TIMED = ModelCodec(Timed)


@given(st.datetimes(timezones=st.just(UTC)))
def test_a_time_in_utc_is_written_as_python_writes_it(value: datetime) -> None:
    assert TIMED.encode(Timed(at=value)) == {"at": {"S": value.isoformat(timespec="microseconds")}}
    assert TIMED.encode(Timed(at=value)) == {"at": {"S": TIMED.times.text(value)}}


# --- one codec for all ------------------------------------------------------------------------------------------------


class Hashless:
    """A stored form that does not say what it equals."""

    __hash__ = None  # type: ignore[assignment]

    def shape(self, member: Member, times: TimeRules) -> Shape:
        return member.shape

    def store(self, value: Any, times: TimeRules) -> Any:
        return value


def test_whoever_asks_for_the_same_codec_gets_the_same_one() -> None:
    def derived() -> Derived:
        return Derived("place_city", ("place",), str)

    new_york = TimeRules.of(assumed="America/New_York", stored_in_utc=True, shown=None)
    asked: list[dict[str, Any]] = [
        {},
        {"times": TimeRules()},
        {"times": new_york},
        {"times": TimeRules.of(assumed="America/New_York", stored_in_utc=True, shown=None)},
        {"stored": {"placed_at": EpochSeconds()}},
        {"stored": {"placed_at": EpochSeconds()}},
        {"derived": [derived()]},
        {"derived": (derived(),)},
        {"keep_unknown": True},
        {"stored": {"tags": Hashless()}},
        {"stored": {"tags": Hashless()}},
    ]
    codecs = [ModelCodec.shared(Order, **options) for options in asked]
    assert [codecs.index(codec) for codec in codecs] == [0, 0, 2, 2, 4, 4, 6, 6, 8, 9, 10]
    assert ORDERS.codec is codecs[0], "of a repository, too"
    assert ModelCodec.shared(Place) is not codecs[0]


def test_a_shared_codec_goes_when_nobody_has_it() -> None:
    class Brief(BaseModel):
        id: str

    codec = ModelCodec.shared(Brief)
    assert codec is ModelCodec.shared(Brief)
    gone = ref(codec)
    del codec
    gc.collect()
    assert gone() is None


def test_a_model_that_is_built_anew_gets_a_codec_of_its_own() -> None:
    class Growing(BaseModel):
        id: str

    before = ModelCodec.shared(Growing)
    Growing.model_rebuild(force=True)
    after = ModelCodec.shared(Growing)
    assert after is not before
    assert after is ModelCodec.shared(Growing)


# --- patches ----------------------------------------------------------------------------------------------------------

CHANGES: dict[str, st.SearchStrategy[Any]] = {
    "total": st.integers(0, 2) | st.sampled_from([Add(1), Add(-1), Add(0.5), Add(math.inf)]),
    "place": st.sampled_from([None, Place(city="Bath"), Remove()]),
    "tags": st.sampled_from([set(), {"a"}, {"b"}, Add({"c"})]),
    "placed_at": st.sampled_from([None, NOON, SetIfMissing(NOON)]),
    "place.zip": st.integers(0, 2),
    "note": st.sampled_from([None, "1", "2", Add(1)]),
    "count": st.integers(0, 2) | st.sampled_from([Add(1), Add(True), Add({"1"})]),
}


class Noted(Order):
    note: str = "none"
    count: Annotated[int, Field(serialization_alias="c")] = 0
    updated_at: datetime | None = None


class NotedOrders(BaseDynamoRepository[Noted]):
    table_name = "orders"
    primary_key = "customer"
    sort_key = "number"


@given(
    st.fixed_dictionaries({}, optional=CHANGES).filter(bool),
    st.sampled_from([None, F.total > 5, F.note.exists(), F.place.exists(), F.place.city.exists()]),
    st.booleans(),
    st.booleans(),
)
def test_a_patch_is_sent_as_the_long_way_writes_it(
    changes: dict[str | Path, object], when: Condition | None, is_stamped: bool, upsert: bool
) -> None:
    entity = entity_of(NotedOrders)
    try:
        time = NOON if is_stamped else None
        request = patches.patch_request(entity, entity.key("c", 1), changes, when=when, upsert=upsert, time=time)
    except DynamoDBWrapperError:
        reject()
    assert outcome(request._params) == outcome(request._any_params)


def outcome(make: Callable[[], object]) -> object:
    try:
        return make()
    except DynamoDBWrapperError as error:
        return type(error), error.message


class Managed(Noted):
    version: int = 0


class ManagedOrders(BaseDynamoRepository[Managed]):
    table_name = "orders"
    primary_key = "customer"
    sort_key = "number"
    version_attribute = "version"


def test_a_patch_that_moves_the_version_and_the_time_goes_the_short_way() -> None:
    entity = entity_of(ManagedOrders)
    changes = {"note": "x", "count": Add(2)}
    request = patches.patch_request(entity, entity.key("c", 1), changes, when=None, upsert=False, time=NOON)
    params = request._plain_params()
    assert params is not None
    assert params == request._any_params()
    assert params["UpdateExpression"] == "SET #n0 = :v0, #n3 = :v3 ADD #n1 :v1, #n2 :v2"
    assert not request.is_repeatable


def test_a_patch_of_whole_attributes_goes_the_short_way() -> None:
    request = patches.patch_request(
        ORDERS, ORDERS.key("c", 1), {"total": 1, "tags": {"a"}}, when=None, upsert=False, time=None
    )
    first, second = request._plain_params(), request._plain_params()
    assert first == second == request._any_params()
    assert first is not None
    assert second is not None
    first["ExpressionAttributeNames"]["#n9"] = "changed by somebody"
    assert request._plain_params() == second, "what is kept is not given away"
    conditional = replace(request, condition=F.total > 1)
    assert conditional._plain_params() is None
