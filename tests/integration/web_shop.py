"""A small web service on the FastAPI integration: run by uvicorn in tests, and called inside them."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body, Depends, FastAPI, HTTPException, WebSocket
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    Add,
    AsyncBaseDynamoRepository,
    BaseDynamoRepository,
    DynamoDBConfig,
    F,
    transact_write,
)
from dynamodb_wrapper.integrations.fastapi import DynamoDB, Page, PageQuery, handle_errors, problem_responses


class Order(BaseModel):
    order_id: str
    status: str = "open"
    total: float = 0
    count: int = 0
    email: str | None = None
    version: int = 0


class OrderTable:
    table_name = "secret-orders"
    primary_key = "order_id"
    version_attribute = "version"
    unique = ("email",)
    by_status = AccessPattern("by_status", partition="status", sort="order_id")


class Orders(OrderTable, BaseDynamoRepository[Order]):
    pass


class AsyncOrders(OrderTable, AsyncBaseDynamoRepository[Order]):
    pass


dynamodb = DynamoDB(DynamoDBConfig.from_env())
AsyncOrdersOf = Annotated[AsyncOrders, Depends(dynamodb.repository(AsyncOrders))]
OrdersOf = Annotated[Orders, Depends(dynamodb.repository(Orders))]

app = FastAPI(lifespan=dynamodb.lifespan, responses=problem_responses(500, 503, 504))
handle_errors(app, http_errors=True)
router = APIRouter(prefix="/blocking")


@app.get("/orders/{order_id}", responses=problem_responses(404))
async def read(order_id: str, orders: AsyncOrdersOf) -> Order:
    return await orders.get_or_raise(order_id)


@app.get("/orders")
async def pages(status: str, page: Annotated[PageQuery, Depends()], orders: AsyncOrdersOf) -> Page[Order]:
    return Page.of(await orders.by_status(status).page(page.size, page.cursor))


@app.post("/orders", status_code=201, responses=problem_responses(409))
async def create(order: Order, orders: AsyncOrdersOf) -> Order:
    return await orders.create(order)


@app.put("/orders", responses=problem_responses(404, 409))
async def replace(order: Order, orders: AsyncOrdersOf) -> Order:
    return await orders.update(order)


@app.patch("/orders/{order_id}", responses=problem_responses(404, 412))
async def change(order_id: str, changes: Annotated[dict[str, Any], Body()], orders: AsyncOrdersOf) -> Order:
    return await orders.patch(order_id, changes=changes, when=F.status == "open")


@app.post("/orders/{order_id}/count")
async def count(order_id: str, orders: AsyncOrdersOf) -> Order:
    return await orders.patch(order_id, count=Add(1))


@app.get("/totals/{order_id}")
async def total(order_id: str, orders: AsyncOrdersOf) -> float | None:
    found = await orders.get(order_id, attributes=["total"])
    return None if found is None else float(found["total"])


@router.post("/both", responses=problem_responses(409, 412))
def write_both(given: list[Order], orders: OrdersOf) -> int:
    checks = [orders.check_request(order.order_id, when=F.status == "open") for order in given[1:]]
    return len(transact_write([orders.create_request(given[0]), *checks]))


@router.get("/{order_id}", responses=problem_responses(404))
def read_blocking(order_id: str, orders: OrdersOf) -> Order:
    return orders.get_or_raise(order_id)


@app.get("/wrong/{order_id}")
async def wrongly_blocking(order_id: str, orders: OrdersOf) -> bool:
    return isinstance(orders, Orders)


@app.get("/teapot")
async def teapot() -> None:
    raise HTTPException(418, headers={"X-Kept": "yes"})


@app.get("/detailed")
async def detailed() -> None:
    raise HTTPException(400, detail={"anything": [1]})


@app.get("/unexpected")
async def unexpected() -> None:
    raise RuntimeError("secret")


@app.websocket("/socket")
async def socket(socket: WebSocket, orders: AsyncOrdersOf) -> None:
    await socket.accept()
    await socket.send_json((await orders.get_or_raise("nobody")).model_dump())


app.include_router(router)
