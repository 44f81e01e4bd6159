"""Several repositories in one table: each sees and writes its own items only."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, Field

from dynamodb_wrapper import AccessPattern, BaseDynamoRepository, DeclarationError, F, transact_get, transact_write
from dynamodb_wrapper.codec import Key
from dynamodb_wrapper.exceptions import (
    ConditionFailedError,
    ExpressionError,
    InvalidCursorError,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    TransactionCanceledError,
    UniqueViolationError,
    ValidationError,
    VersionConflictError,
)
from dynamodb_wrapper.operations.gathering import Collection
from dynamodb_wrapper.repositories import SingleTable
from dynamodb_wrapper.repositories.patterns import ParentPattern
from tests.contract.shop import MONDAY, Make, requests, stored
from tests.servers import Server

SHOP = SingleTable("shop", indexes={"gsi1": ("gsi1pk", "gsi1sk"), "gsi2": ("gsi2pk",)}, ttl="expires_at")


class Customer(BaseModel):
    customer_id: str
    name: str = ""
    email: str | None = None
    version: int = 0


class Order(BaseModel):
    customer_id: str
    order_id: str
    total: int = 0
    placed_at: Any = None


class Invoice(BaseModel):
    customer_id: str
    invoice_id: int
    note: str = ""
    expires_at: int | None = None


class Customers(BaseDynamoRepository[Customer]):
    single_table = SHOP
    primary_key = Key("CUSTOMER#{customer_id}")
    sort_key = Key("PROFILE")
    version_attribute = "version"
    unique = ("email",)
    by_email = AccessPattern("gsi2", partition=Key("EMAIL#{email}"))


class Orders(BaseDynamoRepository[Order]):
    single_table = SHOP
    primary_key = Key("CUSTOMER#{customer_id}")
    sort_key = Key("ORDER#{order_id}")
    all_orders = AccessPattern("gsi1", partition=Key("ALL"), sort=Key("{order_id}"))


class Invoices(BaseDynamoRepository[Invoice]):
    single_table = SHOP
    kind = "bill"
    primary_key = Key("CUSTOMER#{customer_id}")
    sort_key = Key("INVOICE#{invoice_id:06d}")
    ttl_attribute = "expires_at"
    all_invoices = AccessPattern("gsi1", partition=Key("ALL"), sort=Key("{customer_id}#{invoice_id:06d}"))


class CustomerItems(Collection):
    customers: list[Customer]
    orders: list[Order]
    invoices: list[Invoice]


class OrdersOnly(Collection):
    orders: list[Order]


Shop = tuple[Customers, Orders, Invoices]


@pytest.fixture
def shop(make: Make) -> Shop:
    customers, orders, invoices = make(Customers), make(Orders), make(Invoices)
    customers.create(Customer(customer_id="c1", name="Ann"))
    for number in range(5):
        orders.create(Order(customer_id="c1", order_id=f"o{number}", total=number))
    for number in range(3):
        invoices.create(Invoice(customer_id="c1", invoice_id=number))
    return customers, orders, invoices


def put_stranger(server: Server, repository: BaseDynamoRepository[Any], sk: str, **attributes: Any) -> dict[str, Any]:
    """Write an item as somebody else may do, under a key of ours."""
    item = {"pk": {"S": "CUSTOMER#c1"}, "sk": {"S": sk}, **attributes}
    server.client.put_item(TableName=repository.table_name, Item=item)
    return item


def is_unchanged(server: Server, repository: BaseDynamoRepository[Any], item: dict[str, Any]) -> bool:
    return stored(server, repository, pk=item["pk"]["S"], sk=item["sk"]["S"]) == item


# --- the table --------------------------------------------------------------------------------------------------------


def test_the_table_has_what_all_of_them_need(make: Make, server: Server) -> None:
    invoices = make(Invoices)
    assert not make(Customers).ensure_table()
    table = server.client.describe_table(TableName=invoices.table_name)["Table"]
    assert {index["IndexName"] for index in table["GlobalSecondaryIndexes"]} == {"gsi1", "gsi2"}
    assert {part["AttributeName"] for part in table["AttributeDefinitions"]} == {
        "pk",
        "sk",
        "gsi1pk",
        "gsi1sk",
        "gsi2pk",
    }
    ttl = server.client.describe_time_to_live(TableName=invoices.table_name)["TimeToLiveDescription"]
    assert ttl["AttributeName"] == "expires_at"
    assert make(Orders).table_name == invoices.table_name


def test_an_item_says_what_it_is(shop: Shop, server: Server) -> None:
    _, orders, invoices = shop
    assert stored(server, orders, pk="CUSTOMER#c1", sk="ORDER#o1")["_kind"] == {"S": "Order"}
    assert stored(server, invoices, pk="CUSTOMER#c1", sk="INVOICE#000001")["_kind"] == {"S": "bill"}


# --- each sees its own ------------------------------------------------------------------------------------------------


def test_queries_scans_and_counts_are_of_one_kind(shop: Shop) -> None:
    customers, orders, invoices = shop
    assert [order.order_id for order in orders.query("c1")] == ["o0", "o1", "o2", "o3", "o4"]
    assert [invoice.invoice_id for invoice in invoices.query("c1").descending()] == [2, 1, 0]
    assert [customer.name for customer in customers.query("c1")] == ["Ann"]
    assert {order.order_id for order in orders.scan()} == {f"o{number}" for number in range(5)}
    assert len(list(invoices.parallel_scan(2))) == 3
    assert (customers.count(), orders.count(), invoices.count("c1")) == (1, 5, 3)
    assert orders.count("c1", where=F.total > 2) == 2
    assert invoices.query("c1").gt(0).count() == 2


def test_an_index_that_is_shared_shows_each_its_own(shop: Shop) -> None:
    _, orders, invoices = shop
    assert [order.order_id for order in orders.all_orders()] == ["o0", "o1", "o2", "o3", "o4"]
    assert [invoice.invoice_id for invoice in invoices.all_invoices()] == [0, 1, 2]
    page = orders.all_orders().page(4)
    assert [order.order_id for order in page.items] == ["o0", "o1", "o2", "o3"]
    assert [order.order_id for order in orders.all_orders().page(4, page.cursor).items] == ["o4"]


def test_a_page_of_what_lies_apart_takes_one_request(shop: Shop) -> None:
    _, orders, _ = shop
    with requests() as sent:
        assert len(orders.query("c1").page(3).items) == 3
    assert sent == ["Query"]


def test_a_stranger_under_our_key_is_not_there(shop: Shop, server: Server) -> None:
    _, orders, _ = shop
    put_stranger(server, orders, "ORDER#x", customer_id={"S": "c1"}, order_id={"S": "x"}, _kind={"S": "other"})
    put_stranger(server, orders, "ORDER#y", customer_id={"S": "c1"}, order_id={"S": "y"})
    for order_id in ("x", "y"):
        assert orders.get("c1", order_id) is None
        assert orders.get("c1", order_id, attributes=["order_id"]) is None
        assert orders.get_raw("c1", order_id) is None
        assert not orders.exists("c1", order_id)
        with pytest.raises(ItemNotFoundError):
            orders.get_or_raise("c1", order_id)
        assert orders.get_many([("c1", order_id), ("c1", "o1")])[0] is None
        assert orders.get_many([("c1", order_id)], attributes=["order_id"]) == [None]
        assert orders.loader().load("c1", order_id).result() is None
        assert transact_get([orders.get_request("c1", order_id)]) == [None]
    assert orders.count("c1") == orders.count() == 5
    assert len(orders.query("c1").all()) == 5
    assert orders.query("c1").eq("x").first() is None


def test_a_stranger_is_not_written_over(shop: Shop, server: Server) -> None:
    _, orders, _ = shop
    order = Order(customer_id="c1", order_id="x")
    item = put_stranger(server, orders, "ORDER#x", total={"N": "1"}, _kind={"S": "other"})
    with pytest.raises(ItemAlreadyExistsError) as taken:
        orders.create(order)
    assert taken.value.item is None
    with pytest.raises(ConditionFailedError, match="an item of another kind has that key"):
        orders.put(order)
    with pytest.raises(ItemNotFoundError):
        orders.update(order)
    with pytest.raises(ItemNotFoundError):
        orders.patch("c1", "x", total=2)
    with pytest.raises(ConditionFailedError, match="another kind"):
        orders.patch("c1", "x", upsert=True, total=2)
    assert not orders.delete("c1", "x")
    with pytest.raises(ConditionFailedError):
        orders.delete("c1", "x", when=F.total == 1)
    for request in (
        orders.put_request(order),
        orders.delete_request("c1", "x"),
        orders.check_request("c1", "x"),
        orders.check_request("c1", "x", when=F.total == 1),
        orders.patch_request("c1", "x", total=3),
    ):
        with pytest.raises(TransactionCanceledError):
            transact_write([request, orders.patch_request("c1", "o1", total=100)])
    assert is_unchanged(server, orders, item)
    assert orders.get_or_raise("c1", "o1").total == 1


def test_nor_is_one_with_versions(shop: Shop, server: Server) -> None:
    customers, _, _ = shop
    ann = customers.get_or_raise("c1")
    customers.delete("c1")
    item = put_stranger(server, customers, "PROFILE", name={"S": "x"})
    for customer in (ann, Customer(customer_id="c1")):
        with pytest.raises(ConditionFailedError, match="another kind"):
            customers.put(customer)
        with pytest.raises(ItemNotFoundError):
            customers.update(customer)
    put_stranger(server, customers, "PROFILE", name={"S": "x"}, version={"N": "1"})
    with pytest.raises(ConditionFailedError, match="another kind"):
        customers.put(ann)
    assert item["name"] == {"S": "x"}


def test_our_own_are_written_as_ever(shop: Shop) -> None:
    customers, orders, _ = shop
    ann, other = customers.get_or_raise("c1"), customers.get_or_raise("c1")
    customers.put(ann)
    with pytest.raises(VersionConflictError):
        customers.update(other)
    orders.put(Order(customer_id="c1", order_id="o1", total=50))
    orders.put(Order(customer_id="c1", order_id="new"))
    assert orders.patch("c1", "up", upsert=True, total=7).order_id == "up"
    assert orders.get_or_raise("c1", "up").total == 7
    assert orders.delete("c1", "up")
    assert not orders.delete("c1", "up")
    assert orders.put_many([Order(customer_id="c2", order_id=str(number)) for number in range(3)]) == 3
    assert orders.delete_many([("c2", "0")]) == 1
    assert orders.count("c2") == 2


def test_unique_values_are_of_one_kind(shop: Shop) -> None:
    customers, orders, _ = shop
    customers.patch("c1", email="ann@x.org")
    with pytest.raises(UniqueViolationError):
        customers.create(Customer(customer_id="c2", email="ann@x.org"))
    assert [customer.customer_id for customer in customers.by_email("ann@x.org")] == ["c1"]
    assert customers.ensure_unique() == []
    assert (customers.count(), orders.count()) == (1, 5)


# --- collections ------------------------------------------------------------------------------------------------------


def test_a_collection_has_each_kind_in_its_list(shop: Shop, server: Server) -> None:
    customers, orders, _ = shop
    put_stranger(server, orders, "ZZZ", size={"N": "3"})
    with requests() as sent:
        found = customers.collection(CustomerItems, "c1").all()
    assert sent == ["Query"]
    assert [customer.name for customer in found.customers] == ["Ann"]
    assert [order.order_id for order in found.orders] == ["o0", "o1", "o2", "o3", "o4"]
    assert [invoice.invoice_id for invoice in found.invoices] == [0, 1, 2]
    assert [item["size"] for item in found.unknown] == [3]
    assert repr(found) == "CustomerItems(1 customers, 5 orders, 3 invoices, 1 unknown)"
    assert len(orders.collection(OrdersOnly, "c1").all().unknown) == 5


def test_a_collection_in_pages(shop: Shop) -> None:
    customers, _, _ = shop
    query = customers.collection(CustomerItems, "c1").descending()
    counts, cursor = [], None
    while True:
        page = query.page(4, cursor)
        counts.append((len(page.customers), len(page.orders), len(page.invoices)))
        cursor = page.cursor
        if cursor is None:
            break
    assert counts == [(1, 3, 0), (0, 2, 2), (0, 0, 1)]
    with pytest.raises(InvalidCursorError):
        customers.collection(CustomerItems, "c1").page(4, query.page(4).cursor)


def test_a_collection_of_some_sort_keys(shop: Shop) -> None:
    customers, orders, _ = shop
    found = customers.collection(CustomerItems, "c1").begins_with("ORDER#").limit(2).all()
    assert ([order.order_id for order in found.orders], found.customers) == (["o0", "o1"], [])
    everything = orders.collection(CustomerItems, index="gsi1").all()
    assert (len(everything.orders), len(everything.invoices), len(everything.customers)) == (5, 3, 0)


def test_a_collection_that_cannot_be(shop: Shop) -> None:
    customers, _, _ = shop
    with pytest.raises(ValidationError, match="1 partition value"):
        customers.collection(CustomerItems)
    with pytest.raises(DeclarationError, match="no repository of the table keeps a Stray"):
        customers.collection(Strays, "c1")
    with pytest.raises(DeclarationError, match="list of models"):
        customers.collection(NoLists, "c1")


class Stray(BaseModel):
    name: str


class Strays(Collection):
    strays: list[Stray]


class NoLists(Collection):
    names: list[str]


# --- indexes that carry less ------------------------------------------------------------------------------------------

LEAN = SingleTable(
    "lean",
    indexes={"gsi1": ("gsi1pk", "gsi1sk"), "gsi2": ("gsi2pk", "gsi2sk")},
    local_indexes={"lsi1": "lsi1sk"},
    projections={"gsi1": ("total", "n", "gsi2pk"), "gsi2": "KEYS_ONLY", "lsi1": ("total",)},
    ttl="expires_at",
)


class Sale(BaseModel):
    shop: str
    sale_id: str
    total: int = 0
    label: str = Field(default="", alias="n")
    note: str = "long"

    model_config = ConfigDict(populate_by_name=True)


class Return(BaseModel):
    shop: str
    return_id: str
    total: int = 0
    reason: str = ""


class SaleLine(BaseModel):
    sale_id: str
    total: int


class Sales(BaseDynamoRepository[Sale]):
    single_table = LEAN
    primary_key = Key("SHOP#{shop}")
    sort_key = Key("SALE#{sale_id}")
    by_total = AccessPattern(
        "gsi1", partition=Key("ALL"), sort=Key("{total:06d}#{sale_id}"), projection=("total", "label")
    )
    ids = AccessPattern("gsi2", partition=Key("SHOP#{shop}"), sort=Key("{sale_id}"))
    of_shop = AccessPattern(
        "lsi1", partition=Key("SHOP#{shop}"), sort=Key("{total:06d}"), projection=("total",), local=True
    )


class Returns(BaseDynamoRepository[Return]):
    single_table = LEAN
    primary_key = Key("SHOP#{shop}")
    sort_key = Key("RETURN#{return_id}")
    by_total = AccessPattern("gsi1", partition=Key("ALL"), sort=Key("{total:06d}#{return_id}"))


@pytest.fixture
def sales(make: Make) -> Sales:
    sales, returns = make(Sales), make(Returns)
    for number in range(5):
        sales.create(Sale(shop="s", sale_id=f"o{number}", total=number, label=f"n{number}"))
        returns.create(Return(shop="s", return_id=f"r{number}", total=number))
    return sales


def test_an_index_carries_keys_kind_and_what_the_table_says(sales: Sales, server: Server) -> None:
    table = server.client.describe_table(TableName=sales.table_name)["Table"]
    indexes = [*table["GlobalSecondaryIndexes"], *table["LocalSecondaryIndexes"]]
    projections = {index["IndexName"]: index["Projection"] for index in indexes}
    assert {name: projection["ProjectionType"] for name, projection in projections.items()} == dict.fromkeys(
        ("gsi1", "gsi2", "lsi1"), "INCLUDE"
    )
    carried = {name: set(projection["NonKeyAttributes"]) for name, projection in projections.items()}
    assert carried == {"gsi1": {"_kind", "total", "n", "gsi2pk"}, "gsi2": {"_kind"}, "lsi1": {"_kind", "total"}}
    assert not sales.table_diff()


def test_what_an_index_carries_is_read_of_each_kind_alone(sales: Sales, make: Make) -> None:
    found = sales.by_total().project().all()
    assert [dict(part) for part in found] == [
        {"shop": "s", "sale_id": f"o{number}", "total": number, "label": f"n{number}"} for number in range(5)
    ]
    lines = sales.by_total().ge(3).project(SaleLine).all()
    assert lines == [SaleLine(sale_id="o3", total=3), SaleLine(sale_id="o4", total=4)]
    assert [part.sale_id for part in sales.ids("s").project("sale_id")] == [f"o{number}" for number in range(5)]
    assert [part.total for part in sales.by_total().where(F.label == "n2").project("total")] == [2]
    assert sales.by_total().count() == 5
    assert {part.return_id for part in make(Returns).by_total().project("return_id")} == {f"r{n}" for n in range(5)}
    assert {part.total for part in sales.scan(index="gsi1").project("total")} == set(range(5))


def test_pages_of_an_index_that_carries_less_have_every_item_once(sales: Sales) -> None:
    query, found, cursor = sales.by_total().project("sale_id"), [], None
    while True:
        page = query.page(2, cursor)
        found += [part.sale_id for part in page.items]
        if (cursor := page.cursor) is None:
            break
    assert found == ["o0", "o1", "o2", "o3", "o4"]


def test_what_an_index_does_not_carry_is_refused_before_anything_is_sent(sales: Sales) -> None:
    with requests() as sent:
        for refused in (
            lambda: sales.by_total().all(),
            lambda: sales.by_total().project("note").all(),
            lambda: sales.by_total().where(F.note == "x"),
            lambda: sales.ids("s").project("total"),
            lambda: list(sales.scan(index="gsi1")),
            lambda: list(sales.parallel_scan(2, index="gsi1")),
        ):
            with pytest.raises(ExpressionError, match="carries"):
                refused()
        for index, partition in (("gsi1", ()), ("lsi1", ("s",))):
            with pytest.raises(DeclarationError, match="a collection has whole items"):
                sales.collection(SaleItems, *partition, index=index)
    assert sent == []
    assert len(sales.collection(SaleItems, "s").all().returns) == 5


class SaleItems(Collection):
    sales: list[Sale]
    returns: list[Return]


# --- declarations -----------------------------------------------------------------------------------------------------


def declare(table: SingleTable | Any, model: Any, primary_key: Any, sort_key: Any = None, **attributes: Any) -> Any:
    body = {"single_table": table, "primary_key": primary_key, "sort_key": sort_key, **attributes}
    return type(BaseDynamoRepository)("Declared", (BaseDynamoRepository,), {"model_class": model, **body})


def test_two_kinds_never_share_a_key() -> None:
    table = SingleTable("t")
    declare(table, Customer, Key("C#{customer_id}"), Key("{name}"))
    declare(table, Order, Key("C#{customer_id}"), Key("ORDER#{order_id}"))
    declare(table, Invoice, Key("C#{customer_id}#{note}"), Key("X"))
    for primary_key, sort_key in (
        (Key("C#{name}"), Key("X")),
        (Key("{name}#x"), Key("ORDER#y")),
        (Key("{name}#{label}"), Key("X")),
    ):
        with pytest.raises(DeclarationError, match="could have the same key"):
            declare(table, Label, primary_key, sort_key)
    declare(table, Label, Key("C#{name}"), Key("LABEL#{label}#x"))
    with pytest.raises(DeclarationError, match="another key for the kind 'Label'"):
        declare(table, Label, Key("D#{name}"), Key("LABEL"))


class Label(BaseModel):
    name: str
    label: str = ""
    expires: int = 0


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"primary_key": "name", "sort_key": Key("X")}, "keys are templates"),
        ({"primary_key": Key("{name}")}, "has the sort key 'sk'"),
        ({"primary_key": Key("{name}", attribute="key"), "sort_key": Key("X")}, "stored in 'pk'"),
        ({"pattern": AccessPattern("gsi9", partition=Key("{label}"), sort=Key("X"))}, "has no index 'gsi9'"),
        ({"pattern": AccessPattern("gsi1", partition=Key("{label}"))}, "a Key for each"),
        ({"pattern": AccessPattern("gsi1", partition="label", sort=Key("X"))}, "a Key for each"),
        (
            {"pattern": AccessPattern("gsi1", partition=Key("{label}"), sort=Key("X"), projection="KEYS_ONLY")},
            r"carries whole items; .* projections=\{'gsi1': ...\}",
        ),
        (
            {
                "pattern": AccessPattern(
                    "gsi2", partition=Key("{label}"), sort=Key("X"), projection=("label", "expires")
                )
            },
            "'gsi2' of SingleTable.'t'. does not carry expires; it carries label",
        ),
        (
            {"pattern": ParentPattern("gsi2", parent="label", id="name", partition=Key("{label}"), sort=Key("X"))},
            "must carry whole items",
        ),
        ({"ttl_attribute": "expires"}, "expires items by None"),
        ({"table": "t"}, "single_table is a SingleTable"),
    ],
)
def test_a_repository_that_does_not_fit_is_refused(attributes: dict[str, Any], reason: str) -> None:
    table = SingleTable(
        "t", indexes={"gsi1": ("gsi1pk", "gsi1sk"), "gsi2": ("gsi2pk", "gsi2sk")}, projections={"gsi2": ("label",)}
    )
    given = {"table": table, "primary_key": Key("{name}"), "sort_key": Key("X"), **attributes}
    if "primary_key" in attributes and "sort_key" not in attributes:
        given["sort_key"] = None
    with pytest.raises(DeclarationError, match=reason):
        declare(given.pop("table"), Label, given.pop("primary_key"), given.pop("sort_key"), **given)


@pytest.mark.parametrize("indexes", [{"gsi1": "gsi1pk"}, {"gsi1": ()}, {"x": ("a", "b")}])
def test_a_table_that_cannot_be_is_refused(indexes: Any) -> None:
    with pytest.raises(DeclarationError):
        SingleTable("t", indexes=indexes)


@pytest.mark.parametrize(
    ("projections", "reason"),
    [
        (("gsi1",), "a mapping by index"),
        ({"gsi9": "KEYS_ONLY"}, "no index 'gsi9'"),
        ({"gsi1": "total"}, 'carries "ALL"'),
        ({"gsi1": ()}, 'carries "ALL"'),
        ({"gsi1": {"total"}}, 'carries "ALL"'),
        ({"gsi1": ("total", 1)}, "named by a text"),
        ({"gsi1": ("sk",)}, "carries 'sk' anyway"),
        ({"gsi1": ("gsi1pk",)}, "carries 'gsi1pk' anyway"),
        ({"gsi1": ("_kind",)}, "carries '_kind' anyway"),
        ({"gsi1": ("total", "total")}, "twice"),
        ({"gsi1": tuple(f"a{number}" for number in range(20))}, "1 to 20 fields, not 21"),
    ],
)
def test_a_projection_that_cannot_be_is_refused(projections: Any, reason: str) -> None:
    with pytest.raises(DeclarationError, match=reason):
        SingleTable("t", indexes={"gsi1": ("gsi1pk",)}, projections=projections)


def test_collections_are_of_shared_tables() -> None:
    class Alone(BaseDynamoRepository[Label]):
        table_name = "alone"
        primary_key = "name"

    from dynamodb_wrapper import DynamoDBConfig

    with pytest.raises(DeclarationError, match="shares no table"):
        Alone(DynamoDBConfig(region_name="us-east-1")).collection(CustomerItems, "x")


def test_an_expiry_in_the_tables_attribute(shop: Shop, server: Server) -> None:
    _, _, invoices = shop
    expiry = int((MONDAY + timedelta(days=1)).timestamp())
    invoices.create(Invoice(customer_id="c1", invoice_id=9, expires_at=expiry))
    assert stored(server, invoices, pk="CUSTOMER#c1", sk="INVOICE#000009")["expires_at"] == {"N": str(expiry)}
