"""Keep-alive connections and the pool of them."""

from __future__ import annotations

import select
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from math import inf
from typing import Any

from dynamodb_wrapper.exceptions import ConnectionError
from dynamodb_wrapper.transport import http
from dynamodb_wrapper.transport.errors import HANDSHAKE_FAILURES, Endpoint
from dynamodb_wrapper.transport.failures import Hint, Verdict, hinted
from dynamodb_wrapper.transport.forks import ForkSafeLock

MOST_IDLE_SECONDS = 60.0
"""How long a connection may be unused; what stands between drops silent ones after some minutes."""

MOST_AGE_SECONDS = 300.0
"""How long a connection may be used, so that requests follow the endpoint's addresses when these change."""

_RECEIVE_BYTES = 64 * 1024
_MOST_RECEIVE_BYTES = 1024 * 1024

Clock = Callable[[], float]


class Tls:
    """How to make sure that it is DynamoDB one talks to; the certificates are read once, when first needed."""

    def __init__(self, ca_bundle: str) -> None:
        """Trust the certificates in that file (or directory, as OpenSSL has them)."""
        self._ca_bundle = ca_bundle
        self._lock = ForkSafeLock()
        self._context: ssl.SSLContext | None = None

    def context(self) -> ssl.SSLContext:
        """Return the context that all connections share.

        Raises:
            ConnectionError: The certificates cannot be read.
        """
        with self._lock:
            if self._context is None:
                try:
                    self._context = _new_context(self._ca_bundle)
                except OSError as error:
                    message = f"the CA bundle {self._ca_bundle!r} cannot be read: {error}"
                    raise hinted(ConnectionError(message, error), Hint(Verdict.FINAL)) from error
            return self._context


def _new_context(ca_bundle: str) -> ssl.SSLContext:
    from pathlib import Path

    is_directory = Path(ca_bundle).is_dir()
    context = ssl.create_default_context(
        cafile=None if is_directory else ca_bundle, capath=ca_bundle if is_directory else None
    )
    context.minimum_version = max(context.minimum_version, ssl.TLSVersion.TLSv1_2)
    # Python 3.13 made this the default; botocore's context does not have it, and companies' own CAs often fail it.
    context.verify_flags &= ~ssl.VERIFY_X509_STRICT
    context.set_alpn_protocols(["http/1.1"])
    return context


class Stream:
    """One connection, one request at a time."""

    __slots__ = ("_is_tls", "_poll", "_socket", "idle_since", "opened_at")

    def __init__(self, connected: socket.socket, now: float) -> None:
        self._socket = connected
        self._is_tls = isinstance(connected, ssl.SSLSocket)
        self._poll = _new_poll(connected)
        self.opened_at = self.idle_since = now

    def is_usable(self, now: float) -> bool:
        """Return whether it may carry a request: it is neither old nor closed, and has no bytes nobody asked for."""
        if now - self.idle_since > MOST_IDLE_SECONDS or now - self.opened_at > MOST_AGE_SECONDS:
            return False
        return not self._poll() or (self._is_tls and self._has_only_a_ticket())

    def _has_only_a_ticket(self) -> bool:
        # TLS 1.3 servers send session tickets on their own account; OpenSSL keeps them while it looks for an answer.
        try:
            self._socket.settimeout(0)
            self._socket.recv(1)
        except ssl.SSLWantReadError:
            return True
        except OSError:
            return False
        return False

    def send(self, request: bytes, seconds: float) -> bool:
        """Hand a request to the system; False when it took nothing of it, so that the server has nothing of it."""
        self._socket.settimeout(seconds)
        try:
            sent = self._socket.send(request)
        except OSError:
            if self._is_tls:  # some records of it may have gone out
                raise
            return False
        if sent < len(request):
            self._socket.sendall(memoryview(request)[sent:])
        return True

    def receive(self, ends_at: float, clock: Clock) -> http.Answer:
        """Return the answer.

        Raises:
            TimeoutError: It did not come in time.
            EOFError: The connection ended before it had.
            OSError: The connection broke.
            CorruptResponseError: It is no answer of DynamoDB's.
        """
        reading = http.reading()
        missing = next(reading)
        try:
            while (left := ends_at - clock()) > 0:
                self._socket.settimeout(left)
                missing = reading.send(self._socket.recv(min(max(missing, _RECEIVE_BYTES), _MOST_RECEIVE_BYTES)))
        except StopIteration as end:
            answer: http.Answer = end.value
            return answer
        raise TimeoutError

    def close(self) -> None:
        """Close it; closing twice is fine."""
        self._socket.close()


def _new_poll(connected: socket.socket) -> Callable[[], bool]:
    """Return a function that tells whether there is something to read, the end included."""
    if not hasattr(select, "poll"):  # Windows
        return lambda: bool(select.select([connected], [], [], 0)[0])
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return lambda: bool(poll.poll(0))


class _Lookup:
    """Looks up the addresses of a host, each time anew, for everybody who asks meanwhile.

    Name resolution heeds no time limit, so it has a thread of its own, which is left behind when the time is over.
    There is one at a time, so that an outage does not pile them up.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._lock = ForkSafeLock()
        self._running: Future[list[Any]] | None = None

    def addresses(self, seconds: float) -> list[Any]:
        """Return what `socket.getaddrinfo` returns.

        Raises:
            TimeoutError: It takes too long.
            OSError: There is no such host, or nobody to ask.
        """
        with self._lock:
            future = self._running
            if future is None:
                future = self._running = Future()
                threading.Thread(target=self._look_up, args=(future,), daemon=True, name="dynamodb-lookup").start()
        return future.result(seconds)

    def _look_up(self, future: Future[list[Any]]) -> None:
        try:
            found = socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # the latter of names that cannot be a host's
            self._end_of_lookup()
            future.set_exception(OSError(str(error)))
        else:
            self._end_of_lookup()
            future.set_result(found)

    def _end_of_lookup(self) -> None:
        with self._lock:
            self._running = None


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
        self._lookup = _Lookup(self._host, self._port)
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
            with self._lock:
                if not self._idle:
                    break
                stream = self._idle.pop()
            if stream.is_usable(self._clock()):
                return stream
            stream.close()
            with self._lock:
                self._open -= 1
        return self._wait_for_turn(ends_at)

    def _wait_for_turn(self, ends_at: float) -> Stream | None:
        with self._lock:
            if self._open < self._at_most:
                self._open += 1
                return None
            waiter = _Waiter()
            self._waiters.append(waiter)
        seconds = max(0.0, min(self._endpoint.timeout_seconds, ends_at - self._clock()))
        is_served = False
        try:
            is_served = waiter.turn.acquire(timeout=seconds)
        finally:
            if not is_served:
                self._leave_queue(waiter)
        if not is_served:
            raise self._failed(
                f"all {self._at_most} connections (max_pool_connections) to {self._endpoint} were in use for "
                f"{seconds:.3g} s",
                Verdict.SAFE,
            )
        stream = waiter.stream
        if stream is None or stream.is_usable(self._clock()):
            return stream
        stream.close()
        return None

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
        started = self._clock()
        ends_at = min(ends_at, started + self._endpoint.timeout_seconds)
        if started >= ends_at:
            raise self._failed(f"no time was left to send the request to {self._endpoint}", Verdict.SAFE)
        try:
            if not stream.send(request, ends_at - started):
                text = f"the connection to {self._endpoint} was closed before the request was sent"
                raise self._failed(text, Verdict.SAFE)
            return stream.receive(ends_at, self._clock)
        except TimeoutError as error:
            text = f"DynamoDB did not answer at {self._endpoint} within {ends_at - started:.3g} s"
            raise self._failed(text, Verdict.LOST, error) from error
        except (EOFError, OSError) as error:
            text = f"the connection to {self._endpoint} was closed before the answer had arrived whole"
            raise self._failed(text, Verdict.LOST, error) from error

    def _connect(self, ends_at: float) -> Stream:
        started = self._clock()
        ends_at = min(ends_at, started + self._endpoint.connect_timeout_seconds)
        try:
            context = self._tls.context() if self._tls is not None else None
            connected = self._connected(ends_at)
            if context is not None:
                connected = self._secured(context, connected, ends_at)
        except TimeoutError as error:
            text = f"DynamoDB did not accept a connection at {self._endpoint} within {ends_at - started:.3g} s"
            raise self._failed(text, Verdict.SAFE, error) from error
        except ssl.SSLError as error:
            final = any(reason in str(error) for reason in HANDSHAKE_FAILURES)
            text = f"no secure connection to {self._endpoint}: {error}"
            raise self._failed(text, Verdict.FINAL if final else Verdict.SAFE, error) from error
        except OSError as error:
            text = f"DynamoDB could not be reached at {self._endpoint}: {error}"
            raise self._failed(text, Verdict.SAFE, error) from error
        return Stream(connected, self._clock())

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

    def _failed(self, text: str, verdict: Verdict, error: BaseException | None = None) -> ConnectionError:
        return hinted(ConnectionError(text, error), Hint(verdict))
