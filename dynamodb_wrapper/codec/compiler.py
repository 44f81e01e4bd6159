"""Compiles annotations into shapes."""

from __future__ import annotations

import datetime as dt
import types
import typing
import uuid
from collections.abc import Mapping
from collections.abc import Set as AbstractSet
from dataclasses import replace
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import PurePath
from typing import Any, Literal, NewType, TypeVar, Union, get_args, get_origin

import pydantic
from pydantic import BaseModel, Json, RootModel, TypeAdapter
from pydantic.fields import FieldInfo

from dynamodb_wrapper.codec import pydantic_internals
from dynamodb_wrapper.codec.shapes import ANY, Member, ModelShape, Reader, Shape, Step
from dynamodb_wrapper.codec.wire import TimeRules, Wire, read_any

_AWARE = (dt.datetime, pydantic.AwareDatetime, pydantic.PastDatetime, pydantic.FutureDatetime)
_JSON: type = Json
_LEAF_TAGS: tuple[tuple[type, str], ...] = (
    (bool, "BOOL"),
    (str, "S"),
    (int, "N"),
    (float, "N"),
    (Decimal, "N"),
    (bytes, "B"),
    (bytearray, "B"),
    (dt.datetime, "S"),
    (dt.date, "S"),
    (dt.time, "S"),
    (dt.timedelta, "S"),
    (uuid.UUID, "S"),
    (PurePath, "S"),
    (pydantic.SecretStr, "S"),
    (pydantic.SecretBytes, "B"),
)


class ShapeCompiler:
    """Makes the shapes of one model and of everything inside it."""

    def __init__(self, times: TimeRules, *, strict: bool = False) -> None:
        self._times = times
        self._strict = strict
        self._models: dict[type[BaseModel], ModelShape] = {}

    def model(self, cls: type[BaseModel]) -> ModelShape:
        """Return the shape of a model; one object per class, so that recursion ends."""
        known = self._models.get(cls)
        if known is not None:
            return known
        extra = cls.model_config.get("extra")
        shape = self._models[cls] = ModelShape(cls, open=extra == "allow", forbids=extra == "forbid")
        shape.computed = frozenset(
            name if info.alias is None else info.alias for name, info in cls.model_computed_fields.items()
        )
        for name, info in cls.model_fields.items():
            member = Member(name, _attribute(name, info), _path(name, info), self._field(cls, name, info), info)
            shape.by_name[name] = shape.by_attribute[member.attribute] = member
        return shape

    def _field(self, cls: type[BaseModel], name: str, info: FieldInfo) -> Shape:
        shape = self.annotation(_annotated(info))
        if pydantic_internals.has_own_serializer(cls, name):
            return replace(shape, tags=frozenset())
        return shape

    def annotation(self, annotation: Any) -> Shape:
        """Return the shape of any annotation."""
        shape = self._compile(annotation)
        return replace(shape, annotation=annotation)

    def _compile(self, annotation: Any) -> Shape:
        origin = get_origin(annotation)
        if origin is typing.Annotated:
            return self._annotated(*get_args(annotation))
        if hasattr(origin or annotation, "__value__"):  # a `type X = ...` alias, of typing or of typing_extensions
            return self._compile((origin or annotation).__value__)
        if isinstance(annotation, NewType):
            return self._compile(annotation.__supertype__)
        if isinstance(annotation, TypeVar):
            return self._compile(annotation.__bound__) if annotation.__bound__ else ANY
        if origin is Literal:
            return Shape(tags=frozenset(tag for value in get_args(annotation) for tag in _tags_of_value(value)))
        if origin is Union or origin is types.UnionType:
            return self._union(get_args(annotation))
        if isinstance(origin, type):
            return self._container(origin, get_args(annotation))
        if isinstance(annotation, type):
            return self._plain(annotation)
        return ANY

    def _annotated(self, annotation: Any, *metadata: Any) -> Shape:
        shape = self._compile(annotation)
        if any(entry is _JSON or isinstance(entry, _JSON) for entry in metadata):
            return Shape(read=_read_json)
        if any(isinstance(entry, pydantic.PlainSerializer | pydantic.WrapSerializer) for entry in metadata):
            return replace(shape, tags=frozenset())
        return shape

    def _plain(self, annotation: type) -> Shape:
        if issubclass(annotation, BaseModel):
            return self._nested(annotation)
        if issubclass(annotation, Enum):
            tags = frozenset(tag for member in annotation for tag in _tags_of_value(member.value))
            return Shape(tags=tags, read=_lenient(annotation) if self._strict else read_any)
        if annotation is pydantic.NaiveDatetime:
            return Shape(tags=frozenset("S"), read=self._read_naive_datetime)
        if issubclass(annotation, _AWARE):
            return Shape(tags=frozenset("S"), read=self._read_datetime)
        if issubclass(annotation, float):
            return Shape(tags=frozenset("N"), read=_read_float)
        if issubclass(annotation, list | tuple | AbstractSet | Mapping):
            return self._container(annotation, ())
        for leaf, tag in _LEAF_TAGS:
            if issubclass(annotation, leaf):
                typed = self._strict and not issubclass(annotation, bool | str | int | bytes)
                return Shape(tags=frozenset((tag,)), read=_lenient(annotation) if typed else read_any)
        return ANY

    def _nested(self, cls: type[BaseModel]) -> Shape:
        if pydantic_internals.has_model_serializer(cls):
            return ANY
        if issubclass(cls, RootModel):
            return self.annotation(_annotated(cls.model_fields["root"]))
        model = self.model(cls)
        return Shape(tags=frozenset("M"), read=partial(_read_model, model), model=model)

    def _container(self, origin: type, arguments: tuple[Any, ...]) -> Shape:
        if issubclass(origin, BaseModel):
            return self._nested(origin)
        if issubclass(origin, Mapping):
            key, value = (self.annotation(entry) for entry in arguments) if len(arguments) == 2 else (ANY, ANY)
            read = partial(_read_map_strictly, key, value) if self._strict else partial(_read_map, value)
            return Shape(tags=frozenset("M"), read=read, element=value)
        if issubclass(origin, AbstractSet):
            element = self.annotation(arguments[0]) if arguments else ANY
            make = frozenset if issubclass(origin, frozenset) else set
            native = frozenset(f"{tag}S" for tag in element.tags & {"S", "N", "B"})
            tags = native | {"L"} if element.tags else frozenset(("SS", "NS", "BS", "L"))
            return Shape(tags=tags, read=partial(_read_set, make, element), element=element)
        if issubclass(origin, tuple) and arguments and arguments[-1] is not Ellipsis:
            elements = tuple(self.annotation(entry) for entry in arguments)
            return Shape(tags=frozenset("L"), read=partial(_read_tuple, elements), element=ANY)
        element = self.annotation(arguments[0]) if arguments else ANY
        make_list = tuple if issubclass(origin, tuple) else list
        return Shape(tags=frozenset("L"), read=partial(_read_list, make_list, element), element=element)

    def _union(self, arguments: tuple[Any, ...]) -> Shape:
        members = [self.annotation(entry) for entry in arguments if entry is not type(None)]
        nullable = type(None) in arguments or any(member.nullable for member in members)
        if len(members) == 1:
            return replace(members[0], nullable=nullable, read=partial(_read_optional, members[0].read))
        if not all(member.tags for member in members):
            return Shape(nullable=nullable)
        by_tag: dict[str, list[Shape]] = {}
        for member in members:
            for tag in member.tags:
                by_tag.setdefault(tag, []).append(member)
        return Shape(tags=frozenset(by_tag), read=partial(_read_union, by_tag), nullable=nullable)

    def _read_datetime(self, wire: Wire) -> object:
        value = read_any(wire)
        if isinstance(value, str):
            try:
                return self._times.show(dt.datetime.fromisoformat(value))
            except ValueError:
                return value
        return value

    def _read_naive_datetime(self, wire: Wire) -> object:
        value = self._read_datetime(wire)
        return value.astimezone(self._times.assumed).replace(tzinfo=None) if isinstance(value, dt.datetime) else value


def _annotated(info: FieldInfo) -> Any:
    """Return a field's annotation with its metadata, as it was written."""
    annotation: Any = info.annotation
    if info.metadata:
        return typing.Annotated[(annotation, *info.metadata)]
    return annotation


def _attribute(name: str, info: FieldInfo) -> str:
    return info.serialization_alias or info.alias or name


def _path(name: str, info: FieldInfo) -> tuple[Step, ...]:
    alias = info.validation_alias
    if isinstance(alias, pydantic.AliasChoices):
        alias = alias.choices[0]
    if isinstance(alias, pydantic.AliasPath):
        return tuple(alias.path)
    return (alias or name,)


def _tags_of_value(value: object) -> tuple[str, ...]:
    return tuple(tag for leaf, tag in _LEAF_TAGS if isinstance(value, leaf))[:1]


def _lenient(annotation: Any) -> Reader:
    """Read a leaf into its own type where that works, for models that are strict about it."""
    adapter: TypeAdapter[Any] = TypeAdapter(annotation)

    def read(wire: Wire) -> object:
        value = read_any(wire)
        try:
            return adapter.validate_python(value, strict=False)
        except pydantic.ValidationError:
            return value

    return read


def _read_float(wire: Wire) -> object:
    return float(wire["N"]) if "N" in wire else read_any(wire)


def _read_json(wire: Wire) -> object:
    return pydantic.TypeAdapter(object).dump_json(read_any(wire)).decode()


def _read_optional(read: Reader, wire: Wire) -> object:
    return None if "NULL" in wire else read(wire)


def _read_model(model: ModelShape, wire: Wire) -> object:
    return model.read(wire["M"]) if "M" in wire else read_any(wire)


def _read_map(value: Shape, wire: Wire) -> object:
    return {name: value.read(entry) for name, entry in wire["M"].items()} if "M" in wire else read_any(wire)


def _read_map_strictly(key: Shape, value: Shape, wire: Wire) -> object:
    """Read a map whose keys validation wants in their own type, not as text."""
    if "M" not in wire:
        return read_any(wire)
    return {_map_key(key, name): value.read(entry) for name, entry in wire["M"].items()}


def _map_key(key: Shape, name: str) -> object:
    if "N" in key.tags:
        try:
            return key.read({"N": name})
        except ValueError:
            return name
    return key.read({"S": name})


def _read_set(make: type, element: Shape, wire: Wire) -> object:
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


def _read_list(make: type, element: Shape, wire: Wire) -> object:
    return make(element.read(member) for member in wire["L"]) if "L" in wire else read_any(wire)


def _read_tuple(elements: tuple[Shape, ...], wire: Wire) -> object:
    if "L" not in wire or len(wire["L"]) != len(elements):
        return read_any(wire)
    return tuple(element.read(member) for element, member in zip(elements, wire["L"], strict=True))


def _read_union(by_tag: dict[str, list[Shape]], wire: Wire) -> object:
    (tag,) = wire
    candidates = by_tag.get(tag, [])
    if len(candidates) == 1:
        return candidates[0].read(wire)
    if tag == "M":
        for candidate in candidates:
            if candidate.model is not None and candidate.model.accepts(wire["M"]):
                return candidate.read(wire)
    return read_any(wire)
