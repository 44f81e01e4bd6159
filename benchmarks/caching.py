"""What a hit of the read-through cache costs against a `get`: ``python -m benchmarks.caching [redis url]``.

The server answers at once from this machine, so a `get` costs as little as it can; over a network it takes longer by
the time on the way and in DynamoDB, and a hit in the process does not. All are measured in turns, in one process:
medians of many turns, by the clock on the wall and by the processor's time of this process.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import Callable, Coroutine
from statistics import median
from typing import Any

from benchmarks.data import PARTITION, SORT_KEY, TABLE
from benchmarks.models import Customer
from benchmarks.peers.ours import CustomerRepository, config
from benchmarks.processes import canned_server
from dynamodb_wrapper import AsyncBaseDynamoRepository
from dynamodb_wrapper.transport import Cache

TURNS = 200
CALLS = 20


class Cached(CustomerRepository):
    """Keeps answers in the process."""

    cache = Cache(ttl=3600)


class AsyncCustomers(AsyncBaseDynamoRepository[Customer]):
    """Keeps nothing."""

    table_name = TABLE
    primary_key = "pk"
    sort_key = "sk"


class AsyncCached(AsyncCustomers):
    """Keeps answers in the process."""

    cache = Cache(ttl=3600)


def on_redis(base: Any, url: str) -> Any:
    """Return a repository class that keeps answers on a Redis server."""
    from dynamodb_wrapper.integrations.redis import RedisCache

    return type("OnRedis", (base,), {"cache": RedisCache(url, ttl=3600, timeout_seconds=1)})


class Stopwatch:
    """Takes the time of calls, by the wall and by the processor."""

    def __init__(self) -> None:
        self._turns: dict[str, list[tuple[float, float]]] = {}

    def start(self) -> None:
        """Begin a turn."""
        self._wall, self._processor = time.perf_counter(), time.process_time()

    def stop(self, name: str) -> None:
        """End the turn."""
        wall, processor = time.perf_counter() - self._wall, time.process_time() - self._processor
        self._turns.setdefault(name, []).append((wall / CALLS * 1e6, processor / CALLS * 1e6))

    def medians(self) -> dict[str, tuple[float, float]]:
        """Return microseconds of a call, by the wall and by the processor."""
        return {name: (median(w for w, _ in turns), median(p for _, p in turns)) for name, turns in self._turns.items()}


def blocking(endpoint_url: str, redis: str | None) -> Stopwatch:
    """Return the times for each kind of reading."""
    classes: dict[str, Any] = {"get": CustomerRepository, "hit in the process": Cached}
    if redis is not None:
        classes["hit on Redis"] = on_redis(CustomerRepository, redis)
    made = {name: cls(config(endpoint_url)) for name, cls in classes.items()}
    watch = Stopwatch()
    for _ in range(TURNS):
        for name, repository in made.items():
            watch.start()
            for _ in range(CALLS):
                repository.get(PARTITION, SORT_KEY)
            watch.stop(name)
    return watch


async def on_loop(endpoint_url: str, redis: str | None) -> Stopwatch:
    """Return the times for each kind of reading, one after another on an event loop."""
    classes: dict[str, Any] = {"async get": AsyncCustomers, "async hit in the process": AsyncCached}
    if redis is not None:
        classes["async hit on Redis"] = on_redis(AsyncCustomers, redis)
    made = {name: cls(config(endpoint_url)) for name, cls in classes.items()}
    watch = Stopwatch()
    for _ in range(TURNS):
        for name, repository in made.items():
            read: Callable[..., Coroutine[Any, Any, object]] = repository.get
            watch.start()
            for _ in range(CALLS):
                await read(PARTITION, SORT_KEY)
            watch.stop(name)
    for repository in made.values():
        await repository.aclose()
    return watch


def main() -> None:
    """Measure and print."""
    os.environ.setdefault("AWS_REGION", "us-east-1")
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "testing")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "testing")
    redis = sys.argv[1] if len(sys.argv) > 1 else None
    with canned_server() as server:
        found = blocking(server.url, redis).medians() | asyncio.run(on_loop(server.url, redis)).medians()
    print("| reading | µs | of the processor |\n|---|---|---|")
    for name, (wall, processor) in found.items():
        print(f"| {name} | {wall:,.1f} | {processor:,.1f} |")


if __name__ == "__main__":
    main()
