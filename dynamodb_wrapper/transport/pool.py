"""The pool of keep-alive connections to one endpoint."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections import deque
from contextlib import nullcontext
from math import inf

from dynamodb_wrapper.transport import http
from dynamodb_wrapper.transport.errors import Endpoint
from dynamodb_wrapper.transport.forks import generation
from dynamodb_wrapper.transport.mishaps import Mishaps
from dynamodb_wrapper.transport.sockets import MOST_IDLE_SECONDS, Clock, Lookup, Stream, Tls, new_socket


class _Waiter:
    """A thread in the queue for a connection."""

    __slots__ = ("stream", "turn")

    def __init__(self) -> None:
        self.turn = threading.Lock()
        self.turn.acquire()
        self.stream: Stream | None = None


class Pool:
    """The connections to one endpoint: so many at most, the last one used first, threads served in order.

    Safe under threads. A forked child makes its own pool and closes this one, which leaves the parent's alone.
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
        self._host, self._port = address
        self._tls = tls
        self._at_most = at_most
        self._clock = clock
        self._mishaps = Mishaps(endpoint, at_most)
        self._lookup = Lookup(self._host, self._port)
        self._lock = threading.RLock()  # every call takes it twice; one that is fork-safe takes longer
        self._generation = generation()
        self._open = 0
        self._idle: list[Stream] = []
        self._waiters: deque[_Waiter] = deque()
        self._closed = False

    def exchange(self, request: bytes, seconds: float = inf) -> http.Answer:
        """Send a request and return its answer, within so many seconds in all and within the endpoint's time limits.

        Raises:
            ConnectionError: It could not be sent, or no whole answer came.
        """
        ends_at = self._clock() + seconds
        stream, kept = self._take(ends_at), None
        try:
            if stream is None:
                stream = self._connect(ends_at)
            answer = self._exchange(stream, request, ends_at)
            if answer.reusable:
                kept = stream
            return answer
        finally:
            if stream is not None and kept is None:
                stream.close()
            self._give_back(kept)

    def open_ahead(self, count: int, seconds: float) -> int:
        """Open connections until so many are there to be used, or all that may be; return how many are.

        One after another, within so many seconds in all and within the endpoint's time limit for each.

        Raises:
            ConnectionError: One could not be opened; those before it are there.
        """
        ends_at = self._clock() + seconds
        held: list[Stream | None] = []
        try:
            while len(held) < count and (self._idle or self._open < self._at_most):
                held.append(self._take(ends_at))
                if held[-1] is None:
                    held[-1] = self._connect(ends_at)
            return len(held)
        finally:
            for stream in held:
                self._give_back(stream)

    def close(self) -> None:
        """Close the idle connections, and those in use when they are given back; closing twice is fine."""
        # In a forked child, a thread of the parent's may hold the lock for ever; and nobody else has the pool.
        with self._lock if self._generation == generation() else nullcontext():
            self._closed = True
            idle, self._idle = self._idle, []
            self._open -= len(idle)
        for stream in idle:
            stream.close()

    def _take(self, ends_at: float) -> Stream | None:
        """Return a connection, or None for the permission to open one. Whichever it is has to be given back."""
        while True:
            waiter = stream = None
            with self._lock:  # one look at all of it: what is given back in between would be waited for in vain
                if self._idle:
                    stream = self._idle.pop()
                elif self._open < self._at_most:
                    self._open += 1
                    return None
                else:
                    waiter = _Waiter()
                    self._waiters.append(waiter)
            if waiter is not None:
                stream = self._wait_for_turn(waiter, ends_at)
            if stream is None or stream.is_usable(self._clock()):
                return stream
            stream.close()
            if waiter is not None:
                return None  # it was this one's turn
            self._give_back(None)

    def _wait_for_turn(self, waiter: _Waiter, ends_at: float) -> Stream | None:
        seconds, is_last = self._limited(self._endpoint.timeout_seconds, ends_at)
        is_served = False
        try:
            is_served = waiter.turn.acquire(timeout=max(0.0, seconds))
        finally:
            if not is_served:
                self._leave_queue(waiter)
        if not is_served:
            raise self._mishaps.not_its_turn(seconds, is_last=is_last)
        return waiter.stream

    def _leave_queue(self, waiter: _Waiter) -> None:
        with self._lock:
            was_waiting = waiter in self._waiters
            if was_waiting:
                self._waiters.remove(waiter)
        if not was_waiting:  # it was served just now
            self._give_back(waiter.stream)

    def _give_back(self, stream: Stream | None) -> None:
        """Let the next one have a connection, or the permission to open one."""
        now = self._clock()
        if stream is not None:
            stream.idle_since = now
        superfluous: list[Stream] = []
        with self._lock:
            if self._waiters:
                waiter = self._waiters.popleft()
                waiter.stream = stream
                waiter.turn.release()
                return
            if stream is None:
                self._open -= 1
            elif self._closed:
                superfluous.append(stream)
            else:
                self._idle.append(stream)
                if now - self._idle[0].idle_since > MOST_IDLE_SECONDS:
                    superfluous.append(self._idle.pop(0))
            self._open -= len(superfluous)
        for unused in superfluous:
            unused.close()

    def _exchange(self, stream: Stream, request: bytes, ends_at: float) -> http.Answer:
        seconds, is_last = self._limited(self._endpoint.timeout_seconds, ends_at)
        if seconds <= 0:
            raise self._mishaps.no_time()
        ends_at = self._clock() + seconds
        try:
            if not stream.send(request, seconds):
                raise self._mishaps.closed_before()
            return stream.receive(ends_at, self._clock)
        except TimeoutError as error:
            raise self._mishaps.not_answered(seconds, error, is_last=is_last) from error
        except (EOFError, OSError) as error:
            raise self._mishaps.cut_off(error) from error

    def _connect(self, ends_at: float) -> Stream:
        seconds, is_last = self._limited(self._endpoint.connect_timeout_seconds, ends_at)
        try:
            connected = self._opened(self._clock() + seconds)
        except TimeoutError as error:
            raise self._mishaps.not_accepted(seconds, error, is_last=is_last) from error
        except OSError as error:
            raise self._mishaps.not_made(error) from error
        return Stream(connected, self._clock())

    def _opened(self, ends_at: float) -> socket.socket:
        if self._tls is None:
            return self._connected(ends_at)
        context = self._tls.context()
        return self._secured(context, self._connected(ends_at), ends_at)

    def _connected(self, ends_at: float) -> socket.socket:
        addresses = self._lookup.addresses(self._left(ends_at))
        failure = OSError("the host has no address")
        for tried, (family, kind, protocol, _, address) in enumerate(addresses):
            connected = new_socket(family, kind, protocol)
            try:
                connected.settimeout(self._left(ends_at) / (len(addresses) - tried))  # each gets its share
                connected.connect(address)
            except OSError as error:
                connected.close()
                failure = error
            except BaseException:
                connected.close()
                raise
            else:
                return connected
        raise failure

    def _secured(self, context: ssl.SSLContext, connected: socket.socket, ends_at: float) -> socket.socket:
        try:
            connected.settimeout(self._left(ends_at))
            return context.wrap_socket(connected, server_hostname=self._host)
        except BaseException:
            connected.close()
            raise

    def _left(self, ends_at: float) -> float:
        left = ends_at - self._clock()
        if left <= 0:
            raise TimeoutError
        return left

    def _limited(self, seconds: float, ends_at: float) -> tuple[float, bool]:
        """Return how long something may take, and whether that is all the time left of the call."""
        left = ends_at - self._clock()
        return min(seconds, left), left <= seconds
