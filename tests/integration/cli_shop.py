"""Repositories that the tests of the command line name as ``tests.integration.cli_shop:...``."""

from __future__ import annotations

import os
import time
from datetime import UTC, datetime
from decimal import Decimal
from enum import StrEnum
from typing import Any

from pydantic import BaseModel

from dynamodb_wrapper import AccessPattern, AsyncBaseDynamoRepository, BaseDynamoRepository, DynamoDBConfig, Key

print("a module may print")  # which must not be mistaken for the answer of a command

MONDAY = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)


class Status(StrEnum):
    OPEN = "open"
    PAID = "paid"


class Address(BaseModel):
    city: str


class Order(BaseModel):
    customer_id: str
    number: int
    status: Status = Status.OPEN
    total: Decimal = Decimal(0)
    placed_at: datetime = MONDAY
    tags: set[str] = set()
    photo: bytes | None = None
    address: Address | None = None
    note: str | None = None


class Orders(BaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "customer_id"
    sort_key = "number"
    by_status = AccessPattern("status-index", partition="status", sort="placed_at")
    keys = AccessPattern("keys-index", partition="status", sort="total", projection="KEYS_ONLY")


class MoreOrders(Orders):
    """As `Orders`, with an index more."""

    by_total = AccessPattern("total-index", partition="customer_id", sort="total")


class FewerOrders(BaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "customer_id"
    sort_key = "number"
    by_status = AccessPattern("status-index", partition="status", sort="placed_at")


class OtherOrders(BaseDynamoRepository[Order]):
    """The same table with another key, which nothing can change."""

    table_name = "orders"
    primary_key = "customer_id"


class OrdersTable:
    """What sync and async repositories declare alike."""

    primary_key = "customer_id"
    sort_key = "number"
    by_status = AccessPattern("status-index", partition="status", sort="placed_at")
    keys = AccessPattern("keys-index", partition="status", sort="total", projection="KEYS_ONLY")


class AsyncOrders(OrdersTable, AsyncBaseDynamoRepository[Order]):
    table_name = "orders"

    async def ensure_table(self, **_: Any) -> bool:
        raise AssertionError("an async method is not for the command line")


class AsyncOrdersOfAConfiguration(OrdersTable, AsyncBaseDynamoRepository[Order]):
    """Its table is known when there is a configuration."""

    @property
    def table_name(self) -> str:
        return self.config.get_table_name("orders")


class AsyncNeedsNothing(AsyncBaseDynamoRepository[Order]):
    """A base class, which declares no table."""


class Tickets(BaseDynamoRepository[Order]):
    """Keys that are made of fields."""

    table_name = "tickets"
    primary_key = Key("CUSTOMER#{customer_id}")
    sort_key = Key("TICKET#{status}#{number:06d}")


class Numbered(BaseModel):
    year: int
    taken_at: datetime


class Readings(BaseDynamoRepository[Numbered]):
    table_name = "readings"
    primary_key = "year"
    sort_key = "taken_at"


class NeedsMore(Orders):
    def __init__(self, config: DynamoDBConfig, tenant: str) -> None:
        super().__init__(config)


class OldNote(BaseModel):
    id: str
    text: str


class OldNotes(BaseDynamoRepository[OldNote]):
    table_name = "notes"
    primary_key = "id"
    schema_version = 1


class Note(OldNote):
    length: int


class Notes(BaseDynamoRepository[Note]):
    table_name = "notes"
    primary_key = "id"
    schema_version = 2

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        time.sleep(float(os.environ.get("TEST_SECONDS_AN_ITEM", "0")))
        if item["text"] == os.environ.get("TEST_STOP_AT"):
            raise KeyboardInterrupt
        if item["text"] == "bad":
            raise ValueError("no length")
        return {**item, "length": len(item["text"])}


class AsyncNotes(AsyncBaseDynamoRepository[Note]):
    table_name = "notes"
    primary_key = "id"
    schema_version = 2

    def upcast_v1_v2(self, item: dict[str, Any]) -> dict[str, Any]:
        return {**item, "length": self._length(item["text"])}

    def _length(self, text: str) -> int:
        return len(text)


def add_notes(config: DynamoDBConfig, count: int, *, length: int = 0) -> Notes:
    """Write notes of the old version, of a length at least, and return the repository of the new one."""
    old = OldNotes(config)
    old.ensure_table()
    old.put_many([OldNote(id=f"n{number}", text=f"t{number}".ljust(length, "x")) for number in range(count)])
    return Notes(config)


orders = Orders(DynamoDBConfig(region_name="us-east-1"))
