"""Where rows and items go that were not written or read."""

from __future__ import annotations

import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

import pyarrow as pa

from dynamodb_wrapper.spark.files import write_lines
from dynamodb_wrapper.spark.items import Rejected
from dynamodb_wrapper.spark.metrics import Job, Meter, logger

_HELD = 1000
_REASONS = 3


class Quarantine:
    """Collects what one task rejects; a ``with`` block, at whose end the last file is written.

    With option ``quarantine``, everything goes to files ``<job>-<operation>-<partition>-<attempt>-<n>.json``, a line of
    JSON for each: ``reason``, and ``row`` (as Spark has it) or ``item`` (as DynamoDB has it). An attempt that Spark
    repeats has files of its own.

    Attributes:
        count: How many were taken.
        reasons: The first reasons.
    """

    def __init__(self, job: Job, meter: Meter) -> None:
        self._job = job
        self._meter = meter
        self._lock = threading.Lock()
        self._entries: list[Mapping[str, Any]] = []
        self._files = 0
        self.count = 0
        self.reasons: list[str] = []

    def take_item(self, rejected: Rejected) -> None:
        """Take an item that was left out, or read with a null that is none."""
        self._take(f"{rejected.attribute!r} {rejected.reason}", {"item": rejected.item})

    def take_row(self, batch: pa.RecordBatch, number: int, reason: str) -> None:
        """Take a row that was not written."""
        self._take(reason, {"row": {name: _value(batch[name], number) for name in batch.schema.names}})

    def _take(self, reason: str, entry: Mapping[str, Any]) -> None:
        with self._lock:
            self.count += 1
            if len(self.reasons) < _REASONS and reason not in self.reasons:
                self.reasons.append(reason)
            if self._job.options.quarantine is not None:
                self._entries.append({"reason": reason, "table": self._job.table_name, **entry})
            if len(self._entries) >= _HELD:
                self._write()
        self._meter.count(rows_rejected=1)

    def _write(self) -> None:
        if not self._entries or self._job.options.quarantine is None:
            return
        task = f"{self._job.job_id}-{self._job.operation}-{self._meter.partition:05d}-{self._meter.attempt}"
        write_lines(self._job.options.quarantine, f"{task}-{self._files}.json", self._entries)
        self._files += 1
        self._entries = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        with self._lock:
            self._write()
        if self.count:
            logger.warning(
                "partition %d of job %s rejected %d rows of table %r: %s",
                self._meter.partition, self._job.job_id, self.count, self._job.table_name, "; ".join(self.reasons),
            )  # fmt: skip


def _value(column: pa.Array, number: int) -> object:
    try:
        return column[number].as_py()
    except (OverflowError, ValueError):  # a time of a year that Python has not
        return column.slice(number, 1).to_string()
