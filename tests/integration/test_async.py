"""Async repositories against real servers and sockets: loops, limits, cancellation, bounded threads."""

from __future__ import annotations

import asyncio
import gc
import multiprocessing
import socket
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any
from uuid import uuid4

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    BaseDynamoRepository,
    ConditionFailedError,
    DeadlineExceededError,
    DeclarationError,
    DynamoDBConfig,
    F,
    ParentPattern,
    RequestEvent,
    ValidationError,
    WriteOutcomeUnknownError,
    observe,
)
from dynamodb_wrapper.client import get_async_dynamodb_client
from dynamodb_wrapper.repositories import (
    AsyncBaseDynamoRepository,
    AsyncPipelineRunLogsRepository,
    PipelineRunLogsRepository,
    async_transact_get,
    async_transact_write,
    async_transaction,
    transact_write,
)
from dynamodb_wrapper.transport import connection_for, drop_embedded, reset_connection
from tests.timing import PATIENCE, in_time


class Order(BaseModel):
    customer_id: str
    order_id: str
    status: str = "open"
    total: int = 0


class OrderTable:
    """What repositories of both colours declare."""

    table_name = "orders"
    primary_key = "customer_id"
    sort_key = "order_id"
    by_status = AccessPattern("by_status", partition="status", sort="order_id")


class Orders(OrderTable, BaseDynamoRepository[Order]):
    pass


class AsyncOrders(OrderTable, AsyncBaseDynamoRepository[Order]):
    pass


@pytest.fixture
def config() -> Iterator[DynamoDBConfig]:
    """An embedded server of the test's own, with the table of orders and 40 of them."""
    name = uuid4().hex
    config = DynamoDBConfig.embedded(name)
    orders = Orders(config)
    orders.ensure_table()
    orders.put_many(order(number) for number in range(40))
    yield config
    reset_connection()
    drop_embedded(name)


def order(number: int, **fields: Any) -> Order:
    return Order(customer_id=f"c{number % 4}", order_id=f"o{number:03}", total=number, **fields)


def order_ids(orders: list[Order]) -> list[str]:
    return [order.order_id for order in orders]


# --- one declaration, two colours -----------------------------------------------------------------------------------


def test_a_declaration_is_shared_by_both_colours(config: DynamoDBConfig) -> None:
    blocking, orders = Orders(config), AsyncOrders(config)
    assert orders.table_name == blocking.table_name
    assert orders.query("c1").limit(3).explain() == blocking.query("c1").limit(3).explain()
    assert orders.by_status("open").explain() == blocking.by_status("open").explain()
    assert repr(orders) == f"AsyncOrders({blocking.table_name!r})"
    assert orders._connection is blocking._connection

    async def main() -> None:
        assert await orders.get("c1", "o001") == blocking.get("c1", "o001")
        blocking.put(order(1, status="paid"))
        assert [found.order_id async for found in orders.by_status("paid")] == ["o001"]
        page = await orders.query("c1").page(3)
        assert blocking.query("c1").page(3, page.cursor) == await orders.query("c1").page(3, page.cursor)

    asyncio.run(main())


def test_a_wrong_declaration_is_refused_as_for_the_other_colour() -> None:
    with pytest.raises(DeclarationError, match="no_field"):

        class Wrong(AsyncBaseDynamoRepository[Order]):
            table_name = "orders"
            primary_key = "no_field"

    with pytest.raises(DeclarationError, match="hide"):

        class Hides(AsyncBaseDynamoRepository[Order]):
            table_name = "orders"
            primary_key = "customer_id"
            aclose = AccessPattern("x", partition="status")  # type: ignore[assignment]

    with pytest.raises(DeclarationError):

        class TwoTrees(AsyncBaseDynamoRepository[Order]):
            table_name = "orders"
            primary_key = "customer_id"
            one = ParentPattern("one", parent="status")
            other = ParentPattern("other", parent="status")


def test_requests_are_those_of_both_colours(config: DynamoDBConfig) -> None:
    blocking, orders = Orders(config), AsyncOrders(config)

    async def given_up() -> None:
        async with async_transaction() as tx:
            tx.write(orders.delete_request("c3", "o091"))
            raise ZeroDivisionError

    async def main() -> None:
        written = await async_transact_write([blocking.create_request(order(90)), orders.create_request(order(91))])
        assert order_ids([model for model in written if model]) == ["o090", "o091"]
        async with async_transaction() as tx:
            tx.write(orders.delete_request("c2", "o090"))
        assert tx.results == [None]
        found = await async_transact_get([orders.get_request("c2", "o090"), blocking.get_request("c3", "o091")])
        assert found == [None, order(91)]
        assert await async_transact_write([]) == []
        assert await async_transact_get([]) == []
        with pytest.raises(ZeroDivisionError):
            await given_up()
        assert await orders.exists("c3", "o091")

    asyncio.run(main())
    assert transact_write([orders.patch_request("c3", "o091", total=5)]) == [None]
    assert blocking.get_or_raise("c3", "o091").total == 5


def test_a_run_with_its_events(config: DynamoDBConfig) -> None:
    async def main() -> None:
        runs = AsyncPipelineRunLogsRepository(config)
        assert await runs.ensure_table() is True
        assert await runs.ensure_table() is False
        await runs.create_run_log("r1", "p1", "manual")
        await runs.add_log_messages("r1", (f"line {number}" for number in range(150)))
        assert len(await runs.get_log_messages("r1")) == 150
        assert await runs.events.count() == 51  # and the counter
        assert await runs.delete("r1") is True
        assert await runs.delete_table() is True
        assert await runs.table_status() is None

    asyncio.run(main())
    assert PipelineRunLogsRepository(config).table_status() is None


# --- loops ----------------------------------------------------------------------------------------------------------


def test_one_repository_serves_loop_after_loop_and_several_at_once(config: DynamoDBConfig) -> None:
    orders = AsyncOrders(config)
    assert asyncio.run(orders.count()) == 40
    assert asyncio.run(orders.count()) == 40
    counts: list[int] = []
    threads = [threading.Thread(target=lambda: counts.append(asyncio.run(orders.count()))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [40] * 4


def test_closing_disconnects_and_the_next_use_connects_anew(config: DynamoDBConfig) -> None:
    async def main() -> None:
        async with AsyncOrders(config) as orders:
            assert await orders.count() == 40
        assert connection_for(config)._open is None
        assert await orders.count() == 40
        await orders.aclose()
        await orders.aclose()

    asyncio.run(main())
    with Orders(config) as blocking:
        assert blocking.count() == 40
    assert connection_for(config)._open is None


def _count_in_child(config: DynamoDBConfig, endpoint: str) -> None:
    assert asyncio.run(AsyncOrders(config).count()) == 1


def test_a_forked_child_has_threads_of_its_own(moto_server: Any) -> None:
    config = moto_server.config(f"dw-{uuid4().hex[:12]}")
    orders = AsyncOrders(config)

    async def main() -> None:
        await orders.ensure_table()
        await orders.put(order(1))

    asyncio.run(main())
    child = multiprocessing.get_context("fork").Process(target=_count_in_child, args=(config, ""))
    child.start()
    child.join(20)
    assert child.exitcode == 0
    asyncio.run(orders.delete_table())
    reset_connection()


# --- many at once ---------------------------------------------------------------------------------------------------


def pool_threads() -> int:
    return sum(thread.name.startswith("dynamodb-async") for thread in threading.enumerate())


def test_a_thousand_gets_at_once_take_no_more_threads_than_there_are_connections() -> None:
    reset_connection()
    gc.collect()
    config = DynamoDBConfig.embedded("thousand", max_pool_connections=8)
    Orders(config).ensure_table()
    Orders(config).put(order(1))
    most = 0

    async def watched(orders: AsyncOrders) -> Order | None:
        nonlocal most
        found = await orders.get("c1", "o001")
        most = max(most, pool_threads())
        return found

    async def main() -> list[Order | None]:
        return await asyncio.gather(*(watched(AsyncOrders(config)) for _ in range(1000)))

    before = pool_threads()
    assert asyncio.run(main()) == [order(1)] * 1000
    assert most - before <= 8
    reset_connection()
    drop_embedded("thousand")


def test_the_loop_is_free_while_requests_are_on_their_way(config: DynamoDBConfig) -> None:
    async def main() -> None:
        ticks = 0

        async def tick() -> None:
            nonlocal ticks
            while True:
                ticks += 1
                await asyncio.sleep(0)

        ticking = asyncio.create_task(tick())
        await AsyncOrders(config).list_all()
        ticking.cancel()
        assert ticks > 5

    asyncio.run(main())


# --- a loader -------------------------------------------------------------------------------------------------------


@asynccontextmanager
async def told() -> AsyncIterator[list[str]]:
    sent: list[str] = []
    with observe(lambda event: sent.append(event.operation)):
        yield sent


def test_what_tasks_load_in_one_round_is_one_batch(config: DynamoDBConfig) -> None:
    async def main() -> None:
        orders = AsyncOrders(config)
        loader = orders.loader()

        async def total(number: int) -> int:
            found = await loader.load(f"c{number % 4}", f"o{number:03}")
            return found.total if found else -1

        async with told() as sent:
            assert await asyncio.gather(*map(total, [1, 2, 3, 2, 99])) == [1, 2, 3, 2, -1]
            assert sent == ["BatchGetItem"]
            assert await total(3) == 3  # known
            assert len(sent) == 1
            first, second = loader.load("c0", "o004"), loader.load("c1", "o005")
            assert (await first, await second.result()) == (order(4), order(5))
            assert len(sent) == 2
        with pytest.raises(ValidationError):
            loader.load("c0")

    asyncio.run(main())


def test_a_failed_read_is_that_of_all_who_wait_and_is_asked_again(config: DynamoDBConfig) -> None:
    async def main() -> None:
        orders = AsyncOrders(config)
        loader = orders.with_options(timeout=1e-9).loader()
        handles = [loader.load("c1", "o001"), loader.load("c2", "o002")]
        outcomes = await asyncio.gather(*handles, return_exceptions=True)
        assert [type(outcome) for outcome in outcomes] == [DeadlineExceededError] * 2
        assert handles[0].has_failed
        assert loader.load("c1", "o001") is not handles[0]

    asyncio.run(main())


# --- streams --------------------------------------------------------------------------------------------------------


def test_streams_read_as_they_are_consumed_and_close_early(config: DynamoDBConfig) -> None:
    async def main() -> None:
        orders = AsyncOrders(config)
        async with told() as sent:
            async for _ in orders.scan().page_size(5):
                break
            assert sent == ["Scan"]
            scan = orders.parallel_scan(4).page_size(2)
            async with aclosing(aiter(scan)) as found:  # type: ignore[type-var]
                seen = [await anext(found) for _ in range(3)]
            assert len(asyncio.all_tasks()) == 1
            assert len(sent) <= 10
            rest = [found async for found in orders.parallel_scan(4, checkpoint=scan.checkpoint)]
        assert sorted(order_ids([*seen, *rest])) == [f"o{number:03}" for number in range(40)]

    asyncio.run(main())


def test_a_scan_left_by_an_error_leaves_no_task(config: DynamoDBConfig) -> None:
    async def read() -> None:
        async for _ in AsyncOrders(config).parallel_scan(4).page_size(1):
            raise ZeroDivisionError

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await read()
        gc.collect()
        async with asyncio.timeout(PATIENCE):
            while len(asyncio.all_tasks()) > 1:
                await asyncio.sleep(0.01)

    asyncio.run(main())


# --- limits, cancellation, observers, context -----------------------------------------------------------------------


@dataclass
class Silent:
    """A server that takes requests and never answers."""

    listener: socket.socket
    config: DynamoDBConfig
    kept: list[socket.socket] = field(default_factory=list)

    def receive(self, text: bytes) -> None:
        """Wait for a request with that text in it."""
        self.listener.settimeout(PATIENCE)
        while True:
            connection, _ = self.listener.accept()
            self.kept.append(connection)
            if text in connection.recv(65536):
                return


@pytest.fixture(params=["botocore", "direct"])
def silent(request: pytest.FixtureRequest) -> Iterator[Silent]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        config = DynamoDBConfig(
            endpoint_url=f"http://127.0.0.1:{listener.getsockname()[1]}",
            region_name="us-east-1",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            timeout_seconds=2 * PATIENCE,
            retries=0,
            transport=request.param,
        )
        _ = connection_for(config).client  # making it takes a while
        silent = Silent(listener, config)
        yield silent
        for connection in silent.kept:
            connection.close()
        reset_connection()


def test_a_time_limit_is_kept_where_no_answer_comes(silent: Silent) -> None:
    async def main() -> None:
        orders = AsyncOrders(silent.config).with_options(timeout=1)
        with in_time(), pytest.raises(DeadlineExceededError):
            await orders.get("c1", "o1")
        with in_time(), pytest.raises(WriteOutcomeUnknownError):
            await orders.put(order(1))
        report = await orders.health_report(timeout_seconds=0.1)
        assert not report.healthy
        assert not await orders.health_check(timeout_seconds=0.1)

    asyncio.run(main())


def test_a_write_cancelled_on_its_way_is_unknown(silent: Silent) -> None:
    async def main() -> list[str]:
        task = asyncio.create_task(AsyncOrders(silent.config).put(order(1)))
        await asyncio.to_thread(silent.receive, b"PutItem")
        task.cancel()
        with in_time(), pytest.raises(asyncio.CancelledError) as caught:
            await task
        return caught.value.__notes__

    (note,) = asyncio.run(main())
    assert "PutItem on dev_orders for {'customer_id': 'c1', 'order_id': 'o001'}" in note


def test_cancelling_in_the_middle_of_much_leaves_a_repository_that_works(config: DynamoDBConfig) -> None:
    async def main() -> None:
        orders = AsyncOrders(config)
        for _ in range(20):
            task = asyncio.gather(*(orders.put(order(number)) for number in range(40)), return_exceptions=True)
            await asyncio.sleep(0.003)
            task.cancel()
            with pytest.raises(asyncio.CancelledError):
                await task
        assert await orders.count() == 40
        assert await orders.get("c1", "o001") == order(1)

    asyncio.run(main())


def test_hooks_and_conditions_are_on_the_loop(config: DynamoDBConfig) -> None:
    threads: list[int] = []
    events: list[RequestEvent] = []

    def note(event: RequestEvent) -> None:
        threads.append(threading.get_ident())
        events.append(event)

    async def main() -> None:
        orders = AsyncOrders(config)
        with observe(note):
            await orders.get_many([("c1", "o001"), ("c2", "o002")])
            with pytest.raises(ConditionFailedError):
                await orders.patch("c1", "o001", total=1, when=F.total == -1)
        assert set(threads) == {threading.get_ident()}

    asyncio.run(main())
    assert [(event.operation, event.outcome) for event in events] == [
        ("BatchGetItem", "ok"),
        ("UpdateItem", "ConditionFailedError"),
    ]


def test_generators_run_in_the_callers_task_and_context(config: DynamoDBConfig) -> None:
    request: ContextVar[str] = ContextVar("request")
    seen = set[tuple[str, int]]()

    def models() -> Iterator[Order]:
        for number in range(100):
            seen.add((request.get(), threading.get_ident()))
            yield order(number)

    async def main() -> None:
        request.set("r1")
        assert await AsyncOrders(config).put_many(models()) == 100
        assert seen == {("r1", threading.get_ident())}

    asyncio.run(main())


# --- plain dicts ----------------------------------------------------------------------------------------------------


def test_the_document_client(config: DynamoDBConfig) -> None:
    table = Orders(config).table_name

    async def main() -> None:
        async with get_async_dynamodb_client(config=config) as client:
            await client.put(TableName=table, Item={"customer_id": "c9", "order_id": "o1", "total": 7})
            answer = await client.get(TableName=table, Key={"customer_id": "c9", "order_id": "o1"})
            assert answer["Item"]["total"] == 7
            assert len([item async for item in client.iter_scan(TableName=table, Limit=7)]) == 41
            assert await client.health_check()
        assert not await client.health_check()
        with pytest.raises(Exception, match="destroyed"):
            await client.get(TableName=table, Key={})

    asyncio.run(main())
