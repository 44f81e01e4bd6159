"""Parallel scans: a table read in segments at the same time, and where each of them stands."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from dynamodb_wrapper.codec import Item
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations import evolving
from dynamodb_wrapper.operations.capacity import ConsumedCapacity
from dynamodb_wrapper.operations.cursors import damaged, fingerprint, resume_key, sealed, unsealed
from dynamodb_wrapper.operations.effects import Flow, call, emit
from dynamodb_wrapper.operations.selection import Selection
from dynamodb_wrapper.operations.sizes import positive

R = TypeVar("R")

MAX_SEGMENTS = 1_000_000
"""AWS, "Scan": the largest ``TotalSegments``."""
_KIND = "checkpoint"


@dataclass(frozen=True, slots=True)
class SegmentPage:
    """What one request of a segment found.

    Attributes:
        segment: The segment.
        items: What was found.
        resume_key: The key to go on after; None at the segment's end.
        read_units: What the request has consumed; None where DynamoDB did not say.
        evaluated: How many items DynamoDB looked at for it, where somebody counts them.
    """

    segment: int
    items: list[Item]
    resume_key: Item | None
    read_units: float | None = None
    evaluated: int = 0


@dataclass(frozen=True, slots=True)
class Segments(Generic[R]):
    """What a parallel scan is to read.

    Attributes:
        selection: What is read.
        total: Into how many segments the table is cut.
        at_once: How many of them are read at a time.
        checkpoint: Where to go on; None for the beginning.
        purpose: What the scan is for, where its checkpoints are for that only.
    """

    selection: Selection[R]
    total: int
    at_once: int
    checkpoint: str | None = None
    purpose: str = ""

    def __post_init__(self) -> None:
        positive("concurrency", self.at_once)
        if positive("segments", self.total) > MAX_SEGMENTS:
            raise ValidationError(
                f"segments must be at most {MAX_SEGMENTS:,}, not {self.total:,}", {"segments": repr(self.total)}
            )

    def of(self, selection: Selection[R]) -> Segments[R]:
        """Return the same scan over another selection."""
        return replace(self, selection=selection)

    def restricted(self, attributes: Sequence[Any]) -> Segments[Any]:
        """Return the same scan, of some attributes only, or of those of a smaller model."""
        return replace(self, selection=self.selection.restricted(attributes))

    def begun(self) -> ScanProgress[R]:
        """Return the progress of one reading, which starts at the checkpoint.

        Raises:
            InvalidCursorError: The checkpoint is damaged, or belongs to another scan.
            ExpressionError: The index carries some attributes only, and no projection was chosen.
        """
        progress = ScanProgress(replace(self, selection=self.selection.whole()))
        if self.checkpoint is not None:
            progress.go_to(self.checkpoint)
        return progress

    def identity(self) -> bytes:
        """Return what binds a checkpoint to this scan."""
        return fingerprint([self.selection.identity(), self.total, *([self.purpose] if self.purpose else [])])


class ScanProgress(Generic[R]):
    """How far one reading of the segments has come: exact to the item.

    Segments are begun in order. So their number and the places of those begun but not done say everything, and a
    checkpoint stays small however many segments there are.

    Attributes:
        counted: How many items were counted, before a checkpoint as well; by those who count.
    """

    def __init__(self, segments: Segments[R]) -> None:
        self.counted = 0
        self._segments = segments
        self._begun = 0
        self._places: dict[int, Item | None] = {}  # of those begun and not done: the item to go on after, if any yet

    @property
    def at_once(self) -> int:
        """How many segments are read at a time."""
        return min(self._segments.total, self._segments.at_once)

    def flows(self) -> Iterator[Flow[None]]:
        """Yield the flow of each segment that is not done; it counts as begun when it is asked for."""
        selection = self._segments.selection
        for segment, place in list(self._places.items()):
            yield read_segment(selection, segment, self._segments.total, place)
        while self._begun < self._segments.total:
            segment = self._begun
            self._places[segment] = None  # first its place, so that a checkpoint read meanwhile does not miss it
            self._begun = segment + 1
            yield read_segment(selection, segment, self._segments.total, None)

    def handed_out(self, page: SegmentPage) -> Iterator[R]:
        """Yield the results of a page, noting each one before it is handed out."""
        selection = self._segments.selection
        for number, item in enumerate(page.items, start=1):
            result = selection.decode(item)
            self.note(page.segment, page.resume_key if number == len(page.items) else item)
            yield result
        if not page.items:
            self.note(page.segment, page.resume_key)

    def standing(self) -> list[tuple[int, Item | None]]:
        """Return the segments to go on with, each with the item to go on after; none at the end.

        They are as many as are read at a time, and count as begun.
        """
        while len(self._places) < self.at_once and self._begun < self._segments.total:
            self._places[self._begun] = None
            self._begun += 1
        return list(self._places.items())[: self.at_once]

    def note(self, segment: int, place: Item | None) -> None:
        """Note the item after which to go on in a segment; None at its end."""
        if place is None:
            del self._places[segment]
        else:
            self._places[segment] = place

    def go_to(self, checkpoint: str) -> None:
        """Start where a checkpoint was taken.

        Raises:
            InvalidCursorError: It is damaged, or belongs to another scan.
        """
        segments = self._segments
        secret = segments.selection.entity.cursor_secret
        match unsealed(checkpoint, segments.identity(), secret, kind=_KIND):
            case [int(begun), list(places), *counted] if 0 <= begun <= segments.total:
                self._begun = begun
                self.counted = next((number for number in counted if isinstance(number, int)), 0)
            case _:
                raise damaged(_KIND)
        for entry in places:
            match entry:
                case [int(segment), place] if 0 <= segment < begun:
                    self._places[segment] = None if place is None else resume_key(place, kind=_KIND)
                case _:
                    raise damaged(_KIND)

    def checkpoint(self) -> str:
        """Return the text from which to go on after the last result handed out."""
        begun, places = self._begun, self._places.copy()
        selection = self._segments.selection
        keys = [
            [segment, None if place is None else selection.resume_key(place)]
            for segment, place in places.items()
            if segment < begun
        ]
        counted = [self.counted] if self.counted else []
        return sealed([begun, keys, *counted], self._segments.identity(), selection.entity.cursor_secret)


def read_segment(selection: Selection[R], segment: int, total: int, place: Item | None) -> Flow[None]:
    """Emit a segment's pages, each as a `SegmentPage`; an empty one says how far the segment has come."""
    start_key = None if place is None else selection.resume_key(place)
    while True:
        params = selection.params(limit=selection.page_size, start_key=start_key)
        response = yield from call("Scan", {**params, "Segment": segment, "TotalSegments": total})
        start_key = response.get("LastEvaluatedKey")
        items: list[Item] = response.get("Items", [])
        if selection.decode == selection.entity.decode:
            yield from evolving.write_back(selection.entity, items)
        consumed = ConsumedCapacity.of("Scan", response)
        units = None if consumed is None else consumed.read
        yield from emit([SegmentPage(segment, items, start_key, units)])
        if start_key is None:
            return
