"""``iam-policy`` and ``template``: what is made from declarations, without asking AWS."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Annotated

import typer

from dynamodb_wrapper.cli.failures import CommandError
from dynamodb_wrapper.cli.invocation import Invocation, RepositoryNames
from dynamodb_wrapper.repositories import cloudformation_template, iam_policy, terraform_configuration


class Format(StrEnum):
    """What a template is for."""

    CLOUDFORMATION = "cloudformation"
    TERRAFORM = "terraform"


def policy(
    invocation: Invocation,
    repositories: RepositoryNames,
    *,
    read_only: Annotated[bool, typer.Option("--read-only", help="Reads only.")] = False,
    no_scan: Annotated[bool, typer.Option("--no-scan", help="No scans.")] = False,
    admin: Annotated[
        bool, typer.Option("--admin", help="Also what `tables create`, `diff` and `apply`, and `health` need.")
    ] = False,
    leading_key: Annotated[
        list[str] | None, typer.Option(help="Only items under partition keys like this: TENANT#42#*; may be repeated.")
    ] = None,
    account: Annotated[str, typer.Option(help="The number of the AWS account.")] = "*",
    partition: Annotated[str, typer.Option(help="aws, aws-cn or aws-us-gov.")] = "aws",
) -> None:
    """Print the IAM policy, as JSON, that allows what repositories do and no more; AWS is not asked.

    The region is that of --region, of the environment, or any.
    """
    if not re.fullmatch(r"[0-9]{12}|\*", account):
        raise CommandError(f"--account is a number of 12 digits; not {account!r}")
    if not re.fullmatch(r"aws(-[a-z]+)*", partition):
        raise CommandError(f"--partition is aws, aws-cn or aws-us-gov; not {partition!r}")
    invocation.output.document(
        iam_policy(
            *invocation.declared(repositories),
            account=account,
            partition=partition,
            read_only=read_only,
            scan=not no_scan,
            admin=admin,
            leading_keys=leading_key,
        )
    )


def template(
    invocation: Invocation,
    format: Annotated[Format, typer.Argument(help="For which tool.")],
    repositories: RepositoryNames,
) -> None:
    """Print a template with the tables of repositories, as JSON; AWS is not asked."""
    made = cloudformation_template if format is Format.CLOUDFORMATION else terraform_configuration
    invocation.output.document(made(invocation.declared(repositories)))
