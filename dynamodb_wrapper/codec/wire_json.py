"""Wire dicts as the JSON text DynamoDB's protocol carries, and back."""

from __future__ import annotations

import base64
import json
from typing import Any

import pydantic_core

from dynamodb_wrapper.exceptions import ValidationError

_SCALARS = frozenset((str, bytes, bytearray, bool, int, float, type(None)))


def to_json(wire: object) -> bytes:
    """Return wire dicts as compact JSON; binary payloads become base64 text.

    Raises:
        ValidationError: There is something in it that a wire value has not, such as a set or a Decimal: says where. Or
            a text is no valid Unicode (it has half of a surrogate pair).
    """
    try:
        _check(wire, ())
    except RecursionError as error:
        raise ValidationError("a wire value contains itself or is nested too deeply", original_error=error) from error
    return encoded_to_json(wire)


def encoded_to_json(wire: object) -> bytes:
    """Return what `to_json` does, of what codecs have made: nothing that is no wire value is looked for.

    Raises:
        ValidationError: A text is no valid Unicode (it has half of a surrogate pair).
        TypeError: There is something in it that JSON has no form for.
    """
    try:
        # A fifth of what `json` takes, and the same text, byte for byte.
        text = pydantic_core.to_json(wire, bytes_mode="base64")
    except (pydantic_core.PydanticSerializationError, RecursionError):
        return _to_json_with_binary(wire)  # or without, but with something that it knows how to refuse
    # Pydantic's base64 is that of URLs. Bytes stand under these tags; quotes inside of texts are escaped.
    return _to_json_with_binary(wire) if b'{"B":"' in text or b'{"BS":["' in text else text


def _check(wire: object, place: tuple[str, ...]) -> None:
    """Refuse what Pydantic would write as something else: a set as a list, a Decimal as text."""
    kind = type(wire)
    if kind is dict:
        for name, inner in wire.items():  # type: ignore[attr-defined]
            if not isinstance(name, str):
                raise _not_wire(name, (*place, "a name"))
            _check(inner, (*place, name))
    elif kind is list or kind is tuple:
        for number, inner in enumerate(wire):  # type: ignore[arg-type]
            _check(inner, (*place, str(number)))
    elif kind not in _SCALARS and not isinstance(wire, str):
        raise _not_wire(wire, place)


def _not_wire(found: object, place: tuple[str, ...]) -> ValidationError:
    where = ".".join(place) or "it"
    problem = f"{found!r:.80} is a {type(found).__name__}"
    return ValidationError(
        f"this is no wire value: {where}: {problem}; they are made of dicts, lists, text, bytes, bools and None, with "
        "numbers as text and sets as lists",
        {where: problem},
    )


def _to_json_with_binary(wire: object) -> bytes:
    try:
        return json.dumps(wire, default=_binary, ensure_ascii=False, separators=(",", ":")).encode()
    except UnicodeEncodeError as error:
        raise ValidationError(f"a text is no valid Unicode ({error.reason})", original_error=error) from error


def from_json(text: bytes | str) -> Any:
    """Return the wire dicts of JSON text; binary payloads stay base64 text, which every reader here understands.

    Raises:
        ValidationError: The text is not JSON.
    """
    try:
        return json.loads(text)
    except ValueError as error:
        raise ValidationError("not JSON", original_error=error) from error


def with_bytes(value: dict[str, Any]) -> dict[str, Any]:
    """Return a JSON object of the protocol with binary as bytes; for ``json.loads(object_hook=...)``.

    Only an attribute's value has text, or a list, under such a key: the attributes of an item are objects.
    """
    if len(value) == 1:
        if isinstance(text := value.get("B"), str):
            return {"B": base64.b64decode(text, validate=True)}
        if isinstance(texts := value.get("BS"), list) and all(isinstance(text, str) for text in texts):
            return {"BS": [base64.b64decode(text, validate=True) for text in texts]}
    return value


def _binary(value: object) -> str:
    if isinstance(value, bytes | bytearray):
        return base64.b64encode(value).decode()
    raise TypeError(f"not part of a wire value: {type(value).__name__}")
