"""What a type checker knows of the testing kit: checked by mypy and pyright, both strict, and never run."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import assert_type

from pydantic import BaseModel

from dynamodb_wrapper import AsyncBaseDynamoRepository, BaseDynamoRepository, PipelineRunLogsRepository
from dynamodb_wrapper.testing import Clock, Fault, Faults, Requests, SentRequest, Tables


class Order(BaseModel):
    order_id: str


class Orders(BaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "order_id"


class AsyncOrders(AsyncBaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "order_id"


def test_tables(dynamodb_tables: Tables) -> None:
    (orders,) = dynamodb_tables(Orders)
    assert_type(orders, Orders)
    assert_type(dynamodb_tables(Orders, AsyncOrders), tuple[Orders, AsyncOrders])
    assert_type(
        dynamodb_tables(Orders, AsyncOrders, PipelineRunLogsRepository),
        tuple[Orders, AsyncOrders, PipelineRunLogsRepository],
    )
    dynamodb_tables(Order)  # type: ignore[type-var]  # pyright: ignore[reportArgumentType]
    dynamodb_tables.store(orders, {"order_id": "o1", "total": "garbage"})
    assert_type(dynamodb_tables.expire(orders), int)


def test_clock(dynamodb_clock: Clock) -> None:
    assert_type(dynamodb_clock.now, datetime)
    assert_type(dynamodb_clock.sleeps, list[float])
    dynamodb_clock.move(timedelta(hours=1))
    dynamodb_clock.move(1.5)
    dynamodb_clock.set(2026)  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]


def test_faults(dynamodb_faults: Faults, dynamodb_tables: Tables) -> None:
    (orders,) = dynamodb_tables(Orders)
    assert_type(dynamodb_faults.throttle(2, operation="PutItem", table=orders), Fault)
    dynamodb_faults.lose_response_of("PutItem")
    dynamodb_faults.lose_response_of("putItem")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
    dynamodb_faults.cancel_transaction("None", "ConditionalCheckFailed", times=None)


def test_requests(dynamodb_requests: Requests) -> None:
    with dynamodb_requests.assert_requests(max=2) as made:
        pass
    assert_type(made, list[SentRequest])
    assert_type(dynamodb_requests.all[0].units, float | None)
