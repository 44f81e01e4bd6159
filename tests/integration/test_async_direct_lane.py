"""The direct lane of event loops: connections of the loop, no threads, and nothing dirty after a cancellation."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import os
import random
import socket
import ssl
import threading
import time
import zlib
from asyncio.sslproto import SSLProtocol
from collections.abc import Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from botocore.credentials import ReadOnlyCredentials

from dynamodb_wrapper.exceptions import (
    ConnectionError,
    CorruptResponseError,
    CredentialsError,
    DeadlineExceededError,
    DynamoDBWrapperError,
)
from dynamodb_wrapper.operations.effects import Call
from dynamodb_wrapper.transport import Connection, connection_for, reset_connection
from dynamodb_wrapper.transport.async_direct_lane import AsyncDirectLane
from dynamodb_wrapper.transport.async_pool import AsyncPool
from dynamodb_wrapper.transport.failures import Verdict, hint_of
from dynamodb_wrapper.transport.sockets import Tls
from tests import servers
from tests.integration.test_direct_lane import (
    GET,
    ITEM,
    Recorder,
    SecureServer,
    certificate,
    config,
    connect,
    http,
    is_direct,
    requests,
)
from tests.integration.test_direct_lane import secure as secure  # a fixture
from tests.timing import PATIENCE, in_time

PUT = Call("PutItem", {"TableName": "t", "Item": {"p": {"S": "x"}}}, key={"p": "x"})
WHOLE = http(ITEM)


def lane_of(connection: Connection) -> AsyncDirectLane:
    lane = connection.async_driver.lane
    assert isinstance(lane, AsyncDirectLane)
    return lane


def pool_of(lane: AsyncDirectLane) -> AsyncPool:
    """The pool of the running event loop."""
    return lane._opened[asyncio.get_running_loop()].pool


async def until(holds: Callable[[], object]) -> None:
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end
        await asyncio.sleep(0.001)


class Listener:
    """A server that answers each connection's requests by a function, in threads."""

    def __init__(self, act: Callable[[socket.socket], object]) -> None:
        self._act = act
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self.accepted: list[socket.socket] = []
        self.ended = 0
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        while True:
            try:
                accepted, _ = self._listener.accept()
            except OSError:
                return
            self.accepted.append(accepted)
            self._threads.append(threading.Thread(target=self._serve, args=(accepted,), daemon=True))
            self._threads[-1].start()

    def _serve(self, accepted: socket.socket) -> None:
        try:
            self._act(accepted)
        except OSError:
            pass
        finally:
            self.ended += 1
            accepted.close()

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for accepted in self.accepted:
            with contextlib.suppress(OSError):
                accepted.shutdown(socket.SHUT_RDWR)
        for thread in self._threads:
            thread.join(5)


Listen = Callable[[Callable[[socket.socket], object]], Listener]


@pytest.fixture
def listen() -> Iterator[Listen]:
    made: list[Listener] = []

    def make(act: Callable[[socket.socket], object]) -> Listener:
        made.append(Listener(act))
        return made[-1]

    yield make
    reset_connection()
    for listener in made:
        listener.close()


@pytest.fixture
def server() -> Iterator[Recorder]:
    recorder = Recorder()
    yield recorder
    reset_connection()
    recorder.close()


@pytest.fixture(autouse=True)
def disconnected() -> Iterator[None]:
    yield
    reset_connection()
    gc.collect()  # a transport that was left open says so now


# --- answers ----------------------------------------------------------------------------------------------------------


def test_a_call_takes_no_thread(server: Recorder) -> None:
    async def main() -> None:
        lane = lane_of(connect(server.url))
        await lane.send(GET)
        seen = set[str]()

        async def get() -> Any:
            answer = await lane.send(GET)
            seen.update(thread.name for thread in threading.enumerate())
            return answer["Item"]

        assert await asyncio.gather(*(get() for _ in range(200))) == [ITEM["Item"]] * 200
        assert not {name for name in seen if name.startswith("dynamodb")} - {"dynamodb-lookup"}

    asyncio.run(main())
    assert len(server.requests) == 201
    assert all(is_direct(recorded) for recorded in server.requests)


def test_auto_is_direct_and_botocore_is_threads(server: Recorder) -> None:
    assert isinstance(connect(server.url, transport="auto").async_driver.lane, AsyncDirectLane)
    assert not isinstance(connect(server.url, transport="botocore").async_driver.lane, AsyncDirectLane)


def test_answers_and_errors_are_those_of_the_blocking_lane(moto_server: servers.RunningServer) -> None:
    connection = connection_for(moto_server.config("", transport="direct"))
    table = f"async-{uuid4().hex[:10]}"
    moto_server.client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[
            {"AttributeName": name, "AttributeType": kind} for name, kind in (("p", "S"), ("s", "B"))
        ],
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}, {"AttributeName": "s", "KeyType": "RANGE"}],
    )

    def told(answer: Any) -> Any:
        return {name: value for name, value in answer.items() if name != "ResponseMetadata"}

    def failed(error: DynamoDBWrapperError) -> Any:
        return type(error), error.args, error.code, {**error.context, "request_id": None}, hint_of(error)

    def blocking(call: Call) -> Any:
        try:
            return told(connection._lane.send(call))
        except DynamoDBWrapperError as error:
            return failed(error)

    async def main() -> list[Any]:
        outcomes = []
        for call in requests(table):
            try:
                outcomes.append(told(await connection.async_driver.lane.send(call)))
            except DynamoDBWrapperError as error:
                outcomes.append(failed(error))
        return outcomes

    def emptied() -> None:
        for item in moto_server.client.scan(TableName=table)["Items"]:
            moto_server.client.delete_item(TableName=table, Key={name: item[name] for name in ("p", "s")})

    expected = [blocking(call) for call in requests(table)]
    emptied()
    assert asyncio.run(main()) == expected
    moto_server.client.delete_table(TableName=table)


def in_pieces(answer: bytes, size: int, pause: float = 0.0) -> Callable[[socket.socket], None]:
    def act(accepted: socket.socket) -> None:
        while accepted.recv(65536):
            for at in range(0, len(answer), size):
                accepted.sendall(answer[at : at + size])
                time.sleep(pause)

    return act


CHUNKED = (
    b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    b'a\r\n{"Item":{"\r\n5;x=y\r\np":{"\r\n8\r\nS":"x"}}\r\n1\r\n}\r\n0\r\nTrailer: t\r\n\r\n'
)


@pytest.mark.parametrize("size", [1, 7, 100_000])
@pytest.mark.parametrize("answer", [WHOLE, CHUNKED], ids=["length", "chunked"])
def test_answers_in_pieces(listen: Listen, answer: bytes, size: int) -> None:
    listener = listen(in_pieces(answer, size))

    async def main() -> None:
        lane = lane_of(connect(listener.url))
        assert [(await lane.send(GET))["Item"] for _ in range(3)] == [ITEM["Item"]] * 3

    asyncio.run(main())
    assert len(listener.accepted) == 1


@pytest.mark.parametrize(
    ("answer", "connections"),
    [
        (WHOLE.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"), 3),
        (WHOLE + b"surplus", 3),
        (WHOLE.replace(b"HTTP/1.1", b"HTTP/1.0"), 3),
    ],
    ids=["close", "surplus", "old"],
)
def test_connections_that_are_not_used_again(listen: Listen, answer: bytes, connections: int) -> None:
    listener = listen(in_pieces(answer, 100_000))

    async def main() -> None:
        lane = lane_of(connect(listener.url))
        for _ in range(3):
            await lane.send(GET)
        await until(lambda: not pool_of(lane)._streams)

    asyncio.run(main())
    assert len(listener.accepted) == connections


def test_an_answer_that_ends_with_its_connection(listen: Listen) -> None:
    body = WHOLE.partition(b"\r\n\r\n")[2]

    def act(accepted: socket.socket) -> None:
        accepted.recv(65536)
        accepted.sendall(b"HTTP/1.1 200 OK\r\nx-amz-crc32: %d\r\n\r\n" % zlib.crc32(body) + body)

    listener = listen(act)

    async def main() -> None:
        lane = lane_of(connect(listener.url))
        for _ in range(2):
            assert (await lane.send(GET))["Item"] == ITEM["Item"]

    asyncio.run(main())


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        (b"", ConnectionError),
        (WHOLE[:30], ConnectionError),
        (WHOLE[:-3], CorruptResponseError),
        (b"SSH-2.0-OpenSSH_9.6\r\n", CorruptResponseError),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999\r\n\r\n", CorruptResponseError),
        (b"HTTP/1.1 200 OK\r\n" + b"a: b\r\n" * 20_000, CorruptResponseError),
        (WHOLE.replace(b'"x"', b'"y"'), CorruptResponseError),
    ],
    ids=["nothing", "half a head", "half a body", "another protocol", "too large", "endless head", "wrong checksum"],
)
def test_what_is_no_whole_answer(listen: Listen, answer: bytes, kind: type[ConnectionError]) -> None:
    def act(accepted: socket.socket) -> None:
        accepted.recv(65536)
        accepted.sendall(answer)

    listener = listen(act)

    async def main() -> None:
        lane = lane_of(connect(listener.url, timeout_seconds=2))
        with pytest.raises(ConnectionError) as caught:
            await lane.send(PUT)
        assert type(caught.value) is kind
        assert hint_of(caught.value).verdict is Verdict.LOST
        assert caught.value.context["key"] == {"p": "x"}
        await until(lambda: not pool_of(lane)._streams)
        assert pool_of(lane)._open == 0

    asyncio.run(main())


def test_noise_gives_an_error_or_an_answer_and_never_the_answer_of_another(listen: Listen) -> None:
    """Each request is answered with pieces of HTTP in some order; whoever gets an answer gets a whole one."""
    choices = random.Random(20)
    parts = [WHOLE, WHOLE[:40], b"\r\n\r\n", b"HTTP/1.1 100 -\r\n\r\n", CHUNKED, b"0\r\n\r\n", b"\x00\xff", b"{}"]

    def act(accepted: socket.socket) -> None:
        while accepted.recv(65536):
            accepted.sendall(b"".join(choices.choices(parts, k=choices.randint(1, 4))))

    listener = listen(act)

    async def main() -> set[str]:
        lane = lane_of(connect(listener.url, timeout_seconds=0.2, max_pool_connections=4))

        async def one() -> str:
            try:
                answer = await lane.send(GET)
            except ConnectionError as error:
                return type(error).__name__
            assert answer["Item"] == ITEM["Item"]
            return "answer"

        outcomes = set(await asyncio.gather(*(one() for _ in range(200))))
        assert pool_of(lane)._open == len(pool_of(lane)._idle)
        return outcomes

    assert asyncio.run(main()) >= {"answer", "CorruptResponseError"}


def test_an_answer_before_the_request_has_gone_out(listen: Listen) -> None:
    """As of a proxy that finds a request too large: it may answer and not read the rest."""
    refusal = http({"__type": "x#ValidationException", "message": "too large"}, 400)

    def act(accepted: socket.socket) -> None:
        accepted.recv(1000)
        accepted.sendall(refusal)
        time.sleep(0.3)

    listener = listen(act)
    large = Call("PutItem", {"TableName": "t", "Item": {"p": {"S": "x" * 20_000_000}}})

    async def main() -> None:
        lane = lane_of(connect(listener.url))
        with pytest.raises(DynamoDBWrapperError, match="too large"):
            await lane.send(large)
        assert not pool_of(lane)._idle

    asyncio.run(main())


@pytest.mark.parametrize("how", ["closes", "does nothing"])
def test_a_peer_that_does_not_take_the_request(listen: Listen, how: str) -> None:
    go_on = threading.Event()
    listener = listen(lambda accepted: accepted.recv(1000) if how == "closes" else go_on.wait(2 * PATIENCE))
    large = Call("PutItem", {"TableName": "t", "Item": {"p": {"S": "x" * 20_000_000}}})

    async def main() -> None:
        lane = lane_of(connect(listener.url))
        with in_time(), pytest.raises(ConnectionError) as caught:
            await lane.send(large, 1.0)
        assert hint_of(caught.value).verdict is Verdict.LOST
        assert isinstance(caught.value, DeadlineExceededError) is (how == "does nothing")
        assert pool_of(lane)._open == 0
        go_on.set()

    asyncio.run(main())


def test_idle_connections_that_the_server_ends_are_dropped_at_once(server: Recorder) -> None:
    async def main() -> None:
        lane = lane_of(connect(server.url))
        await asyncio.gather(*(lane.send(GET) for _ in range(5)))
        pool = pool_of(lane)
        for accepted in server._open:
            accepted.shutdown(socket.SHUT_RDWR)
        await until(lambda: not pool._idle)
        assert (pool._open, pool._streams) == (0, set())
        await lane.send(GET)

    asyncio.run(main())


def test_a_connection_that_ends_unseen_is_not_used(server: Recorder) -> None:
    """The loop was busy while the server closed it."""

    async def main() -> None:
        lane = lane_of(connect(server.url, max_pool_connections=1))
        for _ in range(20):
            await lane.send(PUT)
            server._open[-1].shutdown(socket.SHUT_RDWR)
            time.sleep(0.005)
        await lane.send(PUT)

    asyncio.run(main())
    assert len(server.requests) == 21


# --- time limits ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("piece", [b"", b"H"], ids=["silence", "slow drip"])
def test_the_time_is_for_the_whole_call(listen: Listen, piece: bytes) -> None:
    def act(accepted: socket.socket) -> None:
        accepted.recv(65536)
        for byte in WHOLE:
            time.sleep(0.05)
            accepted.sendall(bytes([byte]) if piece else b"")

    listener = listen(act)

    async def main() -> None:
        lane = lane_of(connect(listener.url, timeout_seconds=30))
        started = time.monotonic()
        with pytest.raises(DeadlineExceededError, match="no answer came within the") as caught:
            await lane.send(PUT, 0.6)
        assert time.monotonic() - started > 0.5
        assert hint_of(caught.value).verdict is Verdict.LOST
        assert caught.value.context == {"table_name": "t", "key": {"p": "x"}}
        with pytest.raises(DeadlineExceededError, match=r"no time was left|did not accept") as caught:
            await lane.send(PUT, 0.0)
        assert hint_of(caught.value).verdict is Verdict.SAFE

    asyncio.run(main())


def test_a_limit_after_a_longer_one_and_a_longer_one_after_it(listen: Listen) -> None:
    """One timer serves the exchanges of a connection: it must hold for each of them."""
    turns: list[float] = [0, 4.0, 0, 2]

    def act(accepted: socket.socket) -> None:
        while accepted.recv(65536):
            time.sleep(turns.pop(0))
            accepted.sendall(WHOLE)

    listener = listen(act)

    async def main() -> None:
        lane = lane_of(connect(listener.url, timeout_seconds=30))
        await lane.send(GET, 3)
        await lane.send(GET, 20)  # longer than the timer that the last one has left behind
        await lane.send(GET)
        with pytest.raises(DeadlineExceededError):  # or the answer would come
            await lane.send(GET, 0.2)
        assert len(listener.accepted) == 1

    asyncio.run(main())


def test_a_handshake_that_does_not_come_takes_no_longer_than_the_limit(listen: Listen) -> None:
    go_on = threading.Event()
    listener = listen(lambda _: go_on.wait(10))

    async def main() -> None:
        lane = lane_of(connect(listener.url.replace("http", "https")))
        with pytest.raises(DeadlineExceededError, match="did not accept a connection") as caught:
            await lane.send(GET, 0.7)
        assert hint_of(caught.value).verdict is Verdict.SAFE
        task = asyncio.create_task(lane.send(GET))
        await asyncio.sleep(0.2)
        task.cancel()
        with pytest.raises(asyncio.CancelledError) as cancelled:
            await task
        assert hint_of(cancelled.value).verdict is Verdict.SAFE
        assert pool_of(lane)._open == 0
        go_on.set()

    asyncio.run(main())


# --- cancellation -----------------------------------------------------------------------------------------------------


async def is_safe_to_cancel(task: asyncio.Task[Any]) -> bool:
    """Cancel a task, and return whether that says that the request was not sent."""
    task.cancel()
    with pytest.raises(asyncio.CancelledError) as caught:
        await task
    return hint_of(caught.value).verdict is Verdict.SAFE


def test_cancelled_while_it_waits_for_a_connection(listen: Listen) -> None:
    listener = listen(in_pieces(WHOLE, 100_000, 0.3))

    async def main() -> None:
        lane = lane_of(connect(listener.url, max_pool_connections=1))
        await lane.send(GET)
        busy = asyncio.create_task(lane.send(GET))
        await asyncio.sleep(0.05)
        waiting = [asyncio.create_task(lane.send(PUT)) for _ in range(3)]
        await asyncio.sleep(0.05)
        assert await is_safe_to_cancel(waiting[0])
        assert await is_safe_to_cancel(waiting[1])
        assert (await busy)["Item"] == (await waiting[2])["Item"] == ITEM["Item"]
        assert pool_of(lane)._open == len(pool_of(lane)._idle) == 1

    asyncio.run(main())
    assert len(listener.accepted) == 1


def test_cancelled_as_its_turn_comes(server: Recorder) -> None:
    async def main() -> None:
        lane = lane_of(connect(server.url, max_pool_connections=1))
        await lane.send(GET)
        pool = pool_of(lane)
        used = await pool._taken(time.monotonic() + 5)
        first, second = (asyncio.create_task(lane.send(PUT)) for _ in range(2))
        await until(lambda: len(pool._waiters) == 2)
        pool._give_back(used)
        assert await is_safe_to_cancel(first)
        await second
        assert pool._open == len(pool._idle) == 1

    asyncio.run(main())
    assert len(server.requests) == 2


def test_cancelled_on_its_way_closes_the_connection(listen: Listen) -> None:
    listener = listen(in_pieces(WHOLE, 100_000, 0.0))
    slow = listen(in_pieces(WHOLE, 20, 0.2))

    async def main() -> None:
        lane = lane_of(connect(slow.url))
        for wait in (0.02, 0.12, 0.2):
            task = asyncio.create_task(lane.send(PUT))
            await until(lambda: len(slow.accepted) > slow.ended and pool_of(lane)._streams)
            await asyncio.sleep(wait)
            assert not await is_safe_to_cancel(task)
            await until(lambda: slow.ended == len(slow.accepted))
            assert pool_of(lane)._open == 0
        assert (await lane_of(connect(listener.url)).send(GET))["Item"] == ITEM["Item"]

    asyncio.run(main())


def test_cancelled_as_the_answer_comes(server: Recorder) -> None:
    async def main() -> None:
        lane = lane_of(connect(server.url, max_pool_connections=1))
        await lane.send(GET)
        (stream,) = pool_of(lane)._idle
        for answer in (WHOLE, b"garbage"):
            task = asyncio.create_task(pool_of(lane).exchange(b"never ends"))
            await asyncio.sleep(0.05)
            stream.data_received(answer)
            assert not await is_safe_to_cancel(task)
            assert pool_of(lane)._open == 0
            await lane.send(GET)
            (stream,) = pool_of(lane)._idle

    asyncio.run(main())


def test_cancelled_at_any_moment_nothing_is_mixed_up(moto_server: servers.RunningServer) -> None:
    connection = connection_for(moto_server.config("", transport="direct", max_pool_connections=3))
    table = f"cancel-{uuid4().hex[:10]}"
    moto_server.client.create_table(
        TableName=table,
        BillingMode="PAY_PER_REQUEST",
        AttributeDefinitions=[{"AttributeName": "p", "AttributeType": "S"}],
        KeySchema=[{"AttributeName": "p", "KeyType": "HASH"}],
    )
    choices = random.Random(4)

    async def round_trip(lane: AsyncDirectLane, number: int) -> bool:
        key = {"p": {"S": str(number)}}
        await lane.send(Call("PutItem", {"TableName": table, "Item": {**key, "n": {"N": str(number)}}}))
        found = await lane.send(Call("GetItem", {"TableName": table, "Key": key}))
        return bool(found["Item"]["n"]["N"] == str(number))

    async def main() -> None:
        lane = lane_of(connection)
        for _ in range(10):
            tasks = [asyncio.create_task(round_trip(lane, number)) for number in range(20)]
            for task in tasks[::2]:
                await asyncio.sleep(choices.random() * 0.01)
                task.cancel()
            outcomes = await asyncio.gather(*tasks, return_exceptions=True)
            assert all(outcome is True or isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)
            assert all(outcome is True for outcome in outcomes[1::2])
        pool = pool_of(lane)
        assert pool._open == len(pool._idle) <= 3
        assert not [waiter for waiter in pool._waiters if not waiter.turn.done()]

    asyncio.run(main())
    moto_server.client.delete_table(TableName=table)


# --- the pool ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("connections", [1, 3])
def test_a_thousand_tasks_and_few_connections(listen: Listen, connections: int) -> None:
    listener = listen(in_pieces(WHOLE, 100_000))

    async def main() -> list[int]:
        lane, order = lane_of(connect(listener.url, max_pool_connections=connections)), list[int]()
        await lane.send(GET)

        async def one(number: int) -> None:
            await lane.send(GET)
            order.append(number)

        await asyncio.gather(*(one(number) for number in range(1000)))
        assert pool_of(lane)._open == connections
        return order

    order = asyncio.run(main())
    assert len(listener.accepted) == connections
    assert (order if connections == 1 else sorted(order)) == list(range(1000))


def test_connections_that_are_opened_ahead(server: Recorder) -> None:
    async def main() -> None:
        lane = lane_of(connect(server.url, max_pool_connections=4))
        assert await lane.open_ahead(3, 5.0) == 3
        assert await lane.open_ahead(2, 5.0) == 3
        assert await lane.open_ahead(10, 5.0) == 4
        ahead = set(pool_of(lane)._idle)
        await asyncio.gather(*(lane.send(GET) for _ in range(20)))
        assert set(pool_of(lane)._idle) == ahead

    asyncio.run(main())
    with socket.create_server(("127.0.0.1", 0)) as closed:
        url = f"http://127.0.0.1:{closed.getsockname()[1]}"
    with pytest.raises(ConnectionError, match="could not be reached"):
        asyncio.run(lane_of(connect(url)).open_ahead(3, 5.0))
    connection = connect(server.url)
    connection.client.meta.events.register("before-send.dynamodb.*", lambda **_: None)
    assert asyncio.run(lane_of(connection).open_ahead(3, 5.0)) == 0


# --- TLS --------------------------------------------------------------------------------------------------------------


def test_over_tls(secure: SecureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = certificate(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    server = secure(file)

    async def main() -> None:
        lane = lane_of(connect(server.url, max_pool_connections=8))
        for _ in range(3):
            answers = await asyncio.gather(*(lane.send(GET) for _ in range(40)))
            assert [answer["Item"] for answer in answers] == [ITEM["Item"]] * 40
        await asyncio.sleep(0.05)  # the tickets that a server sends unasked are seen by now
        assert len(pool_of(lane)._idle) == 8
        await asyncio.gather(*(lane.send(GET) for _ in range(8)))
        task = asyncio.create_task(lane.send(GET))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        for accepted in server._open:
            with contextlib.suppress(OSError):
                accepted.shutdown(socket.SHUT_RDWR)
        await until(lambda: not pool_of(lane)._idle)
        await lane.send(GET)
        await lane.aclose()

    asyncio.run(main())
    assert all(is_direct(recorded) for recorded in server.requests)
    assert set(server.handshakes) == {"TLSv1.3 http/1.1"}
    assert len(server.handshakes) <= 10


def test_a_call_that_is_cancelled_as_the_handshake_ends_leaves_nothing_behind(
    secure: SecureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = certificate(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    server, cancelled = secure(file), list[asyncio.Task[Any]]()
    complete: Callable[..., None] = SSLProtocol._on_handshake_complete  # type: ignore[attr-defined]

    def completed(self: SSLProtocol, error: Exception | None) -> None:
        complete(self, error)
        if cancelled:
            cancelled.pop().cancel()

    async def main() -> None:
        lane, loop = lane_of(connect(server.url)), asyncio.get_running_loop()
        await lane.send(GET)  # the route and the certificates are there
        pool_of(lane)._idle[0].close()
        await until(lambda: not pool_of(lane)._idle)
        cancelled.append(asyncio.create_task(lane.send(GET)))
        with pytest.raises(asyncio.CancelledError):
            await cancelled[0]
        for watched in loop._selector.get_map():  # type: ignore[attr-defined]
            os.fstat(watched)  # which fails for a descriptor that was closed behind the loop's back
        assert (await lane.send(GET))["Item"] == ITEM["Item"]
        await lane.aclose()

    monkeypatch.setattr(SSLProtocol, "_on_handshake_complete", completed)
    asyncio.run(main())


def test_the_certificates_are_read_once_and_not_on_the_loop(
    secure: SecureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = certificate(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    server, read = secure(file), list[int]()
    context = Tls.context

    def noted(self: Tls) -> ssl.SSLContext:
        read.append(threading.get_ident())
        time.sleep(0.1)
        return context(self)

    monkeypatch.setattr(Tls, "context", noted)

    async def main() -> None:
        lane = lane_of(connect(server.url))
        await asyncio.gather(*(lane.send(GET) for _ in range(10)))
        await lane.send(GET)

    asyncio.run(main())
    assert len(read) == 1
    assert read[0] != threading.get_ident()


@pytest.mark.parametrize("problem", ["unknown issuer", "another name"])
def test_a_certificate_that_is_not_trusted(
    problem: str, secure: SecureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = certificate(tmp_path, "127.0.0.1" if problem == "unknown issuer" else "127.0.0.9")
    if problem == "another name":
        monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    server = secure(file)
    with pytest.raises(ConnectionError, match=r"no secure connection to https://.*certificate verify failed") as caught:
        asyncio.run(lane_of(connect(server.url)).send(GET))
    assert hint_of(caught.value).verdict is Verdict.FINAL
    assert server.requests == []


def test_a_missing_ca_bundle_is_told_to_each_of_those_who_wait(
    server: Recorder, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_CA_BUNDLE", "/nowhere/ca.pem")

    async def main() -> list[Any]:
        lane = lane_of(connect(server.url.replace("http", "https")))
        return await asyncio.gather(lane.send(GET), lane.send(PUT), return_exceptions=True)

    errors = asyncio.run(main())
    assert [type(error) for error in errors] == [ConnectionError] * 2
    assert all("CA bundle '/nowhere/ca.pem' cannot be read" in str(error) for error in errors)
    assert errors[0] is not errors[1]
    assert hint_of(errors[1]).verdict is Verdict.FINAL


# --- routes and credentials -------------------------------------------------------------------------------------------


def test_who_needs_botocore_gets_it_in_a_thread(server: Recorder) -> None:
    connection = connect(server.url)

    def listener(**_: object) -> None: ...

    async def main() -> None:
        lane = lane_of(connection)
        await lane.send(GET)
        connection.client.meta.events.register("before-send.dynamodb.GetItem", listener)
        await lane.send(GET)
        await lane.send(PUT)
        connection.client.meta.events.unregister("before-send.dynamodb.GetItem", listener)
        await lane.send(GET)
        server.answers = [http({"TableNames": []})]
        await lane.send(Call("ListTables", {}))

    asyncio.run(main())
    assert [is_direct(recorded) for recorded in server.requests] == [True, False, True, True, False]


def test_no_credentials(server: Recorder) -> None:
    nobody = config(server.url, aws_access_key_id=None, aws_secret_access_key=None, retries=0)
    with pytest.raises(CredentialsError, match="no AWS credentials were found"):
        asyncio.run(lane_of(connection_for(nobody)).send(GET))
    assert server.requests == []


class Renewed:
    """Credentials that are to be renewed, which takes as long as one likes."""

    def __init__(self, connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
        self.go_on = threading.Event()
        self.times = 0
        self.threads: set[int] = set()
        self.error: Exception | None = None
        self._is_due = True
        credentials: Any = connection.client._request_signer._credentials  # type: ignore[attr-defined]
        monkeypatch.setattr(credentials, "refresh_needed", lambda: self._is_due, raising=False)
        monkeypatch.setattr(credentials, "get_frozen_credentials", self._keys)

    def _keys(self) -> ReadOnlyCredentials:
        if self._is_due:
            self.times += 1
            self.threads.add(threading.get_ident())
            assert self.go_on.wait(10)
            if self.error is not None:
                raise self.error
            self._is_due = False
        return ReadOnlyCredentials("NEW", "s", None)


def test_credentials_are_renewed_once_and_not_on_the_loop(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connect(server.url)

    async def main() -> None:
        lane = lane_of(connection)
        await lane.send(GET)
        renewed = Renewed(connection, monkeypatch)
        tasks = [asyncio.create_task(lane.send(GET)) for _ in range(50)]
        with pytest.raises(DeadlineExceededError, match=r"could not be sent within the 0\.05 s") as caught:
            await lane.send(PUT, 0.05)
        assert hint_of(caught.value).verdict is Verdict.SAFE
        assert caught.value.context == {"table_name": "t", "key": {"p": "x"}}
        task = asyncio.create_task(lane.send(PUT))
        await asyncio.sleep(0.01)
        assert await is_safe_to_cancel(task)
        assert sum(name == "dynamodb-route" for name in (thread.name for thread in threading.enumerate())) == 1
        renewed.go_on.set()
        await asyncio.gather(*tasks)
        assert (renewed.times, threading.get_ident() in renewed.threads) == (1, False)

    asyncio.run(main())
    assert len(server.requests) == 51
    assert all("Credential=NEW/" in headers["Authorization"] for headers, _ in server.requests[1:])


def test_credentials_that_cannot_be_renewed_are_told_to_each(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import CredentialRetrievalError

    connection = connect(server.url, retries=0)

    async def main() -> None:
        lane = lane_of(connection)
        await lane.send(GET)
        renewed = Renewed(connection, monkeypatch)
        renewed.error = CredentialRetrievalError(provider="p", error_msg="m")
        tasks = [asyncio.create_task(lane.send(call)) for call in (GET, PUT)]
        await until(lambda: renewed.times)
        renewed.go_on.set()
        get, put = await asyncio.gather(*tasks, return_exceptions=True)
        assert type(get) is type(put) is CredentialsError
        assert (get.context["table_name"], put.context["table_name"]) == ("t", "t")
        get.context["noted"] = True
        assert "noted" not in put.context

    asyncio.run(main())
    assert len(server.requests) == 1


# --- event loops and processes ----------------------------------------------------------------------------------------


def test_loop_after_loop_and_nothing_is_left_open(server: Recorder) -> None:
    """No call closes anything, and `asyncio.run` ends with the connections closed, without a warning."""
    connection = connect(server.url)

    async def main() -> list[socket.socket]:
        lane = lane_of(connection)
        await asyncio.gather(*(lane.send(GET) for _ in range(3)))
        return [stream._socket for stream in pool_of(lane)._streams]

    for _ in range(3):
        left = asyncio.run(main())
        assert len(left) == 3
        assert {kept.fileno() for kept in left} == {-1}
    gc.collect()


def test_a_loop_that_ends_in_the_middle(listen: Listen) -> None:
    listener = listen(in_pieces(WHOLE, 1, 0.05))
    connection = connect(listener.url)

    async def main() -> None:
        lane = lane_of(connection)
        _tasks.extend(asyncio.create_task(lane.send(GET)) for _ in range(3))
        await until(lambda: len(listener.accepted) == 3)

    _tasks = list[asyncio.Task[Any]]()
    asyncio.run(main())
    assert all(task.cancelled() for task in _tasks)


def test_a_loop_that_is_closed_without_an_end(server: Recorder) -> None:
    connection = connect(server.url)
    lane = lane_of(connection)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(lane.send(GET))
    (stream,) = lane._opened[loop].pool._streams
    loop.close()
    assert asyncio.run(lane.send(GET))["Item"] == ITEM["Item"]
    assert stream._socket.fileno() == -1
    assert loop not in lane._opened
    del stream
    with pytest.warns(ResourceWarning, match="unclosed transport"):  # asyncio's own word on such a loop
        gc.collect()


def test_several_loops_at_once(server: Recorder) -> None:
    connection = connect(server.url)
    answered: list[int] = []

    async def main() -> None:
        lane = lane_of(connection)
        answers = await asyncio.gather(*(lane.send(GET) for _ in range(50)))
        answered.append(sum(answer["Item"] == ITEM["Item"] for answer in answers))

    running = [threading.Thread(target=lambda: asyncio.run(main())) for _ in range(4)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    assert answered == [50] * 4


def test_closing_and_going_on(server: Recorder) -> None:
    connection = connect(server.url)

    async def main() -> None:
        lane = lane_of(connection)
        await lane.send(GET)
        kept = [stream._socket for stream in pool_of(lane)._streams]
        await lane.aclose()
        assert [one.fileno() for one in kept] == [-1]
        await lane.aclose()
        await lane.send(GET)
        kept = [stream._socket for stream in pool_of(lane)._streams]
        await asyncio.to_thread(reset_connection)
        await until(lambda: kept[0].fileno() == -1)
        await lane.send(GET)
        await connection.async_disconnect()
        on_its_way = asyncio.create_task(lane.send(GET))
        await until(lambda: len(server.requests) == 4 or on_its_way.done())
        await lane.aclose()
        assert (await on_its_way)["Item"] == ITEM["Item"]
        connection.close()
        with pytest.raises(ConnectionError, match="this connection is closed"):
            await lane.send(GET)

    asyncio.run(main())


def test_a_call_that_a_close_overtakes_leaves_no_connection(server: Recorder, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connect(server.url)
    find = connection._routes.find

    def found(call: Call) -> Any:
        route = find(call)
        closing = threading.Thread(target=connection.close)
        closing.start()
        closing.join()
        return route

    async def main() -> None:
        lane = lane_of(connection)
        assert (await lane.send(GET))["Item"] == ITEM["Item"]
        pool = pool_of(lane)
        assert (pool._idle, pool._open) == ([], 0)
        await until(lambda: not pool._streams)

    monkeypatch.setattr(connection._routes, "find", found)
    asyncio.run(main())


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork on this system")
@pytest.mark.filterwarnings("ignore:.*use of fork:DeprecationWarning")
def test_parent_and_child_do_not_share_connections(server: Recorder) -> None:
    connection = connect(server.url)
    lane = lane_of(connection)
    loop = asyncio.new_event_loop()
    loop.run_until_complete(lane.send(GET))
    (parents,) = lane._opened[loop].pool._streams
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            answer = asyncio.run(lane.send(GET))
            is_closed_here = parents._socket.fileno() == -1
            os.write(writer, b"fine" if is_closed_here and answer["Item"] == ITEM["Item"] else b"wrong")
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader, "rb") as answer:
        assert answer.read() == b"fine"
    os.waitpid(child, 0)
    loop.run_until_complete(lane.send(GET))
    assert lane._opened[loop].pool._streams == {parents}
    loop.run_until_complete(loop.shutdown_asyncgens())
    assert parents._socket.fileno() == -1
    loop.close()


def test_on_uvloop(server: Recorder, listen: Listen) -> None:
    uvloop = pytest.importorskip("uvloop", reason="uvloop is not installed")
    drip = listen(in_pieces(WHOLE, 20, 0.05))

    async def main() -> None:
        lane = lane_of(connect(server.url, max_pool_connections=3))
        answers = await asyncio.gather(*(lane.send(GET) for _ in range(50)))
        assert [answer["Item"] for answer in answers] == [ITEM["Item"]] * 50
        slow = lane_of(connect(drip.url))
        with pytest.raises(DeadlineExceededError):
            await slow.send(PUT, 0.1)
        task = asyncio.create_task(slow.send(PUT))
        await asyncio.sleep(0.1)
        assert not await is_safe_to_cancel(task)
        for accepted in server._open:
            accepted.shutdown(socket.SHUT_RDWR)
        await until(lambda: not pool_of(lane)._idle)
        await lane.send(GET)

    work: Coroutine[Any, Any, None] = main()
    uvloop.run(work)
