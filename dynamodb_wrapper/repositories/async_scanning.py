"""Parallel scans of async repositories."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing
from typing import Any, TypeVar, cast, overload

from pydantic import BaseModel

from dynamodb_wrapper import transport
from dynamodb_wrapper.codec import PartialItem
from dynamodb_wrapper.expressions import Path
from dynamodb_wrapper.operations.scans import ScanProgress, Segments
from dynamodb_wrapper.repositories.foundation import RepositoryFoundation
from dynamodb_wrapper.repositories.scanning import ParallelScanBuilder

R = TypeVar("R")
T = TypeVar("T", bound=BaseModel)
V = TypeVar("V", bound=BaseModel)


class AsyncParallelScan(ParallelScanBuilder[R]):
    """A scan whose segments are read at the same time while it is iterated; iterate again to read it again.

    Every iteration starts where the scan does: at the beginning, or at the checkpoint it was given. Memory holds two
    requests' worth of items (1 MB each at most) for each segment being read.
    """

    __slots__ = ()
    _driver: transport.AsyncDriver

    def __aiter__(self) -> AsyncIterator[R]:
        """Yield every item once, in no order.

        Stopping early waits for the requests on their way and leaves no thread behind. The first error stops all
        segments.

        Raises:
            InvalidCursorError: The checkpoint is damaged, or belongs to another scan.
        """
        return self._read(self._begun())

    async def _read(self, progress: ScanProgress[R]) -> AsyncIterator[R]:
        pages = self._driver.stream_together(progress.flows(), at_most=progress.at_once)
        async with aclosing(pages) as read:
            async for page in read:
                for result in progress.handed_out(page):
                    yield result

    @overload
    def project(self, view: type[V], /) -> AsyncParallelScan[V]: ...

    @overload
    def project(self, *attributes: str | Path) -> AsyncParallelScan[PartialItem]: ...

    def project(self, *attributes: Any) -> AsyncParallelScan[Any]:
        """Read only some attributes: named ones (as `PartialItem`), or those of a smaller model.

        Without any, everything the index carries.

        Raises:
            ExpressionError: The model has no such attribute, or the index does not carry it.
        """
        return cast(AsyncParallelScan[Any], self._refined(self._segments.restricted(attributes)))


class AsyncScanMethods(RepositoryFoundation[T]):
    """Reads everything, fast."""

    _driver: transport.AsyncDriver

    def parallel_scan(
        self, segments: int = 4, *, index: str | None = None, checkpoint: str | None = None, concurrency: int = 4
    ) -> AsyncParallelScan[T]:
        """Return a lazy scan of the table, or of a declared index, that reads several segments at the same time.

        Args:
            segments: Into how many segments the table is cut, up to 1,000,000. Each takes at least one request.
            index: The name of a declared index.
            checkpoint: From `ParallelScan.checkpoint` of a scan with as many segments: only what was not handed out.
            concurrency: How many segments are read at a time, each in a task. More than 4 rarely gain anything:
                decoding is Python's work, and Python runs one thread at a time.

        Raises:
            ValidationError: ``segments`` or ``concurrency`` is out of range.
        """
        return AsyncParallelScan(self._driver, Segments(self._selection(index), segments, concurrency, checkpoint))
