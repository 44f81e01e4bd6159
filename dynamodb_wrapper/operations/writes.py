"""Writes of one item: each as a value that knows its request, and what a failed condition or a lost answer means.

A write is built once and sent in one of two ways: alone, by `send`, or as an action of a transaction. One that may
change unique values is sent by `transactions.send`, which adds what keeps them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import MAXYEAR, datetime, timedelta
from enum import Enum
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item
from dynamodb_wrapper.exceptions import (
    ConditionFailedError,
    DynamoDBWrapperError,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    VersionConflictError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.expressions import AnyCondition, Condition, Path, as_condition, every
from dynamodb_wrapper.operations.effects import Flow, Response, now
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.requests import Check, Delete, Get, Put, Update
from dynamodb_wrapper.operations.versions import of_this_schema, over_known, wrong_version

T = TypeVar("T", bound=BaseModel)

FOREIGN = "an item of another kind has that key"
KeyValues = tuple[object, object]
"""The values of the partition and the sort key (None where there is no sort key), as the caller has them."""


class Guarding(Enum):
    """What a write may do to the unique values of its item."""

    NONE = "it changes none"
    NEW = "it writes only where nothing is stored, so it changes those that its item has"
    READ = "what is stored decides, so that is read first"


@dataclass(frozen=True, slots=True)
class Write(Generic[T]):
    """One write of one item.

    Attributes:
        entity: The model in its table.
        request: What is sent.
        refused: Makes the caller's error of a failed condition, whose item is as it is stored.
        proof: Tells from the stored item (None: there is none) whether this write was applied; None when it cannot be
            told. Asked only after an answer was lost.
        model: The caller's model, if the write was given one.
        settled: Field values that are set on the model once the write has succeeded.
        guarding: What it may do to unique values.
    """

    entity: Entity[T]
    request: Put | Update | Delete | Check
    refused: Callable[[ConditionFailedError], DynamoDBWrapperError]
    proof: Callable[[Item | None], bool | None]
    model: T | None = None
    settled: Mapping[str, object] = field(default_factory=dict)
    guarding: Guarding = Guarding.NONE

    def settle(self) -> T:
        """Set on the caller's model what the write has settled, and return it (a copy of a frozen one)."""
        assert self.model is not None
        return self.entity.settle(self.model, self.settled)


def send(write: Write[T]) -> Flow[Response]:
    """Send a write alone and return its answer; after a lost answer find out whether it was applied, where that can be.

    Raises:
        DynamoDBWrapperError: The condition was false: what ``write.refused`` says.
        WriteOutcomeUnknownError: An answer was lost, and what is stored does not tell whether the write was applied.
    """
    try:
        return (yield from write.request.send())
    except (ConditionFailedError, WriteOutcomeUnknownError) as error:
        return (yield from in_spite_of(error, write))


def in_spite_of(error: ConditionFailedError | WriteOutcomeUnknownError, write: Write[T]) -> Flow[Response]:
    """Return the answer of a write that was applied though it came to an error; raises as `send` does if it was not."""
    if isinstance(error, ConditionFailedError):
        # Sent again after a lost answer, a write may fail on what it has itself written the first time.
        applied = write.proof(error.item) if "lost_answers" in error.context else False
        if applied:
            return {"Attributes": error.item}
        if applied is None:
            raise _outcome_unknown(write, error) from error
        raise write.refused(error) from error
    if write.request.as_call().repeatable:  # it was sent until the attempts ran out: a reading would fare no better
        raise error
    stored = yield from _read_back(write, error)
    if write.proof(stored):
        return {"Attributes": stored}
    raise error


def creation(entity: Entity[T], model: T) -> Flow[Write[T]]:
    """Return the write of a model whose key must be free."""
    settled = yield from _settled(entity, model, version=1, is_new=True)
    request = _put(entity, entity.with_values(model, settled), is_absent(entity))
    marks = _marks(entity, request.item, settled)

    def refused(error: ConditionFailedError) -> DynamoDBWrapperError:
        return failed_condition(
            ItemAlreadyExistsError, "an item with that key exists already", entity, request.readable_key, error
        )

    def proof(stored: Item | None) -> bool | None:
        if not marks or not stored:
            return None
        # One mark is enough: another writer may have updated the item since, but has kept when it was created.
        if any(stored.get(name) == wire for name, wire in marks.items()):
            return True
        return False if _is_mark(entity, entity.declaration.created_at, marks) else None

    return Write(entity, request, refused, proof, model, settled, guarding_of(entity, Guarding.NEW))


def replacement(entity: Entity[T], model: T, *, may_be_new: bool) -> Flow[Write[T]]:
    """Return the write of a model over what is there; with a version, only over the version that was read.

    Args:
        entity: The model in its table.
        model: What is written.
        may_be_new: Whether there may be nothing to replace.
    """
    version = _version(entity, model)
    settled = yield from _settled(entity, model, version=version + 1, is_new=False)
    condition: Condition | None = None if may_be_new else is_present(entity)
    attribute = Path(entity.declaration.version) if entity.declaration.version is not None else None
    if attribute is not None:
        is_read = attribute == version if version else _has_no_version(attribute)
        condition = is_read if condition is None else condition & is_read
        if may_be_new and version:
            condition = is_absent(entity) | condition
    put = _put(entity, entity.with_values(model, settled), unless_foreign(entity, condition))
    request = put if may_be_new or entity.evolution is None else over_known(entity, put)
    marks = _marks(entity, put.item, settled)

    def refused(error: ConditionFailedError) -> DynamoDBWrapperError:
        if is_foreign(entity, error) and may_be_new:
            return failed_condition(ConditionFailedError, FOREIGN, entity, request.readable_key, error)
        if not may_be_new and (error.item is None or is_foreign(entity, error)):
            return not_found(entity, request.readable_key, error)
        if not may_be_new and (problem := wrong_version(entity, error)) is not None:
            return problem
        return _version_conflict(entity, request.readable_key, version, error)

    def proof(stored: Item | None) -> bool | None:
        if attribute is None:  # the condition was that an item is there: applying the write did not make it false
            return False
        if not marks or not stored:
            return None
        if all(stored.get(name) == wire for name, wire in marks.items()):
            return True
        name = entity.codec.attribute(str(entity.declaration.version))
        # The next version by another writer: so this write was not the next. A later one may stand on either.
        return False if stored.get(name) == put.item[name] else None

    return Write(entity, request, refused, proof, model, settled, guarding_of(entity, Guarding.READ))


def overwriting(entity: Entity[T], model: T, time: datetime) -> tuple[T, Mapping[str, object]]:
    """Return what a model is written as over whatever is there, as batches do it, and what that settles.

    Args:
        entity: The model in its table.
        model: What is written; with a version, it is written as the next one.
        time: What the managed times are set to, where they are.
    """
    entity.check_class(model)
    if not entity.declaration.manages_fields:
        return model, {}
    settled = _settled_at(entity, model, time, version=_version(entity, model) + 1, is_new=False)
    return entity.with_values(model, settled), settled


def deletion(entity: Entity[T], key: KeyValues, when: AnyCondition | None) -> Write[T]:
    """Return the delete of an item, if a condition holds."""
    wire_key = entity.key(*key)
    readable = entity.readable_key(wire_key)
    condition = unless_foreign(entity, None if when is None else _of_what_is_declared(entity, when))
    request = Delete(entity.table_name, entity.codec, readable, wire_key, condition)

    def refused(error: ConditionFailedError) -> DynamoDBWrapperError:
        if when is not None and (problem := wrong_version(entity, error)) is not None:
            return problem
        return failed_condition(ConditionFailedError, "the condition of the delete was false", entity, readable, error)

    def proof(stored: Item | None) -> bool | None:
        # Gone now: by this delete or by another writer's, which is all the same unless a condition was to hold.
        return (None if when is not None else True) if stored is None else False

    return Write(entity, request, refused, proof, guarding=guarding_of(entity, Guarding.READ))


def check(entity: Entity[T], key: KeyValues, when: AnyCondition | None) -> Write[T]:
    """Return the check, for a transaction, that a condition holds for an item; without one, that there is an item."""
    wire_key = entity.key(*key)
    readable = entity.readable_key(wire_key)
    condition = unless_foreign(entity, is_present(entity) if when is None else _of_what_is_declared(entity, when))
    assert condition is not None
    request = Check(entity.table_name, entity.codec, readable, wire_key, condition)

    def refused(error: ConditionFailedError) -> DynamoDBWrapperError:
        if when is None:
            return not_found(entity, readable, error)
        if (problem := wrong_version(entity, error)) is not None:
            return problem
        return failed_condition(ConditionFailedError, "the condition of the check was false", entity, readable, error)

    return Write(entity, request, refused, lambda stored: None)


def _of_what_is_declared(entity: Entity[Any], when: AnyCondition) -> Condition:
    """Return a condition, and that the item is of this schema version: about another, it may say something else."""
    version = of_this_schema(entity)
    condition = as_condition(when)
    return condition if version is None else condition & (is_absent(entity) | version)


def guarding_of(entity: Entity[Any], wanted: Guarding) -> Guarding:
    """Return what a write may do to unique values; nothing where there are none."""
    return wanted if entity.declaration.unique else Guarding.NONE


def is_absent(entity: Entity[Any]) -> Condition:
    """Return the condition that no item has the key."""
    return Path(entity.declaration.partition_key).not_exists()


def is_present(entity: Entity[Any]) -> Condition:
    """Return the condition that an item has the key, and is ours."""
    ours = entity.only_ours
    return Path(entity.declaration.partition_key).exists() if ours is None else ours


def unless_foreign(entity: Entity[Any], condition: Condition | None) -> Condition | None:
    """Return the condition, and that no item of another model has the key."""
    ours = entity.only_ours
    return condition if ours is None else every(condition, is_absent(entity) | ours)


def is_foreign(entity: Entity[Any], error: ConditionFailedError) -> bool:
    """Whether a condition failed on an item of another model."""
    return isinstance(error.item, Mapping) and not entity.is_ours(error.item)


def not_found(entity: Entity[T], key: dict[str, object], error: ConditionFailedError) -> ItemNotFoundError:
    """Return the error of a condition that failed because there is no item."""
    missing = ItemNotFoundError(entity.table_name, key, error)
    return missing.answered(operation=error.operation or "", request_id=error.request_id, code=error.code)


def failed_condition(
    kind: type[ConditionFailedError],
    message: str,
    entity: Entity[T],
    key: dict[str, object],
    error: ConditionFailedError,
) -> ConditionFailedError:
    """Return a failed condition as the error the caller understands, with the stored item as a model."""
    failed = kind(message, error, item=entity.stored_model(error), table_name=entity.table_name, key=key)
    return failed.answered(operation=error.operation or "", request_id=error.request_id, code=error.code)


def _version_conflict(
    entity: Entity[T], key: dict[str, object], version: int, error: ConditionFailedError
) -> ConditionFailedError:
    stored = entity.stored_model(error)
    name = str(entity.declaration.version)
    found = f"version {getattr(stored, name)} is stored" if stored is not None else "another item is stored"
    mine = f"this model has version {version}" if version else "this model has no version, as if it was never stored"
    return failed_condition(VersionConflictError, f"{mine}, but {found}", entity, key, error)


def _read_back(write: Write[T], unknown: WriteOutcomeUnknownError) -> Flow[Item | None]:
    request = write.request
    key = write.entity.key_of(request.item) if isinstance(request, Put) else request.key
    try:
        response = yield from Get(
            request.table_name, request.resolver, request.readable_key, key, consistent=True
        ).send()
    except DynamoDBWrapperError as error:
        raise unknown from error
    return response.get("Item")


def _outcome_unknown(write: Write[T], error: ConditionFailedError) -> WriteOutcomeUnknownError:
    unknown = WriteOutcomeUnknownError(
        "an answer was lost, and when the write was repeated its condition was false: because it had been applied the "
        "first time, or because of another writer; what is stored does not tell",
        error,
        error.context,
        key=write.request.readable_key,
    )
    return unknown.answered(operation=error.operation or "", request_id=error.request_id, code=error.code)


def _put(entity: Entity[T], model: T, condition: Condition | None) -> Put:
    item = entity.encode(model)
    return Put(entity.table_name, entity.codec, entity.readable_key(entity.key_of(item)), item, condition)


def _settled(entity: Entity[T], model: T, *, version: int, is_new: bool) -> Flow[dict[str, object]]:
    """Return the field values that this write settles: the version and the times."""
    entity.check_class(model)
    if not entity.declaration.manages_fields:
        return {}
    has_times = entity.declaration.created_at is not None or entity.declaration.updated_at is not None
    time = (yield from now()) if has_times else None
    return _settled_at(entity, model, time, version=version, is_new=is_new)


def _settled_at(entity: Entity[T], model: T, time: datetime | None, *, version: int, is_new: bool) -> dict[str, object]:
    declaration = entity.declaration
    settled: dict[str, object] = {}
    if declaration.version is not None:
        settled[declaration.version] = version
    if declaration.schema_version is not None and entity.evolution is not None:
        settled[declaration.schema_version] = entity.evolution.current
    settled.update(_whole_expiry(entity, model))
    if time is None or not (declaration.created_at or declaration.updated_at):
        return settled
    time = entity.codec.times.show(time)
    if declaration.created_at is not None and not _is_given(model, declaration.created_at):
        settled[declaration.created_at] = time
    if declaration.updated_at is not None and not (is_new and _is_given(model, declaration.updated_at)):
        settled[declaration.updated_at] = time
    return settled


def _is_given(model: BaseModel, name: str) -> bool:
    return name in model.model_fields_set and getattr(model, name) is not None


def _marks(entity: Entity[T], item: Item, settled: Mapping[str, object]) -> Item:
    """Return the attributes that only this write has: the times it sets, to the microsecond."""
    times = {entity.declaration.created_at, entity.declaration.updated_at} & settled.keys()
    names = [entity.codec.attribute(name) for name in times if name is not None]
    return {name: item[name] for name in names if name in item}


def _is_mark(entity: Entity[T], name: str | None, marks: Item) -> bool:
    return name is not None and entity.codec.attribute(name) in marks


def _whole_expiry(entity: Entity[T], model: T) -> dict[str, object]:
    """Return the expiry as it is stored, in whole seconds, where the model's has a fraction."""
    name = entity.declaration.ttl
    expiry = getattr(model, name) if name is not None else None
    if name is None or not isinstance(expiry, datetime) or not expiry.microsecond:
        return {}
    whole = expiry.replace(microsecond=0)
    return {name: whole if whole.year == MAXYEAR else whole + timedelta(seconds=1)}


def _has_no_version(attribute: Path) -> Condition:
    """Return the condition that no versioned write has touched the item: it may be older than its versions."""
    return attribute.not_exists() | (attribute == 0) | attribute.is_type("NULL")


def _version(entity: Entity[T], model: T) -> int:
    """Return the version a model was read with; 0 when it was never stored."""
    name = entity.declaration.version
    version: int | None = getattr(model, name, None) if name is not None else None
    return version or 0
