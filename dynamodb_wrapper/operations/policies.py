"""IAM policies that allow what repositories do on their tables, and nothing else."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations.declaration import GUARD_PREFIX
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.indexes import Index
from dynamodb_wrapper.operations.leading_keys import begins_with, patterns_of

Policy = dict[str, Any]
"""What ``json.dumps`` turns into a policy document."""

READS = ("BatchGetItem", "GetItem", "Query", "Scan")
WRITES = ("BatchWriteItem", "ConditionCheckItem", "DeleteItem", "PutItem", "UpdateItem")
"""Transactions need the actions of what is in them; there is no action for the transaction itself."""
LOOKS = ("DescribeContinuousBackups", "DescribeTable", "DescribeTimeToLive", "ListTagsOfResource")
MANAGES = ("CreateTable", "TagResource", "UpdateContinuousBackups", "UpdateTable", "UpdateTimeToLive")
OF_INDEXES = ("Query", "Scan")
"""All that can be done with an index."""


def policy_of(
    entities: Sequence[Entity[Any]],
    *,
    region: str,
    account: str,
    partition: str,
    read_only: bool,
    scan: bool,
    admin: bool,
    leading_keys: Sequence[str] | Mapping[str, str] | None,
) -> Policy:
    """Return the policy for the tables of these entities, and for their declared indexes.

    Raises:
        ValidationError: An option cannot be, or the keys of a table cannot be told apart by ``leading_keys``.
    """
    given: dict[str, object] = {"region": region, "account": account, "partition": partition}
    for name, value in given.items():
        if not isinstance(value, str) or not value or re.search(r"\s", value):
            raise ValidationError(f"{name} must be a text as it stands in an ARN, not {value!r:.80}", {name: "no text"})
    if not entities:
        raise ValidationError("a policy needs at least one repository")
    prefix = f"arn:{partition}:dynamodb:{region}:{account}:table/"
    tables = list(dict.fromkeys(_arn(entity, prefix) for entity in entities))
    condition: Policy = {}
    if leading_keys is not None:
        patterns = patterns_of(entities, leading_keys) if isinstance(leading_keys, Mapping) else leading_keys
        condition = {"Condition": _condition(entities, patterns, read_only=read_only)}
    reads = [action for action in READS if action != "Scan" or (scan and leading_keys is None)]
    statements = [_statement("ReadItems", reads, tables, condition)]
    if indexes := _indexes(entities, prefix, leading_keys):
        statements.append(_statement("ReadIndexes", [each for each in OF_INDEXES if each in reads], indexes, condition))
    if not read_only:
        statements.append(_statement("WriteItems", WRITES, tables, condition))
    if admin:
        managing = LOOKS if read_only else sorted((*LOOKS, *MANAGES))
        statements.append(_statement("LookAtTables" if read_only else "ManageTables", managing, tables, {}))
    return {"Version": "2012-10-17", "Statement": statements}


def _statement(sid: str, actions: Sequence[str], resources: Sequence[str], condition: Policy) -> Policy:
    return {
        "Sid": sid,
        "Effect": "Allow",
        "Action": [f"dynamodb:{action}" for action in actions],
        "Resource": list(resources),
        **condition,
    }


def _arn(entity: Entity[Any], prefix: str) -> str:
    """Return the ARN of a table, which may be its name already."""
    return entity.table_name if entity.table_name.startswith("arn:") else f"{prefix}{entity.table_name}"


def _indexes(
    entities: Sequence[Entity[Any]], prefix: str, leading_keys: Sequence[str] | Mapping[str, str] | None
) -> list[str]:
    """Return the ARNs of the declared indexes.

    Under a condition on keys, those whose partition key has several attributes are left out: AWS does not say what the
    condition sees of them. Where fields are given, those too that do not begin with them.
    """

    def is_bound(entity: Entity[Any], index: Index) -> bool:
        if isinstance(leading_keys, Mapping):
            return begins_with(entity, index, leading_keys)
        return leading_keys is None or len(index.partition) == 1

    found = [
        f"{_arn(entity, prefix)}/index/{index.name}"
        for entity in entities
        for index in entity.declaration.indexes
        if is_bound(entity, index)
    ]
    return list(dict.fromkeys(found))


def _condition(entities: Sequence[Entity[Any]], patterns: Sequence[str], *, read_only: bool) -> Policy:
    """Return the condition that a request names partition keys, and all of them like these patterns.

    ``ForAllValues`` alone holds for a request that names none, a scan for example; so scans are not allowed, and the
    second part holds only where there is a key.
    """
    if isinstance(patterns, str) or not patterns:
        raise ValidationError("leading_keys takes one pattern or more, as in ['TENANT#42#*']", {"leading_keys": "none"})
    given: Sequence[object] = patterns
    for pattern in given:
        if not isinstance(pattern, str) or not pattern.strip("*?"):
            raise ValidationError(
                f"leading_keys has patterns such as 'TENANT#42#*'; {pattern!r:.80} would allow every key or none",
                {"leading_keys": repr(pattern)},
            )
    for entity in entities:
        if entity.key_tags[entity.partition_attribute] != "S":
            raise ValidationError(
                f"the partition key of table {entity.table_name!r} is no text, so leading_keys cannot be about it",
                {"leading_keys": entity.partition_attribute},
            )
        if entity.declaration.unique and not read_only and not any(p.startswith(GUARD_PREFIX) for p in patterns):
            raise ValidationError(
                f"unique values of table {entity.table_name!r} are kept under keys that begin with {GUARD_PREFIX!r}, "
                f"for all tenants together: whoever may write items needs {GUARD_PREFIX + '*'!r} in leading_keys, too",
                {"leading_keys": f"without {GUARD_PREFIX}*"},
            )
    return {
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": list(patterns)},
        "Null": {"dynamodb:LeadingKeys": "false"},
    }
