"""``export`` and ``import``: what is in a table to a file, and what is in a file to a table."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

from dynamodb_wrapper.cli.checkpoints import CheckpointFile
from dynamodb_wrapper.cli.failures import CommandError, ExitCode, say
from dynamodb_wrapper.cli.files.exporting import Export, Scanned
from dynamodb_wrapper.cli.files.formats import STANDARD, Format, Kept, format_of, input_of
from dynamodb_wrapper.cli.files.importing import Import, Writing
from dynamodb_wrapper.cli.files.rejects import Rejects
from dynamodb_wrapper.cli.files.rows import NotKnown
from dynamodb_wrapper.cli.files.s3_layout import FolderInput
from dynamodb_wrapper.cli.files.transfers import Moved
from dynamodb_wrapper.cli.invocation import Invocation
from dynamodb_wrapper.cli.output import to_json
from dynamodb_wrapper.cli.progress import shown_progress
from dynamodb_wrapper.operations.raw_tables import stored_table
from dynamodb_wrapper.transport import connection_for

OptionalRepository = Annotated[
    str | None,
    typer.Argument(
        metavar="[MODULE:REPOSITORY]",
        help="A repository class, such as shop.repositories:Orders; left out with --table.",
        show_default=False,
    ),
]
TableName = Annotated[
    str | None, typer.Option("--table", help="A table by its physical name, without a model, instead of a repository.")
]
FormatOption = Annotated[
    Format | None, typer.Option("--format", help="How items stand in the file; by default what its name says.")
]
RejectedFile = Annotated[
    Path | None, typer.Option(help="A file of JSON lines for what is refused: where it stands, why, and what it is.")
]
MaxRejected = Annotated[
    int | None, typer.Option(min=0, help="Stop when more than so many are refused; by default never.")
]
CheckpointOption = Annotated[
    Path | None, typer.Option("--checkpoint", help="Where to keep how far it has come; by default beside the file.")
]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where an earlier run was ended.")]
Restart = Annotated[bool, typer.Option("--restart", help="Begin anew, whatever an earlier run has done.")]


def export(
    invocation: Invocation,
    repository: OptionalRepository = None,
    *,
    to: Annotated[Path, typer.Option("--to", help="The file, or - for standard output.", show_default=False)],
    table: TableName = None,
    form: FormatOption = None,
    segments: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Into how many segments the table is cut; 4 are read at a time.")
    ] = 4,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Read units to consume in a second; by default no limit.")
    ] = None,
    consistent: Annotated[
        bool, typer.Option("--consistent", help="Read strongly consistent, for twice the read units.")
    ] = False,
    lossy: Annotated[
        bool, typer.Option("--lossy", help="Write sets and bytes as lists and base64 text where no model tells them.")
    ] = False,
    rejected: RejectedFile = None,
    max_rejected: MaxRejected = None,
    checkpoint: CheckpointOption = None,
    resume: Resume = False,
    restart: Restart = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the file if it is there.")] = False,
) -> None:
    """Write all items of a repository or table to a file; exit code 1 if some could not be."""
    kept = _kept(invocation, repository, table)
    form = format_of(to, form)
    rows = kept.rows(form, lossy=lossy)
    work = kept.work("export", to=str(to.absolute()), format=form, segments=segments, lossy=lossy)
    if not to.name or not to.parent.is_dir():
        raise CommandError(f"there is no folder {to.parent}" if to.name else f"--to {to} names no file")
    place = None if to == STANDARD else CheckpointFile(checkpoint or to.with_name(f"{to.name}.checkpoint"), work)
    _check_apart(to, place, rejected)
    state = _begun(place, resume=resume, restart=restart)
    if state is None and to != STANDARD and to.exists():
        _make_room(to, overwrite=overwrite)
    refused = _rejects(rejected, max_rejected)
    job = Export(
        connection_for(invocation.config).driver,
        kept.entity,
        rows,
        kept.output(to, form, rows),
        scanned=Scanned(segments, consistent, rate),
        rejects=refused,
        checkpoint=place,
    )

    def words(moved: Moved) -> tuple[int, str]:
        return moved.rows, f"items, {moved.units:,.0f} units"

    with _told(place, kept.entity.table_name, kept.item_count, words) as told:
        job.run(state, told)
    summary = {
        "items": job.moved.items,
        "rejected": refused.count,
        "bytes": job.moved.bytes,
        "seconds": round(job.moved.seconds, 2),
        "read_units": round(job.moved.units, 1),
    }
    _tell(invocation, summary, to_stdout=to != STANDARD)
    _tell_unknown(rows.not_known, "items have {names}, which the model does not know: not in the file")
    _end(refused)


def import_(
    invocation: Invocation,
    repository: OptionalRepository = None,
    *,
    source: Annotated[Path, typer.Option("--from", help="The file, or - for standard input.", show_default=False)],
    table: TableName = None,
    form: FormatOption = None,
    create_only: Annotated[
        bool, typer.Option("--create-only", help="Leave alone what is there already, and refuse rows that differ.")
    ] = False,
    concurrency: Annotated[int, typer.Option(min=1, max=64, help="How many requests are on their way at a time.")] = 4,
    rate: Annotated[
        float | None, typer.Option(min=0.01, help="Write units to consume in a second; by default no limit.")
    ] = None,
    rejected: RejectedFile = None,
    max_rejected: MaxRejected = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Look at all rows, and write nothing.")] = False,
    checkpoint: CheckpointOption = None,
    resume: Resume = False,
    restart: Restart = False,
) -> None:
    """Write all rows of a file to the table of a repository, or to another table; exit code 1 if some were refused."""
    kept = _kept(invocation, repository, table)
    form = format_of(source, form)
    rows = kept.rows(form)
    given = input_of(source, form)
    identity = given.identity()
    work = kept.work("import", file=identity, format=form, create_only=create_only)
    table_name = kept.entity.table_name.replace(":", "_").replace("/", "_")  # it may be an ARN
    named = source if source.name else source.resolve()  # the folder that we are in
    beside = named.with_name(f"{named.name}.{table_name}.checkpoint")
    place = None if identity is None or dry_run else CheckpointFile(checkpoint or beside, work)
    _check_apart(source, place, rejected)
    state = _begun(place, resume=resume, restart=restart)
    if isinstance(given, FolderInput):
        given.verify()
    refused = _rejects(rejected, max_rejected)
    job = Import(
        connection_for(invocation.config).driver,
        kept.entity,
        rows,
        given,
        writing=Writing(not create_only, concurrency, rate, dry_run),
        rejects=refused,
        checkpoint=place,
    )

    def words(moved: Moved) -> tuple[int, str]:
        return given.position, f"{given.measure}, {moved.items:,} items, {moved.units:,.0f} units"

    with _told(place, kept.entity.table_name, given.size, words) as told:
        job.run(state, told)
    summary = {
        "items": job.moved.items,
        "same": job.moved.same,
        "duplicates": job.duplicates,
        "rejected": refused.count,
        "bytes": job.moved.bytes,
        "seconds": round(job.moved.seconds, 2),
        "write_units": round(job.moved.units, 1),
    }
    _tell(invocation, summary)
    _tell_unknown(rows.not_known, "rows have {names}, which the model does not know: not written")
    _end(refused)


def _kept(invocation: Invocation, repository: str | None, table: str | None) -> Kept:
    """Return what is exported or imported."""
    if (repository is None) == (table is None):
        raise CommandError("name a repository, as module:Class, or a table, with --table: one of the two")
    entity = None if repository is None else invocation.repository(repository)._entity
    driver = connection_for(invocation.config).driver
    stored = driver.run(stored_table(str(table) if entity is None else entity.table_name))
    return Kept(entity or stored.entity, stored, repository)


def _begun(place: CheckpointFile | None, *, resume: bool, restart: bool) -> dict[str, object] | None:
    """Return where an earlier run was ended, if this one is to go on there."""
    if place is not None:
        return place.begin(resume=resume, restart=restart)
    if resume:
        raise CommandError("there is nothing to go on with: no checkpoint is kept of this")
    return None


def _make_room(to: Path, *, overwrite: bool) -> None:
    if to.is_dir():
        raise CommandError(f"{to} is there already, and a folder is not replaced: delete it, or name another one")
    if not to.is_file():
        raise CommandError(f"{to} is no file: - is standard output")
    if not overwrite:
        raise CommandError(f"{to} is there already: say --overwrite to replace it")


def _check_apart(file: Path, place: CheckpointFile | None, rejected: Path | None) -> None:
    """Make sure that no file is two things: one would be written over, or deleted, for the other."""
    checkpoint = None if place is None else place.path
    used = {each.resolve() for each in (file, Path(f"{file}.part"), Path(f"{file}.new"))}
    for option, path in (("--checkpoint", checkpoint), ("--rejected", rejected)):
        if path is not None and path.resolve() in used:
            raise CommandError(f"{option} is {path}, which is a file that this command uses; name another one")
        used |= {Path(f"{checkpoint}{end}").resolve() for end in ("", ".new", ".lock", ".keys")}


def _rejects(path: Path | None, at_most: int | None) -> Rejects:
    if path is not None and path.exists() and not path.is_file():
        raise CommandError(f"--rejected is {path}, which is no file, and cannot be gone on with; name another one")
    return Rejects(path, at_most=at_most)


@contextmanager
def _told(
    place: CheckpointFile | None, about: str, total: int | None, words: Callable[[Moved], tuple[int, str]]
) -> Iterator[Callable[[Moved], None]]:
    """Show how far it has come, and say how to go on when it is ended before it is done."""
    with nullcontext() if place is None else place.explained(), shown_progress(about) as told:
        yield lambda moved: told(*words(moved), total)


def _tell(invocation: Invocation, summary: Mapping[str, object], *, to_stdout: bool = True) -> None:
    if to_stdout:
        invocation.output.record(summary)
    else:
        say(to_json(summary))


def _tell_unknown(not_known: NotKnown, what: str) -> None:
    if not_known.count:
        say(f"{not_known.count:,} {what.format(names=', '.join(not_known.names))}")


def _end(refused: Rejects) -> None:
    """Tell what was refused, and end so."""
    if not refused.count:
        return
    for line in refused.first:
        say(f"refused: {line}")
    if refused.count > len(refused.first):
        say(f"refused: {refused.count - len(refused.first):,} more")
    raise typer.Exit(ExitCode.NO)
