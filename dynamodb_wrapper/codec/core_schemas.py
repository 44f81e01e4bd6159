"""A model's own validation schema, rewritten so that pydantic-core reads DynamoDB's JSON itself.

Every field then looks through the type tag (``{"S": "text"}``), and whatever the model declares (validators, defaults,
constraints) still runs. A field is rewritten only where that is known to give what reading it the simple way gives;
any other field is read the simple way, by its shape, inside the same pass. A value that is not tagged as its field
expects never passes: it reaches a validator as a dict (or as a payload of a kind that it refuses), validation fails,
and the caller reads the item the simple way.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from operator import itemgetter
from typing import Any

from pydantic import BaseModel
from pydantic_core import core_schema as cs

from dynamodb_wrapper.codec import readers
from dynamodb_wrapper.codec.shapes import Member, ModelShape, Shape
from dynamodb_wrapper.codec.wire import TimeRules, read_any, read_binary

Schema = dict[str, Any]

_PAYLOADS = {
    "str": "S",
    "int": "N",
    "float": "N",
    "decimal": "N",
    "bool": "BOOL",
    "uuid": "S",
    "date": "S",
    "time": "S",
    "timedelta": "S",
}
"""Leaves whose payload, text or a bool, pydantic-core reads as it reads the value: schema type to type tag."""
_TAGS_BESIDES_MAPS = ("S", "N", "BOOL", "NULL", "L", "SS", "NS", "B", "BS")
_LOOKED_UP_BY_ATTRIBUTE = {
    "extra_fields_behavior": "ignore",
    "populate_by_name": False,
    "validate_by_alias": True,
    "validate_by_name": False,
}
"""What is stored is found by the stored name, however the model finds what its callers give."""


class UnreadableInOnePassError(Exception):
    """A model that pydantic-core cannot read from the wire as faithfully as the simple way does; says why."""


class SchemaRewriter:
    """Rewrites the schema of one model.

    Attributes:
        reasons: Why fields are read the simple way, by dotted name.
        as_python: Whether the JSON must be parsed before pydantic-core gets it: a validator is told how the input came,
            or a field is read the simple way, and its schema (of a union, say) may take text from JSON for more than it
            takes text from Python.
    """

    def __init__(self, times: TimeRules) -> None:
        self._times = times
        self._definitions: dict[str, Schema] = {}
        self._open: list[type[BaseModel]] = []
        self.reasons: dict[str, str] = {}
        self.as_python = False

    def model(self, shape: ModelShape, filled: Mapping[str, object]) -> Any:
        """Return the schema that takes an item, ``{"name": {"S": "x"}, ...}``.

        Args:
            shape: How the model is stored.
            filled: Fields that read as this value when their attribute is missing, though the model requires them.

        Raises:
            UnreadableInOnePassError: The model has to be read the simple way as a whole.
        """
        schema: Any = shape.cls.__pydantic_core_schema__
        if not isinstance(schema, dict):
            raise UnreadableInOnePassError("its schema is not finished")
        if schema["type"] == "definitions":
            self._definitions = {entry["ref"]: entry for entry in schema["definitions"]}
        self._open = [shape.cls]
        rewritten = self._model(self._resolved(schema), shape, filled, "")
        return (
            rewritten if not self._definitions else cs.definitions_schema(rewritten, list(self._definitions.values()))
        )

    def _resolved(self, schema: Schema) -> Schema:
        """Return a schema with references followed, as a copy of its own."""
        while schema["type"] in ("definitions", "definition-ref"):
            schema = schema["schema"] if schema["type"] == "definitions" else self._definitions[schema["schema_ref"]]
        return {name: value for name, value in schema.items() if name != "ref"}

    def _model(self, schema: Schema, shape: ModelShape, filled: Mapping[str, object], place: str) -> Schema:
        kind = schema["type"]
        if kind == "function-after":
            self._note_info(schema)
            return {**schema, "schema": self._model(self._resolved(schema["schema"]), shape, filled, place)}
        if kind != "model" or schema.get("custom_init") or schema.get("root_model") or schema["cls"] is not shape.cls:
            raise UnreadableInOnePassError(f"a {kind} schema sees the whole item")
        config: Mapping[str, Any] = schema.get("config") or {}
        fields = schema["schema"]
        if fields["type"] != "model-fields":
            raise UnreadableInOnePassError(f"a {fields['type']} schema sees the whole item")
        if shape.open or (shape.cls.model_config.get("extra") == "forbid" and not shape.forbids):
            raise UnreadableInOnePassError("it takes attributes that are no fields")
        if config.get("strict") or schema.get("strict"):
            raise UnreadableInOnePassError("it is strict, and DynamoDB has no type for much of what it wants")
        config = {**config, **_LOOKED_UP_BY_ATTRIBUTE}
        read = {
            name: self._field(fields["fields"][name], shape.by_name[name], filled, f"{place}{name}")
            for name in fields["fields"]
        }
        return {**schema, "config": config, "schema": {**fields, "fields": read, "extra_behavior": "ignore"}}

    def _field(self, field: Schema, member: Member, filled: Mapping[str, object], place: str) -> Schema:
        schema = field["schema"]
        wrapper: Schema | None = None
        if schema["type"] == "default":
            wrapper, schema = schema, schema["schema"]
        paths: list[list[str]]
        fast = self._payload(schema, member.shape, place)
        if fast is None:
            inner, paths = self._simply(schema, member.shape, place), [[member.attribute]]
        else:
            inner, tag = fast
            others = _TAGS_BESIDES_MAPS if tag == "M" else ()
            # Whatever else stands there comes along as it is, and is refused: it must not read as missing.
            rest = [[member.attribute, other] for other in others] if others else [[member.attribute]]
            paths = [[member.attribute, tag], *rest]
            if member.shape.nullable and not others:
                inner = _or_null(inner)
        if wrapper is not None:
            inner = {**wrapper, "schema": inner}
        elif member.name in filled:
            value = filled[member.name]
            inner = dict(cs.with_default_schema(inner, default=value, validate_default=True))
        return {**field, "schema": inner, "validation_alias": paths}

    def _payload(self, schema: Schema, shape: Shape, place: str) -> tuple[Schema, str] | None:
        """Return the schema that takes what is inside the type tag, and that tag; None if it is read the simple way."""
        schema = self._resolved(schema)
        kind, read = schema["type"], shape.read
        if schema.get("strict"):
            return None
        if kind == "nullable":
            inner = self._payload(schema["schema"], _without_null(shape), place)
            return inner and ({**schema, "schema": inner[0]}, inner[1])
        if kind == "function-after":
            self._note_info(schema)
            inner = self._payload(schema["schema"], shape, place)
            return inner and ({**schema, "schema": inner[0]}, inner[1])
        if kind in _PAYLOADS and shape.tags == {_PAYLOADS[kind]} and read in (read_any, readers.read_float):
            return schema, _PAYLOADS[kind]
        if kind == "enum" and read is read_any and "missing" not in schema:
            return (schema, "S") if all(isinstance(entry.value, str) for entry in schema["members"]) else None
        if kind == "literal" and read is read_any and all(type(value) is str for value in schema["expected"]):
            return schema, "S"
        if kind == "bytes" and read is read_any:
            return _before(read_binary, schema), "B"
        if not isinstance(read, partial):
            return None
        if kind == "datetime" and read.func is readers.read_datetime:
            return _before(partial(_instant, self._times), schema), "S"
        return self._container(schema, shape, read, place)

    def _container(self, schema: Schema, shape: Shape, read: partial[Any], place: str) -> tuple[Schema, str] | None:
        kind, element = schema["type"], shape.element
        if kind == "model" and read.func is readers.read_model and shape.model is not None:
            return self._nested(schema, shape.model, place)
        if element is None:
            return None
        if kind == "list" and read.func is readers.read_list and "items_schema" in schema:
            return {**schema, "items_schema": self._element(schema["items_schema"], element, place)}, "L"
        if kind in ("set", "frozenset") and read.func is readers.read_set and "items_schema" in schema:
            member = self._payload(schema["items_schema"], element, place)
            return ({**schema, "items_schema": member[0]}, f"{member[1]}S") if member and member[1] in "SN" else None
        if kind == "dict" and read.func is readers.read_map and schema.get("keys_schema", {}).get("type") == "str":
            return {**schema, "values_schema": self._element(schema["values_schema"], element, place)}, "M"
        return None

    def _nested(self, schema: Schema, shape: ModelShape, place: str) -> tuple[Schema, str] | None:
        name = shape.cls.__qualname__
        if shape.cls in self._open:
            self.reasons[place] = f"{name} contains itself"
            return None
        self._open.append(shape.cls)
        try:
            return self._model(schema, shape, {}, f"{place}."), "M"
        except UnreadableInOnePassError as reason:
            self.reasons[place] = f"{name}: {reason}"
            return None
        finally:
            self._open.pop()

    def _element(self, schema: Schema, shape: Shape, place: str) -> Schema:
        """Return the schema that takes a tagged value where no field looks it up: in a list, in a map."""
        fast = None if shape.nullable else self._payload(schema, shape, f"{place}[]")
        if fast is None:
            return self._simply(schema, shape, f"{place}[]")
        inner, tag = fast
        return _before(itemgetter(tag), inner)

    def _simply(self, schema: Schema, shape: Shape, place: str) -> Schema:
        self.reasons.setdefault(place, f"of the schema type {schema['type']}")
        # What any value passes takes a value alike, wherever it comes from.
        self.as_python = self.as_python or schema["type"] != "any"
        return _before(shape.read, schema)

    def _note_info(self, schema: Schema) -> None:
        self.as_python = self.as_python or schema["function"]["type"] == "with-info"


def _before(function: Any, schema: Schema) -> Schema:
    return dict(cs.no_info_before_validator_function(function, schema))


def _without_null(shape: Shape) -> Shape:
    inner = shape.read.args[0] if isinstance(shape.read, partial) and shape.read.func is readers.read_optional else None
    return replace(shape, read=inner or read_any, nullable=False)


_NULL = cs.typed_dict_schema({"NULL": cs.typed_dict_field(cs.literal_schema([True]))}, extra_behavior="forbid")


def _or_null(schema: Schema) -> Schema:
    """Return a schema that takes ``{"NULL": true}`` too, and makes it None."""
    none = cs.no_info_after_validator_function(_none, _NULL)
    return dict(cs.union_schema([schema, none], mode="left_to_right"))


def _none(_: object) -> None:
    return None


def _instant(times: TimeRules, text: object) -> object:
    try:
        value = dt.datetime.fromisoformat(text)  # type: ignore[arg-type]  # no text is a TypeError
    except (TypeError, ValueError):
        return text
    return value if value.tzinfo is dt.UTC is times.shown else times.show(value)
