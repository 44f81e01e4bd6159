"""The Spark schema of a Pydantic model: every field with the type that holds all its values exactly."""

from __future__ import annotations

import datetime as dt
import types
import typing
import uuid
from collections.abc import Mapping, Sequence
from collections.abc import Set as AbstractSet
from decimal import Decimal
from enum import Enum
from pathlib import PurePath
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import pydantic
import typing_extensions
from pydantic import BaseModel, RootModel
from pydantic.fields import FieldInfo
from pyspark.sql import types as t

from dynamodb_wrapper.codec import EpochSeconds, StoredForm
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.spark.types import EPOCH, METADATA, SET_TAGS, columns_of

_ANY_DECIMAL = (38, 18)
_TEXTS = (str, dt.time, dt.timedelta, uuid.UUID, PurePath, pydantic.SecretStr)
_LEAVES: tuple[tuple[tuple[type, ...], t.DataType], ...] = (
    ((bool,), t.BooleanType()),
    (_TEXTS, t.StringType()),
    ((int,), t.LongType()),
    ((float,), t.DoubleType()),
    ((bytes, bytearray, pydantic.SecretBytes), t.BinaryType()),
    ((dt.datetime,), t.TimestampType()),
    ((dt.date,), t.DateType()),
)
_DATETIMES = (pydantic.AwareDatetime, pydantic.NaiveDatetime, pydantic.PastDatetime, pydantic.FutureDatetime)


def model_schema(model: type[BaseModel], *, stored: Mapping[str, StoredForm] | None = None) -> t.StructType:
    """Return the Spark schema of a Pydantic model, its columns named as the attributes are stored.

    Every column is nullable: DynamoDB keeps no promise that an attribute is there. A ``Decimal`` has the digits that
    its field declares (``max_digits``, ``decimal_places``), else ``decimal(38,18)``; a value that does not fit is an
    error when it is read or written, never rounded. A set is an array whose field's metadata says SS, NS or BS.

    Args:
        model: The model.
        stored: Fields kept in a form of their own, by Python name.

    Raises:
        ValidationError: A field has no one type in Spark (``Any``, a union, a recursive model); names it. Give Spark a
            schema of your own then.
    """
    schema = _Compiler().model(model, model.__name__, stored or {})
    columns_of(schema)
    return schema


class _Compiler:
    def __init__(self) -> None:
        self._open: list[type] = []

    def model(self, model: type[BaseModel], place: str, stored: Mapping[str, StoredForm]) -> t.StructType:
        if model in self._open:
            raise _refused(place, f"is a model that contains itself ({model.__name__})")
        self._open.append(model)
        fields = []
        for name, info in model.model_fields.items():
            if info.exclude is True:
                continue
            attribute = info.serialization_alias or info.alias or name
            fields.append(self._field(attribute, info, f"{place}.{name}", stored.get(name)))
        self._open.pop()
        return t.StructType(fields)

    def _field(self, attribute: str, info: FieldInfo, place: str, form: StoredForm | None) -> t.StructField:
        kind = self._type(info.annotation, info.metadata, place)
        if isinstance(form, EpochSeconds):
            return t.StructField(attribute, kind, nullable=True, metadata={METADATA: EPOCH})
        if form is not None:
            raise _refused(place, f"is stored in a form of its own ({type(form).__name__})")
        if isinstance(kind, _SetType):
            metadata = {METADATA: kind.tag}
            return t.StructField(attribute, t.ArrayType(kind.element), nullable=True, metadata=metadata)
        return t.StructField(attribute, kind, nullable=True)

    def _type(self, annotation: Any, metadata: Sequence[object], place: str) -> t.DataType:
        origin = get_origin(annotation)
        if isinstance(annotation, typing_extensions.TypeAliasType):
            return self._type(annotation.__value__, metadata, place)
        if isinstance(annotation, typing.NewType):
            return self._type(annotation.__supertype__, metadata, place)
        if origin is Annotated:
            inner, *more = get_args(annotation)
            flat = [part for entry in more for part in (entry.metadata if isinstance(entry, FieldInfo) else [entry])]
            return self._type(inner, [*flat, *metadata], place)
        if origin is Literal:
            return self._values(get_args(annotation), place)
        if origin in (Union, types.UnionType):
            kinds = [entry for entry in get_args(annotation) if entry is not types.NoneType]
            found = [self._type(entry, metadata, place) for entry in kinds]
            if all(kind == found[0] for kind in found):  # as what tells the models of a union apart
                return found[0]
            raise _refused(place, f"can be of several types ({annotation})")
        if isinstance(origin, type):
            return self._container(origin, get_args(annotation), place)
        if annotation is Any or not isinstance(annotation, type):
            raise _refused(place, f"can be anything ({annotation})")
        return self._plain(annotation, metadata, place)

    def _plain(self, annotation: type, metadata: Sequence[object], place: str) -> t.DataType:
        if issubclass(annotation, Enum):
            return self._values([member.value for member in annotation], place)
        if issubclass(annotation, RootModel):
            return self._type(annotation.model_fields["root"].annotation, metadata, place)
        if issubclass(annotation, BaseModel):
            return self.model(annotation, place, {})
        if issubclass(annotation, Decimal):
            return t.DecimalType(*_digits(metadata, place))
        if annotation in _DATETIMES:
            return t.TimestampType()
        if annotation.__module__.startswith("pydantic") and annotation.__name__.endswith(("Url", "Dsn")):
            return t.StringType()
        for kinds, kind in _LEAVES:
            if issubclass(annotation, kinds):
                return kind
        if issubclass(annotation, list | tuple | set | frozenset | dict):
            raise _refused(place, f"is a {annotation.__name__} of anything")
        raise _refused(place, f"is of type {annotation.__name__}, for which Spark has none")

    def _container(self, origin: type, arguments: tuple[Any, ...], place: str) -> t.DataType:
        if issubclass(origin, BaseModel):
            return self.model(origin, place, {})
        if issubclass(origin, Mapping):
            key = self._element(arguments[0], f"{place} (keys)")
            if not isinstance(key, t.StringType):
                raise _refused(place, "is a map whose keys are no text")
            return t.MapType(t.StringType(), self._element(arguments[1], f"{place}{{}}"), valueContainsNull=True)
        if issubclass(origin, tuple):
            if len(arguments) != 2 or arguments[1] is not Ellipsis:
                raise _refused(place, "is a tuple of several values")
            arguments = arguments[:1]
        element = self._element(arguments[0], f"{place}[]")
        if not issubclass(origin, AbstractSet):
            return t.ArrayType(element, containsNull=True)
        tag = next((tag for tag in SET_TAGS if columns_of(_struct(element))[0].tag == tag[0]), None)
        return t.ArrayType(element) if tag is None else _SetType(element, tag)

    def _element(self, annotation: Any, place: str) -> t.DataType:
        kind = self._type(annotation, (), place)
        if isinstance(kind, _SetType):  # only a field can say that it is a set
            raise _refused(place, "is a set inside a list or a map")
        return kind

    def _values(self, values: Sequence[object], place: str) -> t.DataType:
        plain = [value.value if isinstance(value, Enum) else value for value in values if value is not None]
        kinds = {next((type(kind) for of, kind in _LEAVES if isinstance(value, of)), None) for value in plain}
        if len(kinds) != 1 or None in kinds:
            raise _refused(place, f"has values of several types ({plain})")
        return self._plain(type(plain[0]), (), place)


class _SetType(t.ArrayType):
    """An array that its field is to say is a set."""

    def __init__(self, element: t.DataType, tag: str) -> None:
        super().__init__(element)
        self.element = element
        self.tag = tag


def _struct(kind: t.DataType) -> t.StructType:
    return t.StructType([t.StructField("element", kind)])


def _digits(metadata: Sequence[object], place: str) -> tuple[int, int]:
    found: dict[str, int] = {}
    for entry in metadata:
        for name in ("max_digits", "decimal_places"):
            if (value := getattr(entry, name, None)) is not None:
                found[name] = value
    if not found:
        return _ANY_DECIMAL
    scale = found.get("decimal_places", _ANY_DECIMAL[1])
    precision = found.get("max_digits", _ANY_DECIMAL[0])
    scale = min(scale, precision)
    if precision > _ANY_DECIMAL[0]:
        raise _refused(place, f"has {precision} digits; Spark and DynamoDB hold 38")
    return precision, scale


def _refused(place: str, reason: str) -> ValidationError:
    return ValidationError(
        f"{place} {reason}, so it has no one type in Spark: give the schema yourself, "
        'as in spark.read.format("dynamodb").schema(...)',
        {place: reason},
    )


def require_nullable(schema: t.StructType) -> None:
    """Refuse to read what is declared to be never null: Spark would believe it, and drop or damage rows where it is.

    Raises:
        ValidationError: A column, or something inside it, is not nullable.
    """
    wrong = [field.name for field, other in zip(schema, schema.toNullable(), strict=True) if field != other]
    if wrong:
        raise ValidationError(
            f"the schema says that {', '.join(wrong)} cannot be null, and DynamoDB promises that of no attribute: "
            "give schema.toNullable()",
            dict.fromkeys(wrong, "not nullable"),
        )


def as_stored(schema: t.StructType, model: t.StructType) -> t.StructType:
    """Return a schema with what the model's says of how its fields are stored, where the schema does not say it.

    A computed column has lost the metadata that makes a set of an array; the model still knows.

    Raises:
        ValidationError: A field is stored as another DynamoDB type than the model's field of that name.
    """
    merged = []
    for field in schema.fields:
        known = model[field.name] if field.name in model.names else None
        merged.append(field if known is None else _merged(field, known))
    return t.StructType(merged)


def _merged(field: t.StructField, known: t.StructField) -> t.StructField:
    metadata = field.metadata or {}
    form = (known.metadata or {}).get(METADATA)
    if form is not None and METADATA not in metadata:
        metadata = {**metadata, METADATA: form}
    merged = t.StructField(field.name, field.dataType, nullable=True, metadata=metadata)
    mine, theirs = (columns_of(t.StructType([one]))[0] for one in (merged, known))
    if mine.tag != theirs.tag:
        raise ValidationError(
            f"column {field.name!r} is {mine.describe()}, and the model's field is {theirs.describe()}: cast it",
            {field.name: f"stored as {mine.tag}, not {theirs.tag}"},
        )
    return merged
