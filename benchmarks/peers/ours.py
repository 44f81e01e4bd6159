"""This library: a repository."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from typing import Any

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
    wire_json,
)
from benchmarks.models import Customer, customer
from benchmarks.peers import TRANSPORT, AsyncOperations, Operations
from dynamodb_wrapper import BaseDynamoRepository, DynamoDBConfig

PACKAGES = ("dynamodb-wrapper", "boto3", "botocore", "pydantic")
KEYS = [(PARTITION, sort_key(number)) for number in range(BATCH_GET_ITEMS)]


def config(endpoint_url: str) -> DynamoDBConfig:
    """Return a configuration; all but the place and the transport under test is the default."""
    transport: Any = os.environ.get(TRANSPORT, "auto")
    return DynamoDBConfig(endpoint_url=endpoint_url, environment="prod", transport=transport)


class CustomerRepository(BaseDynamoRepository[Customer]):
    """What a user writes."""

    table_name = TABLE
    primary_key = "pk"
    sort_key = "sk"


def operations(endpoint_url: str) -> Operations:
    """Return the operations through one repository."""
    repository, model = CustomerRepository(config(endpoint_url)), customer(1)
    models = [customer(number) for number in range(BATCH_WRITE_ITEMS)]
    return {
        "get": lambda: repository.get(PARTITION, SORT_KEY),
        "put": lambda: repository.put(model),
        "update": lambda: repository.patch(PARTITION, SORT_KEY, age=30),
        "query": lambda: repository.query(partition(QUERY_ITEMS)).all(),
        "batch_get": lambda: repository.get_many(KEYS),
        "batch_write": lambda: repository.put_many(models),
        **(codec() if os.environ.get(TRANSPORT) != "direct" else {}),
    }


def codec() -> Operations:
    """Return the conversions alone; they are the same on every transport."""
    from dynamodb_wrapper.codec import ModelCodec, to_json

    made, model, item = ModelCodec(Customer), customer(1), wire_item(1)
    text = wire_json(item)
    return {
        "encode": lambda: made.encode_json(model),
        # What it does when no encoder can be generated; there is no switch for that, so the inner method is called.
        "encode_simple": lambda: to_json(made._encoded_simply(model)),
        "decode": lambda: made.decode_json(text),
        "decode_parsed": lambda: made.decode(item),
        "decode_simple": lambda: made.decode(json.loads(text)),
    }


async def async_operations(endpoint_url: str) -> AsyncOperations:
    """Return the operations through one asynchronous repository."""
    from dynamodb_wrapper import AsyncBaseDynamoRepository  # asyncio is nothing that the first blocking answer needs

    class AsyncCustomerRepository(AsyncBaseDynamoRepository[Customer]):
        """What a user of asyncio writes."""

        table_name = TABLE
        primary_key = "pk"
        sort_key = "sk"

    repository = AsyncCustomerRepository(config(endpoint_url))
    model = customer(1)
    return {
        "get": lambda: repository.get(PARTITION, SORT_KEY),
        "put": lambda: repository.put(model),
        "update": lambda: repository.patch(PARTITION, SORT_KEY, age=30),
        "query": lambda: repository.query(partition(QUERY_ITEMS)).all(),
    }


def stream(endpoint_url: str, items: int) -> Iterator[Customer]:
    """Return the models of a partition, page by page."""
    return iter(CustomerRepository(config(endpoint_url)).query(partition(items)))


def repository(endpoint_url: str, number: int) -> Callable[[], object]:
    """Return a get through a repository of its own class, table and (equal) configuration."""
    made = type(f"Repository{number}", (CustomerRepository,), {"table_name": f"{TABLE}{number}"})(config(endpoint_url))
    return lambda: made.get(PARTITION, SORT_KEY)
