"""The canned server of the Spark benchmark: scans by segments, batch writes, latency, and a count of what they consume.

Run as ``python -m benchmarks.spark.server milliseconds``: it prints its port, answers every request after so long, and
serves until its standard input is closed. The operation ``Counts`` returns what was consumed since the last one.
"""

from __future__ import annotations

import asyncio
import functools
import re
import sys
import time
from itertools import islice

from benchmarks.canned_server import Canned, response
from benchmarks.spark.data import KEYS, PAGE_ITEMS, wire_item, wire_json

TABLE = re.compile(rb'"(orders-(\d+))"')
NUMBERS = {name: re.compile(rb'"%b":\s*(\d+)' % name) for name in (b"Limit", b"Segment", b"TotalSegments")}
PLACE = re.compile(rb"at#(\d+)")
READ_UNIT_BYTES = 8192
"""Eventually consistent: half a unit for 4 KB."""
MINUTE = 60.0

ITEMS = [wire_json(wire_item(number)) for number in range(PAGE_ITEMS)]
DESCRIPTION = {
    "KeySchema": [{"AttributeName": name, "KeyType": kind} for name, kind in zip(KEYS, ("HASH", "RANGE"), strict=True)],
    "AttributeDefinitions": [{"AttributeName": name, "AttributeType": "S"} for name in KEYS],
    "TableStatus": "ACTIVE",
    "ItemCount": 0,
}


@functools.cache
def joined(count: int) -> bytes:
    """Return so many items with commas between them."""
    return b",".join(islice(ITEMS, count))


class Counts:
    """What was consumed.

    Attributes:
        items: Read or written.
        units: Capacity units.
        minute: Capacity units in the minute after the first request that was counted.
    """

    def __init__(self) -> None:
        self.items = 0
        self.units = self.minute = 0.0
        self._first = 0.0

    def add(self, items: int, units: float) -> None:
        """Count a request."""
        now = time.monotonic()
        self._first = self._first or now
        self.items += items
        self.units += units
        if now < self._first + MINUTE:
            self.minute += units


class SparkCanned(Canned):
    """Answers one connection."""

    delay = 0.0
    counts = Counts()

    def answer(self, operation: bytes, body: bytes) -> bytes:
        """Return the answer to a request."""
        if operation == b"Counts":
            counts, SparkCanned.counts = self.counts, Counts()
            return response(wire_json({name: getattr(counts, name) for name in ("items", "units", "minute")}))
        found = TABLE.search(body)
        assert found is not None, body
        table, rows = found[1].decode(), int(found[2])
        if operation == b"DescribeTable":
            return response(wire_json({"Table": {"TableName": table, **DESCRIPTION}}))
        if operation == b"BatchWriteItem":
            items = body.count(b'"PutRequest"')
            self.counts.add(items, items)  # each is smaller than 1 KB
            consumed = {"UnprocessedItems": {}, "ConsumedCapacity": [{"TableName": table, "CapacityUnits": items}]}
            return response(wire_json(consumed))
        assert operation == b"Scan", operation
        return self.page(table, rows, body)

    def page(self, table: str, rows: int, body: bytes) -> bytes:
        """Return a page of a scan: always the same items, but with the right last key until the segment's end."""
        asked = {name: int(found[1]) for name, form in NUMBERS.items() if (found := form.search(body))}
        share = rows // asked.get(b"TotalSegments", 1)
        start = PLACE.search(body) if b"ExclusiveStartKey" in body else None
        place = int(start[1]) if start else 0
        count = min(PAGE_ITEMS, asked.get(b"Limit", PAGE_ITEMS), share - place)
        payload = joined(count)
        units = max(1.0, -(-len(payload) // (READ_UNIT_BYTES // 2)) / 2)
        self.counts.add(count, units)
        head = b'{"Count":%d,"ScannedCount":%d,"Items":[' % (count, count)
        consumed = b'],"ConsumedCapacity":' + wire_json({"TableName": table, "CapacityUnits": units})
        last = b""
        if place + count < share:
            last = b',"LastEvaluatedKey":' + wire_json({"pk": {"S": "user#0001"}, "sk": {"S": f"at#{place + count}"}})
        return response(b"".join((head, payload, consumed, last, b"}")))

    def send(self, payload: bytes) -> None:
        """Send an answer when it is due."""
        if self.delay:
            asyncio.get_running_loop().call_later(self.delay, super().send, payload)
        else:
            super().send(payload)


async def main(milliseconds: float) -> None:
    """Serve on a free port until standard input is closed."""
    SparkCanned.delay = milliseconds / 1000
    server = await asyncio.get_running_loop().create_server(SparkCanned, "127.0.0.1", 0, backlog=1000)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.to_thread(sys.stdin.read)
    server.close()


if __name__ == "__main__":
    asyncio.run(main(float(sys.argv[1])))
