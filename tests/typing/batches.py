"""What a type checker knows of batches: checked by mypy and pyright, both strict, and never run."""

from __future__ import annotations

from collections.abc import Iterator
from typing import assert_type

from pydantic import BaseModel

from dynamodb_wrapper import BaseDynamoRepository, PartialItem
from dynamodb_wrapper.operations.batches import BatchProgress
from dynamodb_wrapper.repositories.collecting import Batch
from dynamodb_wrapper.repositories.loading import Loaded, Loader


class Order(BaseModel):
    customer_id: str
    order_id: str


class Orders(BaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "customer_id"
    sort_key = "order_id"


def told(progress: BatchProgress) -> None:
    assert_type(progress.done, int)
    assert_type(progress.total, int | None)


def made() -> Iterator[Order]:
    yield Order(customer_id="c1", order_id="o1")


def many(orders: Orders) -> None:
    assert_type(orders.get_many([("c1", "o1")], consistent=True, progress=told), list[Order | None])
    assert_type(orders.get_many(iter([("c1", "o1")]), attributes=["order_id"]), list[PartialItem | None])
    assert_type(orders.put_many(made(), progress=told), int)
    assert_type(orders.put_many([], ignore_version=True, concurrency=2), int)
    assert_type(orders.delete_many([("c1", "o1"), {"customer_id": "c1", "order_id": "o2"}]), int)
    with orders.batch() as batch:
        assert_type(batch, Batch[Order])
        batch.put(Order(customer_id="c1", order_id="o1"))
        batch.put("c1")  # type: ignore[arg-type]  # pyright: ignore[reportArgumentType]
        batch.delete("c1", "o1")


def loaded(orders: Orders) -> None:
    loader = orders.loader(consistent=True)
    assert_type(loader, Loader[Order])
    handle = loader.load("c1", "o1")
    assert_type(handle, Loaded[Order])
    assert_type(handle.result(), Order | None)
