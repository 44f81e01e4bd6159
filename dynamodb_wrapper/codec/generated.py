"""Encoders generated per model: one function from a model's fields to its item, for values that are as declared.

The generated code asks every value for its exact type. Whatever is not what its field is declared as (a subclass, a
value assigned past validation) makes it give up; the model is then encoded the simple way, which finds what is right or
says what is wrong. What it does write is what the simple way would have written.
"""

from __future__ import annotations

import datetime as dt
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from pydantic import BaseModel

from dynamodb_wrapper.codec.absence import Absent
from dynamodb_wrapper.codec.wire import MAX_DIGITS, Item, TimeRules, Wire, WireEncoder, number_text

Schema = dict[str, Any]
Encoder = Callable[[dict[str, Any]], Item]

_SURELY_FITS = 10**MAX_DIGITS
_PLAIN = frozenset((str, int, float, bool, type(None), Decimal, bytes, dt.datetime, dt.date, uuid.UUID))
_TRANSPARENT = ("default", "function-before", "function-after", "function-wrap")


class OtherwiseError(Exception):
    """A value, or a model, is not what generated code can write."""


@dataclass(frozen=True, slots=True)
class Written:
    """One field, as the generated code writes it.

    Attributes:
        name: The field's name in Python.
        attribute: The name it is stored under.
        absent: Which value is stored by leaving the attribute out.
        simply: Encodes the field the simple way; None to generate code where that can be.
    """

    name: str
    attribute: str
    absent: Absent
    simply: Callable[[object], Wire]
    has_own_form: bool = False


class EncoderGenerator:
    """Generates the encoder of a model and of the models inside it."""

    def __init__(self, times: TimeRules) -> None:
        self._times = times
        self._encode = WireEncoder(times).encode
        self._definitions: dict[str, Schema] = {}
        self._known: dict[str, Any] = {
            "_text": _text,
            "_int": integer_text,
            "_float": _float,
            "_decimal": _decimal,
            "_texts": _texts,
            "_other": other,
            "_uuid": _uuid,
            "_instant": self._instant,
            "_any": self._any,
            "_SETS": (set, frozenset),
        }
        self._nested: dict[type[BaseModel], str] = {}

    def encoder(self, cls: type[BaseModel], fields: Iterable[Written]) -> Encoder:
        """Return the function from a model's ``__dict__`` to its item.

        Raises:
            OtherwiseError: The model has to be encoded the simple way as a whole.
        """
        schemas = self._schemas(cls, cls.__pydantic_core_schema__)
        body: list[str] = []
        for field in fields:
            try:
                if field.has_own_form:
                    raise OtherwiseError
                expression = self._expression(schemas[field.name], "value")
            except OtherwiseError:
                expression = f"{self._constant(field.simply)}(value)"
            test = WRITTEN_IF[field.absent].format(v="value")
            body += [f"value = fields[{field.name!r}]", f"if {test}: item[{field.attribute!r}] = {expression}"]
        encode: Encoder = self._function(["item = {}", *body, "return item"])
        return encode

    def field(self, cls: type[BaseModel], name: str) -> Callable[[Any], Wire]:
        """Return the function from a value of one field to its wire form.

        Raises:
            OtherwiseError: The field has to be encoded the simple way.
        """
        expression = self._expression(self._schemas(cls, cls.__pydantic_core_schema__)[name], "fields")
        encode: Callable[[Any], Wire] = self._function([f"return {expression}"])
        return encode

    def _function(self, body: list[str]) -> Any:
        name = f"_f{len(self._known)}"
        text = "\n    ".join([f"def {name}(fields):", *body])
        exec(text, self._known)  # what is not ours in it are names of the model's fields, written by repr()
        return self._known[name]

    def _constant(self, value: object) -> str:
        name = f"_c{len(self._known)}"
        self._known[name] = value
        return name

    def _schemas(self, cls: type[BaseModel], schema: Any) -> dict[str, Schema]:
        """Return the schemas of a model's fields.

        Raises:
            OtherwiseError: Something decides how the whole model is written.
        """
        if not isinstance(schema, dict) or cls.model_dump is not BaseModel.model_dump or cls.model_computed_fields:
            raise OtherwiseError
        while schema["type"] != "model":
            if schema["type"] == "definitions":
                self._definitions |= {entry["ref"]: entry for entry in schema["definitions"]}
            schema = self._inner(schema)
        fields = schema["schema"]
        is_open = cls.model_config.get("extra") == "allow"
        if "serialization" in schema or schema["cls"] is not cls or is_open or fields["type"] != "model-fields":
            raise OtherwiseError
        if any(
            "serialization_exclude" in field or "serialization_exclude_if" in field
            for field in fields["fields"].values()
        ):
            raise OtherwiseError
        return {name: field["schema"] for name, field in fields["fields"].items()}

    def _inner(self, schema: Schema) -> Schema:
        if "serialization" in schema:
            raise OtherwiseError
        if schema["type"] == "definition-ref":
            found: Schema = self._definitions[schema["schema_ref"]]
            return found
        if schema["type"] in (*_TRANSPARENT, "definitions"):
            inner: Schema = schema["schema"]
            return inner
        raise OtherwiseError

    def _innermost(self, schema: Schema) -> Schema:
        """Return the schema that says how a value is written, of a kind that is known here."""
        while schema["type"] in (*_TRANSPARENT, "definition-ref"):
            schema = self._inner(schema)
        if "serialization" in schema or not _KNOWN.get(schema["type"], _never)(schema):
            raise OtherwiseError
        return schema

    def _expression(self, schema: Schema, value: str) -> str:
        """Return code for the wire form of ``value``; it raises `OtherwiseError` for a value not as declared."""
        schema = self._innermost(schema)
        kind = schema["type"]
        if kind == "any":
            return f"_any({value})"
        if kind in LEAVES:
            tag, payload = LEAVES[kind]
            return f"{{{tag!r}: {payload.format(v=value)}}}"
        if kind == "nullable":
            return f"({{'NULL': True}} if {value} is None else {self._expression(schema['schema'], value)})"
        if kind in ("enum", "literal"):
            return f"{{'S': {self._choice(schema, value)}}}"
        if kind == "model":
            return f"{{'M': {self._model(schema['cls'], schema)}({value})}}"
        if kind == "list":
            element = self._expression(schema["items_schema"], "e")
            return f"({{'L': [{element} for e in {value}]}} if {value}.__class__ is list else _other({value}))"
        if kind == "dict":
            element = self._expression(schema["values_schema"], "e")
            entries = f"{{(k if k.__class__ is str else _other(k)): {element} for k, e in {value}.items()}}"
            return f"({{'M': {entries}}} if {value}.__class__ is dict else _other({value}))"
        return f"(_texts({value}) if {value}.__class__ is {kind} else _other({value}))"

    def _choice(self, schema: Schema, value: str) -> str:
        """Return code that looks up the text of one of several values."""
        is_enum = schema["type"] == "enum"
        choices = {one: one.value if is_enum else one for one in schema["members" if is_enum else "expected"]}
        table, kind = self._constant(choices), self._constant(schema["cls"] if is_enum else str)
        return f"({table}[{value}] if {value}.__class__ is {kind} and {value} in {table} else _other({value}))"

    def _model(self, cls: type[BaseModel], schema: Schema) -> str:
        """Return the name of the function that encodes a nested model."""
        if cls in self._nested:
            return self._nested[cls]
        schemas = self._schemas(cls, schema)
        kind = self._constant(cls)
        self._nested[cls] = name = f"_m{len(self._known)}"
        self._known[name] = None  # the place of a model that contains itself
        entries = [
            f"{stored_name(cls, field)!r}: {self._expression(inner, f'd[{field!r}]')}"
            for field, inner in schemas.items()
        ]
        refuse = f"if fields.__class__ is not {kind}: _other(fields)"
        function = self._function([refuse, "d = fields.__dict__", f"return {{{', '.join(entries)}}}"])
        self._known[name] = function
        return name

    def _instant(self, value: dt.datetime) -> str:
        if value.__class__ is not dt.datetime:
            raise OtherwiseError
        if value.tzinfo is dt.UTC and self._times.stored is dt.UTC:
            return _iso(value)
        return self._times.text(value)

    def _any(self, value: Any) -> Wire:
        """Return the wire form of plain data; of anything else, Pydantic says what is written."""
        kind = value.__class__
        if kind in _PLAIN:
            return self._encode(value)
        if kind is dict:
            return {"M": {(key if key.__class__ is str else other(key)): self._any(value[key]) for key in value}}
        if kind is list:
            return {"L": [self._any(entry) for entry in value]}
        raise OtherwiseError


def stored_name(cls: type[BaseModel], name: str) -> str:
    """Return the name that a field of a nested model is stored under."""
    info = cls.model_fields[name]
    return info.serialization_alias or info.alias or name


def _never(_: Schema) -> bool:
    return False


def _is_text(schema: Schema) -> bool:
    return schema.get("type") == "str" and "serialization" not in schema


def other(value: object) -> Any:
    """Give a value up.

    Raises:
        OtherwiseError: Always.
    """
    raise OtherwiseError


def _text(value: object) -> str:
    if value.__class__ is not str:
        raise OtherwiseError
    value.encode()  # half of a surrogate pair: UnicodeEncodeError
    return value


def integer_text(value: object) -> str:
    """Return the number that a whole number is stored as.

    Raises:
        OtherwiseError: It is none, or may have too many digits.
    """
    if value.__class__ is not int or not -_SURELY_FITS < value < _SURELY_FITS:
        raise OtherwiseError
    return str(value)


def _float(value: object) -> str:
    if value.__class__ is not float:
        raise OtherwiseError
    text = repr(value)
    if not value or "e" in text or "n" in text:  # zero (it may be -0.0), an exponent, infinity or no number
        return number_text(Decimal(text))
    return text.removesuffix(".0")


def _decimal(value: object) -> str:
    if value.__class__ is not Decimal:
        raise OtherwiseError
    text = str(value)
    if len(text) > MAX_DIGITS or not value.is_finite() or "E" in text or text[-1] == "0" or text[0] == "-":
        return number_text(value)
    return text


def _iso(value: dt.datetime) -> str:
    """Return ``isoformat(timespec="microseconds")`` of a datetime in UTC, in a third of its time."""
    fields = value.year, value.month, value.day, value.hour, value.minute, value.second, value.microsecond
    return "%04d-%02d-%02dT%02d:%02d:%02d.%06d+00:00" % fields  # noqa: UP031 - faster than an f-string


def _uuid(value: object) -> str:
    if value.__class__ is not uuid.UUID:
        raise OtherwiseError
    return str(value)


def _texts(value: set[str] | frozenset[str]) -> Wire:
    for text in value:
        if text.__class__ is not str:
            raise OtherwiseError
        text.encode()
    return {"SS": sorted(value)} if value else {"L": []}


WRITTEN_IF = {
    Absent.OTHER: "True",
    Absent.NONE: "{v} is not None",
    Absent.EMPTY_SET: "{v} or {v}.__class__ not in _SETS",
}
"""Code for whether a field is written, by which value is left out."""
LEAVES = {
    "str": ("S", "{v} if {v}.__class__ is str and {v}.isascii() else _text({v})"),
    "int": ("N", "str({v}) if {v}.__class__ is int and -1e15 < {v} < 1e15 else _int({v})"),
    "bool": ("BOOL", "{v} if {v} is True or {v} is False else _other({v})"),
    "float": ("N", "_float({v})"),
    "decimal": ("N", "_decimal({v})"),
    "uuid": ("S", "_uuid({v})"),
    "datetime": ("S", "_instant({v})"),
}
"""What leaves are written as, by the types of their schemas: the tag, and code for the payload of the value ``{v}``."""


_KNOWN: dict[str, Callable[[Schema], bool]] = {
    **dict.fromkeys((*LEAVES, "any", "nullable", "model"), lambda _: True),
    "enum": lambda schema: all(type(member.value) is str for member in schema["members"]),
    "literal": lambda schema: all(type(expected) is str for expected in schema["expected"]),
    "list": lambda schema: "items_schema" in schema,
    "dict": lambda schema: _is_text(schema.get("keys_schema", {})) and "values_schema" in schema,
    **dict.fromkeys(("set", "frozenset"), lambda schema: _is_text(schema.get("items_schema", {}))),
}
"""Whether a schema is one that code is generated for, by its type."""
