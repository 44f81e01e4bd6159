"""What the tests of ``export`` and ``import`` keep in tables."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from typing import Any

from pydantic import BaseModel, Field

from dynamodb_wrapper import AccessPattern, BaseDynamoRepository, Key, SchemaOptions, SingleTable


class Part(BaseModel):
    sku: str
    raw: bytes = b""
    sizes: set[int] = Field(default_factory=set)


class Thing(BaseModel):
    """Something of everything."""

    owner: str
    number: int
    title: str | None = None
    label: str = ""
    price: Decimal = Decimal(0)
    ratio: float = 0.5
    big: int = 0
    raw: bytes | None = None
    tags: set[str] = Field(default_factory=set)
    digests: set[bytes] | None = None
    parts: list[Part] = Field(default_factory=list)
    notes: dict[str, Any] = Field(default_factory=dict)
    seen_at: dt.datetime | None = None
    expires_at: dt.datetime | None = None
    version: int = 0
    reference: str | None = Field(default=None, alias="ref")
    created_at: dt.datetime | None = None
    updated_at: dt.datetime | None = None


class Things(BaseDynamoRepository[Thing]):
    table_name = "things"
    primary_key = "owner"
    sort_key = "number"
    version_attribute = "version"
    ttl_attribute = "expires_at"
    by_title = AccessPattern("by_title", partition="title", sort="number")


class Account(BaseModel):
    name: str
    email: str
    logins: int = 0


class Accounts(BaseDynamoRepository[Account]):
    """With a unique value, and schema versions."""

    table_name = "accounts"
    primary_key = "name"
    unique = ("email",)
    schema_version = 2
    schema_options = SchemaOptions(attribute="schema")

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        item["email"] = item.pop("mail", item.get("email"))
        return item


class Customer(BaseModel):
    customer_id: str
    name: str


class Order(BaseModel):
    customer_id: str
    order_id: str
    total: Decimal = Decimal(0)


SHOP = SingleTable("shop")


class Customers(BaseDynamoRepository[Customer]):
    single_table = SHOP
    primary_key = Key("CUSTOMER#{customer_id}")
    sort_key = Key("PROFILE")


class Orders(BaseDynamoRepository[Order]):
    single_table = SHOP
    primary_key = Key("CUSTOMER#{customer_id}")
    sort_key = Key("ORDER#{order_id}")


def thing(number: int) -> Thing:
    """A thing that is different in all its parts for each number."""
    return Thing(
        owner=f"owner {number % 7}",
        number=number,
        title=(None, f"title {number % 3}", 'a "title",\r\nin lines', "\u2028ü")[number % 4],
        label=("", "x", '""')[number % 3],
        price=Decimal(number) / 8 + Decimal("1E-12"),
        ratio=number / 3,
        big=2**53 + number,
        raw=bytes([number % 256, 0, 255]) if number % 3 else None,
        tags={f"tag {number}", ""} if number % 2 else set(),
        digests={b"", bytes([number % 256])} if number % 5 == 0 else None,
        parts=[Part(sku="a", raw=b"\xff", sizes={1, number + 2})] * (number % 3),
        notes={"of": {"any": [number, None, True, "1.50", Decimal("1.5")]}},
        seen_at=dt.datetime(2026, 11, 2, 9, 30, number % 60, 7, tzinfo=dt.UTC),
        expires_at=dt.datetime(2030, 1, 1, tzinfo=dt.UTC) if number % 2 else None,
        version=number % 4,
        ref=f"r{number}" if number % 3 == 1 else None,
        created_at=dt.datetime(2025, 1, 1, tzinfo=dt.UTC),
    )
