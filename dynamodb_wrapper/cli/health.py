"""``health``: can DynamoDB be used, from here, with these credentials?"""

from __future__ import annotations

from typing import Annotated

import typer

from dynamodb_wrapper.cli.failures import ExitCode
from dynamodb_wrapper.cli.invocation import Invocation
from dynamodb_wrapper.cli.loading import is_specification
from dynamodb_wrapper.transport import connection_for


def health(
    invocation: Invocation,
    *,
    table: Annotated[
        str | None, typer.Option(help="Also whether a table can be used: its base name, or MODULE:REPOSITORY.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that the answer may take.", min=0.001)] = 5.0,
) -> None:
    """Say whether DynamoDB answers, accepts the credentials, and has a table; exit code 1 if not."""
    config = invocation.config
    name: str | None = None
    if table is not None:
        is_repository = is_specification(table)
        name = invocation.declared([table])[0].table_name if is_repository else config.get_table_name(table)
    report = connection_for(config).health_report(timeout_seconds=timeout, table_name=name)
    invocation.output.record({**report.as_dict(), "checked_at": invocation.in_users_zone(report.checked_at)})
    if not report.healthy:
        raise typer.Exit(ExitCode.NO)
