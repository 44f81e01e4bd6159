"""Spark's types and DynamoDB's: which column holds what, and what is refused.

A `Column` is the plan for one place in an item: made once per schema, and used by what reads and what writes.
"""

from __future__ import annotations

from dataclasses import dataclass

from pyspark.sql import types as t

from dynamodb_wrapper.exceptions import ValidationError

METADATA = "dynamodb"
"""The key in ``StructField.metadata`` that says how a field is stored, where its type does not: SS, NS, BS, epoch."""
SET_TAGS = ("SS", "NS", "BS")
EPOCH = "epoch"

_INTEGERS: dict[type[t.DataType], int] = {t.ByteType: 8, t.ShortType: 16, t.IntegerType: 32, t.LongType: 64}
_TAGS: dict[type[t.DataType], str] = {
    t.StringType: "S",
    t.BinaryType: "B",
    t.BooleanType: "BOOL",
    t.FloatType: "N",
    t.DoubleType: "N",
    t.DecimalType: "N",
    t.TimestampType: "S",
    t.TimestampNTZType: "S",
    t.DateType: "S",
    t.StructType: "M",
    t.MapType: "M",
    t.ArrayType: "L",
    **dict.fromkeys(_INTEGERS, "N"),
}


@dataclass(frozen=True)
class Column:
    """How one place in an item is read and written.

    Attributes:
        name: The attribute, or what stands for it in messages: ``tags[]``, ``prices{}``.
        type: Spark's type.
        tag: DynamoDB's type: S, N, B, BOOL, M, L, SS, NS or BS.
        fields: The fields of a struct.
        element: The elements of an array, or the values of a map.
    """

    name: str
    type: t.DataType
    tag: str
    fields: tuple[Column, ...] = ()
    element: Column | None = None

    @property
    def is_set(self) -> bool:
        """Whether it is stored as a DynamoDB set."""
        return self.tag in SET_TAGS

    @property
    def bits(self) -> int | None:
        """The width of a whole number; None for any other type."""
        return _INTEGERS.get(type(self.type))

    @property
    def has_maps(self) -> bool:
        """Whether there is a map with keys of its own anywhere in it."""
        return isinstance(self.type, t.MapType) or any(part.has_maps for part in self.parts)

    @property
    def parts(self) -> tuple[Column, ...]:
        """What it is made of."""
        return self.fields if self.element is None else (self.element,)

    def describe(self) -> str:
        """Return the type as a message names it."""
        return f"{self.type.simpleString()} (stored as {self.tag})"


def columns_of(schema: t.StructType) -> tuple[Column, ...]:
    """Return the plan of every field of a schema.

    Raises:
        ValidationError: A type has no form in DynamoDB; names the field and what could be done.
    """
    if len(set(schema.names)) < len(schema.names):
        raise ValidationError(f"the schema has two fields of one name: {schema.names}")
    return tuple(_field(field, field.name) for field in schema.fields)


def _field(field: t.StructField, place: str) -> Column:
    form = (field.metadata or {}).get(METADATA)
    if form is None:
        return _column(field.dataType, place)
    if form == EPOCH and isinstance(field.dataType, t.TimestampType):
        return Column(place, field.dataType, "N")
    if form in SET_TAGS and isinstance(field.dataType, t.ArrayType):
        element = _column(field.dataType.elementType, f"{place}[]")
        if f"{element.tag}S" == form:
            return Column(place, field.dataType, form, element=element)
    raise _refused(
        place,
        f"has the metadata {METADATA}={form!r}, which does not go with {field.dataType.simpleString()}: SS, NS and BS "
        f"are for arrays of text, numbers and binary, {EPOCH!r} is for a timestamp",
    )


def _column(kind: t.DataType, place: str) -> Column:
    tag = next((tag for known, tag in _TAGS.items() if isinstance(kind, known)), None)
    if tag is None or type(kind) in (t.CharType, t.VarcharType):
        raise _refused(
            place, f"is of type {kind.simpleString()}, which has no form in DynamoDB; cast it, for example to string"
        )
    if isinstance(kind, t.StructType):
        if len(set(kind.names)) < len(kind.names):
            raise _refused(place, f"has two fields of one name: {kind.names}")
        return Column(place, kind, tag, fields=tuple(_field(field, f"{place}.{field.name}") for field in kind.fields))
    if isinstance(kind, t.MapType):
        if not isinstance(kind.keyType, t.StringType):
            raise _refused(place, f"is a map with keys of type {kind.keyType.simpleString()}; DynamoDB's are text")
        return Column(place, kind, tag, element=_column(kind.valueType, f"{place}{{}}"))
    if isinstance(kind, t.ArrayType):
        return Column(place, kind, tag, element=_column(kind.elementType, f"{place}[]"))
    return Column(place, kind, tag)


def _refused(place: str, reason: str) -> ValidationError:
    return ValidationError(f"column {place!r} {reason}", {place: reason})
