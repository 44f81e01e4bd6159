"""Values as plain JSON, such that what was written is what is read.

JSON has one kind of list and one kind of text. Which of them is a set or bytes, the model says; where nothing does, a
set or bytes is refused rather than written as what it would not come back as. Numbers keep all their digits.
"""

from __future__ import annotations

import json
from base64 import b64decode, b64encode
from collections.abc import Iterator
from contextlib import contextmanager
from decimal import Decimal, InvalidOperation
from json.encoder import encode_basestring
from typing import Any

from dynamodb_wrapper.codec import ANY, RefusedValueError, Shape, TimeRules, Wire, WireEncoder
from dynamodb_wrapper.codec.wire import MAX_DIGITS, number_text, read_binary
from dynamodb_wrapper.exceptions import ValidationError

_ENCODER = WireEncoder(TimeRules())
_CONSTANTS = {True: "true", False: "false", None: "null"}


def to_text(wire: Wire, shape: Shape = ANY, *, lossy: bool = False) -> str:
    """Return a value as JSON.

    Args:
        wire: The value.
        shape: What is known of it.
        lossy: Write a set as a list and bytes as base64 text also where they will be read as that.

    Raises:
        RefusedValueError: It would be read as something else; ``steps`` names the place inside it.
    """
    ((tag, payload),) = wire.items()
    if tag == "S":
        return encode_basestring(payload)
    if tag == "N":
        return as_number(payload)
    if tag == "M":
        inner = _inside(payload, shape, lossy=lossy)
        return "{" + ",".join(f"{encode_basestring(name)}:{text}" for name, text in inner) + "}"
    if tag == "L":
        return "[" + ",".join(_elements(payload, shape, lossy=lossy)) + "]"
    if tag in ("BOOL", "NULL"):
        return _CONSTANTS[payload if tag == "BOOL" else None]
    if tag == "B":
        if not (lossy or _is_binary(shape)):
            raise RefusedValueError("is binary, which JSON has no form for", read_binary(payload))
        return f'"{b64encode(read_binary(payload)).decode()}"'
    if not (lossy or _is_set(shape)):
        raise RefusedValueError("is a set, which JSON has no form for", payload)
    return "[" + ",".join(_elements([{tag[0]: member} for member in payload], shape, lossy=lossy)) + "]"


def _inside(entries: dict[str, Wire], shape: Shape, *, lossy: bool) -> list[tuple[str, str]]:
    texts = []
    for name, wire in entries.items():
        try:
            texts.append((name, to_text(wire, _child(shape, name)[1], lossy=lossy)))
        except RefusedValueError as refused:
            raise refused.at(name) from None
    return texts


def _elements(elements: list[Wire], shape: Shape, *, lossy: bool) -> list[str]:
    texts = []
    for number, wire in enumerate(elements):
        try:
            texts.append(to_text(wire, shape.element or ANY, lossy=lossy))
        except RefusedValueError as refused:
            raise refused.at(number) from None
    return texts


def from_text(text: str | bytes) -> Any:
    """Return JSON as Python values, numbers exactly: whole ones as int, others as Decimal.

    Raises:
        ValidationError: It is not JSON, or has NaN or infinity, which JSON has not.
    """
    try:
        return _DECODER.decode(text if isinstance(text, str) else text.decode("utf-8-sig"))
    except RecursionError as error:
        raise ValidationError("is nested too deeply", original_error=error) from error
    except ValueError as error:  # UnicodeDecodeError too
        raise ValidationError(f"is not JSON: {error}", original_error=error) from error


def _refused_constant(name: str) -> None:
    raise ValueError(f"{name} is no number of JSON")


_DECODER = json.JSONDecoder(parse_float=Decimal, parse_constant=_refused_constant)


def to_wire(value: object, shape: Shape = ANY) -> Wire:
    """Return the wire form of what `from_text` gave, or of another plain value.

    Raises:
        RefusedValueError: DynamoDB cannot hold it; ``steps`` names the place inside it.
    """
    if isinstance(value, str):
        return {"B": decoded(value)} if _is_binary(shape) else _ENCODER.encode(value)
    if isinstance(value, dict):
        return {"M": _entries(value, shape)}
    if isinstance(value, list | tuple | set | frozenset):
        return _sequence(list(value), shape)
    return _ENCODER.encode(value)


def _entries(value: dict[Any, object], shape: Shape) -> dict[str, Wire]:
    entries = {}
    for key, entry in value.items():
        name, child = _child(shape, key if isinstance(key, str) else _ENCODER.key_text(key))
        try:
            entries[name] = to_wire(entry, child)
        except RefusedValueError as refused:
            raise refused.at(name) from None
    return entries


def _sequence(value: list[object], shape: Shape) -> Wire:
    elements = []
    for number, entry in enumerate(value):
        try:
            elements.append(to_wire(entry, shape.element or ANY))
        except RefusedValueError as refused:
            raise refused.at(number) from None
    tags = {tag for element in elements for tag in element}
    if not _is_set(shape) or len(tags) != 1 or not tags <= {"S", "N", "B"}:
        return {"L": elements}
    (tag,) = tags
    return {f"{tag}S": list(dict.fromkeys(element[tag] for element in elements))}


def as_number(text: str) -> str:
    """Return a stored number as JSON has it: without what DynamoDB's own form does not have, ``+``, ``.5`` or ``007``.

    Raises:
        RefusedValueError: It is no number.
    """
    if text.isdecimal() and text.isascii() and len(text) <= MAX_DIGITS and (text[0] != "0" or len(text) == 1):
        return text
    try:
        return number_text(Decimal(text))
    except InvalidOperation:
        raise RefusedValueError("is no number", text) from None


def decoded(text: str) -> bytes:
    """Return the bytes of base64 text, in either of its alphabets.

    Raises:
        RefusedValueError: It is none.
    """
    try:
        return b64decode(text.translate(_URL_SAFE), validate=True)
    except ValueError:
        raise RefusedValueError("is no base64, as which bytes are written", text) from None


_URL_SAFE = str.maketrans("-_", "+/")


def _child(shape: Shape, name: str) -> tuple[str, Shape]:
    """Return the stored name of an entry of a map, and what is known of it."""
    if shape.model is not None and "M" in shape.tags:
        member = shape.model.find(name)
        return (name, ANY) if member is None else (member.attribute, member.shape)
    return name, shape.element or ANY


def _is_binary(shape: Shape) -> bool:
    return shape.tags == {"B"}


def _is_set(shape: Shape) -> bool:
    """Whether a list in JSON is a set there, surely: in a union, it could be a list."""
    return shape.is_set and shape.element is not None


@contextmanager
def explained() -> Iterator[None]:
    """Turn a refused value into the error that a caller sees.

    Raises:
        ValidationError: A value was refused; says where.
    """
    try:
        yield
    except RefusedValueError as refused:
        raise refused.as_validation_error() from None
