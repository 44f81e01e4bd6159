"""Flows that bring stored items up to date: before they are changed, because they were read, or one by one.

An item is rewritten only as it was read: the write is conditional on every attribute that was read, and touches only
those that the upcasters change. So it never undoes what another writer did meanwhile. It is no change of what the item
says: the version of optimistic locking and the times stay.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item, Wire, item_json
from dynamodb_wrapper.exceptions import (
    ConditionFailedError,
    DynamoDBWrapperError,
    SchemaVersionError,
    TransactionCanceledError,
    UniqueViolationError,
    ValidationError,
)
from dynamodb_wrapper.expressions import Encoded, Remove, Stored, every
from dynamodb_wrapper.operations import transactions, unique, writes
from dynamodb_wrapper.operations.capacity import ConsumedCapacity
from dynamodb_wrapper.operations.effects import Flow, Response, sleep, together
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.requests import Read, Update
from dynamodb_wrapper.operations.versions import stored_place
from dynamodb_wrapper.operations.writes import Guarding, Write

T = TypeVar("T", bound=BaseModel)
R = TypeVar("R")

_TRIES = 10
_PAUSE_SECONDS = 0.05
_AT_ONCE = 8


class Outcome(Enum):
    """What became of an older item."""

    REWRITTEN = "it was rewritten"
    CURRENT = "it is of the current version already: another writer was faster"
    GONE = "it was deleted by another writer"


@dataclass(frozen=True, slots=True)
class Rewritten:
    """How rewriting an item went.

    Attributes:
        outcome: What became of it.
        write_units: What it consumed, as far as DynamoDB said.
    """

    outcome: Outcome
    write_units: float = 0.0


# --- one item ---------------------------------------------------------------------------------------------------------


def current_form(entity: Entity[Any], stored: Item) -> Item:
    """Return an item as it is to be stored in the current version.

    Attributes that no upcaster changes stay as they are, unknown ones too; what is derived and what has defaults is
    filled in.

    Raises:
        ValidationError: It cannot be brought up to date, or would be no valid model.
    """
    upcast = entity.current_item(stored)
    written = entity.encode(entity.decode(upcast))
    computed = {*entity.codec.shape.computed, *(entry.attribute for entry in entity.codec.derived)}
    item = dict(written)
    for name, wire in upcast.items():
        if name not in computed:
            item[name] = wire if wire == stored.get(name) or name not in written else _united(wire, written[name])
    if entity.key_of(item) != entity.key_of(stored):  # it is computed, and from what has changed
        readable = entity.readable_key(entity.key_of(item))
        raise ValidationError(
            f"the current version of the item has another key, {readable!r:.120}, and no key changes in place; "
            "copy_to() makes new keys"
        )
    item_json(item, table_name=entity.table_name, key=lambda: entity.readable_key(entity.key_of(item)))
    return item


def _united(wire: Wire, written: Wire) -> Wire:
    """Return a value as the model writes it, with what the model does not know of nested ones."""
    match wire, written:
        case {"M": before}, {"M": after}:
            united = {name: _united(before[name], value) if name in before else value for name, value in after.items()}
            return {"M": {**before, **united}}
        case {"L": before}, {"L": after} if len(before) == len(after):
            return {"L": [_united(*pair) for pair in zip(before, after, strict=True)]}
    return written


def rewriting(entity: Entity[T], stored: Item) -> Write[T] | None:
    """Return the write that brings an item up to date as it was read; None for one that is no older.

    Raises:
        ValidationError: It cannot be brought up to date.
    """
    evolution = entity.evolution
    if evolution is None or evolution.version_of(stored) >= evolution.current:
        return None
    item = current_form(entity, stored)
    changes: list[tuple[Any, object]] = [
        (stored_place(name), Encoded(wire)) for name, wire in item.items() if stored.get(name) != wire
    ]
    changes += [(stored_place(name), Remove()) for name in stored if name not in item]
    as_read = every(
        *(Stored(name, wire) for name, wire in stored.items()),
        *(Stored(name, None) for name in item if name not in stored),
    )
    key = entity.key_of(stored)
    request = Update(
        entity.table_name,
        entity.codec,
        entity.readable_key(key),
        key,
        tuple(changes),
        as_read,
        repeatable=True,
        answers=False,
    )
    is_guarded = any(target.names[0] in entity.unique_attributes for target, _ in changes)
    guarding = writes.guarding_of(entity, Guarding.READ if is_guarded else Guarding.NONE)

    def proof(now: Item | None) -> bool:
        return now is not None and all(now.get(name) == wire for name, wire in item.items())

    return Write(entity, request, lambda error: error, proof, guarding=guarding)


def rewrite(entity: Entity[Any], stored: Item, *, tries: int = _TRIES) -> Flow[Rewritten]:
    """Bring one item up to date, from what was read of it; when another writer was faster, from what that one wrote.

    Raises:
        SchemaVersionError: It is of a version that is not read, or other writers were faster at every try.
        ValidationError: It cannot be brought up to date, or would be no valid model.
        UniqueViolationError: Brought up to date, it would have another item's unique value.
    """
    units = 0.0
    failure: ConditionFailedError | None = None
    for number in range(tries):
        if not entity.is_ours(stored):
            return Rewritten(Outcome.GONE, units)
        write = rewriting(entity, stored)
        if write is None:
            return Rewritten(Outcome.CURRENT, units)
        if number:
            yield from sleep(_PAUSE_SECONDS, jittered=True)
        try:
            response = yield from transactions.send(write)
        except UniqueViolationError:
            raise
        except ConditionFailedError as error:
            units += 1
            if not isinstance(error.item, Mapping):
                return Rewritten(Outcome.GONE, units)
            failure, stored = error, dict(error.item)
        else:
            return Rewritten(Outcome.REWRITTEN, units + units_of("UpdateItem", response))
    assert failure is not None
    assert entity.evolution is not None
    problem = entity.evolution.too_old(entity.evolution.version_of(stored))
    problem.context.update(entity.located(stored))
    raise problem from failure


def units_of(operation: str, response: Response) -> float:
    """Return the write units that an answer says were consumed; 0 when it says nothing."""
    consumed = ConsumedCapacity.of(operation, response)
    return consumed.write if consumed is not None else 0.0


# --- items that were read ---------------------------------------------------------------------------------------------


def older(entity: Entity[Any], items: Iterable[Any]) -> list[Item]:
    """Return those that are to be written back: none, unless that is asked for."""
    evolution = entity.evolution
    if evolution is None or not evolution.options.write_back:
        return []
    attribute, current = evolution.options.attribute, {"N": str(evolution.current)}
    # What a lane has read already is of the current version.
    return [item for item in items if isinstance(item, dict) and item.get(attribute) != current]


def results(entity: Entity[Any], decode: Callable[[Any], R], items: Sequence[Any]) -> Flow[list[R]]:
    """Return what items of a query are read as; older ones are written back, where that is asked for."""
    found = [decode(item) for item in items]
    if entity.writes_back and decode == entity.decode:
        yield from write_back(entity, items)
    return found


def write_back(entity: Entity[Any], items: Sequence[Any]) -> Flow[None]:
    """Bring items that were read up to date, where that is asked for; each is tried once, and no failure is raised."""
    yield from _all_written_back((entity, item) for item in older(entity, items))


def get(reads: Sequence[Read[Any]]) -> Flow[list[Any]]:
    """Read items as they are at one moment; None where there is none. Older ones are written back after that moment.

    Raises:
        TransactionCanceledError: Writes to the items did not end.
        ValidationError: There is too much for one transaction, or two are about one item; nothing was sent.
    """
    response = yield from transactions.read([entry.request.as_action() for entry in reads])
    answers = response["Responses"]
    results = [entry.result(answer) for entry, answer in zip(reads, answers, strict=True)]
    found = ((entry.whole, answer.get("Item")) for entry, answer in zip(reads, answers, strict=True))
    yield from _all_written_back(
        (entity, item) for entity, item in found if entity is not None and older(entity, [item])
    )
    return results


def _all_written_back(found: Iterable[tuple[Entity[Any], Item]]) -> Flow[None]:
    flows = [_written_back(entity, item) for entity, item in found]
    if flows:
        yield from together(flows, at_most=_AT_ONCE)


def _written_back(entity: Entity[Any], item: Item) -> Flow[None]:
    try:
        yield from rewrite(entity, item, tries=1)
    except DynamoDBWrapperError:
        return  # what was asked for was a reading, and that has succeeded


# --- writes that need an item of the current version ------------------------------------------------------------------


def send(write: Write[T]) -> Flow[Response]:
    """Send one write as `transactions.send` does; an older item that it is about is brought up to date first.

    Raises:
        SchemaVersionError: The item is newer than known, or older than read.
        DynamoDBWrapperError: What `transactions.send` raises.
    """
    for _ in range(_TRIES - 1):
        try:
            return (yield from transactions.send(write))
        except SchemaVersionError as error:
            if not _is_outdated(error):
                raise
        yield from _rewritten(write)
    return (yield from transactions.send(write))


def write(requests: Sequence[Write[Any]]) -> Flow[list[BaseModel | None]]:
    """Write all or nothing as `transactions.write` does; older items are brought up to date first, one by one.

    Raises:
        DynamoDBWrapperError: What `transactions.write` raises.
    """
    for _ in range(_TRIES - 1):
        try:
            return (yield from transactions.write(requests))
        except TransactionCanceledError as error:
            reasons = zip(requests, error.reasons, strict=False)
            outdated = [request for request, reason in reasons if _is_outdated(reason.error)]
            if not outdated:
                raise
        yield from together(map(_rewritten, outdated), at_most=_AT_ONCE)
    return (yield from transactions.write(requests))


def _rewritten(write: Write[Any]) -> Flow[None]:
    stored = yield from unique.read(write.entity, unique.key_of(write))
    if stored is not None:
        yield from rewrite(write.entity, stored)


def _is_outdated(error: BaseException | None) -> bool:
    return isinstance(error, SchemaVersionError) and isinstance(error.found, int) and error.found < error.known
