"""The models and repositories of the contract suite, and what it uses to look over the library's shoulder."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from enum import StrEnum
from typing import Any, Protocol, TypeVar

from pydantic import BaseModel, ConfigDict, Field

from dynamodb_wrapper import AccessPattern, BaseDynamoRepository, Derived
from tests.servers import Server

R = TypeVar("R", bound="BaseDynamoRepository[Any]")

MONDAY = datetime(2026, 11, 2, 9, 30, tzinfo=UTC)


class Make(Protocol):
    """Returns a repository on the test's server, its table made; keywords are settings of its configuration."""

    def __call__(self, repository_class: type[R], /, **settings: Any) -> R: ...


def maker(server: Server) -> Make:
    def make(repository_class: type[R], /, **settings: Any) -> R:
        repository = repository_class(server.config(**settings))
        repository.ensure_table()
        return repository

    return make


class Status(StrEnum):
    OPEN = "open"
    PAID = "paid"
    SENT = "sent"


class Address(BaseModel):
    street: str
    city: str
    post_code: str | None = None


class Line(BaseModel):
    sku: str
    count: int = 1


class Order(BaseModel):
    """An order as a shop has it: optional, nested and derived things, reserved words as names, an alias."""

    customer_id: str
    order_id: str
    status: Status = Status.OPEN
    total: Decimal = Decimal(0)
    count: int = 0
    placed_at: datetime = MONDAY
    note: str | None = None
    active: bool | None = None
    tags: set[str] = Field(default_factory=set)
    lines: list[Line] = Field(default_factory=list)
    words: list[str] = Field(default_factory=list)
    address: Address | None = None
    prices: dict[str, Decimal] = Field(default_factory=dict)
    reference: str | None = Field(default=None, alias="ref", max_length=20)
    version: int = 0
    expires_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    model_config = ConfigDict(populate_by_name=True)


def active_key(active: bool | None) -> str | None:
    return "yes" if active else None


def place_key(status: Status, total: Decimal) -> str:
    return f"{status}#{total:012.2f}"


ACTIVE = Derived("active_key", ("active",), active_key)
PLACE = Derived("place_key", ("status", "total"), place_key)


class Orders(BaseDynamoRepository[Order]):
    """Versioned, with an expiry."""

    table_name = "orders"
    primary_key = "customer_id"
    sort_key = "order_id"
    version_attribute = "version"
    ttl_attribute = "expires_at"
    mine = AccessPattern(None, partition="customer_id", sort="order_id")
    by_status = AccessPattern("by_status", partition="status", sort="placed_at")


class PlainOrders(BaseDynamoRepository[Order]):
    """Not versioned; indexes on derived attributes, one of them sparse."""

    table_name = "plain-orders"
    primary_key = "customer_id"
    sort_key = "order_id"
    active = AccessPattern("active", partition=ACTIVE, sort="order_id")
    by_place = AccessPattern("by_place", partition="customer_id", sort=PLACE)


def order(customer_id: str = "c1", order_id: str = "o1", **fields: Any) -> Order:
    return Order(customer_id=customer_id, order_id=order_id, **fields)


def later(minutes: float) -> datetime:
    return MONDAY + timedelta(minutes=minutes)


def stored(server: Server, repository: BaseDynamoRepository[Any], **key: Any) -> dict[str, Any]:
    """Return an item as it is in the table, seen with boto3's own client; key values are text."""
    response = server.client.get_item(
        TableName=repository.table_name, Key={name: {"S": value} for name, value in key.items()}, ConsistentRead=True
    )
    return dict(response["Item"])


@contextmanager
def requests() -> Iterator[list[str]]:
    """Note the operations that are sent while the block runs, of every repository."""
    sent: list[str] = []

    class Note(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            sent.append(record.operation)  # type: ignore[attr-defined]

    logger, note = logging.getLogger("dynamodb_wrapper.transport"), Note()
    before = logger.level, logger.propagate
    logger.addHandler(note)
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    try:
        yield sent
    finally:
        logger.removeHandler(note)
        logger.setLevel(before[0])
        logger.propagate = before[1]
