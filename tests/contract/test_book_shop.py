"""The e-commerce application of The DynamoDB Book: its access patterns, with its keys.

Customers with unique names and emails and their addresses; orders, newest first, beside their customer; the items of
an order; an order with its items.
"""

from __future__ import annotations

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    BaseDynamoRepository,
    F,
    ItemAlreadyExistsError,
    TransactionCanceledError,
    transact_write,
)
from dynamodb_wrapper.codec import Key
from dynamodb_wrapper.operations.gathering import Collection
from dynamodb_wrapper.repositories import SingleTable
from tests.contract.shop import Make, requests

TABLE = SingleTable("ecommerce", partition_key="PK", sort_key="SK", kind="Type", indexes={"GSI1": ("GSI1PK", "GSI1SK")})


class Address(BaseModel):
    street: str
    postal_code: str


class Customer(BaseModel):
    username: str
    email: str
    name: str = ""
    addresses: dict[str, Address] = {}


class CustomerEmail(BaseModel):
    email: str
    username: str


class Order(BaseModel):
    username: str
    order_id: str  # a KSUID: later ones sort after earlier ones
    status: str = "ACCEPTED"
    amount: int = 0


class OrderItem(BaseModel):
    order_id: str
    item_id: str
    price: int = 0


class Customers(BaseDynamoRepository[Customer]):
    single_table = TABLE
    primary_key = Key("CUSTOMER#{username}")
    sort_key = Key("CUSTOMER#{username}")


class CustomerEmails(BaseDynamoRepository[CustomerEmail]):
    single_table = TABLE
    primary_key = Key("CUSTOMEREMAIL#{email}", case="lower")
    sort_key = Key("CUSTOMEREMAIL#{email}", case="lower")


class Orders(BaseDynamoRepository[Order]):
    single_table = TABLE
    primary_key = Key("CUSTOMER#{username}")
    sort_key = Key("#ORDER#{order_id}")
    by_id = AccessPattern("GSI1", partition=Key("ORDER#{order_id}"), sort=Key("ORDER#{order_id}"))


class OrderItems(BaseDynamoRepository[OrderItem]):
    single_table = TABLE
    primary_key = Key("ORDER#{order_id}#ITEM#{item_id}")
    sort_key = Key("ORDER#{order_id}#ITEM#{item_id}")
    of_order = AccessPattern("GSI1", partition=Key("ORDER#{order_id}"), sort=Key("ITEM#{item_id}"))


class CustomerAndOrders(Collection):
    customers: list[Customer]
    orders: list[Order]


class OrderAndItems(Collection):
    orders: list[Order]
    items: list[OrderItem]


def sign_up(customers: Customers, emails: CustomerEmails, username: str, email: str) -> None:
    transact_write(
        [
            customers.create_request(Customer(username=username, email=email)),
            emails.create_request(CustomerEmail(email=email, username=username)),
        ]
    )


def test_names_and_emails_are_unique(make: Make) -> None:
    customers, emails = make(Customers), make(CustomerEmails)
    sign_up(customers, emails, "alex", "Alex@x.org")
    for username, email, number in (("alex", "new@x.org", 0), ("other", "alex@X.ORG", 1)):
        with pytest.raises(TransactionCanceledError) as taken:
            sign_up(customers, emails, username, email)
        assert isinstance(taken.value.reasons[number].error, ItemAlreadyExistsError)
    assert emails.get_or_raise("ALEX@x.org").username == "alex"
    assert (customers.count(), emails.count()) == (1, 1)


def test_addresses_are_parts_of_the_customer(make: Make) -> None:
    customers = make(Customers)
    customers.create(Customer(username="alex", email="a"))
    home = Address(street="111 1st St", postal_code="10001")
    customers.patch("alex", changes={F.addresses["Home"]: home})
    assert customers.get_or_raise("alex").addresses == {"Home": home}


def test_a_customer_and_the_newest_orders_in_one_request(make: Make) -> None:
    customers, orders = make(Customers), make(Orders)
    customers.create(Customer(username="alex", email="a"))
    orders.put_many([Order(username="alex", order_id=f"1VrgXB{number:02d}", amount=number) for number in range(30)])
    with requests() as sent:
        found = customers.collection(CustomerAndOrders, "alex").descending().page(11)
    assert sent == ["Query"]
    assert [customer.username for customer in found.customers] == ["alex"]
    assert [order.amount for order in found.orders] == list(range(29, 19, -1))
    more = customers.collection(CustomerAndOrders, "alex").descending().page(11, found.cursor)
    assert [order.amount for order in more.orders] == list(range(19, 8, -1))
    assert [order.amount for order in orders.query("alex").descending().limit(2)] == [29, 28]


def test_an_order_and_its_items(make: Make) -> None:
    orders, items = make(Orders), make(OrderItems)
    order = orders.create(Order(username="alex", order_id="o1"))
    items.put_many([OrderItem(order_id="o1", item_id=f"i{number}") for number in range(3)])
    items.create(OrderItem(order_id="o2", item_id="i0"))
    found = orders.collection(OrderAndItems, "o1", index="GSI1").all()
    assert (found.orders, len(found.items), found.unknown) == ([order], 3, [])
    assert orders.by_id("o1").one() == order
    assert [item.item_id for item in items.of_order("o1").descending()] == ["i2", "i1", "i0"]
    assert items.get_or_raise(("o2", "i0")).price == 0


def test_the_state_of_an_order_moves(make: Make) -> None:
    orders = make(Orders)
    orders.create(Order(username="alex", order_id="o1"))
    assert orders.patch("alex", "o1", status="SHIPPED", when=F.status == "ACCEPTED").status == "SHIPPED"
    assert orders.by_id("o1").one().status == "SHIPPED"
