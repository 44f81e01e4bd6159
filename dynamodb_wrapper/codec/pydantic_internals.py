"""The few places where Pydantic's public surface does not say enough; each is probed, with a plain way to fall back.

Works on Pydantic 2.7 and newer.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal

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


def has_any_serializer(cls: type) -> bool:
    """Whether a custom serializer decides how anything of a Pydantic dataclass is written."""
    decorators = getattr(cls, "__pydantic_decorators__", None)
    return decorators is not None and bool(decorators.field_serializers or decorators.model_serializers)


def has_early_validator(cls: type[BaseModel], name: str) -> bool:
    """Whether a validator of the model is shown the field's value before Pydantic has made it its type."""
    decorators = cls.__pydantic_decorators__
    of_fields: tuple[Any, ...] = (*decorators.field_validators.values(), *decorators.validators.values())
    of_models: tuple[Any, ...] = (*decorators.model_validators.values(), *decorators.root_validators.values())
    return any(
        validator.info.mode != "after" and (name in validator.info.fields or "*" in validator.info.fields)
        for validator in of_fields
    ) or any(validator.info.mode != "after" for validator in of_models)


def complete(cls: type[BaseModel]) -> None:
    """Finish a model that was put off: forward references, ``defer_build``."""
    if not cls.__pydantic_complete__ or not isinstance(cls.__pydantic_core_schema__, dict):
        cls.model_rebuild(force=True, raise_errors=False)


def field_validator(cls: type[BaseModel], name: str, annotation: Any) -> Callable[..., Any]:
    """Return a function that validates one field's value as the model would, ``@field_validator`` included.

    Validators that look at ``info.data`` find no other fields there. Falls back to the annotation with its constraints
    where the model's schema is not laid out as expected.
    """
    fields, definitions, config = _fields_of(cls)
    if name not in fields:
        return TypeAdapter(annotation).validate_python
    lone: Any = cs.model_fields_schema({name: cs.model_field(fields[name]["schema"])})
    validator = SchemaValidator(cs.definitions_schema(lone, definitions) if definitions else lone, config)

    def validate(value: object, /, *, strict: bool | None = None) -> Any:
        fields, _, _ = validator.validate_python({name: value}, strict=strict)
        return fields[name]

    return validate


def _fields_of(cls: type[BaseModel]) -> tuple[dict[str, Any], list[Any], Any]:
    """Return the schemas of a model's fields, the definitions they refer to and the model's configuration."""
    schema: Any = cls.__pydantic_core_schema__
    definitions: list[Any] = []
    config: Any = None
    while isinstance(schema, dict) and schema.get("type") != "model-fields":
        if schema["type"] == "definitions":
            definitions = schema["definitions"]
        config = schema.get("config", config)
        if schema["type"] == "definition-ref":
            schema = next((entry for entry in definitions if entry.get("ref") == schema["schema_ref"]), None)
        else:
            schema = schema.get("schema")
    return (schema["fields"] if isinstance(schema, dict) else {}), definitions, config


def leaves_fields_alone(cls: type[BaseModel]) -> bool:
    """Whether nothing that the model declares sees it as a whole, and could change fields that have been read."""
    schema: Any = cls.__pydantic_core_schema__
    while isinstance(schema, dict) and schema["type"] == "definitions":
        schema = schema["schema"]
    return isinstance(schema, dict) and schema["type"] == "model" and not schema.get("post_init")


def takes_as_it_is(cls: type[BaseModel], name: str) -> type | None:
    """Return ``str`` or ``int`` if a field takes any such value, keeps it and writes it unchanged; else None.

    What validators of the whole model do does not count.
    """
    fields, _, config = _fields_of(cls)
    field = fields.get(name, {})
    schema = field.get("schema", {})
    is_dropped = any(option.startswith("serialization_exclude") for option in field)
    changes_text = any(option.startswith("str_") for option in config or ())
    if is_dropped or changes_text or not schema.keys() <= {"type", "metadata"}:
        return None
    return _KEPT.get(schema.get("type"))


_KEPT: dict[object, type] = {"str": str, "int": int}


def dump_field(cls: type[BaseModel], name: str, value: object, *, warnings: Literal["error"] | bool = False) -> Any:
    """Return one field's value as ``model_dump(by_alias=True)`` of a whole model would give it.

    Raises:
        KeyError: Such a value is left out (``exclude``, ``exclude_if``).
    """
    lone = cls.__new__(cls)
    object.__setattr__(lone, "__dict__", {name: value})
    object.__setattr__(lone, "__pydantic_fields_set__", {name})
    object.__setattr__(lone, "__pydantic_extra__", None)
    object.__setattr__(lone, "__pydantic_private__", None)
    dumped = cls.__pydantic_serializer__.to_python(lone, include={name}, by_alias=True, warnings=warnings)
    if not dumped:
        raise KeyError(name)
    (only,) = dumped.values()
    return only


def assign(model: BaseModel, values: dict[str, object]) -> None:
    """Set fields that a write has settled, past ``validate_assignment``: the values come from us."""
    model.__dict__.update(values)
    model.__pydantic_fields_set__.update(values)


def validator_of(schema: Any) -> SchemaValidator:
    """Return the validator of a core schema as it is written.

    Pydantic 2.11 and newer would put a model's own, ready validator in place of a schema that names its class.
    """
    try:
        return SchemaValidator(schema, None, _use_prebuilt=False)  # Pydantic 2.13
    except TypeError:
        pass
    # Before that, the validator of a model that does not look finished is not taken. Should two threads do this at
    # once, one of them may get a validator that refuses every item: those are then read the simple way.
    finished = [cls for cls in _models_in(schema) if cls.__dict__.get("__pydantic_complete__")]
    for cls in finished:
        cls.__pydantic_complete__ = False
    try:
        return SchemaValidator(schema)
    finally:
        for cls in finished:
            cls.__pydantic_complete__ = True


def _models_in(schema: Any) -> set[type[BaseModel]]:
    found: set[type[BaseModel]] = set()
    waiting = [schema]
    while waiting:
        entry = waiting.pop()
        if isinstance(entry, dict):
            if entry.get("type") == "model":
                found.add(entry["cls"])
            waiting.extend(entry.values())
        elif isinstance(entry, list | tuple):
            waiting.extend(entry)
    return found
