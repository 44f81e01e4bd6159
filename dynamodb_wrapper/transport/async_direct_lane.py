"""The direct lane of event loops: the connections belong to the loop, and no call takes a thread."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import dataclass, field
from math import inf

from dynamodb_wrapper.exceptions import DeadlineExceededError, DynamoDBWrapperError
from dynamodb_wrapper.operations.effects import Call, Response
from dynamodb_wrapper.transport.async_driver import AsyncLane
from dynamodb_wrapper.transport.async_pool import AsyncPool, own_outcome
from dynamodb_wrapper.transport.failures import Hint, Verdict, context_of, hinted
from dynamodb_wrapper.transport.forks import ForkSafeLock, generation
from dynamodb_wrapper.transport.guard import FrozenKeys
from dynamodb_wrapper.transport.routes import Route, Routes
from dynamodb_wrapper.transport.shared_work import SharedWork

Found = tuple[Route, FrozenKeys] | None


@dataclass(frozen=True, slots=True)
class _Opened:
    """The pool of an event loop."""

    route: Route
    pool: AsyncPool
    generation: int = field(default_factory=generation)


class AsyncDirectLane:
    """Sends a call once, over connections of the running event loop.

    Any number of loops may use it, one after another or at the same time. When a loop ends in good order, as those of
    `asyncio.run` do, its connections are closed. After a fork the child has connections of its own.
    """

    def __init__(self, routes: Routes, *, fallback: AsyncLane, max_connections: int) -> None:
        """Go by these routes; the fallback sends what may not go directly."""
        self._routes = routes
        self._fallback = fallback
        self._max_connections = max_connections
        self._finding = SharedWork[Found]("dynamodb-route")
        self._lock = ForkSafeLock()
        self._opened: dict[asyncio.AbstractEventLoop, _Opened] = {}
        self._ends: dict[asyncio.AbstractEventLoop, AsyncGenerator[None, None]] = {}
        self._closed = False

    async def send(self, call: Call, time_left: float | None = None) -> Response:
        """Return the parsed answer.

        When it is cancelled, the `CancelledError` is `hinted` to be safe if the request was not handed to a connection.

        Args:
            call: What to send.
            time_left: The seconds it may take in all; None for the configuration's time limits alone.

        Raises:
            DeadlineExceededError: They were not enough.
            DynamoDBWrapperError: DynamoDB refused the request, or no whole answer came.
        """
        if self._routes.are_ready():
            found = self._routes.find(call)
        else:
            started = time.monotonic()
            found = await self._found(call, time_left)
            time_left = None if time_left is None else time_left - (time.monotonic() - started)
        if found is None or not found[0].is_for(call):
            return await self._fallback.send(call, time_left)
        route, keys = found
        request, clock_offset = route.request(call, keys)
        try:
            answer = await self._pool(route).exchange(request, inf if time_left is None else time_left)
            return route.outcome(call, answer, clock_offset)
        except DynamoDBWrapperError as error:
            error.context.update(context_of(call))
            raise

    async def open_ahead(self, connections: int, time_left: float) -> int:
        """Open connections of the running event loop, so many in all, and return how many there are.

        They wait for calls, for a minute at most. There are no more than the pool may have, and none when calls do not
        go directly at this moment.

        Args:
            connections: How many.
            time_left: The seconds it may take.

        Raises:
            DynamoDBWrapperError: A connection could not be opened, or there are no credentials to be had.
        """
        started = time.monotonic()
        call = Call("GetItem", {})
        found = await self._found(call, time_left)
        if found is None or not found[0].is_for(call):
            return 0
        return await self._pool(found[0]).open_ahead(connections, time_left - (time.monotonic() - started))

    async def aclose(self) -> None:
        """Close the connections of the running event loop; the next call opens new ones."""
        with self._lock:
            opened = self._opened.pop(asyncio.get_running_loop(), None)
        if opened is not None:
            await opened.pool.aclose()
        await self._fallback.aclose()

    def forget(self) -> None:
        """Close the connections of all event loops, as soon as these run; the next call opens new ones."""
        with self._lock:
            self._finding = SharedWork[Found]("dynamodb-route")  # nobody joins what began before
            self._end_closed_loops()
            forgotten = {loop: opened for loop, opened in self._opened.items() if opened.generation == generation()}
            for loop in forgotten:
                del self._opened[loop]
        for loop, opened in forgotten.items():
            with suppress(RuntimeError):  # the loop was closed just now, so all that was open in it is
                loop.call_soon_threadsafe(opened.pool.close)
        self._fallback.forget()

    def close(self) -> None:
        """Close the connections of all event loops for good: calls on their way end theirs."""
        with self._lock:
            self._closed = True
        self.forget()

    async def _found(self, call: Call, time_left: float | None) -> Found:
        """Return the route and the keys, when making a client or fetching credentials takes its time.

        Neither can be interrupted, so they have a thread, one for all tasks that wait for the same.
        """
        unnamed = Call(call.operation, {})  # for an error that others get as well
        limit = asyncio.timeout(time_left)
        try:
            async with limit:
                return await own_outcome(self._finding.outcome(lambda: self._routes.find(unnamed)))
        except TimeoutError as error:
            if not limit.expired():
                raise
            message = f"the request could not be sent within the {time_left:.3g} s that were left of the time limit"
            raise hinted(DeadlineExceededError(message, error, context_of(call)), Hint(Verdict.SAFE)) from None
        except asyncio.CancelledError as cancelled:
            hinted(cancelled, Hint(Verdict.SAFE))
            raise
        except DynamoDBWrapperError as error:
            error.context.update(context_of(call))
            raise

    def _pool(self, route: Route) -> AsyncPool:
        loop = asyncio.get_running_loop()
        opened = self._opened.get(loop)
        if opened is not None and opened.route is route and opened.generation == generation():
            return opened.pool
        return self._new_pool(route, loop)

    def _new_pool(self, route: Route, loop: asyncio.AbstractEventLoop) -> AsyncPool:
        with self._lock:
            self._end_closed_loops()
            old = self._opened.get(loop)
            if old is not None and old.route.shares_connections_with(route):
                self._opened[loop] = _Opened(route, old.pool)
                return old.pool
            pool = AsyncPool(route.endpoint, route.address, tls=route.tls, at_most=self._max_connections)
            self._opened[loop] = _Opened(route, pool)
            if self._closed:  # since this call found its route: its connection is closed when it is given back
                pool.close()
            if loop not in self._ends:
                self._ends[loop] = ending = self._end_of_loop(loop)
                with suppress(StopIteration):
                    ending.__anext__().send(None)  # it is begun without waiting
        if old is not None and old.generation == generation():
            old.pool.close()  # of a client that was disconnected
        return pool

    async def _end_of_loop(self, loop: asyncio.AbstractEventLoop) -> AsyncGenerator[None, None]:
        """Wait for the end of an event loop: a loop closes the asynchronous generators that were begun in it."""
        try:
            yield
        finally:
            with self._lock:  # another loop's thread may be looking through them
                opened = self._opened.pop(loop, None)
            if opened is not None:
                opened.pool.abort()
                await opened.pool.aclose()

    def _end_closed_loops(self) -> None:
        """Leave nothing open of loops that were closed without such an end, or that are another process's."""
        for opened in self._opened.values():
            if opened.generation != generation():
                opened.pool.abandon()
        for loop in [loop for loop in self._ends if loop.is_closed()]:
            del self._ends[loop]
            if (closed := self._opened.pop(loop, None)) is not None:
                closed.pool.abandon()
