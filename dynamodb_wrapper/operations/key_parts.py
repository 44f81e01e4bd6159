"""The parts of index keys that a patch does not give: read before it, and written only over what was read."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from dynamodb_wrapper.codec import Item
from dynamodb_wrapper.exceptions import ConditionFailedError, DynamoDBWrapperError, ItemNotFoundError
from dynamodb_wrapper.expressions import Condition, Stored, every
from dynamodb_wrapper.operations.effects import Flow, sleep
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.requests import Get

R = TypeVar("R")

_TRIES = 8
_FIRST_PAUSE_SECONDS = 0.05
_LONGEST_PAUSE_SECONDS = 1.0


class StalePartsError(DynamoDBWrapperError):
    """The parts of a key are not what they were when they were read; read them again. Callers do not see it."""


@dataclass(frozen=True, slots=True)
class KeyParts:
    """Fields of an item as they were read.

    Attributes:
        stored: Their attributes, by stored name; None for one that is missing.
        values: The fields, typed as the model's.
    """

    stored: Mapping[str, Any]
    values: Mapping[str, object]

    @property
    def unchanged(self) -> Condition | None:
        """The condition that they still are as they were read."""
        return every(*(Stored(attribute, wire) for attribute, wire in self.stored.items()))

    def are_stale(self, item: object) -> bool:
        """Whether an item that is there has other ones."""
        return isinstance(item, Mapping) and any(item.get(name) != wire for name, wire in self.stored.items())


def until_as_read(
    entity: Entity[Any], key: Item, names: Sequence[str], attempt: Callable[[KeyParts], Flow[R]]
) -> Flow[R]:
    """Read fields and write what depends on them, until nobody has changed them in between.

    Raises:
        ItemNotFoundError: There is no item.
        ConditionFailedError: Other writers changed them at every try; nothing was written.
    """
    stale: StalePartsError | None = None
    for number in range(_TRIES):
        if stale is not None:
            yield from sleep(min(_FIRST_PAUSE_SECONDS * 2.0**number, _LONGEST_PAUSE_SECONDS), jittered=True)
        parts = yield from _read(entity, key, names)
        try:
            return (yield from attempt(parts))
        except StalePartsError as error:
            stale = error
    raise ConditionFailedError(
        f"given up after {_TRIES} tries: each time other writers changed {', '.join(names)}, of which index keys are "
        "made; nothing was written",
        stale,
        table_name=entity.table_name,
        key=entity.readable_key(key),
    ) from stale


def _read(entity: Entity[Any], key: Item, names: Sequence[str]) -> Flow[KeyParts]:
    readable = entity.readable_key(key)
    attributes = [entity.codec.attribute(name) for name in names]
    # Of an item of an older schema version, all is read: a part may have another place there.
    read_along = [(entity.codec.attribute(name),) for name in entity.codec.fixed]
    wanted = (
        None if entity.has_older_forms else [*((attribute,) for attribute in attributes), *read_along, *entity.told_by]
    )
    response = yield from Get(entity.table_name, entity.codec, readable, key, True, wanted).send()
    item = response.get("Item")
    if item is None or not entity.is_ours(item):
        raise ItemNotFoundError(entity.table_name, readable)
    stored = {attribute: item.get(attribute) for attribute in attributes}
    current = entity.current_item(item) if wanted is None else item
    found = entity.codec.decode_partial({name: current[name] for name in attributes if name in current})
    missing = entity.codec.read_where_missing
    return KeyParts(stored, {name: found[name] if name in found else missing(name, current) for name in names})
