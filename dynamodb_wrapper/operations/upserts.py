"""What a patch must give, and gives by itself, where it may create the item."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.exceptions import ExpressionError, ValidationError
from dynamodb_wrapper.expressions import Add, SetIfMissing
from dynamodb_wrapper.operations.derived_changes import Change
from dynamodb_wrapper.operations.entity import Entity

T = TypeVar("T", bound=BaseModel)


def refuse_fragment(entity: Entity[T], planned: Iterable[Change]) -> None:
    """Refuse an upsert that could create an item which is no valid model.

    Raises:
        ExpressionError: It could be one of several models.
        ValidationError: A required field is not given; says which.
    """
    if entity.codec.fixed:
        raise ExpressionError(
            f"an upsert may create the item, and nothing says which of {entity.codec.model_class.__name__} it is"
        )
    declaration = entity.declaration
    given = {change.root for change in planned if change.is_plain or isinstance(change.value, SetIfMissing | Add)}
    given |= set(declaration.key_fields)
    managed = (declaration.version, declaration.created_at, declaration.updated_at, declaration.schema_version)
    given |= {name for name in managed if name}
    missing = [
        name
        for name, info in declaration.model_class.model_fields.items()
        if info.is_required() and name not in given and not entity.codec.may_be_absent(name)
    ]
    if missing:
        raise ValidationError(
            f"an upsert may create the item, so it must give every required field; missing: {', '.join(missing)}",
            dict.fromkeys(missing, "required, not given"),
        )


def refuse_underived(entity: Entity[T], planned: Iterable[Change]) -> None:
    """Refuse an upsert that could create an item without a derived attribute it should have.

    Raises:
        ExpressionError: A field that it is computed from is not given; says which.
    """
    given = {change.root for change in planned if change.is_plain} | set(entity.declaration.key_fields)
    given |= {name for name in (entity.declaration.updated_at,) if name is not None}  # every write sets it
    for entry in entity.declaration.derived:
        missing = [name for name in entry.fields if name not in given]
        if missing:
            raise ExpressionError(
                f"an upsert may create the item, so it must give every field that {entry.attribute!r} is computed "
                f"from, as a plain value; missing: {', '.join(missing)}",
                dict.fromkeys(missing, f"needed for {entry.attribute!r}"),
            )


def index_defaults(entity: Entity[T], planned: Iterable[Change]) -> Iterable[Change]:
    """Return what gives an item that an upsert creates its defaults in index keys: without, indexes would not have it.

    Reading gives the same defaults, so an item that is there does not change by it.
    """
    declaration, codec = entity.declaration, entity.codec
    given = {change.root for change in planned} | set(declaration.key_fields)
    given |= {name for name in (declaration.version, declaration.created_at, declaration.updated_at) if name}
    for name, info in declaration.model_class.model_fields.items():
        is_key = codec.attribute(name) in entity.key_tags and name not in given
        has_default = not info.is_required() and info.default_factory is None  # one that is the same each time
        if is_key and has_default and not codec.is_left_out(name, info.default):
            yield Change(name, codec.target((name,)), SetIfMissing(info.default))
