"""Flows that write items as they are given: nothing is counted up, and no time is set, because they come from a file.

A lost answer does no harm: an item is put as often as it takes, and one that may not be overwritten is compared with
what is there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynamodb_wrapper.codec import Item, item_bytes, item_json
from dynamodb_wrapper.exceptions import (
    BatchIncompleteError,
    ConditionFailedError,
    DynamoDBWrapperError,
    ItemAlreadyExistsError,
    UniqueViolationError,
    ValidationError,
)
from dynamodb_wrapper.operations import batches, transactions, writes
from dynamodb_wrapper.operations.batches import BatchOptions, BatchProgress, Entry, identity
from dynamodb_wrapper.operations.copies import is_same
from dynamodb_wrapper.operations.effects import Flow, together
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.evolving import units_of
from dynamodb_wrapper.operations.migrations import OF_ONE_ITEM
from dynamodb_wrapper.operations.passes import WRITE_UNIT_BYTES
from dynamodb_wrapper.operations.requests import Put, put_body, put_entry
from dynamodb_wrapper.operations.writes import Guarding, Write


@dataclass(frozen=True, slots=True)
class Incoming:
    """An item that DynamoDB takes, as far as that can be told without asking it.

    Attributes:
        item: The item.
        json: Its JSON.
        stored_bytes: How many it takes as DynamoDB counts them.
    """

    item: Item
    json: bytes
    stored_bytes: int

    @property
    def units(self) -> int:
        """How many write units writing it consumes, its indexes not counted."""
        return -(-self.stored_bytes // WRITE_UNIT_BYTES)


@dataclass(frozen=True, slots=True)
class Refusal:
    """An item that was not written.

    Attributes:
        number: Its place among those given.
        error: Why.
    """

    number: int
    error: DynamoDBWrapperError


@dataclass(frozen=True, slots=True)
class Imported:
    """What became of some items.

    Attributes:
        written: How many were written; one that a later one of the same key replaced included.
        same: How many were there already, just as they are.
        refusals: Those that were not written.
        units: The write units consumed; estimated where DynamoDB did not say.
    """

    written: int = 0
    same: int = 0
    refusals: tuple[Refusal, ...] = ()
    units: float = 0.0

    def __add__(self, other: Imported) -> Imported:
        return Imported(
            self.written + other.written,
            self.same + other.same,
            (*self.refusals, *other.refusals),
            self.units + other.units,
        )


def incoming(entity: Entity[Any], item: Item) -> Incoming:
    """Return an item as one to be written.

    Raises:
        ValidationError: A key is missing, empty, too long or of the wrong type; or the item is over 400 KB.
    """
    entity.check_keys(item)
    text = item_json(item, table_name=entity.table_name, key=lambda: entity.readable_key(entity.key_of(item)))
    return Incoming(item, text, item_bytes(item))


def write(entity: Entity[Any], items: Sequence[Incoming], *, overwrite: bool, concurrency: int) -> Flow[Imported]:
    """Write items, and return what became of each.

    Args:
        entity: The table.
        items: What is written. Of those with the same key the last wins; without ``overwrite``, the first.
        overwrite: Whether what is there under a key is replaced; if not, it is left alone.
        concurrency: How many requests are on their way at a time.

    Raises:
        BatchIncompleteError: DynamoDB left items unprocessed again and again.
        DynamoDBWrapperError: A request failed, and not because of its items; which of them are written is not told.
    """
    if overwrite and not entity.declaration.unique:
        return (yield from _in_batches(entity, items, concurrency))
    return (yield from _one_by_one(entity, list(enumerate(items)), overwrite=overwrite, concurrency=concurrency))


def _in_batches(entity: Entity[Any], items: Sequence[Incoming], concurrency: int) -> Flow[Imported]:
    units = 0.0

    def note(progress: BatchProgress) -> None:
        nonlocal units
        units = progress.units

    entries = [
        Entry(entity.table_name, entity.key_of(each.item), put_entry(each.item), number, body=put_body(each.json))
        for number, each in enumerate(items)
    ]
    alone = Imported()
    try:
        done = yield from batches.write(entries, BatchOptions(concurrency, progress=note))
    except BatchIncompleteError as error:
        if not isinstance(error.original_error, ValidationError):
            raise error.original_error or error from error
        # Something that is wrong with one item, which the answer does not name, and that only DynamoDB knows.
        done, left = error.done, [number for number in error.unprocessed if isinstance(number, int)]
        alone = yield from _one_by_one(
            entity, [(number, items[number]) for number in left], overwrite=True, concurrency=concurrency
        )
    return Imported(done, units=units or sum(each.units for each in items)) + alone


def _one_by_one(
    entity: Entity[Any], items: Sequence[tuple[int, Incoming]], *, overwrite: bool, concurrency: int
) -> Flow[Imported]:
    imported = Imported()
    for wave in _without_repeats(entity, items):
        flows = (_written(entity, number, each, overwrite=overwrite) for number, each in wave)
        for outcome in (yield from together(flows, at_most=concurrency)):
            imported += outcome
    return imported


def _without_repeats(
    entity: Entity[Any], items: Iterable[tuple[int, Incoming]]
) -> Iterator[list[tuple[int, Incoming]]]:
    """Yield the items in their order, cut where a key comes again: what is written together has no order."""
    wave: dict[batches.Identity, tuple[int, Incoming]] = {}
    for number, each in items:
        key = identity(entity.table_name, entity.key_of(each.item))
        if key in wave:
            yield list(wave.values())
            wave = {}
        wave[key] = (number, each)
    yield list(wave.values())


def _written(entity: Entity[Any], number: int, each: Incoming, *, overwrite: bool) -> Flow[Imported]:
    item = each.item
    readable = entity.readable_key(entity.key_of(item))
    request = Put(entity.table_name, entity.codec, readable, item, None if overwrite else writes.is_absent(entity))
    guarding = writes.guarding_of(entity, Guarding.READ if overwrite else Guarding.NEW)
    put = Write(entity, request, lambda error: error, lambda found: is_same(found, item), guarding=guarding)
    try:
        response = yield from transactions.send(put)
    except UniqueViolationError as error:
        return Imported(refusals=(Refusal(number, error),), units=each.units)
    except ConditionFailedError as error:
        if isinstance(error.item, Mapping) and is_same(dict(error.item), item):
            return Imported(same=1, units=each.units)
        taken = ItemAlreadyExistsError("another item with that key exists already", error, key=readable)
        return Imported(refusals=(Refusal(number, taken),), units=each.units)
    except OF_ONE_ITEM as error:
        return Imported(refusals=(Refusal(number, error),))
    return Imported(1, units=units_of("PutItem", response) or each.units)
