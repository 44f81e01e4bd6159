"""Runs the pipeline once as it should be, and once with data that cannot be stored; prints both run logs."""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from collections.abc import Sequence
from contextlib import nullcontext
from datetime import date, timedelta
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from dynamodb_wrapper import DynamoDBConfig, PipelineRunLog
from dynamodb_wrapper.spark import SparkDynamoDBIntegration
from examples.flights_pipeline.server import local_server


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    console = Console()
    days = [date(2013, 1, 1) + timedelta(days=number) for number in range(options.days)]
    # Workers take credentials and region from their environment; a local server looks at neither.
    if options.endpoint != "aws":
        os.environ.update(AWS_ACCESS_KEY_ID="local", AWS_SECRET_ACCESS_KEY="local", AWS_REGION="us-east-1")
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    os.environ.setdefault("SPARK_LOCAL_IP", "127.0.0.1")
    with (
        nullcontext(options.endpoint) if options.endpoint else local_server() as address,
        tempfile.TemporaryDirectory(prefix="flights-") as folder,
    ):
        config = DynamoDBConfig.from_env(endpoint_url=None if address == "aws" else address)
        runs = both_runs(SparkDynamoDBIntegration(config), Path(folder), days, console)
        for title, run in runs:
            show(console, title, run)
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.flights_pipeline", description=__doc__)
    parser.add_argument("--days", type=int, default=7, help="so many days of 2013, from January (default: 7)")
    parser.add_argument("--endpoint", help="a server like http://localhost:8000, or aws; default: one that is started")
    return parser


def both_runs(
    integration: SparkDynamoDBIntegration, folder: Path, days: Sequence[date], console: Console
) -> list[tuple[str, PipelineRunLog]]:
    """Return the log of a run that succeeds and of one that fails."""
    from examples.flights_pipeline import job, setup  # these need Spark

    console.print("[dim]Setting up: tables, airports and carriers, the CSV file ...")
    setup.unpack(folder)
    setup.set_up(integration, folder)
    console.print(f"[dim]Running the pipeline for {len(days)} days (Spark takes its time to start) ...")
    good = job.run(integration, days)
    console.print("[dim]And again, with flights to Los Angeles whose time in the air is not a number ...")
    try:
        job.run(integration, days, broken=True)
    except Exception as error:  # noqa: BLE001 - whatever it is, it is in the log of the run
        console.print(f"[dim]It failed, as it should: {type(error).__name__}")
    (last,) = integration.runs.get_runs_by_pipeline(setup.PIPELINE, limit=1)
    return [("What ran", integration.runs.get_or_raise(good)), ("What a failed run looks like", last)]


def show(console: Console, title: str, run: PipelineRunLog) -> None:
    """Print the log of a run: what ran, on what, how long, what it consumed, what was rejected."""
    console.rule(f"{title}: {run.run_id}")
    facts = Table.grid(padding=(0, 2))
    facts.add_row("status", Text(run.status.value, style="green" if run.status == "success" else "red"))
    facts.add_row("took", f"{run.duration_seconds:.1f} s")
    facts.add_row("with", f"Spark {run.spark_version}, Python {run.python_version}, {run.spark_application_id}")
    facts.add_row("read", ", ".join(run.input_tables))
    facts.add_row("wrote", ", ".join(run.output_tables))
    facts.add_row("records", f"{run.total_records_processed:,} processed, {run.total_records_failed:,} rejected")
    if run.error_type:
        facts.add_row("error", Text(f"{run.error_type}: {_telling_line(run.error_message or '')}", style="red"))
    console.print(facts)
    stages = Table("stage", "status", "seconds", "records", box=None, title="stages", title_justify="left")
    for stage in run.stages:
        stages.add_row(
            stage.stage_name, stage.status.value, f"{stage.duration_seconds:.1f}", f"{stage.records_processed:,}"
        )
    console.print(stages)
    used = Table("table", "operation", "rows", "rejected", "requests", "capacity units", "throttled", box=None)
    used.title, used.title_justify = "DynamoDB", "left"
    for table in run.table_metrics:
        rows = table.rows_read if table.operation == "read" else table.rows_written
        counts = (rows, table.rows_rejected, table.requests, table.capacity, table.throttles)
        used.add_row(table.table_name, table.operation, *(f"{count:,}" for count in counts))
    console.print(used)
    for check in run.data_quality_results:
        mark = "[green]passed[/]" if check.passed else f"[red]failed[/]: {check.error_message}"
        console.print(f"check: {check.check_name}: {mark}")
    console.print()


def _telling_line(message: str) -> str:
    """Return the line of a message that says what was wrong: that of the error in a traceback, else the first."""
    lines = [line for line in message.splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"[\w.]+(Error|Exception): ", line)]
    return next(reversed(errors), lines[0] if lines else "")


if __name__ == "__main__":
    sys.exit(main())
