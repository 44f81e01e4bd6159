"""pydynox's client, with the Pydantic model validated and dumped by hand.

Its own Pydantic integration has neither queries nor batches, and dumps values (UUID, enum) that its core refuses.
"""
# mypy: disable-error-code="import-not-found"
# Installed in an environment of its own only.

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pydynox import DynamoDBClient

from benchmarks.data import (
    BATCH_GET_ITEMS,
    BATCH_WRITE_ITEMS,
    PARTITION,
    QUERY_ITEMS,
    SORT_KEY,
    TABLE,
    partition,
    sort_key,
)
from benchmarks.models import Customer, customer
from benchmarks.peers import AsyncOperations, Operations

PACKAGES = ("pydynox", "pydantic")
KEY = {"pk": PARTITION, "sk": SORT_KEY}


def dumped(model: Customer) -> dict[str, Any]:
    """Return the values that the client takes: floats, Decimals and sets as they are, all else as JSON has it."""
    return model.model_dump(mode="json", exclude_none=True) | {"price": model.price, "labels": model.labels}


def condition(items: int) -> dict[str, Any]:
    """Return the arguments of a query."""
    return {
        "key_condition_expression": "pk = :pk",
        "expression_attribute_values": {":pk": partition(items)},
    }


def operations(endpoint_url: str) -> Operations:
    """Return the operations on one client."""
    dynamodb, model = DynamoDBClient(endpoint_url=endpoint_url), customer(1)
    keys = [{"pk": PARTITION, "sk": sort_key(number)} for number in range(BATCH_GET_ITEMS)]
    models = [customer(number) for number in range(BATCH_WRITE_ITEMS)]

    def update() -> Customer:
        new = dynamodb.sync_update_item(
            TABLE,
            KEY,
            updates={"age": 30},
            condition_expression="attribute_exists(pk)",
            return_values="ALL_NEW",
        )
        return Customer.model_validate(new)

    return {
        "get": lambda: Customer.model_validate(dynamodb.sync_get_item(TABLE, KEY)),
        "put": lambda: dynamodb.sync_put_item(TABLE, dumped(model)),
        "update": update,
        "query": lambda: list(map(Customer.model_validate, dynamodb.sync_query(TABLE, **condition(QUERY_ITEMS)))),
        "batch_get": lambda: list(map(Customer.model_validate, dynamodb.sync_batch_get(TABLE, keys))),
        "batch_write": lambda: dynamodb.sync_batch_write(TABLE, put_items=list(map(dumped, models))),
    }


async def async_operations(endpoint_url: str) -> AsyncOperations:
    """Return the asynchronous operations on one client."""
    dynamodb, model = DynamoDBClient(endpoint_url=endpoint_url), customer(1)

    async def get() -> Customer:
        return Customer.model_validate(await dynamodb.get_item(TABLE, KEY))

    async def update() -> Customer:
        new = await dynamodb.update_item(
            TABLE,
            KEY,
            updates={"age": 30},
            condition_expression="attribute_exists(pk)",
            return_values="ALL_NEW",
        )
        return Customer.model_validate(new)

    async def query() -> list[Customer]:
        return [Customer.model_validate(item) async for item in dynamodb.query(TABLE, **condition(QUERY_ITEMS))]

    return {"get": get, "put": lambda: dynamodb.put_item(TABLE, dumped(model)), "update": update, "query": query}


def stream(endpoint_url: str, items: int) -> Iterator[Customer]:
    """Return the models of a partition, page by page."""
    dynamodb = DynamoDBClient(endpoint_url=endpoint_url)
    return map(Customer.model_validate, dynamodb.sync_query(TABLE, **condition(items)))
