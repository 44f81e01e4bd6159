"""A loopback server that answers every DynamoDB request at once with ready bytes, so that client cost is all there is.

Run as ``python -m benchmarks.canned_server``: it prints its port and serves until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import json
import sys
import zlib

from benchmarks.data import wire_item

PAGE_ITEMS = 100


def response(body: object) -> bytes:
    """Return a whole HTTP answer."""
    payload = json.dumps(body, separators=(",", ":")).encode()
    head = (
        "HTTP/1.1 200 OK\r\nContent-Type: application/x-amz-json-1.0\r\nx-amzn-RequestId: CANNED\r\n"
        f"x-amz-crc32: {zlib.crc32(payload)}\r\nContent-Length: {len(payload)}\r\n\r\n"
    )
    return head.encode() + payload


ANSWERS = {
    b"GetItem": response({"Item": wire_item(1)}),
    b"PutItem": response({}),
    b"UpdateItem": response({"Attributes": wire_item(1)}),
    b"Query": response({"Items": [wire_item(i) for i in range(PAGE_ITEMS)], "Count": PAGE_ITEMS}),
}


class Canned(asyncio.Protocol):
    """Answers one connection."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start with an empty buffer."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        self._buffer = b""

    def data_received(self, data: bytes) -> None:
        """Answer every request that has arrived whole."""
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            start = head.find(b"content-length:") + len(b"content-length:")
            length = int(head[start : head.find(b"\r\n", start) if b"\r\n" in head[start:] else None])
            if len(self._buffer) < end + 4 + length:
                return
            target = self._buffer[: end + 2].split(b"DynamoDB_20120810.")[1].split(b"\r\n")[0]
            self._buffer = self._buffer[end + 4 + length :]
            self._transport.write(ANSWERS[target])


async def main() -> None:
    """Serve on a free port until standard input is closed."""
    server = await asyncio.get_running_loop().create_server(Canned, "127.0.0.1", 0)
    sys.stdout.write(f"{server.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main())
