"""Flows that compare tables with their declarations, and bring them nearer to these."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any, get_args

from dynamodb_wrapper.exceptions import (
    AccessDeniedError,
    DynamoDBWrapperError,
    LimitExceededError,
    TableInUseError,
    ValidationError,
)
from dynamodb_wrapper.operations import tables
from dynamodb_wrapper.operations.declared_tables import declared_table
from dynamodb_wrapper.operations.effects import Flow, call, together
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.table_comparison import TableState, compared
from dynamodb_wrapper.operations.table_diff import Aspect, TableChanges, TableDiff, TableDifference
from dynamodb_wrapper.operations.tables import Progress

_REFUSALS = (ValidationError, LimitExceededError, AccessDeniedError, TableInUseError)
"""How DynamoDB refuses one change, which is no reason to leave the others."""
_MOST_TRIES = 5
"""How often a change is sent to a table that somebody else is changing as well."""


def table_diff(entities: Sequence[Entity[Any]]) -> Flow[TableDiff]:
    """Return what is not as declared in the tables of these entities."""
    found = yield from together((_differences(entity) for entity in entities), at_most=len(entities))
    return TableDiff(tuple(difference for each in found for difference in each))


def apply_tables(
    entities: Sequence[Entity[Any]],
    *,
    delete_indexes: bool,
    disable: bool,
    skip: Collection[Aspect],
    wait_seconds: float,
    progress: Progress,
) -> Flow[TableChanges]:
    """Change what can be changed of these tables, one table after another.

    Raises:
        ValidationError: ``skip`` names what there is not.
        TableInUseError: A table, or an index of it, is not active after ``wait_seconds``.
    """
    if isinstance(skip, str) or (unknown := set(skip) - set(get_args(Aspect))):
        wrong = skip if isinstance(skip, str) else ", ".join(sorted(map(repr, unknown)))
        raise ValidationError(f"skip takes some of {', '.join(get_args(Aspect))}; not {wrong}", {"skip": str(wrong)})
    asked = {name for name, given in (("delete_indexes", delete_indexes), ("disable", disable)) if given}
    changes = []
    for entity in entities:
        changes.append((yield from _apply(entity, asked, skip, wait_seconds, progress)))
    return TableChanges(
        tuple(difference for each in changes for difference in each.done),
        tuple(difference for each in changes for difference in each.left),
    )


def _apply(
    entity: Entity[Any], asked: Collection[str], skip: Collection[Aspect], wait_seconds: float, progress: Progress
) -> Flow[TableChanges]:
    """Change one thing at a time, as DynamoDB demands, and look at the table anew before each.

    So a run that was cut off goes on where it was, and what somebody else has changed meanwhile is not changed again.
    """
    done: list[TableDifference] = []
    refused: dict[tuple[str, bool], tuple[TableDifference, str]] = {}
    tries: Counter[tuple[str, bool]] = Counter()
    if (yield from tables.described(entity)) is not None:
        yield from tables.wait_until(entity, "ACTIVE", wait_seconds=wait_seconds, progress=progress)
    while True:
        differences = yield from _differences(entity)
        tried = {*map(_identity, done), *refused}
        possible = [each for each in differences if _identity(each) not in tried and each.is_asked(asked, skip)]
        is_another_table = any(each.aspect == "key" for each in differences)  # whoever it belongs to, it is not this
        if is_another_table or not possible:
            return _outcome(done, refused, differences, skip)
        change = possible[0]
        progress(f"changing {change.what}")
        error = yield from _sent(change)
        tries[_identity(change)] += 1
        if error is None:
            done.append(change)
        elif not isinstance(error, TableInUseError) or tries[_identity(change)] == _MOST_TRIES:
            refused[_identity(change)] = change, error.message
        if error is None or isinstance(error, TableInUseError):
            yield from tables.wait_until(entity, "ACTIVE", wait_seconds=wait_seconds, progress=progress)


def _sent(change: TableDifference) -> Flow[DynamoDBWrapperError | None]:
    """Send a change; return the error with which DynamoDB refuses it."""
    assert change.step is not None
    try:
        yield from call(change.step.operation, change.step.params)
    except _REFUSALS as error:
        return error
    return None


def _outcome(
    done: list[TableDifference],
    refused: dict[tuple[str, bool], tuple[TableDifference, str]],
    differences: list[TableDifference],
    skip: Collection[Aspect],
) -> TableChanges:
    """Return what was done: also what was refused and is there now, because an answer was lost or by somebody else."""
    still = set(map(_identity, differences))
    done = [*done, *(change for change, _ in refused.values() if _identity(change) not in still)]
    changed = set(map(_identity, done))
    reasons = {identity: reason for identity, (_, reason) in refused.items()}
    left = [_with_reason(each, reasons, skip) for each in differences if _identity(each) not in changed]
    return TableChanges(tuple(done), tuple(left))


def _differences(entity: Entity[Any]) -> Flow[list[TableDifference]]:
    return compared(declared_table(entity), (yield from _state(entity)))


def _state(entity: Entity[Any]) -> Flow[TableState]:
    """Read what is to be compared; backups and tags only where something is declared of them."""
    options = entity.declaration.options
    table = yield from tables.described(entity)
    if table is None or table["TableStatus"] in ("CREATING", "DELETING"):
        return TableState(table)
    ttl = yield from tables.ttl_attribute(entity)
    days = None if options.recovery_days is None else (yield from tables.recovery_days(entity))
    tags = (yield from _tags(str(table["TableArn"]))) if options.tags else {}
    return TableState(table, ttl, days, tags)


def _tags(arn: str) -> Flow[dict[str, str]]:
    tags: dict[str, str] = {}
    token: str | None = None
    while True:
        response = yield from call("ListTagsOfResource", {"ResourceArn": arn} | ({"NextToken": token} if token else {}))
        tags |= {tag["Key"]: tag["Value"] for tag in response.get("Tags", ())}
        token = response.get("NextToken")
        if token is None:
            return tags


def _identity(difference: TableDifference) -> tuple[str, bool]:
    """Return what tells two steps apart: making an index, for example, from deleting one of that name."""
    return difference.what, difference.actual is None


def _with_reason(
    difference: TableDifference, refused: dict[tuple[str, bool], str], skip: Collection[Aspect]
) -> TableDifference:
    if difference.aspect in skip:
        return replace(difference, why_not="skipped")
    reason = refused.get(_identity(difference))
    return difference if reason is None else replace(difference, why_not=f"DynamoDB refused: {reason}", needs=None)
