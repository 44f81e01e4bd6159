"""All commands: what they are called, and which function each one is."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping

import typer

from dynamodb_wrapper.cli import health, transfer
from dynamodb_wrapper.cli.invocation import connected, root, with_shared_options

_CONTEXT = {"help_option_names": ["-h", "--help"]}


app = typer.Typer(name="dynamodb-wrapper", pretty_exceptions_enable=False)
app.callback(context_settings=_CONTEXT, invoke_without_command=True)(
    with_shared_options(root, inspect.signature(root, eval_str=True).parameters.values())
)


def _add(commands: Mapping[str, Callable[..., None]], *, group: str | None = None, about: str = "") -> None:
    """Add commands by name, to the whole or to a group of their own."""
    to = app
    if group is not None:
        to = typer.Typer(help=about, no_args_is_help=True)
        app.add_typer(to, name=group)
    for name, command in commands.items():
        to.command(name, context_settings=_CONTEXT)(connected(command))


_add({"health": health.health})
_add({"export": transfer.export, "import": transfer.import_})


def run() -> None:
    """Run the command that the process was called with."""
    app(prog_name="dynamodb-wrapper")
