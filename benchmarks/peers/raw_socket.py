"""Ready bytes over one socket: the limit. Nothing is signed, encoded, checked or parsed."""

from __future__ import annotations

import socket
from collections.abc import Callable
from urllib.parse import urlsplit

from benchmarks.data import PAGE_ITEMS as PAGE
from benchmarks.data import PARTITION, QUERY_ITEMS, sort_key, wire_json
from benchmarks.peers import AsyncOperations, Operations

PACKAGES: tuple[str, ...] = ()
QUERIES = [
    {"pk": PARTITION} | ({"ExclusiveStartKey": sort_key(first - 1)} if first else {})
    for first in range(0, QUERY_ITEMS, PAGE)
]


def request(target: str, body: object) -> bytes:
    """Return a whole HTTP request."""
    payload = wire_json(body)
    return (
        f"POST / HTTP/1.1\r\nHost: localhost\r\nX-Amz-Target: DynamoDB_20120810.{target}\r\n"
        f"Content-Length: {len(payload)}\r\n\r\n"
    ).encode() + payload


REQUESTS = {
    "get": [request("GetItem", {})],
    "put": [request("PutItem", {})],
    "update": [request("UpdateItem", {"ReturnValues": "ALL_NEW"})],
    "query": [request("Query", body) for body in QUERIES],
    "batch_get": [request("BatchGetItem", {})],
    "batch_write": [request("BatchWriteItem", {})],
}


def missing(data: bytes) -> int:
    """Return how many bytes of an answer are still to come."""
    end = data.find(b"\r\n\r\n")
    start = data.find(b"Content-Length: ") + len(b"Content-Length: ")
    return int(data[start : data.find(b"\r\n", start)]) - (len(data) - end - 4)


def operations(endpoint_url: str) -> Operations:
    """Return the operations over one connection."""
    place = urlsplit(endpoint_url)
    if place.scheme == "https":
        return {}
    connection = socket.create_connection((place.hostname or "", place.port or 0))

    def exchange(requests: list[bytes]) -> Callable[[], object]:
        def send() -> None:
            for ready in requests:
                connection.sendall(ready)
                left = missing(connection.recv(65536))
                while left > 0:
                    left -= len(connection.recv(65536))

        return send

    return {name: exchange(requests) for name, requests in REQUESTS.items()}


async def async_operations(endpoint_url: str) -> AsyncOperations:
    """Return the operations over asyncio streams, one connection for each that is on its way."""
    import asyncio

    place = urlsplit(endpoint_url)
    idle: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def exchange(requests: list[bytes]) -> None:
        reader, writer = idle.pop() if idle else await asyncio.open_connection(place.hostname, place.port)
        for ready in requests:
            writer.write(ready)
            left = missing(await reader.read(65536))
            while left > 0:
                left -= len(await reader.read(65536))
        idle.append((reader, writer))

    return {
        name: lambda requests=requests: exchange(requests)  # type: ignore[misc]
        for name, requests in REQUESTS.items()
        if not name.startswith("batch")
    }
