"""Items to Spark's values one by one, exactly: what the columnar way (`pages`) must agree with, and falls back to."""

from __future__ import annotations

import base64
import binascii
import datetime as dt
import re
import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from decimal import ROUND_DOWN, Context, Decimal, Inexact, InvalidOperation
from math import isinf
from typing import Any

import pyarrow as pa
from pyspark.sql import types as t

from dynamodb_wrapper.codec import Item, Wire
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.spark.types import Column

Reader = Callable[[Wire], Any]

_EXACT = Context(prec=200, rounding=ROUND_DOWN, traps=[Inexact, InvalidOperation])
_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_NANOSECONDS = re.compile(r"[.,]\d{7}")
_DATE = re.compile(r"\d{4}-\d{2}-\d{2}")
# A number of DynamoDB has at most 38 digits and an exponent from -130 to 125.
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d{1,3})?")


class MismatchError(Exception):
    """A value that its column cannot hold; becomes a `ValidationError` once its item is known."""

    def __init__(self, column: Column, reason: str) -> None:
        super().__init__(reason)
        self.column = column
        self.reason = reason


@dataclass(frozen=True)
class Rejected:
    """An item that was left out, or a value that was read as null.

    Attributes:
        attribute: The top-level attribute.
        reason: What is wrong with it, as text.
        item: The item, in wire form.
    """

    attribute: str
    reason: str
    item: Item


class ItemReader:
    """Reads items as the values of columns.

    Args:
        columns: The columns.
        on_mismatch: ``fail`` raises for a value that is not what its column holds, ``null`` reads it as null,
            ``quarantine`` leaves its item out; what was not read as it is goes to ``rejected``.
        rejected: Takes what is read as null or left out.
    """

    def __init__(
        self, columns: Sequence[Column], on_mismatch: str = "fail", rejected: Callable[[Rejected], object] | None = None
    ) -> None:
        self._readers = [(column.name, _reader(column)) for column in columns]
        self._on_mismatch = on_mismatch
        self._rejected = rejected or (lambda _: None)

    def rows(self, items: Sequence[Item]) -> list[list[Any]]:
        """Return the values of the items, one list for each.

        Raises:
            ValidationError: A value is not what its column holds, and that is to fail.
        """
        rows = []
        for item in items:
            row = self._row(item)
            if row is not None:
                rows.append(row)
        return rows

    def _row(self, item: Item) -> list[Any] | None:
        row: list[Any] = []
        for name, read in self._readers:
            wire = item.get(name)
            try:
                row.append(None if wire is None else read(wire))
            except MismatchError as mismatch:
                if self._on_mismatch == "fail":
                    raise _failure(mismatch, item) from None
                self._rejected(Rejected(name, mismatch.reason, item))
                if self._on_mismatch == "quarantine":
                    return None
                row.append(None)
        return row

    def batch(self, items: Sequence[Item], schema: pa.Schema) -> pa.RecordBatch:
        """Return the items as a batch of that Arrow schema."""
        rows = self.rows(items)
        columns = zip(*rows, strict=True) if rows else [()] * len(schema)
        arrays = [pa.array(list(values), field.type) for values, field in zip(columns, schema, strict=True)]
        return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _failure(mismatch: MismatchError, item: Item) -> ValidationError:
    place = mismatch.column.name
    return ValidationError(
        f"attribute {place!r} {mismatch.reason}; its column is {mismatch.column.describe()}. "
        'option("on_mismatch", "null") or "quarantine" reads on',
        {place: mismatch.reason},
        context={"attributes": sorted(item)[:20]},
    )


def _reader(column: Column) -> Reader:
    """Return what reads an attribute value; None for NULL."""
    read = _payload_reader(column)
    tag = column.tag
    is_set = column.is_set

    def reader(wire: Wire) -> Any:
        if tag in wire:
            return read(wire[tag])
        if "NULL" in wire:
            return None
        found = next(iter(wire), "nothing")
        if is_set and found == "L":  # an empty set is stored so, and one of mixed types
            assert column.element is not None
            member = _reader(column.element)
            return [member(entry) for entry in wire["L"]]
        raise MismatchError(column, f"is of DynamoDB type {found}")

    return reader


def _payload_reader(column: Column) -> Callable[[Any], Any]:
    kind = column.type
    if column.is_set:
        assert column.element is not None
        element, member = _payload_reader(column.element), column
        return lambda payload: [element(entry) for entry in _checked(payload, list, member)]
    if isinstance(kind, t.StructType):
        readers = [(name, _reader(field)) for name, field in zip(kind.names, column.fields, strict=True)]
        return lambda payload: {
            name: None if payload.get(name) is None else read(payload[name]) for name, read in readers
        }
    if isinstance(kind, t.MapType):
        assert column.element is not None
        value = _reader(column.element)
        return lambda payload: [(name, value(wire)) for name, wire in payload.items()]
    if isinstance(kind, t.ArrayType):
        assert column.element is not None
        entry = _reader(column.element)
        return lambda payload: [entry(wire) for wire in payload]
    return _leaf_reader(column)


def _leaf_reader(column: Column) -> Callable[[Any], Any]:
    kind = column.type
    if column.bits is not None:
        return lambda text: _whole(text, column)
    if isinstance(kind, t.DecimalType):
        return lambda text: _decimal(text, column, kind)
    if isinstance(kind, t.FloatType | t.DoubleType):
        return lambda text: _float(text, column)
    if isinstance(kind, t.BinaryType):
        return lambda payload: _bytes(payload, column)
    if isinstance(kind, t.TimestampType) and column.tag == "N":
        return lambda text: _from_epoch(text, column)
    if isinstance(kind, t.TimestampType | t.TimestampNTZType):
        is_zoned = isinstance(kind, t.TimestampType)
        return lambda text: _timestamp(text, column, is_zoned=is_zoned)
    if isinstance(kind, t.DateType):
        return lambda text: _date(text, column)
    if isinstance(kind, t.BooleanType):
        return lambda payload: _checked(payload, bool, column)
    return lambda payload: _checked(payload, str, column)


def _checked(payload: Any, kind: type, column: Column) -> Any:
    if not isinstance(payload, kind):
        raise MismatchError(column, f"has a damaged value: {payload!r:.60}")
    return payload


def _number(text: object, column: Column) -> Decimal:
    if not isinstance(text, str) or not _NUMBER.fullmatch(text):
        raise MismatchError(column, f"has a damaged number: {text!r:.60}")
    return Decimal(text)


def _whole(text: object, column: Column) -> int:
    number = _number(text, column)
    bits = column.bits or 64
    if number.adjusted() > 20 or number != number.to_integral_value():
        raise MismatchError(
            column, f"is {text}, which is {'too large' if number.adjusted() > 20 else 'no whole number'}"
        )
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise MismatchError(column, f"is {text}, more than {bits} bits hold")
    return int(number)


def _decimal(text: object, column: Column, kind: t.DecimalType) -> Decimal:
    number = _number(text, column)
    try:
        scaled = number.quantize(Decimal(1).scaleb(-kind.scale), context=_EXACT)
    except (Inexact, InvalidOperation):
        raise MismatchError(column, f"is {text}, which has more than {kind.scale} decimal places") from None
    if scaled and scaled.adjusted() >= kind.precision - kind.scale:
        raise MismatchError(column, f"is {text}, which has more than {kind.precision} digits")
    return scaled


def _float(text: object, column: Column) -> float:
    number = float(_number(text, column))
    try:
        if isinstance(column.type, t.FloatType):
            struct.pack("<f", number)
    except OverflowError:
        raise MismatchError(column, f"is {text}, more than a float holds") from None
    if isinf(number):
        raise MismatchError(column, f"is {text}, more than a double holds")
    return number


def _bytes(payload: object, column: Column) -> bytes:
    if isinstance(payload, bytes):
        return payload
    try:
        return base64.b64decode(_checked(payload, str, column), validate=True)
    except (binascii.Error, ValueError):
        raise MismatchError(column, "has damaged base64") from None


def _timestamp(text: object, column: Column, *, is_zoned: bool) -> dt.datetime:
    try:
        if _NANOSECONDS.search(_checked(text, str, column)):
            raise ValueError
        value = dt.datetime.fromisoformat(_checked(text, str, column))
    except ValueError:
        raise MismatchError(column, f"is {text!r:.60}, which is no ISO 8601 timestamp of microseconds") from None
    if is_zoned:
        # A naive one is UTC, as it is for the models' default time zone.
        return value.astimezone(dt.UTC) if value.utcoffset() is not None else value.replace(tzinfo=dt.UTC)
    if value.utcoffset() is not None:
        raise MismatchError(column, f"is {text!r:.60}, which has a time zone, and the column has none")
    return value


def _from_epoch(text: object, column: Column) -> dt.datetime:
    number = _number(text, column)
    try:
        return _EPOCH + dt.timedelta(microseconds=int((number * 1_000_000).to_integral_value()))
    except OverflowError:
        raise MismatchError(column, f"is {text}, which is no number of seconds since 1970") from None


def _date(text: object, column: Column) -> dt.date:
    if isinstance(text, str) and _DATE.fullmatch(text):
        try:
            return dt.date.fromisoformat(text)
        except ValueError:
            pass
    raise MismatchError(column, f"is {text!r:.60}, which is no ISO 8601 date")
