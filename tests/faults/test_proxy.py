"""The proxy does what it says, seen with boto3's own client."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ConnectionClosedError

from tests.contract.shop import PlainOrders
from tests.faults import rules
from tests.faults.bench import Bench


@pytest.fixture
def client(bench: Bench) -> Iterator[Any]:
    """boto3's client through the proxy, without retries."""
    client = boto3.client(
        "dynamodb",
        endpoint_url=bench.proxy.url,
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        config=Config(retries={"total_max_attempts": 1}),
    )
    yield client
    client.close()


def key(number: int, customer: str) -> dict[str, Any]:
    return {"customer_id": {"S": customer}, "order_id": {"S": f"o{number}"}}


def put(item: dict[str, Any]) -> dict[str, Any]:
    return {"PutRequest": {"Item": item}}


@pytest.mark.parametrize(("keep", "requests"), [(0, 0), (1, 1), (3, 1)])
def test_leftovers_of_a_batch_write_are_not_written(bench: Bench, client: Any, keep: int, requests: int) -> None:
    table, customer = bench.behind(PlainOrders).table_name, uuid4().hex
    entries = [put({**key(number, customer), "blob": {"B": b"\x00\xff"}}) for number in range(4)]
    bench.proxy.inject(rules.leftovers(keep), "BatchWriteItem")
    answer = client.batch_write_item(RequestItems={table: entries})
    assert answer["UnprocessedItems"] == {table: entries[keep:]}
    assert bench.proxy.count_applied("BatchWriteItem") == requests
    stored = bench.server.client.query(
        TableName=table,
        KeyConditionExpression="customer_id = :c",
        ExpressionAttributeValues={":c": {"S": customer}},
        ConsistentRead=True,
    )["Items"]
    assert stored == [entry["PutRequest"]["Item"] for entry in entries[:keep]]
    assert client.batch_write_item(RequestItems=answer["UnprocessedItems"])["UnprocessedItems"] == {}


@pytest.mark.parametrize("keep", [0, 1, 3])
def test_leftovers_of_a_batch_get_keep_what_was_asked_of_them(bench: Bench, client: Any, keep: int) -> None:
    table, customer = bench.behind(PlainOrders).table_name, uuid4().hex
    keys = [key(number, customer) for number in range(4)]
    for entry in keys:
        bench.server.client.put_item(TableName=table, Item=entry)
    asked = {"Keys": keys, "ProjectionExpression": "order_id", "ConsistentRead": True}
    bench.proxy.inject(rules.leftovers(keep), "BatchGetItem")
    answer = client.batch_get_item(RequestItems={table: asked})
    assert answer["UnprocessedKeys"] == {table: {**asked, "Keys": keys[keep:]}}
    found = answer["Responses"].get(table, [])
    assert sorted(item["order_id"]["S"] for item in found) == [f"o{number}" for number in range(keep)]


def test_a_rule_takes_the_requests_it_is_for(bench: Bench, client: Any) -> None:
    table, customer = bench.behind(PlainOrders).table_name, uuid4().hex
    wanted = key(2, customer)
    bench.proxy.inject(rules.unavailable(), "GetItem", skip=1, times=2, when=lambda body: body["Key"] == wanted)

    def get(entry: dict[str, Any]) -> int:
        try:
            client.get_item(TableName=table, Key=entry)
        except ClientError as error:
            return int(error.response["ResponseMetadata"]["HTTPStatusCode"])
        return 200

    assert [get(key(1, customer)), get(wanted), get(wanted), get(key(1, customer))] == [200, 200, 503, 200]
    client.put_item(TableName=table, Item=wanted)
    assert [get(wanted), get(wanted)] == [503, 200]
    assert (bench.proxy.count("GetItem"), bench.proxy.count_applied("GetItem")) == (6, 4)
    assert bench.proxy.injected == {"ServiceUnavailable": 2}
    assert [request.operation for request in bench.proxy.forwarded][-2:] == ["PutItem", "GetItem"]


def test_a_cancellation_has_a_reason_for_each_action(bench: Bench, client: Any) -> None:
    table, customer = bench.behind(PlainOrders).table_name, uuid4().hex
    bench.proxy.inject(rules.cancelled("TransactionConflict"), "TransactWriteItems")
    actions = [{"Put": {"TableName": table, "Item": key(number, customer)}} for number in range(2)]
    with pytest.raises(client.exceptions.TransactionCanceledException) as caught:
        client.transact_write_items(TransactItems=actions)
    assert [reason["Code"] for reason in caught.value.response["CancellationReasons"]] == [
        "TransactionConflict",
        "None",
    ]
    assert bench.proxy.count_applied("TransactWriteItems") == 0


def test_checksums_are_those_of_the_body_or_of_what_it_was(bench: Bench, client: Any) -> None:
    seen: list[tuple[str, bytes]] = []

    def note(response_dict: dict[str, Any], **_: object) -> None:
        seen.append((response_dict["headers"]["x-amz-crc32"], response_dict["body"]))

    client.meta.events.register("before-parse.dynamodb", note)
    client.list_tables()
    bench.proxy.inject(rules.throttle())
    with pytest.raises(ClientError):
        client.list_tables()
    assert [int(checksum) == zlib.crc32(body) for checksum, body in seen] == [True, True]


def test_random_faults_come_at_their_rate_and_end(bench: Bench, client: Any) -> None:
    bench.proxy.inject_randomly([rules.unavailable(), rules.reset(applied=False)], rate=0.5, seed=7)
    failures = 0
    for _ in range(60):
        try:
            client.list_tables()
        except (ClientError, ConnectionClosedError):
            failures += 1
    assert failures == bench.proxy.injected.total()
    assert 15 <= failures <= 45
    assert set(bench.proxy.injected) == {"ServiceUnavailable", "reset before it was applied"}
    bench.proxy.calm()
    for _ in range(10):
        client.list_tables()
    assert bench.proxy.injected.total() == failures
