"""A proxy in front of a real DynamoDB server that breaks what a test asks it to break.

It lives in the test's process, on a loopback port, and keeps connections alive on both sides. Without rules every
request goes through. A rule names the requests it is for and the fault that befalls them; what a fault can do is what
`Exchange` offers.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import random
import select
import socket
import struct
import threading
import time
import zlib
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from io import BufferedReader
from typing import Any
from urllib.parse import urlsplit

from tests.timing import PATIENCE

Body = dict[str, Any]

_HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "content-length", "x-amz-crc32"})
# ministack closes a connection that was idle for 5 seconds: a request on it could be lost, or sent twice by mistake.
_UPSTREAM_IDLE_SECONDS = 2.0
_REQUESTS_KEPT = 10_000


@dataclass(frozen=True)
class Answer:
    """An answer of the server, or one made up."""

    status: int
    body: bytes
    headers: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def made_up(cls, status: int, body: Body, headers: Mapping[str, str] | None = None) -> Answer:
        named = {"Content-Type": "application/x-amz-json-1.0", "x-amzn-RequestId": "MADEUP", **(headers or {})}
        return cls(status, json.dumps(body).encode(), named)

    def head(self, *, length: int, checked: bool = True) -> bytes:
        """The status line and headers, with the checksum of the whole body whatever is sent of it."""
        named = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        named |= {"Content-Length": str(length)} | ({"x-amz-crc32": str(zlib.crc32(self.body))} if checked else {})
        lines = [f"HTTP/1.1 {self.status} -", *(f"{name}: {value}" for name, value in named.items()), "", ""]
        return "\r\n".join(lines).encode("latin-1")


@dataclass(frozen=True)
class Request:
    """What the proxy remembers of a request: as it came, or as it went on to the server with the status it got."""

    operation: str
    body: Body
    access_key: str
    status: int | None = None


@dataclass(frozen=True)
class Fault:
    """What befalls a request: its name, by which it is counted, and the operations it can befall (none: all)."""

    name: str
    act: Callable[[Exchange], None]
    only: tuple[str, ...] = ()


@dataclass
class Rule:
    """Which requests a fault is for.

    Attributes:
        fault: What befalls them.
        operation: DynamoDB's name of it; None for every one.
        skip: How many of them pass first.
        times: How many of them it befalls; None for all.
        when: Tells from the body of a request whether it is one of them.
    """

    fault: Fault
    operation: str | None = None
    skip: int = 0
    times: int | None = 1
    when: Callable[[Body], bool] | None = None

    def takes(self, request: Request) -> bool:
        if self.times == 0 or self.operation not in (None, request.operation):
            return False
        if self.when is not None and not self.when(request.body):
            return False
        if self.skip:
            self.skip -= 1
            return False
        if self.times is not None:
            self.times -= 1
        return True


class Exchange:
    """One request that has arrived whole, and what can be done with it."""

    def __init__(self, proxy: Proxy, line: _Line, request: Request, headers: Mapping[str, str], payload: bytes) -> None:
        self.request = request
        self._proxy = proxy
        self._line = line
        self._headers = headers
        self._payload = payload

    def forward(self, body: Body | None = None) -> Answer:
        """Send the request (or another body) on to the server, and return what it answers."""
        payload = self._payload if body is None else json.dumps(body).encode()
        answer = self._line.ask(payload, self._headers)
        sent = self.request.body if body is None else body
        self._proxy.forwarded.append(Request(self.request.operation, sent, self.request.access_key, answer.status))
        return answer

    def answer(self, answer: Answer) -> None:
        """Answer the client."""
        self._line.send(answer.head(length=len(answer.body)) + answer.body)

    def send(self, raw: bytes) -> None:
        """Send bytes that are no whole or no right answer."""
        self._line.send(raw)

    def reset(self) -> None:
        """Break the connection off (RST)."""
        self._line.client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._line.close()

    def hang_up(self) -> None:
        """Close the connection (FIN)."""
        self._line.close()

    def wait(self) -> None:
        """Leave the client without an answer until it gives up, or until the proxy's `release`."""
        released = self._proxy.released
        while not released.wait(0.01):
            readable, _, _ = select.select([self._line.client], [], [], 0)
            if readable:
                break
        self._line.close()


class _Line:
    """A client's connection, with a connection of its own to the server."""

    def __init__(self, client: socket.socket, upstream: str) -> None:
        self.client = client
        self.busy = False
        self.open = True
        self._stream: BufferedReader = client.makefile("rb")
        self._upstream = http.client.HTTPConnection(upstream, timeout=30)
        self._used = time.monotonic()

    def read(self) -> tuple[dict[str, str], bytes] | None:
        """The next request's headers and body; None at the end."""
        if not self.open or not self._stream.readline():
            return None
        headers = {name.lower(): value for name, value in http.client.parse_headers(self._stream).items()}
        payload = self._stream.read(int(headers.get("content-length", 0)))
        self.busy = True
        return headers, payload

    def ask(self, payload: bytes, headers: Mapping[str, str]) -> Answer:
        if time.monotonic() - self._used > _UPSTREAM_IDLE_SECONDS:
            self._upstream.close()
        self._upstream.request("POST", "/", payload, {n: v for n, v in headers.items() if n not in _HOP_BY_HOP})
        response = self._upstream.getresponse()
        body = response.read()
        self._used = time.monotonic()
        return Answer(response.status, body, dict(response.getheaders()))

    def send(self, raw: bytes) -> None:
        self.busy = False  # before the client can know: what it does next finds this connection idle
        self.client.sendall(raw)

    def shut_down(self) -> None:
        """Close the connection from another thread; this one's reading ends."""
        with contextlib.suppress(OSError):
            self.client.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        self.open = False
        self._stream.close()
        self.client.close()
        self._upstream.close()


class Proxy:
    """The proxy: rules, what happened, and the commands that concern all connections.

    Attributes:
        received: The requests that came, the latest last.
        forwarded: Those that went on to the server, as they went, with the status they got.
        injected: How often each fault befell a request, by its name.
    """

    def __init__(self, upstream_url: str) -> None:
        self.received: deque[Request] = deque(maxlen=_REQUESTS_KEPT)
        self.forwarded: deque[Request] = deque(maxlen=_REQUESTS_KEPT)
        self.injected: Counter[str] = Counter()
        self.released = threading.Event()
        self._upstream = urlsplit(upstream_url).netloc
        self._rules: list[Rule] = []
        self._random: Callable[[str], Fault | None] = lambda operation: None
        self._lock = threading.Lock()
        self._lines: set[_Line] = set()
        self._port = 0
        self.come_back()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    # --- what is to fail ----------------------------------------------------------------------------------------

    def inject(
        self,
        fault: Fault,
        operation: str | None = None,
        *,
        skip: int = 0,
        times: int | None = 1,
        when: Callable[[Body], bool] | None = None,
    ) -> None:
        """Add a rule (see `Rule`); the first one that takes a request decides."""
        with self._lock:
            self._rules.append(Rule(fault, operation, skip, times, when))

    def inject_randomly(self, faults: Sequence[Fault], *, rate: float, seed: int) -> None:
        """Let a random one of the faults befall that part of the requests which no rule takes."""
        chance = random.Random(seed)

        def choose(operation: str) -> Fault | None:
            if chance.random() >= rate:
                return None
            return chance.choice([fault for fault in faults if not fault.only or operation in fault.only])

        self._random = choose

    def calm(self) -> None:
        """Forget all rules: every request goes through."""
        with self._lock:
            self._rules.clear()
            self._random = lambda operation: None

    def release(self) -> None:
        """End all waiting: their connections close without an answer."""
        self.released.set()
        self.released = threading.Event()

    # --- what happened ------------------------------------------------------------------------------------------

    def count(self, operation: str) -> int:
        """How many requests for an operation have come."""
        return sum(request.operation == operation for request in self.received.copy())

    def count_applied(self, operation: str) -> int:
        """How many requests for an operation the server has answered with 200."""
        return sum((entry.operation, entry.status) == (operation, 200) for entry in self.forwarded.copy())

    def settle(self) -> None:
        """Wait until no request is on its way to the server any more, though its client may have given up on it."""
        _wait_until(lambda: not any(line.busy for line in self._lines.copy()))

    # --- all connections ----------------------------------------------------------------------------------------

    def close_idle(self) -> int:
        """Close the connections that no request is on, as servers do after a while; return how many there were."""
        with self._lock:
            idle = [line for line in self._lines if not line.busy]
        for line in idle:
            line.shut_down()
        return len(idle)

    def go_away(self) -> None:
        """Refuse connections and break all there are."""
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for line in self._lines.copy():
            line.shut_down()

    def come_back(self) -> None:
        """Accept connections, on the same port as before."""
        self._listener = socket.create_server(("127.0.0.1", self._port), backlog=128)
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True, name="fault-proxy").start()

    def close(self) -> None:
        """End the proxy and its threads."""
        self.calm()
        self.released.set()
        self.go_away()
        _wait_until(lambda: not self._lines)

    # --- inside -------------------------------------------------------------------------------------------------

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                client, _ = listener.accept()
            except OSError:
                return
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            line = _Line(client, self._upstream)
            with self._lock:
                self._lines.add(line)
            threading.Thread(target=self._serve, args=(line,), daemon=True, name="fault-proxy").start()

    def _serve(self, line: _Line) -> None:
        # The client, or a fault, may close the connection anywhere; the server may go away.
        with contextlib.suppress(OSError, ValueError, http.client.HTTPException):
            while (arrived := line.read()) is not None:
                headers, payload = arrived
                operation = headers["x-amz-target"].rpartition(".")[2]
                access_key = headers.get("authorization", "").partition("Credential=")[2].partition("/")[0]
                request = Request(operation, json.loads(payload), access_key)
                exchange = Exchange(self, line, request, headers, payload)
                fault = self._fault_for(request)
                if fault is None:
                    exchange.answer(exchange.forward())
                else:
                    fault.act(exchange)
        line.close()
        with self._lock:
            self._lines.discard(line)

    def _fault_for(self, request: Request) -> Fault | None:
        with self._lock:
            self.received.append(request)
            rule = next((rule for rule in self._rules if rule.takes(request)), None)
            fault = self._random(request.operation) if rule is None else rule.fault
            if fault is not None:
                self.injected[fault.name] += 1
            return fault


def _wait_until(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.002)
