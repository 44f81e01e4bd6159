"""PynamoDB, with attributes of our own where it has none: Decimal, UUID, Enum, and datetimes in ISO form."""
# mypy: disable-error-code="import-not-found, misc"
# Installed in an environment of its own only.

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from pynamodb.attributes import (
    Attribute,
    BooleanAttribute,
    ListAttribute,
    MapAttribute,
    NumberAttribute,
    UnicodeAttribute,
    UnicodeSetAttribute,
)
from pynamodb.models import Model

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
from benchmarks.peers import Operations

PACKAGES = ("pynamodb", "botocore")


class TextAttribute(Attribute):
    """A value kept as text (or as the text of a number)."""

    def __init__(self, kind: Callable[[str], Any], text: Callable[[Any], str] = str, attr_type: str = "S") -> None:
        super().__init__()
        self.attr_type, self.kind, self.text = attr_type, kind, text

    def serialize(self, value: Any) -> str:
        """Return what is stored."""
        return self.text(value)

    def deserialize(self, value: str) -> Any:
        """Return the value."""
        return self.kind(value)


class Address(MapAttribute):
    """The nested model."""

    street = UnicodeAttribute()
    city = UnicodeAttribute()
    zip = UnicodeAttribute()
    lat = NumberAttribute()


def model_for(endpoint_url: str, table: str = TABLE) -> Any:
    """Return a model class: PynamoDB's models know their endpoint."""

    class Customer(Model):
        class Meta:
            table_name = table
            host = endpoint_url
            region = os.environ["AWS_REGION"]

        pk = UnicodeAttribute(hash_key=True)
        sk = UnicodeAttribute(range_key=True)
        name = UnicodeAttribute()
        age = NumberAttribute()
        price = TextAttribute(Decimal, attr_type="N")
        score = NumberAttribute()
        active = BooleanAttribute()
        seen_at = TextAttribute(datetime.fromisoformat, datetime.isoformat)
        uid = TextAttribute(UUID)
        status = UnicodeAttribute()
        tags: Any = ListAttribute(of=UnicodeAttribute)
        labels = UnicodeSetAttribute()
        meta: Any = MapAttribute()
        address = Address()
        note = UnicodeAttribute(null=True)

    return Customer


def operations(endpoint_url: str) -> Operations:
    """Return the operations on one model class."""
    customer = model_for(endpoint_url)
    keys = [(PARTITION, sort_key(number)) for number in range(BATCH_GET_ITEMS)]
    model = customer.get(PARTITION, SORT_KEY)
    models = [customer.get(PARTITION, SORT_KEY) for _ in range(BATCH_WRITE_ITEMS)]
    for number, each in enumerate(models):
        each.sk = sort_key(number)
    mine = customer.get(PARTITION, SORT_KEY)

    def batch_write() -> None:
        with customer.batch_write() as batch:
            for each in models:
                batch.save(each)

    return {
        "get": lambda: customer.get(PARTITION, SORT_KEY),
        "put": model.save,
        "update": lambda: mine.update(actions=[customer.age.set(30)], condition=customer.pk.exists()),
        "query": lambda: list(customer.query(partition(QUERY_ITEMS))),
        "batch_get": lambda: list(customer.batch_get(keys)),
        "batch_write": batch_write,
    }


def stream(endpoint_url: str, items: int) -> Iterable[object]:
    """Return the models of a partition, page by page."""
    found: Iterable[object] = model_for(endpoint_url).query(partition(items))
    return found


def repository(endpoint_url: str, number: int) -> Callable[[], object]:
    """Return a get of a model class of its own."""
    customer = model_for(endpoint_url, f"{TABLE}{number}")
    return lambda: customer.get(PARTITION, SORT_KEY)
