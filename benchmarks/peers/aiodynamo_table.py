"""aiodynamo on aiohttp, with Pydantic by hand."""
# mypy: disable-error-code="import-not-found"
# Installed in an environment of its own only.

from __future__ import annotations

import os
from contextlib import AsyncExitStack
from decimal import Decimal

from aiodynamo.client import Client
from aiodynamo.credentials import EnvironmentCredentials
from aiodynamo.expressions import F, HashKey
from aiodynamo.http.aiohttp import AIOHTTP
from aiodynamo.models import ReturnValues
from aiohttp import ClientSession
from yarl import URL

from benchmarks.data import PARTITION, QUERY_ITEMS, SORT_KEY, TABLE, partition
from benchmarks.models import Customer, customer, storable
from benchmarks.peers import AsyncOperations

PACKAGES = ("aiodynamo", "aiohttp", "pydantic")
KEY = {"pk": PARTITION, "sk": SORT_KEY}
open_until_the_end = AsyncExitStack()
aclose = open_until_the_end.aclose


async def async_operations(endpoint_url: str) -> AsyncOperations:
    """Return the operations on one client."""
    http = AIOHTTP(await open_until_the_end.enter_async_context(ClientSession()))
    client = Client(
        http,
        EnvironmentCredentials(),
        os.environ["AWS_REGION"],
        endpoint=URL(endpoint_url),
        numeric_type=Decimal,
    )
    table, model, age, exists = client.table(TABLE), customer(1), F("age").set(30), F("pk").exists()

    async def get() -> Customer:
        return Customer.model_validate(await table.get_item(KEY))

    async def update() -> Customer:
        new = await table.update_item(KEY, age, return_values=ReturnValues.all_new, condition=exists)
        return Customer.model_validate(new)

    async def query() -> list[Customer]:
        found = table.query(HashKey("pk", partition(QUERY_ITEMS)))
        return [Customer.model_validate(item) async for item in found]

    return {"get": get, "put": lambda: table.put_item(storable(model)), "update": update, "query": query}
