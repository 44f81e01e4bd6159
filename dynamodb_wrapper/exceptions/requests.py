"""Errors about reaching DynamoDB and being served: network, credentials, throttling, tables."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dynamodb_wrapper.exceptions.base import DynamoDBWrapperError


class ConnectionError(DynamoDBWrapperError):  # the name the field expects, shadowing the builtin
    """DynamoDB could not be reached, or did not answer in time."""


class CorruptResponseError(ConnectionError):
    """An answer arrived whose checksum, JSON or content is wrong; it was not used."""


class DeadlineExceededError(ConnectionError):
    """The time limit of the call ran out; a write was not applied (else it is a `WriteOutcomeUnknownError`)."""


class ServerError(
    ConnectionError,
    code=("InternalServerError", "InternalFailure", "ServiceUnavailable", "ServiceUnavailableException"),
):
    """DynamoDB itself failed (HTTP 5xx)."""


class CredentialsError(
    DynamoDBWrapperError,
    code=(
        "UnrecognizedClientException",
        "ExpiredTokenException",
        "ExpiredToken",
        "RequestExpired",
        "InvalidSignatureException",
        "IncompleteSignatureException",
        "InvalidClientTokenId",
        "MissingAuthenticationTokenException",
        "MissingAuthenticationToken",
        "NotAuthorized",
    ),
):
    """There are no usable AWS credentials: none found, expired, or refused by AWS."""


class AccessDeniedError(DynamoDBWrapperError, code=("AccessDeniedException", "AccessDenied")):
    """The credentials are known, but lack the permission for this operation."""


@dataclass(frozen=True, slots=True)
class ThrottlingReason:
    """Why a request was throttled: AWS's reason and the ARN of the table or index."""

    reason: str
    resource: str | None = None


class ThrottlingError(
    DynamoDBWrapperError,
    code=(
        "ProvisionedThroughputExceededException",
        "ThrottlingException",
        "Throttling",
        "RequestLimitExceeded",
        "ReplicatedWriteConflictException",
    ),
):
    """DynamoDB refused the request for lack of capacity, after every retry.

    Attributes:
        reasons: AWS's throttling reasons, empty when it gave none.
    """

    def __init__(
        self,
        message: str,
        original_error: BaseException | None = None,
        context: Mapping[str, object] | None = None,
        *,
        reasons: Sequence[ThrottlingReason] = (),
    ) -> None:
        super().__init__(message, original_error, context)
        self.reasons = tuple(reasons)


class LimitExceededError(
    DynamoDBWrapperError, code=("LimitExceededException", "ItemCollectionSizeLimitExceededException")
):
    """A limit of the account, the table's management or an item collection was reached."""


class TableNotFoundError(DynamoDBWrapperError, code=("ResourceNotFoundException", "TableNotFoundException")):
    """The table (or index) does not exist; ``context["table_name"]`` names it."""

    @property
    def table_name(self) -> str | None:
        """The physical name of the missing table, when it is known."""
        name = self.context.get("table_name")
        return name if isinstance(name, str) else None


class TableInUseError(
    DynamoDBWrapperError,
    code=(
        "ContinuousBackupsUnavailableException",
        "ResourceInUseException",
        "TableAlreadyExistsException",
        "TableInUseException",
    ),
):
    """The table exists already, or is being created, changed or deleted."""
