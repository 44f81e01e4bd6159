"""A Redis server as caches use it: asked for a short time, left alone while it is away, told later what it missed."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple
from urllib.parse import urlsplit
from weakref import WeakKeyDictionary

from dynamodb_wrapper.exceptions import DeclarationError, DynamoDBWrapperError
from dynamodb_wrapper.transport.forks import ForkSafeLock, generation

try:
    from redis import BlockingConnectionPool, Redis, RedisError
    from redis.asyncio import BlockingConnectionPool as AsyncBlockingConnectionPool
    from redis.asyncio import Redis as AsyncRedis
    from redis.asyncio.retry import Retry as AsyncRetry
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as missing:
    raise DynamoDBWrapperError("redis is not installed: pip install 'dynamodb_wrapper[redis]'", missing) from missing

_log = logging.getLogger("dynamodb_wrapper.cache")

Command = tuple[str | bytes | int, ...]

BUSY = b"busy"
"""In place of a token: nothing that depends on it is used or kept."""
OWED_MS = 10_000
"""How long what was missed is kept from being used, once the server is told."""
_MAX_CONNECTIONS = 50
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_MOST_OWED = 1000
"""For a table; beyond, all of the table is owed instead."""
_SCHEMES = ("redis://", "rediss://", "unix://")


class _Turn(NamedTuple):
    """One question: how many failures there were before it, and what the server has to be told with it."""

    failures: int
    marks: Sequence[tuple[bytes, bytes, object]]

    def owed(self) -> list[Command]:
        """Return the commands that tell it."""
        keys = [key for _, key, _ in self.marks]
        return [("DEL", *keys), *(("SET", key, BUSY, "PX", OWED_MS) for key in keys)] if keys else []


class RedisServer:
    """Answers lists of commands, in threads and on event loops; never raises for a server that is away.

    After a failure it is not asked for half a second, then twice as long, up to 30 seconds; then one caller tries.

    Attributes:
        failures: How often it failed; several at one time count once.
    """

    def __init__(
        self,
        url: str | Callable[[], str],
        timeout_seconds: float,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        """Connect to nothing yet.

        Raises:
            DeclarationError: The URL is none of a Redis server.
        """
        if not callable(url):
            _check_url(url)
        self._url = url
        self._timeout = timeout_seconds
        self._timer = timer
        self._lock = ForkSafeLock()
        self._client: Redis | None = None
        self._on_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, AsyncRedis] = WeakKeyDictionary()
        self._generation = generation()
        self._owed: dict[bytes, dict[bytes, object]] = {}
        self._closed_until: float | None = None
        self._pause = _FIRST_PAUSE_SECONDS
        self.failures = 0

    def __repr__(self) -> str:
        """Name the server, without user and password."""
        if callable(self._url):
            return f"RedisServer({getattr(self._url, '__qualname__', 'a function')})"
        parts = urlsplit(self._url)
        port = f":{parts.port}" if parts.port else ""
        return f"RedisServer({parts.scheme}://{parts.hostname or ''}{port}{parts.path})"

    def ask(self, request: Sequence[Command]) -> list[Any] | None:
        """Return the replies to commands, which are sent together; None when it is away."""
        turn = self._turn()
        if turn is None:
            return None
        try:
            pipeline: Any = self._blocking().pipeline(transaction=False)
            for command in (*turn.owed(), *request):
                pipeline.execute_command(*command)
            replies = pipeline.execute()[-len(request) :]
        except (RedisError, OSError) as error:
            self._failed(turn, error)
            return None
        self._succeeded(turn)
        return replies

    async def ask_on_loop(self, request: Sequence[Command]) -> list[Any] | None:
        """Return the replies to commands, which are sent together; None when it is away."""
        turn = self._turn()
        if turn is None:
            return None
        try:
            pipeline: Any = self._on_loop().pipeline(transaction=False)
            for command in (*turn.owed(), *request):
                pipeline.execute_command(*command)
            replies = (await pipeline.execute())[-len(request) :]
        except (RedisError, OSError) as error:
            self._failed(turn, error)
            return None
        self._succeeded(turn)
        return replies

    def owe(self, whole: bytes, keys: Iterable[bytes]) -> None:
        """Note what it must be told, before it is asked anything else, to be no longer valid.

        Args:
            whole: The key on which everything of the table depends.
            keys: What is no longer valid.
        """
        with self._lock:
            of_table = self._owed.setdefault(whole, {})
            of_table.update((key, object()) for key in keys)
            if len(of_table) > _MOST_OWED:
                self._owed[whole] = {whole: object()}

    def disconnect(self) -> None:
        """Close the connections of threads; the next question opens new ones."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            client.close()

    async def aclose(self) -> None:
        """Close the connections of the running event loop; the next question opens new ones."""
        client = self._on_loops.pop(asyncio.get_running_loop(), None)
        if client is not None:
            await client.aclose()

    def _turn(self) -> _Turn | None:
        """Return what it has to be told first; None when it is not to be asked now."""
        with self._lock:
            if self._closed_until is not None:
                now = self._timer()
                if now < self._closed_until:
                    return None
                self._closed_until = now + self._timeout  # the others wait for how this one fares
            marks = [(whole, key, mark) for whole, keys in self._owed.items() for key, mark in keys.items()]
            return _Turn(self.failures, marks)

    def _succeeded(self, turn: _Turn) -> None:
        if turn.marks or self._closed_until is not None:
            with self._lock:
                for whole, key, mark in turn.marks:
                    of_table = self._owed.get(whole, {})
                    if of_table.get(key) is mark:  # else it is owed anew
                        del of_table[key]
                    if not of_table:
                        self._owed.pop(whole, None)
                is_back = self._closed_until is not None and turn.failures == self.failures
                if is_back:
                    self._closed_until, self._pause = None, _FIRST_PAUSE_SECONDS
            if is_back:
                _log.info("%r answers again", self)

    def _failed(self, turn: _Turn, error: Exception) -> None:
        with self._lock:
            if turn.failures != self.failures:  # of several that failed together, the first has closed it
                return
            self.failures += 1
            pause = self._pause
            self._closed_until = self._timer() + pause
            self._pause = min(2 * pause, _LONGEST_PAUSE_SECONDS)
        # Not the message: that of a refused command may quote what was sent.
        _log.warning(
            "%r failed with %s: nothing is cached there for %g s, reads go to DynamoDB",
            self,
            type(error).__name__,
            pause,
        )

    def _blocking(self) -> Redis:
        client = self._client
        if client is None or self._generation != generation():
            with self._lock:
                self._renew()
                if self._client is None:
                    pool = BlockingConnectionPool.from_url(
                        self._resolved(), retry=Retry(NoBackoff(), 0), **self._limits()
                    )
                    self._client = Redis.from_pool(pool)
                client = self._client
        return client

    def _on_loop(self) -> AsyncRedis:
        loop = asyncio.get_running_loop()
        with self._lock:
            self._renew()
            client = self._on_loops.get(loop)
            if client is None:
                pool = AsyncBlockingConnectionPool.from_url(
                    self._resolved(), retry=AsyncRetry(NoBackoff(), 0), **self._limits()
                )
                client = self._on_loops[loop] = AsyncRedis.from_pool(pool)
            return client

    def _renew(self) -> None:
        """Let a forked child open connections of its own."""
        if self._generation != generation():
            self._client, self._on_loops, self._generation = None, WeakKeyDictionary(), generation()

    def _resolved(self) -> str:
        if not callable(self._url):
            return self._url
        url = self._url()
        _check_url(url)
        return url

    def _limits(self) -> dict[str, Any]:
        return {
            "max_connections": _MAX_CONNECTIONS,
            "timeout": self._timeout,
            "socket_timeout": self._timeout,
            "socket_connect_timeout": self._timeout,
        }


def _check_url(url: object) -> None:
    if not isinstance(url, str) or not url.startswith(_SCHEMES):
        raise DeclarationError(  # without the URL, which may have a password
            f"RedisCache: the url is a text that begins with {', '.join(_SCHEMES)}, or a function that returns one"
        )
