"""Reads under every fault: the whole truth or an error, and never "there is no such item" for lack of an answer."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any
from uuid import uuid4

import pytest

from dynamodb_wrapper import (
    ConnectionError,
    CorruptResponseError,
    DynamoDBWrapperError,
    F,
    ServerError,
    ThrottlingError,
)
from tests.contract.shop import Orders, order
from tests.faults import rules
from tests.faults.bench import SHORT, Bench
from tests.faults.proxy import Fault

ITEMS = 7


@dataclass(frozen=True)
class Read:
    """A read, what it must give, and how many requests that takes without faults."""

    operation: str
    read: Callable[[Orders, str], Any]
    expected: Any
    requests: int


def ids(orders: Any) -> list[str]:
    return sorted(entry.order_id for entry in orders)


def pages(orders: Orders, key: str) -> list[str]:
    """Walk through pages as a web client does, by cursors."""
    found, cursor = [], None
    while True:
        page = orders.query(key).page(size=3, cursor=cursor)
        found += page.items
        cursor = page.cursor
        if cursor is None:
            return ids(found)


ALL = [f"o{number}" for number in range(ITEMS)]
READS = {
    "get": Read("GetItem", lambda r, k: r.get_or_raise(k, "o1").order_id, "o1", 1),
    "get, attributes": Read("GetItem", lambda r, k: dict(r.get(k, "o1", attributes=["count"]) or {}), {"count": 1}, 1),
    "exists": Read("GetItem", lambda r, k: r.exists(k, "o1"), True, 1),
    "query": Read("Query", lambda r, k: ids(r.query(k).page_size(3)), ALL, 3),
    "query, filtered": Read("Query", lambda r, k: ids(r.query(k).where(F.count >= 5).page_size(3)), ALL[5:], 3),
    "query, limited": Read("Query", lambda r, k: ids(r.query(k).page_size(2).limit(3)), ALL[:3], 2),
    "pages": Read("Query", pages, ALL, 3),
    "all": Read("Query", lambda r, k: ids(r.query(k).page_size(3).all()), ALL, 3),
    "count": Read("Query", lambda r, k: r.query(k).page_size(3).count(), ITEMS, 3),
    "scan": Read("Scan", lambda r, k: ids(r.scan().where(F.note == k).page_size(1000)), ALL, 1),
    "scan, count": Read("Scan", lambda r, k: r.scan().where(F.note == k).page_size(1000).count(), ITEMS, 1),
}

every_read = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in READS.items()])
FAULTS = (*rules.REFUSALS, *rules.BROKEN_BEFORE, *rules.DAMAGED, rules.emptied())


def each(faults: tuple[Fault, ...]) -> Any:
    return pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.name) for fault in faults])


@pytest.fixture(scope="module")
def stored(module_bench: Bench) -> str:
    """The customer whose orders are read."""
    key, orders = uuid4().hex, module_bench.behind(Orders)
    for number, order_id in enumerate(ALL):
        orders.create(order(key, order_id, count=number, note=key))
    return key


@every_read
@each(FAULTS)
def test_a_read_survives_a_fault_on_every_request(bench: Bench, stored: str, case: Read, fault: Fault) -> None:
    for request in range(case.requests):
        bench.proxy.inject(fault, case.operation, skip=1 if request else 0)
    assert case.read(bench.through(Orders), stored) == case.expected
    assert bench.proxy.count(case.operation) == 2 * case.requests
    assert len(bench.pauses) == bench.proxy.injected.total() == case.requests


@every_read
@each(FAULTS)
def test_a_read_that_is_never_answered_is_an_error(bench: Bench, stored: str, case: Read, fault: Fault) -> None:
    bench.proxy.inject(fault, case.operation, times=None)
    kinds = {"ServiceUnavailable": ServerError, "500 before it was applied": ServerError}
    kinds |= dict.fromkeys(
        ("truncated", "corrupt", "emptied", "truncated, no checksum", "cut short"), CorruptResponseError
    )
    kinds |= dict.fromkeys((rules.throttle().name, rules.throttle_on_demand().name), ThrottlingError)
    with pytest.raises(kinds.get(fault.name, ConnectionError)) as caught:
        case.read(bench.through(Orders), stored)
    assert bench.proxy.count(case.operation) == caught.value.context["attempts"] == 4
    assert caught.value.operation == case.operation


@pytest.mark.parametrize("name", ["query", "pages", "all", "count"])
@each(FAULTS)
def test_a_fault_in_the_middle_does_not_shorten_the_rest(bench: Bench, stored: str, name: str, fault: Fault) -> None:
    bench.proxy.inject(fault, "Query", skip=1, times=None)
    with pytest.raises(DynamoDBWrapperError):
        READS[name].read(bench.through(Orders), stored)


def test_a_stream_goes_on_where_it_was(bench: Bench, stored: str) -> None:
    bench.proxy.inject(rules.cut_short(), "Query", skip=1)
    bench.proxy.inject(rules.reset(applied=False), "Query", skip=1)
    stream = iter(bench.through(Orders).query(stored).page_size(2))
    assert [entry.order_id for entry in stream] == ALL


@pytest.mark.parametrize("name", ["get", "query", "scan"])
def test_a_read_that_nobody_answers_is_asked_again(bench: Bench, stored: str, name: str) -> None:
    bench.proxy.inject(rules.hang(applied=True), READS[name].operation)
    assert READS[name].read(bench.through(Orders, timeout_seconds=SHORT), stored) == READS[name].expected


NO_OBJECTS = [b"", b"[]", b"<html></html>"]
NO_PAGES = [b"{}", b'{"Count": 0}']


@pytest.mark.parametrize("body", NO_OBJECTS, ids=repr)
def test_an_answer_that_is_no_object_is_no_answer(bench: Bench, stored: str, body: bytes) -> None:
    bench.proxy.inject(rules.answered(body), "Query", times=None)
    with pytest.raises(CorruptResponseError):
        bench.through(Orders).query(stored).all()


def test_an_item_that_is_a_list_is_no_answer(bench: Bench, stored: str) -> None:
    bench.proxy.inject(rules.answered(b"[]"), "GetItem", times=None)
    with pytest.raises(CorruptResponseError):
        bench.through(Orders).get(stored, "o1")


@pytest.mark.parametrize("body", [b"", b"<html></html>"], ids=repr)
def test_an_item_that_is_no_json_is_no_answer(bench: Bench, stored: str, body: bytes) -> None:
    bench.proxy.inject(rules.answered(body), "GetItem", times=None)
    with pytest.raises(CorruptResponseError):
        bench.through(Orders).get(stored, "o1")


@pytest.mark.parametrize("name", ["query", "pages", "scan"])
@pytest.mark.parametrize("body", NO_PAGES, ids=repr)
def test_an_answer_that_is_no_page_is_no_empty_page(bench: Bench, stored: str, name: str, body: bytes) -> None:
    bench.proxy.inject(rules.answered(body), READS[name].operation, times=None)
    with pytest.raises(CorruptResponseError):
        READS[name].read(bench.through(Orders), stored)


@pytest.mark.parametrize("name", ["count", "scan, count"])
def test_an_answer_without_a_count_is_no_count(bench: Bench, stored: str, name: str) -> None:
    bench.proxy.inject(rules.answered(b"{}"), READS[name].operation, times=None)
    with pytest.raises(CorruptResponseError):
        READS[name].read(bench.through(Orders), stored)


def test_a_slow_answer_is_an_answer(bench: Bench, stored: str) -> None:
    bench.proxy.inject(rules.slow(0.1), "GetItem")
    assert bench.through(Orders).get_or_raise(stored, "o1").count == 1
    assert bench.proxy.count("GetItem") == 1


def test_no_item_is_an_answer_too(bench: Bench) -> None:
    bench.proxy.inject(rules.truncated(), "GetItem")
    bench.proxy.inject(rules.corrupt(), "GetItem")
    assert bench.through(Orders).get(uuid4().hex, "o1") is None
    assert bench.proxy.count("GetItem") == 3
