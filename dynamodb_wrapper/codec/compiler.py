"""Compiles annotations into shapes."""

from __future__ import annotations

import dataclasses
import datetime as dt
import types
import typing
import uuid
from collections import deque
from collections.abc import Callable, Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from dataclasses import replace
from decimal import Decimal
from enum import Enum
from functools import partial
from pathlib import PurePath
from typing import Any, ForwardRef, Literal, NewType, TypeVar, Union, get_args, get_origin

import pydantic
import typing_extensions
from pydantic import BaseModel, Json, RootModel
from pydantic.fields import FieldInfo

from dynamodb_wrapper.codec import pydantic_internals, readers
from dynamodb_wrapper.codec.shapes import ANY, Member, ModelShape, Shape, Step
from dynamodb_wrapper.codec.wire import RefusedValueError, TimeRules, WireEncoder, read_any
from dynamodb_wrapper.exceptions import DeclarationError

_AWARE = (dt.datetime, pydantic.AwareDatetime, pydantic.PastDatetime, pydantic.FutureDatetime)
_JSON: type = Json
_MARKERS = (
    typing.Required,
    typing.NotRequired,
    typing.Final,
    typing_extensions.Required,
    typing_extensions.NotRequired,
    typing_extensions.ReadOnly,
)
_SHOWN_FIRST = (pydantic.BeforeValidator, pydantic.PlainValidator, pydantic.WrapValidator)
_SHOWN_AS_IS: tuple[type, ...] = (pydantic.InstanceOf, pydantic.SkipValidation)
_NONE = Shape(tags=frozenset(("NULL",)), nullable=True)
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
    """Makes the shapes of one model and of everything inside it.

    Args:
        times: How datetimes are stored and shown.
        keep_unknown: Hand unknown attributes to models with ``extra="forbid"`` too.
    """

    def __init__(self, times: TimeRules, *, keep_unknown: bool = False) -> None:
        self._times = times
        self._keep_unknown = keep_unknown
        self._encoder = WireEncoder(times)
        self._models: dict[type[BaseModel], ModelShape] = {}
        self._known: dict[Any, Shape] = {}
        self._typed = False
        """Whether leaves are read in their own types, because a validator sees them before Pydantic does."""

    def model(self, cls: type[BaseModel]) -> ModelShape:
        """Return the shape of a model; one object per class, so that recursion ends.

        Raises:
            DeclarationError: Two of its fields are stored under one name.
        """
        known = self._models.get(cls)
        if known is not None:
            return known
        pydantic_internals.complete(cls)
        extra = cls.model_config.get("extra")
        forbids = extra == "forbid" and not self._keep_unknown
        shape = self._models[cls] = ModelShape(cls, open=extra == "allow", forbids=forbids)
        shape.computed = frozenset(
            name if info.alias is None else info.alias for name, info in cls.model_computed_fields.items()
        )
        for name, info in cls.model_fields.items():
            member = Member(name, _attribute(name, info), _path(cls, name, info), self._field(cls, name, info), info)
            twin = shape.by_attribute.get(member.attribute)
            if twin is not None:
                raise DeclarationError(
                    f"{cls.__name__}: the fields {twin.name!r} and {name!r} are both written as {member.attribute!r}"
                )
            shape.by_name[name] = shape.by_attribute[member.attribute] = member
        return shape

    def _field(self, cls: type[BaseModel], name: str, info: FieldInfo) -> Shape:
        if pydantic_internals.has_own_serializer(cls, name):
            return self._custom(self._typed_if(False, _annotated(info)))
        return self._typed_if(pydantic_internals.has_early_validator(cls, name), _annotated(info))

    def _custom(self, shape: Shape) -> Shape:
        """Return the shape of values that a custom serializer writes, in what form nobody knows."""
        if isinstance(shape.read, partial) and shape.read.func is readers.read_datetime:
            return replace(shape, tags=frozenset(), read=partial(readers.read_stored_datetime, self._times))
        return replace(shape, tags=frozenset())

    def _typed_if(self, typed: object, annotation: Any) -> Shape:
        outer, self._typed = self._typed, bool(typed)
        try:
            return self.annotation(annotation)
        finally:
            self._typed = outer

    def annotation(self, annotation: Any) -> Shape:
        """Return the shape of any annotation."""
        shape = self._compile(annotation)
        return replace(shape, annotation=annotation)

    def _compile(self, annotation: Any) -> Shape:
        origin = get_origin(annotation)
        if origin is typing.Annotated:
            return self._annotated(*get_args(annotation))
        if origin in _MARKERS:
            return self._compile(get_args(annotation)[0])
        if origin is Literal:
            return self._literal(get_args(annotation))
        if origin is Union or origin is types.UnionType:
            return self._union(get_args(annotation))
        if isinstance(origin, type):
            return self._container(origin, get_args(annotation))
        if isinstance(annotation, type):
            return self._plain(annotation)
        return self._indirect(annotation, origin)

    def _indirect(self, annotation: Any, origin: Any) -> Shape:
        """Return the shape of what stands for another annotation."""
        alias = annotation if origin is None else origin
        if hasattr(alias, "__value__"):  # a TypeAliasType, of `typing` or of `typing_extensions`
            return self._named(alias, lambda: self._compile(alias.__value__))
        if isinstance(annotation, str | ForwardRef):  # an alias that contains itself, like pydantic.JsonValue
            name = annotation if isinstance(annotation, str) else annotation.__forward_arg__
            named = (key for key in self._known if getattr(key, "__name__", None) == name)
            return self._known.get(next(named, None), ANY)
        if isinstance(annotation, NewType):
            return self._compile(annotation.__supertype__)
        if isinstance(annotation, TypeVar) and annotation.__bound__:
            return self._compile(annotation.__bound__)
        return ANY

    def _named(self, key: Any, make: Callable[[], Shape]) -> Shape:
        """Return the shape of a type that may contain itself."""
        known = self._known.get(key)
        if known is None:
            self._known[key] = readers.later(lambda: self._known[key])
            known = self._known[key] = make()
        return known

    def _annotated(self, annotation: Any, *metadata: Any) -> Shape:
        if any(isinstance(entry, pydantic.PlainSerializer | pydantic.WrapSerializer) for entry in metadata):
            return self._custom(self._typed_if(False, annotation))
        early = any(isinstance(entry, (*_SHOWN_FIRST, *_SHOWN_AS_IS)) for entry in metadata)
        shape = self._typed_if(self._typed or early, annotation)
        if any(entry is _JSON or isinstance(entry, _JSON) for entry in metadata):
            return Shape(read=partial(readers.read_json, shape))
        return shape

    def _plain(self, annotation: type) -> Shape:
        if issubclass(annotation, BaseModel):
            return self._nested(annotation)
        if issubclass(annotation, Enum):
            return self._enum(annotation)
        if annotation is pydantic.NaiveDatetime:
            return Shape(tags=frozenset("S"), read=partial(readers.read_naive_datetime, self._times))
        if issubclass(annotation, _AWARE):
            return Shape(tags=frozenset("S"), read=partial(readers.read_datetime, self._times))
        if issubclass(annotation, float):
            return Shape(tags=frozenset("N"), read=readers.read_float)
        if annotation is type(None):
            return _NONE
        if annotation is _JSON:
            return Shape(read=partial(readers.read_json, ANY))
        for leaf, tag in _LEAF_TAGS:
            if issubclass(annotation, leaf):
                typed = self._typed and not issubclass(annotation, bool | str | int | bytes)
                return Shape(tags=frozenset((tag,)), read=readers.read_typed(annotation) if typed else read_any)
        return self._container(annotation, ())

    def _literal(self, values: tuple[Any, ...]) -> Shape:
        tags = frozenset(tag for value in values for tag in _tags_of_value(value))
        nullable = None in values
        if any(isinstance(value, Enum) for value in values):
            return Shape(tags=tags, read=self._choice((value, value) for value in values), nullable=nullable)
        return Shape(tags=tags, nullable=nullable)

    def _enum(self, annotation: type[Enum]) -> Shape:
        tags = frozenset(tag for member in annotation for tag in _tags_of_value(member))
        # Others are not found by what DynamoDB gives back: a tuple comes as a list, and Pydantic finds small ints only.
        if not all(isinstance(entry.value, str) or _is_small(entry.value) for entry in annotation):
            return Shape(tags=tags, read=self._choice((member.value, member) for member in annotation))
        return Shape(tags=tags, read=readers.read_typed(annotation) if self._typed else read_any)

    def _choice(self, values: Iterable[tuple[object, object]]) -> Callable[[dict[str, Any]], Any]:
        try:
            return readers.read_choice([(self._encoder.encode(stored), value) for stored, value in values])
        except RefusedValueError:
            return read_any

    def _nested(self, cls: type[BaseModel]) -> Shape:
        pydantic_internals.complete(cls)
        if pydantic_internals.has_model_serializer(cls):
            return ANY
        if issubclass(cls, RootModel):
            return self._named(cls, lambda: self._field(cls, "root", cls.model_fields["root"]))
        model = self.model(cls)
        return Shape(tags=frozenset("M"), read=partial(readers.read_model, model), model=model)

    def _container(self, origin: type, arguments: tuple[Any, ...]) -> Shape:
        if issubclass(origin, BaseModel):
            return self._nested(origin)
        if dataclasses.is_dataclass(origin) or typing_extensions.is_typeddict(origin) or hasattr(origin, "_fields"):
            return self._named(origin, lambda: self._record(origin))
        if issubclass(origin, Mapping):
            return self._mapping(arguments)
        if issubclass(origin, AbstractSet):
            element = self.annotation(arguments[0]) if arguments else ANY
            make = frozenset if issubclass(origin, frozenset) else set
            native = frozenset(f"{tag}S" for tag in element.tags & {"S", "N", "B"})
            tags = native | {"L"} if element.tags else frozenset(("SS", "NS", "BS", "L"))
            return Shape(tags=tags, read=partial(readers.read_set, make, element), element=element)
        if issubclass(origin, tuple) and arguments and arguments[-1] is not Ellipsis:
            elements = () if arguments == ((),) else tuple(self.annotation(entry) for entry in arguments)
            return Shape(tags=frozenset("L"), read=partial(readers.read_tuple, elements), element=ANY)
        if not issubclass(origin, Sequence | deque):
            return ANY
        element = self.annotation(arguments[0]) if arguments else ANY
        make_list = tuple if issubclass(origin, tuple) else list
        return Shape(tags=frozenset("L"), read=partial(readers.read_list, make_list, element), element=element)

    def _mapping(self, arguments: tuple[Any, ...]) -> Shape:
        key, value = (self._key(arguments[0]), self.annotation(arguments[1])) if len(arguments) == 2 else (ANY, ANY)
        as_text = not key.tags or (key.tags == {"S"} and key.read is read_any)
        read = partial(readers.read_map, value) if as_text else partial(readers.read_keyed_map, key, value)
        return Shape(tags=frozenset("M"), read=read, element=value)

    def _key(self, annotation: Any) -> Shape:
        """Return the shape of map keys, which are stored as text whatever they are."""
        fixed = annotation if isinstance(annotation, type) and issubclass(annotation, Enum) else get_args(annotation)
        if fixed and (fixed is annotation or get_origin(annotation) is Literal):
            try:
                choices = [({"S": self._encoder.key_text(value)}, value) for value in fixed]
            except RefusedValueError:
                return ANY
            return Shape(annotation, frozenset("S"), readers.read_choice(choices))
        return self.annotation(annotation)

    def _record(self, cls: type) -> Shape:
        """Return the shape of a dataclass, a TypedDict or a NamedTuple."""
        if pydantic_internals.has_any_serializer(cls):
            return ANY
        try:
            hints = typing_extensions.get_type_hints(cls, include_extras=True)
        except NameError:
            hints = {}  # names of a function's scope; Pydantic has resolved them, and reads plain values too
        if issubclass(cls, tuple):
            elements = tuple(self.annotation(hints.get(name, Any)) for name in getattr(cls, "_fields", ()))
            return Shape(tags=frozenset("L"), read=partial(readers.read_tuple, elements), element=ANY)
        infos: Mapping[str, FieldInfo] = getattr(cls, "__pydantic_fields__", {})
        fields = {
            _attribute(name, infos[name]) if name in infos else name: self.annotation(hint)
            for name, hint in hints.items()
        }
        return Shape(tags=frozenset("M"), read=partial(readers.read_fields, fields))

    def _union(self, arguments: tuple[Any, ...]) -> Shape:
        every = [self.annotation(entry) for entry in arguments]
        members = [member for member in every if member.tags != _NONE.tags]
        nullable = any(member.nullable for member in every)
        if len(members) == 1:
            return replace(members[0], nullable=nullable, read=partial(readers.read_optional, members[0].read))
        is_known = all(member.tags for member in members)
        tags = frozenset(tag for member in members for tag in member.tags) if is_known else frozenset()
        read = partial(readers.read_optional, readers.UnionReader(members, self._encoder))
        return Shape(tags=tags, read=read if nullable else read.args[0], nullable=nullable)


def _annotated(info: FieldInfo) -> Any:
    """Return a field's annotation with its metadata, as it was written."""
    annotation: Any = info.annotation
    if info.metadata:
        return typing.Annotated[(annotation, *info.metadata)]
    return annotation


def _attribute(name: str, info: FieldInfo) -> str:
    return info.serialization_alias or info.alias or name


def _path(cls: type[BaseModel], name: str, info: FieldInfo) -> tuple[Step, ...]:
    alias = info.validation_alias
    if cls.model_config.get("validate_by_alias") is False:  # Pydantic 2.11; validation then takes names
        alias = None
    if isinstance(alias, pydantic.AliasChoices):
        alias = alias.choices[0]
    if isinstance(alias, pydantic.AliasPath):
        return tuple(alias.path)
    return (alias or name,)


def _is_small(value: object) -> bool:
    return isinstance(value, int) and value.bit_length() < 64


def _tags_of_value(value: object) -> tuple[str, ...]:
    value = value.value if isinstance(value, Enum) else value
    return tuple(tag for leaf, tag in _LEAF_TAGS if isinstance(value, leaf))[:1]
