"""How requests read in the messages of budgets."""

from __future__ import annotations

import pytest

from dynamodb_wrapper.operations.capacity import ConsumedCapacity
from dynamodb_wrapper.operations.effects import Call
from dynamodb_wrapper.testing import Requests, SentRequest

READABLE: dict[str, tuple[Call, str]] = {
    "an item": (
        Call("GetItem", {"TableName": "t", "Key": {"id": {"S": "a"}}}, key={"id": "a"}),
        "GetItem t key {'id': 'a'} (2 units)",
    ),
    "a query": (
        Call(
            "Query",
            {
                "TableName": "t",
                "IndexName": "i",
                "KeyConditionExpression": "#0 = :0 AND #1 > :1",
                "FilterExpression": "size(#0) < :2",
                "ExpressionAttributeNames": {"#0": "a", "#1": "b"},
                "ExpressionAttributeValues": {":0": {"S": "x"}, ":1": {"N": "1.5"}, ":2": {"L": [{"S": "y" * 99}]}},
            },
        ),
        "Query t index 'i' where a = 'x' AND b > Decimal('1.5'); filter size(a) < ['" + "y" * 58 + "... (2 units)",
    ),
    "a batch that is JSON already": (
        Call("BatchGetItem", {"RequestItems": {"t": {}}}, body=b'{"RequestItems": {"t": {"Keys": [{}, {}]}, "u": []}}'),
        "BatchGetItem t 2 of t, 0 of u (2 units)",
    ),
    "a transaction": (
        Call("TransactWriteItems", {"TransactItems": [{"Put": {"TableName": "t"}}, {"Delete": {"TableName": "u"}}]}),
        "TransactWriteItems t, u Put t, Delete u (2 units)",
    ),
    "a table": (Call("ListTables", {}), "ListTables (2 units)"),
}


def sent(call: Call, outcome: str = "ok") -> SentRequest:
    return SentRequest.of(call, ConsumedCapacity(2.0, 2.0, 0.0, ()), outcome)


@pytest.mark.parametrize(("call", "text"), READABLE.values(), ids=READABLE)
def test_a_request_reads_well(call: Call, text: str) -> None:
    assert str(sent(call)) == text


def made_twice(requests: Requests) -> None:
    for _ in range(2):
        requests.note(sent(Call("GetItem", {"TableName": "t"})))


def test_what_failed_says_how() -> None:
    assert str(SentRequest.of(Call("ListTables", {}), None, "ServerError")) == "ListTables -> ServerError"


@pytest.mark.parametrize(
    ("budget", "message"),
    [
        ({"max": 1}, "2 requests were sent, and there may be 1:\n  1. GetItem t (2 units)\n  2. GetItem t (2 units)"),
        ({"exactly": 3}, "2 requests were sent instead of 3:\n  1. GetItem t"),
        ({"max_units": 3.5}, "4 units were consumed, and there may be 3.5:\n  1. GetItem t"),
    ],
)
def test_a_budget_that_is_overrun(budget: dict[str, float], message: str) -> None:
    requests = Requests()
    requests.note(sent(Call("Query", {"TableName": "t"})))
    with pytest.raises(AssertionError) as caught, requests.assert_requests(**budget):  # type: ignore[arg-type]
        made_twice(requests)
    assert str(caught.value).startswith(message)


def test_an_error_of_the_block_comes_first() -> None:
    requests = Requests()
    with pytest.raises(KeyError), requests.assert_requests(exactly=1):
        raise KeyError("a")


def test_a_budget_that_is_kept() -> None:
    requests = Requests()
    with requests.assert_requests(max=1, exactly=1, max_units=2) as made:
        requests.note(sent(Call("GetItem", {"TableName": "t"})))
    assert [request.operation for request in made] == ["GetItem"]
