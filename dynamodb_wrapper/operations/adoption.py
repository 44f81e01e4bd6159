"""The flow that makes guards for items written before their fields were declared unique."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from dynamodb_wrapper.codec import Item
from dynamodb_wrapper.exceptions import (
    ConditionFailedError,
    DynamoDBWrapperError,
    TransactionCanceledError,
    UniqueViolationError,
)
from dynamodb_wrapper.operations import transactions, unique
from dynamodb_wrapper.operations.declaration import Unique
from dynamodb_wrapper.operations.effects import Flow, call, together
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.requests import Check
from dynamodb_wrapper.operations.selection import Selection
from dynamodb_wrapper.operations.unique import Plan, StaleReadError
from dynamodb_wrapper.operations.writes import Write

_AT_ONCE = 8


def ensure_unique(entity: Entity[Any]) -> Flow[list[UniqueViolationError]]:
    """Make the guards that items of the table lack; return one error for each value that two items have.

    Safe while others write, and to run again: each guard is made in a transaction that checks that its item still has
    the value.
    """
    if not entity.declaration.unique:
        return []
    selection = Selection(entity, entity.declaration.table_key, dict, consistent=True)
    violations: list[UniqueViolationError] = []
    start_key: Item | None = None
    while True:
        response = yield from call("Scan", selection.params(start_key=start_key))
        found = yield from together(_holding(entity, response.get("Items", [])), at_most=_AT_ONCE)
        violations += [violation for violation in found if violation is not None]
        start_key = response.get("LastEvaluatedKey")
        if start_key is None:
            return violations


def _holding(entity: Entity[Any], items: Sequence[Item]) -> Iterator[Flow[UniqueViolationError | None]]:
    for item in items:
        for guard, entry in unique.guards_of(entity, item).items():
            yield _hold(entity, entity.key_of(item), guard, entry)


def _hold(entity: Entity[Any], key: Item, guard: str, entry: Unique) -> Flow[UniqueViolationError | None]:
    """Make one guard, if the item still needs it; return the error of a value that is another item's."""
    readable = entity.readable_key(key)

    def refused(error: ConditionFailedError) -> DynamoDBWrapperError:
        return StaleReadError("the item was changed by another writer", error)

    def attempt(known: unique.Known) -> Flow[None]:
        stored = yield from unique.read(entity, key)
        if guard not in unique.guards_of(entity, stored):
            return
        check = Check(entity.table_name, entity.codec, readable, key, unique.as_read(entity, stored))
        plan = Plan(Write(entity, check, refused, lambda _: None), stored, {guard: entry})
        yield from transactions.submit_plans([plan], known)

    try:
        yield from transactions.until_as_read(attempt)
    except TransactionCanceledError as error:
        if isinstance(error.reasons[0].error, UniqueViolationError):
            return error.reasons[0].error
        raise
    return None
