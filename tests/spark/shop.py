"""Models and repositories that workers import, too."""

from __future__ import annotations

from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import BaseModel, Field, StringConstraints

from dynamodb_wrapper import (
    AccessPattern,
    BaseDynamoRepository,
    Derived,
    DynamoDBConfig,
    Key,
    Sharded,
    SingleTable,
    Unique,
)

if TYPE_CHECKING:
    from dynamodb_wrapper.spark.metrics import JobReport, TaskReport


class Status(Enum):
    OPEN = "open"
    PAID = "paid"


class Address(BaseModel):
    street: str
    zip_code: str | None = Field(default=None, alias="zip")


class Order(BaseModel):
    pk: str
    sk: int
    status: Status = Status.OPEN
    total: Decimal = Field(default=Decimal(0), max_digits=12, decimal_places=2)
    placed_at: datetime | None = None
    tags: set[str] = Field(default_factory=set)
    codes: set[int] = Field(default_factory=set)
    address: Address | None = None
    prices: dict[str, float] = Field(default_factory=dict)
    lines: list[int] = Field(default_factory=list)
    blob: bytes | None = None
    expires_at: datetime | None = None


class Orders(BaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "pk"
    sort_key = "sk"
    ttl_attribute = "expires_at"
    by_status = AccessPattern("by_status", partition="status", sort="sk")


class Loose(BaseModel):
    pk: str
    anything: Any = None


class Member(BaseModel):
    name: str
    email: str | None = None


class Members(BaseDynamoRepository[Member]):
    table_name = "members"
    primary_key = "name"
    unique = ("email",)


class Account(BaseModel):
    team: Annotated[str, StringConstraints(to_lower=True)]
    name: str
    email: Annotated[str, StringConstraints(to_upper=True)] | None = None
    badge: int | None = None
    note: str | None = None


class Accounts(BaseDynamoRepository[Account]):
    table_name = "accounts"
    primary_key = "team"
    sort_key = "name"
    unique = ("email", Unique("badge", within="team"))
    by_name = AccessPattern("by_name", partition="name", sort="team")


class Shift(BaseModel):
    day: date
    email: str | None = None


class Shifts(BaseDynamoRepository[Shift]):
    """Its key is text, and no column of text; what is compared is the part of an address before the @."""

    table_name = "shifts"
    primary_key = "day"
    unique = (Unique("email", normalize=lambda text: text[: text.index("@")]),)


def through_botocore() -> DynamoDBConfig:
    return DynamoDBConfig.for_pyspark(transport="botocore")


def impatient() -> DynamoDBConfig:
    return DynamoDBConfig.for_pyspark(transport="direct", retries=1)


def no_config() -> str:
    return "us-east-1"


def noted_report(report: TaskReport | JobReport, config: DynamoDBConfig) -> None:
    """Store a report under its key, where its run says."""
    assert report.run_id is not None
    assert config.max_attempts == 11
    Path(report.run_id, report.key).write_text(type(report).__name__)


def broken_report(report: object, config: object) -> None:
    raise RuntimeError("the table of run logs is gone")


class Ticket(BaseModel):
    pk: str
    sk: int
    label: str
    priority: int = 0


class Tickets(BaseDynamoRepository[Ticket]):
    """Its first version called the label a title, and had no priority."""

    table_name = "tickets"
    primary_key = "pk"
    sort_key = "sk"
    schema_version = 2

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        return {"label": item.pop("title", None), "priority": 5, **item}


class Visit(BaseModel):
    user: str
    number: int
    place: str | None = None
    status: Status = Status.OPEN
    at: datetime | None = None


class Visits(BaseDynamoRepository[Visit]):
    """A table of its own, with keys made of fields."""

    table_name = "visits"
    primary_key = Key("USER#{user}", case="lower")
    sort_key = Key("VISIT#{number:08d}")
    by_place = AccessPattern(
        "by_place",
        partition=Key("PLACE#{place}#{status}"),
        sort=Key("{at}", when=lambda visit: visit.status is Status.OPEN, fields=("status",)),
    )


BAZAAR = SingleTable("bazaar", indexes={"gsi1": ("gsi1pk", "gsi1sk")})


class Customer(BaseModel):
    customer_id: str = Field(alias="customerId")
    email: str | None = None


class Customers(BaseDynamoRepository[Customer]):
    single_table = BAZAAR
    primary_key = Key("CUSTOMER#{customer_id}")
    sort_key = Key("CUSTOMER")
    by_email = AccessPattern("gsi1", partition=Key("EMAIL#{email}", case="lower"), sort=Key("EMAIL"))


class Bid(BaseModel):
    customer_id: str = Field(alias="customerId")
    number: int
    label: str = ""


class Bids(BaseDynamoRepository[Bid]):
    """Of its second version; the first called the label a title."""

    single_table = BAZAAR
    primary_key = Key("CUSTOMER#{customer_id}")
    sort_key = Key("BID#{number:06d}")
    schema_version = 2

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        return {"label": item.pop("title"), **item}


class Card(BaseModel):
    customer_id: str
    payment_id: str
    method: Literal["card"] = "card"
    last_four: str


class Transfer(BaseModel):
    customer_id: str
    payment_id: str
    method: Literal["transfer"] = "transfer"
    iban: str


class Payments(BaseDynamoRepository[Annotated[Card | Transfer, Field(discriminator="method")]]):
    single_table = BAZAAR
    kind = "payment"
    primary_key = Key("CUSTOMER#{customer_id}")
    sort_key = Key("PAYMENT#{payment_id}")


class Reading(BaseModel):
    day: str
    device: str
    value: int = 0


class Readings(BaseDynamoRepository[Reading]):
    table_name = "readings"
    primary_key = Sharded(Key("METRIC#{day}"), shards=4, by="device")
    sort_key = Key("{device}")


class Call(BaseModel):
    number: str
    at: datetime | None = None
    seconds: int = 60


class Calls(BaseDynamoRepository[Call]):
    """Long calls are in an index, by the hour."""

    table_name = "calls"
    primary_key = "number"
    long = AccessPattern(
        "long",
        partition=Derived("long_at", ("at", "seconds"), lambda at, seconds: f"{at:%H}" if seconds > 59 else None),
        sort="seconds",
    )


class Note(BaseModel):
    pk: str
    text: str = ""
    schema_version: int = 2


class Notes(BaseDynamoRepository[Note]):
    """Its model sees the schema version."""

    table_name = "notes"
    primary_key = "pk"
    schema_version = 2

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        return item
