"""What every command is given: the options that all commands have, as a configuration, repositories and an output."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import datetime
from functools import cached_property
from typing import Annotated, Any

import typer

import dynamodb_wrapper
from dynamodb_wrapper.cli.failures import CommandError, ExitCode, boundary
from dynamodb_wrapper.cli.loading import AnyRepository, load_either, load_repository
from dynamodb_wrapper.cli.output import Output
from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.config.fields import ConfigOptions
from dynamodb_wrapper.repositories.tables import TableFoundation
from dynamodb_wrapper.utils import TimezoneManager

EMBEDDED_NAME = "cli"
"""Which embedded server ``--embedded`` is; a module that is loaded may fill it."""

_PANEL = "For every command"

RepositoryName = Annotated[
    str, typer.Argument(metavar="MODULE:REPOSITORY", help="A repository class, such as shop.repositories:Orders.")
]
RepositoryNames = Annotated[
    list[str],
    typer.Argument(metavar="MODULE:REPOSITORY", help="Repository classes, such as shop.repositories:Orders."),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]


@dataclass(frozen=True, slots=True)
class Shared:
    """The options that every command has, before or after its name; None and False are not given."""

    profile: str | None = None
    region: str | None = None
    endpoint: str | None = None
    embedded: bool = False
    timezone: str | None = None
    as_json: bool = False

    def overridden(self, nearer: Shared) -> Shared:
        """Return these options, where they are not given nearer to the command's arguments."""
        names = [each.name for each in fields(Shared)]
        given = {name: value for name in names if (value := getattr(nearer, name)) not in (None, False)}
        return replace(self, **given)

    @property
    def settings(self) -> ConfigOptions:
        """What was given, as settings of the configuration.

        Raises:
            CommandError: Two options contradict each other.
        """
        if self.embedded and (self.endpoint is not None or self.profile is not None):
            other = "--endpoint" if self.endpoint is not None else "--profile"
            raise CommandError(f"--embedded is a server inside this process, so {other} cannot be given with it")
        settings: ConfigOptions = {}
        if self.profile is not None:
            settings["profile_name"] = self.profile
        if self.region is not None:
            settings["region_name"] = self.region
        if self.endpoint is not None:
            settings["endpoint_url"] = self.endpoint
        if self.timezone is not None:
            settings["user_timezone"] = self.timezone
        return settings

    def config(self) -> DynamoDBConfig:
        """Return the configuration: what was given, then the environment, then the defaults.

        Raises:
            CommandError: Two options contradict each other.
            ValidationError: A value is wrong, here or in the environment.
        """
        settings = self.settings
        if self.embedded:
            # A factory lets the environment win, which options do not.
            return DynamoDBConfig.embedded(EMBEDDED_NAME).model_copy(update=dict(settings))
        return DynamoDBConfig(**settings)


class Invocation:
    """One command as it was called.

    Attributes:
        shared: The options that every command has.
        output: Where its answer goes.
    """

    def __init__(self, shared: Shared) -> None:
        self.shared = shared
        self.output = Output(as_json=shared.as_json)

    @cached_property
    def config(self) -> DynamoDBConfig:
        """The configuration of the command.

        Raises:
            CommandError: Two options contradict each other.
            ValidationError: A value is wrong, here or in the environment.
        """
        return self.shared.config()

    def in_users_zone(self, moment: datetime) -> datetime:
        """Return the same instant in the zone in which the user is shown times."""
        zones = TimezoneManager(self.config.default_timezone, user_timezone=self.config.user_timezone)
        return zones.to_timezone(moment)

    def repository(self, specification: str) -> AnyRepository:
        """Return the repository of ``module:Class``.

        Raises:
            CommandError: There is none.
            DeclarationError: The class declares no usable table.
        """
        return load_repository(specification, self.config)

    def repositories(self, specifications: Sequence[str]) -> list[AnyRepository]:
        """Return the repositories of several ``module:Class``."""
        return [self.repository(specification) for specification in specifications]

    def declared(self, specifications: Sequence[str]) -> list[TableFoundation[Any]]:
        """Return the repositories, of either colour, of several ``module:Class``, for what does not ask AWS."""
        return [load_either(specification, self.config) for specification in specifications]

    def confirm(self, question: str, *, yes: bool) -> None:
        """Go on if the user wants that.

        Raises:
            CommandError: The user said no, or cannot be asked and did not say ``--yes``.
        """
        if yes:
            return
        if not sys.stdin.isatty():
            raise CommandError(f"{question} Nobody can be asked here: say --yes. Nothing was done.")
        if not typer.confirm(question, err=True):
            raise CommandError("nothing was done", ExitCode.NO)


def shared_options(
    *,
    profile: Annotated[
        str | None, typer.Option(help="Profile of the AWS configuration files.", rich_help_panel=_PANEL)
    ] = None,
    region: Annotated[str | None, typer.Option(help="AWS region.", rich_help_panel=_PANEL)] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="Another DynamoDB, such as http://localhost:8000.", rich_help_panel=_PANEL)
    ] = None,
    embedded: Annotated[
        bool,
        typer.Option(
            "--embedded", help="A DynamoDB inside this process, empty and gone when it ends.", rich_help_panel=_PANEL
        ),
    ] = False,
    timezone: Annotated[
        str | None, typer.Option(help="Show times in this zone, such as Europe/London.", rich_help_panel=_PANEL)
    ] = None,
    as_json: Annotated[
        bool, typer.Option("--json", help="Answer with JSON, one line for each thing.", rich_help_panel=_PANEL)
    ] = False,
) -> Shared:
    """Return the options that every command has."""
    return Shared(profile, region, endpoint, embedded, timezone, as_json)


_SHARED = tuple(inspect.signature(shared_options, eval_str=True).parameters.values())


def root(
    context: typer.Context,
    *,
    version: Annotated[bool, typer.Option("--version", help="Say the version, and end.")] = False,
    **shared: Any,
) -> None:
    """Look at, manage and move what your repositories keep in Amazon DynamoDB."""
    if version:
        with boundary():
            sys.stdout.write(f"{dynamodb_wrapper.__version__}\n")
        raise typer.Exit(ExitCode.OK)
    context.obj = shared_options(**shared)
    if context.invoked_subcommand is None and (text := context.get_help()):  # with rich, it is printed already
        sys.stdout.write(f"{text}\n")


def group(context: typer.Context, **shared: Any) -> None:
    """Take the options that every command has, between the name of a group and that of a command in it."""
    outer: Shared = context.obj or Shared()
    context.obj = outer.overridden(shared_options(**shared))


def connected(command: Callable[..., None]) -> Callable[..., None]:
    """Return a command for Typer: with the options of all commands, and with errors told in one line.

    Args:
        command: Takes an `Invocation`, then its own arguments and options as Typer reads them.
    """

    def run(context: typer.Context, **values: Any) -> None:
        with boundary():
            given = shared_options(**{option.name: values.pop(option.name) for option in _SHARED})
            outer: Shared = context.obj or Shared()
            command(Invocation(outer.overridden(given)), **values)

    run.__name__, run.__doc__ = command.__name__, command.__doc__
    _, *own = inspect.signature(command, eval_str=True).parameters.values()
    return with_shared_options(run, own)


def with_shared_options(
    run: Callable[..., None], own: Iterable[inspect.Parameter] | None = None
) -> Callable[..., None]:
    """Return a function of which Typer sees its own parameters, and then the options that every command has.

    Args:
        run: The function; it is changed.
        own: Its own parameters; by default what its signature says.
    """
    own = inspect.signature(run, eval_str=True).parameters.values() if own is None else own
    context = inspect.Parameter("context", inspect.Parameter.KEYWORD_ONLY, annotation=typer.Context)
    named = [each for each in own if each.kind is not inspect.Parameter.VAR_KEYWORD and each.name != context.name]
    asked = [each.replace(kind=inspect.Parameter.KEYWORD_ONLY) for each in (context, *named, *_SHARED)]
    run.__signature__ = inspect.Signature(asked)  # type: ignore[attr-defined]
    run.__annotations__ = {each.name: each.annotation for each in asked}
    return run
