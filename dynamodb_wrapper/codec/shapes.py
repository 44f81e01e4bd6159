"""What an annotation says about the wire: which type tags a value takes, and how it is read back.

A `Shape` reads an attribute value into what ``model_dump()`` gave when it was written (datetimes as datetimes, sets as
sets, nested models as dicts under the names that validation wants); Pydantic's own validation does the rest. A shape
never fails on a value it does not expect: it hands on the plain value, and validation says what is wrong.
"""

from __future__ import annotations

import datetime as dt
import types
import typing
import uuid
from collections.abc import Callable, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field, replace
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import PurePath
from typing import Any, Literal, NewType, TypeVar, Union, get_args, get_origin

import pydantic
from pydantic import BaseModel, Json, RootModel, TypeAdapter
from pydantic.fields import FieldInfo
from typing_extensions import TypeAliasType

from dynamodb_wrapper.codec import pydantic_internals
from dynamodb_wrapper.codec.wire import TimeRules, Wire, read_any

Reader = Callable[[Wire], Any]
Step = str | int
"""One step of a path into a value: a field, attribute or map key, or a list index."""

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


@dataclass(frozen=True, slots=True)
class Shape:
    """How values of one annotation look on the wire.

    Attributes:
        annotation: The annotation, with its metadata, for validating single values.
        tags: The type tags a value can take; empty when that is not known.
        read: From an attribute value to what validation takes.
        nullable: Whether None is one of its values.
        model: The nested model, when it is one.
        element: The shape of the elements or map values, when it has them.
    """

    annotation: Any = Any
    tags: frozenset[str] = frozenset()
    read: Reader = read_any
    nullable: bool = False
    model: ModelShape | None = None
    element: Shape | None = None

    @property
    def is_set(self) -> bool:
        """Whether values are sets."""
        return bool(self.tags & {"SS", "NS", "BS"})

    def child(self, step: Step) -> tuple[Step, Shape] | None:
        """Return the stored name and the shape one step further in, or None when there is no such place."""
        if self.model is not None and isinstance(step, str):
            member = self.model.find(step)
            return (member.attribute, member.shape) if member else (step, ANY) if self.model.open else None
        if self.element is not None:
            return step, self.element
        return (step, ANY) if not self.tags or self.tags & {"M", "L"} else None


ANY = Shape()


@dataclass(frozen=True, slots=True)
class Member:
    """One field of a model, as it is stored.

    Attributes:
        name: The field's name in Python.
        attribute: The name it is stored under (its serialization alias).
        path: Where validation looks for it: usually one name, more for an ``AliasPath``.
        shape: How its values look.
        info: Pydantic's own description of the field.
    """

    name: str
    attribute: str
    path: tuple[Step, ...]
    shape: Shape
    info: FieldInfo

    def place(self, data: dict[str, Any], value: object) -> None:
        """Put a value where validation will look for it."""
        target: Any = data
        for step, following in zip(self.path, self.path[1:], strict=False):
            target = _descend(target, step, [] if isinstance(following, int) else {})
        _descend(target, self.path[-1], value, always=True)


def _descend(container: Any, step: Step, value: Any, *, always: bool = False) -> Any:
    if isinstance(container, list) and isinstance(step, int):
        container.extend([None] * (step + 1 - len(container)))
        if always or container[step] is None:
            container[step] = value
    elif always or step not in container:
        container[step] = value
    return container[step]


@dataclass(slots=True)
class ModelShape:
    """How the fields of one model are stored; filled in after it is made, so that models may contain themselves."""

    cls: type[BaseModel]
    open: bool = False
    forbids: bool = False
    computed: frozenset[str] = frozenset()
    by_name: dict[str, Member] = field(default_factory=dict)
    by_attribute: dict[str, Member] = field(default_factory=dict)

    def find(self, name: str) -> Member | None:
        """Return the field of that Python name, or stored under that name."""
        return self.by_name.get(name) or self.by_attribute.get(name)

    def read(self, attributes: Mapping[str, Wire], *, keep_unknown: bool = False) -> dict[str, Any]:
        """Return the attributes under the names validation wants.

        What is stored beyond the fields is handed to validation as the model's ``extra`` says, except that
        ``extra="forbid"`` does not make an item unreadable unless ``keep_unknown`` asks for it.
        """
        data: dict[str, Any] = {}
        for attribute, wire in attributes.items():
            member = self.by_attribute.get(attribute)
            if member is not None:
                if len(member.path) == 1:
                    data[member.path[0]] = member.shape.read(wire)  # type: ignore[index]  # a lone step is a name
                else:
                    member.place(data, member.shape.read(wire))
            elif attribute not in self.computed and (keep_unknown or not self.forbids):
                data[attribute] = read_any(wire)
        return data

    def accepts(self, attributes: Mapping[str, Wire]) -> bool:
        """Whether these attributes can be this model's: literals agree and nothing required is missing."""
        for member in self.by_name.values():
            wire = attributes.get(member.attribute)
            if wire is None:
                if member.info.is_required():
                    return False
            elif get_origin(member.info.annotation) is Literal and read_any(wire) not in get_args(
                member.info.annotation
            ):
                return False
        return True


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
        if isinstance(annotation, TypeAliasType) or isinstance(origin, TypeAliasType):
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
            return Shape(tags=frozenset("M"), read=partial(_read_map, key, value, self._strict), element=value)
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


def _read_map(key: Shape, value: Shape, strict: bool, wire: Wire) -> object:
    if "M" not in wire:
        return read_any(wire)
    entries = {name: value.read(entry) for name, entry in wire["M"].items()}
    if not strict or key.tags == {"S"} and key.read is read_any:
        return entries
    return {_map_key(key, name): entry for name, entry in entries.items()}


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
