"""What a type checker knows of the async skins: checked by mypy and pyright, both strict, and never run."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable
from typing import Any, assert_type

from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    BaseDynamoRepository,
    BatchSummary,
    DynamoDBConfig,
    F,
    HealthReport,
    Page,
    PartialItem,
    PipelineConfig,
    PipelineRunLog,
    Query,
    TreeNode,
    WriteRequest,
)
from dynamodb_wrapper.client import AsyncDocumentClient, get_async_dynamodb_client
from dynamodb_wrapper.repositories import (
    AsyncBaseDynamoRepository,
    AsyncBatch,
    AsyncLoaded,
    AsyncLoader,
    AsyncParallelScan,
    AsyncPipelineConfigRepository,
    AsyncPipelineRunLogsRepository,
    AsyncQuery,
    async_transact_get,
    async_transact_write,
    async_transaction,
)


class Order(BaseModel):
    customer_id: str
    order_id: str
    total: int = 0


class Slip(BaseModel):
    total: int


class OrderTable:
    table_name = "orders"
    primary_key = "customer_id"
    sort_key = "order_id"
    by_total = AccessPattern("by_total", partition="total", sort="order_id")


class Orders(OrderTable, BaseDynamoRepository[Order]):
    pass


class AsyncOrders(OrderTable, AsyncBaseDynamoRepository[Order]):
    pass


def lazily(blocking: Orders, orders: AsyncOrders) -> None:
    assert_type(blocking.by_total(1), Query[Order])
    assert_type(orders.by_total(1), AsyncQuery[Order])
    assert_type(orders.by_total.scan(), AsyncQuery[Order])
    assert_type(orders.query("c1").where(F.total > 1).limit(3), AsyncQuery[Order])
    assert_type(orders.query("c1").project(Slip), AsyncQuery[Slip])
    assert_type(orders.query("c1").project("total"), AsyncQuery[PartialItem])
    assert_type(orders.parallel_scan().where(F.total > 1), AsyncParallelScan[Order])
    assert_type(orders.parallel_scan().project(Slip), AsyncParallelScan[Slip])
    assert_type(orders.with_options(timeout=1), AsyncOrders)
    assert_type(orders.batch(), AsyncBatch[Order])
    assert_type(orders.loader(), AsyncLoader[Order])
    assert_type(orders.loader().load("c1", "o1"), AsyncLoaded[Order])
    assert_type(orders.find_orphans(), AsyncIterator[Order])
    assert_type(orders.create_request(Order(customer_id="c", order_id="o")), WriteRequest[Order])


async def awaited(orders: AsyncOrders, order: Order) -> None:
    assert_type(await orders.create(order), Order)
    assert_type(await orders.get("c1", "o1"), Order | None)
    assert_type(await orders.get("c1", "o1", attributes=["total"]), PartialItem | None)
    assert_type(await orders.get_or_raise("c1", "o1"), Order)
    assert_type(await orders.patch("c1", "o1", total=3), Order)
    assert_type(await orders.get_many([("c1", "o1")]), list[Order | None])
    assert_type(await orders.put_many([order]), int)
    assert_type(await orders.query("c1").all(), list[Order])
    assert_type(await orders.query("c1").page(3), Page[Order])
    assert_type(await orders.query("c1").first(), Order | None)
    assert_type(await orders.query("c1").one(), Order)
    assert_type(await orders.read_tree("c1"), TreeNode[Order])
    assert_type(await orders.loader().load("c1", "o1"), Order | None)
    assert_type(await orders.health_report(), HealthReport)
    assert_type([found async for found in orders.scan()], list[Order])
    assert_type([found async for found in orders.parallel_scan().project(Slip)], list[Slip])
    async with orders as entered:
        assert_type(entered, AsyncOrders)
    async with orders.batch() as batch:
        assert_type(batch, AsyncBatch[Order])
        batch.put(order)


async def transactions(orders: AsyncOrders, order: Order) -> None:
    assert_type(await async_transact_write([orders.create_request(order)]), list[Order | None])
    assert_type(await async_transact_get([orders.get_request("c1", "o1")]), list[Order | None])
    async with async_transaction() as tx:
        tx.write(orders.put_request(order))
    assert_type(tx.results, list[BaseModel | None])


async def concrete(config: DynamoDBConfig) -> None:
    assert_type(await AsyncPipelineConfigRepository(config).get_active_pipelines(), list[PipelineConfig])
    runs = AsyncPipelineRunLogsRepository(config)
    assert_type(await runs.create_run_log("r1", "p1", "manual"), PipelineRunLog)
    assert_type(await runs.by_pipeline("p1").first(), PipelineRunLog | None)


async def documents(config: DynamoDBConfig) -> None:
    async with get_async_dynamodb_client(config=config) as client:
        assert_type(client, AsyncDocumentClient)
        assert_type(await client.batch_operations([]), BatchSummary)
        assert_type([item async for item in client.iter_scan(TableName="t")], list[dict[str, Any]])


def not_awaited(orders: AsyncOrders) -> Awaitable[Order | None]:
    return orders.get("c1", "o1")
