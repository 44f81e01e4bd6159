"""Spark's filters as DynamoDB's conditions.

What is pushed is a superset: every filter goes back to Spark, too, which applies it again. So a condition may let
through too much, and never too little. Not pushed are comparisons where the two sides could differ in their opinion:
floating point, times kept as text, binary, text with a collation, and everything about a column that reads wrong types
as null.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from decimal import Decimal
from itertools import product
from typing import Any

from pyspark.sql import datasource as ds
from pyspark.sql import types as t

from dynamodb_wrapper.codec import RefusedValueError, Shape, Step, Target, TimeRules, WireEncoder
from dynamodb_wrapper.exceptions import ExpressionError
from dynamodb_wrapper.expressions import Condition, ExpressionWriter, F, every
from dynamodb_wrapper.operations.effects import Params
from dynamodb_wrapper.operations.key_values import MAX_PARTITION_KEY_BYTES, MAX_SORT_KEY_BYTES
from dynamodb_wrapper.spark.types import Column

MAX_QUERIES = 1000
"""More partition keys than that in an IN, and the table is scanned."""
_MOST_OPTIONS = 100
_COMPARED: dict[type[ds.Filter], str] = {
    ds.EqualTo: "__eq__",
    ds.EqualNullSafe: "__eq__",
    ds.GreaterThan: "__gt__",
    ds.GreaterThanOrEqual: "__ge__",
    ds.LessThan: "__lt__",
    ds.LessThanOrEqual: "__le__",
}
_RANGES = (ds.EqualTo, ds.GreaterThan, ds.GreaterThanOrEqual, ds.LessThan, ds.LessThanOrEqual, ds.StringStartsWith)
_ENCODER = WireEncoder(TimeRules())


class Places:
    """Tells expressions where columns are stored; names are taken as they are, dots and all."""

    def target(self, path: Sequence[Step]) -> Target:
        """Return the place of an attribute."""
        return Target(str(path[0]), tuple(path), Shape(), _ENCODER.encode, _ENCODER.encode)

    def element_target(self, target: Target) -> Target:
        """Return the place of an element; nothing here asks for one."""
        return target


@dataclass(frozen=True)
class Pushed:
    """What DynamoDB is to be asked for.

    Attributes:
        partitions: The values of the partition key to query; None to scan.
        sort: A condition on the sort key, for queries.
        where: What else items have to fulfil.
    """

    partitions: tuple[object, ...] | None = None
    sort: Condition | None = None
    where: Condition | None = field(default=None)


def pushed(
    filters: Iterable[ds.Filter],
    columns: Sequence[Column],
    partition: Sequence[str],
    sort: Sequence[str],
    *,
    coerces: bool,
    partitions: Sequence[object] | None = None,
) -> Pushed:
    """Return what of the filters, all of which hold, DynamoDB can apply.

    Args:
        filters: Spark's filters.
        columns: The columns of the frame.
        partition: The attributes of the partition key that is read by.
        sort: The attributes of its sort key.
        coerces: Whether wrong types are read as null, or left out: then only the key is sure to be what it is.
        partitions: The values of the partition key that are left, where they are known otherwise.
    """
    by_name = {column.name: column for column in columns}
    plain = [one for one in filters if _is_plain(one, by_name)]
    keys = {*partition, *sort}
    values = _partition_values(plain, partition[0]) if len(partition) == 1 and partitions is None else partitions
    where = [_condition(one) for one in plain if _name(one) in keys or not coerces]
    if values is None:
        return Pushed(where=_within_limits(where))
    ranges = [one for one in plain if sort and _name(one) == sort[0] and isinstance(one, _RANGES)]
    # A query refuses the attributes of its key in a filter.
    others = [_condition(one) for one in plain if _name(one) not in keys and not coerces]
    possible = tuple(value for value in values if _may_be_key(value, MAX_PARTITION_KEY_BYTES))
    return Pushed(possible, _sort_condition(ranges), _within_limits(others))


def values_of(
    filters: Iterable[ds.Filter], columns: Sequence[Column], names: Sequence[str]
) -> list[tuple[object, ...]] | None:
    """Return the values that columns can have together, by filters that all hold; None if that is open, or too much."""
    by_name = {column.name: column for column in columns}
    plain = [one for one in filters if _is_plain(one, by_name)]
    values = [_partition_values(plain, name) for name in names]
    if any(one is None for one in values) or math.prod(len(one or ()) for one in values) > MAX_QUERIES:
        return None
    return list(product(*(one or () for one in values)))


def _name(one: ds.Filter) -> str:
    inner = one.child if isinstance(one, ds.Not) else one
    attribute: Any = getattr(inner, "attribute", ())
    return str(attribute[0]) if len(attribute) == 1 else ""


def _is_plain(one: ds.Filter, columns: dict[str, Column]) -> bool:
    """Whether DynamoDB and Spark agree on what the filter means (or DynamoDB lets through more)."""
    column = columns.get(_name(one))
    if column is None:
        return False
    if isinstance(one, ds.IsNull | ds.IsNotNull):
        return True
    if isinstance(one, ds.Not):
        # NOT of a comparison is null where there is no value, and of a null-safe one it is true: the latter needs care.
        inner = one.child
        return isinstance(inner, ds.EqualTo | ds.IsNull | ds.IsNotNull) and _is_plain(inner, columns)
    if isinstance(one, ds.In):
        return 1 <= len(one.value) <= MAX_QUERIES and all(_is_comparable(value, column) for value in one.value)
    if isinstance(one, ds.StringStartsWith | ds.StringContains):
        return bool(one.value) and _is_comparable(one.value, column)
    return type(one) in _COMPARED and _is_comparable(getattr(one, "value", None), column)


def _is_comparable(value: object, column: Column) -> bool:
    try:
        _ENCODER.encode(value)
    except RefusedValueError:
        return False
    if isinstance(column.type, t.StringType):
        return isinstance(value, str) and column.type.simpleString() == "string"
    if isinstance(column.type, t.BooleanType):
        return isinstance(value, bool)
    if column.bits is not None or isinstance(column.type, t.DecimalType):
        return isinstance(value, int | Decimal) and not isinstance(value, bool)
    return False


def _condition(one: ds.Filter) -> Condition:
    place = F[_name(one)]
    match one:
        case ds.Not(inner):
            return ~_condition(inner)
        case ds.IsNull():
            return place.not_exists() | place.is_type("NULL")
        case ds.IsNotNull():
            return place.exists() & ~place.is_type("NULL")
        case ds.In(value=values):
            options = list(dict.fromkeys(values))
            groups = [options[start : start + _MOST_OPTIONS] for start in range(0, len(options), _MOST_OPTIONS)]
            condition = place.in_(groups[0])
            for group in groups[1:]:
                condition |= place.in_(group)
            return condition
        case ds.StringStartsWith(value=prefix):
            return place.begins_with(prefix)
        case ds.StringContains(value=part):
            return place.contains(part)
    compared: Condition = getattr(place, _COMPARED[type(one)])(getattr(one, "value", None))
    return compared


def _partition_values(filters: Iterable[ds.Filter], key: str) -> tuple[object, ...] | None:
    """Return the values that the partition key can have; None if that is open."""
    found: list[object] | None = None
    for one in filters:
        if _name(one) != key:
            continue
        if isinstance(one, ds.EqualTo | ds.EqualNullSafe):
            options: list[object] = [one.value]
        elif isinstance(one, ds.In):
            options = list(dict.fromkeys(one.value))
        else:
            continue
        found = options if found is None else [value for value in found if value in options]
    return None if found is None else tuple(found)


def _may_be_key(value: object, longest: int) -> bool:
    """Whether a key can have a value: DynamoDB refuses a query for a text that is empty, or too long."""
    return not isinstance(value, str) or 0 < len(value.encode()) <= longest


def _sort_condition(ranges: Sequence[ds.Filter]) -> Condition | None:
    """Return one condition of those DynamoDB allows on a sort key: the first, or a range of two."""
    ranges = [one for one in ranges if _may_be_key(getattr(one, "value", None), MAX_SORT_KEY_BYTES)]
    if not ranges:
        return None
    low = next((one for one in ranges if isinstance(one, ds.GreaterThan | ds.GreaterThanOrEqual)), None)
    high = next((one for one in ranges if isinstance(one, ds.LessThan | ds.LessThanOrEqual)), None)
    equal = next((one for one in ranges if isinstance(one, ds.EqualTo)), None)
    if equal is None and low is not None and high is not None and _is_range(low.value, high.value):
        return F[_name(low)].between(low.value, high.value)  # both ends included: a superset
    first = ranges[0] if equal is None else equal
    return _condition(first)


def _is_range(low: Any, high: Any) -> bool:
    return bool(low <= high)  # DynamoDB refuses a range that ends before it begins


def _within_limits(conditions: Iterable[Condition]) -> Condition | None:
    """Return as many of the conditions as go into one expression."""
    kept: list[Condition] = []
    for condition in conditions:
        try:
            together = every(*kept, condition)
            assert together is not None  # there is at least one
            ExpressionWriter(Places()).condition(together)
        except ExpressionError:
            continue
        kept.append(condition)
    return every(*kept)


def expressions(
    pushed: Pushed, key: str | None, value: object, projection: Sequence[str], kept: Condition | None
) -> Params:
    """Return the expressions of one scan (``key`` None) or query, with their placeholders.

    Args:
        pushed: What was pushed.
        key: The partition key's attribute, to query one value of it.
        value: The value.
        projection: The attributes to read; none for all.
        kept: What keeps out items that are another's, or no data.
    """
    writer = ExpressionWriter(Places())
    params: Params = {}
    if key is not None:
        params["KeyConditionExpression"] = writer.condition(
            F[key] == value if pushed.sort is None else (F[key] == value) & pushed.sort
        )
    where = every(pushed.where, kept)
    if where is not None:
        params["FilterExpression"] = writer.condition(where)
    if projection:
        with suppress(ExpressionError):  # over 4 KB of placeholders: everything is read, and the rest left unused
            params["ProjectionExpression"] = writer.projection([(name,) for name in projection])
    return {**params, **writer.parameters()}
