"""Flows on one item: create, put, get, update, delete."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper import expressions
from dynamodb_wrapper.codec import Item, PartialItem, Step, encoded_to_json, read_any
from dynamodb_wrapper.exceptions import ConditionFailedError, ExpressionError, ItemNotFoundError
from dynamodb_wrapper.operations import evolving, recalling, transactions, versions, writes
from dynamodb_wrapper.operations.effects import AnswerReader, Flow, Response, call
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.requests import Get, Read

if TYPE_CHECKING:
    from dynamodb_wrapper.expressions import AnyCondition, Path
    from dynamodb_wrapper.operations.recalling import AnswerCache, Bodies, Name
    from dynamodb_wrapper.operations.writes import KeyValues

T = TypeVar("T", bound=BaseModel)


def create(entity: Entity[T], model: T) -> Flow[T]:
    """Write a model only if its key is free.

    Raises:
        ItemAlreadyExistsError: An item is there; it is in ``.item``.
        UniqueViolationError: Another item has one of its unique values.
    """
    write = yield from writes.creation(entity, model)
    yield from transactions.send(write)
    return write.settle()


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
    as_read = zoned.codec.decode(zoned.encode(model)) if zone is not None else model
    fields = type(as_read).model_fields
    aware = {name: getattr(as_read, name) for name in fields if getattr(as_read, name) != getattr(model, name)}
    created = yield from create(zoned, model)
    return entity.settle(created, aware)


def put(entity: Entity[T], model: T) -> Flow[T]:
    """Write a model, replacing what is there; with a version, only what was read (or nothing).

    Raises:
        VersionConflictError: Another writer changed the item since it was read.
        UniqueViolationError: Another item has one of its unique values.
    """
    if entity.declaration.writes_plainly:
        yield from _put_plainly(entity, model)
        return model
    write = yield from writes.replacement(entity, model, may_be_new=True)
    yield from transactions.send(write)
    return write.settle()


def _put_plainly(entity: Entity[T], model: T) -> Flow[Response]:
    """Write a model as `put` does where the model is all that decides: its JSON is all there is to make."""
    entity.check_class(model)
    key, item = entity.encode_json(model)
    params = {"TableName": entity.table_name, "Item": key}
    body = b'{"TableName":%b,"Item":%b}' % (encoded_to_json(entity.table_name), item)
    return call("PutItem", params, key=entity.readable_key(key), body=body)


def update(entity: Entity[T], model: T) -> Flow[T]:
    """Replace an existing item; with a version, only the version that was read.

    Raises:
        ItemNotFoundError: There is no item to replace.
        VersionConflictError: Another writer changed the item since it was read, or the model was never stored.
        UniqueViolationError: Another item has one of its unique values.
    """
    write = yield from writes.replacement(entity, model, may_be_new=False)
    yield from evolving.send(write)
    return write.settle()


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
    """Read an item as a model, or None; from the cache, where there is one and ``consistent`` does not forbid it."""
    if entity.cache is not None and not consistent:
        return (yield from _recalled(entity, entity.key(*key), entity.cache))
    reading = whole(entity, key, consistent=consistent)
    if not entity.writes_back:
        return (yield from reading.send())
    response = yield from reading.request.send()
    found = reading.result(response)
    yield from evolving.write_back(entity, [response["Item"]] if found is not None else [])
    return found


def _recalled(entity: Entity[T], key: Item, cache: AnswerCache) -> Flow[T | None]:
    name = cache.name_of(key)
    older: list[Item] = []

    def read(_: Sequence[Name]) -> Flow[Bodies]:
        readable, consistent = entity.readable_key(key), cache.consistent_fills
        response = yield from Get(entity.table_name, entity.codec, readable, key, consistent).send()
        if entity.writes_back and "Item" in response:
            older.append(response["Item"])
        return {name: recalling.body_of_item(response.get("Item"))}

    body = cache.hit(name)
    if body is None:
        body = (yield from recalling.recalled(cache, recalling.Kind.ITEM, (name,), read))[name]
    item = recalling.opened(body, entity.item_reader).get("Item")
    found = None if item is None else entity.found(item)
    if older and found is not None:
        yield from evolving.write_back(entity, older)
    return found


def get_attributes(
    entity: Entity[T], key: KeyValues, attributes: Sequence[str | Path], *, consistent: bool
) -> Flow[PartialItem | None]:
    """Read some attributes of an item, or None when there is no item."""
    return (yield from partial(entity, key, attributes, consistent=consistent).send())


def whole(entity: Entity[T], key: KeyValues, *, consistent: bool = False) -> Read[T]:
    """Return the reading of an item as a model."""
    return Read(_get_request(entity, key, consistent=consistent, read=entity.item_reader), entity.found, entity)


def partial(
    entity: Entity[T], key: KeyValues, attributes: Sequence[str | Path], *, consistent: bool = False
) -> Read[PartialItem]:
    """Return the reading of some attributes of an item."""
    chosen = Projection(entity, attributes)
    # The key comes along, so that an item without any of the attributes is told from no item.
    names = None if chosen.reads_whole else (*chosen.places, *entity.told_by)
    return Read(_get_request(entity, key, consistent=consistent, projection=names), chosen.found)


def get_raw(entity: Entity[T], key: KeyValues, *, consistent: bool) -> Flow[dict[str, Any] | None]:
    """Read an item as it is stored, as plain Python values; None when there is none."""
    response = yield from _get_request(entity, key, consistent=consistent).send()
    item = response.get("Item")
    return None if item is None or not entity.is_ours(item) else {name: read_any(wire) for name, wire in item.items()}


def exists(entity: Entity[T], key: KeyValues, *, consistent: bool) -> Flow[bool]:
    """Tell whether there is an item, without reading its attributes."""
    response = yield from _get_request(entity, key, consistent=consistent, projection=entity.told_by).send()
    return "Item" in response and entity.is_ours(response["Item"])


def delete(entity: Entity[T], key: KeyValues, *, when: AnyCondition | None) -> Flow[bool]:
    """Delete an item; True if one was there.

    Raises:
        ConditionFailedError: ``when`` was false; nothing was deleted.
    """
    try:
        response = yield from evolving.send(writes.deletion(entity, key, when))
    except ConditionFailedError:
        if when is not None or entity.only_ours is None:
            raise
        return False  # what is there is another model's
    return bool(response.get("Attributes"))


class Projection:
    """Some attributes of an item: how they are asked for, and how they come back.

    Attributes:
        targets: The places that are asked for.
        reads_whole: Whether whole items are to be read for it: what is asked for may have another place, or none, in
            an item of an older schema version.
    """

    def __init__(
        self,
        entity: Entity[T],
        attributes: Sequence[str | Path],
        *,
        has_whole: bool = True,
        told: Collection[str] = (),
    ) -> None:
        """Choose attributes.

        Args:
            entity: The model in its table.
            attributes: Names or paths.
            has_whole: Whether what is read from has whole items.
            told: Attributes that are not there to be read, and that keys tell.
        """
        if isinstance(attributes, str | bytes) or not isinstance(attributes, Iterable):
            raise ExpressionError(f"attributes takes a list of names or paths, not {attributes!r:.80}")
        paths = [(entry,) if isinstance(entry, str) else _steps(entry) for entry in attributes]
        self.targets = tuple(entity.codec.target(steps) for steps in paths)
        self.reads_whole = has_whole and entity.has_older_forms
        self._entity = entity
        self._told = frozenset(told)
        self._roots = {target.names[0] for target in self.targets}
        self._whole = {target.label for target in self.targets if len(target.names) == 1}

    @property
    def places(self) -> tuple[tuple[Step, ...], ...]:
        """The stored paths that are asked for."""
        return tuple(target.names for target in self.targets if target.names[0] not in self._told)

    def current(self, item: Item) -> Item:
        """Return an item, or what was read of it, in the current schema version, with what its keys tell."""
        if self._told:
            return self._entity.with_told(item)
        return versions.pruned(self._entity.current_item(item), self.places) if self.reads_whole else item

    def found(self, item: Item) -> PartialItem | None:
        """Return what was asked for of an item under a key of ours; None for an item of another model."""
        return self.decode(item) if self._entity.is_ours(item) else None

    def decode(self, item: Item) -> PartialItem:
        """Return what was asked for, without the keys that were read along."""
        item = self.current(item)
        wanted = {name: wire for name, wire in item.items() if name in self._roots}
        return self._entity.codec.decode_partial(wanted, self._whole)


def _steps(entry: object) -> tuple[Step, ...]:
    if not isinstance(entry, expressions.Path):
        raise ExpressionError(f"an attribute is named by a field name or a path like F.address.city, not {entry!r:.80}")
    return entry.steps


def _get_request(
    entity: Entity[T],
    key: KeyValues,
    *,
    consistent: bool,
    projection: Sequence[tuple[Step, ...]] | None = None,
    read: AnswerReader | None = None,
) -> Get:
    wire_key = entity.key(*key)
    return Get(entity.table_name, entity.codec, entity.readable_key(wire_key), wire_key, consistent, projection, read)
