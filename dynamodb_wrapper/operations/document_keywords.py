"""boto3's keywords of the operations on items: their names, and which of them hold attribute values.

The classes are what a type checker sees of the client's methods, and what unknown keywords are told by at run time.
"""

# Without `from __future__ import annotations`: under it Python cannot tell which keys are Required.

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Literal, Required, TypedDict

from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.expressions import AnyCondition

Document = Mapping[str, Any]
"""Attributes by name, as plain Python values."""


class _Answered(TypedDict, total=False):
    ReturnConsumedCapacity: Literal["INDEXES", "TOTAL", "NONE"]


class _Named(_Answered, total=False):
    TableName: Required[str]
    ExpressionAttributeNames: Mapping[str, str]


class _Reading(_Named, total=False):
    AttributesToGet: Sequence[str]
    ConsistentRead: bool
    ProjectionExpression: str


class _Listing(_Reading, total=False):
    ConditionalOperator: Literal["AND", "OR"]
    ExclusiveStartKey: Document | None
    ExpressionAttributeValues: Document
    FilterExpression: str | AnyCondition
    IndexName: str
    Limit: int
    Select: Literal["ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES", "SPECIFIC_ATTRIBUTES", "COUNT"]


class _Writing(_Named, total=False):
    ConditionExpression: str | AnyCondition
    ConditionalOperator: Literal["AND", "OR"]
    Expected: Mapping[str, Document]
    ExpressionAttributeValues: Document
    ReturnItemCollectionMetrics: Literal["SIZE", "NONE"]
    ReturnValues: Literal["NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"]
    ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD", "NONE"]


class GetKeywords(_Reading, total=False):
    """The keywords of ``GetItem``."""

    Key: Required[Document]


class PutKeywords(_Writing, total=False):
    """The keywords of ``PutItem``."""

    Item: Required[Document]


class UpdateKeywords(_Writing, total=False):
    """The keywords of ``UpdateItem``."""

    Key: Required[Document]
    AttributeUpdates: Mapping[str, Document]
    UpdateExpression: str


class DeleteKeywords(_Writing, total=False):
    """The keywords of ``DeleteItem``."""

    Key: Required[Document]


class QueryKeywords(_Listing, total=False):
    """The keywords of ``Query``."""

    KeyConditionExpression: str | AnyCondition
    KeyConditions: Mapping[str, Document]
    QueryFilter: Mapping[str, Document]
    ScanIndexForward: bool


class ScanKeywords(_Listing, total=False):
    """The keywords of ``Scan``."""

    ScanFilter: Mapping[str, Document]
    Segment: int
    TotalSegments: int


class BatchGetKeywords(TypedDict):
    """The keywords of ``BatchGetItem``."""

    RequestItems: Mapping[str, Mapping[str, Any]]


class BatchWriteKeywords(TypedDict):
    """The keywords of ``BatchWriteItem``."""

    RequestItems: Mapping[str, Iterable[Mapping[str, Any]]]


class TransactWriteKeywords(_Answered, total=False):
    """The keywords of ``TransactWriteItems``."""

    TransactItems: Required[Sequence[Mapping[str, Mapping[str, Any]]]]
    ClientRequestToken: str
    ReturnItemCollectionMetrics: Literal["SIZE", "NONE"]


class TransactGetKeywords(_Answered, total=False):
    """The keywords of ``TransactGetItems``."""

    TransactItems: Required[Sequence[Mapping[str, Mapping[str, Any]]]]


class _Projecting(TypedDict, total=False):
    """What a ``Get`` in a transaction and the keys of one table in a batch have in common."""

    ExpressionAttributeNames: Mapping[str, str]
    ProjectionExpression: str


class GetAction(_Projecting, total=False):
    """A ``Get`` of ``TransactGetItems``."""

    TableName: Required[str]
    Key: Required[Document]


class KeysOfTable(_Projecting, total=False):
    """What ``BatchGetItem`` asks of one table."""

    Keys: Required[Iterable[Document]]
    AttributesToGet: Sequence[str]
    ConsistentRead: bool


class _Action(TypedDict, total=False):
    TableName: Required[str]
    ExpressionAttributeNames: Mapping[str, str]
    ExpressionAttributeValues: Document
    ReturnValuesOnConditionCheckFailure: Literal["ALL_OLD", "NONE"]


class _WriteAction(_Action, total=False):
    ConditionExpression: str | AnyCondition


class PutAction(_WriteAction, total=False):
    """A ``Put`` of ``TransactWriteItems``."""

    Item: Required[Document]


class UpdateAction(_WriteAction, total=False):
    """An ``Update`` of ``TransactWriteItems``."""

    Key: Required[Document]
    UpdateExpression: Required[str]


class DeleteAction(_WriteAction, total=False):
    """A ``Delete`` of ``TransactWriteItems``."""

    Key: Required[Document]


class CheckAction(_Action, total=False):
    """A ``ConditionCheck`` of ``TransactWriteItems``."""

    Key: Required[Document]
    ConditionExpression: Required[str | AnyCondition]


class PutEntry(TypedDict):
    """A ``PutRequest`` of ``BatchWriteItem``."""

    Item: Document


class DeleteEntry(TypedDict):
    """A ``DeleteRequest`` of ``BatchWriteItem``."""

    Key: Document


OPERATIONS: dict[str, type] = {
    "GetItem": GetKeywords,
    "PutItem": PutKeywords,
    "UpdateItem": UpdateKeywords,
    "DeleteItem": DeleteKeywords,
    "Query": QueryKeywords,
    "Scan": ScanKeywords,
    "BatchGetItem": BatchGetKeywords,
    "BatchWriteItem": BatchWriteKeywords,
    "TransactWriteItems": TransactWriteKeywords,
    "TransactGetItems": TransactGetKeywords,
}
"""The keywords of each operation."""

WRITE_ACTIONS: dict[str, type] = {
    "Put": PutAction,
    "Update": UpdateAction,
    "Delete": DeleteAction,
    "ConditionCheck": CheckAction,
}
GET_ACTIONS: dict[str, type] = {"Get": GetAction}
WRITE_ENTRIES: dict[str, type] = {"PutRequest": PutEntry, "DeleteRequest": DeleteEntry}

_KINDS: dict[str, type] = {
    **dict.fromkeys(("ConsistentRead", "ScanIndexForward"), bool),
    **dict.fromkeys(("Limit", "Segment", "TotalSegments"), int),
    **dict.fromkeys(("ClientRequestToken", "IndexName", "ProjectionExpression", "TableName", "UpdateExpression"), str),
}


def checked(place: str, given: object, known: type) -> Document:
    """Return keywords as they are, once none of them is unknown, missing, None or of another kind.

    An ``ExclusiveStartKey`` of None is left out, so that a loop over pages may start with it.

    Raises:
        ValidationError: They are no dict, or one of them is wrong; names it and what there is.
    """
    if not isinstance(given, Mapping):
        raise ValidationError(f"{place} is {given!r:.80}: must be a dict", {place: "not a dict"})
    keywords = {name: value for name, value in given.items() if (name, value) != ("ExclusiveStartKey", None)}
    names: frozenset[str] = known.__required_keys__ | known.__optional_keys__  # type: ignore[attr-defined]
    unknown = keywords.keys() - names
    if unknown:
        raise ValidationError(
            f"{place} has no keyword {', '.join(sorted(map(repr, unknown)))}; it has {', '.join(sorted(names))}",
            dict.fromkeys(map(str, unknown), "unknown"),
        )
    missing = known.__required_keys__ - keywords.keys()  # type: ignore[attr-defined]
    if missing:
        raise ValidationError(f"{place} needs {', '.join(sorted(missing))}", dict.fromkeys(missing, "missing"))
    for name, value in keywords.items():
        kind = _KINDS.get(name)
        if value is None or (kind is not None and type(value) is not kind) or value == "":
            needed = name in known.__required_keys__  # type: ignore[attr-defined]
            otherwise = "must have a value" if needed else "leave the keyword out"
            wanted = f"must be of type {kind.__name__}, and not empty" if kind else otherwise
            raise ValidationError(f"{place}: {name} is {value!r:.80}: {wanted}", {name: wanted})
    return keywords


def chosen(place: str, entry: object, kinds: Mapping[str, type]) -> tuple[str, Document]:
    """Return the kind and the keywords of an entry like ``{"Put": {...}}``.

    Raises:
        ValidationError: It has not exactly one kind, or keywords of it are unknown or missing.
    """
    if not isinstance(entry, Mapping) or len(entry) != 1 or not entry.keys() <= kinds.keys():
        raise ValidationError(
            f"{place} is {entry!r:.80}: must be a dict with one of {', '.join(kinds)}", {place: "not one of the kinds"}
        )
    ((kind, given),) = entry.items()
    return kind, checked(f"{place}.{kind}", given, kinds[kind])
