"""The document-level client: its options, what its flows send, and what they make of the answers."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import botocore.session
import pytest
from boto3.dynamodb.conditions import Attr, Key
from boto3.dynamodb.types import Binary
from hypothesis import given
from hypothesis import strategies as st

from dynamodb_wrapper import (
    AccessDeniedError,
    BatchIncompleteError,
    CancellationReason,
    ConditionFailedError,
    ConnectionError,
    DeadlineExceededError,
    DynamoDBConfig,
    ExpressionError,
    F,
    ItemNotFoundError,
    ItemTooLargeError,
    TableNotFoundError,
    TransactionCanceledError,
    TransactionConflictError,
    ValidationError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.client import BatchSummary, DocumentClient, get_dynamodb_client
from dynamodb_wrapper.codec import TimeRules
from dynamodb_wrapper.codec.documents import DocumentCodec
from dynamodb_wrapper.operations import document_batches, document_keywords, document_trees, documents
from dynamodb_wrapper.operations.batches import BatchOptions
from dynamodb_wrapper.operations.document_trees import Links
from dynamodb_wrapper.operations.documents import Documents
from dynamodb_wrapper.operations.effects import Call, Flow, Together
from dynamodb_wrapper.transport import SyncDriver, connection_for, reset_connection

CODEC = DocumentCodec(TimeRules())


@pytest.fixture
def docs() -> Documents:
    return Documents(CODEC)


Answerer = Callable[[Call], Any]


def drive(flow: Flow[Any], *answers: Any) -> tuple[Any, list[Call]]:
    """Run a flow, its calls answered in turn (an exception is thrown into it); return its result and the calls."""
    remaining = list(answers)
    result, calls = serve(flow, lambda _: remaining.pop(0))
    assert remaining == [], "the flow ended early"
    return result, calls


def serve(flow: Flow[Any], answer_to: Answerer) -> tuple[Any, list[Call]]:
    """Run a flow, its calls answered by a function; flows that run together run one after the other."""
    calls: list[Call] = []

    def outcome(effect: Any) -> Any:
        if isinstance(effect, Together):
            return [run(inner) for inner in effect.flows]
        if not isinstance(effect, Call):
            return "token"
        calls.append(effect)
        return answer_to(effect)

    def run(inner: Flow[Any]) -> Any:
        try:
            effect = next(inner)
            while True:
                got = outcome(effect)
                effect = inner.throw(got) if isinstance(got, Exception) else inner.send(got)
        except StopIteration as end:
            return end.value

    return run(flow), calls


def failed(item: dict[str, Any] | None, **context: object) -> ConditionFailedError:
    error = ConditionFailedError("The conditional request failed", None, context, item=item)
    return error.answered(operation="PutItem", request_id="R1", code="ConditionalCheckFailedException")


def table(**types: str) -> dict[str, Any]:
    schema = [{"AttributeName": name, "KeyType": kind} for name, kind in zip(types, ["HASH", "RANGE"], strict=False)]
    known = [{"AttributeName": name, "AttributeType": tag} for name, tag in types.items()]
    return {"Table": {"KeySchema": schema[::-1], "AttributeDefinitions": known}}


# --- values ----------------------------------------------------------------------------------------------------------

NUMBERS = (
    st.integers(-(10**38) + 1, 10**38 - 1)
    | st.floats(-1e30, 1e30, allow_nan=False).filter(lambda value: value == 0 or abs(value) > 1e-100)
    | st.decimals(-(10**20), 10**20, allow_nan=False, places=6)
)
SCALARS = st.none() | st.booleans() | NUMBERS | st.text(max_size=8) | st.binary(max_size=8)
SETS = st.one_of(
    st.sets(st.text(max_size=4), min_size=1),
    st.sets(st.integers(-(10**37), 10**37) | st.decimals(-100, 100, places=3), min_size=1),
    st.sets(st.binary(max_size=4), min_size=1),
)
NAMES = st.text(min_size=1, max_size=6)
VALUES = st.recursive(
    SCALARS | SETS,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.tuples(inner, inner)
        | st.dictionaries(NAMES, inner, max_size=4)
        | st.frozensets(st.text(max_size=4), min_size=1)
    ),
    max_leaves=12,
)


def as_read(value: Any) -> Any:
    """What a value comes back as: in its own type, but for numbers, tuples and frozensets."""
    match value:
        case bool() | None | str() | bytes():
            return value
        case int() | float() | Decimal():
            number = Decimal(repr(value)) if isinstance(value, float) else Decimal(value)
            return int(number) if number == number.to_integral_value() else number
        case set() | frozenset():
            return {as_read(member) for member in value}
        case dict():
            return {name: as_read(member) for name, member in value.items()}
    return [as_read(member) for member in value]


def typed(value: Any) -> Any:
    """A value with its types, so that 1, True and Decimal(1) differ."""
    match value:
        case dict():
            return {name: typed(member) for name, member in value.items()}
        case list():
            return [typed(member) for member in value]
        case set():
            return {typed(member) for member in value}
    return type(value), value


@given(st.dictionaries(NAMES, VALUES, max_size=5))
def test_a_document_comes_back(document: dict[str, Any]) -> None:
    before = copy.deepcopy(document)

    read = CODEC.read(CODEC.item("Item", document))

    assert typed(read) == typed(as_read(document))
    assert typed(as_read(document)) == typed(as_read(before)), "the caller's document was changed"


def test_values_on_the_wire() -> None:
    document = {"f": 0.1, "d": Decimal("1E+2"), "n": None, "b": b"", "t": (1, "x"), "i": {2, 1}, "e": "", "m": {}}
    assert CODEC.item("Item", document) == {
        "f": {"N": "0.1"},
        "d": {"N": "100"},
        "n": {"NULL": True},
        "b": {"B": b""},
        "t": {"L": [{"N": "1"}, {"S": "x"}]},
        "i": {"NS": ["1", "2"]},
        "e": {"S": ""},
        "m": {"M": {}},
    }


def test_boto3_binary_is_bytes() -> None:
    assert CODEC.item("Item", {"b": Binary(b"x"), "s": {Binary(b"y")}}) == {"b": {"B": b"x"}, "s": {"BS": [b"y"]}}


def test_a_datetime_is_stored_as_models_store_it() -> None:
    stored = CODEC.item("Item", {"at": datetime(2026, 11, 2, 9, 30, tzinfo=UTC)})
    assert stored == {"at": {"S": "2026-11-02T09:30:00.000000+00:00"}}


class Opaque:
    pass


ITSELF: list[Any] = []
ITSELF.append(ITSELF)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (math.nan, "NaN"),
        (-math.inf, "NaN or infinity"),
        (Decimal("NaN"), "NaN"),
        (1e300, "range"),
        (Decimal("1." + "1" * 38), "38 significant digits"),
        (set(), "empty"),
        (frozenset(), "empty"),
        ({1, "x"}, "no set of DynamoDB"),
        ({True}, "no set of DynamoDB"),
        ({1: "x"}, "names of attributes are text"),
        (Opaque(), "Opaque"),
        ("\ud800", "Unicode"),
        (ITSELF, "contains itself"),
    ],
)
def test_what_cannot_be_stored_is_refused(value: object, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason) as caught:
        CODEC.item("Item", {"a": value})
    with pytest.raises(ValidationError, match=reason):
        CODEC.item("Item", {"deep": [{"a": value}]})
    assert "Item" in caught.value.message


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        ({}, "is empty"),
        ("a", "must be a dict"),
        ({"id": ""}, "allows no empty key"),
        ({"id": b""}, "allows no empty key"),
        ({"id": None}, "must be text"),
        ({"id": {"S": "x"}}, 'not {"id": {"S"'),
        ({"id": True}, "must be text"),
    ],
)
def test_what_is_no_key_is_refused(docs: Documents, key: Any, reason: str) -> None:
    with pytest.raises(ValidationError) as caught:
        next(documents.perform(docs, "GetItem", {"TableName": "t", "Key": key}))
    assert reason in caught.value.message


# --- keywords --------------------------------------------------------------------------------------------------------


def names_of(keywords: Any) -> tuple[frozenset[str], frozenset[str]]:
    return keywords.__required_keys__ | keywords.__optional_keys__, keywords.__required_keys__


BULK = ("BatchGetItem", "BatchWriteItem")


@pytest.mark.parametrize("operation", sorted(document_keywords.OPERATIONS.keys() - set(BULK)))
def test_the_keywords_are_botocores(operation: str) -> None:
    shape = botocore.session.Session().get_service_model("dynamodb").operation_model(operation).input_shape
    assert shape is not None
    assert names_of(document_keywords.OPERATIONS[operation]) == (set(shape.members), set(shape.required_members))


@pytest.mark.parametrize(
    ("keywords", "shape_name"),
    [
        *[(keywords, name) for name, keywords in document_keywords.WRITE_ACTIONS.items()],
        *[(keywords, name) for name, keywords in document_keywords.GET_ACTIONS.items()],
        *[(keywords, name) for name, keywords in document_keywords.WRITE_ENTRIES.items()],
        (document_keywords.KeysOfTable, "KeysAndAttributes"),
    ],
)
def test_the_keywords_of_entries_are_botocores(keywords: Any, shape_name: str) -> None:
    shape = botocore.session.Session().get_service_model("dynamodb").shape_for(shape_name)
    assert names_of(keywords) == (set(shape.members), set(shape.required_members))  # type: ignore[attr-defined]


@pytest.mark.parametrize(
    ("operation", "keywords", "reason"),
    [
        ("GetItem", {"TableName": "t", "Key": {"id": 1}, "Item": {}}, "GetItem has no keyword 'Item'"),
        ("GetItem", {"Key": {"id": 1}}, "GetItem needs TableName"),
        ("GetItem", {"TableName": "t", "Key": None}, "Key is None: must have a value"),
        ("GetItem", {"TableName": "", "Key": {"id": 1}}, "TableName is '': must be of type str, and not empty"),
        ("GetItem", {"TableName": "t", "Key": {"id": 1}, "ConsistentRead": "no"}, "ConsistentRead is 'no'"),
        ("PutItem", {"TableName": "t", "Item": {"id": 1}, "ConditionExpression": None}, "ConditionExpression is None"),
        ("PutItem", {"TableName": "t", "Item": [("id", 1)]}, "Item is .*must be a dict"),
        ("Query", {"TableName": "t", "Limit": "5"}, "Limit is '5': must be of type int"),
        ("Query", {"TableName": "t", "FilterExpression": {"a": 1}}, "expected a condition"),
        ("Scan", {"TableName": "t", "ExpressionAttributeNames": ["#n"]}, "ExpressionAttributeNames .*must be a dict"),
        ("Scan", {"TableName": "t", "ScanFilter": {"a": 1}}, "ScanFilter.a is 1: must be a dict"),
        ("Scan", {"TableName": "t", "ScanFilter": ["a"]}, "ScanFilter is .*: must be a dict"),
        ("Scan", {"TableName": "t", "ExpressionAttributeValues": "x"}, "ExpressionAttributeValues .*must be a dict"),
    ],
)
def test_bad_keywords_are_refused(docs: Documents, operation: str, keywords: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        next(documents.perform(docs, operation, keywords))


def test_a_refused_keyword_says_what_there_is(docs: Documents) -> None:
    with pytest.raises(ValidationError, match=r"it has .*ConsistentRead") as caught:
        next(documents.perform(docs, "GetItem", {"TableName": "t", "Key": {"id": 1}, "consistent": True}))
    assert caught.value.errors == {"consistent": "unknown"}


def test_an_item_that_is_too_large_is_refused(docs: Documents) -> None:
    with pytest.raises(ItemTooLargeError):
        next(documents.perform(docs, "PutItem", {"TableName": "t", "Item": {"id": "x" * 500_000}}))


# --- requests --------------------------------------------------------------------------------------------------------


def test_what_is_sent(docs: Documents) -> None:
    keywords = {
        "TableName": "t",
        "Key": {"id": "a"},
        "UpdateExpression": "SET n = :n",
        "ExpressionAttributeValues": {":n": 1.5},
        "ReturnValues": "ALL_NEW",
    }
    before = copy.deepcopy(keywords)

    answer, (sent,) = drive(documents.perform(docs, "UpdateItem", keywords), {"Attributes": {"n": {"N": "1.5"}}})

    assert sent == Call(
        "UpdateItem",
        {**keywords, "Key": {"id": {"S": "a"}}, "ExpressionAttributeValues": {":n": {"N": "1.5"}}},
        repeatable=False,
        key={"id": "a"},
    )
    assert answer == {"Attributes": {"n": Decimal("1.5")}}
    assert keywords == before


def test_conditions_share_placeholders_with_text(docs: Documents) -> None:
    keywords = {
        "TableName": "t",
        "KeyConditionExpression": Key("a").eq(1) & Key("b").eq(2) & Key("c").begins_with("x"),
        "FilterExpression": "#n0 > :v0",
        "ExpressionAttributeNames": {"#n0": "size"},
        "ExpressionAttributeValues": {":v0": 7},
    }
    _, (sent,) = drive(documents.perform(docs, "Query", keywords), {"Items": []})
    assert sent.params == {
        "TableName": "t",
        "KeyConditionExpression": "#n1 = :v1 AND #n2 = :v2 AND begins_with(#n3, :v3)",
        "FilterExpression": "#n0 > :v0",
        "ExpressionAttributeNames": {"#n0": "size", "#n1": "a", "#n2": "b", "#n3": "c"},
        "ExpressionAttributeValues": {":v0": {"N": "7"}, ":v1": {"N": "1"}, ":v2": {"N": "2"}, ":v3": {"S": "x"}},
    }


@pytest.mark.parametrize(
    ("condition", "written"),
    [
        (Attr("a.b[0]").eq(None), "#n0.#n1[0] = :v0"),
        (Attr("a").size().gt(2), "size(#n0) > :v0"),
        (~Attr("a").contains("x"), "NOT contains(#n0, :v0)"),
        (F.a.b[0] < 5, "#n0.#n1[0] < :v0"),
        (F.tags.contains("x") | F.tags.not_exists(), "contains(#n0, :v0) OR attribute_not_exists(#n0)"),
    ],
)
def test_conditions_of_both_kinds(docs: Documents, condition: Any, written: str) -> None:
    _, (sent,) = drive(documents.perform(docs, "Scan", {"TableName": "t", "FilterExpression": condition}), {})
    assert sent.params["FilterExpression"] == written


def test_a_comparison_that_has_no_order_is_refused(docs: Documents) -> None:
    with pytest.raises(ExpressionError, match="have an order"):
        next(documents.perform(docs, "Scan", {"TableName": "t", "FilterExpression": F.a > [1]}))


def test_an_empty_placeholder_parameter_is_not_sent(docs: Documents) -> None:
    keywords = {"TableName": "t", "ExpressionAttributeNames": {}, "ExpressionAttributeValues": {}}
    _, (sent,) = drive(documents.perform(docs, "Scan", keywords), {"Items": []})
    assert sent.params == {"TableName": "t"}


def test_parameters_from_before_expressions(docs: Documents) -> None:
    keywords = {
        "TableName": "t",
        "Key": {"id": 1},
        "Expected": {"n": {"Value": 1}, "m": {"Exists": False}},
        "AttributeUpdates": {"n": {"Action": "PUT", "Value": 2}},
    }
    _, (sent,) = drive(documents.perform(docs, "UpdateItem", keywords), {})
    assert sent.params["Expected"] == {"n": {"Value": {"N": "1"}}, "m": {"Exists": False}}
    assert sent.params["AttributeUpdates"] == {"n": {"Action": "PUT", "Value": {"N": "2"}}}

    filters = {"a": {"ComparisonOperator": "IN", "AttributeValueList": [1, "x"]}}
    _, (sent,) = drive(documents.perform(docs, "Scan", {"TableName": "t", "ScanFilter": filters}), {})
    assert sent.params["ScanFilter"]["a"]["AttributeValueList"] == [{"N": "1"}, {"S": "x"}]


@pytest.mark.parametrize(
    ("operation", "keywords", "repeatable"),
    [
        ("GetItem", {"Key": {"id": 1}}, True),
        ("Query", {}, True),
        ("Scan", {}, True),
        ("PutItem", {"Item": {"id": 1}}, True),
        ("PutItem", {"Item": {"id": 1}, "ConditionExpression": "attribute_not_exists(id)"}, True),
        ("PutItem", {"Item": {"id": 1}, "ReturnValues": "ALL_OLD"}, False),
        ("DeleteItem", {"Key": {"id": 1}}, True),
        ("DeleteItem", {"Key": {"id": 1}, "ReturnValues": "NONE"}, True),
        ("DeleteItem", {"Key": {"id": 1}, "ReturnValues": "ALL_OLD"}, False),
        ("UpdateItem", {"Key": {"id": 1}, "UpdateExpression": "SET a = :a"}, False),
    ],
)
def test_what_may_be_repeated(docs: Documents, operation: str, keywords: dict[str, Any], repeatable: bool) -> None:
    _, (sent,) = drive(documents.perform(docs, operation, {"TableName": "t", **keywords}), {})
    assert sent.repeatable is repeatable


# --- answers ---------------------------------------------------------------------------------------------------------


def test_answers_are_plain(docs: Documents) -> None:
    answer = {
        "Items": [{"id": {"N": "1"}, "b": {"B": b"x"}, "s": {"NS": ["1", "2.5"]}}],
        "Count": 1,
        "LastEvaluatedKey": {"id": {"N": "1"}},
        "ConsumedCapacity": {"TableName": "t", "CapacityUnits": 0.5},
    }
    plain, _ = drive(documents.perform(docs, "Scan", {"TableName": "t", "ExclusiveStartKey": None}), answer)
    assert plain == {
        "Items": [{"id": 1, "b": b"x", "s": {1, Decimal("2.5")}}],
        "Count": 1,
        "LastEvaluatedKey": {"id": 1},
        "ConsumedCapacity": {"TableName": "t", "CapacityUnits": 0.5},
    }


def test_item_collection_metrics_are_plain(docs: Documents) -> None:
    metrics = {"ItemCollectionKey": {"id": {"S": "a"}}, "SizeEstimateRangeGB": [0.0, 1.0]}
    plain = {"ItemCollectionKey": {"id": "a"}, "SizeEstimateRangeGB": [0.0, 1.0]}
    answer, _ = drive(
        documents.perform(docs, "PutItem", {"TableName": "t", "Item": {"id": "a"}}), {"ItemCollectionMetrics": metrics}
    )
    assert answer == {"ItemCollectionMetrics": plain}

    action = {"Put": {"TableName": "t", "Item": {"id": "a"}}}
    answer, _ = drive(
        documents.transact_write(docs, {"TransactItems": [action]}), {"ItemCollectionMetrics": {"t": [metrics]}}
    )
    assert answer == {"ItemCollectionMetrics": {"t": [plain]}}


def test_a_stream_goes_on_after_an_empty_page(docs: Documents) -> None:
    pages = [
        {"Items": [], "LastEvaluatedKey": {"id": {"N": "1"}}},
        {"Items": [{"id": {"N": "2"}}], "LastEvaluatedKey": {"id": {"N": "2"}}},
        {"Items": [{"id": {"N": "3"}}]},
    ]
    _, sent = drive(documents.stream(docs, "Scan", {"TableName": "t"}), *pages)
    starts = [call.params.get("ExclusiveStartKey") for call in sent]
    assert starts == [None, {"id": {"N": "1"}}, {"id": {"N": "2"}}]


# --- failures --------------------------------------------------------------------------------------------------------

CONDITIONAL = {"TableName": "t", "Item": {"id": "a", "n": 1}, "ConditionExpression": Attr("id").not_exists()}


def test_a_failed_condition_has_item_and_key_as_plain_values(docs: Documents) -> None:
    with pytest.raises(ConditionFailedError) as caught:
        drive(
            documents.perform(docs, "PutItem", CONDITIONAL), failed({"id": {"S": "a"}, "n": {"N": "7"}}), table(id="S")
        )
    assert (caught.value.item, caught.value.key) == ({"id": "a", "n": 7}, {"id": "a"})
    assert docs.keys == {"t": {"id": "S"}}, "the table is asked once"


def test_a_failed_condition_of_an_update_asks_nothing_more(docs: Documents) -> None:
    keywords = {"TableName": "t", "Key": {"id": 1}, "ConditionExpression": "attribute_exists(id)"}
    with pytest.raises(ConditionFailedError) as caught:
        drive(documents.perform(docs, "UpdateItem", keywords), failed(None))
    assert (caught.value.item, caught.value.key) == (None, {"id": 1})


def test_a_failed_condition_is_told_where_the_table_may_not_be_described(docs: Documents) -> None:
    with pytest.raises(ConditionFailedError) as caught:
        drive(documents.perform(docs, "PutItem", CONDITIONAL), failed(None), AccessDeniedError("no"))
    assert caught.value.key is None
    with pytest.raises(ConditionFailedError):
        drive(documents.perform(docs, "PutItem", CONDITIONAL), failed(None))
    with pytest.raises(AccessDeniedError):  # what needs the key says what is missing
        drive(document_batches.operate(docs, [put(1)]), AccessDeniedError("no"))


@pytest.mark.parametrize("asked", [{}, {"ReturnValuesOnConditionCheckFailure": "NONE"}])
def test_the_stored_item_is_asked_for_unless_told_not_to(docs: Documents, asked: dict[str, str]) -> None:
    _, (sent,) = drive(documents.perform(docs, "PutItem", {**CONDITIONAL, **asked}), {})
    assert sent.params["ReturnValuesOnConditionCheckFailure"] == asked.get(
        "ReturnValuesOnConditionCheckFailure", "ALL_OLD"
    )


def test_a_condition_that_fails_after_a_lost_answer_tells_nothing(docs: Documents) -> None:
    with pytest.raises(WriteOutcomeUnknownError) as caught:
        drive(documents.perform(docs, "PutItem", CONDITIONAL), failed(None, lost_answers=1), table(id="S"))
    assert caught.value.key == {"id": "a"}
    assert isinstance(caught.value.original_error, ConditionFailedError)
    assert (caught.value.operation, caught.value.request_id) == ("PutItem", "R1")


def test_a_lost_answer_names_the_key_of_a_put_if_it_is_known(docs: Documents) -> None:
    keywords = {"TableName": "t", "Item": {"id": "a", "n": 1}, "ReturnValues": "ALL_OLD"}
    for names, key in (((), None), ({"id": "N"}, {"id": "a"})):
        docs.keys["t"] = names
        with pytest.raises(WriteOutcomeUnknownError) as caught:
            drive(documents.perform(docs, "PutItem", keywords), WriteOutcomeUnknownError("lost"))
        assert caught.value.key == key


class LosingLane:
    """Applies every request; the answer to the first one is lost, and a condition fails the second time."""

    def __init__(self) -> None:
        self.sent: list[str] = []

    def send(self, call: Call, **_: object) -> dict[str, Any]:
        self.sent.append(call.operation)
        if len(self.sent) == 1:
            raise ConnectionError("the connection was closed before the answer had arrived")
        if call.operation == "DescribeTable":
            return table(id="S")
        if "ConditionExpression" in call.params:
            raise failed({"id": {"S": "a"}})
        return {}


@pytest.mark.parametrize(
    ("operation", "keywords", "sent"),
    [
        ("PutItem", CONDITIONAL, ["PutItem", "PutItem", "DescribeTable"]),
        ("PutItem", {"TableName": "t", "Item": {"id": "a"}, "ReturnValues": "ALL_OLD"}, ["PutItem"]),
        ("UpdateItem", {"TableName": "t", "Key": {"id": "a"}, "UpdateExpression": "ADD n :one"}, ["UpdateItem"]),
        ("DeleteItem", {"TableName": "t", "Key": {"id": "a"}, "ReturnValues": "ALL_OLD"}, ["DeleteItem"]),
    ],
)
def test_a_write_whose_outcome_nobody_knows(
    docs: Documents, operation: str, keywords: dict[str, Any], sent: list[str]
) -> None:
    lane = LosingLane()
    driver = SyncDriver(lane, sleep=lambda _: None)
    with pytest.raises(WriteOutcomeUnknownError):
        driver.run(documents.perform(docs, operation, keywords))
    assert lane.sent == sent


@pytest.mark.parametrize(("operation", "part"), [("PutItem", "Item"), ("DeleteItem", "Key"), ("GetItem", "Key")])
def test_what_may_be_repeated_is_repeated(docs: Documents, operation: str, part: str) -> None:
    lane = LosingLane()
    SyncDriver(lane, sleep=lambda _: None).run(
        documents.perform(docs, operation, {"TableName": "t", part: {"id": "a"}})
    )
    assert lane.sent == [operation, operation]


# --- transactions ----------------------------------------------------------------------------------------------------


def test_a_transaction_on_the_wire(docs: Documents) -> None:
    keywords = {
        "TransactItems": [
            {"Put": {"TableName": "t", "Item": {"id": 1}, "ConditionExpression": Attr("id").not_exists()}},
            {"ConditionCheck": {"TableName": "t", "Key": {"id": 2}, "ConditionExpression": F.n > 1.5}},
        ],
        "ReturnConsumedCapacity": "TOTAL",
    }
    _, (sent,) = drive(documents.transact_write(docs, keywords), {})
    assert sent.repeatable
    assert sent.params == {
        "ClientRequestToken": "token",
        "ReturnConsumedCapacity": "TOTAL",
        "TransactItems": [
            {
                "Put": {
                    "TableName": "t",
                    "Item": {"id": {"N": "1"}},
                    "ConditionExpression": "attribute_not_exists(#n0)",
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                    "ExpressionAttributeNames": {"#n0": "id"},
                }
            },
            {
                "ConditionCheck": {
                    "TableName": "t",
                    "Key": {"id": {"N": "2"}},
                    "ConditionExpression": "#n0 > :v0",
                    "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
                    "ExpressionAttributeNames": {"#n0": "n"},
                    "ExpressionAttributeValues": {":v0": {"N": "1.5"}},
                }
            },
        ],
    }


def test_the_callers_token_is_kept(docs: Documents) -> None:
    action = {"Delete": {"TableName": "t", "Key": {"id": 1}}}
    _, (sent,) = drive(documents.transact_write(docs, {"TransactItems": [action], "ClientRequestToken": "mine"}), {})
    assert sent.params["ClientRequestToken"] == "mine"


def test_reasons_have_plain_items(docs: Documents) -> None:
    stored = CancellationReason("ConditionalCheckFailed", "no", {"id": {"N": "1"}})
    error = TransactionCanceledError("cancelled", reasons=[CancellationReason("None"), stored])
    action = {"Delete": {"TableName": "t", "Key": {"id": 1}}}
    with pytest.raises(TransactionCanceledError) as caught:
        drive(documents.transact_write(docs, {"TransactItems": [action]}), error)
    innocent, guilty = caught.value.reasons
    assert innocent == CancellationReason("None")
    assert (guilty.item, getattr(guilty.error, "key", "")) == ({"id": 1}, None), "nobody knows which is which"


def test_reasons_are_what_the_action_alone_would_have_raised(docs: Documents) -> None:
    docs.keys["t"] = {"id": "N"}
    actions = [
        {"Put": {"TableName": "t", "Item": {"id": 1, "n": 2}, "ConditionExpression": F.n > 5}},
        {"Delete": {"TableName": "u", "Key": {"a": "x"}}},
        {"ConditionCheck": {"TableName": "t", "Key": {"id": 2}, "ConditionExpression": F.n > 5}},
        {"Put": {"TableName": "t", "Item": {"id": 3}}},
    ]
    reasons = [
        CancellationReason("ConditionalCheckFailed", "no", {"id": {"N": "1"}, "n": {"N": "0"}}),
        CancellationReason("TransactionConflict", "busy"),
        CancellationReason("ConditionalCheckFailed", "no"),
        CancellationReason("None"),
    ]
    error = TransactionCanceledError("cancelled", reasons=reasons)
    with pytest.raises(TransactionCanceledError) as caught:
        drive(documents.transact_write(docs, {"TransactItems": actions}), error)
    put, delete, check, innocent = caught.value.reasons
    assert isinstance(put.error, ConditionFailedError)
    assert (put.item, put.error.item) == ({"id": 1, "n": 0}, {"id": 1, "n": 0})
    assert (put.error.table_name, put.error.key) == ("t", {"id": 1})
    assert isinstance(delete.error, TransactionConflictError)
    assert isinstance(check.error, ConditionFailedError)
    assert (check.item, check.error.key) == (None, {"id": 2})
    assert innocent == CancellationReason("None")


@pytest.mark.parametrize(
    ("actions", "reason"),
    [
        ([], "something in it"),
        ({"Put": {}}, "must be a list"),
        ([{"Put": {}, "Delete": {}}], r"TransactItems\[0\] .*must be a dict with one of Put, Update"),
        ([{"Putt": {}}], "one of Put, Update"),
        (["Put"], "one of Put, Update"),
        ([{"Put": {"TableName": "t", "Item": {}, "Key": {}}}], r"TransactItems\[0\].Put has no keyword 'Key'"),
        ([{"Put": {"TableName": "t", "Item": {"s": set()}}}], r"TransactItems\[0\].Put.Item.s = set\(\) is empty"),
        ([{"Put": None}], r"TransactItems\[0\].Put is None: must be a dict"),
        ([{"Delete": {"TableName": "t", "Key": {"id": 1}}}] * 2, "the same item"),
        ([{"Delete": {"TableName": "t", "Key": {"id": n}}} for n in range(101)], "101 actions"),
    ],
)
def test_bad_transactions_are_refused(docs: Documents, actions: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        next(documents.transact_write(docs, {"TransactItems": actions}))


def test_a_transaction_that_reads(docs: Documents) -> None:
    gets = [{"Get": {"TableName": "t", "Key": {"id": n}}} for n in (1, 2)]
    answer, (sent,) = drive(
        documents.transact_get(docs, {"TransactItems": gets}), {"Responses": [{"Item": {"id": {"N": "1"}}}, {}]}
    )
    assert answer == {"Responses": [{"Item": {"id": 1}}, {}]}
    assert sent.params["TransactItems"][1] == {"Get": {"TableName": "t", "Key": {"id": {"N": "2"}}}}


# --- batches ---------------------------------------------------------------------------------------------------------


def put(number: object, **attributes: object) -> dict[str, Any]:
    return {"type": "put", "tableName": "t", "item": {"id": number, **attributes}}


@pytest.mark.parametrize("operations", [None, 5, "put", {"type": "put"}])
def test_operations_are_a_list(docs: Documents, operations: Any) -> None:
    with pytest.raises(ValidationError, match=r"operations is .*: must be a list"):
        next(document_batches.operate(docs, operations))


def test_operations_of_several_tables(docs: Documents) -> None:
    operations = [
        *[put(number) for number in range(30)],
        {"type": "delete", "table_name": "u", "key": {"a": "x", "b": 1}},
        put(0, again=True),
    ]
    before = copy.deepcopy(operations)
    answers = {"t": table(id="N"), "u": table(a="S", b="N")}

    summary, calls = serve(
        document_batches.operate(docs, iter(operations)),
        lambda call: answers[call.params["TableName"]] if call.operation == "DescribeTable" else {},
    )

    assert summary == BatchSummary({"t": 31}, {"u": 1})
    assert summary.done == 32
    assert [call.operation for call in calls[:2]] == ["DescribeTable"] * 2, "each table is asked once"
    written = [call.params["RequestItems"] for call in calls[2:]]
    assert {"DeleteRequest": {"Key": {"a": {"S": "x"}, "b": {"N": "1"}}}} in [
        r for w in written for r in w.get("u", [])
    ]
    puts = [request["PutRequest"]["Item"] for tables in written for request in tables.get("t", [])]
    assert [item for item in puts if item["id"] == {"N": "0"}][-1] == {"id": {"N": "0"}, "again": {"BOOL": True}}
    assert operations == before


@pytest.mark.parametrize(
    ("operation", "reason"),
    [
        ("put", "must be a dict"),
        ({"type": "update", "tableName": "t", "item": {}}, "must be"),
        ({"type": ["put"], "tableName": "t", "item": {}}, "must be"),
        ({"type": "put", "item": {"id": 1}}, "must be"),
        ({"type": "put", "tableName": "t", "table_name": "t", "item": {"id": 1}}, "must be"),
        ({"type": "put", "tableName": "t", "key": {"id": 1}}, "must be"),
        ({"type": "put", "tableName": "t", "item": {"id": 1}, "condition": "x"}, "must be"),
        ({"type": "put", "tableName": "t", "item": {"id": set()}}, r"operations\[1\].item.id"),
        ({"type": "put", "tableName": "t", "item": {"idd": 1}}, r"operations\[1\].item has none of it: the key .* id"),
        ({"type": "put", "tableName": "t", "item": {"id": ""}}, "no empty key"),
        ({"type": "put", "tableName": "t", "item": {"id": "1"}}, r"operations\[1\].item.id = '1': .* declared as N"),
        ({"type": "delete", "tableName": "t", "key": {"id": b"1"}}, r"operations\[1\].key.id = b'1': .* declared as N"),
        ({"type": "delete", "tableName": "t", "key": {"id": 1, "n": 2}}, r"operations\[1\].key has id, n"),
    ],
)
def test_a_bad_operation_stops_all_before_anything_is_written(docs: Documents, operation: Any, reason: str) -> None:
    docs.keys["t"] = {"id": "N"}
    with pytest.raises(ValidationError, match=reason):
        next(document_batches.operate(docs, [put(0), operation]))


def test_what_is_not_done_is_reported_as_it_was_given(docs: Documents) -> None:
    operations = [put(1), put(2)]
    docs.keys["t"] = {"id": "N"}
    left = {"UnprocessedItems": {"t": [{"PutRequest": {"Item": {"id": {"N": "2"}}}}]}}
    with pytest.raises(BatchIncompleteError) as caught:
        serve(document_batches.operate(docs, operations, BatchOptions(attempts=3)), lambda _: left)
    assert caught.value.unprocessed == [operations[1]]
    assert caught.value.done == 1


def test_batch_write_reports_what_can_be_sent_again(docs: Documents) -> None:
    docs.keys["t"] = {"id": "N"}
    requests = [{"PutRequest": {"Item": {"id": 1}}}, {"DeleteRequest": {"Key": {"id": 2}}}]
    answer, _ = serve(document_batches.write(docs, {"RequestItems": {"t": requests}}), lambda _: {})
    assert answer == {"UnprocessedItems": {}}

    left = {"UnprocessedItems": {"t": [{"DeleteRequest": {"Key": {"id": {"N": "2"}}}}]}}
    with pytest.raises(BatchIncompleteError) as caught:
        serve(document_batches.write(docs, {"RequestItems": {"t": requests}}), lambda _: left)
    assert caught.value.unprocessed == [{"t": [requests[1]]}]


@pytest.mark.parametrize(
    ("given_items", "reason"),
    [
        ({}, "something in it"),
        ([], "dict by table"),
        ({5: [{"PutRequest": {"Item": {"id": 1}}}]}, "5 for a table name"),
        ({"": [{"PutRequest": {"Item": {"id": 1}}}]}, "'' for a table name"),
        ({"t": {"PutRequest": {}}}, "must be a list"),
        ({"t": 5}, "must be a list"),
        ({"t": [{"Put": {}}]}, "one of PutRequest, DeleteRequest"),
        ({"t": [{"PutRequest": {"Key": {}}}]}, "has no keyword 'Key'"),
    ],
)
def test_bad_request_items_are_refused(docs: Documents, given_items: Any, reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        next(document_batches.write(docs, {"RequestItems": given_items}))


def test_batch_get_keeps_the_order_and_answers_repeats(docs: Documents) -> None:
    keys = [{"id": 3}, {"id": 1}, {"id": 9}, {"id": 3}]
    found = {"Responses": {"t": [{"id": {"N": "1"}, "n": {"N": "10"}}, {"id": {"N": "3"}, "n": {"N": "30"}}]}}
    answer, (sent,) = drive_batch(docs, {"t": {"Keys": keys, "ConsistentRead": True}}, found)
    assert sent.params["RequestItems"]["t"] == {
        "Keys": [{"id": {"N": "3"}}, {"id": {"N": "1"}}, {"id": {"N": "9"}}],
        "ConsistentRead": True,
    }
    assert answer == {
        "Responses": {"t": [{"id": 3, "n": 30}, {"id": 1, "n": 10}, {"id": 3, "n": 30}]},
        "UnprocessedKeys": {},
    }


@pytest.mark.parametrize(
    ("asked", "sent_as", "shown"),
    [
        (
            {"ProjectionExpression": "n"},
            {"ProjectionExpression": "n, #key0", "ExpressionAttributeNames": {"#key0": "id"}},
            {"n": 5},
        ),
        ({"ProjectionExpression": "n, id"}, {"ProjectionExpression": "n, id"}, {"n": 5, "id": 1}),
        (
            {"ProjectionExpression": "n,#i", "ExpressionAttributeNames": {"#i": "id"}},
            {"ProjectionExpression": "n,#i", "ExpressionAttributeNames": {"#i": "id"}},
            {"n": 5, "id": 1},
        ),
        ({"AttributesToGet": ["n"]}, {"AttributesToGet": ["n", "id"]}, {"n": 5}),
    ],
)
def test_batch_get_asks_for_the_keys_by_which_answers_are_told(
    docs: Documents, asked: dict[str, Any], sent_as: dict[str, Any], shown: dict[str, Any]
) -> None:
    found = {"Responses": {"t": [{"id": {"N": "1"}, "n": {"N": "5"}}]}}
    answer, (sent,) = drive_batch(docs, {"t": {"Keys": [{"id": 1}], **asked}}, found)
    assert sent.params["RequestItems"]["t"] == {"Keys": [{"id": {"N": "1"}}], **sent_as}
    assert answer["Responses"] == {"t": [shown]}


def drive_batch(docs: Documents, request_items: dict[str, Any], answer: Any) -> tuple[Any, list[Call]]:
    return serve(document_batches.get(docs, {"RequestItems": request_items}), lambda _: answer)


# --- trees -----------------------------------------------------------------------------------------------------------

LINKS = Links("t", "id", "parent", "parent-index", "children")


def stored_tree(docs: Documents, items: list[dict[str, Any]], **options: Any) -> Any:
    """Read a tree from these items, two children to a page."""
    wire = [CODEC.item("Item", item) for item in items]

    def answer(call: Call) -> dict[str, Any]:
        if call.operation == "GetItem":
            return next(({"Item": item} for item in wire if item["id"] == call.params["Key"]["id"]), {})
        (parent,) = call.params["ExpressionAttributeValues"].values()
        found = [item for item in wire if item.get("parent") == parent]
        start = found.index(call.params["ExclusiveStartKey"]) + 1 if "ExclusiveStartKey" in call.params else 0
        more = {"LastEvaluatedKey": found[start + 1]} if len(found) > start + 2 else {}
        return {"Items": found[start : start + 2], **more}

    arguments = {"max_depth": 10, "include_metadata": True, "concurrency": 4, **options}
    return serve(document_trees.read(docs, LINKS, arguments.pop("root", "a"), **arguments), answer)[0]


def test_a_tree(docs: Documents) -> None:
    items = [{"id": "a"}, *({"id": f"b{n}", "parent": "a"} for n in range(5)), {"id": "c", "parent": "b1"}]
    read = stored_tree(docs, items)
    assert [node["id"] for node in read.tree["children"]] == ["b0", "b1", "b2", "b3", "b4"]
    assert read.tree["children"][1] == {
        "id": "b1",
        "parent": "a",
        "children": [{"id": "c", "parent": "b1", "children": []}],
    }
    assert (read.metadata.node_count, read.metadata.depth, read.metadata.root_id) == (7, 3, "a")
    assert stored_tree(docs, items, include_metadata=False) == read.tree
    assert stored_tree(docs, items, root={"id": "a"}) == read


def test_a_tree_that_is_cut(docs: Documents) -> None:
    items = [{"id": "a"}, {"id": "b", "parent": "a"}, {"id": "c", "parent": "b"}]
    read = stored_tree(docs, items, max_depth=2)
    assert read.tree["children"] == [{"id": "b", "parent": "a", "children": []}]
    assert (read.metadata.depth, read.metadata.complete) == (2, False)


def test_a_cycle_is_reported(docs: Documents) -> None:
    read = stored_tree(docs, [{"id": "a", "parent": "c"}, {"id": "b", "parent": "a"}, {"id": "c", "parent": "b"}])
    assert (read.metadata.node_count, read.metadata.cycles) == (3, (("c", "a"),))


def test_a_root_without_its_parent_is_an_orphan(docs: Documents) -> None:
    assert stored_tree(docs, [{"id": "a", "parent": "gone"}]).metadata.orphans == ("a",)
    assert stored_tree(docs, [{"id": "a", "parent": "b"}, {"id": "b"}]).metadata.orphans == ()


def test_an_attribute_where_children_go_is_not_overwritten(docs: Documents) -> None:
    with pytest.raises(ValidationError, match="another place with children="):
        stored_tree(docs, [{"id": "a"}, {"id": "b", "parent": "a", "children": 2}])


def test_no_root(docs: Documents) -> None:
    with pytest.raises(ItemNotFoundError):
        stored_tree(docs, [{"id": "b"}])
    with pytest.raises(ValidationError, match="max_depth"):
        stored_tree(docs, [{"id": "a"}], max_depth=0)


# --- options ---------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def forget_connections() -> Iterator[None]:
    yield
    reset_connection()


def settings(client: DocumentClient) -> dict[str, Any]:
    config = client.config
    return {
        "region": config.region_name,
        "endpoint": config.endpoint_url,
        "retries": config.retries,
        "sockets": config.max_pool_connections,
        "request": config.timeout_seconds,
        "connect": config.connect_timeout_seconds,
        "logging": config.debug_logging,
    }


DEFAULTS: dict[str, Any] = {
    "region": "us-east-1",
    "endpoint": None,
    "retries": 3,
    "sockets": 50,
    "request": 30.0,
    "connect": 5.0,
    "logging": False,
}


def test_defaults() -> None:
    assert settings(get_dynamodb_client()) == DEFAULTS


def test_the_environment_fills_what_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {
        "AWS_REGION": "eu-west-1",
        "DYNAMODB_MAX_RETRIES": "7",
        "DYNAMODB_MAX_SOCKETS": "9",
        "DYNAMODB_REQUEST_TIMEOUT": "1500",
        "DYNAMODB_CONNECTION_TIMEOUT": "250",
        "DYNAMODB_ENABLE_LOGGING": "true",
    }
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    from_environment = {
        "region": "eu-west-1",
        "endpoint": None,
        "retries": 7,
        "sockets": 9,
        "request": 1.5,
        "connect": 0.25,
        "logging": True,
    }
    assert settings(get_dynamodb_client()) == from_environment
    assert settings(get_dynamodb_client(region=None)) == from_environment
    given_options = get_dynamodb_client(
        region="us-west-2",
        max_retries=1,
        max_sockets=2,
        request_timeout=100,
        connection_timeout=200,
        enable_logging=False,
    )
    assert settings(given_options) == {
        "region": "us-west-2",
        "endpoint": None,
        "retries": 1,
        "sockets": 2,
        "request": 0.1,
        "connect": 0.2,
        "logging": False,
    }


@pytest.mark.parametrize("name", ["DYNAMODB_ENVIRONMENT", "ENVIRONMENT"])
@pytest.mark.parametrize(
    ("environment", "endpoint"),
    [("development", "http://localhost:8000"), ("dev", "http://localhost:8000"), ("production", None), ("stage", None)],
)
def test_development_is_local(
    monkeypatch: pytest.MonkeyPatch, name: str, environment: str, endpoint: str | None
) -> None:
    monkeypatch.setenv(name, environment)
    assert settings(get_dynamodb_client())["endpoint"] == endpoint
    assert settings(get_dynamodb_client(local=False))["endpoint"] is None
    assert settings(get_dynamodb_client(local=True))["endpoint"] == "http://localhost:8000"


def test_where_local_is(monkeypatch: pytest.MonkeyPatch) -> None:
    assert settings(get_dynamodb_client(local_endpoint="http://db:1"))["endpoint"] is None, "an address, not a switch"
    assert settings(get_dynamodb_client(local=True, local_endpoint="http://db:1"))["endpoint"] == "http://db:1"
    monkeypatch.setenv("DYNAMODB_LOCAL_ENDPOINT", "http://db:2")
    assert settings(get_dynamodb_client())["endpoint"] == "http://db:2"
    assert settings(get_dynamodb_client(local=True))["endpoint"] == "http://db:2"
    assert settings(get_dynamodb_client(local=True, local_endpoint="http://db:1"))["endpoint"] == "http://db:1"


def test_credentials_of_a_local_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_PROFILE", "not-there")
    config = get_dynamodb_client(local=True).config
    assert (config.aws_access_key_id, config.profile_name) == ("local", None)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "mine")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "mine")
    assert get_dynamodb_client(local=True).config.aws_access_key_id == "mine"


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"regoin": "x"}, "no option regoin; it has region, local"),
        ({"max_retries": -1}, "max_retries is -1"),
        ({"max_sockets": 0}, "max_sockets is 0"),
        ({"region": "not a region"}, "region is 'not a region'"),
        ({"request_timeout": 0}, "request_timeout is 0: must be a number of milliseconds"),
        ({"request_timeout": math.nan}, "request_timeout is nan"),
        ({"connection_timeout": "5"}, "connection_timeout is '5': must be a number of milliseconds"),
        ({"connection_timeout": True}, "connection_timeout is True"),
        ({"enable_logging": "perhaps"}, "enable_logging is 'perhaps'"),
        ({"local": "yes"}, "local is 'yes'"),
        ({"local": True, "local_endpoint": "localhost:8000"}, "local_endpoint is 'localhost:8000'"),
        ({"config": DynamoDBConfig.embedded("x"), "region": "eu-west-1"}, "leave out region"),
        ({"config": "embedded"}, "takes a DynamoDBConfig, not str"),
    ],
)
def test_bad_options_are_refused_by_name(options: dict[str, Any], reason: str) -> None:
    with pytest.raises(ValidationError, match=reason):
        get_dynamodb_client(**options)


def test_a_bad_variable_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DYNAMODB_MAX_RETRIES", "many")
    with pytest.raises(ValidationError, match="DYNAMODB_MAX_RETRIES"):
        get_dynamodb_client(region="eu-west-1")


# --- the client ------------------------------------------------------------------------------------------------------


def test_clients_and_repositories_of_one_configuration_share_the_pool() -> None:
    config = DynamoDBConfig.embedded("shared")
    first, second = get_dynamodb_client(config=config), get_dynamodb_client(config=config)
    assert first is not second
    assert first.get_client() is second.get_client() is connection_for(config).boto3_client


def test_a_destroyed_client_says_so() -> None:
    config = DynamoDBConfig.embedded("destroyed")
    other = get_dynamodb_client(config=config)
    with get_dynamodb_client(config=config) as client:
        assert client.health_check()
    client.destroy()
    assert not client.health_check()
    assert "destroyed" in repr(client)
    for use in (
        lambda: client.get(TableName="t", Key={"id": 1}),
        lambda: client.iter_scan(TableName="t"),
        lambda: client.batch_operations([]),
        lambda: client.read_tree("t", "a"),
        client.get_client,
        client.get_document_client,
    ):
        with pytest.raises(ConnectionError, match="destroyed"):
            use()  # type: ignore[no-untyped-call]
    assert other.health_check(), "others on the same pool connect anew"


def test_nothing_secret_is_shown() -> None:
    config = DynamoDBConfig(aws_access_key_id="AKIASECRET", aws_secret_access_key="hidden", region_name="eu-west-1")
    shown = repr(get_dynamodb_client(config=config))
    assert "AKIASECRET" not in shown
    assert "hidden" not in shown


def test_limits_are_those_of_a_copy() -> None:
    client = get_dynamodb_client(config=DynamoDBConfig.embedded())
    hasty = client.with_options(timeout=1e-9)
    with pytest.raises(DeadlineExceededError):
        hasty.get(TableName="t", Key={"id": "x"})
    with pytest.raises(TableNotFoundError):
        hasty.with_options(timeout=math.inf).get(TableName="t", Key={"id": "x"})
    with pytest.raises(TableNotFoundError):
        client.get(TableName="t", Key={"id": "x"})
    for wrong in (0, -1, True, "5"):
        with pytest.raises(ValidationError):
            client.with_options(timeout=wrong)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        client.with_options(max_attempts=0)


def test_a_health_report_says_what_is_wrong_once_destroyed_too() -> None:
    client = get_dynamodb_client(config=DynamoDBConfig.embedded())
    assert client.health_report().healthy
    assert client.health_report(table_name="none").table_status == "missing"
    client.destroy()
    report = client.health_report()
    assert not report.healthy
    assert "destroyed" in str(report.error)
