"""Passes over a whole table that do something about each item: paced, resumable, told of as they go.

A pass goes in rounds. A round reads a page of several segments at the same time, then does what is to be done about
their items, a few at a time, and only then counts those pages as done: so what a checkpoint leaves out is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Generic, TypeVar

from dynamodb_wrapper.codec import Item, item_bytes
from dynamodb_wrapper.exceptions import DynamoDBWrapperError, ValidationError
from dynamodb_wrapper.operations.capacity import ConsumedCapacity
from dynamodb_wrapper.operations.effects import Flow, call, now, sleep, together
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.scans import ScanProgress, SegmentPage, Segments
from dynamodb_wrapper.operations.selection import Selection

D = TypeVar("D")

_PAGE_ITEMS = 100
_SEGMENTS_AT_ONCE = 8
_ITEMS_AT_ONCE = 8
_READ_UNIT_BYTES = 8192
"""AWS, "Read consistency": what half a unit, 4 KB read eventually consistent, comes to for a whole one."""
WRITE_UNIT_BYTES = 1024


@dataclass(frozen=True, slots=True)
class PassOptions:
    """How a pass goes.

    Attributes:
        segments: Into how many segments the table is cut; at most 8 of them are read at a time.
        checkpoint: Where to go on; None for the beginning.
        units_per_second: How many capacity units, read and written together, it may consume; None for no limit.
    """

    segments: int = 4
    checkpoint: str | None = None
    units_per_second: float | None = None

    def __post_init__(self) -> None:
        rate: object = self.units_per_second
        is_number = isinstance(rate, int | float) and not isinstance(rate, bool)
        if rate is not None and not (
            is_number and self.units_per_second is not None and 0 < self.units_per_second < float("inf")
        ):
            raise ValidationError(
                f"units_per_second must be a number above 0, not {rate!r}", {"units_per_second": repr(rate)}
            )


class Pace:
    """Holds a rate: what was consumed has to be waited for before more is."""

    def __init__(self, units_per_second: float | None) -> None:
        self._rate = units_per_second
        self._free_at: datetime | None = None

    @property
    def at_once(self) -> int:
        """How many items are written at a time: no more than one second is to see."""
        return _ITEMS_AT_ONCE if self._rate is None else max(1, min(_ITEMS_AT_ONCE, int(self._rate)))

    def consumed(self, units: float) -> Flow[None]:
        """Note what requests have consumed, and wait until others may."""
        if self._rate is None:
            return
        time = yield from now()
        self._free_at = max(self._free_at or time, time) + timedelta(seconds=units / self._rate)
        if self._free_at > time:
            yield from sleep((self._free_at - time).total_seconds())


@dataclass(frozen=True, slots=True)
class Done(Generic[D]):
    """What was done about one item, and the units that it consumed."""

    result: D
    units: float = 0.0


class TablePass(Generic[D]):
    """One pass over a table.

    Attributes:
        scanned: How many items were read.
        read_units: What reading them has consumed.
        write_units: What was consumed by what was done about them.
    """

    def __init__(self, entity: Entity[Any], options: PassOptions, *, purpose: str) -> None:
        selection = Selection(entity, entity.declaration.table_key, dict, page_size=_PAGE_ITEMS)
        segments = Segments(selection, options.segments, _SEGMENTS_AT_ONCE, options.checkpoint, purpose)
        self._progress: ScanProgress[Any] = segments.begun()
        self._selection = selection
        self._segments = segments
        self._pace = Pace(options.units_per_second)
        self.scanned = 0
        self.read_units = 0.0
        self.write_units = 0.0

    @property
    def checkpoint(self) -> str | None:
        """Where the pass stands; None at its end."""
        return self._progress.checkpoint() if self._progress.standing() else None

    def run(
        self,
        handle: Callable[[Item], Flow[Done[D]]],
        note: Callable[[Sequence[D]], None],
        told: Callable[[], None],
    ) -> Flow[None]:
        """Go through the table.

        Args:
            handle: What is done about an item; some run at the same time.
            note: Is given what was done, in the order of the items.
            told: Is called after each round.

        Raises:
            DynamoDBWrapperError: The first error that ``handle`` raised; ``context["checkpoint"]`` is where to go on.
        """
        while standing := self._progress.standing():
            before = self._progress.checkpoint()
            try:
                yield from self._round(standing, handle, note)
            except DynamoDBWrapperError as error:
                error.context["checkpoint"] = before
                raise
            told()

    def _round(
        self,
        standing: Sequence[tuple[int, Item | None]],
        handle: Callable[[Item], Flow[Done[D]]],
        note: Callable[[Sequence[D]], None],
    ) -> Flow[None]:
        pages = yield from together((self._read(*place) for place in standing), at_most=_SEGMENTS_AT_ONCE)
        units = sum(units for _, units in pages)
        self.read_units += units
        yield from self._pace.consumed(units)
        items = (item for page, _ in pages for item in page.items)
        while chunk := list(islice(items, self._pace.at_once)):
            done = yield from together(map(handle, chunk), at_most=self._pace.at_once)
            note([entry.result for entry in done])
            units = sum(entry.units for entry in done)
            self.write_units += units
            if units:
                yield from self._pace.consumed(units)
        for page, _ in pages:
            self.scanned += len(page.items)
            self._progress.note(page.segment, page.resume_key)

    def _read(self, segment: int, place: Item | None) -> Flow[tuple[SegmentPage, float]]:
        params = self._selection.params(limit=self._selection.page_size, start_key=place)
        response = yield from call("Scan", {**params, "Segment": segment, "TotalSegments": self._segments.total})
        items: list[Item] = response.get("Items", [])
        consumed = ConsumedCapacity.of("Scan", response)
        units = sum(map(item_bytes, items)) / _READ_UNIT_BYTES if consumed is None else consumed.read
        return SegmentPage(segment, items, response.get("LastEvaluatedKey")), units
