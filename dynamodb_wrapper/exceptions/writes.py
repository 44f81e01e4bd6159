"""Errors about items: missing, existing, changed by another writer, or written only in part."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dynamodb_wrapper.exceptions.base import DynamoDBWrapperError, Key
from dynamodb_wrapper.exceptions.requests import ConnectionError


class ItemNotFoundError(DynamoDBWrapperError):
    """There is no item under that key."""

    def __init__(self, table_name: str, key: Key | object, original_error: BaseException | None = None) -> None:
        super().__init__(
            f"no item with key {key!r} in table {table_name!r}",
            original_error,
        )
        self.args = (table_name, key, original_error)
        self.table_name = table_name
        self.key = key
        self.context = {"table_name": table_name, "key": key}

    def __str__(self) -> str:
        return self.message


class MultipleItemsFoundError(DynamoDBWrapperError):
    """``one()`` was asked of a query that matches more than one item."""


class ConditionFailedError(DynamoDBWrapperError, code="ConditionalCheckFailedException"):
    """A condition was false, so nothing was written.

    Attributes:
        item: What is stored under the key, as a model of the repository; None when nothing is stored (or it no longer
            validates). Typed Any, because an exception class cannot carry the repository's model type.
        table_name: The physical table name.
        key: The primary key, attribute name to value.
    """

    def __init__(
        self,
        message: str,
        original_error: BaseException | None = None,
        context: Mapping[str, object] | None = None,
        *,
        item: Any = None,
        table_name: str | None = None,
        key: Key | None = None,
    ) -> None:
        located = {"table_name": table_name, "key": key} if table_name is not None else {}
        super().__init__(message, original_error, {**located, **(context or {})})
        self.item = item
        self.table_name = table_name
        self.key = key


class ItemAlreadyExistsError(ConditionFailedError):
    """``create`` found an item under that key; ``.item`` is it."""


class VersionConflictError(ConditionFailedError):
    """Another writer changed the item since it was read; ``.item`` is what is stored now."""


class UniqueViolationError(ConditionFailedError):
    """Another item has that unique value already, so nothing was written.

    Attributes:
        fields: The field whose value is taken, then those within which it is unique.
        owner: The key of the item that has it, field name to value.
    """

    def __init__(
        self,
        message: str,
        original_error: BaseException | None = None,
        context: Mapping[str, object] | None = None,
        *,
        table_name: str | None = None,
        key: Key | None = None,
        fields: Sequence[str] = (),
        owner: Key | None = None,
    ) -> None:
        super().__init__(message, original_error, context, table_name=table_name, key=key)
        self.fields = tuple(fields)
        self.owner = owner


@dataclass(frozen=True, slots=True)
class CancellationReason:
    """Why one request (or action) of a transaction was not done.

    Attributes:
        code: AWS's word: ``"ConditionalCheckFailed"``, ``"TransactionConflict"``, ...; ``"None"`` for the innocent.
        message: AWS's explanation, or None.
        item: What is stored under the key, as a model; None when nothing is, or it was not told.
        error: What the same write would have raised alone (`VersionConflictError`, ...); None for the innocent.
    """

    code: str
    message: str | None = None
    item: Any = None
    error: DynamoDBWrapperError | None = None


class TransactionCanceledError(DynamoDBWrapperError, code="TransactionCanceledException"):
    """A transaction was cancelled as a whole; nothing was written.

    Attributes:
        reasons: One `CancellationReason` per request, in the order of the requests.
    """

    def __init__(
        self,
        message: str,
        original_error: BaseException | None = None,
        context: Mapping[str, object] | None = None,
        *,
        reasons: Sequence[CancellationReason] = (),
    ) -> None:
        super().__init__(message, original_error, context)
        self.reasons = tuple(reasons)


class TransactionConflictError(
    DynamoDBWrapperError, code=("TransactionConflictException", "TransactionInProgressException")
):
    """A transaction in progress holds the item."""


class IdempotentParameterMismatchError(DynamoDBWrapperError, code="IdempotentParameterMismatchException"):
    """A client token was used a second time, within ten minutes, for a transaction of other actions."""


class BatchIncompleteError(DynamoDBWrapperError):
    """A batch gave up before everything was done.

    Attributes:
        unprocessed: The models or keys that were not done, in the order they were given: pass them to the method again
            to go on. Of a generator, those that were drawn from it. One whose answer was lost is among them although
            it may have been written; ``context["may_be_written"]`` says how many those may be.
        done: How many were.
        original_error: What ended the batch; None when DynamoDB left entries unprocessed again and again.
    """

    def __init__(
        self,
        message: str,
        original_error: BaseException | None = None,
        context: Mapping[str, object] | None = None,
        *,
        unprocessed: Sequence[object] = (),
        done: int = 0,
    ) -> None:
        super().__init__(message, original_error, context)
        self.unprocessed = list(unprocessed)
        self.done = done


class WriteOutcomeUnknownError(ConnectionError):
    """An answer to a write was lost, and no later one told whether it was applied: read the item to find out.

    ``context["lost_answers"]`` is how many answers were lost.

    Attributes:
        key: The primary key of the item written, attribute name to value; None for a write of several items.
    """

    def __init__(
        self,
        message: str,
        original_error: BaseException | None = None,
        context: Mapping[str, object] | None = None,
        *,
        key: Key | None = None,
    ) -> None:
        super().__init__(message, original_error, context)
        self.key = key
