"""The commonest patch, of whole fields of what is there, with all that is the same each time made once."""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from typing import TYPE_CHECKING, Any

from dynamodb_wrapper.codec import Item, Target
from dynamodb_wrapper.exceptions import ExpressionError
from dynamodb_wrapper.expressions import Encoded
from dynamodb_wrapper.operations.effects import Call
from dynamodb_wrapper.operations.requests import Update
from dynamodb_wrapper.operations.writes import KeyValues, is_present

if TYPE_CHECKING:
    from dynamodb_wrapper.operations.entity import Entity

_PLAIN = frozenset((str, int, float, bool, Decimal, bytes, dt.datetime, dt.date, uuid.UUID, list, dict))
"""Of what is stored as it is, whichever its field: it is no expression, and not stored by leaving the attribute out."""
_MOST = 1000


@dataclass(frozen=True, slots=True)
class PlainPatch:
    """A patch of certain fields, of which the key and the values are missing.

    Attributes:
        entity: The model in its table.
        targets: The fields.
        template: The call, with another key and other values.
    """

    entity: Entity[Any]
    targets: tuple[Target, ...]
    template: Call

    def call(self, key: KeyValues, values: Mapping[str, object]) -> Call | None:
        """Return the call of an ordinary patch; None where that does more than to set plain values.

        Raises:
            ValidationError: The key is none of the table, or a value is not one for its field.
        """
        entity, template = self.entity, self.template
        if key[1] is not None and entity.declaration.sort_key is None:
            return None
        wire_key = entity.key(*key)
        wires: Item = {}
        for number, (target, value) in enumerate(zip(self.targets, values.values(), strict=True)):
            if value.__class__ not in _PLAIN and not isinstance(value, Enum):
                return None
            wire = target.written(value)
            if wire in wires.values():  # such values share a placeholder
                return None
            wires[f":v{number}"] = wire
        params = {**template.params, "Key": wire_key, "ExpressionAttributeValues": wires}
        params["ExpressionAttributeNames"] = dict(params["ExpressionAttributeNames"])
        return Call("UpdateItem", params, template.repeatable, entity.readable_key(wire_key), template.read)


def plain_patch(entity: Entity[Any], names: tuple[str, ...]) -> PlainPatch | None:
    """Return the patch of certain fields; None where an ordinary one does more than to set them."""
    known = entity.plain_patches
    if names in known:
        return known.get(names)  # None, too, when another thread has just cleared it
    if len(known) >= _MOST:
        known.clear()
    made = known[names] = _made(entity, names)
    return made


def _made(entity: Entity[Any], names: tuple[str, ...]) -> PlainPatch | None:
    if not names or not entity.declaration.writes_plainly or entity.evolution is not None:
        return None
    if entity.codec.derived or entity.codec.fixed:
        return None
    members = [entity.codec.member(name) for name in names]
    if any(one is None or one.name in entity.unpatchable or one.attribute in entity.key_tags for one in members):
        return None
    targets = tuple(entity.codec.target((name,)) for name in names)
    changes = tuple((target, Encoded({"N": str(number)})) for number, target in enumerate(targets))
    read = entity.codec.answer_reader("Attributes")
    request = Update(entity.table_name, entity.codec, {}, {}, changes, is_present(entity), repeatable=True, read=read)
    try:
        return PlainPatch(entity, targets, request.as_call())
    except ExpressionError:  # an ordinary patch tells
        return None
