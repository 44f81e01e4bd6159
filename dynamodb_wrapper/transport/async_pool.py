"""The pool of keep-alive connections to one endpoint that belongs to an event loop."""

from __future__ import annotations

import asyncio
import socket
import ssl
import time
from collections import deque
from concurrent.futures import Future
from copy import copy
from dataclasses import dataclass
from math import inf
from typing import TypeVar

from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.transport import http
from dynamodb_wrapper.transport.async_streams import AsyncStream
from dynamodb_wrapper.transport.deadlines import LONGEST_WAIT_SECONDS
from dynamodb_wrapper.transport.errors import Endpoint
from dynamodb_wrapper.transport.failures import Hint, Verdict, hinted
from dynamodb_wrapper.transport.mishaps import Mishaps
from dynamodb_wrapper.transport.shared_work import SharedWork
from dynamodb_wrapper.transport.sockets import MOST_IDLE_SECONDS, Clock, Lookup, Tls, new_socket

R = TypeVar("R")

_TICKS_TO_CLOSE = 3  # rounds of the event loop, until the socket under a TLS connection is closed


@dataclass(slots=True)
class _Waiter:
    """A task in the queue for a connection, and how long it waits."""

    turn: asyncio.Future[AsyncStream | None]
    ends_at: float


class AsyncPool:
    """The connections to one endpoint: so many at most, the last one used first, tasks served in order.

    Belongs to the event loop in which it is used.
    """

    def __init__(
        self,
        endpoint: Endpoint,
        address: tuple[str, int],
        *,
        tls: Tls | None,
        at_most: int,
        clock: Clock = time.monotonic,
    ) -> None:
        """Connect to nothing yet.

        Args:
            endpoint: The same place, and the time limits.
            address: Host and port.
            tls: None for plain text.
            at_most: The connections open at a time.
            clock: Tells seconds that only grow.
        """
        self._endpoint = endpoint
        self._host = address[0]
        self._tls = tls
        self._at_most = at_most
        self._clock = clock
        self._mishaps = Mishaps(endpoint, at_most)
        self._lookup = Lookup(*address)
        self._loading = SharedWork[ssl.SSLContext]("dynamodb-certificates")
        self._open = 0  # those in use and those being made included
        self._idle: list[AsyncStream] = []
        self._streams: set[AsyncStream] = set()
        self._waiters: deque[_Waiter] = deque()
        self._timer: asyncio.TimerHandle | None = None
        self._timer_ends_at = 0.0
        self._closed = False

    async def exchange(self, request: bytes, seconds: float = inf) -> http.Answer:
        """Send a request and return its answer, within so many seconds in all and within the endpoint's time limits.

        When it is cancelled, the connection is closed, and the `CancelledError` is `hinted` to be safe if nothing of
        the request was handed to it.

        Raises:
            ConnectionError: It could not be sent, or no whole answer came.
        """
        now = self._clock()
        ends_at = now + seconds
        is_at_hand = self._idle and self._idle[-1].is_quiet(now)
        stream = self._idle.pop() if is_at_hand else await self._taken(ends_at)
        seconds, is_last = self._limited(self._endpoint.timeout_seconds, ends_at)
        answer = None
        try:
            if seconds <= 0:
                raise self._mishaps.no_time()
            answer = await stream.exchange(request, seconds)
            if answer is None:
                raise self._mishaps.closed_before()
            return answer
        except TimeoutError as error:
            raise self._mishaps.not_answered(seconds, error, is_last=is_last) from error
        except (EOFError, OSError) as error:
            raise self._mishaps.cut_off(error) from error
        finally:
            if answer is None:
                stream.close()
            self._give_back(stream)

    async def open_ahead(self, connections: int, seconds: float) -> int:
        """Open connections until there are so many, as far as the pool may have them, and return how many there are.

        Raises:
            ConnectionError: One of them could not be opened.
        """
        ends_at, wanted = self._clock() + seconds, min(connections, self._at_most)
        opening = [self._open_one(wanted, ends_at) for _ in range(wanted - self._open)]
        for failure in await asyncio.gather(*opening, return_exceptions=True):
            if failure is not None:
                raise failure
        return len(self._streams)

    def close(self) -> None:
        """Close the idle connections, and those in use when they are given back; closing twice is fine."""
        self._closed = True
        for stream in self._idle:
            stream.close()
        self._open -= len(self._idle)
        self._idle = []

    async def aclose(self) -> None:
        """Do what `close` does, and wait until the sockets are closed."""
        self.close()
        for _ in range(_TICKS_TO_CLOSE):
            await asyncio.sleep(0)

    def abort(self) -> None:
        """Close all connections, whoever uses them: the event loop ends."""
        self.close()
        for stream in self._streams:
            stream.close()

    def abandon(self) -> None:
        """Close the sockets without the event loop, which is closed, or another process's."""
        for stream in self._streams:
            stream.abandon()
        self._streams.clear()

    async def _open_one(self, wanted: int, ends_at: float) -> None:
        if self._open >= wanted:
            return
        self._open += 1
        stream = None
        try:
            stream = await self._connected(ends_at)
        finally:
            self._give_back(stream)

    async def _taken(self, ends_at: float) -> AsyncStream:
        """Return a connection that has to be given back; when it is cancelled, that is `hinted` to be safe."""
        try:
            while self._idle:
                stream = self._idle.pop()
                if await self._is_usable(stream):
                    return stream
                self._open -= 1
            if self._open < self._at_most:
                self._open += 1
            else:
                given = await self._turn(ends_at)
                if given is not None and (given.is_quiet(self._clock()) or await self._is_usable(given)):
                    return given
            return await self._newly_made(ends_at)
        except asyncio.CancelledError as cancelled:
            hinted(cancelled, Hint(Verdict.SAFE))
            raise

    async def _newly_made(self, ends_at: float) -> AsyncStream:
        try:
            return await self._connected(ends_at)
        except BaseException:
            self._give_back(None)
            raise

    async def _is_usable(self, stream: AsyncStream) -> bool:
        """Return whether a connection may carry a request; it is closed if not."""
        try:
            if await stream.is_usable(self._clock()):
                return True
        except BaseException:
            self._give_back(stream)
            raise
        stream.close()
        return False

    async def _turn(self, ends_at: float) -> AsyncStream | None:
        """Wait in the queue for a connection, or for the permission to open one."""
        seconds, is_last = self._limited(self._endpoint.timeout_seconds, ends_at)
        waiter = _Waiter(asyncio.get_running_loop().create_future(), self._clock() + seconds)
        self._waiters.append(waiter)
        self._watch(waiter.ends_at, seconds)
        try:
            return await waiter.turn
        except TimeoutError:
            raise self._mishaps.not_its_turn(seconds, is_last=is_last) from None
        except asyncio.CancelledError:
            if not waiter.turn.cancelled() and waiter.turn.exception() is None:  # it was served in the same moment
                self._give_back(waiter.turn.result())
            raise

    def _watch(self, ends_at: float, seconds: float) -> None:
        """Look at the queue when the time of one who waits is over: one timer for all costs less than one for each."""
        if self._timer is not None and self._timer_ends_at <= ends_at:
            return
        if self._timer is not None:
            self._timer.cancel()
        self._timer_ends_at = ends_at
        self._timer = asyncio.get_running_loop().call_later(max(0.0, seconds), self._look_at_queue)

    def _look_at_queue(self) -> None:
        self._timer, now = None, self._clock()
        self._waiters = deque(waiter for waiter in self._waiters if not waiter.turn.done())
        for waiter in self._waiters:
            if waiter.ends_at <= now:
                waiter.turn.set_exception(TimeoutError())
            else:
                self._watch(waiter.ends_at, waiter.ends_at - now)

    def _give_back(self, stream: AsyncStream | None) -> None:
        """Let the next one have a connection, or, when there is none or it is closed, the permission to open one."""
        if stream is not None:
            stream.idle_since = self._clock()
            if not stream.is_open:
                stream = None
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.turn.done():
                waiter.turn.set_result(stream)
                return
        if stream is None:
            self._open -= 1
            return
        if self._closed:
            stream.close()
            self._open -= 1
            return
        self._idle.append(stream)
        if stream.idle_since - self._idle[0].idle_since > MOST_IDLE_SECONDS:
            self._idle.pop(0).close()
            self._open -= 1

    def _lost(self, stream: AsyncStream) -> None:
        self._streams.discard(stream)
        if stream in self._idle:
            self._idle.remove(stream)
            self._open -= 1

    async def _connected(self, ends_at: float) -> AsyncStream:
        seconds, is_last = self._limited(self._endpoint.connect_timeout_seconds, ends_at)
        try:
            async with asyncio.timeout(seconds):
                context = None if self._tls is None else await self._context(self._tls)
                return await self._stream(await self._socket(self._clock() + seconds), context)
        except TimeoutError as error:
            raise self._mishaps.not_accepted(seconds, error, is_last=is_last) from error
        except OSError as error:
            raise self._mishaps.not_made(error) from error

    async def _context(self, tls: Tls) -> ssl.SSLContext:
        if (loaded := tls.loaded) is not None:
            return loaded
        return await own_outcome(self._loading.outcome(tls.context))

    async def _socket(self, ends_at: float) -> socket.socket:
        addresses = await own_outcome(self._lookup.begun())
        failure = OSError("the host has no address")
        for tried, (family, kind, protocol, _, address) in enumerate(addresses):
            connected = new_socket(family, kind, protocol)
            try:
                connected.setblocking(False)
                async with asyncio.timeout((ends_at - self._clock()) / (len(addresses) - tried)):  # each its share
                    await asyncio.get_running_loop().sock_connect(connected, address)
            except OSError as error:
                connected.close()
                failure = error
            except BaseException:
                connected.close()
                raise
            else:
                return connected
        raise failure

    async def _stream(self, connected: socket.socket, context: ssl.SSLContext | None) -> AsyncStream:
        stream = AsyncStream(connected, self._lost, self._clock, is_tls=context is not None)
        try:
            await asyncio.get_running_loop().create_connection(
                lambda: stream,
                sock=connected,
                ssl=context,
                server_hostname=None if context is None else self._host,
                ssl_handshake_timeout=None if context is None else LONGEST_WAIT_SECONDS,
            )
        except BaseException:
            stream.discard()
            raise
        if stream.is_open:
            self._streams.add(stream)
        return stream

    def _limited(self, seconds: float, ends_at: float) -> tuple[float, bool]:
        """Return how long something may take, and whether that is all the time left of the call."""
        left = ends_at - self._clock()
        return min(seconds, left), left <= seconds


async def own_outcome(shared: Future[R]) -> R:
    """Return what others wait for as well; an error of ours, on which everybody notes something, is a copy."""
    try:
        return await asyncio.wrap_future(shared)
    except DynamoDBWrapperError as error:
        own = copy(error)
        own.context = dict(error.context)
        raise own from error
