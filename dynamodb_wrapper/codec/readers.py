"""Readers of attribute values, one kind of annotation each; `dynamodb_wrapper.codec.compiler` puts them together."""

from __future__ import annotations

import datetime as dt
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, get_args, get_origin

import pydantic
from pydantic import TypeAdapter
from pydantic_core import to_jsonable_python

from dynamodb_wrapper.codec.shapes import ModelShape, Reader, Shape
from dynamodb_wrapper.codec.wire import RefusedValueError, TimeRules, Wire, WireEncoder, read_any

_NOT_IT = object()


def read_datetime(times: TimeRules, wire: Wire) -> object:
    """Read text as an instant, shown in the readers' zone."""
    value = read_any(wire)
    if isinstance(value, str):
        try:
            return times.show(dt.datetime.fromisoformat(value))
        except ValueError:
            return value
    return value


def read_stored_datetime(times: TimeRules, wire: Wire) -> object:
    """Read text as an instant if it is our own stored form; anything else is what a custom serializer made."""
    value = read_datetime(times, wire)
    return value if isinstance(value, dt.datetime) and wire == {"S": times.text(value)} else read_any(wire)


def read_naive_datetime(times: TimeRules, wire: Wire) -> object:
    """Read text as wall time in the zone that naive datetimes are taken to be in."""
    value = read_datetime(times, wire)
    return value.astimezone(times.assumed).replace(tzinfo=None) if isinstance(value, dt.datetime) else value


def read_float(wire: Wire) -> object:
    """Read a number as the float it was."""
    return float(wire["N"]) if "N" in wire else read_any(wire)


def read_json(inner: Shape, wire: Wire) -> object:
    """Read what ``Json`` was parsed into as JSON text again, for it to parse."""
    return json.dumps(inner.read(wire), default=_jsonable)


def _jsonable(value: object) -> object:
    if isinstance(value, Decimal):
        # As a JSON number where that is exact; Pydantic reads JSON numbers as floats.
        number = float(value)
        return number if Decimal(repr(number)) == value else str(value)
    return to_jsonable_python(value)


def read_typed(annotation: Any) -> Reader:
    """Return a reader of a leaf in its own type, for validators that are shown the value before Pydantic is."""
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)

    def read(wire: Wire) -> object:
        value = read_any(wire)
        try:
            return adapter.validate_python(value, strict=False)
        except pydantic.ValidationError:
            return value

    return read


def read_choice(choices: Iterable[tuple[Wire, object]]) -> Reader:
    """Return a reader that tells fixed values by their wire form, where Pydantic could not tell them."""
    known = tuple(choices)

    def read(wire: Wire) -> object:
        for form, value in known:
            if form == wire:
                return value
        return read_any(wire)

    return read


def read_optional(read: Reader, wire: Wire) -> object:
    """Read NULL as None."""
    return None if "NULL" in wire else read(wire)


def read_model(model: ModelShape, wire: Wire) -> object:
    """Read a map as the names validation wants."""
    return model.read(wire["M"]) if "M" in wire else read_any(wire)


def read_fields(fields: Mapping[str, Shape], wire: Wire) -> object:
    """Read a map of which some entries are known: a dataclass, a TypedDict."""
    if "M" not in wire:
        return read_any(wire)
    return {name: fields[name].read(entry) if name in fields else read_any(entry) for name, entry in wire["M"].items()}


def read_map(value: Shape, wire: Wire) -> object:
    """Read a map whose keys are text, or parsed from text by Pydantic."""
    return {name: value.read(entry) for name, entry in wire["M"].items()} if "M" in wire else read_any(wire)


def read_keyed_map(key: Shape, value: Shape, wire: Wire) -> object:
    """Read a map whose keys are stored as text, but are of another type."""
    if "M" not in wire:
        return read_any(wire)
    return {_map_key(key, name): value.read(entry) for name, entry in wire["M"].items()}


def _map_key(key: Shape, name: str) -> Any:
    if "N" in key.tags and "S" not in key.tags:
        try:
            return key.read({"N": name})
        except (ValueError, ArithmeticError):
            return name
    if key.tags == {"BOOL"}:
        return key.read({"BOOL": name == "true"}) if name in ("true", "false") else name
    return key.read({"S": name})


def read_set(make: type, element: Shape, wire: Wire) -> object:
    """Read a native set, or the list that stands for a set DynamoDB has no type for."""
    ((tag, payload),) = wire.items()
    if tag in ("SS", "NS", "BS"):
        return make(element.read({tag[0]: member}) for member in payload)
    if tag == "L":
        members = [element.read(member) for member in payload]
        try:
            return make(members)
        except TypeError:
            return members
    return read_any(wire)


def read_list(make: type, element: Shape, wire: Wire) -> object:
    """Read a list of equal elements."""
    return make(element.read(member) for member in wire["L"]) if "L" in wire else read_any(wire)


def read_tuple(elements: tuple[Shape, ...], wire: Wire) -> object:
    """Read a tuple of different elements."""
    if "L" not in wire or len(wire["L"]) != len(elements):
        return read_any(wire)
    return tuple(element.read(member) for element, member in zip(elements, wire["L"], strict=True))


class UnionReader:
    """Reads values of a union.

    Where the type tag leaves several candidates (a datetime and plain text, two models), the value is the first that
    would be stored as exactly this again; types whose text tells them apart (datetimes, UUIDs, enums) come before plain
    text, and types that take any text (paths, URLs) after it.
    """

    def __init__(self, members: Sequence[Shape], encoder: WireEncoder) -> None:
        self._members = sorted(members, key=_telling)
        self._encoder = encoder
        self._adapters: dict[int, TypeAdapter[Any]] = {}

    def __call__(self, wire: Wire) -> object:
        """Return what validation takes for a value, possibly the validated value itself."""
        (tag,) = wire
        candidates = [member for member in self._members if not member.tags or tag in member.tags]
        if tag == "M" and len(candidates) > 1:
            candidates = _accepting(candidates, wire["M"])
        if len(candidates) == 1:
            return candidates[0].read(wire)
        for candidate in candidates:
            value = self._exact(candidate, wire)
            if value is not _NOT_IT:
                return value
        return candidates[0].read(wire) if tag == "M" and candidates else read_any(wire)

    def _exact(self, candidate: Shape, wire: Wire) -> object:
        """Return the value of that type, if storing it gives the same."""
        try:
            adapter = self._adapters.get(id(candidate))
            if adapter is None:
                adapter = self._adapters[id(candidate)] = TypeAdapter(candidate.annotation)
            value = adapter.validate_python(candidate.read(wire), strict=False)
            again = self._encoder.encode(adapter.dump_python(value, by_alias=True, warnings=False))
        except (pydantic.ValidationError, pydantic.errors.PydanticUserError, RefusedValueError, NameError):
            return _NOT_IT  # another type, or one that stands only inside its model (a forward reference)
        return value if again.keys() == wire.keys() and read_any(again) == read_any(wire) else _NOT_IT


def _accepting(candidates: list[Shape], attributes: Mapping[str, Wire]) -> list[Shape]:
    """Return the candidates that a map can be: models that know most of its entries first, plain dicts last."""
    models = [(entry.model.unknown(attributes), entry) for entry in candidates if entry.model is not None]
    possible = [
        entry
        for _, entry in sorted(models, key=lambda pair: pair[0])
        if entry.model is not None and entry.model.accepts(attributes)
    ]
    return [*possible, *(entry for entry in candidates if entry.model is None)] or candidates


def _telling(shape: Shape) -> int:
    annotation = shape.annotation
    while get_origin(annotation) is Annotated:
        annotation = get_args(annotation)[0]
    if isinstance(annotation, type) and issubclass(annotation, str) and not issubclass(annotation, Enum):
        return 1
    opaque = isinstance(annotation, type) and issubclass(annotation, PurePath | pydantic.SecretStr)
    return 2 if opaque or not shape.tags else 0


def later(get: Callable[[], Shape]) -> Shape:
    """Return a stand-in for the shape of a type that contains itself."""
    return Shape(read=lambda wire: get().read(wire))
