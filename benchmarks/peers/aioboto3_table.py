"""aioboto3's Table with Pydantic by hand."""
# mypy: disable-error-code="import-not-found"
# Installed in an environment of its own only: it pins botocore.

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

import aioboto3
from aiobotocore.config import AioConfig
from boto3.dynamodb.conditions import Key

from benchmarks.data import PARTITION, QUERY_ITEMS, SORT_KEY, TABLE, partition
from benchmarks.models import Customer, customer, storable
from benchmarks.peers import AsyncOperations

PACKAGES = ("aioboto3", "aiobotocore", "botocore", "pydantic")
KEY = {"pk": PARTITION, "sk": SORT_KEY}
open_until_the_end = AsyncExitStack()
aclose = open_until_the_end.aclose


async def async_operations(endpoint_url: str) -> AsyncOperations:
    """Return the operations on one resource, whose pool has room for those that are sent at once."""
    pool = AioConfig(max_pool_connections=64)
    resource: Any = aioboto3.Session().resource("dynamodb", endpoint_url=endpoint_url, config=pool)
    table, model = await (await open_until_the_end.enter_async_context(resource)).Table(TABLE), customer(1)

    async def get() -> Customer:
        return Customer.model_validate((await table.get_item(Key=KEY))["Item"])

    async def update() -> Customer:
        answer = await table.update_item(
            Key=KEY,
            UpdateExpression="SET age = :age",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues={":age": 30},
            ReturnValues="ALL_NEW",
        )
        return Customer.model_validate(answer["Attributes"])

    async def query() -> list[Customer]:
        models: list[Customer] = []
        start: dict[str, Any] = {}
        while True:
            answer = await table.query(KeyConditionExpression=Key("pk").eq(partition(QUERY_ITEMS)), **start)
            models += map(Customer.model_validate, answer["Items"])
            if "LastEvaluatedKey" not in answer:
                return models
            start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}

    return {"get": get, "put": lambda: table.put_item(Item=storable(model)), "update": update, "query": query}
