"""Flows on plain documents: boto3's keywords with Python values in, boto3's answers with Python values out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dynamodb_wrapper.codec import item_json
from dynamodb_wrapper.codec.documents import DocumentCodec
from dynamodb_wrapper.exceptions import (
    CancellationReason,
    ConditionFailedError,
    DynamoDBWrapperError,
    TransactionCanceledError,
    ValidationError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.expressions import ExpressionWriter, as_condition
from dynamodb_wrapper.operations import cancellations, transactions
from dynamodb_wrapper.operations.document_keywords import (
    GET_ACTIONS,
    OPERATIONS,
    WRITE_ACTIONS,
    Document,
    checked,
    chosen,
)
from dynamodb_wrapper.operations.effects import Flow, Params, Response, call, emit

Answer = dict[str, Any]
"""What an operation answered, in boto3's shape, with plain Python values."""

_EXPRESSIONS = frozenset({"ConditionExpression", "FilterExpression", "KeyConditionExpression"})
_PLACEHOLDERS = frozenset({"ExpressionAttributeNames", "ExpressionAttributeValues"})
_LEGACY = frozenset({"AttributeUpdates", "Expected", "KeyConditions", "QueryFilter", "ScanFilter"})
_READS = frozenset({"GetItem", "Query", "Scan"})


@dataclass(frozen=True, slots=True)
class Documents:
    """What the flows on documents of one client share.

    Attributes:
        codec: Plain values to wire values and back.
        keys: The key attributes of the tables asked for so far, partition key first, with their types; none where that
            was not answered.
    """

    codec: DocumentCodec
    keys: dict[str, Mapping[str, str]] = field(default_factory=dict)


def perform(documents: Documents, operation: str, keywords: Document) -> Flow[Answer]:
    """Do one operation on one item or page.

    Args:
        documents: Of the client.
        operation: ``GetItem``, ``PutItem``, ``UpdateItem``, ``DeleteItem``, ``Query`` or ``Scan``.
        keywords: boto3's.

    Raises:
        ConditionFailedError: The condition was false; nothing was written.
        WriteOutcomeUnknownError: An answer was lost, and nobody knows whether the write was applied.
    """
    params = _params(documents.codec, checked(operation, keywords, OPERATIONS[operation]))
    key = documents.codec.read(params["Key"]) if "Key" in params else None
    try:
        response = yield from call(operation, params, repeatable=_is_repeatable(operation, params), key=key)
    except ConditionFailedError as error:
        refusal = yield from _refusal(documents, params, error)
        if refusal is error:
            raise
        raise refusal from error
    except WriteOutcomeUnknownError as error:
        error.key = error.key or _key_in(params, documents.keys.get(params["TableName"], {}), documents.codec)
        raise
    return _plain(documents.codec, response)


def stream(documents: Documents, operation: str, keywords: Document) -> Flow[None]:
    """Emit the items of a ``Query`` or ``Scan``, page by page."""
    while True:
        answer = yield from perform(documents, operation, keywords)
        yield from emit(answer.get("Items", []))
        if "LastEvaluatedKey" not in answer:
            return
        keywords = {**keywords, "ExclusiveStartKey": answer["LastEvaluatedKey"]}


def key_attributes(documents: Documents, table_name: str) -> Flow[Mapping[str, str]]:
    """Return a table's key attributes with their types (``"S"``, ...), partition key first; the table is asked once."""
    if not documents.keys.get(table_name):
        table = (yield from call("DescribeTable", {"TableName": table_name}))["Table"]
        types = {part["AttributeName"]: part["AttributeType"] for part in table["AttributeDefinitions"]}
        parts = sorted(table["KeySchema"], key=lambda part: str(part["KeyType"]))  # HASH before RANGE
        documents.keys[table_name] = {part["AttributeName"]: types[part["AttributeName"]] for part in parts}
    return documents.keys[table_name]


# --- requests -----------------------------------------------------------------------------------------------------


def _params(codec: DocumentCodec, keywords: Document, prefix: str = "") -> Params:
    """Return keywords with their values in wire form and boto3's conditions written out; errors have the prefix."""
    names = _dict(f"{prefix}ExpressionAttributeNames", keywords.get("ExpressionAttributeNames", {}))
    values = keywords.get("ExpressionAttributeValues", {})
    writer = ExpressionWriter(codec)
    writer.adopt(names, codec.item(f"{prefix}ExpressionAttributeValues", values))
    params: Params = {}
    for name, value in keywords.items():
        if name in ("Key", "ExclusiveStartKey"):
            params[name] = codec.key(prefix + name, value)
        elif name == "Item":
            params[name] = codec.item(prefix + name, value)
            item_json(params[name], table_name=keywords["TableName"], key=lambda: None)
        elif name in _EXPRESSIONS:
            params[name] = value if isinstance(value, str) else writer.condition(as_condition(value))
        elif name in _LEGACY:
            entries = _dict(name, value).items()
            params[name] = {key: _legacy(codec, f"{name}.{key}", entry) for key, entry in entries}
        elif name not in _PLACEHOLDERS:
            params[name] = value
    if "ConditionExpression" in params:
        params.setdefault("ReturnValuesOnConditionCheckFailure", "ALL_OLD")  # costs nothing, and errors say more
    return {**params, **writer.parameters()}


def _dict(place: str, value: object) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise ValidationError(f"{place} is {value!r:.80}: must be a dict", {place: "not a dict"})
    return value


def _legacy(codec: DocumentCodec, place: str, entry: object) -> Params:
    """Return an entry of a parameter from before there were expressions, its values in wire form."""
    params = dict(_dict(place, entry))
    if "Value" in params:
        params["Value"] = codec.value(place, params["Value"])
    if "AttributeValueList" in params:
        params["AttributeValueList"] = [codec.value(place, value) for value in params["AttributeValueList"]]
    return params


def _is_repeatable(operation: str, params: Params) -> bool:
    """Whether doing it twice leaves, and answers, what doing it once does.

    A put or delete that is done twice answers what it has left itself the first time as what was there before.
    """
    if operation in ("PutItem", "DeleteItem"):
        return bool(params.get("ReturnValues", "NONE") == "NONE")
    return operation in _READS


# --- answers ------------------------------------------------------------------------------------------------------


def _plain(codec: DocumentCodec, response: Response) -> Answer:
    answer = dict(response)
    for name in answer.keys() & {"Item", "Attributes", "LastEvaluatedKey"}:
        answer[name] = codec.read(answer[name])
    if "Items" in answer:
        answer["Items"] = [codec.read(item) for item in answer["Items"]]
    if "ItemCollectionMetrics" in answer:
        answer["ItemCollectionMetrics"] = _plain_metrics(codec, answer["ItemCollectionMetrics"])
    return answer


def _plain_metrics(codec: DocumentCodec, metrics: Response) -> Answer:
    if "ItemCollectionKey" not in metrics:
        return dict(metrics)
    return {**metrics, "ItemCollectionKey": codec.read(metrics["ItemCollectionKey"])}


def _key_in(params: Params, attributes: Iterable[str], codec: DocumentCodec) -> dict[str, object] | None:
    """Return the key of a request as plain values; None while the table's key attributes are not known."""
    item = params.get("Key") or {name: params["Item"][name] for name in attributes if name in params["Item"]}
    return codec.read(item) or None


def _refusal(documents: Documents, params: Params, error: ConditionFailedError) -> Flow[DynamoDBWrapperError]:
    """Return the error of a failed condition, with the stored item and the key as plain values."""
    table_name = params["TableName"]
    if "Item" in params and table_name not in documents.keys:
        try:
            yield from key_attributes(documents, table_name)
        except DynamoDBWrapperError:  # the caller is told of the condition, not that its key could not be found out
            documents.keys[table_name] = {}
    error.key = _key_in(params, documents.keys.get(table_name, {}), documents.codec)
    if error.key:
        error.context["key"] = error.key
    if isinstance(error.item, Mapping):
        error.item = documents.codec.read(error.item)
    if "lost_answers" not in error.context:
        return error
    unknown = WriteOutcomeUnknownError(
        "an answer was lost, and when the write was repeated its condition was false: because it had been applied the "
        "first time, or because of another writer; read the item to find out",
        error,
        error.context,
        key=error.key,
    )
    return unknown.answered(operation=error.operation or "", request_id=error.request_id, code=error.code)


# --- transactions -------------------------------------------------------------------------------------------------


def transact_write(documents: Documents, keywords: Document) -> Flow[Answer]:
    """Do up to 100 writes and checks together, or none of them.

    Raises:
        TransactionCanceledError: Nothing was written; ``reasons`` has one entry per action, in order.
    """
    given = dict(checked("TransactWriteItems", keywords, OPERATIONS["TransactWriteItems"]))
    actions = _actions(documents, given.pop("TransactItems"), WRITE_ACTIONS)
    token = given.pop("ClientRequestToken", None)
    answer = yield from _with_plain_reasons(documents, actions, transactions.submit(actions, token, options=given))
    metrics: Mapping[str, list[Response]] = answer.get("ItemCollectionMetrics", {})
    plain = {table: [_plain_metrics(documents.codec, entry) for entry in entries] for table, entries in metrics.items()}
    return {**answer, "ItemCollectionMetrics": plain} if plain else answer


def transact_get(documents: Documents, keywords: Document) -> Flow[Answer]:
    """Read up to 100 items as they are at one moment; ``Responses`` has one entry per action, ``{}`` for no item.

    Raises:
        TransactionCanceledError: Writers were in the way.
    """
    given = dict(checked("TransactGetItems", keywords, OPERATIONS["TransactGetItems"]))
    actions = _actions(documents, given.pop("TransactItems"), GET_ACTIONS)
    answer = yield from _with_plain_reasons(documents, actions, transactions.read(actions, options=given))
    return {**answer, "Responses": [_plain(documents.codec, entry) for entry in answer.get("Responses", [])]}


def _actions(documents: Documents, actions: object, kinds: Mapping[str, type]) -> list[Params]:
    if not isinstance(actions, Sequence) or not actions:
        wanted = "must be a list with something in it"
        raise ValidationError(f"TransactItems is {actions!r:.80}: {wanted}", {"TransactItems": wanted})
    rendered = []
    for number, action in enumerate(actions):
        kind, keywords = chosen(f"TransactItems[{number}]", action, kinds)
        rendered.append({kind: _params(documents.codec, keywords, f"TransactItems[{number}].{kind}.")})
    return rendered


def _with_plain_reasons(documents: Documents, actions: Sequence[Params], flow: Flow[Response]) -> Flow[Response]:
    """Return what a transaction answers; the reasons of a cancelled one get their errors, and items as plain values."""
    try:
        return (yield from flow)
    except TransactionCanceledError as error:
        asked: list[Params] = [params for action in actions for params in action.values()]
        if len(error.reasons) != len(asked):  # nobody knows which is which
            asked = [{}] * len(error.reasons)
        error.reasons = tuple(_plain_reason(documents, *each, error) for each in zip(error.reasons, asked, strict=True))
        raise


def _plain_reason(
    documents: Documents, reason: CancellationReason, params: Params, error: TransactionCanceledError
) -> CancellationReason:
    table_name = params.get("TableName")
    if isinstance(reason.item, Mapping):
        reason = replace(reason, item=documents.codec.read(reason.item))
    key = None if table_name is None else _key_in(params, documents.keys.get(table_name, {}), documents.codec)
    return cancellations.of_action(reason, error, table_name=table_name, key=key)
