"""What a user of the library writes, checked by mypy strict and by pyright strict; never run."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from decimal import Decimal
from typing import assert_type

from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    Add,
    BaseDynamoRepository,
    Derived,
    DynamoDBConfig,
    F,
    Page,
    PartialItem,
    PipelineConfig,
    PipelineConfigRepository,
    PipelineRunLogsRepository,
    Query,
    Remove,
)


class Order(BaseModel):
    customer_id: str
    order_id: str
    status: str
    total: Decimal
    placed_at: datetime
    version: int = 0


class Summary(BaseModel):
    order_id: str
    total: Decimal


def large(total: Decimal) -> str | None:
    return "yes" if total > 9 else None


class OrderRepository(BaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "customer_id"
    sort_key = "order_id"
    version_attribute = "version"
    by_status = AccessPattern("by_status", partition="status", sort="placed_at")
    large = AccessPattern("large", partition=Derived("large", ("total",), large))


class WithProperties(BaseDynamoRepository[Order]):
    @property
    def table_name(self) -> str:
        return "orders-2026"

    @property
    def model_class(self) -> type[Order]:
        return Order

    @property
    def primary_key(self) -> str:
        return "customer_id"

    @property
    def sort_key(self) -> str:
        return "order_id"


def reads(config: DynamoDBConfig) -> None:
    orders = OrderRepository(config)
    assert_type(orders.get("c1", "o1"), Order | None)
    assert_type(orders.get_or_raise("c1", "o1", consistent=True), Order)
    assert_type(orders.get("c1", "o1", attributes=["total", F.placed_at]), PartialItem | None)
    assert_type(orders.get_or_raise("c1", "o1", attributes=["total"]), PartialItem)
    assert_type(orders.exists("c1", "o1"), bool)
    assert_type(orders.list_all(), list[Order])
    assert_type(orders.query_by_pk("c1", Limit=3), list[Order])
    assert_type(orders.count("c1", where=F.total > 100), int)


def queries(config: DynamoDBConfig) -> None:
    orders = OrderRepository(config)
    query = orders.by_status("open").gt("2026").where(F.total > 100, F.status != "x").limit(3).descending()
    assert_type(query, Query[Order])
    assert_type(iter(query), Iterator[Order])
    assert_type(query.all(), list[Order])
    assert_type(query.first(), Order | None)
    assert_type(query.one(), Order)
    assert_type(query.page(10), Page[Order])
    assert_type(query.page(10).items, list[Order])
    assert_type(query.page(10).cursor, str | None)
    assert_type(query.project("total", F.order_id), Query[PartialItem])
    assert_type(query.project(Summary), Query[Summary])
    assert_type(orders.scan(), Query[Order])
    assert_type(OrderRepository.by_status, AccessPattern)


def writes(config: DynamoDBConfig, order: Order) -> None:
    orders = OrderRepository(config)
    assert_type(orders.create(order), Order)
    assert_type(orders.put(order), Order)
    assert_type(orders.update(order), Order)
    assert_type(orders.patch("c1", "o1", total=Add(5), status="paid", when=F.status == "open"), Order)
    assert_type(orders.patch("c1", "o1", {F.total: Add(1), "status": Remove()}, upsert=True), Order)
    assert_type(orders.delete("c1", "o1", when=F.total < 1), bool)
    assert_type(orders.create_with_timezone_context(order, "Europe/London"), Order)


def properties(config: DynamoDBConfig) -> None:
    repository = WithProperties(config)
    assert_type(repository.get("c1", "o1"), Order | None)
    assert_type(repository.table_name, str)


def shipped(config: DynamoDBConfig) -> None:
    assert_type(PipelineConfigRepository(config).get_active_pipelines(), list[PipelineConfig])
    assert_type(PipelineRunLogsRepository(config).count(), int)
