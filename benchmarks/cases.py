"""What is measured."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from benchmarks.data import BATCH_GET_ITEMS, BATCH_WRITE_ITEMS, PAGE_ITEMS, QUERY_ITEMS

Kind = Literal["sync", "async", "fresh"]


@dataclass(frozen=True)
class Case:
    """One row group of the table.

    Attributes:
        name: As peers and the command line call it.
        title: As the table calls it.
        kind: ``sync``: an operation, measured again and again in one process. ``async``: the same with coroutines.
            ``fresh``: measured once in a process that has done nothing else.
        operation: The peer's operation; default: the name.
        tls: Whether it is sent over TLS.
        at_once: How many coroutines do it at the same time.
        items: Of a stream.
        reference: The case whose references the ratios are to; default: itself.
        rounds: At most so many; long ones need few.
        is_long: Left out of ``--quick``.
    """

    name: str
    title: str
    kind: Kind = "sync"
    operation: str = ""
    tls: bool = False
    at_once: int = 1
    items: int = 0
    reference: str = ""
    rounds: int = 1000
    is_long: bool = False


CASES = {
    case.name: case
    for case in (
        Case("get", "get"),
        Case("put", "put"),
        Case("update", "update, the new item returned"),
        Case("query", f"query of {QUERY_ITEMS:,} in {QUERY_ITEMS // PAGE_ITEMS} pages"),
        Case("batch_get", f"batch get of {BATCH_GET_ITEMS}"),
        Case("batch_write", f"batch write of {BATCH_WRITE_ITEMS}"),
        Case("tls_get", "get over TLS", operation="get", tls=True),
        Case("async_get", "async get, 64 at once", "async", operation="get", at_once=64),
        Case("async_put", "async put, 64 at once", "async", operation="put", at_once=64),
        Case("async_update", "async update, 64 at once", "async", operation="update", at_once=64),
        Case("async_query", f"async query of {QUERY_ITEMS:,}, 4 at once", "async", operation="query", at_once=4),
        Case("encode", "model to JSON"),
        Case("encode_simple", "model to JSON, the simple way", reference="encode"),
        Case("decode", "JSON to model"),
        Case("decode_parsed", "parsed JSON to model", reference="decode"),
        Case("decode_simple", "JSON to model, the simple way", reference="decode"),
        Case("cold_start", "import to first answer", "fresh", "cold_start", rounds=7),
        Case(
            "repositories", "99 more repositories, each with one get; per repository", "fresh", "repositories", rounds=2
        ),
        Case("stream_1000", "stream of 1,000, per item", "fresh", "stream", items=1_000, rounds=3),
        Case("stream_10000", "stream of 10,000, per item", "fresh", "stream", items=10_000, rounds=2, is_long=True),
        Case("stream_100000", "stream of 100,000, per item", "fresh", "stream", items=100_000, rounds=1, is_long=True),
    )
}
