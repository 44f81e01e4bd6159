"""All commands: what they are called, and which function each one is."""

from __future__ import annotations

import io
import os
import sys
from collections.abc import Callable, Mapping

import typer

from dynamodb_wrapper.cli import configuration, health, items, migrate, policies, runs, tables, transfer
from dynamodb_wrapper.cli.failures import boundary
from dynamodb_wrapper.cli.invocation import connected, group, root, with_shared_options

_CONTEXT = {"help_option_names": ["-h", "--help"]}


app = typer.Typer(name="dynamodb-wrapper", pretty_exceptions_enable=False)
app.callback(context_settings=_CONTEXT, invoke_without_command=True)(with_shared_options(root))
_in_group = with_shared_options(group)


def _group(name: str, about: str) -> typer.Typer:
    """Return a new group of commands."""
    made = typer.Typer(no_args_is_help=True)
    made.callback(help=about, context_settings=_CONTEXT)(_in_group)
    app.add_typer(made, name=name)
    return made


def _add(commands: Mapping[str, Callable[..., None]], *, to: typer.Typer = app) -> None:
    """Add commands by name."""
    for name, command in commands.items():
        to.command(name, context_settings=_CONTEXT)(connected(command))


_add(
    {
        "health": health.health,
        "get": items.get,
        "query": items.query,
        "scan": items.scan,
        "describe": items.describe,
        "export": transfer.export,
        "import": transfer.import_,
        "migrate": migrate.migrate,
        "iam-policy": policies.policy,
        "template": policies.template,
    }
)
_add({"show": configuration.show}, to=_group("config", "The configuration: settings, and where they come from."))
_add(
    {
        "list": tables.list_tables,
        "create": tables.create,
        "diff": tables.diff,
        "apply": tables.apply,
        "delete": tables.delete,
    },
    to=_group("tables", "Tables: list, create, compare with their declarations, change, delete."),
)
_add(
    {"list": runs.list_runs, "show": runs.show, "watch": runs.watch},
    to=_group("runs", "Runs of pipelines: list, show, watch. Times are in the user's zone."),
)


def run() -> None:
    """Run the command that the process was called with."""
    if None in (sys.stdin, sys.stdout, sys.stderr):  # closed by whoever calls
        nowhere = open(os.devnull, "r+", encoding="utf-8")  # noqa: SIM115 - until the process ends
        sys.stdin, sys.stdout, sys.stderr = (each or nowhere for each in (sys.stdin, sys.stdout, sys.stderr))
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a terminal without a letter still shows the others
    try:
        with boundary():  # --help and --version are answers of no command
            try:
                app(prog_name="dynamodb-wrapper")
            finally:
                sys.stdout.flush()
    except typer.Exit as ended:
        sys.exit(ended.exit_code)
