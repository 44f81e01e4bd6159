"""The short ways of ordinary puts and patches: they send what the long ways do, or leave it to those."""

from __future__ import annotations

import datetime as dt
import threading
import uuid
from collections.abc import Callable
from decimal import Decimal
from enum import Enum
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, BeforeValidator, Field, SecretStr

from dynamodb_wrapper import Add, BaseDynamoRepository, F, ItemNotFoundError, Key, Remove, SetIfMissing
from dynamodb_wrapper.codec import TimeRules
from dynamodb_wrapper.exceptions import ConditionFailedError, DynamoDBWrapperError, ValidationError
from dynamodb_wrapper.operations import items, patches, writes
from dynamodb_wrapper.operations.effects import Call, Flow, Now
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.plain_patches import plain_patch
from dynamodb_wrapper.transport.botocore_lane import parameters_of

NOON = dt.datetime(2026, 11, 1, 12, tzinfo=dt.UTC)


class Colour(Enum):
    RED = "red"


class Inner(BaseModel):
    name: str = "é"


class Thing(BaseModel):
    id: str
    number: int = 0
    price: Decimal | None = Field(None, alias="p")
    weight: float = 0.5
    on: bool = True
    words: list[str] = []
    tags: set[str] = set()
    named: dict[str, Any] = {}
    inner: Inner = Inner()
    colour: Colour = Colour.RED
    seen: dt.datetime = NOON
    token: uuid.UUID = uuid.UUID(int=1)
    raw: bytes = b""
    odd: Annotated[str | None, BeforeValidator(lambda value: value or None)] = None
    day: dt.date | None = None
    held: dict[str, SecretStr] = {}  # encoded the simple way


class Things(BaseDynamoRepository[Thing]):
    table_name = "things"
    primary_key = "id"


class SortedThings(BaseDynamoRepository[Thing]):
    table_name = "things"
    primary_key = "id"
    sort_key = "number"


class VersionedThings(BaseDynamoRepository[Thing]):
    table_name = "things"
    primary_key = "id"
    version_attribute = "number"


class TimedThings(BaseDynamoRepository[Thing]):
    table_name = "things"
    primary_key = "id"
    updated_at_attribute = "seen"


class ExpiringThings(BaseDynamoRepository[Thing]):
    table_name = "things"
    primary_key = "id"
    ttl_attribute = "seen"


class KeyedThings(BaseDynamoRepository[Thing]):
    table_name = "things"
    primary_key = Key("THING#{id}")


def entity_of(repository: type[BaseDynamoRepository[Any]]) -> Entity[Any]:
    declaration = repository._declaration
    assert declaration is not None
    return Entity("things", declaration, declaration.codec_for(Thing, TimeRules()))


PLAIN, SORTED = entity_of(Things), entity_of(SortedThings)


def first_call(flow: Flow[Any]) -> Call | tuple[type, str]:
    """The first call of a flow, or its error."""
    try:
        effect = next(flow)
        while isinstance(effect, Now):
            effect = flow.send(NOON)
    except DynamoDBWrapperError as error:
        return type(error), error.message
    assert isinstance(effect, Call)
    return effect


def long_way(entity: Entity[Any], key: Any, fields: dict[str, Any]) -> Call | tuple[type, str]:
    def flow() -> Flow[Any]:
        write = yield from patches.patch_write(entity, key, None, fields, when=None, upsert=False)
        yield write.request.as_call()

    return first_call(flow())


VALUES = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(10**40), 10**40),
    st.floats(),
    st.decimals(),
    st.text(max_size=3) | st.just("\ud800"),
    st.binary(max_size=3),
    st.datetimes(),
    st.dates(),
    st.uuids(),
    st.lists(st.text(max_size=2) | st.integers(), max_size=2),
    st.sets(st.text(max_size=2), max_size=2),
    st.dictionaries(st.text(max_size=2), st.integers(), max_size=2),
    st.sampled_from([Colour.RED, Inner(), Add(1), Remove, Remove(), SetIfMissing(1), F.number, F.number == 1]),
)
KEYS = st.one_of(
    st.just(("k", None)),
    st.just(("k", 1)),
    st.tuples(st.sampled_from(["k", "", 5, None]), st.sampled_from([1, None, {}])),
)


@given(st.sampled_from([PLAIN, SORTED]), KEYS, st.dictionaries(st.sampled_from(sorted(Thing.model_fields)), VALUES))
def test_a_patch_of_any_fields_is_what_an_ordinary_one_is(
    entity: Entity[Any], key: Any, fields: dict[str, Any]
) -> None:
    short = first_call(patches.patch(entity, key, None, fields, when=None, upsert=False))
    assert short == long_way(entity, key, fields)


def test_only_what_is_the_same_each_time_is_made_once() -> None:
    for value in ("a", "b"):
        plain = plain_patch(PLAIN, ("odd", "price"))
        assert plain is not None
        call = plain.call(("k", None), {"odd": value, "price": Decimal(1)})
        assert call == long_way(PLAIN, ("k", None), {"odd": value, "price": Decimal(1)})
        assert call is not None
        call.params["ExpressionAttributeNames"].clear()  # what somebody does to one call is nothing to the next


@pytest.mark.parametrize("repository", [VersionedThings, TimedThings, ExpiringThings, KeyedThings])
def test_where_more_is_written_than_fields_the_way_is_the_long_one(repository: type[BaseDynamoRepository[Any]]) -> None:
    entity = entity_of(repository)
    assert plain_patch(entity, ("on",)) is None
    fields = {"on": False}
    short = first_call(patches.patch(entity, ("k", None), None, fields, when=None, upsert=False))
    assert short == long_way(entity, ("k", None), fields)
    assert isinstance(short, Call)


@pytest.mark.parametrize("names", [(), ("id",), ("nothing",), ("price", "p"), ("words[0]",)])
def test_fields_that_no_plain_patch_may_set(names: tuple[str, ...]) -> None:
    assert plain_patch(PLAIN, names) is None


def test_a_failed_condition_is_what_it_is_to_an_ordinary_patch() -> None:
    flow = patches.patch(PLAIN, ("k", None), None, {"on": False}, when=None, upsert=False)
    assert isinstance(next(flow), Call)
    failed = ConditionFailedError("The conditional request failed")
    with pytest.raises(ItemNotFoundError) as caught:
        flow.throw(failed.answered(operation="UpdateItem", request_id="R1", code="ConditionalCheckFailedException"))
    assert (caught.value.key, caught.value.request_id, caught.value.__cause__) == ({"id": "k"}, "R1", failed)


def test_sets_of_names_are_not_kept_without_end() -> None:
    entity = entity_of(Things)
    fields = sorted(set(Thing.model_fields) - {"id"})
    for number in range(1, 2002):
        plain_patch(entity, tuple(name for place, name in enumerate(fields) if number >> place & 1))
    assert 0 < len(entity.plain_patches) <= 1000


def test_threads_share_what_is_made() -> None:
    entity = entity_of(Things)
    made: list[object] = []
    threads = [threading.Thread(target=lambda: made.append(plain_patch(entity, ("on",)))) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert None not in made
    assert len(made) == 8


def put_the_long_way(entity: Entity[Any], model: Thing) -> Call | tuple[type, str]:
    def flow() -> Flow[Any]:
        write = yield from writes.replacement(entity, model, may_be_new=True)
        yield write.request.as_call()

    return first_call(flow())


@given(st.sampled_from([PLAIN, SORTED]), st.sampled_from(sorted(Thing.model_fields)), VALUES)
def test_a_put_of_any_model_is_what_an_ordinary_one_is(entity: Entity[Any], name: str, value: object) -> None:
    model = Thing(id="k").model_copy(update={name: value})
    short, long = first_call(items.put(entity, model)), put_the_long_way(entity, model)
    if isinstance(long, tuple):
        assert short == long
        return
    assert isinstance(short, Call)
    assert parameters_of(short) == long.params
    assert short.params == {"TableName": "things", "Item": entity.key_of(long.params["Item"])}
    assert (short.operation, short.repeatable, short.key) == (long.operation, long.repeatable, long.key)


def test_a_put_names_the_field_whose_map_has_a_key_that_is_no_unicode() -> None:
    entity, model = PLAIN, Thing(id="k", held={"\ud800": SecretStr("x")})
    short = first_call(items.put(entity, model))
    assert short == put_the_long_way(entity, model)
    assert isinstance(short, tuple)
    assert "held" in short[1]


@pytest.mark.parametrize("depth", [33, 350, 480, 2000])
@pytest.mark.parametrize("field", ["named", "words", "id"])
def test_a_put_of_what_is_nested_ever_so_deeply_is_refused(field: str, depth: int) -> None:
    value: list[Any] = []
    for _ in range(depth):
        value = [value]
    model = Thing(id="k").model_copy(update={field: {"a": value} if field == "named" else value})
    short = first_call(items.put(PLAIN, model))
    assert isinstance(short, tuple)
    assert issubclass(short[0], ValidationError)


@pytest.mark.parametrize("repository", [VersionedThings, TimedThings])
def test_a_put_that_sets_fields_is_an_ordinary_one(repository: type[BaseDynamoRepository[Any]]) -> None:
    entity, model = entity_of(repository), Thing(id="k")
    assert first_call(items.put(entity, model)) == put_the_long_way(entity, model)


@pytest.mark.parametrize("make", [lambda: Thing(id="k"), lambda: Thing.model_construct(**Thing(id="k").__dict__)])
def test_a_put_returns_the_model_it_was_given(make: Callable[[], Thing]) -> None:
    model = make()
    flow = items.put(PLAIN, model)
    next(flow)
    with pytest.raises(StopIteration) as end:
        flow.send({})
    assert end.value.value is model
