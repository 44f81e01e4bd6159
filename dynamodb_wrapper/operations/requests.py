"""Requests as frozen values: what is to be done, before it is known how it is sent.

A request renders as a single call. The same parts serve as an entry of a batch or of a transaction, so that a
parameter name like ``ConditionExpression`` is written in one place.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from dynamodb_wrapper.codec import Item, Step, Target
from dynamodb_wrapper.expressions import Add, Append, Condition, ExpressionWriter, Prepend, Resolver
from dynamodb_wrapper.operations.effects import Call, Flow, Params, Response, call


@dataclass(frozen=True, slots=True)
class Request:
    """What every request on one item has.

    Attributes:
        table_name: The physical table.
        resolver: Knows what the paths of the request's expressions mean.
        readable_key: The key as the caller has it, for errors.
    """

    table_name: str
    resolver: Resolver
    readable_key: dict[str, object]

    def as_call(self) -> Call:
        """Return the request as a call of its own."""
        raise NotImplementedError

    def send(self) -> Flow[Response]:
        """Send it alone."""
        single = self.as_call()
        return call(single.operation, single.params, repeatable=single.repeatable, key=single.key)


@dataclass(frozen=True, slots=True)
class Get(Request):
    """Read one item, or some attributes of it."""

    key: Item
    consistent: bool = False
    projection: Sequence[tuple[Step, ...]] | None = None

    def as_call(self) -> Call:
        """Return ``GetItem``."""
        writer = ExpressionWriter(self.resolver)
        params: Params = {"TableName": self.table_name, "Key": self.key}
        if self.consistent:
            params["ConsistentRead"] = True
        if self.projection is not None:
            params["ProjectionExpression"] = writer.projection(without_overlaps(self.projection))
        return Call("GetItem", {**params, **writer.parameters()}, key=self.readable_key)


@dataclass(frozen=True, slots=True)
class Put(Request):
    """Write a whole item, replacing what is there, if the condition holds."""

    item: Item
    condition: Condition | None = None

    def as_call(self) -> Call:
        """Return ``PutItem``."""
        writer = ExpressionWriter(self.resolver)
        params = {"TableName": self.table_name, "Item": self.item, **_condition(self.condition, writer)}
        return Call(
            "PutItem", {**params, **writer.parameters()}, repeatable=self.condition is None, key=self.readable_key
        )


@dataclass(frozen=True, slots=True)
class Update(Request):
    """Change attributes of one item, if the condition holds."""

    key: Item
    changes: tuple[tuple[Target, object], ...]
    condition: Condition | None = None
    repeatable: bool = False

    def as_call(self) -> Call:
        """Return ``UpdateItem``, answering with the whole new item."""
        writer = ExpressionWriter(self.resolver)
        params = {
            "TableName": self.table_name,
            "Key": self.key,
            "UpdateExpression": writer.update(self.changes),
            "ReturnValues": "ALL_NEW",
            **_condition(self.condition, writer),
        }
        return Call(
            "UpdateItem", {**params, **writer.parameters()}, repeatable=self.is_repeatable, key=self.readable_key
        )

    @property
    def is_repeatable(self) -> bool:
        """Whether applying it twice leaves what applying it once leaves."""
        return self.repeatable and not any(_accumulates(target, change) for target, change in self.changes)


@dataclass(frozen=True, slots=True)
class Delete(Request):
    """Delete one item, if the condition holds."""

    key: Item
    condition: Condition | None = None

    def as_call(self) -> Call:
        """Return ``DeleteItem``, answering with what was there."""
        writer = ExpressionWriter(self.resolver)
        params = {
            "TableName": self.table_name,
            "Key": self.key,
            "ReturnValues": "ALL_OLD",
            **_condition(self.condition, writer),
        }
        return Call(
            "DeleteItem", {**params, **writer.parameters()}, repeatable=self.condition is None, key=self.readable_key
        )


def without_overlaps(paths: Iterable[tuple[Step, ...]]) -> list[tuple[Step, ...]]:
    """Return the paths without repeats and without those inside another one: DynamoDB refuses overlaps."""
    unique = list(dict.fromkeys(paths))
    return [path for path in unique if not any(other != path and path[: len(other)] == other for other in unique)]


def _condition(condition: Condition | None, writer: ExpressionWriter) -> dict[str, Any]:
    if condition is None:
        return {}
    return {
        "ConditionExpression": writer.condition(condition),
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def _accumulates(target: Target, change: object) -> bool:
    """Whether a change adds up when it is applied twice; members of a set do not, places in a list may."""
    if any(isinstance(step, int) for step in target.names):  # the elements behind a removed one move up
        return True
    if isinstance(change, Add):
        return not isinstance(change.value, set | frozenset)
    return isinstance(change, Append | Prepend)
