"""Rows to the JSON of items, column by column.

A batch of rows becomes, for each column, an Arrow array of texts like ``"total":{"N":"12.5"}``, null where it
is left out; joined row by row they are the items as BatchWriteItem's JSON has them. So no Python value is made per
attribute, but where a column needs one: sets, binary, numbers in exponent form.

A row with a value that DynamoDB cannot hold is refused, with the reason; the others of its batch are written.
"""

from __future__ import annotations

import base64
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from decimal import Decimal
from json.encoder import encode_basestring as quoted

import pyarrow as pa
import pyarrow.compute as pc
from pyspark.sql import types as t

from dynamodb_wrapper.codec import MAX_ITEM_BYTES, TimeRules, WireEncoder, from_json, item_bytes
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.spark.derived import Made, RowDeriver
from dynamodb_wrapper.spark.types import Column

MAX_KEY_BYTES = (2048, 1024)
"""AWS, "Quotas": the longest partition key and sort key."""
_ENCODER = WireEncoder(TimeRules())
_NULL = '{"NULL":true}'
_ESCAPED = r'["\\\x00-\x1f]'
_CONTROL = r"[\x00-\x1f]"
_EXPONENT = "e"
_LARGEST, _SMALLEST = 9.9999999999999e125, 1e-130
_DAYS = (-719_162, 2_932_896)
_MICROSECONDS = (-62_135_596_800_000_000, 253_402_300_799_999_999)
"""The first and the last that Python has, since 1970."""
_ISO_ZONED, _ISO_NAIVE = "%Y-%m-%dT%H:%M:%S+00:00", "%Y-%m-%dT%H:%M:%S"


@dataclass
class Encoded:
    """A batch of rows as they are sent.

    Attributes:
        items: By row, the attributes of the item as JSON, without the braces; None for a refused row.
        keys: By row, the attributes of its key in the same form, by which equal keys are told.
        refused: By row, why it cannot be written.
        removed: By row, the derived attributes that an update takes away.
    """

    items: list[str | None]
    keys: list[str | None]
    refused: dict[int, str] = field(default_factory=dict)
    removed: dict[int, list[str]] = field(default_factory=dict)


class RowEncoder:
    """Encodes batches of rows of one schema.

    Args:
        columns: The columns; those named by ``keys`` have to be among them, or be derived.
        keys: The attributes of the table's key: the partition key, and the sort key if there is one.
        deriver: Makes what is stored beside the columns; None for nothing.
        kept_prefix: What no row's partition key begins with, since others' do; None for nothing.
    """

    def __init__(
        self,
        columns: Sequence[Column],
        keys: Sequence[str],
        deriver: RowDeriver | None = None,
        *,
        kept_prefix: str | None = None,
    ) -> None:
        self._columns = columns
        self._keys = keys
        self._deriver = deriver
        self._kept_prefix = kept_prefix

    def encode(self, batch: pa.RecordBatch) -> Encoded:
        """Return the rows of a batch as JSON."""
        refused: dict[int, str] = {}
        fragments = self.fragments(batch, refused)
        for place, column in enumerate(self._columns):
            if column.name in self._keys:
                longest = MAX_KEY_BYTES[self._keys.index(column.name)]
                _check_key(batch.column(place), column, longest, refused)
                if self._kept_prefix is not None and column.name == self._keys[0]:
                    _check_prefix(batch.column(place), column.name, self._kept_prefix, refused)
        made = Made() if self._deriver is None else self._deriver.made(fragments, refused)
        parts = {column.name: part for column, part in zip(self._columns, fragments, strict=True)} | made.values
        named = {name: _named(name, part) for name, part in parts.items()}
        joined = _joined(list(named.values()))
        texts = joined.to_pylist()
        keys = _joined([named[key] for key in self._keys])
        may_be_large = pc.greater(pc.binary_length(joined), MAX_ITEM_BYTES)  # in no form is JSON shorter than the item
        for row in pc.indices_nonzero(may_be_large).to_pylist() if may_be_large.true_count else ():
            if row not in refused:
                _check_size(row, texts[row], refused)
        result = Encoded(texts, keys.to_pylist(), refused, made.removed)
        for row in refused:
            result.items[row] = None
        return result

    def fragments(self, batch: pa.RecordBatch, refused: dict[int, str]) -> list[pa.Array]:
        """Return for each column its values as JSON, null for null; notes in ``refused`` what cannot be written."""
        return [
            _Values(column, refused, range(batch.num_rows)).json(_plain(batch.column(place)), column)
            for place, column in enumerate(self._columns)
        ]


def _plain(array: pa.Array) -> pa.Array:
    """Return an array without an offset, its text and binary of the ordinary width."""
    if array.offset:
        array = pa.concat_arrays([array])
        array = array.take(pa.array(range(len(array)))) if array.offset else array
    if pa.types.is_large_string(array.type):
        return array.cast(pa.string())
    return array.cast(pa.binary()) if pa.types.is_large_binary(array.type) else array


def _named(name: str, values: pa.Array) -> pa.Array:
    return pc.binary_join_element_wise(f"{quoted(name)}:", values, "")


def _joined(parts: Sequence[pa.Array]) -> pa.Array:
    # Not by null_handling="skip": a row of nulls alone then has no place in the result.
    with_commas = [pc.fill_null(pc.binary_join_element_wise(",", part, ""), "") for part in parts]
    return pc.utf8_slice_codeunits(pc.binary_join_element_wise(*with_commas, ""), 1)


def _check_size(row: int, text: str, refused: dict[int, str]) -> None:
    try:
        size = item_bytes(from_json(f"{{{text}}}"))
    except ValidationError as error:
        refused[row] = error.message
        return
    if size > MAX_ITEM_BYTES:
        refused[row] = f"the item takes {size:,} bytes, and DynamoDB holds {MAX_ITEM_BYTES:,}"


def _check_key(values: pa.Array, column: Column, longest: int, refused: dict[int, str]) -> None:
    name = column.name
    if values.null_count:
        _refuse(refused, values.is_null(), lambda _: f"key {name!r} is null")
    if column.tag in ("S", "B") and isinstance(column.type, t.StringType | t.BinaryType):
        lengths = pc.binary_length(values)
        _refuse(refused, pc.equal(lengths, 0), lambda _: f"key {name!r} is empty")
        _refuse(
            refused,
            pc.greater(lengths, longest),
            lambda _: f"key {name!r} takes more than DynamoDB's {longest:,} bytes",
        )


def _check_prefix(values: pa.Array, name: str, kept: str, refused: dict[int, str]) -> None:
    if not (pa.types.is_string(values.type) or pa.types.is_large_string(values.type)):
        return  # a date, say, does not begin so
    reason = f"key {name!r} begins with {kept!r}, which is kept for the guards of unique values"
    _refuse(refused, pc.starts_with(values, kept), lambda _: reason)


def _refuse(refused: dict[int, str], wrong: pa.Array, reason: Callable[[int], str]) -> None:
    if wrong.true_count:
        for row in pc.indices_nonzero(wrong).to_pylist():
            refused.setdefault(row, reason(row))


class _Values:
    """The JSON of the values of a column, and of the values inside them.

    Args:
        top: The column.
        refused: Takes the rows that cannot be written.
        rows: By value, the row it belongs to.
    """

    def __init__(self, top: Column, refused: dict[int, str], rows: Sequence[int]) -> None:
        self._top = top
        self._refused = refused
        self._rows = rows

    def json(self, values: pa.Array, column: Column) -> pa.Array:
        """Return the values as JSON texts, null for null."""
        if column.is_set and column.element is not None:
            return self._set(values, column, column.element)
        if column.tag == "M" and column.fields:
            return self._struct(values, column)
        if isinstance(column.type, t.StructType):
            return pc.if_else(values.is_valid(), '{"M":{}}', pa.scalar(None, pa.string()))
        if isinstance(column.type, t.MapType):
            return self._map(values, column)
        if column.element is not None:
            return _tagged("L", self._list(values, column.element), "[]")
        return self._leaf(values, column)

    def _struct(self, values: pa.StructArray, column: Column) -> pa.Array:
        names = list(values.type.names)
        parts = [
            _named(name, self.json(_plain(pc.struct_field(values, [place])), field))
            for place, (name, field) in enumerate(zip(names, column.fields, strict=True))
        ]
        joined = pc.binary_join_element_wise('{"M":{', _joined(parts), "}}", "")
        return pc.if_else(values.is_valid(), joined, pa.scalar(None, pa.string()))

    def _list(self, values: pa.ListArray, element: Column) -> pa.Array:
        """Return the elements' JSON with commas between them, null for null."""
        lengths = pc.fill_null(pc.list_value_length(values), 0)
        flat = _plain(values.flatten())
        inner = _Values(self._top, self._refused, self._spread(lengths)).json(flat, element)
        return pc.binary_join(_relisted(values, lengths, pc.fill_null(inner, _NULL)), ",")

    def _map(self, values: pa.MapArray, column: Column) -> pa.Array:
        assert column.element is not None
        entries = pa.ListArray.from_arrays(
            values.offsets,
            pa.StructArray.from_arrays([values.keys, values.items], ["key", "value"]),
            mask=values.is_null() if values.null_count else None,
        )
        lengths = pc.fill_null(pc.list_value_length(entries), 0)
        flat = entries.flatten()
        rows = self._spread(lengths)
        keys, items = _plain(pc.struct_field(flat, [0])), _plain(pc.struct_field(flat, [1]))
        written = _Values(self._top, self._refused, rows).json(items, column.element)
        pairs = pc.binary_join_element_wise(_quoted(keys), pc.fill_null(written, _NULL), ":")
        return _tagged("M", pc.binary_join(_relisted(entries, lengths, pairs), ","), "{}")

    def _spread(self, lengths: pa.Array) -> list[int]:
        """Return by element the row it belongs to."""
        return [row for row, length in zip(self._rows, lengths.to_pylist(), strict=True) for _ in range(length)]

    def _leaf(self, values: pa.Array, column: Column) -> pa.Array:
        if isinstance(column.type, t.BooleanType):
            return pc.if_else(values, '{"BOOL":true}', '{"BOOL":false}')
        return pc.binary_join_element_wise(f'{{"{column.tag}":', self._payload(values, column), "}", "")

    def _payload(self, values: pa.Array, column: Column) -> pa.Array:
        """Return what stands behind the type tag of text, numbers, binary and times."""
        kind = column.type
        if isinstance(kind, t.StringType):
            return _quoted(values)
        if isinstance(kind, t.BinaryType):
            plain = values.to_pylist()
            texts = pa.array([None if one is None else base64.b64encode(one).decode() for one in plain], pa.string())
        else:
            if isinstance(kind, t.DateType | t.TimestampType | t.TimestampNTZType):
                values = self._readable_times(values)
            texts = self._number(values, kind) if column.tag == "N" else _time_text(values, kind)
        return pc.binary_join_element_wise('"', texts, '"', "")

    def _set(self, values: pa.ListArray, column: Column, element: Column) -> pa.Array:
        lengths = pc.fill_null(pc.list_value_length(values), 0).to_pylist()
        rows = self._spread(pa.array(lengths))
        members = _Values(self._top, self._refused, rows)._payload(_plain(values.flatten()), element).to_pylist()
        texts: list[str | None] = []
        start = 0
        for place, (length, is_there) in enumerate(zip(lengths, values.is_valid().to_pylist(), strict=True)):
            unique = set(members[start : start + length])
            start += length
            if None in unique:
                self._refused.setdefault(self._rows[place], f"{column.name!r} has a null in a set")
                is_there = False
            # DynamoDB has no empty set.
            full = f'{{"{column.tag}":[{",".join(sorted(unique))}]}}' if unique and is_there else '{"L":[]}'
            texts.append(full if is_there else None)
        return pa.array(texts, pa.string())

    def _number(self, values: pa.Array, kind: t.DataType) -> pa.Array:
        if isinstance(kind, t.TimestampType):  # seconds since 1970, rounded up: no item expires before its time
            micros = values.cast(pa.timestamp("us", "UTC")).cast(pa.int64())
            up = pc.if_else(pc.greater(micros, 0), pc.add(micros, 999_999), micros)
            return pc.cast(pc.divide(up, 1_000_000), pa.string())  # towards zero
        if isinstance(kind, t.FloatType | t.DoubleType):
            return self._float(values)
        texts = pc.cast(values, pa.string())
        return _canonical(texts) if isinstance(kind, t.DecimalType) else texts

    def _readable_times(self, values: pa.Array) -> pa.Array:
        """Refuse times of years that ISO 8601 and Python have not: Spark's go from -290307 to 294247."""
        if pa.types.is_date(values.type):
            plain, (first, last) = values.cast(pa.int32()), _DAYS
        else:
            plain, (first, last) = values.cast(pa.timestamp("us", values.type.tz)).cast(pa.int64()), _MICROSECONDS
        found = pc.min_max(plain).as_py()
        if found["min"] is None or (first <= found["min"] and found["max"] <= last):
            return values
        wrong = pc.fill_null(pc.or_(pc.less(plain, first), pc.greater(plain, last)), fill_value=False)
        for place in pc.indices_nonzero(wrong).to_pylist():
            self._refused.setdefault(self._rows[place], f"{self._top.name!r} is in no year from 1 to 9999")
        return pc.if_else(wrong, pa.scalar(None, values.type), values)

    def _float(self, values: pa.Array) -> pa.Array:
        size = pc.abs(values)
        too_large = pc.invert(pc.less_equal(size, _LARGEST))  # NaN is not less than anything
        too_small = pc.and_(pc.less(size, _SMALLEST), pc.greater(size, 0))
        wrong = pc.fill_null(pc.or_(too_large, too_small), fill_value=False)
        if wrong.true_count:
            for place in pc.indices_nonzero(wrong).to_pylist():
                self._refused.setdefault(self._rows[place], f"{self._top.name!r} is {values[place]}: {_NO_SUCH_NUMBER}")
            values = pc.if_else(wrong, pa.scalar(0, values.type), values)
        return _canonical(pc.cast(values, pa.string()))


_NO_SUCH_NUMBER = "DynamoDB has no NaN, no infinity, and no numbers beyond 1E-130 to 9.99E+125"


def _relisted(lists: pa.Array, lengths: pa.Array, values: pa.Array) -> pa.Array:
    offsets = pa.concat_arrays([pa.array([0], pa.int32()), pc.cumulative_sum(lengths).cast(pa.int32())])
    return pa.ListArray.from_arrays(offsets, values, mask=lists.is_null() if lists.null_count else None)


def _tagged(tag: str, texts: pa.Array, around: str) -> pa.Array:
    return pc.binary_join_element_wise(f'{{"{tag}":{around[0]}', texts, f"{around[1]}}}", "")


def _quoted(texts: pa.Array) -> pa.Array:
    """Return texts as JSON strings."""
    if pc.any(pc.match_substring_regex(texts, _ESCAPED)).as_py():
        if pc.any(pc.match_substring_regex(texts, _CONTROL)).as_py():
            return pa.array([None if text is None else quoted(text) for text in texts.to_pylist()], pa.string())
        texts = pc.replace_substring_regex(texts, r'(["\\])', r"\\\1")
    return pc.binary_join_element_wise('"', texts, '"', "")


def _canonical(texts: pa.Array) -> pa.Array:
    """Return numbers as DynamoDB gives them back: without exponents, and zeros behind the last digit."""
    if pc.any(pc.match_substring(texts, _EXPONENT, ignore_case=True)).as_py():
        return pa.array([None if text is None else _number_text(text) for text in texts.to_pylist()], pa.string())
    texts = pc.replace_substring_regex(texts, r"(\.\d*?)0+$", r"\1")
    texts = pc.replace_substring_regex(texts, r"\.$", "")
    return pc.replace_substring_regex(texts, r"^-0$", "0")


def _number_text(text: str) -> str:
    return str(_ENCODER.encode(Decimal(text))["N"])


def _time_text(values: pa.Array, kind: t.DataType) -> pa.Array:
    """Return times as models store them: ISO 8601 in UTC, in one fixed width."""
    if isinstance(kind, t.DateType):
        return pc.strftime(values, "%Y-%m-%d")
    if isinstance(kind, t.TimestampType):
        return pc.strftime(values.cast(pa.timestamp("us", "UTC")), _ISO_ZONED)
    return pc.strftime(values.cast(pa.timestamp("us")), _ISO_NAIVE)
