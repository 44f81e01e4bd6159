"""DynamoDB's own query keywords (``Limit``, ``FilterExpression``, ...) as a selection, as users of boto3 write them."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from dynamodb_wrapper.codec import RefusedValueError, WireEncoder
from dynamodb_wrapper.exceptions import ExpressionError
from dynamodb_wrapper.expressions import Comparison, Condition, Path, as_condition, paths_of
from dynamodb_wrapper.expressions.nodes import Every
from dynamodb_wrapper.operations.selection import Asked, Selection
from dynamodb_wrapper.operations.sizes import positive

R = TypeVar("R")

KEYWORDS = (
    "ConsistentRead",
    "ExclusiveStartKey",
    "ExpressionAttributeNames",
    "ExpressionAttributeValues",
    "FilterExpression",
    "IndexName",
    "KeyConditionExpression",
    "Limit",
    "ScanIndexForward",
)


def with_keywords(make: Callable[[str | None], Selection[R]], keywords: Mapping[str, Any]) -> Selection[R]:
    """Return the selection that DynamoDB's query keywords ask for.

    Args:
        make: From an index name (or None) to the selection without keywords.
        keywords: By DynamoDB's names. Values are Python values; expressions are strings or boto3's conditions.
            ``Limit`` is how many items the caller gets. ``KeyConditionExpression`` is on the sort key (a condition
            may repeat the partition key that is given already).

    Raises:
        ExpressionError: A keyword is not one of DynamoDB's, or has no meaning for a list of models.
    """
    unknown = keywords.keys() - set(KEYWORDS)
    if unknown:
        raise ExpressionError(
            f"unknown query keyword(s) {', '.join(sorted(unknown))}; known are {', '.join(KEYWORDS)}",
            dict.fromkeys(unknown, "unknown"),
        )
    keywords = {name: value for name, value in keywords.items() if value is not None}
    selection = make(keywords.get("IndexName"))
    names = dict(keywords.get("ExpressionAttributeNames") or {})
    values = _encoded(selection, keywords.get("ExpressionAttributeValues") or {})
    asked = Asked(names=names, values=values)
    filter_, key_condition = keywords.get("FilterExpression"), keywords.get("KeyConditionExpression")
    if isinstance(filter_, str):
        asked = replace(asked, filter=filter_)
    elif filter_ is not None:
        selection = selection.filtered(as_condition(filter_))
    if isinstance(key_condition, str):
        asked = replace(asked, key_condition=key_condition)
        selection = _without_repeated_key(selection, asked)
    elif key_condition is not None:
        selection = _keyed(selection, as_condition(key_condition))
    if "Limit" in keywords:
        selection = replace(selection, limit=positive("Limit", keywords["Limit"]))
    if "ExclusiveStartKey" in keywords:
        selection = replace(selection, start_key=_encoded(selection, keywords["ExclusiveStartKey"]))
    if keywords.get("ConsistentRead"):
        selection = selection.consistently()
    return replace(selection, asked=asked, descending=not keywords.get("ScanIndexForward", True))


def _without_repeated_key(selection: Selection[R], asked: Asked) -> Selection[R]:
    """Return the selection without its own condition on the partition key, if the written one has it, as boto3 needs.

    Raises:
        ExpressionError: The written condition is about another partition.
    """
    words = set(re.findall(r"[#\w.-]+", asked.key_condition or ""))
    named = {asked.names.get(word, word) for word in words}
    codec = selection.entity.codec
    if not named & {codec.attribute(name) for name in selection.index.partition}:
        return selection
    for name, value in selection.readable_key.items():
        if selection.entity.key_part(name, value) not in asked.values.values():
            raise ExpressionError(
                f"KeyConditionExpression is not about the key that is given already: {name} = {value!r}"
            )
    return replace(selection, key_conditions=())


def _keyed(selection: Selection[R], condition: Condition) -> Selection[R]:
    """Return the selection with conditions on its sort key; they may repeat the partition key, as boto3 needs it."""
    given = selection.readable_key
    for part in condition.conditions if isinstance(condition, Every) else (condition,):
        is_equality = isinstance(part, Comparison) and part.comparator == "="
        repeated = [name for name in given if _is_on(selection, part, name)]
        if not repeated:
            selection = selection.sorted_by(partial(_sort_condition, selection, part), last=not is_equality)
        elif not (isinstance(part, Comparison) and is_equality and part.right == given[repeated[0]]):
            raise ExpressionError(
                f"KeyConditionExpression contradicts the key that is given already: {repeated[0]} = "
                f"{given[repeated[0]]!r}"
            )
    return selection


def _sort_condition(selection: Selection[Any], condition: Condition, path: Path) -> Condition:
    if not _is_on(selection, condition, str(path.steps[0])):
        raise ExpressionError(f"KeyConditionExpression takes conditions on {path!r}, the sort key, not {condition!r}")
    return condition


def _is_on(selection: Selection[Any], condition: Condition, name: str) -> bool:
    attribute = selection.entity.codec.attribute
    return [attribute(str(path.steps[0])) for path in paths_of(condition)] == [attribute(name)]


def _encoded(selection: Selection[Any], values: Mapping[str, object]) -> dict[str, Any]:
    encoder = WireEncoder(selection.entity.codec.times)
    encoded = {}
    for name, value in values.items():
        try:
            encoded[name] = encoder.encode(value)
        except RefusedValueError as refused:
            raise refused.at(name).as_validation_error(owner="query") from None
    return encoded
