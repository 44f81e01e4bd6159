"""Templates and policies for several repositories together, made from their declarations without asking AWS."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.policies import Policy, policy_of
from dynamodb_wrapper.operations.templates import Template, cloudformation_of, terraform_of
from dynamodb_wrapper.repositories.tables import TableFoundation

AnyRepository = TableFoundation[Any]
"""A repository of any model and either colour."""


def cloudformation_template(repositories: Iterable[AnyRepository]) -> Template:
    """Return a CloudFormation template with the tables of repositories, as a dict for ``json.dumps``.

    Repositories of the same table make one resource together. A table with replicas is an
    ``AWS::DynamoDB::GlobalTable``. Every table is retained when the stack goes. CDK takes the file with ``CfnInclude``.

    Raises:
        DeclarationError: Two repositories say different things of one table.
        ValidationError: There is no repository, or a table cannot be in a template.
    """
    return cloudformation_of(_entities(repositories))


def terraform_configuration(repositories: Iterable[AnyRepository]) -> Template:
    """Return a Terraform configuration with the tables of repositories, as a dict for a ``.tf.json`` file.

    Repositories of the same table make one ``aws_dynamodb_table`` together. Terraform refuses to destroy them
    (``prevent_destroy``). The provider must be 5.100 or newer; 6.30 where indexes have keys of several attributes, or
    warm throughput is declared.

    Raises:
        DeclarationError: Two repositories say different things of one table.
        ValidationError: There is no repository, or a table cannot be in a template.
    """
    return terraform_of(_entities(repositories))


def iam_policy(
    *repositories: AnyRepository,
    region: str | None = None,
    account: str = "*",
    partition: str = "aws",
    read_only: bool = False,
    scan: bool = True,
    admin: bool = False,
    leading_keys: Sequence[str] | None = None,
) -> Policy:
    """Return the IAM policy that allows what repositories do and no more, as a dict for ``json.dumps``.

    Reads and writes of items on their tables, queries (and scans) on the declared indexes. Transactions and batches are
    covered; PartiQL, streams, backups and deleting tables are not. For a table encrypted with a KMS key of yours, the
    key's own policy has to allow its use.

    Args:
        repositories: Of either colour.
        region: The region in the ARNs; by default that of the repositories' configurations, else ``"*"``. In a
            CloudFormation template, ``"${AWS::Region}"`` within ``Fn::Sub``.
        account: The number of the AWS account.
        partition: ``"aws"``, ``"aws-cn"`` or ``"aws-us-gov"``.
        read_only: Reads only.
        scan: Whether tables and indexes may be scanned.
        admin: Also what `create_table`, `table_diff`, `apply_table` and `health_check` need; with ``read_only``, what
            `table_diff` and `health_check` do.
        leading_keys: Patterns of partition keys, such as ``["TENANT#42#*"]``: only items under these, and no scans.
            Indexes are bound by their own partition key; those of several attributes are left out.

    Raises:
        ValidationError: There is no repository, they are in several regions, or an option cannot be.
    """
    return policy_of(
        _entities(repositories),
        region=region or _region_of(repositories),
        account=account,
        partition=partition,
        read_only=read_only,
        scan=scan,
        admin=admin,
        leading_keys=leading_keys,
    )


def table_names(repositories: Iterable[AnyRepository]) -> list[str]:
    """Return the physical names of the tables that repositories keep, each once; some keep more than one."""
    return list(dict.fromkeys(entity.table_name for entity in _entities(repositories)))


def _region_of(repositories: Iterable[AnyRepository]) -> str:
    regions = sorted({each.config.region_name or "*" for each in repositories})
    if len(regions) > 1:
        raise ValidationError(
            f"the repositories are in the regions {', '.join(regions)}: make a policy for each, or say region='*'",
            {"region": "several"},
        )
    return regions[0] if regions else "*"


def _entities(repositories: Iterable[AnyRepository]) -> list[Entity[Any]]:
    return [entity for repository in repositories for entity in repository._entities]
