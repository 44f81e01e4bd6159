"""The model that every candidate reads and writes: 15 fields of the usual kinds."""

from __future__ import annotations

from datetime import UTC, datetime
from decimal import Decimal
from enum import Enum
from typing import Any
from uuid import UUID

from pydantic import BaseModel


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
    """Return one model."""
    return Customer(
        pk="user#0001",
        sk=f"order#{number:06d}",
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


def wire_item(number: int) -> dict[str, Any]:
    """Return the item of `customer`, as the server sends it."""
    return {
        "pk": {"S": "user#0001"},
        "sk": {"S": f"order#{number:06d}"},
        "name": {"S": f"Customer number {number}"},
        "age": {"N": str(20 + number % 60)},
        "price": {"N": f"{19 + number % 90}.{number % 100:02d}"},
        "score": {"N": "0.37"},
        "active": {"BOOL": number % 2 == 0},
        "seen_at": {"S": f"2025-01-{1 + number % 28:02d}T03:04:05.678901+00:00"},
        "uid": {"S": f"12345678-1234-4678-9234-{number:012d}"},
        "status": {"S": "active"},
        "tags": {"L": [{"S": "alpha"}, {"S": "beta"}, {"S": f"t{number % 10}"}]},
        "labels": {"SS": ["blue", "green", "red"]},
        "meta": {"M": {"source": {"S": "web"}, "visits": {"N": str(number)}}},
        "address": {
            "M": {
                "street": {"S": f"{number} Main Street"},
                "city": {"S": "Springfield"},
                "zip": {"S": "12345"},
                "lat": {"N": "51.5"},
            }
        },
    }
