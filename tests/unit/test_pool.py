"""The pools of both colours, against a small server on the loopback interface."""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from math import inf
from typing import Any

import pytest

from dynamodb_wrapper.exceptions import ConnectionError, CorruptResponseError, DeadlineExceededError
from dynamodb_wrapper.transport import sockets
from dynamodb_wrapper.transport.async_pool import AsyncPool
from dynamodb_wrapper.transport.errors import Endpoint
from dynamodb_wrapper.transport.failures import Verdict, hint_of
from dynamodb_wrapper.transport.forks import ForkSafeLock
from dynamodb_wrapper.transport.pool import Pool
from dynamodb_wrapper.transport.sockets import MOST_AGE_SECONDS, MOST_IDLE_SECONDS
from tests.timing import PATIENCE, in_time, until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
REQUEST = b"POST / HTTP/1.1\r\nContent-Length: 2\r\n\r\n{}"
Action = bytes | Callable[[socket.socket], None]


class Server:
    """Answers each request with the next action; `served` has the number of the connection that each came over."""

    def __init__(self) -> None:
        self.actions: list[Action] = []
        self.served: list[int] = []
        self.requests: list[bytes] = []
        self.accepted: list[socket.socket] = []
        self.lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self.accepted.append(accepted)
            self._threads.append(threading.Thread(target=self._serve, args=(accepted, len(self.accepted)), daemon=True))
            self._threads[-1].start()

    def _serve(self, accepted: socket.socket, number: int) -> None:
        with contextlib.suppress(OSError):
            while received := accepted.recv(65536):
                with self.lock:
                    self.requests.append(received)
                    self.served.append(number)
                    action = self.actions.pop(0) if self.actions else OK
                if isinstance(action, bytes):
                    accepted.sendall(action)
                else:
                    action(accepted)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for accepted in self.accepted:
            with contextlib.suppress(OSError):
                accepted.shutdown(socket.SHUT_RDWR)
            accepted.close()
        for thread in self._threads:
            thread.join(5)


class Clock:
    """Time that goes on, and can be advanced."""

    def __init__(self) -> None:
        self.ahead = 0.0

    def __call__(self) -> float:
        return time.monotonic() + self.ahead


@pytest.fixture
def server() -> Iterator[Server]:
    server = Server()
    yield server
    server.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


class Blocking:
    """A pool of an event loop, which runs in a thread of its own, as a pool of threads."""

    def __init__(self, pool: AsyncPool, loop: asyncio.AbstractEventLoop) -> None:
        self._pool = pool
        self._loop = loop

    def __getattr__(self, name: str) -> Any:
        return getattr(self._pool, name)

    def exchange(self, request: bytes, seconds: float = inf) -> Any:
        return asyncio.run_coroutine_threadsafe(self._pool.exchange(request, seconds), self._loop).result()

    def close(self) -> None:
        asyncio.run_coroutine_threadsafe(self._pool.aclose(), self._loop).result()


class Make:
    """Makes pools, and closes them."""

    def __init__(self, server: Server, clock: Clock, loop: asyncio.AbstractEventLoop | None) -> None:
        self._server = server
        self._clock = clock
        self._loop = loop
        self.pools: list[Any] = []

    def __call__(self, at_most: int = 4, *, port: int | None = None, host: str = "127.0.0.1", **limits: float) -> Any:
        endpoint = Endpoint("http://there", **{"connect_timeout_seconds": 5.0, "timeout_seconds": 5.0, **limits})
        address = (host, port or self._server.port)
        if self._loop is None:
            pool: Any = Pool(endpoint, address, tls=None, at_most=at_most, clock=self._clock)
        else:
            made = AsyncPool(endpoint, address, tls=None, at_most=at_most, clock=self._clock)
            pool = Blocking(made, self._loop)
        self.pools.append(pool)
        return pool


@pytest.fixture(params=["threads", "event loop"])
def loop(request: pytest.FixtureRequest) -> Iterator[asyncio.AbstractEventLoop | None]:
    """What the pools belong to; None for threads."""
    if request.param == "threads":
        yield None
        return
    loop = asyncio.new_event_loop()
    running = threading.Thread(target=loop.run_forever, daemon=True)
    running.start()
    yield loop
    loop.call_soon_threadsafe(loop.stop)
    running.join(10)
    loop.close()


of_threads = pytest.mark.parametrize("loop", ["threads"], indirect=True)


@pytest.fixture
def make(server: Server, clock: Clock, loop: asyncio.AbstractEventLoop | None) -> Iterator[Make]:
    make = Make(server, clock, loop)
    yield make
    for pool in make.pools:
        pool.close()


def failure(pool: Pool, **options: Any) -> ConnectionError:
    with pytest.raises(ConnectionError) as caught:
        pool.exchange(REQUEST, **options)
    return caught.value


# --- reuse -----------------------------------------------------------------------------------------------------------


def test_a_connection_is_used_again(server: Server, make: Make) -> None:
    pool = make()
    assert [pool.exchange(REQUEST).body for _ in range(5)] == [b"{}"] * 5
    assert server.served == [1] * 5


def test_the_last_one_used_is_used_first(server: Server, make: Make) -> None:
    pool, both = make(), threading.Barrier(2)

    def together(accepted: socket.socket) -> None:
        both.wait(10)
        accepted.sendall(OK)

    server.actions = [together, together]
    with ThreadPoolExecutor(2) as threads:
        list(threads.map(pool.exchange, [REQUEST] * 2))
    assert sorted(server.served) == [1, 2]
    for _ in range(5):
        pool.exchange(REQUEST)
    assert len(set(server.served[2:])) == 1


@pytest.mark.parametrize(
    "last",
    [
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n{}",
        b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\n{}",
        OK + OK,
    ],
    ids=["asked to close", "old", "surplus bytes"],
)
def test_a_connection_that_is_not_clean_is_not_used_again(server: Server, make: Make, last: bytes) -> None:
    pool = make(1)
    server.actions = [last]
    assert [pool.exchange(REQUEST).body for _ in range(3)] == [b"{}"] * 3
    assert server.served == [1, 2, 2]


@pytest.mark.parametrize("afterwards", [b"", OK], ids=["closed", "unasked bytes"])
def test_an_idle_connection_with_something_to_read_is_dropped(server: Server, make: Make, afterwards: bytes) -> None:
    pool = make(1)
    pool.exchange(REQUEST)
    if afterwards:
        server.accepted[0].sendall(afterwards)
    else:
        server.accepted[0].shutdown(socket.SHUT_RDWR)
    until(lambda: not pool._idle or pool._idle[0]._poll())
    assert pool.exchange(REQUEST).body == b"{}"
    assert server.served == [1, 2]


def test_connections_do_not_outlive_their_use(server: Server, make: Make, clock: Clock) -> None:
    pool = make()
    pool.exchange(REQUEST)
    clock.ahead += MOST_IDLE_SECONDS - 1
    pool.exchange(REQUEST)
    clock.ahead += MOST_IDLE_SECONDS + 1
    pool.exchange(REQUEST)
    assert server.served == [1, 1, 2]
    for _ in range(int(MOST_AGE_SECONDS / (MOST_IDLE_SECONDS - 1)) + 1):
        clock.ahead += MOST_IDLE_SECONDS - 1
        pool.exchange(REQUEST)
    assert server.served[-1] == 3


def test_connections_that_a_peak_left_behind_are_closed(server: Server, make: Make, clock: Clock) -> None:
    pool, three = make(), threading.Barrier(3)

    def together(accepted: socket.socket) -> None:
        three.wait(10)
        accepted.sendall(OK)

    server.actions = [together] * 3
    with ThreadPoolExecutor(3) as threads:
        list(threads.map(pool.exchange, [REQUEST] * 3))
    assert len(pool._idle) == 3
    for _ in range(6):
        clock.ahead += MOST_IDLE_SECONDS / 2
        pool.exchange(REQUEST)
    assert len(pool._idle) == pool._open == 1


def test_addresses_are_looked_up_for_each_connection(
    server: Server, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked_up: list[Any] = []
    known = {"moved.invalid": ["127.0.0.1"]}

    def getaddrinfo(host: str, port: int, **options: Any) -> list[Any]:
        looked_up.append(host)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (ip, port)) for ip in known[host]]

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    pool = make(1, host="moved.invalid")
    server.actions = [OK, OK + b"surplus"]
    pool.exchange(REQUEST)
    pool.exchange(REQUEST)
    assert looked_up == ["moved.invalid"]
    known["moved.invalid"] = ["127.0.0.2"]  # where nobody listens
    assert "could not be reached" in str(failure(pool))
    known["moved.invalid"] = ["127.0.0.2", "127.0.0.1"]
    assert pool.exchange(REQUEST).body == b"{}"
    assert len(looked_up) == 3


def test_the_sockets_options(make: Make) -> None:
    pool = make()
    pool.exchange(REQUEST)
    made = pool._idle[0]._socket
    assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
    assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)


# --- bounds ----------------------------------------------------------------------------------------------------------


def test_no_more_connections_than_allowed(server: Server, make: Make) -> None:
    pool = make(3)
    with ThreadPoolExecutor(20) as threads:
        answers = list(threads.map(pool.exchange, [REQUEST] * 400))
    assert [answer.body for answer in answers] == [b"{}"] * 400
    assert len(server.accepted) <= 3
    assert pool._open == len(pool._idle) <= 3


@of_threads
def test_nobody_waits_for_a_connection_that_is_idle(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever finds none idle is in the queue before another can be given back."""
    pool = make(1)
    pool.exchange(REQUEST)
    used = pool._take(inf)

    class GivenBackBetween(ForkSafeLock):
        times = 0

        def __exit__(self, *exc_info: object) -> None:
            super().__exit__(*exc_info)
            GivenBackBetween.times += 1
            if GivenBackBetween.times == 1:
                pool._give_back(used)

    monkeypatch.setattr(pool, "_lock", GivenBackBetween())
    assert pool.exchange(REQUEST, seconds=0.5).body == b"{}"


@of_threads
def test_many_threads_and_few_connections(make: Make) -> None:
    pool, interval = make(2), sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            answers = list(threads.map(lambda _: pool.exchange(REQUEST, seconds=10), range(2000)))
    finally:
        sys.setswitchinterval(interval)
    assert len(answers) == 2000
    assert pool._open == len(pool._idle) <= 2


def test_those_who_wait_are_served_in_order(server: Server, make: Make) -> None:
    pool, go_on = make(1), threading.Event()

    def slow(accepted: socket.socket) -> None:
        go_on.wait(10)
        accepted.sendall(OK)

    server.actions = [slow]
    requests = [REQUEST + b"%d" % number for number in range(10)]
    with ThreadPoolExecutor(10) as threads:
        for number, request in enumerate(requests):
            threads.submit(pool.exchange, request)
            until(lambda number=number: server.requests and len(pool._waiters) == number)  # type: ignore[misc]
        go_on.set()
    assert server.requests == requests
    assert len(server.accepted) == 1


def test_waiting_ends_with_the_time(server: Server, make: Make) -> None:
    pool, go_on = make(1), threading.Event()

    def slow(accepted: socket.socket) -> None:
        go_on.wait(10)
        accepted.sendall(OK)

    server.actions = [slow]
    with ThreadPoolExecutor(1) as threads:
        busy: Future[Any] = threads.submit(pool.exchange, REQUEST)
        until(lambda: server.served)
        error = failure(pool, seconds=0.05)
        assert "all 1 connections (max_pool_connections) to http://there were in use for the 0.0" in str(error)
        assert hint_of(error).verdict is Verdict.SAFE
        go_on.set()
        assert busy.result(10).body == b"{}"
    assert not pool._waiters
    assert pool.exchange(REQUEST).body == b"{}"
    assert server.served == [1, 1]


@of_threads
def test_who_is_served_as_the_time_ends_passes_it_on(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    pool = make(1)
    assert pool._take(inf) is None
    leave = pool._leave_queue

    def leave_too_late(waiter: Any) -> None:
        pool._give_back(None)
        leave(waiter)

    monkeypatch.setattr(pool, "_leave_queue", leave_too_late)
    assert hint_of(failure(pool, seconds=0.01)).verdict is Verdict.SAFE
    assert pool._open == 0


def test_who_waited_does_not_get_an_old_connection(server: Server, make: Make, clock: Clock) -> None:
    pool, go_on = make(1, timeout_seconds=10_000.0), threading.Event()

    def slow(accepted: socket.socket) -> None:
        go_on.wait(10)
        accepted.sendall(OK)

    server.actions = [slow]
    with ThreadPoolExecutor(2) as threads:
        answers = [threads.submit(pool.exchange, REQUEST)]
        until(lambda: server.served)
        answers.append(threads.submit(pool.exchange, REQUEST))
        until(lambda: pool._waiters)
        clock.ahead += MOST_AGE_SECONDS + 1
        go_on.set()
        assert [answer.result(10).body for answer in answers] == [b"{}"] * 2
    assert server.served == [1, 2]


def test_a_broken_connection_makes_room_for_those_who_wait(server: Server, make: Make) -> None:
    pool = make(1)
    server.actions = [b"garbage", lambda accepted: accepted.close(), b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n"]

    def use(_: int) -> str:
        try:
            return pool.exchange(REQUEST).body.decode()
        except ConnectionError as error:
            return type(error).__name__

    with ThreadPoolExecutor(8) as threads:
        got = list(threads.map(use, range(8)))
    assert sorted(got) == ["ConnectionError", "CorruptResponseError", "CorruptResponseError", *["{}"] * 5]
    assert pool._open == len(pool._idle) == 1


# --- failures and time limits ----------------------------------------------------------------------------------------


def test_nobody_listens(make: Make) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        error = failure(make(port=taken.getsockname()[1]))
    assert "DynamoDB could not be reached at http://there" in str(error)
    assert hint_of(error).verdict is Verdict.SAFE


def test_no_such_host(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    def getaddrinfo(*_: Any, **__: Any) -> list[Any]:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    error = failure(make(host="nowhere.invalid"))
    assert "could not be reached at http://there: [Errno -2] Name or service not known" in str(error)
    assert hint_of(error).verdict is Verdict.SAFE


def test_a_name_that_is_none(make: Make) -> None:
    error = failure(make(host="a" * 64 + ".invalid"))
    assert "could not be reached" in str(error)


def test_slow_name_resolution_is_not_waited_for(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    go_on, begun = threading.Event(), list[int]()
    found = socket.getaddrinfo

    def getaddrinfo(*arguments: Any, **options: Any) -> list[Any]:
        begun.append(1)
        go_on.wait(2 * PATIENCE)
        return found(*arguments, **options)

    monkeypatch.setattr(socket, "getaddrinfo", getaddrinfo)
    pool = make()
    for _ in range(3):
        error = failure(pool, seconds=0.4)
        assert "did not accept a connection at http://there within the 0." in str(error)
        assert isinstance(error, DeadlineExceededError)
        assert hint_of(error).verdict is Verdict.SAFE
    assert len(begun) == 1
    go_on.set()
    assert pool.exchange(REQUEST).body == b"{}"


def drip(accepted: socket.socket) -> None:
    with contextlib.suppress(OSError):
        for at in range(len(OK)):
            accepted.sendall(OK[at : at + 1])
            time.sleep(0.2)


@pytest.mark.parametrize("action", [lambda accepted: None, drip], ids=["silence", "one byte at a time"])
@pytest.mark.parametrize(("limit", "seconds"), [(0.4, 60.0), (60.0, 0.4)], ids=["of the settings", "of the call"])
def test_an_answer_has_to_be_whole_in_time(
    server: Server, make: Make, action: Action, limit: float, seconds: float
) -> None:
    pool = make(timeout_seconds=limit)
    server.actions = [action]
    started = time.monotonic()
    with in_time():
        error = failure(pool, seconds=seconds)
    assert time.monotonic() - started > 0.05
    if limit < seconds:
        assert "DynamoDB did not answer at http://there within 0.4 s" in str(error)
    else:
        assert re.search(r"no answer came within the 0\.[0-4]\d* s that were left of the time limit", str(error))
    assert isinstance(error, DeadlineExceededError) is (seconds < limit)
    assert hint_of(error).verdict is Verdict.LOST
    until(lambda: server.served == [1])
    pool.exchange(REQUEST)
    assert server.served == [1, 2]


def test_what_comes_late_does_not_prolong_the_wait(server: Server, make: Make) -> None:
    def begin_late(accepted: socket.socket) -> None:
        time.sleep(0.3)
        accepted.sendall(OK[:5])

    server.actions = [begin_late]
    with in_time():
        failure(make(timeout_seconds=2 * PATIENCE), seconds=0.4)


def test_an_address_that_does_not_answer_leaves_time_for_the_next(
    server: Server, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    with contextlib.ExitStack() as opened:
        full = opened.enter_context(socket.create_server(("127.0.0.1", 0), backlog=0))
        for _ in range(4):  # until the system takes no more
            queued = opened.enter_context(socket.socket())
            queued.setblocking(False)
            queued.connect_ex(full.getsockname())
        addresses = [full.getsockname(), ("127.0.0.1", server.port)]
        found = [(socket.AF_INET, socket.SOCK_STREAM, 6, "", address) for address in addresses]
        monkeypatch.setattr(socket, "getaddrinfo", lambda *_, **__: found)
        started = time.monotonic()
        assert make(connect_timeout_seconds=0.4).exchange(REQUEST).body == b"{}"
        assert time.monotonic() - started >= 0.19


def test_without_time_nothing_is_sent(server: Server, make: Make) -> None:
    pool = make()
    pool.exchange(REQUEST)
    error = failure(pool, seconds=0)
    assert "no time was left" in str(error)
    assert hint_of(error).verdict is Verdict.SAFE
    assert server.served == [1]


def test_a_request_larger_than_the_systems_buffers(server: Server, make: Make) -> None:
    request = bytes(range(256)) * 31_250
    received = list[bytes]()

    def all_of_it(accepted: socket.socket) -> None:
        arrived = bytearray(server.requests[0])
        while len(arrived) < len(request):
            arrived += accepted.recv(1_000_000)
        received.append(bytes(arrived))
        accepted.sendall(OK)

    server.actions = [all_of_it]
    assert make().exchange(request).body == b"{}"
    assert received == [request]


def test_a_request_that_is_not_taken_in_time_may_have_arrived(server: Server, make: Make) -> None:
    server.actions = [lambda accepted: time.sleep(1)]
    with pytest.raises(ConnectionError, match="no answer came") as caught:
        make().exchange(b"x" * 50_000_000, seconds=0.5)
    error = caught.value
    assert hint_of(error).verdict is Verdict.LOST


@pytest.mark.parametrize("part", [b"", OK[:5], OK[:-1]], ids=["nothing", "some of the head", "some of the body"])
def test_an_early_end(server: Server, make: Make, part: bytes) -> None:
    def hang_up(accepted: socket.socket) -> None:
        accepted.sendall(part)
        accepted.shutdown(socket.SHUT_RDWR)

    server.actions = [hang_up]
    pool = make(1)
    error = failure(pool)
    assert "was closed before" in str(error)
    assert "arrived whole" in str(error)
    assert hint_of(error).verdict is Verdict.LOST
    assert isinstance(error, CorruptResponseError) is (part == OK[:-1])
    assert pool.exchange(REQUEST).body == b"{}"


@of_threads
def test_what_the_system_did_not_take_was_not_received(
    server: Server, make: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make(1)
    pool.exchange(REQUEST)
    monkeypatch.setattr(sockets.Stream, "is_usable", lambda *_: True)  # it is closed after it was looked at
    pool._idle[0]._socket.shutdown(socket.SHUT_RDWR)
    error = failure(pool)
    assert "was closed before the request was sent" in str(error)
    assert hint_of(error).verdict is Verdict.SAFE
    assert server.served == [1]


@of_threads
def test_an_interrupted_exchange_leaves_nothing_behind(server: Server, make: Make) -> None:
    pool = make(1)

    class Interrupted(BaseException):
        pass

    def interrupt(*_: Any) -> Any:
        raise Interrupted

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(sockets.Stream, "receive", interrupt)
        with pytest.raises(Interrupted):
            pool.exchange(REQUEST)
    assert pool._open == 0
    until(lambda: server.served == [1])
    assert pool.exchange(REQUEST).body == b"{}"
    assert server.served == [1, 2]


# --- closing ---------------------------------------------------------------------------------------------------------


def test_a_closed_pool_keeps_nothing(server: Server, make: Make) -> None:
    pool = make(2)
    pool.exchange(REQUEST)
    kept = pool._idle[0]._socket
    pool.close()
    pool.close()
    assert kept.fileno() == -1
    assert pool._open == 0
    assert pool.exchange(REQUEST).body == b"{}"  # as one that was on its way when it was closed
    assert not pool._idle
    assert pool._open == 0


def test_garbage_is_an_error(server: Server, make: Make) -> None:
    server.actions = [b"220 smtp.example.com ESMTP\r\n"]
    with pytest.raises(CorruptResponseError):
        make().exchange(REQUEST)
