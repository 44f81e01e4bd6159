"""Connections: to whom, made sure by TLS, and what goes over them."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable
from concurrent.futures import Future
from typing import Any

from dynamodb_wrapper.exceptions import ConnectionError
from dynamodb_wrapper.transport import http
from dynamodb_wrapper.transport.failures import Hint, Verdict, hinted
from dynamodb_wrapper.transport.forks import ForkSafeLock
from dynamodb_wrapper.transport.shared_work import SharedWork

MOST_IDLE_SECONDS = 60.0
"""How long a connection may be unused; what stands between drops silent ones after some minutes."""

MOST_AGE_SECONDS = 300.0
"""How long a connection may be used, so that requests follow the endpoint's addresses when these change."""

RECEIVE_BYTES = 64 * 1024
MOST_RECEIVE_BYTES = 1024 * 1024

Clock = Callable[[], float]


class Tls:
    """How to make sure that it is DynamoDB one talks to; the certificates are read once, when first needed."""

    def __init__(self, ca_bundle: str) -> None:
        """Trust the certificates in that file (or directory, as OpenSSL has them)."""
        self._ca_bundle = ca_bundle
        self._lock = ForkSafeLock()
        self._context: ssl.SSLContext | None = None

    @property
    def loaded(self) -> ssl.SSLContext | None:
        """What `context` returns, if that takes no time."""
        return self._context

    def context(self) -> ssl.SSLContext:
        """Return the context that all connections share; the first time that takes as long as reading a large file.

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
        self._poll = new_poll(connected)
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
                missing = reading.send(self._socket.recv(min(max(missing, RECEIVE_BYTES), MOST_RECEIVE_BYTES)))
        except StopIteration as end:
            answer: http.Answer = end.value
            return answer
        raise TimeoutError

    def close(self) -> None:
        """Close it; closing twice is fine."""
        self._socket.close()


def new_socket(family: int, kind: int, protocol: int) -> socket.socket:
    """Return a socket that sends at once, and that the system watches while nothing goes over it."""
    made = socket.socket(family, kind, protocol)
    try:
        made.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    except BaseException:
        made.close()
        raise
    return made


def new_poll(connected: socket.socket) -> Callable[[], bool]:
    """Return a function that tells whether there is something to read, the end included."""
    if not hasattr(select, "poll"):  # Windows
        return lambda: bool(select.select([connected], [], [], 0)[0])
    poll = select.poll()
    poll.register(connected, select.POLLIN)
    return lambda: bool(poll.poll(0))


class Lookup:
    """Looks up the addresses of a host, each time anew, for everybody who asks meanwhile.

    Name resolution heeds no time limit, so it has a thread of its own.
    """

    def __init__(self, host: str, port: int) -> None:
        self._host = host
        self._port = port
        self._work = SharedWork[list[Any]]("dynamodb-lookup")

    def begun(self) -> Future[list[Any]]:
        """Return what is to become what `addresses` returns."""
        return self._work.outcome(self._look_up)

    def addresses(self, seconds: float) -> list[Any]:
        """Return what `socket.getaddrinfo` returns.

        Raises:
            TimeoutError: It takes too long.
            OSError: There is no such host, or nobody to ask.
        """
        return self.begun().result(seconds)

    def _look_up(self) -> list[Any]:
        try:
            return socket.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        except (OSError, UnicodeError) as error:  # the latter of names that cannot be a host's
            raise OSError(str(error)) from error
