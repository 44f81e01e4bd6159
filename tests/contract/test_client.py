"""The document-level client on every server: plain dicts in, plain dicts out."""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable
from decimal import Decimal
from typing import Any
from uuid import uuid4

import pytest
from boto3.dynamodb.conditions import Attr, Key
from boto3.dynamodb.types import Binary

from dynamodb_wrapper import (
    ConditionFailedError,
    F,
    ItemNotFoundError,
    TableNotFoundError,
    TransactionCanceledError,
    ValidationError,
)
from dynamodb_wrapper.client import DocumentClient, get_dynamodb_client
from tests.contract.shop import Make, Orders, order, requests
from tests.servers import Server

EVERYTHING: dict[str, Any] = {
    "id": "a",
    "sort": 1,
    "text": "Grüße, 世界",
    "empty": "",
    "whole": 10**37,
    "fraction": Decimal("0.1234567890123456789012345678901234567"),
    "tiny": Decimal("1E-130"),
    "yes": True,
    "no": False,
    "nothing": None,
    "bytes": b"\x00\xff",
    "no bytes": b"",
    "list": [1, "x", None, [Decimal("2.5"), {"deep": b"x"}]],
    "map": {"a": {"b": {}}, "with space": [], "with.dot": 1},
    "words": {"a", "b"},
    "numbers": {1, Decimal("1.5"), -3},
    "blobs": {b"a", b"b"},
}


@pytest.fixture
def client(server: Server) -> DocumentClient:
    return get_dynamodb_client(config=server.config())


@pytest.fixture
def table(server: Server) -> str:
    """A table with the key (id, sort)."""
    return new_table(server, "documents", sort=True)


@pytest.fixture
def tree_table(server: Server) -> str:
    """A table with the key id, and an index on the parent."""
    return new_table(server, "tree", parent=True)


def new_table(server: Server, base_name: str, *, sort: bool = False, parent: bool = False) -> str:
    name = f"{server.table_prefix}-{base_name}"
    schema: list[Any] = [{"AttributeName": "id", "KeyType": "HASH"}]
    attributes: list[Any] = [{"AttributeName": "id", "AttributeType": "S"}]
    indexes: list[Any] = []
    if sort:
        schema.append({"AttributeName": "sort", "KeyType": "RANGE"})
        attributes.append({"AttributeName": "sort", "AttributeType": "N"})
    if parent:
        attributes.append({"AttributeName": "parent", "AttributeType": "S"})
        indexes.append(
            {
                "IndexName": "parent-index",
                "KeySchema": [{"AttributeName": "parent", "KeyType": "HASH"}],
                "Projection": {"ProjectionType": "ALL"},
            }
        )
    server.client.create_table(
        TableName=name,
        KeySchema=schema,
        AttributeDefinitions=attributes,
        BillingMode="PAY_PER_REQUEST",
        **({"GlobalSecondaryIndexes": indexes} if indexes else {}),
    )
    return name


def fill(client: DocumentClient, table: str, count: int) -> None:
    client.batch_operations(
        {"type": "put", "tableName": table, "item": {"id": "a", "sort": n, "even": n % 2 == 0}} for n in range(count)
    )


# --- one item --------------------------------------------------------------------------------------------------------


def test_every_type_comes_back(client: DocumentClient, table: str) -> None:
    before = copy.deepcopy(EVERYTHING)
    client.put(TableName=table, Item=EVERYTHING)
    read = client.get(TableName=table, Key={"id": "a", "sort": 1}, ConsistentRead=True)["Item"]
    assert read == before == EVERYTHING
    assert {name: type(value) for name, value in read.items()} == {
        name: type(value) for name, value in EVERYTHING.items()
    }


def test_what_comes_back_as_another_type(client: DocumentClient, table: str) -> None:
    item = {"id": "a", "sort": 1, "f": 0.1, "whole": 2.0, "t": (1, 2), "b": Binary(b"x"), "z": frozenset({"x"})}
    client.put(TableName=table, Item=item)
    read = client.get(TableName=table, Key={"id": "a", "sort": 1})["Item"]
    expected = {"id": "a", "sort": 1, "f": Decimal("0.1"), "whole": 2, "t": [1, 2], "b": b"x", "z": {"x"}}
    assert read == expected
    assert isinstance(read["whole"], int)


def test_get_of_nothing(client: DocumentClient, table: str) -> None:
    assert "Item" not in client.get(TableName=table, Key={"id": "a", "sort": 1})


def test_get_of_some_attributes(client: DocumentClient, table: str) -> None:
    client.put(TableName=table, Item=EVERYTHING)
    read = client.get(
        TableName=table,
        Key={"id": "a", "sort": 1},
        ProjectionExpression="#map.a, whole",
        ExpressionAttributeNames={"#map": "map"},
    )
    assert read["Item"] == {"map": {"a": {"b": {}}}, "whole": 10**37}


def test_put_returns_what_was_there(client: DocumentClient, table: str) -> None:
    client.put(TableName=table, Item={"id": "a", "sort": 1, "n": 1.5})
    answer = client.put(TableName=table, Item={"id": "a", "sort": 1}, ReturnValues="ALL_OLD")
    assert answer["Attributes"] == {"id": "a", "sort": 1, "n": Decimal("1.5")}


def test_update(client: DocumentClient, table: str) -> None:
    answer = client.update(
        TableName=table,
        Key={"id": "a", "sort": 1},
        UpdateExpression="SET n = :n, tags = :tags ADD amount :one",
        ExpressionAttributeValues={":n": 0.5, ":tags": {"x"}, ":one": 1},
        ReturnValues="ALL_NEW",
    )
    assert answer["Attributes"] == {"id": "a", "sort": 1, "n": Decimal("0.5"), "tags": {"x"}, "amount": 1}


def test_delete(client: DocumentClient, table: str) -> None:
    client.put(TableName=table, Item={"id": "a", "sort": 1, "b": b"x"})
    answer = client.delete(TableName=table, Key={"id": "a", "sort": 1}, ReturnValues="ALL_OLD")
    assert answer["Attributes"] == {"id": "a", "sort": 1, "b": b"x"}
    assert "Attributes" not in client.delete(TableName=table, Key={"id": "a", "sort": 1}, ReturnValues="ALL_OLD")


@pytest.mark.parametrize("condition", [Attr("n").eq(2) & ~Attr("id").not_exists(), F.n == 2, "n = :two"])
def test_a_failed_condition(client: DocumentClient, table: str, condition: Any) -> None:
    item, key = {"id": "a", "sort": 1, "n": 1}, {"id": "a", "sort": 1}
    client.put(TableName=table, Item=item)
    values: Any = {"ExpressionAttributeValues": {":two": 2}} if isinstance(condition, str) else {}
    writes: list[Callable[[], Any]] = [
        lambda: client.put(TableName=table, Item=key, ConditionExpression=condition, **values),
        lambda: client.delete(TableName=table, Key=key, ConditionExpression=condition, **values),
        lambda: client.update(
            TableName=table, Key=key, UpdateExpression="REMOVE m", ConditionExpression=condition, **values
        ),
    ]
    for write in writes:
        with pytest.raises(ConditionFailedError) as caught:
            write()
        assert (caught.value.item, caught.value.key, caught.value.table_name) == (item, key, table)


def test_no_table(client: DocumentClient, server: Server) -> None:
    missing = f"{server.table_prefix}-missing"
    with pytest.raises(TableNotFoundError):
        client.get(TableName=missing, Key={"id": "a"})
    with pytest.raises(TableNotFoundError):
        client.batch_operations([{"type": "delete", "tableName": missing, "key": {"id": "a"}}])


def test_what_is_refused_is_not_sent(client: DocumentClient, table: str) -> None:
    with requests() as sent:
        for item in ({"id": "a", "sort": 1, "s": set()}, {"id": "a", "sort": float("nan")}):
            with pytest.raises(ValidationError):
                client.put(TableName=table, Item=item)
        with pytest.raises(ValidationError, match="no keyword 'Keys'"):
            client.get(TableName=table, Keys={})  # type: ignore[call-arg]
    assert sent == []


# --- pages -----------------------------------------------------------------------------------------------------------


def test_query_pages(client: DocumentClient, table: str) -> None:
    fill(client, table, 7)
    keywords: Any = {"TableName": table, "KeyConditionExpression": Key("id").eq("a") & Key("sort").gt(1), "Limit": 3}
    first = client.query(**keywords, ExclusiveStartKey=None)
    second = client.query(**keywords, ExclusiveStartKey=first["LastEvaluatedKey"])
    assert [item["sort"] for page in (first, second) for item in page["Items"]] == [2, 3, 4, 5, 6]
    assert (first["Count"], first["LastEvaluatedKey"]) == (3, {"id": "a", "sort": 4})
    assert "LastEvaluatedKey" not in second


def test_iter_query(client: DocumentClient, table: str) -> None:
    fill(client, table, 7)
    found = client.iter_query(
        TableName=table,
        KeyConditionExpression="id = :id",
        FilterExpression=F.even == True,  # noqa: E712 - a node
        ExpressionAttributeValues={":id": "a"},
        ScanIndexForward=False,
        Limit=1,
    )
    assert [item["sort"] for item in found] == [6, 4, 2, 0]


def test_scan(client: DocumentClient, table: str) -> None:
    fill(client, table, 7)
    page = client.scan(TableName=table, FilterExpression=Attr("sort").between(2, 4))
    assert sorted(item["sort"] for item in page["Items"]) == [2, 3, 4]
    assert client.scan(TableName=table, Select="COUNT")["Count"] == 7
    assert sorted(item["sort"] for item in client.iter_scan(TableName=table, Limit=2)) == list(range(7))
    segments = [client.scan(TableName=table, Segment=n, TotalSegments=2)["Items"] for n in range(2)]
    assert sum(map(len, segments)) == 7


# --- batches ---------------------------------------------------------------------------------------------------------


def test_thousands_of_mixed_operations(client: DocumentClient, table: str, tree_table: str) -> None:
    fill(client, table, 300)
    operations: list[dict[str, Any]] = []
    for number in range(300):
        operations.append({"type": "delete", "tableName": table, "key": {"id": "a", "sort": number}})
        operations.append({"type": "put", "table_name": tree_table, "item": {"id": f"n{number}", "f": number / 4}})
    operations += [
        {"type": "put", "tableName": table, "item": {"id": "b", "sort": n % 10, "n": n}} for n in range(1400)
    ]

    told: list[tuple[int, int | None]] = []
    summary = client.batch_operations(
        operations, concurrency=3, progress=lambda progress: told.append((progress.done, progress.total))
    )

    assert told[-1] == (2000, 2000)
    assert summary.done == 2000
    assert (summary.puts, summary.deletes) == ({tree_table: 300, table: 1400}, {table: 300})
    left = sorted((item["sort"], item["n"]) for item in client.iter_scan(TableName=table))
    assert left == [(n, 1390 + n) for n in range(10)], "the last operation on a key wins"
    assert sum(item["f"] for item in client.iter_scan(TableName=tree_table)) == sum(range(300)) / Decimal(4)


def test_batch_write_and_batch_get_of_any_size(client: DocumentClient, table: str, tree_table: str) -> None:
    puts = [{"PutRequest": {"Item": {"id": "a", "sort": n, "b": b"x"}}} for n in range(130)]
    written = client.batch_write(
        RequestItems={table: puts, tree_table: [{"PutRequest": {"Item": {"id": "a", "s": {1}}}}]}
    )
    assert written["UnprocessedItems"] == {}
    client.batch_write(RequestItems={table: [{"DeleteRequest": {"Key": {"id": "a", "sort": 5}}}]})

    keys = [{"id": "a", "sort": n} for n in reversed(range(140))]
    read = client.batch_get(
        RequestItems={table: {"Keys": keys, "ConsistentRead": True}, tree_table: {"Keys": [{"id": "a"}]}}
    )

    assert [item["sort"] for item in read["Responses"][table]] == [n for n in reversed(range(130)) if n != 5]
    assert read["Responses"][tree_table] == [{"id": "a", "s": {1}}]
    assert read["UnprocessedKeys"] == {}


def test_batch_get_of_some_attributes(client: DocumentClient, table: str) -> None:
    fill(client, table, 2)
    asked: Any = {
        "Keys": [{"id": "a", "sort": 1}, {"id": "a", "sort": 0}],
        "ProjectionExpression": "#e",
        "ExpressionAttributeNames": {"#e": "even"},
    }
    assert client.batch_get(RequestItems={table: asked})["Responses"] == {table: [{"even": False}, {"even": True}]}


# --- transactions ----------------------------------------------------------------------------------------------------


def test_a_transaction(client: DocumentClient, table: str, tree_table: str) -> None:
    client.put(TableName=table, Item={"id": "a", "sort": 1, "n": 1})
    client.put(TableName=table, Item={"id": "a", "sort": 2})
    client.transact_write(
        TransactItems=[
            {
                "Update": {
                    "TableName": table,
                    "Key": {"id": "a", "sort": 1},
                    "UpdateExpression": "SET n = n + :x",
                    "ConditionExpression": Attr("n").eq(1),
                    "ExpressionAttributeValues": {":x": 0.5},
                }
            },
            {"Delete": {"TableName": table, "Key": {"id": "a", "sort": 2}}},
            {"Put": {"TableName": tree_table, "Item": {"id": "x", "s": {b"y"}}}},
        ]
    )
    read = client.transact_get(
        TransactItems=[
            {"Get": {"TableName": table, "Key": {"id": "a", "sort": 1}}},
            {"Get": {"TableName": table, "Key": {"id": "a", "sort": 2}}},
            {"Get": {"TableName": tree_table, "Key": {"id": "x"}}},
        ]
    )
    assert read["Responses"] == [
        {"Item": {"id": "a", "sort": 1, "n": Decimal("1.5")}},
        {},
        {"Item": {"id": "x", "s": {b"y"}}},
    ]


def test_a_cancelled_transaction_says_why(client: DocumentClient, table: str) -> None:
    client.put(TableName=table, Item={"id": "a", "sort": 1, "n": 1})
    with pytest.raises(TransactionCanceledError) as caught:
        client.transact_write(
            TransactItems=[
                {"Put": {"TableName": table, "Item": {"id": "b", "sort": 1}}},
                {"ConditionCheck": {"TableName": table, "Key": {"id": "a", "sort": 1}, "ConditionExpression": F.n > 1}},
            ]
        )
    innocent, guilty = caught.value.reasons
    assert innocent.code == "None"
    assert (guilty.code, guilty.item) == ("ConditionalCheckFailed", {"id": "a", "sort": 1, "n": 1})
    assert isinstance(guilty.error, ConditionFailedError)
    assert (guilty.error.key, guilty.error.item) == ({"id": "a", "sort": 1}, guilty.item)
    assert "Item" not in client.get(TableName=table, Key={"id": "b", "sort": 1})


def test_a_token_makes_a_transaction_happen_once(client: DocumentClient, table: str) -> None:
    token = uuid4().hex  # servers remember them, and this runs more than once
    key = {"id": "a", "sort": 1}
    update = {
        "TableName": table,
        "Key": key,
        "UpdateExpression": "ADD n :one",
        "ExpressionAttributeValues": {":one": 1},
    }
    for _ in range(2):
        client.transact_write(TransactItems=[{"Update": update}], ClientRequestToken=token)
    assert client.get(TableName=table, Key=key)["Item"]["n"] == 1


# --- trees -----------------------------------------------------------------------------------------------------------


def test_read_tree(client: DocumentClient, tree_table: str) -> None:
    nodes = [{"id": str(n), "parent": str((n - 1) // 3), "w": n / 2} for n in range(1, 40)]
    client.batch_operations({"type": "put", "tableName": tree_table, "item": node} for node in nodes)
    client.put(TableName=tree_table, Item={"id": "0"})

    read = client.read_tree(tree_table, "0", include_metadata=True)

    assert (read.metadata.node_count, read.metadata.depth, read.metadata.root_id) == (40, 4, "0")
    assert (read.metadata.cycles, read.metadata.orphans, read.metadata.complete) == ((), (), True)
    assert sorted(child["id"] for child in read.tree["children"]) == ["1", "2", "3"]
    first = next(child for child in read.tree["children"] if child["id"] == "1")
    assert first["w"] == Decimal("0.5")
    assert sorted(child["id"] for child in first["children"]) == ["4", "5", "6"]
    assert client.read_tree(tree_table, "39") == {"id": "39", "parent": "12", "w": Decimal("19.5"), "children": []}
    with pytest.raises(ItemNotFoundError):
        client.read_tree(tree_table, "40")


# --- the client ------------------------------------------------------------------------------------------------------


def test_client_and_repository_read_each_other(client: DocumentClient, make: Make) -> None:
    orders = make(Orders)
    orders.create(order(total=Decimal("1.5"), tags={"a"}))
    item = client.get(TableName=orders.table_name, Key={"customer_id": "c1", "order_id": "o1"})["Item"]
    assert (item["total"], item["tags"], item["version"]) == (Decimal("1.5"), {"a"}, 1)
    client.put(TableName=orders.table_name, Item={**item, "order_id": "o2", "total": 2.25})
    assert orders.get_or_raise("c1", "o2").total == Decimal("2.25")


def test_boto3s_own_clients(client: DocumentClient, table: str) -> None:
    key = {"id": "a", "sort": 1}
    client.get_document_client().put_item(TableName=table, Item={**key, "n": Decimal("1.5")})
    wire = client.get_client().get_item(TableName=table, Key={"id": {"S": "a"}, "sort": {"N": "1"}})
    assert wire["Item"]["n"] == {"N": "1.5"}
    assert client.get(TableName=table, Key=key)["Item"] == {**key, "n": Decimal("1.5")}


def test_health(client: DocumentClient) -> None:
    assert client.health_check()
    client.destroy()
    assert not client.health_check()


def test_requests_are_logged_when_asked_for(server: Server, table: str, caplog: pytest.LogCaptureFixture) -> None:
    client = get_dynamodb_client(config=server.config(debug_logging=True))
    with caplog.at_level(logging.DEBUG, "dynamodb_wrapper.transport"):
        client.put(TableName=table, Item={"id": "secret-value", "sort": 1})
    (record,) = [record for record in caplog.records if hasattr(record, "operation")]
    assert (record.operation, record.table_name) == ("PutItem", table)  # type: ignore[attr-defined]
    assert record.duration_ms > 0  # type: ignore[attr-defined]
    assert record.consumed_capacity["total"] >= 1  # type: ignore[attr-defined]
    assert "secret-value" not in caplog.text
