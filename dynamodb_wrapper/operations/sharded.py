"""Queries over a partition that is spread over shards: read together, and merged in the order of the sort key."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any, TypeVar

from dynamodb_wrapper.codec import Item
from dynamodb_wrapper.exceptions import ExpressionError
from dynamodb_wrapper.operations import evolving, recalling
from dynamodb_wrapper.operations.capacity import ConsumedCapacity
from dynamodb_wrapper.operations.cursors import damaged, resume_key, sealed, unsealed
from dynamodb_wrapper.operations.effects import Flow, emit, together
from dynamodb_wrapper.operations.selection import Selection
from dynamodb_wrapper.operations.sizes import RequestSizes

R = TypeVar("R")

_AT_ONCE = 16
_SMALLEST_REQUEST = 10
"""Items asked of each shard when a page is small: one that has more of the page than the others is asked again."""


@dataclass(slots=True)
class _Shard:
    """One shard, and how far it is read.

    Attributes:
        selection: Its query.
        sizes: How many items to evaluate per request.
        place: The key after which what is not handed out begins; None for the beginning.
        next_key: The key after which to read on.
        items: What was read and is not handed out, the next one last.
        is_read: Whether there is nothing more to read.
    """

    selection: Selection[Any]
    sizes: RequestSizes
    place: Item | None = None
    next_key: Item | None = None
    items: list[Item] = field(default_factory=list)
    is_read: bool = False

    @property
    def is_done(self) -> bool:
        """Whether all of it is handed out."""
        return self.is_read and not self.items

    def fill(self, wanted: int | None, is_due: Callable[[Item], bool]) -> Flow[ConsumedCapacity | None]:
        """Read until there is something to hand out, or nothing more.

        Args:
            wanted: How many items.
            is_due: Whether an item comes after those that earlier pages had, and not before them, written since.
        """
        capacity: ConsumedCapacity | None = None
        while not self.items and not self.is_read:
            limit = self.sizes.next(wanted)
            params = self.selection.params(limit=limit, start_key=self.next_key)
            response = yield from recalling.page(self.selection, params, None)
            self.items = [item for item in reversed(response.get("Items", [])) if is_due(item)]
            self.next_key = response.get("LastEvaluatedKey")
            self.is_read = self.next_key is None
            consumed = ConsumedCapacity.of("Query", response)
            capacity = consumed + capacity if consumed is not None else capacity
        return capacity

    def take(self) -> Item:
        """Hand out the next item."""
        item = self.items.pop()
        self.place = self.selection.resume_key(item)
        return item


class _Shards:
    """All shards of a query, merged."""

    def __init__(self, selection: Selection[Any], wanted: int | None) -> None:
        if selection.start_key is not None:
            raise ExpressionError("a query over shards goes on after a cursor, not after an ExclusiveStartKey")
        self.capacity: ConsumedCapacity | None = None
        self._selection = selection
        queries = [selection.of_shard(number) for number in range(len(selection.shards))]
        share = self._share(wanted)
        self._shards = [_Shard(query, query.request_sizes(share)) for query in queries]
        self._last: Item | None = None
        self._begins: tuple[Any, ...] | None = None
        self._names = selection.entity.key_attributes(selection.index)[len(selection.index.partition) :]

    def go_to(self, cursor: str) -> None:
        """Start where a page ended.

        Raises:
            InvalidCursorError: The cursor is damaged, or belongs to another query.
        """
        content = unsealed(cursor, self._selection.identity(), self._selection.entity.cursor_secret, kind="cursor")
        match content:
            case [list(places), last] if len(places) == len(self._shards):
                self._last = None if last is None else resume_key(last, kind="cursor")
            case _:
                raise damaged("cursor")
        self._begins = None if self._last is None else self._order(self._last)
        for shard, place in zip(self._shards, places, strict=True):
            shard.is_read = place is True
            if place is not True and place is not None:
                shard.place = shard.next_key = resume_key(place, kind="cursor")

    def cursor(self) -> str | None:
        """Return the place after the last item handed out; None at the end."""
        if all(shard.is_done for shard in self._shards):
            return None
        places = [True if shard.is_done else shard.place for shard in self._shards]
        last = {name: self._last[name] for name in self._names} if self._last is not None and self._names else None
        return sealed([places, last], self._selection.identity(), self._selection.entity.cursor_secret)

    def fill(self, wanted: int | None) -> Flow[bool]:
        """Read from all shards that have nothing to hand out; False if there is nothing more."""
        share = self._share(wanted)
        empty = [shard for shard in self._shards if not shard.items and not shard.is_read]
        found = (
            (yield from together((shard.fill(share, self._is_due) for shard in empty), at_most=_AT_ONCE))
            if empty
            else []
        )
        for consumed in found:
            if consumed is not None:
                self.capacity = consumed + self.capacity
        return any(shard.items for shard in self._shards)

    def _share(self, wanted: int | None) -> int | None:
        """Return how many items to read of each shard when so many are wanted in all."""
        if wanted is None:
            return None
        return min(wanted, max(_SMALLEST_REQUEST, 2 * wanted // len(self._selection.shards)))

    def merged(self) -> Iterator[Item]:
        """Yield items in order, as far as every shard that may have the next one was read."""
        while all(shard.items or shard.is_read for shard in self._shards):
            filled = [shard for shard in self._shards if shard.items]
            if not filled:
                return
            # Of equal ones, the first shard's comes first, in both directions.
            choose: Callable[..., _Shard] = max if self._selection.descending else min
            self._last = choose(filled, key=lambda shard: self._order(shard.items[-1])).take()
            yield self._last

    def _is_due(self, item: Item) -> bool:
        if self._begins is None:
            return True
        order = self._order(item)
        return order <= self._begins if self._selection.descending else order >= self._begins

    def _order(self, item: Item) -> tuple[Any, ...]:
        return tuple(_comparable(item[name]) for name in self._names)


def _comparable(wire: dict[str, Any]) -> object:
    ((tag, payload),) = wire.items()
    return Decimal(payload) if tag == "N" else payload.encode() if tag == "S" else bytes(payload)


def page(
    selection: Selection[R], size: int, cursor: str | None
) -> Flow[tuple[list[R], str | None, ConsumedCapacity | None]]:
    """Read exactly ``size`` results (fewer only at the end); return them, the cursor to what follows, and the cost.

    Raises:
        InvalidCursorError: The cursor is damaged, or belongs to another query.
    """
    shards = _Shards(selection, size)
    if cursor is not None:
        shards.go_to(cursor)
    found: list[Item] = []
    while len(found) < size and (yield from shards.fill(size - len(found))):
        found += _first(shards.merged(), size - len(found))
    results = yield from evolving.results(selection.entity, selection.decode, found)
    return results, shards.cursor(), shards.capacity


def stream(selection: Selection[R]) -> Flow[None]:
    """Emit the results in order."""
    missing = selection.limit
    shards = _Shards(selection, missing)
    while missing != 0 and (yield from shards.fill(missing)):
        found = list(_first(shards.merged(), missing))
        yield from emit((yield from evolving.results(selection.entity, selection.decode, found)))
        if missing is not None:
            missing -= len(found)


def collected(selection: Selection[R]) -> Flow[list[R]]:
    """Read all results into a list."""
    shards = _Shards(selection, None)
    results: list[R] = []
    while (yield from shards.fill(None)):
        found = list(shards.merged())
        results += yield from evolving.results(selection.entity, selection.decode, found)
    return results


def total(selection: Selection[R], count: Callable[[Selection[Any]], Flow[int]]) -> Flow[int]:
    """Count the results of all shards; at most ``limit`` when one is set."""
    flows = (count(selection.of_shard(number)) for number in range(len(selection.shards)))
    counted = sum((yield from together(flows, at_most=_AT_ONCE)))
    return counted if selection.limit is None else min(counted, selection.limit)


def _first(items: Iterator[Item], most: int | None) -> Iterable[Item]:
    """Yield so many items, and take no more."""
    taken = 0
    while taken != most:
        item = next(items, None)
        if item is None:
            return
        taken += 1
        yield item
