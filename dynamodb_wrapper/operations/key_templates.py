"""From what a repository declares of its keys to the templates of its model."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import Enum

from pydantic import BaseModel

from dynamodb_wrapper.codec import Form, Key, Part, Sharded, Template
from dynamodb_wrapper.exceptions import DeclarationError
from dynamodb_wrapper.operations.declaration import DATETIMES, classes_of


def template_of(key: Key, attribute: str, model_class: type[BaseModel], *, is_sorted: bool) -> Template:
    """Return the template of a model that a key declares.

    Args:
        key: What is declared.
        attribute: The attribute it is stored in.
        model_class: The model.
        is_sorted: Whether it is a sort key.

    Raises:
        DeclarationError: The model has no such field, or it cannot stand in a key.
    """
    fields = model_class.model_fields
    sharded_by = (key.by,) if isinstance(key, Sharded) else ()
    for name in (*(name for name, _ in key.placeholders), *key.fields, *sharded_by):
        if name not in fields:
            raise DeclarationError(
                f"{key!r} names {name!r}, which is no field of {model_class.__name__}; its fields are "
                f"{', '.join(fields)}"
            )
    if is_sorted:
        _check_sorted(key, model_class)
    parts = tuple(
        Part.of(name, spec, _form_of(model_class, name), is_sorted=is_sorted) for name, spec in key.placeholders
    )
    literals = key.literals
    if isinstance(key, Sharded):
        if is_sorted:
            raise DeclarationError(f"{key!r}: a partition key is spread over shards, no sort key")
        literals = (*literals[:-1], f"{literals[-1]}#", "")
        parts = (*parts, Part(key.by, "shard", key.shards))
    return Template(attribute, literals, parts, key.case, key.when, tuple(key.fields), key.template)


def _check_sorted(key: Key, model_class: type[BaseModel]) -> None:
    """Refuse fields that are stored as text which does not sort as they do."""
    for name, _ in key.placeholders:
        classes = list(classes_of(model_class.model_fields[name].annotation))
        if any(issubclass(kind, timedelta) for kind in classes):
            raise DeclarationError(
                f"{key!r}: {name!r} is a duration, and the text of a longer one may sort before that of a shorter one; "
                "keep it as a whole number of seconds, padded"
            )
        datetimes = [issubclass(kind, (datetime, *DATETIMES)) for kind in classes]
        if any(datetimes) and not all(datetimes):
            raise DeclarationError(
                f"{key!r}: {name!r} may be a datetime or something else, and these do not sort together"
            )


def _form_of(model_class: type[BaseModel], name: str) -> Form:
    """Return what a field is written as in keys, by its annotation; what it is stored as is checked elsewhere."""
    classes = list(classes_of(model_class.model_fields[name].annotation))
    if classes and all(issubclass(kind, (datetime, *DATETIMES)) for kind in classes):
        return "datetime"
    return "number" if classes and all(_is_whole(kind) for kind in classes) else "text"


def _is_whole(kind: type) -> bool:
    if issubclass(kind, Enum):
        return all(isinstance(member.value, int) for member in kind)
    return issubclass(kind, int) and not issubclass(kind, bool)
