"""Parallel scans: built step by step, sent when their results are asked for."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from contextlib import closing
from dataclasses import replace
from typing import Any, Generic, Self, TypeVar, cast, overload

from pydantic import BaseModel

from dynamodb_wrapper import expressions
from dynamodb_wrapper.codec import PartialItem
from dynamodb_wrapper.operations import explanations, scans, sizes
from dynamodb_wrapper.repositories.foundation import RepositoryFoundation
from dynamodb_wrapper.transport import Driver, SyncDriver

R = TypeVar("R")
T = TypeVar("T", bound=BaseModel)
V = TypeVar("V", bound=BaseModel)


class ParallelScanBuilder(Generic[R]):
    """What parallel scans of both colours share: every method returns a new, refined scan; none sends anything."""

    __slots__ = ("_driver", "_progress", "_segments")

    def __init__(self, driver: Driver[Any], segments: scans.Segments[R]) -> None:
        self._driver = driver
        self._segments = segments
        self._progress: scans.ScanProgress[R] | None = None

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.explain()})"

    def _refined(self, segments: scans.Segments[Any]) -> Any:
        return type(self)(self._driver, segments)

    def where(self, *conditions: expressions.AnyCondition) -> Self:
        """Keep items that fulfil all conditions. DynamoDB filters after reading: it saves traffic, not capacity.

        Raises:
            ExpressionError: A condition is on what the index does not carry.
        """
        condition = expressions.every(*map(expressions.as_condition, conditions))
        selection = self._segments.selection
        return (
            self if condition is None else cast(Self, self._refined(self._segments.of(selection.filtered(condition))))
        )

    def page_size(self, count: int) -> Self:
        """Let DynamoDB evaluate at most ``count`` items per request (default: up to 1 MB)."""
        selection = replace(self._segments.selection, page_size=sizes.positive("page_size", count))
        return cast(Self, self._refined(self._segments.of(selection)))

    def consistent(self) -> Self:
        """Read strongly consistent; twice the capacity, and not possible on a global index.

        Raises:
            ExpressionError: The scan is of a global index.
        """
        return cast(Self, self._refined(self._segments.of(self._segments.selection.consistently())))

    def explain(self) -> explanations.QueryExplanation:
        """Return the parameters of a segment's first request (``Segment`` differs), without sending anything.

        Its attributes say more: ``index``, ``operation``, ``limits`` and ``iam_actions``.
        """
        return explanations.explained_segments(self._segments)

    @property
    def checkpoint(self) -> str:
        """Where the scan stands: pass it to ``parallel_scan`` for all that has not been handed out.

        An opaque, URL-safe text, to be taken between two items or after an error. The item handed out last counts as
        done, so take it when you are done with that item. It is of the iteration begun last; before any, it is where
        the first will start.

        Raises:
            InvalidCursorError: The scan was given a checkpoint that is damaged, or belongs to another scan.
        """
        return (self._progress or self._segments.begun()).checkpoint()

    def _begun(self) -> scans.ScanProgress[R]:
        self._progress = self._segments.begun()
        return self._progress


class ParallelScan(ParallelScanBuilder[R]):
    """A scan whose segments are read at the same time while it is iterated; iterate again to read it again.

    Every iteration starts where the scan does: at the beginning, or at the checkpoint it was given. Memory holds two
    requests' worth of items (1 MB each at most) for each segment being read.
    """

    __slots__ = ()
    _driver: SyncDriver

    def __iter__(self) -> Iterator[R]:
        """Yield every item once, in no order.

        Stopping early waits for the requests on their way and leaves no thread behind. The first error stops all
        segments.

        Raises:
            InvalidCursorError: The checkpoint is damaged, or belongs to another scan.
        """
        return self._read(self._begun())

    def _read(self, progress: scans.ScanProgress[R]) -> Iterator[R]:
        pages = self._driver.stream_together(progress.flows(), at_most=progress.at_once)
        with closing(cast("Generator[scans.SegmentPage, None, None]", pages)) as read:
            for page in read:
                yield from progress.handed_out(page)

    @overload
    def project(self, view: type[V], /) -> ParallelScan[V]: ...

    @overload
    def project(self, *attributes: str | expressions.Path) -> ParallelScan[PartialItem]: ...

    def project(self, *attributes: Any) -> ParallelScan[Any]:
        """Read only some attributes: named ones (as `PartialItem`), or those of a smaller model.

        Without any, everything the index carries.

        Raises:
            ExpressionError: The model has no such attribute, or the index does not carry it.
        """
        return cast(ParallelScan[Any], self._refined(self._segments.restricted(attributes)))


class ScanMethods(RepositoryFoundation[T]):
    """Reads everything, fast."""

    _driver: SyncDriver

    def parallel_scan(
        self, segments: int = 4, *, index: str | None = None, checkpoint: str | None = None, concurrency: int = 4
    ) -> ParallelScan[T]:
        """Return a lazy scan of the table, or of a declared index, that reads several segments at the same time.

        Args:
            segments: Into how many segments the table is cut, up to 1,000,000. Each takes at least one request.
            index: The name of a declared index.
            checkpoint: From `ParallelScan.checkpoint` of a scan with as many segments: only what was not handed out.
            concurrency: How many segments are read at a time, each in a thread. More than 4 rarely gain anything:
                decoding is Python's work, and Python runs one thread at a time.

        Raises:
            ValidationError: ``segments`` or ``concurrency`` is out of range.
        """
        return ParallelScan(self._driver, scans.Segments(self._selection(index), segments, concurrency, checkpoint))
