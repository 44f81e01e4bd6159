"""Passes over a whole table that do something about each item: paced, resumable, told of as they go.

A pass goes in rounds. A round reads a page of several segments at the same time, then does what is to be done about
their items, a few at a time, and only then counts those pages as done: so what a checkpoint leaves out is done.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from itertools import islice
from typing import Any, Generic, TypeVar

from dynamodb_wrapper.codec import Item, item_bytes
from dynamodb_wrapper.exceptions import AccessDeniedError, DynamoDBWrapperError, ValidationError
from dynamodb_wrapper.operations import tables
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


@dataclass(frozen=True, slots=True, kw_only=True)
class PassReport:
    """How far a pass has come: what a progress bar needs.

    Attributes:
        scanned: How many items of the repository were read, since the start or the checkpoint.
        evaluated: How many items of the table are behind it: those of other models and guards of unique values as well,
            and those before the checkpoint.
        estimated_total: About how many items the table has, as DynamoDB counts them every six hours; None where nobody
            is told of the progress, or where it may not be asked (``dynamodb:DescribeTable``).
        seconds: How long it has taken, since the start or the checkpoint.
        items_per_second: How many items of the table were evaluated in a second of that.
        read_units: Capacity units that were read.
        write_units: Capacity units that were written.
        checkpoint: Where to go on; None at the end.
    """

    scanned: int = 0
    evaluated: int = 0
    estimated_total: int | None = None
    seconds: float = 0.0
    items_per_second: float = 0.0
    read_units: float = 0.0
    write_units: float = 0.0
    checkpoint: str | None = None

    @property
    def is_done(self) -> bool:
        """Whether the end of the table was reached."""
        return self.checkpoint is None

    @property
    def fraction(self) -> float | None:
        """About how much of the table is behind it, from 0 to 1; None where nobody knows."""
        if self.is_done:
            return 1.0
        return min(1.0, self.evaluated / self.estimated_total) if self.estimated_total else None

    @property
    def units_per_second(self) -> float:
        """How many capacity units were consumed in a second, read and written together."""
        return (self.read_units + self.write_units) / self.seconds if self.seconds else 0.0


Report = TypeVar("Report", bound=PassReport)


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
    """One pass over a table."""

    def __init__(self, entity: Entity[Any], options: PassOptions, *, purpose: str) -> None:
        selection = Selection(entity, entity.declaration.table_key, dict, page_size=_PAGE_ITEMS)
        segments = Segments(selection, options.segments, _SEGMENTS_AT_ONCE, options.checkpoint, purpose)
        self._progress: ScanProgress[Any] = segments.begun()
        self._selection = selection
        self._segments = segments
        self._pace = Pace(options.units_per_second)
        self._before = self._progress.counted
        self._scanned = 0
        self._read_units = 0.0
        self._write_units = 0.0
        self._seconds = 0.0

    def noted_in(self, report: Report) -> Report:
        """Return a report that says how far the pass has come."""
        done = self._progress.counted - self._before
        return replace(
            report,
            scanned=self._scanned,
            evaluated=self._progress.counted,
            seconds=self._seconds,
            items_per_second=done / self._seconds if self._seconds else 0.0,
            read_units=self._read_units,
            write_units=self._write_units,
            checkpoint=self._progress.checkpoint() if self._progress.standing() else None,
        )

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
        begun = yield from now()
        while standing := self._progress.standing():
            before = self._progress.checkpoint()
            try:
                yield from self._round(standing, handle, note)
            except DynamoDBWrapperError as error:
                error.context["checkpoint"] = before
                raise
            self._seconds = ((yield from now()) - begun).total_seconds()
            told()

    def _round(
        self,
        standing: Sequence[tuple[int, Item | None]],
        handle: Callable[[Item], Flow[Done[D]]],
        note: Callable[[Sequence[D]], None],
    ) -> Flow[None]:
        pages = yield from together((self._read(*place) for place in standing), at_most=_SEGMENTS_AT_ONCE)
        units = sum(units for _, units in pages)
        self._read_units += units
        yield from self._pace.consumed(units)
        items = (item for page, _ in pages for item in page.items)
        while chunk := list(islice(items, self._pace.at_once)):
            done = yield from together(map(handle, chunk), at_most=self._pace.at_once)
            note([entry.result for entry in done])
            units = sum(entry.units for entry in done)
            self._write_units += units
            if units:
                yield from self._pace.consumed(units)
        for page, _ in pages:
            self._scanned += len(page.items)
            self._progress.counted += page.evaluated
            self._progress.note(page.segment, page.resume_key)

    def _read(self, segment: int, place: Item | None) -> Flow[tuple[SegmentPage, float]]:
        params = self._selection.params(limit=self._selection.page_size, start_key=place)
        response = yield from call("Scan", {**params, "Segment": segment, "TotalSegments": self._segments.total})
        items: list[Item] = response.get("Items", [])
        consumed = ConsumedCapacity.of("Scan", response)
        units = sum(map(item_bytes, items)) / _READ_UNIT_BYTES if consumed is None else consumed.read
        evaluated = response.get("ScannedCount", len(items))
        return SegmentPage(segment, items, response.get("LastEvaluatedKey"), evaluated=evaluated), units


def estimated_total(entity: Entity[Any]) -> Flow[int | None]:
    """Return about how many items a table has; None where that may not be asked."""
    try:
        table = yield from tables.described(entity)
    except AccessDeniedError:
        return None
    return None if table is None else table.get("ItemCount")
