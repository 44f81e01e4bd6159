"""Flows on one item: create, put, get, update, delete."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import MAXYEAR, datetime, timedelta
from typing import Any, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item, PartialItem, Step, read_any
from dynamodb_wrapper.exceptions import (
    ConditionFailedError,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    VersionConflictError,
)
from dynamodb_wrapper.expressions import AnyCondition, Condition, Path, as_condition
from dynamodb_wrapper.operations.effects import Flow, now
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.requests import Delete, Get, Put, Request

T = TypeVar("T", bound=BaseModel)

KeyValues = tuple[object, object]
"""The values of the partition and the sort key (None where there is no sort key), as the caller has them."""


def create(entity: Entity[T], model: T) -> Flow[T]:
    """Write a model only if its key is free.

    Raises:
        ItemAlreadyExistsError: An item is there; it is in ``.item``.
    """
    settled = yield from _settled(entity, model, version=1, is_new=True)
    request = _put(entity, entity.with_values(model, settled), is_absent(entity))
    try:
        yield from request.send()
    except ConditionFailedError as error:
        raise failed_condition(
            ItemAlreadyExistsError, "an item with that key exists already", entity, request, error
        ) from error
    return entity.settle(model, settled)


def create_from(entity: Entity[T], values: Mapping[str, object]) -> Flow[T]:
    """Make a model of field values, write it as `create` does, and return it as it will be read: all times aware.

    Raises:
        ValidationError: A value is wrong or missing, or (as the model's ``extra`` says) a field unknown.
        ItemAlreadyExistsError: An item is there; it is in ``.item``.
    """
    created = yield from create(entity, entity.codec.made(values))
    return entity.decode(entity.codec.encode(created))


def create_in_zone(entity: Entity[T], model: T, zone: str | None) -> Flow[T]:
    """Write a model as `create` does, its naive datetimes taken to be in a zone.

    They become aware on the model too: the next write would take them to be in the configured zone, another instant.
    """
    zoned = entity.in_zones(assumed=zone)
    as_read = zoned.decode(zoned.encode(model)) if zone is not None else model
    fields = type(as_read).model_fields
    aware = {name: getattr(as_read, name) for name in fields if getattr(as_read, name) != getattr(model, name)}
    created = yield from create(zoned, model)
    return entity.settle(created, aware)


def put(entity: Entity[T], model: T) -> Flow[T]:
    """Write a model, replacing what is there; with a version, only what was read (or nothing).

    Raises:
        VersionConflictError: Another writer changed the item since it was read.
    """
    version = _version(entity, model)
    settled = yield from _settled(entity, model, version=version + 1, is_new=False)
    condition = None
    if entity.declaration.version is not None:
        attribute = Path(entity.declaration.version)
        condition = is_absent(entity) | (attribute == version) if version else _has_no_version(attribute)
    request = _put(entity, entity.with_values(model, settled), condition)
    try:
        yield from request.send()
    except ConditionFailedError as error:
        raise _version_conflict(entity, request, version, error) from error
    return entity.settle(model, settled)


def update(entity: Entity[T], model: T) -> Flow[T]:
    """Replace an existing item; with a version, only the version that was read.

    Raises:
        ItemNotFoundError: There is no item to replace.
        VersionConflictError: Another writer changed the item since it was read, or the model was never stored.
    """
    version = _version(entity, model)
    settled = yield from _settled(entity, model, version=version + 1, is_new=False)
    condition = is_present(entity)
    if entity.declaration.version is not None:
        attribute = Path(entity.declaration.version)
        condition &= attribute == version if version else _has_no_version(attribute)
    request = _put(entity, entity.with_values(model, settled), condition)
    try:
        yield from request.send()
    except ConditionFailedError as error:
        if error.item is None:
            raise not_found(entity, request, error) from error
        raise _version_conflict(entity, request, version, error) from error
    return entity.settle(model, settled)


def read(
    entity: Entity[T], key: KeyValues, attributes: Sequence[str | Path] | None, *, consistent: bool
) -> Flow[T | PartialItem | None]:
    """Read an item as a model, or some attributes of it; None when there is no item."""
    if attributes is None:
        return (yield from get(entity, key, consistent=consistent))
    return (yield from get_attributes(entity, key, attributes, consistent=consistent))


def read_or_raise(
    entity: Entity[T], key: KeyValues, attributes: Sequence[str | Path] | None, *, consistent: bool
) -> Flow[T | PartialItem]:
    """Read an item as `read` does.

    Raises:
        ItemNotFoundError: There is none.
    """
    found = yield from read(entity, key, attributes, consistent=consistent)
    if found is None:
        raise ItemNotFoundError(entity.table_name, entity.readable_key(entity.key(*key)))
    return found


def get(entity: Entity[T], key: KeyValues, *, consistent: bool) -> Flow[T | None]:
    """Read an item as a model, or None."""
    response = yield from _get_request(entity, key, consistent=consistent).send()
    item = response.get("Item")
    return None if item is None else entity.decode(item)


def get_attributes(
    entity: Entity[T], key: KeyValues, attributes: Sequence[str | Path], *, consistent: bool
) -> Flow[PartialItem | None]:
    """Read some attributes of an item, or None when there is no item."""
    chosen = Projection(entity, attributes)
    # The key comes along, so that an item without any of the attributes is told from no item.
    names = (*(target.names for target in chosen.targets), (entity.partition_attribute,))
    response = yield from _get_request(entity, key, consistent=consistent, projection=names).send()
    item = response.get("Item")
    return None if item is None else chosen.decode(item)


def get_raw(entity: Entity[T], key: KeyValues, *, consistent: bool) -> Flow[dict[str, Any] | None]:
    """Read an item as it is stored, as plain Python values; None when there is none."""
    response = yield from _get_request(entity, key, consistent=consistent).send()
    item = response.get("Item")
    return None if item is None else {name: read_any(wire) for name, wire in item.items()}


def exists(entity: Entity[T], key: KeyValues, *, consistent: bool) -> Flow[bool]:
    """Tell whether there is an item, without reading its attributes."""
    names = ((entity.partition_attribute,),)
    response = yield from _get_request(entity, key, consistent=consistent, projection=names).send()
    return "Item" in response


def delete(entity: Entity[T], key: KeyValues, *, when: AnyCondition | None) -> Flow[bool]:
    """Delete an item; True if one was there.

    Raises:
        ConditionFailedError: ``when`` was false; nothing was deleted.
    """
    condition = None if when is None else as_condition(when)
    wire_key = entity.key(*key)
    request = Delete(entity.table_name, entity.codec, entity.readable_key(wire_key), wire_key, condition)
    try:
        response = yield from request.send()
    except ConditionFailedError as error:
        raise failed_condition(
            ConditionFailedError, "the condition of the delete was false", entity, request, error
        ) from error
    return bool(response.get("Attributes"))


class Projection:
    """Some attributes of an item: how they are asked for, and how they come back."""

    def __init__(self, entity: Entity[T], attributes: Sequence[str | Path]) -> None:
        paths = [(entry,) if isinstance(entry, str) else entry.steps for entry in attributes]
        self.targets = tuple(entity.codec.target(steps) for steps in paths)
        self._entity = entity
        self._roots = {target.names[0] for target in self.targets}
        self._whole = {target.label for target in self.targets if len(target.names) == 1}

    def decode(self, item: Item) -> PartialItem:
        """Return what was asked for, without the keys that were read along."""
        wanted = {name: wire for name, wire in item.items() if name in self._roots}
        return self._entity.codec.decode_partial(wanted, self._whole)


def _get_request(
    entity: Entity[T], key: KeyValues, *, consistent: bool, projection: Sequence[tuple[Step, ...]] | None = None
) -> Get:
    wire_key = entity.key(*key)
    return Get(entity.table_name, entity.codec, entity.readable_key(wire_key), wire_key, consistent, projection)


def _put(entity: Entity[T], model: T, condition: Condition | None) -> Put:
    item = entity.encode(model)
    return Put(entity.table_name, entity.codec, entity.readable_key(entity.key_of(item)), item, condition)


def _settled(entity: Entity[T], model: T, *, version: int, is_new: bool) -> Flow[dict[str, object]]:
    """Return the field values that this write settles: the version and the times."""
    entity.check_class(model)
    declaration = entity.declaration
    settled: dict[str, object] = {}
    if declaration.version is not None:
        settled[declaration.version] = version
    settled.update(_whole_expiry(entity, model))
    if declaration.created_at is None and declaration.updated_at is None:
        return settled
    time = entity.codec.times.show((yield from now()))
    given = {name for name in model.model_fields_set if getattr(model, name) is not None}
    if declaration.created_at is not None and declaration.created_at not in given:
        settled[declaration.created_at] = time
    if declaration.updated_at is not None and not (is_new and declaration.updated_at in given):
        settled[declaration.updated_at] = time
    return settled


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


def not_found(entity: Entity[T], request: Request, error: ConditionFailedError) -> ItemNotFoundError:
    """Return the error of a condition that failed because there is no item."""
    missing = ItemNotFoundError(entity.table_name, request.readable_key, error)
    return missing.answered(operation=error.operation or "", request_id=error.request_id, code=error.code)


def _version(entity: Entity[T], model: T) -> int:
    """Return the version a model was read with; 0 when it was never stored."""
    name = entity.declaration.version
    version: int | None = getattr(model, name, None) if name is not None else None
    return version or 0


def is_absent(entity: Entity[T]) -> Condition:
    """Return the condition that no item has the key."""
    return Path(entity.declaration.partition_key).not_exists()


def is_present(entity: Entity[T]) -> Condition:
    """Return the condition that an item has the key."""
    return Path(entity.declaration.partition_key).exists()


def failed_condition(
    kind: type[ConditionFailedError], message: str, entity: Entity[T], request: Request, error: ConditionFailedError
) -> ConditionFailedError:
    """Return a failed condition as the error the caller understands, with the stored item as a model."""
    failed = kind(
        message,
        error,
        item=entity.stored_model(error),
        table_name=entity.table_name,
        key=request.readable_key,
    )
    return failed.answered(operation=error.operation or "", request_id=error.request_id, code=error.code)


def _version_conflict(
    entity: Entity[T], request: Request, version: int, error: ConditionFailedError
) -> ConditionFailedError:
    stored = entity.stored_model(error)
    name = str(entity.declaration.version)
    found = f"version {getattr(stored, name)} is stored" if stored is not None else "another item is stored"
    mine = f"this model has version {version}" if version else "this model has no version, as if it was never stored"
    return failed_condition(VersionConflictError, f"{mine}, but {found}", entity, request, error)
