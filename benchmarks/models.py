"""The Pydantic model that every candidate with Pydantic reads and writes, and how people make it storable by hand."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel

from benchmarks.data import PARTITION, sort_key


class Status(Enum):
    """A text enum."""

    ACTIVE = "active"
    INACTIVE = "inactive"


class Address(BaseModel):
    """A nested model."""

    street: str
    city: str
    zip: str
    lat: float


class Customer(BaseModel):
    """What is stored."""

    pk: str
    sk: str
    name: str
    age: int
    price: Decimal
    score: float
    active: bool
    seen_at: datetime
    uid: UUID
    status: Status
    tags: list[str]
    labels: set[str]
    meta: dict[str, Any]
    address: Address
    note: str | None = None


def customer(number: int) -> Customer:
    """Return the model of `wire_item`."""
    return Customer(
        pk=PARTITION,
        sk=sort_key(number),
        name=f"Customer number {number}",
        age=20 + number % 60,
        price=Decimal(f"{19 + number % 90}.{number % 100:02d}"),
        score=0.37,
        active=number % 2 == 0,
        seen_at=datetime(2025, 1, 1 + number % 28, 3, 4, 5, 678901, tzinfo=UTC),
        uid=UUID(f"12345678-1234-4678-9234-{number:012d}"),
        status=Status.ACTIVE,
        tags=["alpha", "beta", f"t{number % 10}"],
        labels={"blue", "green", "red"},
        meta={"source": "web", "visits": number},
        address=Address(street=f"{number} Main Street", city="Springfield", zip="12345", lat=51.5),
        note=None if number % 2 else "please ring the bell",
    )


def storable(model: Customer) -> dict[str, Any]:
    """Return the values that boto3's serializer takes: no floats, but Decimals, and sets as they are."""
    item = model.model_dump(mode="json", exclude_none=True)
    item |= {"price": model.price, "score": Decimal(str(model.score)), "labels": model.labels}
    item["address"]["lat"] = Decimal(str(model.address.lat))
    return item
