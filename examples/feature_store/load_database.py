"""A stand-in for DynamoDB that answers each kind of request with ready bytes, after a delay: the services are measured.

Run as ``python -m examples.feature_store.load_database DELAY_MS``: it prints its port, and serves until its standard
input is closed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import zlib

CATEGORIES = [f"category_{number}" for number in range(3)]
FEATURES = {f"feature_{number}": number + 0.5 for number in range(10)}

_ITEMS = [
    {
        "bright_uid": {"S": "u1"},
        "category": {"S": category},
        "features": {"M": {name: {"N": str(value)} for name, value in FEATURES.items()}},
        "source": {"S": "api"},
        "created_at": {"S": "2026-03-02T09:30:00.000000+00:00"},
        "updated_at": {"S": "2026-03-02T09:30:00.000000+00:00"},
    }
    for category in CATEGORIES
]


def _answer(body: object) -> bytes:
    payload = json.dumps(body, separators=(",", ":")).encode()
    head = (
        f"HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nContent-Length: {len(payload)}\r\n"
        f"x-amzn-RequestId: LOAD\r\nx-amz-crc32: {zlib.crc32(payload)}\r\n\r\n"
    )
    return head.encode() + payload


_READY = {
    b"GetItem": _answer({"Item": _ITEMS[0]}),
    b"BatchGetItem": _answer({"Responses": {"dev_bright_uid": _ITEMS}, "UnprocessedKeys": {}}),
    b"TransactWriteItems": _answer({}),
    b"DescribeTable": _answer({"Table": {"TableStatus": "ACTIVE"}}),
}
_UPDATED = {True: _answer({"Attributes": _ITEMS[0]}), False: _answer({})}


class Connection(asyncio.Protocol):
    """Answers the requests of one client, one after another."""

    delay = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, end, rest = self._buffer.partition(b"\r\n\r\n")
        if not end:
            return
        length = int(head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0])
        if len(rest) < length:
            return
        self._buffer = rest[length:]
        operation = head.partition(b"DynamoDB_20120810.")[2].split(b"\r\n", 1)[0]
        answer = _UPDATED[b"ALL_NEW" in rest] if operation == b"UpdateItem" else _READY[operation]
        asyncio.get_running_loop().call_later(self.delay, self._transport.write, answer)


async def main(delay_ms: float) -> None:
    Connection.delay = delay_ms / 1000
    server = await asyncio.get_running_loop().create_server(Connection, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
