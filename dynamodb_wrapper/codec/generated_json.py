"""Encoders generated per model that write JSON at once: the text of what the encoders in `generated` make."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from json.encoder import encode_basestring as _quoted
from typing import Any

from pydantic import BaseModel

from dynamodb_wrapper.codec.absence import Absent
from dynamodb_wrapper.codec.generated import (
    LEAVES,
    WRITTEN_IF,
    EncoderGenerator,
    OtherwiseError,
    Schema,
    Written,
    integer_text,
    other,
    stored_name,
)
from dynamodb_wrapper.codec.wire import TimeRules, Wire
from dynamodb_wrapper.codec.wire_json import encoded_to_json
from dynamodb_wrapper.exceptions import ValidationError

JsonEncoder = Callable[[dict[str, Any]], str]

_Code = tuple[str, str]
"""A text with one ``%s`` in it, and code for what stands there."""


class JsonGenerator(EncoderGenerator):
    """Generates the encoder of a model, and of the models inside it, to JSON.

    Half of a surrogate pair may be in its text, and shows when that is encoded.
    """

    def __init__(self, times: TimeRules) -> None:
        super().__init__(times)
        self._known |= {"_quoted": _quoted, "_json": _json, "_any_json": self._any_json, "_texts_json": _texts_json}

    def json_encoder(self, cls: type[BaseModel], fields: Iterable[Written]) -> JsonEncoder:
        """Return the function from a model's ``__dict__`` to the JSON of its item.

        Raises:
            OtherwiseError: The model has to be encoded the simple way as a whole.
        """
        schemas = self._schemas(cls, cls.__pydantic_core_schema__)
        entries: list[tuple[str, _Code]] = []
        for number, field in enumerate(fields):
            value = f"v{number}"
            try:
                if field.has_own_form:
                    raise OtherwiseError
                text, code = self._json(schemas[field.name], value)
            except OtherwiseError:
                text, code = "%s", f"_json({self._constant(field.simply)}({value}))"
            text = f",{_name(field.attribute)}:{text}"
            if field.absent is not Absent.OTHER:
                test = WRITTEN_IF[field.absent].format(v=value)
                text, code = "%s", f"{text!r} % ({code},) if {test} else ''"
            entries.append((field.name, (text, code)))
        encode: JsonEncoder = self._function(_body("fields", entries))
        return encode

    def _json(self, schema: Schema, value: str) -> _Code:
        """Return code for the JSON of ``value``; it raises `OtherwiseError` for a value not as declared."""
        schema = self._innermost(schema)
        kind = schema["type"]
        if kind == "any":
            return "%s", f"_any_json({value})"
        if kind in _LEAVES:
            text, payload = _LEAVES[kind]
            return text, payload.format(v=value)
        if kind == "nullable":
            text, code = self._json(schema["schema"], value)
            return "%s", f"'{{\"NULL\":true}}' if {value} is None else {text!r} % ({code},)"
        if kind in ("enum", "literal"):
            return '{"S":%s}', f"_quoted({self._choice(schema, value)})"
        if kind == "model":
            return '{"M":%s}', f"{self._model(schema['cls'], schema)}({value})"
        if kind == "list":
            text, code = self._json(schema["items_schema"], "e")
            entries = f"[{text!r} % ({code},) for e in {value}]"
            return '{"L":[%s]}', f"','.join({entries}) if {value}.__class__ is list else _other({value})"
        if kind == "dict":
            text, code = self._json(schema["values_schema"], "e")
            name = "_quoted(k if k.__class__ is str else _other(k))"
            entries = f"[{'%s:' + text!r} % ({name}, {code}) for k, e in {value}.items()]"
            return '{"M":{%s}}', f"','.join({entries}) if {value}.__class__ is dict else _other({value})"
        return "%s", f"_texts_json({value}) if {value}.__class__ is {kind} else _other({value})"

    def _model(self, cls: type[BaseModel], schema: Schema) -> str:
        """Return the name of the function that encodes a nested model."""
        if cls in self._nested:
            return self._nested[cls]
        schemas = self._schemas(cls, schema)
        kind = self._constant(cls)
        self._nested[cls] = name = f"_m{len(self._known)}"
        self._known[name] = None  # the place of a model that contains itself
        entries = []
        for number, (field, inner) in enumerate(schemas.items()):
            text, code = self._json(inner, f"v{number}")
            entries.append((field, (f",{_name(stored_name(cls, field))}:{text}", code)))
        refuse = f"if fields.__class__ is not {kind}: _other(fields)"
        self._known[name] = self._function([refuse, *_body("fields.__dict__", entries)])
        return name

    def _any_json(self, value: Any) -> str:
        """Return the JSON of plain data; of anything else, Pydantic says what is written."""
        kind = value.__class__
        if kind is str:
            return f'{{"S":{_quoted(value)}}}'
        if kind is int:
            return f'{{"N":"{integer_text(value)}"}}'
        if kind is dict:
            named = [
                f"{_quoted(key if key.__class__ is str else other(key))}:{self._any_json(value[key])}" for key in value
            ]
            return f'{{"M":{{{",".join(named)}}}}}'
        if kind is list:
            return f'{{"L":[{",".join([self._any_json(entry) for entry in value])}]}}'
        return _json(self._any(value))


def _name(attribute: str) -> str:
    """Return the name of an attribute as JSON, in a text with a ``%s``."""
    return _quoted(attribute).replace("%", "%%")


def _body(fields: str, entries: Iterable[tuple[str, _Code]]) -> list[str]:
    """Return code that gives a JSON object: of entries by field, about ``v0``, ``v1``, ..., a comma before each."""
    reads, texts, codes = ["d = " + fields], "", ""
    for number, (name, (text, code)) in enumerate(entries):
        reads.append(f"v{number} = d[{name!r}]")
        texts += text
        codes += f"({code}), "
    return [*reads, f"return '{{' + ({texts!r} % ({codes}))[1:] + '}}'"]


def _json(wire: Wire) -> str:
    try:
        return encoded_to_json(wire).decode()
    except ValidationError as error:  # half of a surrogate pair, in the key of a map: the simple way says where
        raise OtherwiseError from error


def _texts_json(value: set[str] | frozenset[str]) -> str:
    for text in value:
        if text.__class__ is not str:
            raise OtherwiseError
    return f'{{"SS":[{",".join(map(_quoted, sorted(value)))}]}}' if value else '{"L":[]}'


_LEAVES = {
    **{kind: (f'{{"{tag}":"%s"}}', payload) for kind, (tag, payload) in LEAVES.items()},
    "str": ('{"S":%s}', "_quoted({v} if {v}.__class__ is str else _other({v}))"),
    "bool": ('{"BOOL":%s}', "'true' if {v} is True else 'false' if {v} is False else _other({v})"),
}
