"""Imports as flows: what is sent, in which order, and what becomes of each item."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pytest
from pydantic import BaseModel

from dynamodb_wrapper.codec import TimeRules
from dynamodb_wrapper.exceptions import (
    BatchIncompleteError,
    ConditionFailedError,
    ItemAlreadyExistsError,
    ThrottlingError,
    ValidationError,
)
from dynamodb_wrapper.operations import imports
from dynamodb_wrapper.operations.declaration import Declaration
from dynamodb_wrapper.operations.effects import Call, Effect, Flow, Response, Sleep, Together
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.imports import Imported, Incoming
from dynamodb_wrapper.operations.raw_tables import stored_table


class Thing(BaseModel):
    pk: str
    n: int = 0


def entity() -> Entity[Thing]:
    declaration = Declaration("Things", Thing, "pk")
    return Entity("things", declaration, declaration.codec_for(Thing, TimeRules()))


def given(*keys: str) -> list[Incoming]:
    return [imports.incoming(entity(), {"pk": {"S": key}, "n": {"N": str(number)}}) for number, key in enumerate(keys)]


def run(flow: Flow[Any], answer: Callable[[Call], Response]) -> tuple[Any, list[Call]]:
    """Run a flow, flows that run together one after another, and return its result and its calls."""
    calls: list[Call] = []

    def outcome(effect: Effect) -> Any:
        match effect:
            case Together():
                return [drive(each) for each in effect.flows]
            case Call():
                calls.append(effect)
                return answer(effect)
            case Sleep():
                return None
        raise AssertionError(effect)

    def drive(each: Flow[Any]) -> Any:
        try:
            effect = next(each)
            while True:
                try:
                    result = outcome(effect)
                except (ValidationError, ConditionFailedError, ThrottlingError) as error:
                    effect = each.throw(error)
                else:
                    effect = each.send(result)
        except StopIteration as end:
            return end.value

    return drive(flow), calls


def write(items: Sequence[Incoming], answer: Callable[[Call], Response], *, overwrite: bool = True) -> Any:
    return run(imports.write(entity(), items, overwrite=overwrite, concurrency=4), answer)


def keys_of(call: Call) -> list[str]:
    return [entry["PutRequest"]["Item"]["pk"]["S"] for entry in call.params["RequestItems"]["things"]]


def test_items_are_put_in_batches_as_they_are() -> None:
    consumed = {"ConsumedCapacity": [{"TableName": "things", "CapacityUnits": 40.0}]}
    imported, calls = write(given(*(f"k{number}" for number in range(30))), lambda call: consumed)
    assert [len(keys_of(call)) for call in calls] == [25, 5]
    assert calls[0].params["RequestItems"]["things"][3] == {
        "PutRequest": {"Item": {"pk": {"S": "k3"}, "n": {"N": "3"}}}
    }
    assert imported == Imported(written=30, units=80.0)


def test_units_are_estimated_where_dynamodb_says_nothing() -> None:
    large = imports.incoming(entity(), {"pk": {"S": "x" * 1500}})
    imported, _ = write([large, *given("a")], lambda call: {})
    assert imported.units == 3


def test_what_dynamodb_refuses_of_a_batch_is_put_one_by_one() -> None:
    def answer(call: Call) -> Response:
        if call.operation == "BatchWriteItem" or call.params["Item"]["pk"] == {"S": "b"}:
            raise ValidationError("one of them is bad")
        return {}

    imported, calls = write(given("a", "b", "c"), answer)
    assert [call.operation for call in calls] == ["BatchWriteItem", "PutItem", "PutItem", "PutItem"]
    assert imported.written == 2
    assert [(refusal.number, refusal.error.message) for refusal in imported.refusals] == [(1, "one of them is bad")]


def test_an_error_that_is_of_no_item_ends_it() -> None:
    def throttled(call: Call) -> Response:
        raise ThrottlingError("too much")

    with pytest.raises(ThrottlingError):
        write(given("a"), throttled)


def test_leftovers_that_stay_end_it() -> None:
    def left(call: Call) -> Response:
        return {"UnprocessedItems": call.params["RequestItems"]}

    with pytest.raises(BatchIncompleteError):
        write(given("a"), left)


def test_without_overwriting_each_is_put_under_a_condition() -> None:
    items = given("free", "same", "other")

    def answer(call: Call) -> Response:
        assert "attribute_not_exists" in call.params["ConditionExpression"]
        match call.params["Item"]["pk"]["S"]:
            case "same":
                raise ConditionFailedError("exists", item={"n": {"N": "1"}, "pk": {"S": "same"}})
            case "other":
                raise ConditionFailedError("exists", item={"n": {"N": "9"}, "pk": {"S": "other"}})
        return {"ConsumedCapacity": {"TableName": "things", "CapacityUnits": 5.0}}

    imported, _ = write(items, answer, overwrite=False)
    assert (imported.written, imported.same, imported.units) == (1, 1, 7.0)
    ((number, error),) = [(refusal.number, refusal.error) for refusal in imported.refusals]
    assert (number, isinstance(error, ItemAlreadyExistsError)) == (2, True)


def test_items_with_one_key_are_not_on_their_way_together() -> None:
    waves: list[int] = []
    flow = imports.write(entity(), given("a", "b", "a", "c", "c"), overwrite=False, concurrency=4)
    effect = next(flow)
    try:
        while True:
            assert isinstance(effect, Together)
            waves.append(len(list(effect.flows)))
            effect = flow.send([])
    except StopIteration:
        pass
    assert waves == [2, 2, 1]


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"n": {"N": "1"}}, "cannot be None"),
        ({"pk": {"S": ""}}, "is empty"),
        ({"pk": {"N": "1"}}, "declared as S"),
        ({"pk": {"S": "x"}, "t": {"S": "x" * 410_000}}, "410,"),
    ],
)
def test_what_dynamodb_would_refuse_is_refused_before(item: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        imports.incoming(entity(), item)


def test_a_table_without_a_repository_is_known_by_its_keys() -> None:
    described = {
        "Table": {
            "TableArn": "arn:aws:dynamodb:us-east-1:123456789012:table/t",
            "TableId": "12345a12-abcd-123a-ab12-1234abc12345",
            "ItemCount": 7,
            "KeySchema": [
                {"AttributeName": "model_config", "KeyType": "HASH"},
                {"AttributeName": "0 odd", "KeyType": "RANGE"},
            ],
            "AttributeDefinitions": [
                {"AttributeName": "0 odd", "AttributeType": "N"},
                {"AttributeName": "model_config", "AttributeType": "B"},
                {"AttributeName": "by", "AttributeType": "S"},
            ],
            "GlobalSecondaryIndexes": [
                {"IndexName": "by_it", "KeySchema": [{"AttributeName": "by", "KeyType": "HASH"}]}
            ],
            "LocalSecondaryIndexes": [
                {
                    "IndexName": "beside",
                    "KeySchema": [
                        {"AttributeName": "model_config", "KeyType": "HASH"},
                        {"AttributeName": "by", "KeyType": "RANGE"},
                    ],
                }
            ],
        }
    }
    table, (call,) = run(stored_table("t"), lambda call: described)
    assert (call.operation, call.params) == ("DescribeTable", {"TableName": "t"})
    assert table.entity.table_key_attributes == ("model_config", "0 odd")
    assert table.entity.key_tags == {"model_config": "B", "0 odd": "N", "by": "S"}
    assert (table.arn, table.item_count) == ("arn:aws:dynamodb:us-east-1:123456789012:table/t", 7)
    assert table.table_id == "12345a12-abcd-123a-ab12-1234abc12345"
    with pytest.raises(ValidationError, match="'by' of table 't' is of DynamoDB type N"):
        imports.incoming(table.entity, {"model_config": {"B": b"x"}, "0 odd": {"N": "1"}, "by": {"N": "1"}})
