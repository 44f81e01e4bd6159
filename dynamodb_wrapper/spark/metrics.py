"""What tasks and jobs did, as values: for the table of run logs, or for files of JSON.

Option ``metrics`` names a function that is called as ``function(report, config)``: with a `TaskReport` in the worker
when a task ends, whether it succeeded or not, and with a `JobReport` after a write, in the process that commits or
aborts it. Option ``metrics_path`` writes the same reports as JSON files. A report is the same however often it is made
for the same attempt, and says which attempt it is: so whoever stores it under `TaskReport.key` stores it once.

A report that cannot be written is logged, and never fails a job: what was written to the table is written.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from types import TracebackType
from typing import Any, Literal, Self

from pyspark import TaskContext

from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import ThrottlingError, error_class_for
from dynamodb_wrapper.spark.files import write_lines
from dynamodb_wrapper.spark.options import Options
from dynamodb_wrapper.spark.rate import Pace
from dynamodb_wrapper.spark.tables import loaded
from dynamodb_wrapper.transport import RequestEvent, observe

logger = logging.getLogger("dynamodb_wrapper.spark")

Operation = Literal["read", "write"]


@dataclass(frozen=True)
class Counts:
    """What was done, counted; counts of several tasks add up.

    Attributes:
        rows_read: Rows handed to Spark.
        rows_written: Rows that DynamoDB has taken; of rows with one key in a batch, the last is sent for all.
        rows_rejected: Rows or items that were not, or not wholly, written or read: ``on_rejected``, ``on_mismatch``.
        rows_retried: Rows that DynamoDB left over in an answer, and that were sent again.
        bytes: Of bodies of requests (write) or answers (read).
        capacity: Capacity units that DynamoDB says were consumed: read units of a read, write units of a write. What a
            write reads first, where there are unique values, is not among them.
        requests: Requests, each with its retries.
        attempts: Requests, each try counted.
        throttles: Tries that were refused for want of capacity.
    """

    rows_read: int = 0
    rows_written: int = 0
    rows_rejected: int = 0
    rows_retried: int = 0
    bytes: int = 0
    capacity: float = 0.0
    requests: int = 0
    attempts: int = 0
    throttles: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Return both together."""
        mine, theirs = asdict(self), asdict(other)
        return Counts(**{name: mine[name] + theirs[name] for name in mine})


@dataclass(frozen=True)
class TaskReport:
    """What one attempt at a task did.

    Attributes:
        job_id: The same for all tasks of one read or write; a frame that is read twice is two jobs or one, as Spark
            plans it.
        run_id: What option ``run_id`` said.
        table_name: The physical table.
        operation: ``read`` or ``write``.
        partition: The number of the task's partition.
        attempt: Spark's number of this attempt; no other task of the application has it.
        counts: What was done.
        started_at: When it began, UTC.
        seconds: How long it took.
        outcome: ``ok``; ``stopped``, when Spark wanted no more rows; ``failed``.
        error: Why it failed.
        batch_id: The number of the micro-batch, of a streaming write.
    """

    job_id: str
    run_id: str | None
    table_name: str
    operation: Operation
    partition: int
    attempt: int
    counts: Counts
    started_at: datetime
    seconds: float
    outcome: Literal["ok", "stopped", "failed"]
    error: str | None = None
    batch_id: int | None = None

    @property
    def key(self) -> str:
        """What tells this attempt from all others."""
        return f"{self.job_id}-{self.operation}-{self.partition:05d}-{self.attempt}"

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {**asdict(self), "started_at": self.started_at.isoformat()}


@dataclass(frozen=True)
class JobReport:
    """What a write did as a whole: that of the attempts which Spark committed.

    Attributes:
        job_id: As in the reports of its tasks.
        run_id: What option ``run_id`` said.
        table_name: The physical table.
        outcome: ``committed``, or ``aborted``: then the rows of ``tasks`` are in the table all the same, and so may be
            some of the partitions that are not in it.
        counts: Those of ``tasks`` together. Attempts that failed are in their own reports only.
        tasks: The tasks that were written whole.
        unfinished: How many partitions were not.
        batch_id: The number of the micro-batch, of a streaming write.
    """

    job_id: str
    run_id: str | None
    table_name: str
    outcome: Literal["committed", "aborted"]
    counts: Counts
    tasks: Sequence[TaskReport]
    unfinished: int = 0
    batch_id: int | None = None

    @property
    def key(self) -> str:
        """What tells this job from all others."""
        return f"{self.job_id}-job"

    @property
    def partitions(self) -> list[int]:
        """The partitions that were written whole, sorted."""
        return sorted(task.partition for task in self.tasks)

    def as_json(self) -> dict[str, Any]:
        """Return the report as JSON values."""
        return {**asdict(self), "tasks": [task.as_json() for task in self.tasks], "partitions": self.partitions}


@dataclass(frozen=True)
class Job:
    """What all tasks of a job know of it."""

    job_id: str
    operation: Operation
    table_name: str
    options: Options
    batch_id: int | None = None


@dataclass
class Meter:
    """Counts what one task does, as a ``with`` block around it; its report is published at the end.

    Attributes:
        job: The job it belongs to.
        config: The configuration of this process.
        pace: Is told of throttling.
        partition: The number of the task's partition.
        attempt: Spark's number of this attempt.
        report: What it did, once it has ended.
    """

    job: Job
    config: DynamoDBConfig
    pace: Pace
    partition: int = -1
    attempt: int = 0
    report: TaskReport | None = None
    _totals: Counter[str] = field(default_factory=Counter)

    def __enter__(self) -> Self:
        context = TaskContext.get()
        if context is not None:
            self.partition = context.partitionId()
            self.attempt = context.taskAttemptId()
        self._lock, self._capacity = threading.Lock(), 0.0
        self._started_at, self._started = datetime.now(UTC), time.monotonic()
        self._subscription = observe(self._saw)
        return self

    @property
    def counts(self) -> Counts:
        """What was counted so far."""
        with self._lock:
            return Counts(**self._totals, capacity=self._capacity)

    def count(self, *, capacity: float = 0.0, **more: int) -> None:
        """Add to the counts, by their names; from any thread."""
        with self._lock:
            self._capacity += capacity
            self._totals.update(more)

    def _saw(self, event: RequestEvent) -> None:
        if self.job.table_name not in event.table_names:
            return
        throttles = sum(issubclass(error_class_for(code), ThrottlingError) for code in event.failures)
        if throttles:
            self.pace.throttled()
        consumed = event.consumed_capacity
        capacity = 0.0 if consumed is None else consumed.read if self.job.operation == "read" else consumed.write
        self.count(requests=1, attempts=event.attempts, throttles=throttles, capacity=capacity)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._subscription.close()
        outcome: Literal["ok", "stopped", "failed"] = "ok"
        if error is not None:
            outcome = "stopped" if isinstance(error, GeneratorExit) else "failed"
        self.report = TaskReport(
            job_id=self.job.job_id,
            run_id=self.job.options.run_id,
            table_name=self.job.table_name,
            operation=self.job.operation,
            partition=self.partition,
            attempt=self.attempt,
            counts=self.counts,
            started_at=self._started_at,
            seconds=round(time.monotonic() - self._started, 3),
            outcome=outcome,
            error=None if outcome != "failed" else f"{type(error).__name__}: {error}",
            batch_id=self.job.batch_id,
        )
        publish(self.report, self.job.options, self.config)


def job_report(job: Job, tasks: Iterable[TaskReport | None], *, outcome: Literal["committed", "aborted"]) -> JobReport:
    """Return the report of a job from those of its tasks; None is a task that was not finished."""
    every = list(tasks)
    done = [task for task in every if task is not None]
    counts = sum((task.counts for task in done), Counts())
    unfinished = len(every) - len(done)
    return JobReport(job.job_id, job.options.run_id, job.table_name, outcome, counts, done, unfinished, job.batch_id)


def publish(report: TaskReport | JobReport, options: Options, config: DynamoDBConfig) -> None:
    """Hand a report to whoever the options name; what fails is logged."""
    try:
        if options.metrics_path is not None:
            write_lines(options.metrics_path, f"{report.key}.json", [report.as_json()])
        if options.metrics is not None:
            loaded(options.metrics, "metrics")(report, config)
    except Exception:  # what was written is written: a log that fails must not fail the job, or hide why it failed
        logger.exception("the report %s could not be written", report.key)


def new_job_id() -> str:
    """Return an id for a job."""
    return f"{datetime.now(UTC):%Y%m%dT%H%M%S}-{os.urandom(4).hex()}"
