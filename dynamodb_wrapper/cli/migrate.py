"""``migrate``: all items of a table in the current schema version."""

from __future__ import annotations

from collections import Counter
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any

import typer

from dynamodb_wrapper.cli.checkpoints import CheckpointFile
from dynamodb_wrapper.cli.failures import ExitCode
from dynamodb_wrapper.cli.invocation import Invocation, RepositoryName
from dynamodb_wrapper.cli.output import shown
from dynamodb_wrapper.cli.progress import shown_progress
from dynamodb_wrapper.operations.migrations import MigrationReport

_COUNTS = ("scanned", "rewritten", "current", "newer", "gone", "failed", "read_units", "write_units")


def migrate(
    invocation: Invocation,
    repository: RepositoryName,
    *,
    yes: Annotated[
        bool, typer.Option("--yes", "-y", help="Write. Without it, only say what would be written.")
    ] = False,
    segments: Annotated[int, typer.Option(help="Into how many segments the table is cut.", min=1)] = 4,
    rate: Annotated[
        float | None, typer.Option(help="Capacity units to consume in a second, read and written; default no limit.")
    ] = None,
    checkpoint: Annotated[
        Path | None,
        typer.Option(help="Where to note how far it has come; default TABLE.migrate.json in the current directory."),
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where an earlier run was ended.")] = False,
    restart: Annotated[bool, typer.Option("--restart", help="Begin anew, whatever an earlier run has done.")] = False,
) -> None:
    """Rewrite the older items of a table in the current schema version; without --yes, say what would change.

    Safe while others write. While it writes, a file says how far it has come; after a kill, --resume goes on there.
    Items that cannot be brought up to date are left alone, and reported; exit code 1.
    """
    items = invocation.repository(repository)
    file = CheckpointFile(
        checkpoint or Path(f"{str(items.table_name).replace(':', '_').replace('/', '_')}.migrate.json"),
        {"command": "migrate", "table": items.table_name, "to": items.schema_version},
    )
    job = _Job(file if yes else None, segments)
    job.begin(invocation, resume=resume, restart=restart)
    with job.explained(), shown_progress(items.table_name) as told:

        def note(report: MigrationReport) -> None:
            counts = job.note(report)
            words = f"items, {counts['rewritten']:,} rewritten, {counts['failed']:,} failed"
            told(report.evaluated, words, report.estimated_total)

        report = items.migrate(
            dry_run=not yes,
            segments=job.segments,
            checkpoint=job.checkpoint,
            units_per_second=rate,
            progress=note,
        )
    job.done()
    _report(invocation, items.table_name, report, job.totals(report))
    if job.totals(report)["failed"]:
        raise typer.Exit(ExitCode.NO)


@dataclass
class _Job:
    """How far a migration has come, over all its calls.

    Attributes:
        file: Where that is noted; None for a dry run.
        segments: Into how many segments the table is cut.
        checkpoint: Where to go on; None at the beginning.
        before: What earlier calls have counted.
    """

    file: CheckpointFile | None
    segments: int
    checkpoint: str | None = None
    before: dict[str, Any] = field(default_factory=dict)

    def begin(self, invocation: Invocation, *, resume: bool, restart: bool) -> None:
        """Begin, or go on where an earlier run was ended.

        Raises:
            CommandError: The file is not one of this work, cannot be written, or nobody said what to do about it.
        """
        state: Any = None if self.file is None else self.file.begin(resume=resume, restart=restart)
        if state is None:
            return
        self.checkpoint, self.segments, self.before = state["checkpoint"], state["segments"], state["counts"]
        noted = invocation.in_users_zone(datetime.fromisoformat(state["noted_at"]))
        invocation.output.say(f"going on after {self.before['scanned']:,} items, as of {shown(noted)}")

    def note(self, report: MigrationReport) -> dict[str, Any]:
        """Note what a report says, and return the counts over all calls."""
        counts = self.totals(report)
        if self.file is not None and report.checkpoint is not None:
            now = datetime.now(UTC).isoformat()
            self.file.write(
                {"checkpoint": report.checkpoint, "segments": self.segments, "counts": counts, "noted_at": now}
            )
        return counts

    def totals(self, report: MigrationReport) -> dict[str, Any]:
        """Return the counts over all calls."""
        counts = {name: self.before.get(name, 0) + getattr(report, name) for name in _COUNTS}
        versions = Counter({str(version): count for version, count in report.versions.items()})
        return {**counts, "versions": dict(versions + Counter(self.before.get("versions", {})))}

    def explained(self) -> AbstractContextManager[None]:
        """Return what says how to go on when its block is ended before it is done."""
        return nullcontext() if self.file is None else self.file.explained()

    def done(self) -> None:
        """Forget the checkpoint."""
        if self.file is not None:
            self.file.remove()


def _report(invocation: Invocation, table_name: str, report: MigrationReport, counts: dict[str, Any]) -> None:
    output = invocation.output
    summary = {"table_name": table_name, "dry_run": report.dry_run, **counts}
    failures = [{"key": each.key, "version": each.version, "reason": each.reason} for each in report.failures]
    examples = [asdict(each) for each in report.examples]
    if output.as_json:
        output.record({**summary, "failures": failures, "examples": examples})
        return
    output.record(summary)
    for title, rows in (("would be rewritten, for example:", examples), ("left alone:", failures)):
        if rows:
            output.text("")
            output.text(title)
            output.rows(rows)
    if report.dry_run and report.rewritten:
        output.say("nothing was written: --yes writes")
