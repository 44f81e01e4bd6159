"""The direct lane: it speaks HTTP to DynamoDB itself, at a fraction of botocore's price.

It goes where botocore would go, with botocore's credentials, and leaves to the botocore lane whatever somebody
relies on botocore for (see `guard`). Answers and errors are those of the botocore lane.
"""

from __future__ import annotations

import time
from math import inf
from typing import TYPE_CHECKING

from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.operations.effects import Call, Response
from dynamodb_wrapper.transport.deadlines import Abandonable, begin_sending
from dynamodb_wrapper.transport.failures import context_of
from dynamodb_wrapper.transport.forks import ForkSafeLock
from dynamodb_wrapper.transport.pool import Pool
from dynamodb_wrapper.transport.routes import Route, Routes

if TYPE_CHECKING:
    from dynamodb_wrapper.transport.drivers import Lane

_ANY = Call("GetItem", {})


class DirectLane:
    """Sends a call once, over its own connections; safe under threads and after a fork."""

    def __init__(self, routes: Routes, abandonable: Abandonable, *, fallback: Lane, max_connections: int) -> None:
        """Go by these routes; the fallback sends what may not go directly."""
        self._routes = routes
        self._abandonable = abandonable
        self._fallback = fallback
        self._max_connections = max_connections
        self._lock = ForkSafeLock()
        self._open: tuple[Route, Pool] | None = None
        self._closed = False

    def send(self, call: Call, time_left: float | None = None) -> Response:
        """Return the parsed answer.

        Args:
            call: What to send.
            time_left: The seconds it may take in all; None for the configuration's time limits alone.

        Raises:
            DeadlineExceededError: They were not enough.
            DynamoDBWrapperError: DynamoDB refused the request, or no whole answer came.
        """
        if time_left is None or self._routes.are_ready():
            found = self._routes.find(call)
        else:
            started = time.monotonic()
            found = self._abandonable.run(lambda: self._routes.find(call), time_left)
            time_left -= time.monotonic() - started
        if found is None or not found[0].is_for(call):
            return self._fallback.send(call, time_left)
        route, keys = found
        request, clock_offset = route.request(call, keys)
        begin_sending()
        try:
            answer = self._pool(route).exchange(request, inf if time_left is None else time_left)
            return route.outcome(call, answer, clock_offset)
        except DynamoDBWrapperError as error:
            error.context.update(context_of(call))
            raise

    def open_ahead(self, connections: int, time_left: float) -> int:
        """Open connections before they are needed, and return how many are ready; none where botocore sends requests.

        Raises:
            ConnectionError: None could be opened, or not in so many seconds.
        """
        found = self._routes.find(_ANY)
        if found is None or not found[0].is_for(_ANY):
            return self._fallback.open_ahead(connections, time_left)
        return self._pool(found[0]).open_ahead(connections, time_left)

    def close(self) -> None:
        """Close the connections for good: calls on their way end theirs."""
        with self._lock:
            self._closed = True
        self.disconnect()

    def disconnect(self) -> None:
        """Close the connections; the next call opens new ones."""
        with self._lock:
            opened, self._open = self._open, None
        if opened is not None:
            opened[1].close()

    def _pool(self, route: Route) -> Pool:
        opened = self._open
        return opened[1] if opened is not None and opened[0] is route else self._new_pool(route)

    def _new_pool(self, route: Route) -> Pool:
        with self._lock:
            old = self._open
            if old is not None and (old[0] is route or old[0].shares_connections_with(route)):
                self._open = route, old[1]
                return old[1]
            pool = Pool(route.endpoint, route.address, tls=route.tls, at_most=self._max_connections)
            self._open = route, pool
            if self._closed:  # since this call found its route: its connection is closed when it is given back
                pool.close()
        if old is not None:
            old[1].close()  # of a client that was disconnected, or of the process that this one was forked from
        return pool
