"""dynamoxy: its repository of a Pydantic model. It is asynchronous only."""
# mypy: disable-error-code="import-not-found, misc"
# Installed in an environment of its own only, of a Python that it runs on.

from __future__ import annotations

import os
from typing import Annotated

import dynamoxy

from benchmarks.data import PARTITION, QUERY_ITEMS, SORT_KEY, TABLE, partition
from benchmarks.models import Customer, customer
from benchmarks.peers import AsyncOperations

PACKAGES = ("dynamoxy", "pydantic")


class Record(Customer, dynamoxy.PydanticModel, table=TABLE):
    """The model with its keys marked."""

    pk: Annotated[str, dynamoxy.PartitionKey()]
    sk: Annotated[str, dynamoxy.SortKey()]


async def async_operations(endpoint_url: str) -> AsyncOperations:
    """Return the operations through one repository."""
    client = dynamoxy.Client(endpoint_url=endpoint_url, region=os.environ["AWS_REGION"])
    records = client.repository(Record)
    model = Record(**dict(customer(1)))
    key, age = Record.key(PARTITION, SORT_KEY), dynamoxy.attr(Record.age)
    return {
        "get": lambda: records.get(PARTITION, SORT_KEY),
        "put": lambda: records.put(model),
        "update": lambda: records.update(key, age.set(30)),
        "query": lambda: records.query(pk=partition(QUERY_ITEMS)).all(),
    }
