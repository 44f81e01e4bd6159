"""What people write: boto3's Table, its type conversion, and a Pydantic model by hand."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from typing import Any

import boto3
from boto3.dynamodb.conditions import Key
from boto3.dynamodb.types import TypeDeserializer, TypeSerializer

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
from benchmarks.models import Customer, customer, storable
from benchmarks.peers import Operations

PACKAGES = ("boto3", "botocore", "pydantic")
KEY = {"pk": PARTITION, "sk": SORT_KEY}


def new_resource(endpoint_url: str) -> Any:
    """Return a resource with boto3's defaults."""
    return boto3.resource("dynamodb", endpoint_url=endpoint_url)


def models_of(table: Any, items: int) -> Iterator[Customer]:
    """Yield the models of a partition, page by page."""
    start: dict[str, Any] = {}
    while True:
        answer = table.query(KeyConditionExpression=Key("pk").eq(partition(items)), **start)
        yield from map(Customer.model_validate, answer["Items"])
        if "LastEvaluatedKey" not in answer:
            return
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def operations(endpoint_url: str) -> Operations:
    """Return the operations on one resource."""
    resource = new_resource(endpoint_url)
    table, model = resource.Table(TABLE), customer(1)
    models = [customer(number) for number in range(BATCH_WRITE_ITEMS)]

    def update() -> Customer:
        answer = table.update_item(
            Key=KEY,
            UpdateExpression="SET age = :age",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues={":age": 30},
            ReturnValues="ALL_NEW",
        )
        return Customer.model_validate(answer["Attributes"])

    def batch_get() -> list[Customer]:
        keys = [KEY | {"sk": sort_key(number)} for number in range(BATCH_GET_ITEMS)]
        answer = resource.batch_get_item(RequestItems={TABLE: {"Keys": keys}})
        return [Customer.model_validate(item) for item in answer["Responses"][TABLE]]

    def batch_write() -> None:
        with table.batch_writer() as batch:
            for each in models:
                batch.put_item(Item=storable(each))

    return {
        "get": lambda: Customer.model_validate(table.get_item(Key=KEY)["Item"]),
        "put": lambda: table.put_item(Item=storable(model)),
        "update": update,
        "query": lambda: list(models_of(table, QUERY_ITEMS)),
        "batch_get": batch_get,
        "batch_write": batch_write,
        **codec(),
    }


def codec() -> Operations:
    """Return the conversions alone, with boto3's serializers, which its Table uses."""
    serialize, deserialize = TypeSerializer().serialize, TypeDeserializer().deserialize
    model, item = customer(1), wire_item(1)
    text = wire_json(item)

    def encode() -> str:
        return json.dumps({name: serialize(value) for name, value in storable(model).items()})

    def decode(item: dict[str, Any]) -> Customer:
        return Customer.model_validate({name: deserialize(wire) for name, wire in item.items()})

    return {"encode": encode, "decode": lambda: decode(json.loads(text)), "decode_parsed": lambda: decode(item)}


def stream(endpoint_url: str, items: int) -> Iterator[Customer]:
    """Return the models of a partition, page by page."""
    return models_of(new_resource(endpoint_url).Table(TABLE), items)


def repository(endpoint_url: str, number: int) -> Callable[[], object]:
    """Return a get on a table of its own; as a class does that makes its resource in ``__init__``."""
    table = new_resource(endpoint_url).Table(f"{TABLE}{number}")
    return lambda: Customer.model_validate(table.get_item(Key=KEY)["Item"])
