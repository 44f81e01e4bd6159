"""dyntastic: a Pydantic model over boto3's resource.

It takes no floats, so they are Decimals here. Its update reads the item again, as it does by default.
"""
# mypy: disable-error-code="import-not-found, misc, assignment"
# Installed in an environment of its own only.

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from dyntastic import A, Dyntastic

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
from benchmarks.models import Address, Customer, customer
from benchmarks.peers import Operations

PACKAGES = ("dyntastic", "boto3", "botocore", "pydantic")


class DecimalAddress(Address):
    """The nested model without floats."""

    lat: Decimal


def model_for(endpoint_url: str, table: str = TABLE) -> Any:
    """Return a model class: dyntastic's models know their endpoint."""

    class Record(Dyntastic, Customer):
        score: Decimal
        address: DecimalAddress
        __table_name__ = table
        __hash_key__ = "pk"
        __range_key__ = "sk"
        __table_region__ = os.environ["AWS_REGION"]
        __table_host__ = endpoint_url

    return Record


def operations(endpoint_url: str) -> Operations:
    """Return the operations on one model class."""
    record = model_for(endpoint_url)
    keys = [(PARTITION, sort_key(number)) for number in range(BATCH_GET_ITEMS)]
    model, mine = (record(**customer(1).model_dump()) for _ in range(2))
    models = [record(**customer(number).model_dump()) for number in range(BATCH_WRITE_ITEMS)]

    def update() -> object:
        mine.update(A.age.set(30), condition=A.pk.exists())
        return mine

    def batch_write() -> None:
        with record.batch_writer():
            for each in models:
                each.save()

    return {
        "get": lambda: record.get(PARTITION, SORT_KEY),
        "put": model.save,
        "update": update,
        "query": lambda: list(record.query(partition(QUERY_ITEMS))),
        "batch_get": lambda: record.batch_get(keys),
        "batch_write": batch_write,
    }


def stream(endpoint_url: str, items: int) -> Iterable[object]:
    """Return the models of a partition, page by page."""
    found: Iterable[object] = model_for(endpoint_url).query(partition(items))
    return found


def repository(endpoint_url: str, number: int) -> Callable[[], object]:
    """Return a get of a model class of its own."""
    record = model_for(endpoint_url, f"{TABLE}{number}")
    return lambda: record.get(PARTITION, SORT_KEY)
