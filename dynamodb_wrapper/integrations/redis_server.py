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
    from redis import ConnectionPool, Redis, RedisError
    from redis.asyncio import ConnectionPool as AsyncConnectionPool
    from redis.asyncio import Redis as AsyncRedis
    from redis.asyncio.retry import Retry as AsyncRetry
    from redis.backoff import NoBackoff
    from redis.retry import Retry
except ImportError as missing:
    raise DynamoDBWrapperError("redis is not installed: pip install 'dynamodb-wrapper[redis]'", missing) from missing

_log = logging.getLogger("dynamodb_wrapper.cache")

Command = tuple[str | bytes | int, ...]

BUSY = b"busy"
"""In place of a token: nothing that depends on it is used or kept."""
OWED_MS = 10_000
"""How long what was missed is kept from being used, once the server is told."""
_MAX_CONNECTIONS = 10_000
"""No limit: each thread that asks has one, and each event loop."""
_MOST_TOGETHER = 100
"""Questions that are sent at once."""
_FIRST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 30.0
_MOST_OWED = 1000
"""For a table; beyond, all of the table is owed instead."""
_SCHEMES = ("redis://", "rediss://", "unix://")


class _UrlError(RedisError):
    """The function that returns the URL has failed."""


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
        self._limits: dict[str, Any] = {
            "max_connections": _MAX_CONNECTIONS,
            "socket_timeout": timeout_seconds,
            "socket_connect_timeout": timeout_seconds,
        }
        self._timer = timer
        self._lock = ForkSafeLock()
        self._client: Redis | None = None
        self._on_loops: WeakKeyDictionary[asyncio.AbstractEventLoop, _Messenger] = WeakKeyDictionary()
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
        turn = self.turn()
        if turn is None:
            return None
        try:
            client = self._blocking()
            pipeline: Any = client.pipeline(transaction=False)
            for command in (*turn.owed(), *request):
                pipeline.execute_command(*command)
            try:
                replies: list[Any] = pipeline.execute()[-len(request) :]
            finally:
                if client is not self._client:  # it was disconnected meanwhile
                    _close_idle(client)
        except (RedisError, OSError) as error:
            self.failed(turn, error)
            return None
        self.succeeded(turn)
        return replies

    async def ask_on_loop(self, request: Sequence[Command]) -> list[Any] | None:
        """Return the replies to commands, which are sent together; None when it is away."""
        return await self._on_loop().ask(request)

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
        """Close the connections of threads, those in use when they no longer are; the next question opens anew."""
        with self._lock:
            client, self._client = self._client, None
        if client is not None:
            _close_idle(client)

    async def aclose(self) -> None:
        """Close the connections of the running event loop; the next question opens new ones."""
        messenger = self._on_loops.pop(asyncio.get_running_loop(), None)
        if messenger is not None:
            await messenger.aclose()

    def turn(self) -> _Turn | None:
        """Return what it has to be told first; None when it is not to be asked now."""
        with self._lock:
            if self._closed_until is not None:
                now = self._timer()
                if now < self._closed_until:
                    return None
                self._closed_until = now + self._timeout  # the others wait for how this one fares
            marks = [(whole, key, mark) for whole, keys in self._owed.items() for key, mark in keys.items()]
            return _Turn(self.failures, marks)

    def succeeded(self, turn: _Turn) -> None:
        """Note that it has answered."""
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

    def failed(self, turn: _Turn, error: Exception) -> None:
        """Note that it has not, and leave it alone for a while."""
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
            type(error.__cause__ if isinstance(error, _UrlError) else error).__name__,
            pause,
        )

    def _blocking(self) -> Redis:
        client = self._client
        if client is None or self._generation != generation():
            with self._lock:
                self._renew()
                if self._client is None:
                    pool = ConnectionPool.from_url(self._resolved(), retry=Retry(NoBackoff(), 0), **self._limits)
                    self._client = Redis(connection_pool=pool)  # which leaves the pool open when it is collected
                client = self._client
        return client

    def _on_loop(self) -> _Messenger:
        loop = asyncio.get_running_loop()
        with self._lock:
            self._renew()
            messenger = self._on_loops.get(loop)
            if messenger is None:
                messenger = self._on_loops[loop] = _Messenger(self)
            return messenger

    def new_async_client(self) -> AsyncRedis:
        """Return a client for one event loop."""
        pool = AsyncConnectionPool.from_url(self._resolved(), retry=AsyncRetry(NoBackoff(), 0), **self._limits)
        return AsyncRedis.from_pool(pool)

    def _renew(self) -> None:
        """Let a forked child open connections of its own."""
        if self._generation != generation():
            self._client, self._on_loops, self._generation = None, WeakKeyDictionary(), generation()

    def _resolved(self) -> str:
        if not callable(self._url):
            return self._url
        try:
            url = self._url()
        except Exception as error:  # whatever it asks may be away as well
            raise _UrlError from error
        _check_url(url)
        return url


class _Messenger:
    """Asks the server on behalf of the tasks of one event loop, over one connection: what comes up meanwhile, at once.

    Whoever is cancelled leaves its question behind; the connection is never left in the middle of an answer.
    """

    def __init__(self, server: RedisServer) -> None:
        self._server = server
        self._client: AsyncRedis | None = None
        self._waiting: list[tuple[Sequence[Command], asyncio.Future[list[Any] | None]]] = []
        self._sending: asyncio.Task[None] | None = None

    async def ask(self, request: Sequence[Command]) -> list[Any] | None:
        """Return the replies to commands; None when the server is away."""
        loop = asyncio.get_running_loop()
        answer: asyncio.Future[list[Any] | None] = loop.create_future()
        self._waiting.append((request, answer))
        if self._sending is None:
            # Not by create_task: a loop with eager tasks would begin before the other tasks have asked.
            self._sending = asyncio.Task(self._send(), loop=loop)
        return await answer

    async def aclose(self) -> None:
        """Close the connection when what is on its way has come back."""
        if self._sending is not None:
            await asyncio.wait((self._sending,))
        if self._client is not None:
            await self._client.aclose()

    async def _send(self) -> None:
        together = self._waiting
        try:
            while self._waiting:
                together, self._waiting = self._waiting[:_MOST_TOGETHER], self._waiting[_MOST_TOGETHER:]
                replies = await self._exchange([command for request, _ in together for command in request])
                for request, answer in together:
                    if not answer.done():
                        answer.set_result(None if replies is None else replies[: len(request)])
                    replies = None if replies is None else replies[len(request) :]
        finally:
            self._sending = None
            for _, answer in (*together, *self._waiting):
                if not answer.done():
                    answer.set_result(None)

    async def _exchange(self, commands: Sequence[Command]) -> list[Any] | None:
        turn = self._server.turn()
        if turn is None:
            return None
        try:
            if self._client is None:
                self._client = self._server.new_async_client()
            pipeline: Any = self._client.pipeline(transaction=False)
            for command in (*turn.owed(), *commands):
                pipeline.execute_command(*command)
            replies: list[Any] = (await pipeline.execute())[-len(commands) :]
        except (RedisError, OSError) as error:
            self._server.failed(turn, error)
            return None
        self._server.succeeded(turn)
        return replies


def _close_idle(client: Redis) -> None:
    """Close connections, but none in use: whoever waits for an answer there would get an AttributeError of redis."""
    client.connection_pool.disconnect(inuse_connections=False)


def _check_url(url: object) -> None:
    problem = f"RedisCache: the url is a text that begins with {', '.join(_SCHEMES)}, or a function that returns one"
    if not isinstance(url, str) or not url.startswith(_SCHEMES):
        raise DeclarationError(problem)  # without the URL, which may have a password
    try:
        pool: Any = ConnectionPool.from_url(url)
        pool.make_connection()  # which is not opened, and has the last say about the options
    except (ValueError, TypeError, RedisError):
        raise DeclarationError(f"{problem}; this one has a part that is not understood") from None
    if "decode_responses" in pool.connection_kwargs:
        raise DeclarationError("RedisCache: leave decode_responses out of the url: what is kept there are bytes")
