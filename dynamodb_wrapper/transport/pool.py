"""The pool of keep-alive connections to one endpoint."""

from __future__ import annotations

import socket
import ssl
import threading
import time
from collections import deque
from math import inf

from dynamodb_wrapper.exceptions import ConnectionError, DeadlineExceededError
from dynamodb_wrapper.transport import http
from dynamodb_wrapper.transport.errors import HANDSHAKE_FAILURES, Endpoint
from dynamodb_wrapper.transport.failures import Hint, Verdict, hinted
from dynamodb_wrapper.transport.forks import ForkSafeLock
from dynamodb_wrapper.transport.sockets import MOST_IDLE_SECONDS, Clock, Lookup, Stream, Tls


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
        self._lookup = Lookup(self._host, self._port)
        self._lock = ForkSafeLock()
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
        with self._lock:
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
            text = f"all {self._at_most} connections (max_pool_connections) to {self._endpoint} were in use"
            raise self._late(text, "for", seconds, Verdict.SAFE, is_last=is_last)
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
            text = f"the request was not sent to {self._endpoint}, as no time was left"
            raise hinted(DeadlineExceededError(text), Hint(Verdict.SAFE))
        ends_at = self._clock() + seconds
        try:
            if not stream.send(request, seconds):
                text = f"the connection to {self._endpoint} was closed before the request was sent"
                raise self._failed(text, Verdict.SAFE)
            return stream.receive(ends_at, self._clock)
        except TimeoutError as error:
            text = "no answer came" if is_last else f"DynamoDB did not answer at {self._endpoint}"
            raise self._late(text, "within", seconds, Verdict.LOST, error, is_last=is_last) from error
        except (EOFError, OSError) as error:
            text = f"the connection to {self._endpoint} was closed before the answer had arrived whole"
            raise self._failed(text, Verdict.LOST, error) from error

    def _connect(self, ends_at: float) -> Stream:
        seconds, is_last = self._limited(self._endpoint.connect_timeout_seconds, ends_at)
        try:
            connected = self._opened(self._clock() + seconds)
        except TimeoutError as error:
            text = f"DynamoDB did not accept a connection at {self._endpoint}"
            raise self._late(text, "within", seconds, Verdict.SAFE, error, is_last=is_last) from error
        except ssl.SSLError as error:
            final = any(reason in str(error) for reason in HANDSHAKE_FAILURES)
            text = f"no secure connection to {self._endpoint}: {error}"
            raise self._failed(text, Verdict.FINAL if final else Verdict.SAFE, error) from error
        except OSError as error:
            text = f"DynamoDB could not be reached at {self._endpoint}: {error}"
            raise self._failed(text, Verdict.SAFE, error) from error
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
            connected = socket.socket(family, kind, protocol)
            try:
                connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                connected.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
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

    def _late(
        self,
        text: str,
        preposition: str,
        seconds: float,
        verdict: Verdict,
        error: BaseException | None = None,
        *,
        is_last: bool,
    ) -> ConnectionError:
        if is_last:
            text = f"{text} {preposition} the {max(0.0, seconds):.3g} s that were left of the time limit"
            return hinted(DeadlineExceededError(text, error), Hint(verdict))
        return self._failed(f"{text} {preposition} {seconds:.3g} s", verdict, error)

    def _failed(self, text: str, verdict: Verdict, error: BaseException | None = None) -> ConnectionError:
        return hinted(ConnectionError(text, error), Hint(verdict))
