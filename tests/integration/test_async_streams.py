"""What connections of event loops are read into."""

from __future__ import annotations

import asyncio
import json
import socket
import ssl
import threading
import time
import zlib
from pathlib import Path
from typing import Any

import pytest

from dynamodb_wrapper.transport.async_pool import AsyncPool
from dynamodb_wrapper.transport.errors import Endpoint
from dynamodb_wrapper.transport.sockets import MOST_RECEIVE_BYTES, RECEIVE_BYTES, Tls
from tests.integration.test_async_direct_lane import lane_of, pool_of
from tests.integration.test_async_direct_lane import server as server  # a fixture
from tests.integration.test_direct_lane import GET, Recorder, SecureServer, certificate, connect
from tests.integration.test_direct_lane import secure as secure  # a fixture

SIZES = (0, 1, RECEIVE_BYTES - 200, RECEIVE_BYTES, RECEIVE_BYTES + 1, 300_000, MOST_RECEIVE_BYTES + 200_000)


def answer_of(size: int, *, chunk: int = 0) -> tuple[dict[str, Any], bytes]:
    """An item of about so many bytes, and the answer with it, as a whole or in chunks."""
    item = {"p": {"S": "x"}, "text": {"S": "ä" + "0123456789abcdef" * (size // 16)}}
    body = json.dumps({"Item": item}).encode()
    head = f"HTTP/1.1 200 OK\r\nx-amz-crc32: {zlib.crc32(body)}\r\n"
    if not chunk:
        return item, f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body
    chunks = [body[at : at + chunk] for at in range(0, len(body), chunk)]
    coded = b"".join(f"{len(part):x}\r\n".encode() + part + b"\r\n" for part in chunks)
    return item, f"{head}Transfer-Encoding: chunked\r\n\r\n".encode() + coded + b"0\r\n\r\n"


async def check_sizes(server: Recorder) -> AsyncPool:
    """Ask for answers of all sizes over one connection, at which nothing large is left."""
    lane = lane_of(connect(server.url, max_pool_connections=1))
    for size in (*SIZES, *reversed(SIZES)):
        for chunk in (0, 100_000):
            item, server.answers[0] = answer_of(size, chunk=chunk)
            assert (await lane.send(GET))["Item"] == item
            (stream,) = pool_of(lane)._idle
            assert stream._room is stream._buffer
            assert len(stream._buffer) == RECEIVE_BYTES
    return pool_of(lane)


def test_answers_of_any_size_over_one_connection(server: Recorder) -> None:
    asyncio.run(check_sizes(server))
    assert len(server._open) == 1


def test_answers_of_any_size_over_tls(secure: SecureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = certificate(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    server = secure(file)
    asyncio.run(check_sizes(server))
    assert len(server.handshakes) == 1


def answer_once(raw: bytes, file: Path) -> tuple[int, threading.Thread]:
    """Answer one request over TLS and close the connection without a farewell; return the port, and who answers."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(file)
    listener = socket.create_server(("127.0.0.1", 0))

    def answer() -> None:
        accepted, _ = listener.accept()
        with listener, context.wrap_socket(accepted, server_side=True) as secured:
            secured.recv(65536)
            secured.sendall(raw)

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    return listener.getsockname()[1], thread


def test_an_answer_over_tls_is_whole_though_its_connection_ends_while_the_loop_is_busy(tmp_path: Path) -> None:
    file = certificate(tmp_path)
    whole, raw = answer_of(1_000_000)[1], answer_of(1_000_000, chunk=8192)[1]
    port, thread = answer_once(raw, file)
    end = time.monotonic() + 20

    async def main() -> bytes:
        pool = AsyncPool(Endpoint("https://127.0.0.1", 5, 20), ("127.0.0.1", port), tls=Tls(str(file)), at_most=1)
        exchange = asyncio.create_task(pool.exchange(b"request"))
        while not exchange.done():
            assert time.monotonic() < end
            time.sleep(0.02)  # the loop is busy, so much comes at once
            await asyncio.sleep(0)
        await pool.aclose()
        return (await exchange).body

    assert asyncio.run(main()) == whole.partition(b"\r\n\r\n")[2]
    thread.join(5)


@pytest.mark.parametrize("come", [0, RECEIVE_BYTES - 17 * 1024 + 1, 300_000])
def test_all_that_has_come_over_tls_is_made_room_for(
    secure: SecureServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, come: int
) -> None:
    file = certificate(tmp_path)
    monkeypatch.setenv("AWS_CA_BUNDLE", str(file))
    server = secure(file)

    async def main() -> None:
        lane = lane_of(connect(server.url, max_pool_connections=1))
        await lane.send(GET)
        (stream,) = pool_of(lane)._idle
        assert len(stream.get_buffer(come)) == RECEIVE_BYTES  # nobody has asked for it
        task = asyncio.create_task(pool_of(lane).exchange(b"never answered"))
        await asyncio.sleep(0.05)
        assert len(stream.get_buffer(come)) == max(RECEIVE_BYTES, come + 17 * 1024)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("missing", "room"),
    [
        (10, RECEIVE_BYTES),
        (RECEIVE_BYTES + 20, RECEIVE_BYTES + 20),
        (50 * 2**20, MOST_RECEIVE_BYTES),
    ],
)
def test_what_is_missing_is_made_room_for_up_to_a_limit(server: Recorder, missing: int, room: int) -> None:
    async def main() -> None:
        lane = lane_of(connect(server.url, max_pool_connections=1))
        await lane.send(GET)
        (stream,) = pool_of(lane)._idle
        assert len(stream.get_buffer(-1)) == RECEIVE_BYTES
        task = asyncio.create_task(pool_of(lane).exchange(b"never answered"))
        await asyncio.sleep(0.05)
        head = f"HTTP/1.1 200 OK\r\nContent-Length: {missing}\r\n\r\n".encode()
        given = stream.get_buffer(-1)
        given[: len(head)] = head
        stream.buffer_updated(len(head))
        assert len(stream.get_buffer(-1)) == room
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
