"""Unique values: which an item has, the guard items that hold them, and what a write does to the guards.

A guard is an item of the same table whose key spells the value, so that DynamoDB itself lets only one exist. It has one
attribute more, the key of the item that has the value. Guards are written in the transaction that writes the item.
"""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from decimal import Decimal
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item, Wire
from dynamodb_wrapper.codec.wire import number_text
from dynamodb_wrapper.exceptions import (
    ConditionFailedError,
    DynamoDBWrapperError,
    UniqueViolationError,
    ValidationError,
)
from dynamodb_wrapper.expressions import Condition, Encoded, Remove, SetIfMissing, Stored, every
from dynamodb_wrapper.operations.declaration import GUARD_OWNER, GUARD_PREFIX, Unique
from dynamodb_wrapper.operations.effects import Flow
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.key_values import MAX_PARTITION_KEY_BYTES
from dynamodb_wrapper.operations.requests import Check, Delete, Get, Put, Update
from dynamodb_wrapper.operations.writes import Guarding, Write, is_absent, is_present

T = TypeVar("T", bound=BaseModel)

_COMPARABLE = frozenset(("S", "N", "B", "NULL"))
_SORT_VALUES: dict[str, Wire] = {"S": {"S": "unique"}, "N": {"N": "0"}, "B": {"B": b"unique"}}
"""The sort key of every guard, in a table with one, by its type."""


class StaleReadError(DynamoDBWrapperError):
    """The unique values of an item are not what they were when it was read; read it again. Callers do not see it."""


@dataclass(frozen=True, slots=True)
class Plan(Generic[T]):
    """A write, and what becomes of guards with it.

    Attributes:
        write: The write; if what is stored was read for it, only over what was read.
        stored: The item that was read, None if there was none.
        taken: The guards (partition keys) that its item needs and did not have, and whose they are.
        given: Those that its item had and needs no more.
    """

    write: Write[T]
    stored: Item | None = None
    taken: Mapping[str, Unique] = field(default_factory=dict)
    given: Mapping[str, Unique] = field(default_factory=dict)

    @property
    def key(self) -> Item:
        """The wire key of the item that is written."""
        return key_of(self.write)

    @property
    def owner(self) -> Wire:
        """What the guards of the item say of their owner."""
        return {"M": self.key}


@dataclass(frozen=True, slots=True)
class GuardAction:
    """One action on a guard, or on what a guard says of its owner.

    Attributes:
        request: What is sent.
        plan: The number of the plan that it belongs to.
        guard: The guard's partition key.
        unique: The declaration it is for.
    """

    request: Put | Delete | Check
    plan: int
    guard: str
    unique: Unique


@dataclass(slots=True)
class Known:
    """What failed attempts have told about guards, for the next one.

    Attributes:
        foreign: Guards (table and partition key) of other items for values that ours had without a guard.
        orphans: Guards whose owners have the value no more: the owner's key, and its item as it was read.
    """

    foreign: set[tuple[str, str]] = field(default_factory=set)
    orphans: dict[tuple[str, str], tuple[Item, Item | None]] = field(default_factory=dict)


# --- what an item holds -----------------------------------------------------------------------------------------------


def guards_of(entity: Entity[Any], item: Item | None) -> dict[str, Unique]:
    """Return the partition keys of the guards that an item needs; none for a value that is None, or within one.

    Nor for what somebody else has stored there that is no text, number or bytes; such is never written here.
    """
    guards: dict[str, Unique] = {}
    if item is None:
        return guards
    for entry in entity.declaration.unique:
        parts = [_part(entity, entry, name, item) for name in entry.fields]
        if None not in parts:
            guards[_guard_key(entity, entry, [str(part) for part in parts])] = entry
    return guards


def _part(entity: Entity[Any], entry: Unique, name: str, item: Item) -> str | None:
    """Return the text that stands for a value in the guard's key, another one for every other value."""
    wire = _stored_value(entity, name, item)
    ((tag, payload),) = wire.items()
    match tag:
        case "S":
            is_compared = name == entry.field and entry.normalize is not None
            return f"S:{_normalized(entry, payload) if is_compared else payload}"
        case "N":
            return f"N:{number_text(Decimal(payload))}"
        case "B":
            return f"B:{base64.b64encode(bytes(payload)).decode()}"
    return None


def _check_comparable(name: str, wire: Wire) -> None:
    if not wire.keys() <= _COMPARABLE:
        (tag,) = wire
        raise ValidationError(
            f"unique {name!r} would be stored as {tag}; it must be text, a number or bytes", {name: f"stored as {tag}"}
        )


def _stored_value(entity: Entity[Any], name: str, item: Item) -> Wire:
    """Return the stored value of a field; where the attribute is missing, the default that reading gives."""
    member = entity.codec.member(name)
    assert member is not None
    if member.attribute in item:
        return item[member.attribute]
    info = member.info
    if info.is_required() or info.default_factory is not None or info.default is None:
        return {"NULL": True}
    return entity.codec.target((name,)).written(info.default)


def _normalized(entry: Unique, text: str) -> str:
    assert entry.normalize is not None
    normalized: object = entry.normalize(text)
    if not isinstance(normalized, str):
        raise ValidationError(
            f"normalize of unique {entry.field!r} must return text, and returned {normalized!r:.80}",
            {entry.field: "not normalized to text"},
        )
    return normalized


def _guard_key(entity: Entity[Any], entry: Unique, parts: Sequence[str]) -> str:
    """Return the guard's partition key: which fields, then their values, all escaped so that none runs into another."""
    names = ",".join(_escaped(entity.codec.attribute(name)) for name in entry.fields)
    if entity.declaration.kind is not None:
        names = f"{_escaped(entity.declaration.kind.value)}#{names}"
    values = "#".join(map(_escaped, parts))
    key = f"{GUARD_PREFIX}{names}#{values}"
    if len(key.encode()) <= MAX_PARTITION_KEY_BYTES:
        return key
    # No value begins so: they begin with the letter of their type.
    return f"{GUARD_PREFIX}{names}#sha256:{hashlib.sha256(values.encode()).hexdigest()}"


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("#", "%23").replace(",", "%2C")


# --- guard items ------------------------------------------------------------------------------------------------------


def guard_item_key(entity: Entity[Any], guard: str) -> Item:
    """Return the whole key of a guard."""
    partition, *sort = entity.table_key_attributes
    return {partition: {"S": guard}} | {name: _SORT_VALUES[entity.key_tags[name]] for name in sort}


def _is_free_for(entity: Entity[Any], *owners: Wire) -> Condition:
    """Return the condition that a guard is not there, or is one of these owners'."""
    condition: Condition = Stored(entity.partition_attribute, None)
    for owner in owners:
        condition |= Stored(GUARD_OWNER, owner)
    return condition


def _hold(entity: Entity[Any], guard: str, owner: Wire, *other_owners: Wire) -> Put:
    key = guard_item_key(entity, guard)
    condition = _is_free_for(entity, owner, *other_owners)
    return Put(entity.table_name, entity.codec, entity.readable_key(key), {**key, GUARD_OWNER: owner}, condition)


def _release(entity: Entity[Any], guard: str, owner: Wire) -> Delete:
    key = guard_item_key(entity, guard)
    return Delete(entity.table_name, entity.codec, entity.readable_key(key), key, _is_free_for(entity, owner))


def violation(
    entity: Entity[Any], entry: Unique, key: dict[str, object], owner: Item | None, error: BaseException | None
) -> UniqueViolationError:
    """Return the error of a value that another item has."""
    scope = f" within {', '.join(entry.fields[1:])}" if entry.fields[1:] else ""
    readable = None if owner is None else entity.readable_key(owner)
    whose = "" if readable is None else f": the item with key {readable!r}"
    return UniqueViolationError(
        f"another item has that {entry.field}{scope} already{whose}",
        error,
        table_name=entity.table_name,
        key=key,
        fields=entry.fields,
        owner=readable,
    )


# --- what a write does ------------------------------------------------------------------------------------------------


def key_of(write: Write[Any]) -> Item:
    """Return the wire key of the item that a write is about."""
    request = write.request
    return write.entity.key_of(request.item) if isinstance(request, Put) else request.key


def as_read(entity: Entity[Any], stored: Item | None) -> Condition:
    """Return the condition that an item has the unique values it had when it was read, or that there still is none."""
    if stored is None:
        return is_absent(entity)
    condition = is_present(entity)
    for name in sorted(entity.unique_attributes - set(entity.table_key_attributes)):
        condition &= Stored(name, stored.get(name))
    return condition


def plan(write: Write[T], stored: Item | None = None) -> Plan[T]:
    """Return a write with what it does to guards; ``stored`` is the item as it was read, if that decides."""
    entity = write.entity
    if write.guarding is Guarding.NONE:
        return Plan(write)
    if write.guarding is Guarding.NEW:
        return Plan(write, taken=guards_of(entity, _written(write, None)))
    before, after = guards_of(entity, stored), guards_of(entity, _written(write, stored))
    return Plan(
        _over(write, stored),
        stored,
        {guard: entry for guard, entry in after.items() if guard not in before},
        {guard: entry for guard, entry in before.items() if guard not in after},
    )


def read(entity: Entity[Any], key: Item) -> Flow[Item | None]:
    """Read the item under a wire key as it is stored, strongly consistent."""
    request = Get(entity.table_name, entity.codec, entity.readable_key(key), key, consistent=True)
    response = yield from request.send()
    item: Item | None = response.get("Item")
    return item


def _written(write: Write[Any], stored: Item | None) -> Item | None:
    """Return the item a write leaves, as far as its unique values go.

    Raises:
        ValidationError: It gives such a field what is no text, number or bytes.
    """
    request = write.request
    if isinstance(request, Put):
        for name in write.entity.unique_attributes & request.item.keys():
            _check_comparable(name, request.item[name])
        return request.item
    if not isinstance(request, Update):
        return None
    item = {**(stored or request.key)}
    watched = write.entity.unique_attributes
    for target, value in request.changes:
        name = str(target.names[0])
        if name not in watched or (isinstance(value, SetIfMissing) and name in item):
            continue
        if isinstance(value, SetIfMissing):  # of a default, in an upsert
            value = value.value
        item.pop(name, None)
        if not isinstance(value, Remove):
            item[name] = value.wire if isinstance(value, Encoded) else target.written(value)
            _check_comparable(name, item[name])
    return item


def _over(write: Write[T], stored: Item | None) -> Write[T]:
    """Return the write, but only over unique values that are as they were read."""
    entity, request = write.entity, write.request
    assert not isinstance(request, Check)

    def refused(error: ConditionFailedError) -> DynamoDBWrapperError:
        if _seen(entity, error.item) != _seen(entity, stored):
            return StaleReadError("the unique values of the item were changed by another writer", error)
        return write.refused(error)

    condition = every(request.condition, as_read(entity, stored))
    return replace(write, request=replace(request, condition=condition), refused=refused)


def _seen(entity: Entity[Any], item: Item | None) -> Item | None:
    return None if item is None else {name: item[name] for name in entity.unique_attributes if name in item}


def guard_actions(plans: Sequence[Plan[Any]], known: Known) -> Iterator[GuardAction]:
    """Yield what plans do to guards; one that an item gives up and another takes over is one action.

    Raises:
        UniqueViolationError: Two of the items would have the same value.
    """
    given = {
        (giver.write.entity.table_name, guard): (number, giver, entry)
        for number, giver in enumerate(plans)
        for guard, entry in giver.given.items()
    }
    taken: dict[tuple[str, str], Plan[Any]] = {}
    checks: dict[str, GuardAction] = {}
    for number, taker in enumerate(plans):
        entity = taker.write.entity
        for guard, entry in taker.taken.items():
            place = (entity.table_name, guard)
            if place in taken:
                raise violation(entity, entry, taker.write.request.readable_key, taken[place].key, None)
            taken[place] = taker
            former = [given[place][1].owner] if place in given else []
            if place in known.orphans:
                owner, stored = known.orphans[place]
                former.append({"M": owner})
                check = Check(
                    entity.table_name, entity.codec, entity.readable_key(owner), owner, as_read(entity, stored)
                )
                checks[f"{entity.table_name} {sorted(owner.items())}"] = GuardAction(check, number, guard, entry)
            yield GuardAction(_hold(entity, guard, taker.owner, *former), number, guard, entry)
    yield from checks.values()
    for place, (number, giver, entry) in given.items():
        if place not in taken and place not in known.foreign:
            yield GuardAction(_release(giver.write.entity, place[1], giver.owner), number, place[1], entry)


def owner_of(guard: object) -> Item | None:
    """Return the key of the item that a stored guard is for; None when that is not known."""
    owner = guard.get(GUARD_OWNER) if isinstance(guard, Mapping) else None
    return owner["M"] if isinstance(owner, Mapping) and isinstance(owner.get("M"), dict) else None


def learn(plans: Sequence[Plan[Any]], action: GuardAction, guard: object, known: Known) -> Flow[bool]:
    """Note what a failed action on a guard tells; True if the next try can go better, False for a value that is taken.

    A guard whose owner is gone, or has the value no more, holds nothing: DynamoDB's TTL has deleted the item, or
    somebody wrote to the table by other means. It may be taken over while that stays so.
    """
    entity = plans[action.plan].write.entity
    place = (entity.table_name, action.guard)
    if isinstance(action.request, Delete):
        known.foreign.add(place)
        return True
    if isinstance(action.request, Check):
        del known.orphans[place]
        return True
    owner = owner_of(guard)
    is_written = any(plan.key == owner and plan.write.entity.table_name == entity.table_name for plan in plans)
    if owner is None or is_written:
        return False
    stored = yield from read(entity, owner)
    if action.guard in guards_of(entity, stored):
        return False
    known.orphans[place] = (owner, stored)
    return True
