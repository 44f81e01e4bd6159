"""``tables``: list, create, compare, change and delete."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict
from typing import Annotated, get_args

import typer

from dynamodb_wrapper.cli.failures import CommandError, ExitCode
from dynamodb_wrapper.cli.invocation import Invocation, RepositoryNames, Yes
from dynamodb_wrapper.cli.loading import AnyRepository, is_specification
from dynamodb_wrapper.operations import named_tables, tables
from dynamodb_wrapper.operations.named_tables import NamedTable, TableSummary
from dynamodb_wrapper.operations.table_diff import Aspect, TableDifference
from dynamodb_wrapper.repositories.tables_as_code import table_names
from dynamodb_wrapper.transport import connection_for

WaitSeconds = Annotated[
    float, typer.Option(help="Seconds to wait at most for a table, or for each change of it.", min=0.0)
]
DeleteIndexes = Annotated[
    bool, typer.Option("--delete-indexes", help="Delete indexes that are not declared, and build differing ones anew.")
]
Disable = Annotated[
    bool,
    typer.Option("--disable", help="Turn off what is not declared: TTL, stream, deletion protection, backups, ..."),
]
Skip = Annotated[
    list[str] | None, typer.Option(help=f"Leave this alone; may be repeated. One of {', '.join(get_args(Aspect))}.")
]

_COLUMNS = ("table_name", "what", "declared", "actual", "change")


def list_tables(
    invocation: Invocation,
    *,
    prefix: Annotated[str, typer.Option(help="Only tables whose names begin so.")] = "",
    details: Annotated[
        bool, typer.Option("--details", help="With state, size, billing and indexes; one request for each.")
    ] = False,
) -> None:
    """List the tables of the account in the region, by their physical names."""
    driver = connection_for(invocation.config).driver
    names = driver.run(named_tables.table_names(prefix=prefix))
    if details:
        invocation.output.rows(asdict(each) for each in driver.run(named_tables.summaries(names)))
    elif invocation.output.as_json:
        invocation.output.rows({"table_name": name} for name in names)
    else:
        for name in names:
            invocation.output.text(name)


def create(invocation: Invocation, repositories: RepositoryNames, *, wait_seconds: WaitSeconds = 300.0) -> None:
    """Make the tables of repositories, as declared, where they do not exist; what is there is not changed."""
    for repository in invocation.repositories(repositories):
        made = repository.ensure_table(wait_seconds=wait_seconds, progress=_told(invocation, repository))
        invocation.output.line({"table_name": repository.table_name, "made": made})


def diff(invocation: Invocation, repositories: RepositoryNames) -> None:
    """Compare tables with their declarations; exit code 1 if there are differences."""
    found = [
        difference for repository in invocation.repositories(repositories) for difference in repository.table_diff()
    ]
    invocation.output.rows(map(_row, found), columns=_COLUMNS)
    if found:
        raise typer.Exit(ExitCode.NO)
    invocation.output.say("as declared")


def apply(
    invocation: Invocation,
    repositories: RepositoryNames,
    *,
    delete_indexes: DeleteIndexes = False,
    disable: Disable = False,
    skip: Skip = None,
    wait_seconds: WaitSeconds = 300.0,
    yes: Yes = False,
) -> None:
    """Make tables as they are declared: show what would be changed, ask, and change it.

    Items are never deleted. Exit code 1 if something is left that is not as declared. When it is stopped, what was
    changed stays: run it again.
    """
    skipped = _aspects(skip or ())
    loaded = invocation.repositories(repositories)
    found = [repository.table_diff() for repository in loaded]
    planned = [
        each for diff in found for each in diff.chosen(delete_indexes=delete_indexes, disable=disable, skip=skipped)
    ]
    left = [difference for diff in found for difference in diff]
    if planned:
        _show(invocation, "to be changed:", planned)
        invocation.confirm("Change this?", yes=yes)
        left = []
        for repository in loaded:
            changes = repository.apply_table(
                delete_indexes=delete_indexes,
                disable=disable,
                skip=skipped,
                wait_seconds=wait_seconds,
                progress=_told(invocation, repository),
            )
            invocation.output.rows(map(_row, changes.done), columns=("table_name", "what", "declared", "actual"))
            left += changes.left
    if left:
        _show(invocation, "left as it is:", left)
        raise typer.Exit(ExitCode.NO)
    invocation.output.say("as declared")


def delete(
    invocation: Invocation,
    names: Annotated[
        list[str], typer.Argument(metavar="TABLE", help="Physical names as in `tables list`, or MODULE:REPOSITORY.")
    ],
    *,
    wait_seconds: WaitSeconds = 300.0,
    yes: Yes = False,
) -> None:
    """Delete tables with everything in them: say how much that is, and ask."""
    driver = connection_for(invocation.config).driver
    wanted = list(dict.fromkeys(each for name in names for each in _physical_names(invocation, name)))
    found = driver.run(named_tables.summaries(wanted))
    if missing := [name for name in wanted if name not in {each.table_name for each in found}]:
        raise CommandError(f"there is no table {', '.join(missing)}; nothing was deleted", ExitCode.NOT_FOUND)
    invocation.confirm(f"Delete {', '.join(map(_described, found))}?", yes=yes)
    for name in wanted:
        gone = driver.run(
            tables.delete_table(NamedTable(name), wait_seconds=wait_seconds, progress=_silent), each_request=True
        )
        invocation.output.line({"table_name": name, "deleted": gone})


def _physical_names(invocation: Invocation, name: str) -> list[str]:
    return table_names(invocation.declared([name])) if is_specification(name) else [name]


def _described(table: TableSummary) -> str:
    return f"{table.table_name} (about {table.items:,} items, {table.bytes:,} bytes)"


def _aspects(given: Iterable[str]) -> list[Aspect]:
    known = {str(aspect): aspect for aspect in get_args(Aspect)}
    if unknown := [name for name in given if name not in known]:
        raise CommandError(f"--skip takes one of {', '.join(known)}; not {', '.join(unknown)}")
    return [known[name] for name in given]


def _show(invocation: Invocation, title: str, differences: Sequence[TableDifference]) -> None:
    """Say on stderr what is to be changed, or what was left: the answer is what was done."""
    invocation.output.say(title)
    for difference in differences:
        invocation.output.say(f"  {_said(difference)}")


def _said(difference: TableDifference) -> str:
    return (
        str(difference)
        .replace("apply_table(delete_indexes=True)", "--delete-indexes")
        .replace("apply_table(disable=True)", "--disable")
    )


def _row(difference: TableDifference) -> dict[str, object]:
    option = None if difference.needs is None else f"--{difference.needs.replace('_', '-')}"
    return {
        "table_name": difference.table_name,
        "aspect": difference.aspect,
        "what": difference.what,
        "declared": difference.declared,
        "actual": difference.actual,
        "safe": difference.safe,
        "needs": option,
        "change": difference.how if option is None and difference.how else option or "not possible",
        "why_not": difference.why_not,
    }


def _told(invocation: Invocation, repository: AnyRepository) -> tables.Progress:
    return lambda state: invocation.output.say(f"{repository.table_name}: {state}")


def _silent(_: str) -> None:
    """Say nothing: what was deleted is the answer."""
