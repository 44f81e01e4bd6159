"""What a type checker knows of caches: checked by mypy and pyright, both strict, and never run."""

from __future__ import annotations

from typing import assert_type

from pydantic import BaseModel

from dynamodb_wrapper import AccessPattern, AsyncBaseDynamoRepository, BaseDynamoRepository
from dynamodb_wrapper.integrations.redis import RedisCache
from dynamodb_wrapper.operations.recalling import CacheInfo
from dynamodb_wrapper.transport import Cache


class Order(BaseModel):
    customer_id: str
    order_id: str
    status: str


class Orders(BaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "customer_id"
    sort_key = "order_id"
    cache = Cache(ttl=300, max_items=500, negative_ttl=5)
    by_status = AccessPattern("by_status", partition="status", cached=True)


class AsyncOrders(AsyncBaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "customer_id"
    sort_key = "order_id"
    cache = RedisCache("redis://localhost", ttl=300, namespace="eu")


def cached(orders: Orders) -> None:
    assert_type(orders.get("c1", "o1"), Order | None)
    assert_type(orders.by_status("open").first(), Order | None)
    assert_type(orders.cache_info(), CacheInfo)
    assert_type(orders.cache_info().hits, int)
    assert_type(orders.without_cache(), Orders)
    assert_type(orders.clear_cache(), None)


async def cached_on_redis(orders: AsyncOrders) -> None:
    assert_type(await orders.get("c1", "o1"), Order | None)
    assert_type(orders.cache_info(), CacheInfo)
    assert_type(orders.without_cache(), AsyncOrders)
    assert_type(await orders.clear_cache(), None)
