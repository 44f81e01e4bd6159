"""Flows that page through a selection."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from dynamodb_wrapper.codec import Item
from dynamodb_wrapper.exceptions import ItemNotFoundError, MultipleItemsFoundError
from dynamodb_wrapper.operations import evolving, recalling, sharded
from dynamodb_wrapper.operations.capacity import ConsumedCapacity
from dynamodb_wrapper.operations.cursors import write_cursor
from dynamodb_wrapper.operations.effects import Flow, call, emit
from dynamodb_wrapper.operations.selection import Selection
from dynamodb_wrapper.operations.sizes import positive

R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class Page(Generic[R]):
    """Some results and where to go on.

    Attributes:
        items: The results, in order.
        cursor: Pass it to ``page`` for what follows; None when there is nothing more.
        consumed_capacity: What the requests for the page consumed together; None unless ``report_capacity`` is set, or
            requests are logged or observed.
    """

    items: list[R]
    cursor: str | None
    consumed_capacity: ConsumedCapacity | None = None


@dataclass(frozen=True, slots=True)
class _Batch:
    """The items of one request that are wanted (or their models), and the key to go on after them (None at the end)."""

    items: list[Any]
    resume_key: Item | None
    capacity: ConsumedCapacity | None


def _batches_until(selection: Selection[R], wanted: int | None) -> Callable[[Item | None, int | None], Flow[_Batch]]:
    """Return a flow function that reads the next batch, given where to start and how many are missing."""
    sizes = selection.request_sizes(wanted)

    def read(start_key: Item | None, missing: int | None) -> Flow[_Batch]:
        params = selection.params(limit=sizes.next(missing), start_key=start_key)
        # Where more may come than is wanted, the key to go on after is that of an item in wire form.
        may_be_cut = missing is not None and (params.get("Limit") is None or params["Limit"] > missing)
        response = yield from recalling.page(selection, params, None if may_be_cut else selection.reader)
        items: list[Any] = response.get("Items", [])
        capacity = ConsumedCapacity.of(selection.operation, response)
        if missing is not None and len(items) > missing:
            return _Batch(items[:missing], selection.resume_key(items[missing - 1]), capacity)
        return _Batch(items, response.get("LastEvaluatedKey"), capacity)

    return read


def stream(selection: Selection[R]) -> Flow[None]:
    """Emit the results page by page; an empty page is not the end, only an absent ``LastEvaluatedKey`` is."""
    if selection.shards:
        yield from sharded.stream(selection)
        return
    missing = selection.limit
    read = _batches_until(selection, missing)
    start_key = selection.start_key
    while True:
        batch = yield from read(start_key, missing)
        yield from emit((yield from evolving.results(selection.entity, selection.decode, batch.items)))
        if missing is not None:
            missing -= len(batch.items)
        if batch.resume_key is None or missing == 0:
            return
        start_key = batch.resume_key


def page(selection: Selection[R], size: int) -> Flow[Page[R]]:
    """Read exactly ``size`` results (fewer only at the end, or at the limit) and the cursor to what follows."""
    size = size if selection.limit is None else min(size, selection.limit)
    if selection.shards:
        return Page(*(yield from sharded.page(selection, size, None)))
    items: list[Item] = []
    capacity: ConsumedCapacity | None = None
    read = _batches_until(selection, size)
    resume_key = selection.start_key
    while True:
        batch = yield from read(resume_key, size - len(items))
        items += batch.items
        capacity = batch.capacity + capacity if batch.capacity is not None else capacity
        resume_key = batch.resume_key
        if resume_key is None or len(items) == size:
            break
    cursor = (
        None if resume_key is None else write_cursor(resume_key, selection.identity(), selection.entity.cursor_secret)
    )
    return Page((yield from evolving.results(selection.entity, selection.decode, items)), cursor, capacity)


def page_at(selection: Selection[R], size: int, cursor: str | None) -> Flow[Page[R]]:
    """Read a page of whole results from where a cursor left off.

    Raises:
        ValidationError: ``size`` is no positive number.
        InvalidCursorError: The cursor is damaged, or belongs to another query.
    """
    if selection.shards:
        return _page_of_shards(selection.whole(), positive("size", size), cursor)
    return page(selection.whole().at_cursor(cursor), positive("size", size))


def _page_of_shards(selection: Selection[R], size: int, cursor: str | None) -> Flow[Page[R]]:
    size = size if selection.limit is None else min(size, selection.limit)
    return Page(*(yield from sharded.page(selection, size, cursor)))


def one(selection: Selection[R]) -> Flow[R]:
    """Read the only result.

    Raises:
        ItemNotFoundError: There is none.
        MultipleItemsFoundError: There is more than one.
    """
    found = yield from page(selection, 2)
    if not found.items:
        raise ItemNotFoundError(selection.entity.table_name, selection.readable_key)
    if len(found.items) > 1:
        raise MultipleItemsFoundError(
            f"one() found more than one item with {selection.readable_key!r} in table {selection.entity.table_name!r}"
        )
    return found.items[0]


def count(selection: Selection[R]) -> Flow[int]:
    """Count the results on the server; at most ``limit`` when one is set."""
    if selection.shards:
        return (yield from sharded.total(selection, count))
    total: int = 0
    start_key = selection.start_key
    while True:
        params = selection.params(limit=selection.page_size, start_key=start_key, counting=True)
        response = yield from call(selection.operation, params)
        total += response["Count"]
        start_key = response.get("LastEvaluatedKey")
        if selection.limit is not None and total >= selection.limit:
            return selection.limit
        if start_key is None:
            return total


def collected(selection: Selection[R]) -> Flow[list[R]]:
    """Read all results into a list."""
    if selection.limit is not None:
        found = yield from page(selection, selection.limit)
        return found.items
    if selection.shards:
        return (yield from sharded.collected(selection))
    results: list[R] = []
    start_key = selection.start_key
    read = _batches_until(selection, None)
    while True:
        batch = yield from read(start_key, None)
        results += yield from evolving.results(selection.entity, selection.decode, batch.items)
        if batch.resume_key is None:
            return results
        start_key = batch.resume_key
