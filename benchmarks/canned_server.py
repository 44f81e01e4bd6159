"""A loopback server that answers every DynamoDB request at once with ready bytes, so that client cost is all there is.

Run as ``python -m benchmarks.canned_server [certificate key]``: it prints its ports, for HTTP and (given a certificate)
HTTPS, and serves until its standard input is closed.
"""

from __future__ import annotations

import asyncio
import re
import ssl
import sys
import zlib

from benchmarks.data import BATCH_GET_ITEMS, PAGE_ITEMS, TABLE, sort_key, wire_item, wire_json

ASKED_PARTITION = re.compile(rb"user#(\d+)")
ASKED_SORT_KEY = re.compile(rb"order#(\d+)")


def response(payload: bytes) -> bytes:
    """Return a whole HTTP answer."""
    head = (
        "HTTP/1.1 200 OK\r\nServer: Server\r\nDate: Fri, 21 Nov 2025 03:00:00 GMT\r\n"
        f"Content-Type: application/x-amz-json-1.0\r\nContent-Length: {len(payload)}\r\nConnection: keep-alive\r\n"
        "x-amzn-RequestId: 4KBNVRGD25RG1KEO9UT4V3FQDJVV4KQNSO5AEMVJF66Q9ASUAAJG\r\n"
        f"x-amz-crc32: {zlib.crc32(payload)}\r\n\r\n"
    )
    return head.encode() + payload


NOTHING = response(b"{}")
NEW_ITEM = response(wire_json({"Attributes": wire_item(1)}))
READY = {
    b"GetItem": response(wire_json({"Item": wire_item(1)})),
    b"PutItem": NOTHING,
    b"BatchWriteItem": response(b'{"UnprocessedItems":{}}'),
    b"BatchGetItem": response(
        wire_json({"Responses": {TABLE: [wire_item(n) for n in range(BATCH_GET_ITEMS)]}, "UnprocessedKeys": {}})
    ),
}
ITEMS = wire_json([wire_item(number) for number in range(PAGE_ITEMS)])


def page(body: bytes) -> bytes:
    """Return a page of a query: always the same items, but with the right last key until the partition's end."""
    asked = ASKED_PARTITION.search(body)
    assert asked is not None, body
    start = ASKED_SORT_KEY.search(body) if b"ExclusiveStartKey" in body else None
    last = (int(start[1]) if start else -1) + PAGE_ITEMS
    payload = b'{"Items":%b,"Count":%d,"ScannedCount":%d' % (ITEMS, PAGE_ITEMS, PAGE_ITEMS)
    if last + 1 < int(asked[1]):
        payload += b',"LastEvaluatedKey":' + wire_json({"pk": {"S": asked[0].decode()}, "sk": {"S": sort_key(last)}})
    return response(payload + b"}")


def answer(operation: bytes, body: bytes) -> bytes:
    """Return the answer to a request."""
    if operation == b"Query":
        return page(body)
    if operation == b"UpdateItem":
        return NEW_ITEM if b"ALL_NEW" in body else NOTHING
    return READY[operation]


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
            head = self._buffer[: end + 2]
            start = head.lower().find(b"content-length:") + len(b"content-length:")
            length = int(head[start : head.find(b"\r\n", start)])
            if len(self._buffer) < end + 4 + length:
                return
            body = self._buffer[end + 4 : end + 4 + length]
            self._buffer = self._buffer[end + 4 + length :]
            operation = head.split(b"DynamoDB_20120810.", 1)[1].split(b"\r\n", 1)[0]
            self.send(self.answer(operation, body))

    def answer(self, operation: bytes, body: bytes) -> bytes:
        """Return the answer to a request."""
        return answer(operation, body)

    def send(self, payload: bytes) -> None:
        """Send an answer."""
        self._transport.write(payload)


async def main(certificate: list[str]) -> None:
    """Serve on free ports until standard input is closed."""
    loop = asyncio.get_running_loop()
    servers = [await loop.create_server(Canned, "127.0.0.1", 0, backlog=1000)]
    if certificate:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        servers.append(await loop.create_server(Canned, "127.0.0.1", 0, ssl=context))
    print(*(server.sockets[0].getsockname()[1] for server in servers), flush=True)
    await asyncio.to_thread(sys.stdin.read)
    for server in servers:
        server.close()


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1:]))
