"""pydynox with its own model, which has no UUID: that stays text. Its update returns nothing from the table."""
# mypy: disable-error-code="import-not-found, misc"
# Installed in an environment of its own only.

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from pydynox import DynamoDBClient, Model, ModelConfig, SyncBatchWriter
from pydynox.attributes import (
    BooleanAttribute,
    DatetimeAttribute,
    DecimalAttribute,
    EnumAttribute,
    ListAttribute,
    MapAttribute,
    NumberAttribute,
    StringAttribute,
    StringSetAttribute,
)

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
from benchmarks.models import Address, Status
from benchmarks.peers import AsyncOperations, Operations

PACKAGES = ("pydynox", "pydantic")
KEY = {"pk": PARTITION, "sk": SORT_KEY}


def model_for(dynamodb: Any, table: str = TABLE) -> Any:
    """Return a model class: pydynox's models know their client."""

    class Customer(Model):
        model_config = ModelConfig(table=table, client=dynamodb)

        pk = StringAttribute(partition_key=True)
        sk = StringAttribute(sort_key=True)
        name = StringAttribute()
        age = NumberAttribute()
        price = DecimalAttribute()
        score = NumberAttribute()
        active = BooleanAttribute()
        seen_at = DatetimeAttribute()
        uid = StringAttribute()
        status = EnumAttribute(Status)
        tags = ListAttribute()
        labels = StringSetAttribute()
        meta = MapAttribute()
        address = MapAttribute(Address)
        note = StringAttribute()

    return Customer


def operations(endpoint_url: str) -> Operations:
    """Return the operations on one client."""
    dynamodb = DynamoDBClient(endpoint_url=endpoint_url)
    customer = model_for(dynamodb)
    keys = [{"pk": PARTITION, "sk": sort_key(number)} for number in range(BATCH_GET_ITEMS)]
    model, mine = customer.sync_get(**KEY), customer.sync_get(**KEY)
    models = list(customer.sync_query(partition_key=partition(100)))[:BATCH_WRITE_ITEMS]

    def batch_write() -> None:
        with SyncBatchWriter(dynamodb, TABLE) as batch:
            for each in models:
                batch.put(each.to_dict())

    return {
        "get": lambda: customer.sync_get(**KEY),
        "put": lambda: model.sync_save(full_replace=True),
        "update": lambda: mine.sync_update(age=30, condition=customer.pk.exists()),
        "query": lambda: list(customer.sync_query(partition_key=partition(QUERY_ITEMS))),
        "batch_get": lambda: customer.sync_batch_get(keys),
        "batch_write": batch_write,
    }


async def async_operations(endpoint_url: str) -> AsyncOperations:
    """Return the asynchronous operations on one client."""
    customer = model_for(DynamoDBClient(endpoint_url=endpoint_url))
    model, mine = await customer.get(**KEY), await customer.get(**KEY)

    async def query() -> list[object]:
        return [each async for each in customer.query(partition_key=partition(QUERY_ITEMS))]

    return {
        "get": lambda: customer.get(**KEY),
        "put": lambda: model.save(full_replace=True),
        "update": lambda: mine.update(age=30, condition=customer.pk.exists()),
        "query": query,
    }


def stream(endpoint_url: str, items: int) -> Iterable[object]:
    """Return the models of a partition, page by page."""
    dynamodb = DynamoDBClient(endpoint_url=endpoint_url)
    found: Iterable[object] = model_for(dynamodb).sync_query(partition_key=partition(items))
    return found


new_shared_client = cache(DynamoDBClient)


def repository(endpoint_url: str, number: int) -> Callable[[], object]:
    """Return a get of a model class of its own, on the one client that its documentation advises."""
    customer = model_for(new_shared_client(endpoint_url=endpoint_url), f"{TABLE}{number}")
    return lambda: customer.sync_get(**KEY)
