"""The one place where botocore's exceptions become ours."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from dynamodb_wrapper.exceptions import (
    CancellationReason,
    ConditionFailedError,
    ConnectionError,
    CredentialsError,
    DynamoDBWrapperError,
    ItemTooLargeError,
    ServerError,
    TableNotFoundError,
    ThrottlingError,
    ThrottlingReason,
    TransactionCanceledError,
    ValidationError,
    error_class_for,
)
from dynamodb_wrapper.operations.effects import Call
from dynamodb_wrapper.transport.failures import BAD_KEYS, Hint, Verdict, context_of, hinted, table_of

if TYPE_CHECKING:
    from botocore.exceptions import BotoCoreError, ClientError

_THROTTLING_CODES = frozenset(
    {
        "BandwidthLimitExceeded",
        "RequestThrottled",
        "RequestThrottledException",
        "SlowDown",
        "ThrottledException",
        "TooManyRequestsException",
        "429",
    }
)
"""Codes that AWS services use for throttling besides DynamoDB's own; a proxy's bare 429 is one."""

_NOT_APPLIED_CODES = frozenset({"ServiceUnavailable", "ServiceUnavailableException", "503"})
_ASKED_TOO_EARLY_CODES = frozenset({"RequestTimeout", "RequestTimeoutException", "PriorRequestNotComplete"})

_CREDENTIALS_ADVICE = {
    "ExpiredTokenException": "the session token has expired: renew the credentials (for SSO: `aws sso login`)",
    "ExpiredToken": "the session token has expired: renew the credentials (for SSO: `aws sso login`)",
    "RequestExpired": "the request's time is too far from AWS's: check this machine's clock",
    "InvalidSignatureException": "the signature is not accepted: check the secret key and this machine's clock",
    "UnrecognizedClientException": "AWS does not know the access key or session token: check key, token and region",
}

_NO_CREDENTIALS = (
    "no AWS credentials were found: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, name a profile "
    "(AWS_PROFILE or profile_name), or run under an IAM role"
)
_CREDENTIALS_ERRORS = {
    "NoCredentialsError": _NO_CREDENTIALS,
    "NoAuthTokenError": _NO_CREDENTIALS,
    "PartialCredentialsError": "half of a pair of AWS credentials is missing: give access key and secret key together",
    "ProfileNotFound": "the AWS profile does not exist: correct AWS_PROFILE or profile_name",
    "TokenRetrievalError": "the AWS session could not be renewed: sign in again (`aws sso login`)",
    "SSOError": "the AWS session could not be used: sign in again (`aws sso login`)",
    "LoginError": "the AWS session could not be used: sign in again (`aws login`)",
    "CredentialRetrievalError": "AWS credentials could not be fetched from their source",
    "MetadataRetrievalError": "AWS credentials could not be fetched from the metadata service",
    "RefreshWithMFAUnsupportedError": "the AWS credentials need a new MFA code: sign in again",
    "UnknownCredentialError": "the AWS configuration names an unknown source of credentials",
    "InfiniteLoopConfigError": "the AWS profiles refer to each other in a circle",
    "InvalidConfigError": "the AWS profile is not valid",
}
"""What to do, by the name of botocore's exception or of its base (names, because not every version has all)."""

_NEVER_SENT = frozenset({"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"})
HANDSHAKE_FAILURES = ("CERTIFICATE_VERIFY_FAILED", "WRONG_VERSION_NUMBER", "HANDSHAKE_FAILURE")


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where requests go and how long they may take, as messages say it."""

    url: str
    connect_timeout_seconds: float
    timeout_seconds: float

    def __str__(self) -> str:
        parts = urlsplit(self.url)
        return parts._replace(netloc=parts.netloc.rpartition("@")[2]).geturl()  # without a user and password


def from_answer(error: ClientError, call: Call, endpoint: Endpoint) -> DynamoDBWrapperError:
    """Return our error for an error that DynamoDB answered with.

    Items in it (of a failed condition or a cancelled transaction) are as they came over the wire.
    """
    return from_refusal(error.response, call, endpoint, error)


def from_refusal(
    answer: Mapping[str, Any], call: Call, endpoint: Endpoint, error: ClientError | None = None
) -> DynamoDBWrapperError:
    """Return our error for an error answer in botocore's shape, and for botocore's exception if there is one."""
    details, metadata = answer.get("Error", {}), answer.get("ResponseMetadata", {})
    code, status = str(details.get("Code", "")), int(metadata.get("HTTPStatusCode", 0))
    kind = _class_for(code, status)
    message = str(details.get("Message", "")) or f"{call.operation} was refused with {code or status}"
    if issubclass(kind, CredentialsError):
        # AWS explains a wrong signature by repeating what it signed, session token included: keep the first line only.
        message = message.split("\n", 1)[0]
        if error is not None:
            _forget_signature(error, message)
    ours = _error(kind, message, error, answer, call, endpoint)
    ours.answered(operation=call.operation, request_id=metadata.get("RequestId"), code=code or None)
    return hinted(ours, _hint(ours, call, status, metadata.get("HTTPHeaders", {})))


def from_credentials_service(error: ClientError, call: Call, endpoint: Endpoint) -> CredentialsError:
    """Return our error for a call that was never sent, because AWS refused to renew the credentials for it."""
    status = int(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
    code = str(error.response.get("Error", {}).get("Code", ""))
    message = (
        f"AWS credentials for {endpoint} could not be renewed: {error.operation_name} was refused with {code or status}"
    )
    is_passing = status >= 500 or issubclass(error_class_for(code), ThrottlingError)
    return hinted(
        CredentialsError(message, error, context_of(call)), Hint(Verdict.SAFE if is_passing else Verdict.FINAL)
    )


def without_credentials(error: BotoCoreError, call: Call, endpoint: Endpoint) -> DynamoDBWrapperError:
    """Return our error for a call that was never sent, because botocore could not fetch the credentials for it."""
    names = [base.__name__ for base in type(error).__mro__]
    if "HTTPClientError" in names or "ConnectionError" in names:
        message = f"AWS credentials for {endpoint} could not be renewed: {error}"
        return hinted(CredentialsError(message, error, context_of(call)), Hint(Verdict.SAFE))
    return from_botocore(error, call, endpoint)


def from_botocore(error: BotoCoreError, call: Call | None, endpoint: Endpoint) -> DynamoDBWrapperError:
    """Return our error for a request that botocore could not send, or got no answer to.

    Args:
        error: What botocore raised.
        call: What was to be sent; None when making a client failed.
        endpoint: Where to.
    """
    names = [base.__name__ for base in type(error).__mro__]
    context = context_of(call) if call else {}
    for name in names:
        if name in _CREDENTIALS_ERRORS:
            return CredentialsError(f"{_CREDENTIALS_ERRORS[name]} ({error})", error, context)
    if "NoRegionError" in names:
        message = "no AWS region is known: set AWS_REGION or pass region_name"
        return ValidationError(message, {"region_name": "missing"}, error, context=context)
    if "Invalid header value" in str(error):  # http.client shows the value, and only credentials can be such
        return CredentialsError(BAD_KEYS, None, context)
    if "HTTPClientError" in names or "ConnectionError" in names:
        return _unanswered(error, names, context, endpoint)
    if {"ValidationError", "ParamValidationError", "EndpointProviderError", "BaseEndpointResolverError"} & set(names):
        return ValidationError(str(error), None, error, context=context)
    return DynamoDBWrapperError(str(error), error, context)


def _class_for(code: str, status: int) -> type[DynamoDBWrapperError]:
    kind = error_class_for(code)
    if kind is not DynamoDBWrapperError:
        return kind
    if code in _THROTTLING_CODES or status == 429:
        return ThrottlingError
    return ServerError if status >= 500 or code in _ASKED_TOO_EARLY_CODES else kind


def _error(
    kind: type[DynamoDBWrapperError],
    message: str,
    error: ClientError | None,
    answer: Mapping[str, Any],
    call: Call,
    endpoint: Endpoint,
) -> DynamoDBWrapperError:
    context = context_of(call)
    if issubclass(kind, ConditionFailedError):
        return kind(message, error, context, item=answer.get("Item"), table_name=table_of(call), key=call.key)
    if issubclass(kind, TransactionCanceledError):
        return kind(message, error, context, reasons=_cancellation_reasons(answer))
    if issubclass(kind, ThrottlingError):
        return kind(message, error, context, reasons=_throttling_reasons(answer))
    if issubclass(kind, TableNotFoundError) and table_of(call) is not None:
        return kind(_missing(message, call, endpoint), error, context)
    if issubclass(kind, ValidationError):
        return _invalid(kind, message, error, call)
    if issubclass(kind, CredentialsError):
        advice = _CREDENTIALS_ADVICE.get(str(answer["Error"].get("Code")), "check the AWS credentials")
        return kind(f"AWS refused the credentials; {advice} ({message})", error, context)
    return kind(message, error, context)


def _missing(message: str, call: Call, endpoint: Endpoint) -> str:
    index = call.params.get("IndexName")
    if index is not None and "index" in message.lower():
        return f"table {table_of(call)!r} at {endpoint} has no index {index!r}, or does not exist ({message})"
    return f"table {table_of(call)!r} does not exist at {endpoint}; `repository.ensure_table()` creates it"


def _invalid(kind: type[ValidationError], message: str, error: ClientError | None, call: Call) -> ValidationError:
    context, index = context_of(call), call.params.get("IndexName")
    if "maximum allowed size" in message:
        return ItemTooLargeError(message, None, error, context=context)
    if index is not None and "does not have the specified index" in message:
        text = f"table {table_of(call)!r} has no index {index!r}: the table and its declaration differ"
        return kind(text, {"IndexName": index}, error, context=context)
    return kind(message, None, error, context=context)


def _hint(error: DynamoDBWrapperError, call: Call, status: int, headers: Mapping[str, str]) -> Hint:
    code = error.code or ""
    wait = headers.get("x-amz-retry-after", "")
    retry_after = int(wait) / 1000 if wait.isdecimal() else None
    if isinstance(error, ThrottlingError) or code == "LimitExceededException":
        return Hint(Verdict.SAFE, throttled=True, retry_after=retry_after)
    if code == "TransactionConflictException" and call.operation != "TransactWriteItems":
        return Hint(Verdict.SAFE)  # a transaction holds the item for some milliseconds, and nothing was written
    if not isinstance(error, ServerError):
        return Hint(Verdict.FINAL)
    # AWS: a write answered with 500 may have been applied; "service unavailable" turned it away.
    refused = code in _NOT_APPLIED_CODES or status == 503
    return Hint(Verdict.SAFE if refused else Verdict.LOST, retry_after=retry_after)


def _unanswered(
    error: BotoCoreError, names: Sequence[str], context: Mapping[str, object], endpoint: Endpoint
) -> ConnectionError:
    if "EndpointConnectionError" in names:
        text = f"DynamoDB could not be reached at {endpoint}: {error.kwargs.get('error', error)}"
    elif "ConnectTimeoutError" in names:
        text = f"DynamoDB did not accept a connection at {endpoint} within {endpoint.connect_timeout_seconds:g} s"
    elif "ReadTimeoutError" in names:
        text = f"DynamoDB did not answer at {endpoint} within {endpoint.timeout_seconds:g} s"
    elif "ConnectionClosedError" in names:
        text = f"the connection to {endpoint} was closed before the answer had arrived whole"
    elif "SSLError" in names:
        text = f"no secure connection to {endpoint}: {error.kwargs.get('error', error)}"
    else:
        text = f"the request to {endpoint} failed: {error}"
    verdict = Verdict.SAFE if _NEVER_SENT & set(names) else Verdict.LOST
    if "SSLError" in names and any(reason in str(error) for reason in HANDSHAKE_FAILURES):
        verdict = Verdict.FINAL
    return hinted(ConnectionError(text, error, context), Hint(verdict))


def _cancellation_reasons(answer: Mapping[str, Any]) -> list[CancellationReason]:
    return [
        CancellationReason(reason.get("Code", "None"), reason.get("Message"), reason.get("Item"))
        for reason in answer.get("CancellationReasons", ())
    ]


def _throttling_reasons(answer: Mapping[str, Any]) -> list[ThrottlingReason]:
    reasons = answer.get("ThrottlingReasons") or answer.get("throttlingReasons") or ()
    return [ThrottlingReason(reason.get("reason", ""), reason.get("resource")) for reason in reasons]


def _forget_signature(error: ClientError, message: str) -> None:
    details: dict[str, Any] = dict(error.response.get("Error", {}))
    details["Message"] = message
    error.response["Error"] = details  # type: ignore[typeddict-item]
    error.args = (f"{details.get('Code')}: {message}",)
