"""Flows driven by hand: what they ask for, and what they make of the answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, Generic, TypeVar

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    Add,
    Append,
    BaseDynamoRepository,
    ConditionFailedError,
    ConnectionError,
    DynamoDBWrapperError,
    F,
    InvalidCursorError,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    MultipleItemsFoundError,
    TableInUseError,
    TableNotFoundError,
    ValidationError,
    VersionConflictError,
)
from dynamodb_wrapper.codec import TimeRules
from dynamodb_wrapper.operations import items, patches, queries, tables
from dynamodb_wrapper.operations.effects import (
    Call,
    Emit,
    Flow,
    NewToken,
    Now,
    Sleep,
    call,
    calling_by,
    new_token,
    sent,
    sleep,
)
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.selection import Selection
from dynamodb_wrapper.operations.sizes import RequestSizes

R = TypeVar("R")

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Order(BaseModel):
    customer: str
    number: int
    total: Decimal = Decimal(0)
    note: str | None = None
    words: list[str] = []
    tags: set[str] = set()
    version: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Orders(BaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "customer"
    sort_key = "number"
    version_attribute = "version"
    by_total = AccessPattern("by_total", partition="customer", sort="total")


class PlainOrders(BaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "customer"
    sort_key = "number"
    created_at_attribute = None
    updated_at_attribute = None


def entity_of(repository: type[BaseDynamoRepository[Order]]) -> Entity[Order]:
    declaration = repository._declaration
    assert declaration is not None
    return Entity("orders", declaration, declaration.codec_for(Order, TimeRules()))


ENTITY, PLAIN = entity_of(Orders), entity_of(PlainOrders)


@dataclass
class Driven(Generic[R]):
    """What a flow asked for, and how it ended."""

    effects: list[Any]
    result: R

    @property
    def calls(self) -> list[Call]:
        return [effect for effect in self.effects if isinstance(effect, Call)]


def drive(flow: Flow[R], *answers: Any) -> Driven[R]:
    """Answer a flow's effects in turn; an exception is thrown into it. Time stands still at noon."""
    remaining, effects = list(answers), []
    try:
        effect = next(flow)
        while True:
            effects.append(effect)
            if isinstance(effect, Now):
                effect = flow.send(NOON)
            elif isinstance(effect, Sleep | Emit):
                effect = flow.send(None)
            elif isinstance(answer := remaining.pop(0), BaseException):
                effect = flow.throw(answer)
            else:
                effect = flow.send(answer)
    except StopIteration as end:
        assert remaining == [], "the flow ended early"
        return Driven(effects, end.value)
    finally:
        flow.close()


def failed(item: dict[str, Any] | None) -> ConditionFailedError:
    error = ConditionFailedError("The conditional request failed", item=item)
    return error.answered(operation="PutItem", request_id="R1", code="ConditionalCheckFailedException")


def wire(number: int, **attributes: Any) -> dict[str, Any]:
    return {"customer": {"S": "c"}, "number": {"N": str(number)}, **attributes}


# --- one item -------------------------------------------------------------------------------------------------------


def test_create_sends_one_conditional_put() -> None:
    model = Order(customer="c", number=1)
    driven = drive(items.create(ENTITY, model), {})
    assert driven.result is model
    assert (model.version, model.created_at, model.updated_at) == (1, NOON, NOON)
    (sent,) = driven.calls
    assert sent == Call(
        "PutItem",
        {
            "TableName": "orders",
            "Item": {
                "customer": {"S": "c"},
                "number": {"N": "1"},
                "total": {"N": "0"},
                "words": {"L": []},
                "version": {"N": "1"},
                "created_at": {"S": "2026-11-01T12:00:00.000000+00:00"},
                "updated_at": {"S": "2026-11-01T12:00:00.000000+00:00"},
            },
            "ConditionExpression": "attribute_not_exists(#n0)",
            "ExpressionAttributeNames": {"#n0": "customer"},
            "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
        },
        key={"customer": "c", "number": 1},
    )


def test_a_failed_condition_of_create_is_the_item_that_exists() -> None:
    model = Order(customer="c", number=1)
    with pytest.raises(ItemAlreadyExistsError) as caught:
        drive(items.create(ENTITY, model), failed(wire(1, note={"S": "theirs"}, version={"N": "4"})))
    assert caught.value.item == Order(customer="c", number=1, note="theirs", version=4)
    assert caught.value.key == {"customer": "c", "number": 1}
    assert (caught.value.table_name, caught.value.request_id) == ("orders", "R1")
    assert isinstance(caught.value.original_error, ConditionFailedError)
    assert model == Order(customer="c", number=1)


def test_an_item_that_is_no_model_is_no_item_of_the_error() -> None:
    with pytest.raises(ItemAlreadyExistsError) as caught:
        drive(items.create(ENTITY, Order(customer="c", number=1)), failed(wire(1, total={"S": "lots"})))
    assert caught.value.item is None


@pytest.mark.parametrize("error", [ConnectionError("lost"), TableNotFoundError("none"), failed(None), failed(wire(1))])
@pytest.mark.parametrize("write", [items.create, items.put, items.update])
def test_the_model_moves_only_after_success(write: Any, error: Exception) -> None:
    model = Order(customer="c", number=1, version=3)
    before = model.model_copy(deep=True)
    with pytest.raises(DynamoDBWrapperError):
        drive(write(ENTITY, model), error)
    assert model == before
    assert model.model_fields_set == before.model_fields_set


def test_update_of_a_version_replaces_just_that_version() -> None:
    model = Order(customer="c", number=1, version=3)
    driven = drive(items.update(ENTITY, model), {})
    (sent,) = driven.calls
    assert sent.params["ConditionExpression"] == "attribute_exists(#n0) AND #n1 = :v0"
    assert sent.params["ExpressionAttributeNames"] == {"#n0": "customer", "#n1": "version"}
    assert sent.params["ExpressionAttributeValues"] == {":v0": {"N": "3"}}
    assert sent.params["Item"]["version"] == {"N": "4"}
    assert sent.repeatable
    assert model.version == 4


@pytest.mark.parametrize(
    ("stored", "kind"), [(None, ItemNotFoundError), (wire(1, version={"N": "4"}), VersionConflictError)]
)
def test_a_failed_update_is_a_missing_item_or_a_conflict(stored: Any, kind: type[Exception]) -> None:
    with pytest.raises(kind):
        drive(items.update(ENTITY, Order(customer="c", number=1, version=3)), failed(stored))


def test_put_without_a_version_has_no_condition_and_may_be_repeated() -> None:
    driven = drive(items.put(PLAIN, Order(customer="c", number=1)), {})
    (sent,) = driven.calls
    assert driven.effects == [sent]
    assert sent.params.keys() == {"TableName", "Item"}
    assert sent.repeatable


def test_reads_ask_for_no_more_than_they_need() -> None:
    (sent,) = drive(items.exists(ENTITY, ("c", 1), consistent=True), {"Item": {}}).calls
    assert sent.params["ProjectionExpression"] == "#n0"
    assert sent.params["ConsistentRead"] is True
    driven = drive(items.read(ENTITY, ("c", 1), ["note", "note"], consistent=False), {"Item": wire(1)})
    assert driven.calls[0].params["ExpressionAttributeNames"] == {"#n0": "note", "#n1": "customer"}
    assert dict(driven.result or {}) == {}
    assert driven.result is not None
    assert drive(items.read(ENTITY, ("c", 1), ["note"], consistent=False), {}).result is None
    assert drive(items.get(ENTITY, ("c", 1), consistent=False), {"Item": wire(1)}).result == Order(
        customer="c", number=1
    )


def test_delete_tells_from_the_old_item() -> None:
    assert drive(items.delete(ENTITY, ("c", 1), when=None), {"Attributes": wire(1)}).result is True
    assert drive(items.delete(ENTITY, ("c", 1), when=None), {}).result is False
    assert drive(items.delete(ENTITY, ("c", 1), when=None), {}).calls[0].repeatable


# --- patch ----------------------------------------------------------------------------------------------------------


def patched(entity: Entity[Order], fields: dict[str, Any], **options: Any) -> Call:
    flow = patches.patch(entity, ("c", 1), None, fields, **{"when": None, "upsert": False, **options})
    (sent,) = drive(flow, {"Attributes": wire(1)}).calls
    return sent


def test_patch_moves_the_version_and_the_time() -> None:
    sent = patched(ENTITY, {"note": "x"})
    assert sent.params["UpdateExpression"] == "SET #n0 = :v0, #n2 = :v2 ADD #n1 :v1"
    assert sent.params["ExpressionAttributeNames"] == {
        "#n0": "note",
        "#n1": "version",
        "#n2": "updated_at",
        "#n3": "customer",
    }
    assert sent.params["ExpressionAttributeValues"][":v1"] == {"N": "1"}
    assert sent.params["ConditionExpression"] == "attribute_exists(#n3)"
    assert sent.params["ReturnValues"] == "ALL_NEW"


def test_a_patch_is_repeatable_only_if_twice_is_once() -> None:
    assert patched(PLAIN, {"note": "x", "tags": Add({"a"})}).repeatable
    assert not patched(PLAIN, {"total": Add(1)}).repeatable
    assert not patched(PLAIN, {"words": Append("x")}).repeatable
    assert patched(PLAIN, {"note": "x"}, when=F.note == "y").repeatable
    assert not patched(ENTITY, {"note": "x"}).repeatable


def test_a_failed_patch_is_a_missing_item_or_a_failed_condition() -> None:
    def flow(**options: Any) -> Flow[Order]:
        return patches.patch(PLAIN, ("c", 1), None, {"note": "x"}, **{"when": None, "upsert": False, **options})

    with pytest.raises(ItemNotFoundError):
        drive(flow(), failed(None))
    with pytest.raises(ItemNotFoundError):
        drive(flow(when=F.note == "y"), failed(None))
    with pytest.raises(ConditionFailedError) as caught:
        drive(flow(when=F.note == "y"), failed(wire(1, note={"S": "z"})))
    assert caught.value.item == Order(customer="c", number=1, note="z")
    with pytest.raises(ConditionFailedError):
        drive(flow(when=F.note == "y", upsert=True), failed(None))


# --- queries --------------------------------------------------------------------------------------------------------

KEY = ENTITY.declaration.table_key
ALL = Selection(ENTITY, KEY, ENTITY.decode).from_key("c")
FILTERED = ALL.filtered(F.total > 5)


def answer(*numbers: int, after: int | None = None) -> dict[str, Any]:
    response: dict[str, Any] = {"Items": [wire(number) for number in numbers], "Count": len(numbers)}
    if after is not None:
        response["LastEvaluatedKey"] = wire(after)
    return response


EMPTY_PAGES = (answer(after=1), answer(after=2), answer(3, after=3), answer(after=4), answer(5))


def numbers(orders: Sequence[Order]) -> list[int]:
    return [order.number for order in orders]


def test_a_stream_goes_on_until_there_is_no_last_key() -> None:
    driven = drive(queries.stream(FILTERED), *EMPTY_PAGES)
    emitted = [effect for effect in driven.effects if isinstance(effect, Emit)]
    assert [numbers(effect.items) for effect in emitted] == [[], [], [3], [], [5]]
    starts = [sent.params.get("ExclusiveStartKey") for sent in driven.calls]
    assert starts == [None, wire(1), wire(2), wire(3), wire(4)]


def test_a_stream_reads_on_only_when_it_is_asked() -> None:
    flow = queries.stream(ALL)
    assert isinstance(next(flow), Call)
    assert isinstance(flow.send(answer(1, 2, after=2)), Emit)
    assert isinstance(flow.send(None), Call)
    flow.close()


@pytest.mark.parametrize(
    "read",
    [
        lambda selection: queries.collected(selection),
        lambda selection: queries.page(selection, 10),
        lambda selection: queries.page(replace(selection, limit=10), 100),
        lambda selection: queries.collected(replace(selection, limit=10)),
    ],
)
def test_empty_pages_are_not_the_end(read: Any) -> None:
    result = drive(read(FILTERED), *EMPTY_PAGES).result
    assert numbers(getattr(result, "items", result)) == [3, 5]
    assert getattr(result, "cursor", None) is None


def test_one_needs_exactly_one() -> None:
    assert drive(queries.one(FILTERED), answer(after=1), answer(2, after=2), answer()).result.number == 2
    with pytest.raises(ItemNotFoundError):
        drive(queries.one(FILTERED), answer(after=1), answer())
    with pytest.raises(MultipleItemsFoundError):
        drive(queries.one(FILTERED), answer(after=1), answer(2, after=2), answer(3, 4))


def test_count_adds_up_every_page() -> None:
    driven = drive(queries.count(FILTERED), *EMPTY_PAGES)
    assert driven.result == 2
    assert all(sent.params["Select"] == "COUNT" for sent in driven.calls)
    assert drive(queries.count(replace(ALL, limit=3)), answer(1, 2, after=2), answer(3, 4, after=4)).result == 3


def test_a_page_ends_in_the_middle_of_a_response_with_the_key_of_its_last_item() -> None:
    driven = drive(queries.page(FILTERED, 2), answer(1, after=7), answer(8, 9, 10, after=20))
    assert numbers(driven.result.items) == [1, 8]
    assert driven.result.cursor is not None
    assert FILTERED.at_cursor(driven.result.cursor).start_key == wire(8)
    with pytest.raises(InvalidCursorError):
        ALL.at_cursor(driven.result.cursor)


def test_a_page_that_ends_with_a_response_goes_on_from_its_last_key() -> None:
    driven = drive(queries.page(ALL, 2), answer(1, 2, after=2))
    assert ALL.at_cursor(driven.result.cursor).start_key == wire(2)
    assert drive(queries.page(ALL, 2), answer(1, 2)).result.cursor is None


def test_the_resume_key_of_an_index_has_the_keys_of_table_and_index() -> None:
    selection = Selection(ENTITY, ENTITY.declaration.index("by_total"), ENTITY.decode).from_key("c")
    selection = selection.projected(["note"]).filtered(F.note == "x")
    items_ = [wire(number, total={"N": "5"}, note={"S": "x"}) for number in (1, 2, 3)]
    driven = drive(queries.page(selection, 2), {"Items": items_})
    assert selection.at_cursor(driven.result.cursor).start_key == wire(2, total={"N": "5"})
    assert [dict(item) for item in driven.result.items] == [{"note": "x"}] * 2
    names = driven.calls[0].params["ExpressionAttributeNames"]
    projected = {names[place] for place in driven.calls[0].params["ProjectionExpression"].split(", ")}
    assert projected == {"note", "customer", "number", "total"}


def test_a_limit_is_kept_over_pages() -> None:
    driven = drive(queries.collected(replace(ALL, limit=3)), answer(1, 2, after=2), answer(3, after=3))
    assert numbers(driven.result) == [1, 2, 3]
    assert [sent.params["Limit"] for sent in driven.calls] == [3, 1]
    driven = drive(queries.stream(replace(ALL, limit=3)), answer(1, 2, after=2), answer(3, after=3))
    assert [sent.params["Limit"] for sent in driven.calls] == [3, 1]


def test_no_empty_parameters_are_sent() -> None:
    (sent,) = drive(queries.collected(Selection(ENTITY, KEY, ENTITY.decode)), answer()).calls
    assert sent == Call("Scan", {"TableName": "orders"})


# --- request sizes --------------------------------------------------------------------------------------------------


def sizes(
    page_size: int | None, wanted: int | None, *missing: int | None, is_filtered: bool = True
) -> list[int | None]:
    chosen = RequestSizes(page_size, wanted, is_filtered=is_filtered)
    return [chosen.next(left) for left in missing]


def test_without_a_filter_no_more_than_wanted_is_evaluated() -> None:
    assert sizes(None, 7, 7, 2, is_filtered=False) == [7, 2]
    assert sizes(3, 7, 7, 4, 1, is_filtered=False) == [3, 3, 1]
    assert sizes(None, None, None, is_filtered=False) == [None]
    assert sizes(3, None, None, is_filtered=False) == [3]


def test_with_a_filter_requests_grow() -> None:
    assert sizes(None, 1, 1, 1, 1) == [100, 400, 1600]
    assert sizes(None, 500, 500, 499) == [500, 2000]
    assert sizes(3, 1, 1, 1) == [3, 3]
    assert sizes(None, None, None) == [None]


def test_no_size_is_more_than_dynamodb_takes() -> None:
    grown = sizes(None, 1, *[1] * 40)
    assert max(size or 0 for size in grown) < 2**31
    assert sizes(None, 10**12, 10**12) == sizes(None, 10**12, 10**12, is_filtered=False) == [1_000_000]
    assert sizes(10**12, None, None) == [1_000_000]


# --- tables ---------------------------------------------------------------------------------------------------------


def described(status: str, *, indexes: str = "ACTIVE") -> dict[str, Any]:
    params = tables.table_params(ENTITY)
    table = {**params, "TableStatus": status}
    table["GlobalSecondaryIndexes"] = [
        {**index, "IndexStatus": indexes} for index in params.get("GlobalSecondaryIndexes", [])
    ]
    return {"Table": table}


GONE = TableNotFoundError("no table")


def ignore(state: str) -> None:
    pass


def test_ensure_table_that_exists_makes_nothing() -> None:
    driven = drive(
        tables.ensure_table(ENTITY, wait_seconds=1, progress=ignore), described("ACTIVE"), described("ACTIVE")
    )
    assert driven.result is False
    assert {sent.operation for sent in driven.calls} == {"DescribeTable"}


def test_ensure_table_makes_the_table_and_waits_for_its_indexes() -> None:
    told: list[str] = []
    driven = drive(
        tables.ensure_table(ENTITY, wait_seconds=10, progress=told.append),
        GONE,
        {},
        GONE,
        described("CREATING"),
        described("ACTIVE", indexes="CREATING"),
        described("ACTIVE"),
    )
    assert driven.result is True
    assert [sent.operation for sent in driven.calls] == ["DescribeTable", "CreateTable", *["DescribeTable"] * 4]
    assert sum(isinstance(effect, Sleep) for effect in driven.effects) == 3
    assert told == ["gone", "CREATING", "ACTIVE"]


def test_ensure_table_is_not_the_first() -> None:
    driven = drive(
        tables.ensure_table(ENTITY, wait_seconds=10, progress=ignore),
        GONE,
        TableInUseError("somebody was faster"),
        described("CREATING"),
        described("ACTIVE"),
    )
    assert driven.result is False


def test_waiting_is_bounded_and_says_for_what() -> None:
    slept: list[float] = []
    polls: list[Call] = []

    def wait_for_ever() -> None:
        flow = tables.wait_until(ENTITY, "ACTIVE", wait_seconds=30, progress=ignore)
        effect = next(flow)
        while True:
            if isinstance(effect, Sleep):
                slept.append(effect.seconds)
                effect = flow.send(None)
            elif isinstance(effect, Call):
                polls.append(effect)
                effect = flow.send(described("CREATING"))

    with pytest.raises(TableInUseError, match=r"CREATING.*wait_seconds"):
        wait_for_ever()
    assert 30 <= sum(slept) <= 36
    assert len(polls) < 30


def test_a_table_is_waited_for_until_it_is_gone() -> None:
    driven = drive(tables.delete_table(ENTITY, wait_seconds=10, progress=ignore), {}, described("DELETING"), GONE)
    assert driven.result is True
    assert drive(tables.delete_table(ENTITY, wait_seconds=10, progress=ignore), GONE).result is False


def test_a_key_outside_the_types_sends_nothing() -> None:
    for key in ((None, 1), ("c", None), ("", 1), (1, 1), ("c", "x"), ("c", Decimal("NaN"))):
        with pytest.raises(ValidationError):
            next(items.get(ENTITY, key, consistent=False))


def test_expiry_rounds_up() -> None:
    class Timed(BaseModel):
        id: str
        until: datetime

    class Timeds(BaseDynamoRepository[Timed]):
        table_name = "timed"
        primary_key = "id"
        ttl_attribute = "until"

    declaration = Timeds._declaration
    assert declaration is not None
    entity = Entity("timed", declaration, declaration.codec_for(Timed, TimeRules()))
    model = Timed(id="a", until=NOON + timedelta(microseconds=1))
    (sent,) = drive(items.create(entity, model), {}).calls
    assert sent.params["Item"]["until"] == {"N": str(int(NOON.timestamp()) + 1)}
    assert model.until == NOON + timedelta(seconds=1)


def test_calls_of_a_flow_may_be_sent_by_another() -> None:
    def slowly(call: Call) -> Flow[Any]:
        yield from sleep(1)
        return (yield from sent(call))

    def asks() -> Flow[list[Any]]:
        answers: list[Any] = [(yield from new_token()), (yield from call("GetItem", {}))]
        for error in (ValidationError, KeyboardInterrupt):
            try:
                yield from call("PutItem", {})
            except error:
                answers.append(error)
        return answers

    driven = drive(calling_by(slowly, asks()), "token", {"Item": {}}, ValidationError("no"), KeyboardInterrupt())
    assert driven.result == ["token", {"Item": {}}, ValidationError, KeyboardInterrupt]
    assert [type(effect) for effect in driven.effects] == [NewToken, Sleep, Call, Sleep, Call, Sleep, Call]
    # What the flow does not expect goes on to whoever drives it.
    with pytest.raises(ValidationError, match="no"):
        drive(calling_by(slowly, call("GetItem", {})), ValidationError("no"))
