"""The few places where Pydantic's public surface does not say enough; each is probed, with a plain way to fall back.

Works on Pydantic 2.7 and newer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import BaseModel, TypeAdapter
from pydantic_core import SchemaValidator
from pydantic_core import core_schema as cs


def has_own_serializer(cls: type[BaseModel], name: str) -> bool:
    """Whether a ``@field_serializer`` decides how the field is written."""
    serializers = cls.__pydantic_decorators__.field_serializers.values()
    return any(name in serializer.info.fields or "*" in serializer.info.fields for serializer in serializers)


def has_model_serializer(cls: type[BaseModel]) -> bool:
    """Whether a ``@model_serializer`` decides how the whole model is written."""
    return bool(cls.__pydantic_decorators__.model_serializers)


def is_strict(cls: type[BaseModel]) -> bool:
    """Whether the model, or anything inside it, is validated strictly."""
    return _mentions_strict(cls.__pydantic_core_schema__)


def _mentions_strict(schema: object) -> bool:
    if isinstance(schema, dict):
        return schema.get("strict") is True or any(_mentions_strict(part) for part in schema.values())
    if isinstance(schema, list | tuple):
        return any(_mentions_strict(part) for part in schema)
    return False


def field_validator(cls: type[BaseModel], name: str, annotation: Any) -> Callable[..., Any]:
    """Return a function that validates one field's value as the model would, ``@field_validator`` included.

    Falls back to the annotation with its constraints where the model's schema is not laid out as expected.
    """
    schema: Any = cls.__pydantic_core_schema__
    definitions: list[Any] = []
    while isinstance(schema, dict) and schema.get("type") != "model-fields":
        if schema["type"] == "definitions":
            definitions = schema["definitions"]
        if schema["type"] == "definition-ref":
            schema = next((entry for entry in definitions if entry.get("ref") == schema["schema_ref"]), None)
        else:
            schema = schema.get("schema")
    if not isinstance(schema, dict) or name not in schema["fields"]:
        return TypeAdapter(annotation).validate_python
    field = schema["fields"][name]["schema"]
    validator = SchemaValidator(cs.definitions_schema(field, definitions) if definitions else field)
    return validator.validate_python


def dump_field(cls: type[BaseModel], name: str, value: object) -> Any:
    """Return one field's value as ``model_dump(by_alias=True)`` of a whole model would give it."""
    lone = cls.__new__(cls)
    object.__setattr__(lone, "__dict__", {name: value})
    object.__setattr__(lone, "__pydantic_fields_set__", {name})
    object.__setattr__(lone, "__pydantic_extra__", None)
    object.__setattr__(lone, "__pydantic_private__", None)
    dumped = cls.__pydantic_serializer__.to_python(lone, include={name}, by_alias=True, warnings=False)
    (only,) = dumped.values()
    return only


def assign(model: BaseModel, values: dict[str, object]) -> None:
    """Set fields that a write has settled, past ``validate_assignment``: the values come from us."""
    model.__dict__.update(values)
    model.__pydantic_fields_set__.update(values)
