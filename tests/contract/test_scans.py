"""Parallel scans on a server: every item once, exact checkpoints, indexes and projections."""

from __future__ import annotations

import threading
from itertools import islice
from typing import Any

import pytest

from dynamodb_wrapper import F, InvalidCursorError
from tests.contract.shop import Make, Order, Orders, PlainOrders, Status, order, requests

COUNT = 120


@pytest.fixture
def orders(make: Make) -> Orders:
    repository = make(Orders)
    for number in range(COUNT):
        status = Status.OPEN if number % 3 else Status.PAID
        repository.put(order(f"c{number % 40}", f"o{number:03}", count=number, status=status, note="x" * 50))
    return repository


def ids(found: Any) -> list[str]:
    return sorted(entry.order_id for entry in found)


ALL = [f"o{number:03}" for number in range(COUNT)]


@pytest.mark.parametrize("segments", [1, 2, 7, 200])
def test_every_item_comes_once(orders: Orders, segments: int) -> None:
    assert ids(orders.parallel_scan(segments)) == ALL
    assert ids(orders.parallel_scan(segments).page_size(5)) == ALL


def test_the_empty_table_has_nothing(make: Make) -> None:
    scan = make(Orders).parallel_scan()
    assert list(scan) == []
    assert list(make(Orders).parallel_scan(checkpoint=scan.checkpoint)) == []


def test_items_are_models_and_are_filtered_and_projected(orders: Orders) -> None:
    found = list(orders.parallel_scan().where(F.count >= 100).consistent())
    assert ids(found) == ALL[100:]
    assert isinstance(found[0], Order)
    assert found[0] == orders.get(found[0].customer_id, found[0].order_id)
    assert sorted(partial.count for partial in orders.parallel_scan(3).project("count")) == list(range(COUNT))


def test_an_index_is_scanned_in_segments_too(orders: Orders, make: Make) -> None:
    assert ids(orders.parallel_scan(3, index="by_status").page_size(10)) == ALL
    sparse = make(PlainOrders)
    for number in range(30):
        sparse.put(order(f"c{number}", f"o{number:03}", active=number < 10))
    assert ids(sparse.parallel_scan(4, index="active")) == ALL[:10]


@pytest.mark.parametrize("index", [None, "by_status"])
@pytest.mark.parametrize("filtered", [False, True])
def test_a_checkpoint_is_exact_to_the_item(orders: Orders, index: str | None, filtered: bool) -> None:
    seen: list[str] = []
    taken, checkpoint, rounds = [""], None, 0
    while taken:
        scan = orders.parallel_scan(5, index=index, checkpoint=checkpoint, concurrency=1 + rounds % 4)
        scan = scan.page_size(1 + rounds % 9)
        scan = scan.where(F.count < 80) if filtered else scan
        taken = [found.order_id for found in islice(scan, 13)]
        seen, checkpoint, rounds = seen + taken, scan.checkpoint, rounds + 1
    assert sorted(seen) == (ALL[:80] if filtered else ALL)
    assert rounds > 5


def test_a_checkpoint_belongs_to_its_scan_and_its_table(orders: Orders, make: Make) -> None:
    checkpoint = orders.parallel_scan(4).checkpoint
    for other in (
        orders.parallel_scan(5, checkpoint=checkpoint),
        orders.parallel_scan(4, index="by_status", checkpoint=checkpoint),
        orders.parallel_scan(4, checkpoint=checkpoint).where(F.count > 1),
        make(PlainOrders).parallel_scan(4, checkpoint=checkpoint),
        orders.parallel_scan(4, checkpoint=checkpoint[:-1]),
    ):
        with pytest.raises(InvalidCursorError):
            list(other)


def test_checkpoints_are_signed_like_cursors(orders: Orders, make: Make) -> None:
    signing = make(Orders, cursor_secret="secret")
    checkpoint = signing.parallel_scan(2).checkpoint
    assert ids(signing.parallel_scan(2, checkpoint=checkpoint)) == ALL
    with pytest.raises(InvalidCursorError):
        list(orders.parallel_scan(2, checkpoint=checkpoint))
    with pytest.raises(InvalidCursorError):
        list(make(Orders, cursor_secret="other").parallel_scan(2, checkpoint=checkpoint))


def threads() -> int:
    """Count the threads, without those that event loops keep for the next requests."""
    return sum(not thread.name.startswith("dynamodb-async") for thread in threading.enumerate())


def test_stopping_early_reads_little_and_leaves_no_thread(orders: Orders) -> None:
    next(iter(orders.scan()))  # what the server's client starts, it has started
    before = threads()
    with requests() as sent:
        assert len(list(islice(orders.parallel_scan(4).page_size(2), 5))) == 5
        count = len(sent)
    assert threads() == before
    assert count <= 20


def test_written_while_it_is_read_nothing_comes_twice(orders: Orders) -> None:
    seen: list[str] = []
    for found in orders.parallel_scan(4).page_size(3):
        seen.append(found.order_id)
        orders.patch(found.customer_id, found.order_id, note="seen")
    assert sorted(seen) == ALL
    assert all(found.note == "seen" for found in orders.parallel_scan())
