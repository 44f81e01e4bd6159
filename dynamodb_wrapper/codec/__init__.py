"""Models to items and items to models: the only place that knows Decimal, sets, datetimes and bytes."""

from __future__ import annotations

from dynamodb_wrapper.codec.derived import Always, Derived
from dynamodb_wrapper.codec.evolution import Evolution, SchemaOptions, Stamp, check_chain, upcaster_names
from dynamodb_wrapper.codec.measure import MAX_ITEM_BYTES, check_size, item_bytes, item_json, most_bytes, surely_fits
from dynamodb_wrapper.codec.model import ModelCodec, explain
from dynamodb_wrapper.codec.one_pass import Explanation
from dynamodb_wrapper.codec.partial import PartialItem
from dynamodb_wrapper.codec.shapes import ANY, Member, Shape, Step
from dynamodb_wrapper.codec.stored import EpochSeconds, KeyedList, StoredForm
from dynamodb_wrapper.codec.targets import Target
from dynamodb_wrapper.codec.templates import Case, Form, Key, Part, Sharded, Template
from dynamodb_wrapper.codec.unions import union_model
from dynamodb_wrapper.codec.wire import Item, RefusedValueError, TimeRules, Wire, WireEncoder, read_any
from dynamodb_wrapper.codec.wire_json import encoded_to_json, from_json, to_json, with_bytes

__all__ = [
    "ANY",
    "MAX_ITEM_BYTES",
    "Always",
    "Case",
    "Derived",
    "EpochSeconds",
    "Evolution",
    "Explanation",
    "Form",
    "Item",
    "Key",
    "KeyedList",
    "Member",
    "ModelCodec",
    "Part",
    "PartialItem",
    "RefusedValueError",
    "SchemaOptions",
    "Shape",
    "Sharded",
    "Stamp",
    "Step",
    "StoredForm",
    "Target",
    "Template",
    "TimeRules",
    "Wire",
    "WireEncoder",
    "check_chain",
    "check_size",
    "encoded_to_json",
    "explain",
    "from_json",
    "item_bytes",
    "item_json",
    "most_bytes",
    "read_any",
    "surely_fits",
    "to_json",
    "union_model",
    "upcaster_names",
    "with_bytes",
]
