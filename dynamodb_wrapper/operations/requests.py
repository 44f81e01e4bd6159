"""Requests as frozen values: what is to be done, before it is known how it is sent.

A request renders as a call of its own, or as an action of a transaction: from the same parts, so that a parameter name
like ``ConditionExpression`` is written in one place. Entries of batches, which know no conditions, are made here too.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from dynamodb_wrapper import expressions
from dynamodb_wrapper.codec import Item, Step, Target, Wire
from dynamodb_wrapper.exceptions import ExpressionError
from dynamodb_wrapper.operations.effects import AnswerReader, Call, Flow, Params, Response, sent

if TYPE_CHECKING:
    from dynamodb_wrapper.expressions import Condition, ExpressionWriter, Resolver
    from dynamodb_wrapper.operations.entity import Entity

R_co = TypeVar("R_co", covariant=True)


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

    def as_action(self) -> Params:
        """Return the request as an action of a transaction."""
        raise NotImplementedError

    def send(self) -> Flow[Response]:
        """Send it alone."""
        return sent(self.as_call())


@dataclass(frozen=True, slots=True)
class Get(Request):
    """Read one item, or some attributes of it."""

    key: Item
    consistent: bool = False
    projection: Sequence[tuple[Step, ...]] | None = None
    read: AnswerReader | None = None

    def as_call(self) -> Call:
        """Return ``GetItem``."""
        params = self._params()
        if self.consistent:
            params["ConsistentRead"] = True
        return Call("GetItem", params, key=self.readable_key, read=self.read)

    def as_action(self) -> Params:
        """Return a ``Get`` of ``TransactGetItems``, whose reads are serializable."""
        return {"Get": self._params()}

    def _params(self) -> Params:
        params: Params = {"TableName": self.table_name, "Key": self.key}
        if self.projection is not None:
            writer = expressions.ExpressionWriter(self.resolver)
            params["ProjectionExpression"] = writer.projection(without_overlaps(self.projection))
            params.update(writer.parameters())
        return params


@dataclass(frozen=True, slots=True)
class Read(Generic[R_co]):
    """One item to be read, alone or in a transaction.

    Attributes:
        request: What is sent.
        decode: From the item to the result; None for an item that is not there for the caller.
        whole: What reads whole models of it; None where it is some attributes that are read.
    """

    request: Get
    decode: Callable[[Item], R_co | None]
    whole: Entity[Any] | None = None

    def send(self) -> Flow[R_co | None]:
        """Read it alone; None when there is no item."""
        return self.result((yield from self.request.send()))

    def result(self, response: Response) -> R_co | None:
        """Return the result of an answer; None when there is no item in it."""
        item = response.get("Item")
        return None if item is None else self.decode(item)


@dataclass(frozen=True, slots=True)
class Put(Request):
    """Write a whole item, replacing what is there, if the condition holds."""

    item: Item
    condition: Condition | None = None

    def as_call(self) -> Call:
        """Return ``PutItem``, which leaves the same item however often it is applied."""
        return Call("PutItem", self._params(), key=self.readable_key)

    def as_action(self) -> Params:
        """Return a ``Put`` of ``TransactWriteItems``."""
        return {"Put": self._params()}

    def _params(self) -> Params:
        return {"TableName": self.table_name, "Item": self.item, **_condition(self.condition, self.resolver)}


@dataclass(frozen=True, slots=True)
class Update(Request):
    """Change attributes of one item, if the condition holds.

    Attributes:
        read: As `Call` has it.
        answers: Whether the answer has the whole new item.
    """

    key: Item
    changes: tuple[tuple[Target, object], ...]
    condition: Condition | None = None
    repeatable: bool = False
    read: AnswerReader | None = None
    answers: bool = True

    def as_call(self) -> Call:
        """Return ``UpdateItem``."""
        params = {**self._params(), "ReturnValues": "ALL_NEW"} if self.answers else self._params()
        return Call("UpdateItem", params, repeatable=self.is_repeatable, key=self.readable_key, read=self.read)

    def as_action(self) -> Params:
        """Return an ``Update`` of ``TransactWriteItems``, which answers with no item."""
        return {"Update": self._params()}

    def _params(self) -> Params:
        return self._plain_params() or self._any_params()

    def _plain_params(self) -> Params | None:
        """Return what `_any_params` does if whole attributes are set to known values, or numbers added; else None.

        That is what most patches do. Its texts depend on the attributes only, and are written once.
        """
        values: dict[str, Wire] = {}
        places: list[tuple[tuple[Step, ...], bool]] = []
        for number, (target, change) in enumerate(self.changes):
            wire: Wire | None = None
            if isinstance(change, expressions.Encoded):
                wire = change.wire
            elif isinstance(change, expressions.Add):
                wire = _added_number(target, change)
            if wire is None or len(target.names) > 1 or wire in values.values():
                return None
            values[f":v{number}"] = wire
            places.append((target.names, isinstance(change, expressions.Add)))
        present = None
        if self.condition is not None:
            if not isinstance(self.condition, expressions.Function) or self.condition.name != "attribute_exists":
                return None
            present = self.resolver.target(self.condition.path.steps).names
        texts = _plain_texts(tuple(places), present)
        if texts is None:
            return None
        params = {"TableName": self.table_name, "Key": self.key, **texts, "ExpressionAttributeValues": values}
        params["ExpressionAttributeNames"] = dict(params["ExpressionAttributeNames"])
        return params

    def _any_params(self) -> Params:
        writer = expressions.ExpressionWriter(self.resolver)
        params = {
            "TableName": self.table_name,
            "Key": self.key,
            "UpdateExpression": writer.update(self.changes),
            **_written(self.condition, writer),
        }
        return {**params, **writer.parameters()}

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
        return Call("DeleteItem", {**self._params(), "ReturnValues": "ALL_OLD"}, key=self.readable_key)

    def as_action(self) -> Params:
        """Return a ``Delete`` of ``TransactWriteItems``."""
        return {"Delete": self._params()}

    def _params(self) -> Params:
        return {"TableName": self.table_name, "Key": self.key, **_condition(self.condition, self.resolver)}


@dataclass(frozen=True, slots=True)
class Check(Request):
    """Let a transaction happen only if a condition holds for an item that it does not write."""

    key: Item
    condition: Condition

    def as_call(self) -> Call:
        """Return nothing.

        Raises:
            ExpressionError: DynamoDB checks conditions of items that are not written in transactions only.
        """
        raise ExpressionError("a check is an action of a transaction; it cannot be sent alone")

    def as_action(self) -> Params:
        """Return a ``ConditionCheck`` of ``TransactWriteItems``."""
        condition = _condition(self.condition, self.resolver)
        return {"ConditionCheck": {"TableName": self.table_name, "Key": self.key, **condition}}


def put_entry(item: Item) -> Params:
    """Return a ``PutRequest`` of ``BatchWriteItem``."""
    return {"PutRequest": {"Item": item}}


def put_body(item: bytes) -> bytes:
    """Return the JSON of a ``PutRequest`` from that of its item."""
    return b'{"PutRequest":{"Item":%b}}' % item


def delete_entry(key: Item) -> Params:
    """Return a ``DeleteRequest`` of ``BatchWriteItem``."""
    return {"DeleteRequest": {"Key": key}}


def without_overlaps(paths: Iterable[tuple[Step, ...]]) -> list[tuple[Step, ...]]:
    """Return the paths without repeats and without those inside another one: DynamoDB refuses overlaps."""
    unique = list(dict.fromkeys(paths))
    return [path for path in unique if not any(other != path and path[: len(other)] == other for other in unique)]


def _condition(condition: Condition | None, resolver: Resolver) -> dict[str, Any]:
    """Return the parameters of a condition, where there is one."""
    if condition is None:
        return {}
    writer = expressions.ExpressionWriter(resolver)
    return {**_written(condition, writer), **writer.parameters()}


def _written(condition: Condition | None, writer: ExpressionWriter) -> dict[str, Any]:
    if condition is None:
        return {}
    return {
        "ConditionExpression": writer.condition(condition),
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


@lru_cache(maxsize=1000)
def _plain_texts(changes: tuple[tuple[tuple[Step, ...], bool], ...], present: tuple[Step, ...] | None) -> Params | None:
    """Return the expressions that set attributes to values of their own, or add these, where an attribute is there."""
    places = [place for place, _ in changes]
    names = dict.fromkeys((*places, *([] if present is None else [present])))
    placeholders = {place: f"#n{number}" for number, place in enumerate(names)}
    clauses: dict[str, list[str]] = {"SET": [], "ADD": []}
    for number, (place, is_added) in enumerate(changes):
        clauses["ADD" if is_added else "SET"].append(f"{placeholders[place]}{' ' if is_added else ' = '}:v{number}")
    update = " ".join(f"{clause} {', '.join(parts)}" for clause, parts in clauses.items() if parts)
    if (
        len(set(places)) < len(places)
        or len(update) > expressions.MAX_EXPRESSION_BYTES
        or any(len(place) > 1 for place in names)
    ):
        return None
    texts: Params = {
        "UpdateExpression": update,
        "ExpressionAttributeNames": {placeholder: place[0] for place, placeholder in placeholders.items()},
    }
    if present is not None:
        texts["ConditionExpression"] = f"attribute_exists({placeholders[present]})"
        texts["ReturnValuesOnConditionCheckFailure"] = "ALL_OLD"
    return texts


def _added_number(target: Target, change: expressions.Add) -> Wire | None:
    """Return the number that is added; None for what is none, or is not for that place."""
    if isinstance(change.value, set | frozenset) or not target.takes_numbers_like(change.value):
        return None
    wire = target.part(change.value)
    return wire if "N" in wire else None


def _accumulates(target: Target, change: object) -> bool:
    """Whether a change adds up when it is applied twice; members of a set do not, places in a list may."""
    if any(isinstance(step, int) for step in target.names):  # the elements behind a removed one move up
        return True
    if isinstance(change, expressions.Add):
        return not isinstance(change.value, set | frozenset)
    return isinstance(change, expressions.Append | expressions.Prepend)
