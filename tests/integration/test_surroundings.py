"""Connections with other surroundings: who gets them, for how long, and what they leave to the lane below."""

from __future__ import annotations

import asyncio

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import AsyncBaseDynamoRepository, BaseDynamoRepository, ConnectionError, DynamoDBConfig
from dynamodb_wrapper.testing import Stage
from dynamodb_wrapper.transport import Connection, connection_for, reset_connection
from dynamodb_wrapper.transport.sharing import connections_made_by
from dynamodb_wrapper.transport.surroundings import SurroundedConnection
from tests.servers import RunningServer, Server


class Order(BaseModel):
    order_id: str


class Orders(BaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "order_id"


class AsyncOrders(AsyncBaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "order_id"


def test_connections_made_in_another_way_end_with_the_block() -> None:
    config, elsewhere = DynamoDBConfig.embedded("here"), DynamoDBConfig.embedded("elsewhere")
    before = connection_for(config)
    made: list[DynamoDBConfig] = []

    def make(wanted: DynamoDBConfig) -> Connection:
        made.append(wanted)
        return Connection(wanted)

    with connections_made_by(make, config.endpoint_url):
        inside = connection_for(config)
        assert inside is connection_for(config.model_copy(update={"table_prefix": "p"})) is not before
        other = connection_for(config.model_copy(update={"retries": 0}))
        assert not before.closed
        connection_for(elsewhere)
        assert made == [config, other.config]
        with connections_made_by(Connection, config.endpoint_url):
            assert connection_for(config) not in (inside, before)
        assert connection_for(config) is inside
    assert connection_for(config) is before
    assert (before.closed, inside.closed, other.closed) == (False, True, True)
    assert len(made) == 2
    with pytest.raises(ConnectionError, match="closed"):
        _ = inside.client
    reset_connection()


def test_connections_are_put_back_after_an_error() -> None:
    config = DynamoDBConfig.embedded("here")
    before = connection_for(config)
    with pytest.raises(KeyError), connections_made_by(Connection, config.endpoint_url):
        raise KeyError("a")
    assert connection_for(config) is before


def test_a_repository_made_before_is_left_alone() -> None:
    config = DynamoDBConfig.embedded()
    early = Orders(config)
    early.ensure_table()
    stage = Stage(config)
    with stage.entered():
        stage.faults.throttle(None)
        assert early.count() == 0
        assert stage.requests.all == []


@pytest.fixture
def stage(moto_server: RunningServer) -> Stage:
    return Stage(Server(moto_server).config())


def test_connections_are_opened_ahead(stage: Stage) -> None:
    with stage.entered():
        (orders,) = stage.tables(Orders)
        orders.warm_up(connections=2)
        connection = connection_for(stage.config)
        assert isinstance(connection, SurroundedConnection)
        assert connection._lane.open_ahead(2, 5.0) == connection.driver.lane.open_ahead(2, 5.0) == 2
        assert orders.health_report().transport == "direct"
        orders.delete_table()


def test_connections_of_event_loops(stage: Stage) -> None:
    async def use(orders: AsyncOrders) -> int:
        await orders.warm_up(connections=2)
        count = await orders.count()
        await orders.aclose()
        count += await orders.count()
        await orders.aclose()
        return count

    with stage.entered():
        orders, table = stage.tables(AsyncOrders, Orders)
        stage.faults.unavailable(1, skip=1)
        assert asyncio.run(use(orders)) == 0
        assert [request.outcome for request in stage.requests.all] == ["ok", "ServiceUnavailable", "ok"]
        table.delete_table()


def test_a_task_that_is_cancelled_is_noted(stage: Stage) -> None:
    async def use(orders: AsyncOrders) -> None:
        task = asyncio.create_task(orders.count())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    with stage.entered():
        orders, table = stage.tables(AsyncOrders, Orders)
        asyncio.run(use(orders))
        assert [request.outcome for request in stage.requests.all] in ([], ["given up"])
        table.delete_table()


def test_repositories_of_both_skins_share_the_retry_quota() -> None:
    stage = Stage(DynamoDBConfig.embedded())
    with stage.entered():
        connection = connection_for(stage.config)
        assert connection.driver.policy is connection.async_driver.policy
        assert connection.async_driver is connection.async_driver
