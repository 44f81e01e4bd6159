"""An export: a table read in segments, its items written as rows, a checkpoint that never runs ahead of the file."""

from __future__ import annotations

from collections.abc import Generator, Mapping
from contextlib import closing
from dataclasses import dataclass
from typing import Any, cast

from dynamodb_wrapper.cli.checkpoints import CheckpointFile
from dynamodb_wrapper.cli.files.outputs import Output
from dynamodb_wrapper.cli.files.rejects import Rejects, reason_of
from dynamodb_wrapper.cli.files.rows import Rows
from dynamodb_wrapper.cli.files.transfers import Moved, Told, Watch
from dynamodb_wrapper.codec import Item, from_json, item_bytes, to_json
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.passes import Pace
from dynamodb_wrapper.operations.scans import ScanProgress, SegmentPage, Segments
from dynamodb_wrapper.operations.selection import Selection
from dynamodb_wrapper.transport import SyncDriver

_AT_ONCE = 4
_LARGEST_PAGE = 1000
_READ_UNIT_BYTES = 4096


@dataclass(frozen=True, slots=True)
class Scanned:
    """How a table is read.

    Attributes:
        segments: Into how many segments it is cut; at most 4 of them are read at a time.
        consistent: Whether it is read strongly consistent.
        rate: How many read units a second may be consumed; None for no limit.
    """

    segments: int = 4
    consistent: bool = False
    rate: float | None = None


class Export:
    """One export.

    Attributes:
        moved: What was moved so far.
    """

    def __init__(
        self,
        driver: SyncDriver,
        entity: Entity[Any],
        rows: Rows,
        output: Output,
        *,
        scanned: Scanned,
        rejects: Rejects,
        checkpoint: CheckpointFile | None,
    ) -> None:
        self.moved = Moved()
        self._driver = driver.reporting()
        self._rows = rows
        self._output = output
        self._scanned = scanned
        self._rejects = rejects
        self._checkpoint = checkpoint
        at_once = min(_AT_ONCE, scanned.segments)
        self._selection = Selection(
            entity,
            entity.declaration.table_key,
            dict,
            page_size=_page_size(scanned.rate, at_once),
            consistent=scanned.consistent,
        )
        self._at_once = at_once
        self._watch = Watch()
        self._is_noted = False

    def run(self, state: Mapping[str, Any] | None, told: Told) -> None:
        """Export what is not exported yet.

        Args:
            state: What the checkpoint says; None to begin.
            told: Is told now and then how much that is.

        Raises:
            CommandError: Too many items were refused, or a file is not as it was.
            DynamoDBWrapperError: A request failed.
        """
        if state is not None:
            self._is_noted = True
            self.moved = Moved.of(state["moved"])
            if state["is_read"] and self._output.is_finished():
                self._done()
                return
        scan = None if state is None else str(state["scan"])
        progress: ScanProgress[Any] = Segments(
            self._selection, self._scanned.segments, self._at_once, scan, "export"
        ).begun()
        try:
            self._output.begin(None if state is None else state["output"])
            self._rejects.begin(None if state is None else state["rejects"])
            self._read(progress, told)
            self._note(progress, is_read=True)
            self._output.finish()
        finally:
            self._output.close()
            self._rejects.close()
            if not self._is_noted:  # ended before there was a checkpoint
                self._output.discard()
        self._done()

    def _done(self) -> None:
        if self._checkpoint is not None:
            self._checkpoint.remove()

    def _read(self, progress: ScanProgress[Any], told: Told) -> None:
        pace = Pace(self._scanned.rate)
        pages = self._driver.stream_together(progress.flows(), at_most=progress.at_once)
        with closing(cast("Generator[SegmentPage, None, None]", pages)) as read:
            for page in read:
                for item in page.items:
                    self._write(item)
                self._rejects.keep()
                progress.note(page.segment, page.resume_key)
                units = self._units(page)
                self.moved.units += units
                told(self.moved)
                if self._watch.is_due():
                    self._note(progress, is_read=False)
                self._driver.run(pace.consumed(units), each_request=True)

    def _write(self, item: Item) -> None:
        self.moved.rows += 1
        try:
            row = self._rows.row(item)
        except ValidationError as error:
            entity = self._selection.entity
            key = entity.readable_key({name: item[name] for name in entity.table_key_attributes if name in item})
            self._rejects.take(reason_of(error), from_json(to_json({"Item": item})), {"key": key})
            return
        self._output.write(row)
        self.moved.items += 1
        self.moved.bytes += len(row)

    def _note(self, progress: ScanProgress[Any], *, is_read: bool) -> None:
        """Write down how far it has come: first what is read, then that it is."""
        output, rejects = self._output.commit(), self._rejects.commit()
        self.moved.seconds += self._watch.lap()
        if self._checkpoint is not None:
            self._is_noted = True
            self._checkpoint.write(
                {
                    "scan": progress.checkpoint(),
                    "output": output,
                    "rejects": rejects,
                    "moved": self.moved.as_dict(),
                    "is_read": is_read,
                }
            )

    def _units(self, page: SegmentPage) -> float:
        if page.read_units is not None:
            return page.read_units
        units = -(-sum(map(item_bytes, page.items)) // _READ_UNIT_BYTES) or 1
        return float(units) if self._scanned.consistent else units / 2


def _page_size(rate: float | None, at_once: int) -> int | None:
    """Return how many items to read in a request: with a limit, what is read at a time is to be about a second's."""
    return None if rate is None else int(max(1, min(_LARGEST_PAGE, 2 * rate / at_once)))
