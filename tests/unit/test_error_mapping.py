"""botocore's exceptions, real ones, and what becomes of them."""

from __future__ import annotations

import pickle
from typing import Any

import botocore.exceptions as botocore_errors
import pytest
from botocore.exceptions import BotoCoreError, ClientError

from dynamodb_wrapper.exceptions import (
    AccessDeniedError,
    ConditionFailedError,
    ConnectionError,
    CredentialsError,
    DynamoDBWrapperError,
    IdempotentParameterMismatchError,
    ItemTooLargeError,
    LimitExceededError,
    ServerError,
    TableInUseError,
    TableNotFoundError,
    ThrottlingError,
    TransactionCanceledError,
    TransactionConflictError,
    ValidationError,
)
from dynamodb_wrapper.operations.effects import Call
from dynamodb_wrapper.transport.errors import Endpoint, from_answer, from_botocore
from dynamodb_wrapper.transport.failures import Hint, Verdict, hint_of

CALL = Call("PutItem", {"TableName": "orders"}, key={"id": "o1"})
ENDPOINT = Endpoint("https://dynamodb.eu-west-1.amazonaws.com", 2.0, 7.5)


def answer(
    code: str, message: str = "AWS says no", *, status: int = 400, headers: Any = None, **body: Any
) -> ClientError:
    response: Any = {
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {"RequestId": "REQ1", "HTTPStatusCode": status, "HTTPHeaders": headers or {}},
        **body,
    }
    return ClientError(response, "PutItem")


def mapped(error: ClientError, call: Call = CALL) -> DynamoDBWrapperError:
    return from_answer(error, call, ENDPOINT)


@pytest.mark.parametrize(
    ("code", "status", "kind", "verdict", "throttled"),
    [
        ("ConditionalCheckFailedException", 400, ConditionFailedError, Verdict.FINAL, False),
        ("TransactionCanceledException", 400, TransactionCanceledError, Verdict.FINAL, False),
        ("TransactionConflictException", 400, TransactionConflictError, Verdict.SAFE, False),
        ("TransactionInProgressException", 400, TransactionConflictError, Verdict.FINAL, False),
        ("ProvisionedThroughputExceededException", 400, ThrottlingError, Verdict.SAFE, True),
        ("ThrottlingException", 400, ThrottlingError, Verdict.SAFE, True),
        ("RequestLimitExceeded", 400, ThrottlingError, Verdict.SAFE, True),
        ("SlowDown", 503, ThrottlingError, Verdict.SAFE, True),
        ("429", 429, ThrottlingError, Verdict.SAFE, True),
        ("LimitExceededException", 400, LimitExceededError, Verdict.SAFE, True),
        ("ItemCollectionSizeLimitExceededException", 400, LimitExceededError, Verdict.FINAL, False),
        ("InternalServerError", 500, ServerError, Verdict.LOST, False),
        ("500", 500, ServerError, Verdict.LOST, False),
        ("502", 502, ServerError, Verdict.LOST, False),
        ("504", 504, ServerError, Verdict.LOST, False),
        ("SomethingNew", 500, ServerError, Verdict.LOST, False),
        ("ServiceUnavailable", 503, ServerError, Verdict.SAFE, False),
        ("503", 503, ServerError, Verdict.SAFE, False),
        ("RequestTimeout", 400, ServerError, Verdict.LOST, False),
        ("ResourceNotFoundException", 400, TableNotFoundError, Verdict.FINAL, False),
        ("ResourceInUseException", 400, TableInUseError, Verdict.FINAL, False),
        ("AccessDeniedException", 400, AccessDeniedError, Verdict.FINAL, False),
        ("UnrecognizedClientException", 400, CredentialsError, Verdict.FINAL, False),
        ("ExpiredTokenException", 400, CredentialsError, Verdict.FINAL, False),
        ("RequestExpired", 400, CredentialsError, Verdict.FINAL, False),
        ("ValidationException", 400, ValidationError, Verdict.FINAL, False),
        ("IdempotentParameterMismatchException", 400, IdempotentParameterMismatchError, Verdict.FINAL, False),
        ("403", 403, DynamoDBWrapperError, Verdict.FINAL, False),
    ],
)
def test_codes(code: str, status: int, kind: type[DynamoDBWrapperError], verdict: Verdict, throttled: bool) -> None:
    original = answer(code, status=status)
    error = mapped(original)
    assert type(error) is kind
    assert (error.code, error.operation, error.request_id) == (code, "PutItem", "REQ1")
    assert error.original_error is original
    assert error.context["table_name"] == "orders"
    assert error.context["key"] == {"id": "o1"}
    assert error.context["request_id"] == "REQ1"
    assert hint_of(error) == Hint(verdict, throttled)


def test_a_failed_condition_brings_the_stored_item_as_it_came() -> None:
    item = {"id": {"S": "o1"}, "raw": {"B": b"\x00"}}
    error = mapped(answer("ConditionalCheckFailedException", Item=item))
    assert isinstance(error, ConditionFailedError)
    assert (error.item, error.table_name, error.key) == (item, "orders", {"id": "o1"})
    nothing = mapped(answer("ConditionalCheckFailedException"))
    assert isinstance(nothing, ConditionFailedError)
    assert nothing.item is None


def test_a_cancelled_transaction_brings_one_reason_per_action() -> None:
    reasons = [{"Code": "None"}, {"Code": "ConditionalCheckFailed", "Message": "no", "Item": {"id": {"S": "o1"}}}]
    error = mapped(answer("TransactionCanceledException", CancellationReasons=reasons))
    assert isinstance(error, TransactionCanceledError)
    assert [(reason.code, reason.message, reason.item) for reason in error.reasons] == [
        ("None", None, None),
        ("ConditionalCheckFailed", "no", {"id": {"S": "o1"}}),
    ]


@pytest.mark.parametrize("spelling", ["ThrottlingReasons", "throttlingReasons"])
def test_throttling_reasons_in_both_spellings(spelling: str) -> None:
    reasons = [{"reason": "TableWriteMaxOnDemandThroughputExceeded", "resource": "arn:aws:dynamodb:::table/orders"}]
    error = mapped(answer("ThrottlingException", **{spelling: reasons}))
    assert isinstance(error, ThrottlingError)
    assert [(reason.reason, reason.resource) for reason in error.reasons] == [
        ("TableWriteMaxOnDemandThroughputExceeded", "arn:aws:dynamodb:::table/orders")
    ]


@pytest.mark.parametrize(("header", "seconds"), [("1500", 1.5), ("0", 0.0), ("soon", None), ("-3", None)])
def test_retry_after_is_in_milliseconds(header: str, seconds: float | None) -> None:
    error = mapped(answer("ThrottlingException", headers={"x-amz-retry-after": header}))
    assert hint_of(error).retry_after == seconds


def test_a_missing_table_is_named_with_what_to_do() -> None:
    error = mapped(answer("ResourceNotFoundException", "Requested resource not found"))
    assert isinstance(error, TableNotFoundError)
    assert error.table_name == "orders"
    assert error.message == (
        "table 'orders' does not exist at https://dynamodb.eu-west-1.amazonaws.com; "
        "`repository.ensure_table()` creates it"
    )


def test_a_missing_index_is_not_a_missing_table() -> None:
    query = Call("Query", {"TableName": "orders", "IndexName": "by_status"})
    error = mapped(answer("ValidationException", "The table does not have the specified index: by_status"), query)
    assert isinstance(error, ValidationError)
    assert error.errors == {"IndexName": "by_status"}
    assert "table 'orders' has no index 'by_status'" in error.message


def test_a_missing_backup_is_not_a_missing_table() -> None:
    error = mapped(answer("ResourceNotFoundException", "Backup not found"), Call("DescribeBackup", {"BackupArn": "b"}))
    assert error.message == "Backup not found"


def test_an_item_that_is_too_large_after_an_update() -> None:
    message = "Item size to update has exceeded the maximum allowed size"
    assert type(mapped(answer("ValidationException", message))) is ItemTooLargeError


def test_a_wrong_signature_does_not_repeat_the_session_token() -> None:
    message = (
        "The request signature we calculated does not match the signature you provided.\n\n"
        "The Canonical String for this request should have been\n'POST\nx-amz-security-token:TOPSECRET'"
    )
    error = mapped(answer("InvalidSignatureException", message))
    assert isinstance(error, CredentialsError)
    assert "clock" in error.message
    for text in (str(error), repr(error), repr(error.original_error), str(vars(error.original_error))):
        assert "TOPSECRET" not in text


def test_errors_survive_pickling() -> None:
    error = pickle.loads(pickle.dumps(mapped(answer("ThrottlingException"))))
    assert (type(error), error.code, hint_of(error).throttled) == (ThrottlingError, "ThrottlingException", True)


URL = {"endpoint_url": "http://there"}


def test_a_session_token_that_is_none_is_not_shown() -> None:
    original = botocore_errors.HTTPClientError(error=ValueError("Invalid header value b'secret\\ntoken'"))
    error = from_botocore(original, CALL, ENDPOINT)
    assert type(error) is CredentialsError
    assert "secret" not in f"{error} {error!r} {error.original_error}"


@pytest.mark.parametrize(
    ("original", "verdict", "says"),
    [
        (
            botocore_errors.EndpointConnectionError(error="refused", **URL),
            Verdict.SAFE,
            "could not be reached at https",
        ),
        (botocore_errors.ConnectTimeoutError(error="", **URL), Verdict.SAFE, "within 2 s"),
        (botocore_errors.ProxyConnectionError(proxy_url="http://p", error=""), Verdict.SAFE, "http://p"),
        (botocore_errors.ReadTimeoutError(error="", **URL), Verdict.LOST, "within 7.5 s"),
        (botocore_errors.ConnectionClosedError(error="", **URL), Verdict.LOST, "closed"),
        (botocore_errors.SSLError(error="EOF occurred", **URL), Verdict.LOST, "EOF occurred"),
        (botocore_errors.SSLError(error="CERTIFICATE_VERIFY_FAILED", **URL), Verdict.FINAL, "secure connection"),
        (botocore_errors.HTTPClientError(error="odd"), Verdict.LOST, "odd"),
    ],
)
def test_requests_without_an_answer(original: BotoCoreError, verdict: Verdict, says: str) -> None:
    error = from_botocore(original, CALL, ENDPOINT)
    assert type(error) is ConnectionError
    assert says in error.message
    assert error.original_error is original
    assert error.context == {"table_name": "orders", "key": {"id": "o1"}}
    assert hint_of(error).verdict is verdict


@pytest.mark.parametrize(
    ("original", "says"),
    [
        (botocore_errors.NoCredentialsError(), "AWS_ACCESS_KEY_ID"),
        (botocore_errors.PartialCredentialsError(provider="env", cred_var="secret"), "together"),
        (botocore_errors.ProfileNotFound(profile="nope"), "AWS_PROFILE"),
        (botocore_errors.TokenRetrievalError(provider="sso", error_msg="expired"), "aws sso login"),
        (botocore_errors.UnauthorizedSSOTokenError(), "aws sso login"),
        (botocore_errors.SSOTokenLoadError(error_msg="no file"), "aws sso login"),
        (botocore_errors.CredentialRetrievalError(provider="process", error_msg="exit 1"), "fetched"),
    ],
)
def test_credentials_that_cannot_be_had(original: BotoCoreError, says: str) -> None:
    error = from_botocore(original, None, ENDPOINT)
    assert type(error) is CredentialsError
    assert says in error.message
    assert hint_of(error).verdict is Verdict.FINAL


def test_no_region_says_where_to_set_one() -> None:
    error = from_botocore(botocore_errors.NoRegionError(), None, ENDPOINT)
    assert type(error) is ValidationError
    assert "AWS_REGION" in error.message
    assert "region_name" in error.errors


def test_parameters_that_botocore_refuses() -> None:
    error = from_botocore(botocore_errors.ParamValidationError(report="bad"), CALL, ENDPOINT)
    assert type(error) is ValidationError


def test_anything_else_of_botocores_is_ours_too() -> None:
    assert type(from_botocore(BotoCoreError(), CALL, ENDPOINT)) is DynamoDBWrapperError


def test_a_password_in_an_endpoint_is_not_shown() -> None:
    endpoint = Endpoint("http://me:TOPSECRET@host:8000/", 1, 1)
    assert str(endpoint) == "http://host:8000/"
