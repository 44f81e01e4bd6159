"""What the users of the FastAPI integration write, as type checkers see it."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Annotated, assert_type

from fastapi import APIRouter, Depends, FastAPI
from pydantic import BaseModel, Field

from dynamodb_wrapper import AccessPattern, AsyncBaseDynamoRepository, BaseDynamoRepository, DynamoDBConfig
from dynamodb_wrapper.integrations.fastapi import (
    DynamoDB,
    Page,
    PageQuery,
    RepositoryDependency,
    handle_errors,
    problem_responses,
)


class Order(BaseModel):
    order_id: str
    status: str = "open"


class OrderTable:
    table_name = "orders"
    primary_key = "order_id"
    by_status = AccessPattern("by_status", partition="status", sort="order_id")


class OrderRepository(OrderTable, BaseDynamoRepository[Order]):
    pass


class AsyncOrderRepository(OrderTable, AsyncBaseDynamoRepository[Order]):
    pass


dynamodb = DynamoDB(DynamoDBConfig.embedded(), connections=4)
get_orders = dynamodb.repository(AsyncOrderRepository)

Orders = Annotated[AsyncOrderRepository, Depends(get_orders)]
BlockingOrders = Annotated[OrderRepository, Depends(dynamodb.repository(OrderRepository))]


class ShortPage(PageQuery):
    size: int = Field(default=5, ge=1, le=10)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
    async with dynamodb.lifespan(app):
        yield


plain = FastAPI(lifespan=dynamodb.lifespan)
app = FastAPI(lifespan=lifespan, responses=problem_responses(500, 503))
router = APIRouter(responses=problem_responses(404))
handle_errors(app, http_errors=True)


@router.get("/orders/{order_id}")
async def read_order(order_id: str, orders: Orders) -> Order:
    return assert_type(await orders.get_or_raise(order_id), Order)


@router.post("/orders", status_code=201, responses=problem_responses(409))
def create_order(order: Order, orders: BlockingOrders) -> Order:
    return assert_type(orders.create(order), Order)


@router.get("/orders")
async def list_orders(page: Annotated[ShortPage, Depends()], orders: Orders) -> Page[Order]:
    found = Page.of(await orders.by_status("open").page(page.size, page.cursor))
    assert_type(found, Page[Order])
    assert_type(found.items, list[Order])
    return found


app.include_router(router)

assert_type(get_orders, RepositoryDependency[AsyncOrderRepository])


def for_a_test() -> None:
    app.dependency_overrides[dynamodb.config] = DynamoDBConfig.embedded
    app.dependency_overrides[get_orders] = lambda: AsyncOrderRepository(DynamoDBConfig.embedded())
