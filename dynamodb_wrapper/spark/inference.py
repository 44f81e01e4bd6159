"""The schema of a table that nobody has described: guessed from a sample, with its doubts."""

from __future__ import annotations

import logging
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from itertools import islice

from pyspark.sql import types as t

from dynamodb_wrapper.codec import Item, Wire
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations.effects import Flow, Params, call, emit
from dynamodb_wrapper.spark.options import Options
from dynamodb_wrapper.spark.tables import Table
from dynamodb_wrapper.spark.types import METADATA
from dynamodb_wrapper.transport import SyncDriver

logger = logging.getLogger("dynamodb_wrapper.spark")

_LEAVES: dict[str, t.DataType] = {"S": t.StringType(), "BOOL": t.BooleanType(), "B": t.BinaryType()}
_SPARE_DIGITS = 38
_SEGMENTS = 4
_FEW = 0.02


def inferred_schema(table: Table, options: Options, driver: SyncDriver) -> t.StructType:
    """Return the schema of a sample of a table, and log what is doubtful about it.

    The sample is the first items of four segments: items of DynamoDB lie in no order, so it is a fair one. Numbers
    become bigint if all are whole, else decimal(38,s) with the most decimal places seen.

    Raises:
        ValidationError: The sample is empty, or an attribute has values of several types in it.
    """
    schema, doubts = schema_of_items(_sample(table, options, driver), table.keys)
    for doubt in doubts:
        logger.warning(
            "the schema of table %r was inferred from %d items at most: %s", table.name, options.sample, doubt
        )
    return schema


def schema_of_items(items: Iterable[Item], keys: Iterable[str] = ()) -> tuple[t.StructType, list[str]]:
    """Return the schema of items, its columns sorted behind the keys, and what is doubtful about it.

    Raises:
        ValidationError: There are no items, or an attribute has values of several types.
    """
    seen = Counter[str]()
    values: dict[str, list[Wire]] = {}
    count = 0
    for item in items:
        count += 1
        for name, wire in item.items():
            values.setdefault(name, []).append(wire)
            seen[name] += "NULL" not in wire
    if not count:
        raise ValidationError(
            "the table is empty, so there is nothing to infer a schema from: give one with schema(...)"
        )
    order = [*keys, *sorted(values.keys() - set(keys))]
    fields, doubts = [], []
    for name in order:
        field = _field(name, values.get(name, []), name)
        if field is None:
            doubts.append(f"{name!r} is NULL everywhere and was left out")
            continue
        fields.append(field)
        if seen[name] <= max(1, _FEW * count) and count > 1:
            doubts.append(f"{name!r} is in {seen[name]} of {count} items only; there may be others like it, unseen")
    return t.StructType(fields), doubts


def _field(name: str, wires: list[Wire], place: str) -> t.StructField | None:
    present = [wire for wire in wires if "NULL" not in wire]
    tags = {tag for wire in present for tag in wire}
    if not tags:
        return None
    if len(tags) > 1:
        raise ValidationError(
            f"attribute {place!r} has values of the DynamoDB types {', '.join(sorted(tags))} in the sample: give a "
            'schema with schema(...), and say what becomes of the others with option("on_mismatch", ...)',
            {place: "of several types"},
        )
    (tag,) = tags
    payloads = [wire[tag] for wire in present]
    metadata = {METADATA: tag} if tag in ("SS", "NS", "BS") else None
    return t.StructField(name, _kind(tag, payloads, place), nullable=True, metadata=metadata)


def _kind(tag: str, payloads: list[object], place: str) -> t.DataType:
    flat: list[Wire] = [entry for payload in payloads if isinstance(payload, list) for entry in payload]
    if tag == "N":
        return _number(str(payload) for payload in payloads)
    if tag == "NS":
        return t.ArrayType(_number(map(str, flat)))
    if tag in ("SS", "BS"):
        return t.ArrayType(_LEAVES[tag[0]])
    if tag == "L":
        element = _field("element", flat, f"{place}[]")
        return t.ArrayType(t.StringType() if element is None else element.dataType)
    if tag == "M":
        inside: dict[str, list[Wire]] = {}
        for payload in payloads:
            for name, wire in payload.items() if isinstance(payload, dict) else ():
                inside.setdefault(name, []).append(wire)
        found = [_field(name, wires, f"{place}.{name}") for name, wires in sorted(inside.items())]
        return t.StructType([field for field in found if field is not None])
    return _LEAVES[tag]


def _number(texts: Iterable[str]) -> t.DataType:
    numbers = [Decimal(text) for text in texts]
    places = max(-min(int(number.as_tuple().exponent), 0) for number in numbers)
    if places == 0 and all(-(2**63) <= number < 2**63 for number in numbers):
        return t.LongType()
    return t.DecimalType(_SPARE_DIGITS, min(places, _SPARE_DIGITS))


def _sample(table: Table, options: Options, driver: SyncDriver) -> list[Item]:
    each = -(-options.sample // _SEGMENTS)
    items: list[Item] = []
    for segment in range(_SEGMENTS):
        params: Params = {"TableName": table.name, "Segment": segment, "TotalSegments": _SEGMENTS, "Limit": each}
        if options.index is not None:
            params["IndexName"] = options.index
        items += islice(driver.stream(_items(params)), each)
    return items


def _items(params: Params) -> Flow[None]:
    start: Params = {}
    while True:
        answer = yield from call("Scan", params | start)
        yield from emit(answer["Items"])
        if not answer.get("LastEvaluatedKey"):
            return
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}
