"""What the tasks of a run did with DynamoDB tables: noted by each of them, summed up when the run ends.

The reports of tasks are events of a partition of their own, each under a number that comes from the task's attempt: so
one that is written twice is there once. They stay there; the run's own item has the sums.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from functools import lru_cache
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.models import PipelineRunEvent, TableMetrics
from dynamodb_wrapper.operations.run_messages import reports_of
from dynamodb_wrapper.repositories import PipelineRunEventsRepository

if TYPE_CHECKING:
    from dynamodb_wrapper.spark.metrics import JobReport, TaskReport

NOTE = f"{__name__}:note_task"
"""What option ``metrics`` says, so that tasks report to their run."""

_SUMMED = ("bytes", "requests", "attempts", "throttles")
_ROWS = ("rows_read", "rows_written", "rows_rejected", "rows_retried")


class _Events(PipelineRunEventsRepository):
    """The table of events of that physical name, whatever prefix the worker's configuration has."""

    def __init__(self, config: DynamoDBConfig, physical_name: str) -> None:
        self._physical_name = physical_name
        super().__init__(config)

    @property
    def table_name(self) -> str:  # type: ignore[override]
        return self._physical_name


def destination(events_table: str, run_id: str) -> str:
    """Return what option ``run_id`` says, so that `note_task` knows the run and the table."""
    return f"{events_table}/{run_id}"


def note_task(report: TaskReport | JobReport, config: DynamoDBConfig) -> None:
    """Write what a task did to the events of its run; option ``metrics`` names this function."""
    if report.run_id is None or not hasattr(report, "partition"):
        return  # a job is the sum of its tasks
    table_name, _, run_id = report.run_id.partition("/")
    event = PipelineRunEvent(run_id=reports_of(run_id), sequence=_number(report.key), message=report.as_json())
    _events(config, table_name).put(event)


def summary(events: PipelineRunEventsRepository, run_id: str) -> list[TableMetrics]:
    """Return what the tasks of a run did, by table and operation.

    Capacity, requests and bytes are those of all attempts. Rows that were read are those of all attempts that did not
    fail; rows that were written are those of the last one at each partition that did not, or else of the last one,
    because an attempt does its partition's rows again.
    """
    reports = [event.message for event in events.query(reports_of(run_id))]
    return summed(report for report in reports if isinstance(report, dict))


def summed(reports: Iterable[dict[str, Any]]) -> list[TableMetrics]:
    """Return the sums of reports of tasks."""
    by_table: dict[tuple[str, str], list[dict[str, Any]]] = {}
    for report in reports:
        by_table.setdefault((report["table_name"], report["operation"]), []).append(report)
    return [_metrics(*name, by_table[name]) for name in sorted(by_table)]


def _metrics(table_name: str, operation: str, reports: list[dict[str, Any]]) -> TableMetrics:
    last: dict[tuple[str, int], dict[str, Any]] = {}
    for report in sorted(reports, key=lambda report: (report["outcome"] != "failed", int(report["attempt"]))):
        last[report["job_id"], int(report["partition"])] = report
    # A frame that is used twice is read twice, in one job: each attempt that did not fail has read its rows.
    good = [report for report in reports if report["outcome"] != "failed"]
    counted = good if operation == "read" else list(last.values())
    return TableMetrics(
        table_name=table_name,
        operation=operation,
        tasks=len(last),
        failed_attempts=len(reports) - len(good),
        capacity=sum((Decimal(str(report["counts"]["capacity"])) for report in reports), Decimal(0)),
        **{name: sum(int(report["counts"][name]) for report in reports) for name in _SUMMED},
        **{name: sum(int(report["counts"][name]) for report in counted) for name in _ROWS},
    )


def _number(key: str) -> int:
    """Return a number that only this attempt has."""
    return int.from_bytes(sha256(key.encode()).digest()[:8])


@lru_cache(maxsize=8)
def _events(config: DynamoDBConfig, table_name: str) -> _Events:
    return _Events(config, table_name)
