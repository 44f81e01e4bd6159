"""The changes of a patch to derived attributes: recomputed from what changes and what is known."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Derived, Target, Template
from dynamodb_wrapper.exceptions import ExpressionError
from dynamodb_wrapper.expressions import Action, Encoded, Remove
from dynamodb_wrapper.operations.entity import Entity

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True, slots=True)
class Change:
    """One change: the root field it touches, where exactly, what happens there, and how that is written if known."""

    root: str
    target: Target
    value: object
    encoded: Encoded | None = None

    @property
    def is_plain(self) -> bool:
        """Whether the whole field gets a value that is known here."""
        return len(self.target.names) == 1 and not isinstance(self.value, Action)


def derived_changes(
    entity: Entity[T], planned: Sequence[Change], known: Mapping[str, object], *, upsert: bool
) -> Iterable[tuple[Target, object]]:
    """Recompute the derived attributes whose fields change, from what is known and the values given in the same patch.

    An upsert may create the item, so it writes all of them.
    """
    by_root = {change.root: change for change in planned}
    for entry in entity.declaration.derived:
        is_key = entry.attribute in entity.table_key_attributes
        if is_key or not (upsert or by_root.keys() & set(entry.fields)):
            continue
        values = [
            known[name] if name in known else _known_value(entity, entry, name, by_root.get(name))
            for name in entry.fields
        ]
        wire = entity.codec.derive(entry, values)
        if wire is not None:
            entity.check_key_attribute(entry.attribute, wire)
        yield entity.codec.target((entry.attribute,)), Remove() if wire is None else Encoded(wire)


def _known_value(entity: Entity[T], entry: Derived | Template, name: str, change: Change | None) -> object:
    if change is None:
        raise ExpressionError(
            f"{entry.attribute!r} is computed from {', '.join(entry.fields)}: a patch that changes one of them "
            f"must give all, and {name!r} is missing",
            {name: f"needed for {entry.attribute!r}"},
        )
    if isinstance(change.value, Remove) and len(change.target.names) == 1:
        info = entity.declaration.model_class.model_fields[name]
        return None if info.is_required() else info.get_default(call_default_factory=True)
    if not change.is_plain:
        raise ExpressionError(
            f"{entry.attribute!r} is computed from {name!r}, so a patch must give {name!r} as a plain value",
            {name: f"needed for {entry.attribute!r}"},
        )
    return change.target.validate(change.value) if change.target.validate else change.value
