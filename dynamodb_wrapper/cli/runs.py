"""``runs``: what the runs of pipelines have done, and are doing now; times in the user's zone."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from math import isnan
from typing import Annotated

import typer
from rich.console import Group
from rich.live import Live
from rich.text import Text

from dynamodb_wrapper.cli.failures import CommandError, ExitCode
from dynamodb_wrapper.cli.invocation import Invocation
from dynamodb_wrapper.cli.output import console, grid, record_lines
from dynamodb_wrapper.exceptions import ConnectionError, ThrottlingError
from dynamodb_wrapper.expressions import F
from dynamodb_wrapper.models import PipelineRunLog, RunStatus
from dynamodb_wrapper.repositories import PipelineRunLogsRepository

RunId = Annotated[str, typer.Argument(metavar="RUN_ID", help="The id of the run.")]

_COLUMNS = ("run_id", "pipeline_id", "status", "start_time", "seconds", "records", "stage", "error")
_STAGES = ("stage_name", "status", "start_time", "duration_seconds", "records_processed", "error_message")
_LONGEST_HOURS = 24.0 * 366 * 100
_FAILURES_IN_A_ROW = 5
"""How often in a row DynamoDB may not answer while a run is watched."""


def list_runs(
    invocation: Invocation,
    *,
    pipeline: Annotated[str | None, typer.Option(help="Only runs of this pipeline.")] = None,
    status: Annotated[RunStatus | None, typer.Option(help="Only runs with this status.")] = None,
    hours: Annotated[
        float, typer.Option(help="Only runs that began within so many hours.", min=0.0, max=_LONGEST_HOURS)
    ] = 24.0,
    limit: Annotated[int, typer.Option(help="At most so many.", min=1)] = 50,
) -> None:
    """List runs, the newest first."""
    if isnan(hours):
        raise CommandError("--hours is no number")
    logs = PipelineRunLogsRepository(invocation.config)
    if status is None:
        found = logs.get_recent_runs(pipeline, hours=hours, limit=limit)
    else:
        since = datetime.now(UTC) - timedelta(hours=hours)
        chosen = logs.by_status(status) if pipeline is None else logs.by_pipeline(pipeline).where(F.status == status)
        found = chosen.ge(since).descending().limit(limit).all()
    if invocation.output.as_json:
        invocation.output.rows(run.model_dump() for run in found)
    else:
        invocation.output.rows(map(_summary, found), columns=_COLUMNS)


def show(
    invocation: Invocation,
    run_id: RunId,
    *,
    messages: Annotated[bool, typer.Option("--messages", help="With all its log messages.")] = False,
) -> None:
    """Show one run with its stages; exit code 3 if there is none."""
    logs = PipelineRunLogsRepository(invocation.config)
    run = logs.get_or_raise(run_id, consistent=True)
    said = logs.get_log_messages(run_id) if messages else []
    output = invocation.output
    if output.as_json:
        output.record({**run.model_dump(), **({"log_messages": said} if messages else {})})
        return
    output.record(_details(run))
    if run.stages:
        output.text("")
        output.rows((stage.model_dump() for stage in run.stages), columns=_STAGES)
    for message in said:
        output.text(message if isinstance(message, str) else str(message))


def watch(
    invocation: Invocation,
    run_id: RunId,
    *,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1, max=86_400.0)] = 2.0,
) -> None:
    """Show a run as it goes, until it ends; exit code 1 if it did not end well.

    Where the output is no terminal, or JSON, a line is printed whenever something has changed.
    """
    if isnan(every):
        raise CommandError("--every is no number")
    logs = PipelineRunLogsRepository(invocation.config)
    run: PipelineRunLog | None = None
    if invocation.output.as_json or not console().is_terminal:
        for run in _looks(invocation, logs, run_id, every):
            invocation.output.line(run.model_dump() if invocation.output.as_json else _summary(run))
    else:
        with Live(console=console(), auto_refresh=False) as live:
            for run in _looks(invocation, logs, run_id, every):
                live.update(_drawn(run), refresh=True)
    if run is not None and run.status is not RunStatus.SUCCESS:
        raise typer.Exit(ExitCode.NO)


def _looks(
    invocation: Invocation, logs: PipelineRunLogsRepository, run_id: str, every: float
) -> Iterator[PipelineRunLog]:
    """Yield a run whenever it has changed, until it has ended."""
    seen: PipelineRunLog | None = None
    failures = 0
    while seen is None or not seen.status.is_terminal:
        try:
            run = logs.get_or_raise(run_id, consistent=True)
            failures = 0
        except (ConnectionError, ThrottlingError) as error:
            failures += 1
            if seen is None or failures == _FAILURES_IN_A_ROW:
                raise
            invocation.output.say(f"trying again: {error.message}")
            run = seen
        if run != seen:
            yield run
            seen = run
        if not seen.status.is_terminal:
            time.sleep(every)


def _summary(run: PipelineRunLog) -> dict[str, object]:
    open_stages = [stage.stage_name for stage in run.stages if not stage.status.is_terminal]
    return {
        "run_id": run.run_id,
        "pipeline_id": run.pipeline_id,
        "status": run.status.value,
        "start_time": run.start_time,
        "seconds": None if run.duration_seconds is None else round(run.duration_seconds, 3),
        "records": run.total_records_processed,
        "stage": run.current_stage or ", ".join(open_stages) or None,
        "error": run.error_message,
    }


def _details(run: PipelineRunLog) -> Mapping[str, object]:
    """Return what is known of a run beside its stages and messages; what nobody has said is left out."""
    hidden = {"stages", "log_messages", "error_stack_trace", "config_snapshot"}
    return {name: value for name, value in run.model_dump(exclude=hidden).items() if value not in (None, [], {})}


def _drawn(run: PipelineRunLog) -> Group:
    summary = Text(record_lines({name: value for name, value in _summary(run).items() if value is not None}))
    return Group(summary, grid(_STAGES, ([getattr(stage, name) for name in _STAGES] for stage in run.stages)))
