"""Pages of answers to Arrow, as a whole and without a Python value per attribute.

An answer of Scan or Query is JSON of a known form, so Arrow's own JSON reader takes it apart: an attribute becomes a
struct of its type tags, and a column of numbers a column of text that Arrow casts. What is not plainly as the columns
say - another type tag, a number that does not fit, a timestamp in another format - makes this way give the page up, and
`ItemReader` reads it, or says what is wrong with it.
"""

from __future__ import annotations

from base64 import b64decode
from collections.abc import Sequence
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.json as pj
from pyspark.sql import types as t

from dynamodb_wrapper.operations.effects import Response
from dynamodb_wrapper.spark.types import Column

_WIDE = pa.decimal256(76, 38)
_KEY = pa.struct([("S", pa.string()), ("N", pa.string()), ("B", pa.string())])
_CAPACITY = pa.struct([("TableName", pa.string()), ("CapacityUnits", pa.float64())])
_MICROSECONDS = pa.timestamp("us", "UTC")
_FLOAT_LIMIT = 3.4e38


class _OtherwiseError(Exception):
    """A page is not plainly as its columns say."""


class PageReader:
    """Reads the body of an answer into a batch.

    Args:
        columns: The columns.
        schema: Their Arrow schema, as Spark wants it.
        keys: The attributes of the keys that may be in a ``LastEvaluatedKey``.
    """

    def __init__(self, columns: Sequence[Column], schema: pa.Schema, keys: Sequence[str]) -> None:
        self._columns = columns
        self._schema = schema
        self._keys = len(set(keys))
        self.is_possible = not any(column.has_maps for column in columns) and bool(columns)
        item = pa.struct([(column.name, _wire_type(column)) for column in columns])
        self._answer = pa.schema(
            [
                ("Items", pa.list_(item)),
                ("Count", pa.int64()),
                ("ScannedCount", pa.int64()),
                ("LastEvaluatedKey", pa.struct([(key, _KEY) for key in dict.fromkeys(keys)])),
                ("ConsumedCapacity", _CAPACITY),
            ]
        )

    def answer(self, body: bytes) -> Response | None:
        """Return an answer with its items as a `RecordBatch`; None if it is to be read the simple way."""
        if not self.is_possible:
            return None
        try:
            return self._read(body)
        except (pa.ArrowException, _OtherwiseError):
            return None

    def _read(self, body: bytes) -> Response:
        table = pj.read_json(
            pa.BufferReader(body),
            read_options=pj.ReadOptions(use_threads=False, block_size=len(body) + 1),
            parse_options=pj.ParseOptions(
                explicit_schema=self._answer, newlines_in_values=True, unexpected_field_behavior="ignore"
            ),
        )
        if table.num_rows != 1:
            raise _OtherwiseError
        items = table.column("Items").combine_chunks()
        rest: Response = table.drop_columns(["Items"]).to_pylist()[0]
        if items.null_count or rest["Count"] != len(values := items.flatten()) or values.null_count:
            raise _OtherwiseError
        arrays = [
            _converted(pc.struct_field(values, [place]), column).cast(field.type)
            for place, (column, field) in enumerate(zip(self._columns, self._schema, strict=True))
        ]
        response: Response = _without_nulls(rest)
        if (last := response.get("LastEvaluatedKey")) is not None and (
            len(last) < self._keys or not all(last.values())
        ):
            raise _OtherwiseError  # of other attributes than expected
        return {"Items": pa.RecordBatch.from_arrays(arrays, schema=self._schema), **response}


def _wire_type(column: Column) -> pa.DataType:
    """Return the Arrow type of an attribute value as it stands in JSON."""
    return pa.struct([(column.tag, _payload_type(column)), ("NULL", pa.bool_())])


def _payload_type(column: Column) -> pa.DataType:
    if column.is_set:
        return pa.list_(pa.string())
    if isinstance(column.type, t.StructType):
        return pa.struct(
            [(name, _wire_type(field)) for name, field in zip(column.type.names, column.fields, strict=True)]
        )
    if column.element is not None:
        return pa.list_(_wire_type(column.element))
    return pa.bool_() if column.tag == "BOOL" else pa.string()


def _converted(values: pa.StructArray, column: Column) -> pa.Array:
    """Return the attribute values of a column in the column's type, null where there is none or NULL."""
    payload = pc.struct_field(values, [0])
    found = len(payload) - payload.null_count
    if found != len(values) - values.null_count:  # some have another tag, which may be NULL
        null = pc.struct_field(values, [1])
        if found + len(null) - null.null_count != len(values) - values.null_count:
            raise _OtherwiseError
    return _payload(payload, column)


def _payload(payload: pa.Array, column: Column) -> pa.Array:
    kind = column.type
    if column.is_set:
        assert column.element is not None
        return _listed(payload, _leaf(payload.flatten(), column.element))
    if isinstance(kind, t.StructType):
        fields = [_converted(pc.struct_field(payload, [place]), field) for place, field in enumerate(column.fields)]
        mask = payload.is_null() if payload.null_count else None
        names = [pa.field(name, array.type) for name, array in zip(kind.names, fields, strict=True)]
        return pa.StructArray.from_arrays(fields, fields=names, mask=mask)
    if column.element is not None:
        return _listed(payload, _converted(payload.flatten(), column.element))
    return _leaf(payload, column)


def _listed(lists: pa.ListArray, values: pa.Array) -> pa.Array:
    """Return lists of the same lengths over other values."""
    lengths = pc.fill_null(pc.list_value_length(lists), 0)
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
    mask = lists.is_null() if lists.null_count else None
    return pa.ListArray.from_arrays(offsets, values, mask=mask)


def _leaf(payload: pa.Array, column: Column) -> pa.Array:
    kind = column.type
    if column.bits is not None:
        return pc.cast(payload, {8: pa.int8(), 16: pa.int16(), 32: pa.int32(), 64: pa.int64()}[column.bits])
    if isinstance(kind, t.DecimalType):
        # Not at once: Arrow's cast of text to decimal128 wraps around without an error.
        return pc.cast(pc.cast(payload, _WIDE), pa.decimal128(kind.precision, kind.scale))
    if isinstance(kind, t.DoubleType):
        return pc.cast(payload, pa.float64())
    if isinstance(kind, t.FloatType):
        floats = pc.cast(payload, pa.float64())
        if pc.any(pc.greater(pc.abs(floats), _FLOAT_LIMIT)).as_py():
            raise _OtherwiseError
        return pc.cast(floats, pa.float32(), safe=False)
    if isinstance(kind, t.TimestampType) and column.tag == "S":
        return pc.cast(payload, _MICROSECONDS)
    if isinstance(kind, t.StringType | t.BooleanType):
        return payload
    if isinstance(kind, t.DateType):
        return pc.cast(payload, pa.date32())
    if isinstance(kind, t.BinaryType):
        return _decoded(payload)
    raise _OtherwiseError  # seconds since 1970, and timestamps without a zone


def _decoded(texts: pa.Array) -> pa.Array:
    try:
        plain = [None if text is None else b64decode(text, validate=True) for text in texts.to_pylist()]
    except ValueError:
        raise _OtherwiseError from None
    return pa.array(plain, pa.binary())


def _without_nulls(value: Any) -> Any:
    if not isinstance(value, dict):
        return value
    return {name: _without_nulls(entry) for name, entry in value.items() if entry is not None}
