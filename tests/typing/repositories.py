"""What a type checker knows of repositories: checked by mypy and pyright, both strict, and never run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import Any, TypeVar, assert_type

from boto3.dynamodb.conditions import Attr
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    Add,
    Append,
    BaseDynamoRepository,
    Condition,
    ConditionFailedError,
    Derived,
    DynamoDBConfig,
    F,
    Page,
    PartialItem,
    Query,
    Remove,
    TableOptions,
    VersionConflictError,
)
from dynamodb_wrapper.operations.explanations import QueryExplanation

T = TypeVar("T", bound=BaseModel)


class Order(BaseModel):
    customer_id: str
    order_id: str
    total: Decimal = Decimal(0)
    placed_at: datetime | None = None
    words: list[str] = []
    version: int = 0


class Summary(BaseModel):
    order_id: str
    total: Decimal


def half_of(total: Decimal) -> str:
    return str(total / 2)


# --- declared with class attributes ---------------------------------------------------------------------------------


class Orders(BaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "customer_id"
    sort_key = "order_id"
    version_attribute = "version"
    table_options = TableOptions(read_units=1, write_units=1)
    by_total = AccessPattern("by_total", partition="customer_id", sort="total", projection=["version"])
    by_half = AccessPattern("by_half", partition=Derived("half", ("total",), half_of), sort=("total",))

    def of(self, customer_id: str) -> Query[Order]:
        return self.query(customer_id)


# --- declared with properties ---------------------------------------------------------------------------------------


class OrdersByProperties(BaseDynamoRepository[Order]):
    @property
    def table_name(self) -> str:
        return f"orders-{self.config.environment}"

    @property
    def model_class(self) -> type[Order]:
        return Order

    @property
    def primary_key(self) -> str:
        return "customer_id"

    @property
    def sort_key(self) -> str | None:
        return "order_id"


# --- with bases in between ------------------------------------------------------------------------------------------


class Audited(BaseDynamoRepository[T]):
    created_at_attribute = None

    def load(self, pk: str) -> T | None:
        return self.get(pk)


class AuditedOrders(Audited[Order]):
    table_name = "orders"
    primary_key = "customer_id"


config = DynamoDBConfig.for_local_development(table_prefix="app")
orders = Orders(config)
order = Order(customer_id="c", order_id="o")


def items() -> None:
    assert_type(orders.create(order), Order)
    assert_type(orders.put(order), Order)
    assert_type(orders.update(order), Order)
    assert_type(orders.get("c", "o"), Order | None)
    assert_type(orders.get("c", "o", consistent=True), Order | None)
    assert_type(orders.get("c", "o", attributes=["total", F.order_id]), PartialItem | None)
    assert_type(orders.get_or_raise("c", "o"), Order)
    assert_type(orders.get_or_raise("c", "o", attributes=["total"]), PartialItem)
    assert_type(orders.get_raw("c", "o"), dict[str, Any] | None)
    assert_type(orders.exists("c", "o"), bool)
    assert_type(orders.delete("c", "o", when=F.total > 5), bool)
    assert_type(orders.patch("c", "o", total=Add(5), placed_at=Remove(), words=Append("x")), Order)
    assert_type(orders.patch("c", "o", {"total": 1, F.words[0]: "x"}, when=Attr("total").gt(5), upsert=True), Order)
    assert_type(orders.get_with_timezone("c", "o", "Europe/London"), Order | None)
    assert_type(orders.list_all_with_timezone("Europe/London"), list[Order])
    assert_type(orders.create_with_timezone_context(order, "Europe/London"), Order)


def queries() -> None:
    assert_type(orders.query("c"), Query[Order])
    assert_type(orders.of("c"), Query[Order])
    assert_type(orders.by_total("c"), Query[Order])
    assert_type(orders.by_total.scan(), Query[Order])
    assert_type(Orders.by_total, AccessPattern)
    assert_type(orders.scan(), Query[Order])
    refined = orders.by_total("c").between(1, 5).where(F.version > 1, Attr("version").lt(9)).descending().limit(3)
    assert_type(refined, Query[Order])
    assert_type(refined.page_size(5).consistent().eq(1).lt(2).begins_with("x"), Query[Order])
    assert_type(iter(refined), Iterator[Order])
    for found in refined:
        assert_type(found, Order)
    assert_type(refined.all(), list[Order])
    assert_type(refined.first(), Order | None)
    assert_type(refined.one(), Order)
    assert_type(refined.count(), int)
    assert_type(refined.page(20), Page[Order])
    assert_type(refined.page(20, "cursor").items, list[Order])
    assert_type(refined.page(20).cursor, str | None)
    assert_type(refined.explain(), QueryExplanation)
    assert_type(refined.project(Summary), Query[Summary])
    assert_type(refined.project(Summary).first(), Summary | None)
    assert_type(refined.project("total", F.version), Query[PartialItem])
    assert_type(refined.project("total").page(5).items, list[PartialItem])
    assert_type(orders.query_by_pk("c", Limit=5), list[Order])
    assert_type(orders.list_all(), list[Order])
    assert_type(orders.count("c", where=F.total > 5), int)


def conditions() -> None:
    assert_type(F.total > 5, Condition)
    assert_type((F.total == 5) & ~F.placed_at.exists() | F.words.contains("x"), Condition)
    assert_type(F.words.size() >= 2, Condition)
    assert_type(F.address.city.begins_with("B"), Condition)


def tables() -> None:
    assert_type(orders.ensure_table(), bool)
    assert_type(orders.delete_table(), bool)
    assert_type(orders.table_status(), str | None)
    assert_type(orders.health_check(), bool)
    assert_type(orders.config, DynamoDBConfig)
    name: str = orders.table_name
    assert_type(orders.table.name, str)
    assert name == orders.table.name


def errors() -> None:
    try:
        orders.update(order)
    except VersionConflictError as error:
        assert_type(error.table_name, str | None)
    except ConditionFailedError as error:
        assert_type(error.message, str)
        assert_type(error.request_id, str | None)


def others() -> None:
    by_properties = OrdersByProperties(config)
    assert_type(by_properties.table_name, str)
    assert_type(by_properties.model_class, type[Order])
    assert_type(by_properties.get("c", "o"), Order | None)
    assert_type(by_properties.query("c").first(), Order | None)
    audited = AuditedOrders(config)
    assert_type(audited.load("c"), Order | None)
    assert_type(audited.patch("c", total=1), Order)
