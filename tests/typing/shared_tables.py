"""What a type checker knows of key templates and shared tables: checked by mypy and pyright, both strict, never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from typing import Annotated, Any, Literal, assert_type

from pydantic import BaseModel, Field

from dynamodb_wrapper import (
    AccessPattern,
    AsyncBaseDynamoRepository,
    AsyncCollectionQuery,
    AsyncQuery,
    BaseDynamoRepository,
    Collection,
    CollectionQuery,
    DynamoDBConfig,
    F,
    Key,
    Page,
    PartialItem,
    Query,
    Sharded,
    SingleTable,
    WriteRequest,
    transact_write,
)
from dynamodb_wrapper.repositories import async_transact_write

config = DynamoDBConfig.embedded()

SHOP = SingleTable(
    "shop", partition_key="PK", sort_key="SK", kind="_type", indexes={"gsi1": ("G1PK", "G1SK"), "gsi2": ("G2PK",)}
)
assert_type(SHOP.table_name, str)
SingleTable("shop", "PK")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
SingleTable("shop", indexes={"gsi1": "G1PK"})  # type: ignore[dict-item]  # pyright: ignore[reportArgumentType]

assert_type(Key("A#{b}", case="lower", when=lambda item: item.open, fields=("open",)), Key)
Key("A#{b}", case="title")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Key("A#{b}", "pk")  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]
assert_type(Sharded(Key("A#{b}"), shards=4, by="c"), Sharded)
Sharded("A#{b}", shards=4, by="c")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
Sharded(Key("A#{b}"), shards=4)  # type: ignore[call-arg]  # pyright: ignore[reportCallIssue]


class Customer(BaseModel):
    customer_id: str
    email: str


class Order(BaseModel):
    customer_id: str
    order_id: str
    placed_at: datetime
    total: int = 0


class Total(BaseModel):
    total: int


class Card(BaseModel):
    customer_id: str
    id: str
    method: Literal["card"] = "card"


class Transfer(BaseModel):
    customer_id: str
    id: str
    method: Literal["transfer"] = "transfer"
    iban: str = ""


class Customers(BaseDynamoRepository[Customer]):
    single_table = SHOP
    primary_key = Key("CUSTOMER#{customer_id}")
    sort_key = Key("CUSTOMER")
    by_email = AccessPattern("gsi1", partition=Key("EMAIL#{email}", case="lower"), sort=Key("EMAIL"))


class Orders(BaseDynamoRepository[Order]):
    single_table = SHOP
    kind = "order"
    primary_key = Key("CUSTOMER#{customer_id}")
    sort_key = Key("ORDER#{placed_at}#{order_id}")
    by_day = AccessPattern(
        "gsi1", partition=Sharded(Key("DAY#{placed_at:day}"), shards=4, by="order_id"), sort=Key("{placed_at}")
    )


class Payments(BaseDynamoRepository[Annotated[Card | Transfer, Field(discriminator="method")]]):
    single_table = SHOP
    kind = "payment"
    primary_key = Key("CUSTOMER#{customer_id}")
    sort_key = Key("PAYMENT#{id}")


class AsyncOrders(AsyncBaseDynamoRepository[Order]):
    single_table = SHOP
    kind = "order"
    primary_key = Key("CUSTOMER#{customer_id}")
    sort_key = Key("ORDER#{placed_at}#{order_id}")
    by_day = AccessPattern(
        "gsi1", partition=Sharded(Key("DAY#{placed_at:day}"), shards=4, by="order_id"), sort=Key("{placed_at}")
    )


class AsyncPayments(AsyncBaseDynamoRepository[Annotated[Card | Transfer, Field(discriminator="method")]]):
    single_table = SHOP
    kind = "payment"
    primary_key = Key("CUSTOMER#{customer_id}")
    sort_key = Key("PAYMENT#{id}")


class CustomerItems(Collection):
    customers: list[Customer]
    orders: list[Order]
    payments: list[Card | Transfer]


def templates(orders: Orders, at: datetime) -> None:
    assert_type(orders.get("c1", (at, "o1")), Order | None)
    assert_type(orders.get({"customer_id": "c1", "placed_at": at, "order_id": "o1"}), Order | None)
    assert_type(orders.get("c1", {"placed_at": at, "order_id": "o1"}, attributes=["total"]), PartialItem | None)
    assert_type(orders.get_many([("c1", (at, "o1"))]), list[Order | None])
    assert_type(orders.patch("c1", (at, "o1"), total=5, when=F.total < 5), Order)
    assert_type(orders.delete("c1", (at, "o1")), bool)
    assert_type(orders.query("c1").ge(at), Query[Order])
    assert_type(orders.patch_request("c1", (at, "o1"), total=5), WriteRequest[Order])
    orders.create(Customer(customer_id="c1", email="a"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def shards(orders: Orders, at: datetime) -> None:
    assert_type(orders.by_day(at), Query[Order])
    assert_type(orders.by_day(at).page(10, None), Page[Order])
    assert_type(orders.by_day(at).project(Total), Query[Total])
    assert_type(iter(orders.by_day(at)), Iterator[Order])


def unions(payments: Payments) -> None:
    assert_type(payments.get("c1", "p1"), Card | Transfer | None)
    assert_type(payments.create(Card(customer_id="c1", id="p1")), Card | Transfer)
    assert_type(payments.query("c1").all(), list[Card | Transfer])
    found = payments.get_or_raise("c1", "p1")
    if found.method == "card":
        assert_type(found, Card)
    payments.put(Customer(customer_id="c1", email="a"))  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    transact_write([payments.create_request(Transfer(customer_id="c1", id="p2")), payments.check_request("c1", "p1")])


def collections(customers: Customers) -> None:
    query = customers.collection(CustomerItems, "c1")
    assert_type(query, CollectionQuery[CustomerItems])
    assert_type(query.begins_with("ORDER#").descending().limit(3), CollectionQuery[CustomerItems])
    found = query.all()
    assert_type(found, CustomerItems)
    assert_type(found.orders, list[Order])
    assert_type(found.payments, list[Card | Transfer])
    assert_type(found.unknown, list[dict[str, Any]])
    page = query.page(10)
    assert_type(page, CustomerItems)
    assert_type(page.cursor, str | None)
    assert_type(
        customers.collection(CustomerItems, "a@b.c", index="gsi1").page(10, page.cursor).customers, list[Customer]
    )
    customers.collection(Order, "c1")  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]


def tables(customers: Customers, orders: Orders, payments: AsyncPayments) -> None:
    customers.table_diff(together_with=[orders, payments])
    customers.apply_table(together_with=(orders,), skip=("billing",))
    customers.apply_table(together_with=[config])  # type: ignore[list-item]  # pyright: ignore[reportArgumentType]


async def asynchronous(orders: AsyncOrders, payments: AsyncPayments, at: datetime) -> None:
    assert_type(await orders.get("c1", (at, "o1")), Order | None)
    assert_type(await orders.patch("c1", (at, "o1"), total=5), Order)
    assert_type(orders.by_day(at), AsyncQuery[Order])
    assert_type(await orders.by_day(at).page(10), Page[Order])
    assert_type(aiter(orders.by_day(at)), AsyncIterator[Order])
    assert_type(await payments.get_or_raise("c1", "p1"), Card | Transfer)
    assert_type(await payments.query("c1").all(), list[Card | Transfer])
    query = orders.collection(CustomerItems, "c1")
    assert_type(query, AsyncCollectionQuery[CustomerItems])
    assert_type(await query.all(), CustomerItems)
    assert_type((await query.ge("ORDER#").page(5)).orders, list[Order])
    await async_transact_write([orders.patch_request("c1", (at, "o1"), total=1)])
    await orders.table_diff(together_with=[payments])
