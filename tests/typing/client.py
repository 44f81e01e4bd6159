"""What a type checker knows of the document-level client: checked by mypy and pyright, both strict, and never run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, assert_type

from boto3.dynamodb.conditions import Attr, Key
from mypy_boto3_dynamodb.client import DynamoDBClient

from dynamodb_wrapper import DynamoDBConfig, F
from dynamodb_wrapper.client import BatchSummary, DocumentClient, TreeWithMetadata, get_dynamodb_client

client = get_dynamodb_client(region="eu-west-1", local=None, max_retries=5, request_timeout=2_000, enable_logging=True)
assert_type(client, DocumentClient)
get_dynamodb_client(config=DynamoDBConfig.embedded())
get_dynamodb_client(regoin="eu-west-1")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
get_dynamodb_client("eu-west-1")  # type: ignore[call-arg, arg-type]  # pyright: ignore[reportCallIssue, reportArgumentType]

assert_type(client.get(TableName="t", Key={"id": 1}, ConsistentRead=True), dict[str, Any])
client.get(TableName="t")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
client.get(TableName="t", Key={"id": 1}, Item={})  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
client.put(TableName="t", Item={"id": 1}, ConditionExpression=Attr("id").not_exists())
client.delete(TableName="t", Key={"id": 1}, ConditionExpression=F.n > 1, ReturnValues="ALL_OLD")
client.update(TableName="t", Key={"id": 1}, UpdateExpression="SET n = :n", ExpressionAttributeValues={":n": 1.5})

page = client.query(TableName="t", KeyConditionExpression=Key("id").eq(1), ExclusiveStartKey=None)
client.query(TableName="t", ExclusiveStartKey=page.get("LastEvaluatedKey"))
assert_type(client.iter_scan(TableName="t", Limit=10), Iterator[dict[str, Any]])

loose: dict[str, Any] = {"TableName": "t", "Key": {"id": 1}}
client.get(**loose)

client.batch_get(RequestItems={"t": {"Keys": [{"id": 1}]}})
client.batch_write(RequestItems={"t": [{"PutRequest": {"Item": {"id": 1}}}]})
operations: list[dict[str, Any]] = [{"type": "put", "tableName": "t", "item": {"id": 1}}]
assert_type(client.batch_operations(operations), BatchSummary)
client.transact_write(TransactItems=[{"Put": {"TableName": "t", "Item": {"id": 1}}}], ClientRequestToken="x")

assert_type(client.read_tree("t", "root"), dict[str, Any])
assert_type(client.read_tree("t", "root", include_metadata=True), TreeWithMetadata[dict[str, Any]])
assert_type(client.health_check(), bool)
assert_type(client.get_client(), DynamoDBClient)
assert_type(client.get_document_client(), DynamoDBClient)
with client as same:
    assert_type(same, DocumentClient)
