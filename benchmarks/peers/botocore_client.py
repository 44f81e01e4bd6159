"""A bare botocore client: dictionaries of DynamoDB's own types, no model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import botocore.session

from benchmarks.data import (
    BATCH_GET_ITEMS,
    BATCH_WRITE_ITEMS,
    PARTITION,
    QUERY_ITEMS,
    SORT_KEY,
    TABLE,
    partition,
    sort_key,
    wire_item,
)
from benchmarks.peers import Operations

PACKAGES = ("botocore",)
KEY = {"pk": {"S": PARTITION}, "sk": {"S": SORT_KEY}}


def new_client(endpoint_url: str) -> Any:
    """Return a client with botocore's defaults."""
    return botocore.session.get_session().create_client("dynamodb", endpoint_url=endpoint_url)


def items_of(client: Any, items: int) -> Iterator[object]:
    """Yield the items of a partition, page by page."""
    values = {":pk": {"S": partition(items)}}
    pages = client.get_paginator("query").paginate(
        TableName=TABLE, KeyConditionExpression="pk = :pk", ExpressionAttributeValues=values
    )
    for page in pages:
        yield from page["Items"]


def operations(endpoint_url: str) -> Operations:
    """Return the operations on one client."""
    client, item = new_client(endpoint_url), wire_item(1)
    keys = {TABLE: {"Keys": [KEY | {"sk": {"S": sort_key(number)}} for number in range(BATCH_GET_ITEMS)]}}
    puts = {TABLE: [{"PutRequest": {"Item": wire_item(number)}} for number in range(BATCH_WRITE_ITEMS)]}
    change = {
        "UpdateExpression": "SET age = :age",
        "ConditionExpression": "attribute_exists(pk)",
        "ExpressionAttributeValues": {":age": {"N": "30"}},
        "ReturnValues": "ALL_NEW",
    }
    return {
        "get": lambda: client.get_item(TableName=TABLE, Key=KEY)["Item"],
        "put": lambda: client.put_item(TableName=TABLE, Item=item),
        "update": lambda: client.update_item(TableName=TABLE, Key=KEY, **change)["Attributes"],
        "query": lambda: list(items_of(client, QUERY_ITEMS)),
        "batch_get": lambda: client.batch_get_item(RequestItems=keys)["Responses"][TABLE],
        "batch_write": lambda: client.batch_write_item(RequestItems=puts),
    }


def stream(endpoint_url: str, items: int) -> Iterator[object]:
    """Return the items of a partition, page by page."""
    return items_of(new_client(endpoint_url), items)
