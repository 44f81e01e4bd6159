"""What schema versions mean for requests: what is changed of which items, and what is read of older ones."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from typing import Any, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import ANY, Item, Step, Target, Wire
from dynamodb_wrapper.codec.pydantic_internals import has_model_serializer
from dynamodb_wrapper.exceptions import ConditionFailedError, SchemaVersionError
from dynamodb_wrapper.expressions import Condition, Encoded, Path, Remove, every
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.requests import Put, Update, without_overlaps

T = TypeVar("T", bound=BaseModel)


def of_this_schema(entity: Entity[Any]) -> Condition | None:
    """Return the condition that the item is of the schema version that is written, or newer where that is read."""
    evolution = entity.evolution
    if evolution is None:
        return None
    attribute = Path(evolution.options.attribute)
    newer = evolution.options.newer_versions == "read"
    condition: Condition = attribute >= evolution.current if newer else attribute == evolution.current
    return condition | attribute.not_exists() if evolution.options.unversioned == evolution.current else condition


def wrong_version(entity: Entity[Any], error: ConditionFailedError) -> SchemaVersionError | None:
    """Return the error of a condition that failed because the item is not of this schema version, if that is why."""
    evolution = entity.evolution
    if evolution is None or not isinstance(error.item, Mapping) or not entity.is_ours(error.item):
        return None
    try:
        version = evolution.version_of(error.item)
    except SchemaVersionError as wrong:
        problem = wrong
    else:
        is_newer = version > evolution.current and evolution.options.newer_versions == "error"
        if not is_newer and version >= evolution.current:
            return None
        problem = evolution.too_new(version) if is_newer else evolution.too_old(version)
    problem.context.update(entity.located(error.item))
    return problem.answered(operation=error.operation or "", request_id=error.request_id, code=error.code)


def stored_place(attribute: str) -> Target:
    """Return the place of an attribute, whether the model knows it or not, for values in wire form."""
    return Target(attribute, (attribute,), ANY, dict, dict)


def over_known(entity: Entity[T], put: Put) -> Put | Update:
    """Return the write of the attributes that the model knows; what a newer program has added stays.

    Only over an item of this schema version: in an older one there are attributes that are no more.
    """
    codec, condition = entity.codec, every(put.condition, of_this_schema(entity))
    if any(map(_decides_on_all, codec.classes)):
        return replace(put, condition=condition)
    known = dict.fromkeys((*codec.shape.by_attribute, *sorted(codec.shape.computed), *put.item))
    known |= {entry.attribute: None for entry in codec.derived}
    changes = [
        (stored_place(name), Encoded(put.item[name]) if name in put.item else Remove())
        for name in known
        if name not in entity.table_key_attributes
    ]
    key = entity.key_of(put.item)
    return Update(
        put.table_name,
        put.resolver,
        put.readable_key,
        key,
        tuple(changes),
        condition,
        repeatable=True,
        answers=False,
    )


def _decides_on_all(model_class: type[BaseModel]) -> bool:
    """Whether it is the model that says what all there is in an item."""
    return model_class.model_config.get("extra") == "allow" or has_model_serializer(model_class)


def pruned(item: Mapping[str, Wire], places: Iterable[tuple[Step, ...]]) -> Item:
    """Return these places of an item, as DynamoDB gives them for a ``ProjectionExpression``."""
    wanted: _Wanted = {}
    for place in without_overlaps(places):
        inner = wanted
        for step in place:
            inner = inner.setdefault(step, {})
    return _entries(item, wanted)


_Wanted = dict[Step, "_Wanted"]


def _entries(entries: Mapping[str, Wire], wanted: _Wanted) -> Item:
    known = [(str(step), inner) for step, inner in wanted.items() if step in entries]
    found = {name: _inside(entries[name], inner) for name, inner in known}
    return {name: wire for name, wire in found.items() if wire is not None}


def _inside(wire: Wire, wanted: _Wanted) -> Wire | None:
    if not wanted:
        return wire
    match wire:
        case {"M": entries} if found := _entries(entries, wanted):
            return {"M": found}
        case {"L": elements}:
            places = sorted(step for step in wanted if isinstance(step, int) and step < len(elements))
            kept = [_inside(elements[place], wanted[place]) for place in places]
            return {"L": [element for element in kept if element is not None]} if any(kept) else None
    return None
