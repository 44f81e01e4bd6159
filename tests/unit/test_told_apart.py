"""Reading in one pass where items are told apart: models of a union, and kinds in a shared table."""

from __future__ import annotations

from decimal import Decimal
from enum import IntEnum
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field

from dynamodb_wrapper import BaseDynamoRepository, DynamoDBConfig, Key, SchemaOptions, SingleTable
from dynamodb_wrapper.codec import Item, ModelCodec, union_model
from dynamodb_wrapper.codec.wire_json import from_json, to_json
from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.operations import items
from dynamodb_wrapper.operations.effects import Call
from tests.unit.test_flows import drive
from tests.unit.test_one_pass import check_same, disturbed

CONFIG = DynamoDBConfig(region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")


class Place(BaseModel):
    name: str
    inside: Place | None = None


class Card(BaseModel):
    method: Literal["card"] = "card"
    id: str
    cents: int = 0
    shop: Place | None = None
    note: str | None


class Transfer(BaseModel):
    method: Literal["transfer", "wire"] = "transfer"
    id: str
    total: Decimal = Decimal(0)
    shop: Place | None = None


PAYMENT: Any = Annotated[Card | Transfer, Field(discriminator="method")]
MODELS = (
    st.builds(Card, id=st.text(max_size=3), cents=st.integers(0, 9), note=st.none() | st.text(max_size=2))
    | st.builds(Transfer, id=st.text(max_size=3), method=st.sampled_from(["transfer", "wire"]))
    | st.builds(Card, id=st.just("x"), note=st.none(), shop=st.just(Place(name="a", inside=Place(name="b"))))
)


def union_codec(annotation: Any) -> ModelCodec[Any]:
    model = union_model(annotation)
    assert model is not None
    return ModelCodec.shared(model)


@given(st.data(), MODELS)
def test_any_item_of_a_union_is_read_alike(data: st.DataObject, model: BaseModel) -> None:
    codec = union_codec(PAYMENT)
    item = from_json(to_json(codec.encode(model)))
    assert codec._one_pass.item(to_json(item)) == model, "and not by falling back"
    check_same(codec, item)
    check_same(codec, data.draw(disturbed(item)))


def test_a_page_of_a_union_is_read_in_one_pass() -> None:
    codec = union_codec(PAYMENT)
    models = [Card(id="a", note=None), Transfer(id="b", method="wire"), Card(id="c", note="n")]
    read = codec.answer_reader("Items")
    assert read is not None
    answer = read(to_json({"Items": [codec.encode(model) for model in models], "Count": 3}))
    assert answer is not None
    assert answer["Items"] == models
    assert answer["Items"][0].model_fields_set == {"method", "id", "cents", "note"}
    strange = {"method": {"S": "cash"}, "id": {"S": "d"}}
    assert read(to_json({"Items": [strange], "Count": 1})) is None


class Size(IntEnum):
    SMALL = 1
    LARGE = 2


class Small(BaseModel):
    size: Literal[Size.SMALL] = Size.SMALL


class Large(BaseModel):
    size: Literal[Size.LARGE] = Size.LARGE
    id: str = ""


class Named(BaseModel):
    size: Literal["named"] = "named"


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    size: Literal[3] = 3


def test_models_may_be_told_apart_by_a_number() -> None:
    codec = union_codec(Annotated[Small | Large, Field(discriminator="size")])
    assert codec.explain().in_one_pass
    for model in (Small(), Large(id="x")):
        assert codec.decode_json(codec.encode_json(model)) == model


@pytest.mark.parametrize(
    ("annotation", "reason"),
    [
        (Annotated[Small | Named, Field(discriminator="size")], "a text or a number"),
        (Annotated[Small | Strict, Field(discriminator="size")], ""),
    ],
)
def test_some_unions_are_read_simply(annotation: Any, reason: str) -> None:
    codec = union_codec(annotation)
    assert codec.answer_reader("Item") is None
    assert reason in str(codec.explain().reason)
    assert codec.decode_json(codec.encode_json(Small())) == Small()


# --- kinds ------------------------------------------------------------------------------------------------------------

HOUSE = SingleTable("house")


class Payments(BaseDynamoRepository[PAYMENT]):
    single_table = HOUSE
    kind = "payment"
    primary_key = Key("PAYMENT#{id}")
    sort_key = Key("PAYMENT")


class Places(BaseDynamoRepository[Place]):
    single_table = HOUSE
    primary_key = Key("PLACE#{name}")
    sort_key = Key("PLACE")
    schema_version = 2
    schema_options = SchemaOptions(oldest=2)


def read_by(repository: BaseDynamoRepository[Any], key: str, item: Item) -> tuple[bool, object]:
    """Whether an item was read in one pass, and what `get` gives for it."""
    entity = repository._entity
    flow = items.get(entity, (key, None), consistent=False)
    sent = next(flow)
    assert isinstance(sent, Call)
    assert sent.read is not None
    flow.close()
    found = sent.read(to_json({"Item": item}))
    answer = {"Item": from_json(to_json(item))} if found is None else found
    return found is not None, drive(items.get(entity, (key, None), consistent=False), answer).result


def test_an_item_of_a_shared_table_is_read_in_one_pass_if_it_is_ours() -> None:
    payments, places = Payments(CONFIG), Places(CONFIG)
    card = Card(id="a", note=None)
    item = payments._entity.encode(card)
    assert read_by(payments, "a", item) == (True, card)
    assert read_by(payments, "a", {**item, "_kind": {"S": "Robot"}}) == (False, None)
    place = Place(name="a")
    item = places._entity.encode(place)
    assert read_by(places, "a", item) == (True, place)
    for strange in ({**item, "_kind": {"N": "1"}}, {name: item[name] for name in item if name != "_kind"}):
        assert read_by(places, "a", strange) == (False, None)
    with pytest.raises(DynamoDBWrapperError, match="schema version 3"):
        read_by(places, "a", {**item, "schema_version": {"N": "3"}})
