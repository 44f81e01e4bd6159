"""What the caller of a service is told of an error: a problem (RFC 9457) that says what to do, and nothing internal."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any

from pydantic import BaseModel, Field

from dynamodb_wrapper.exceptions import (
    BatchIncompleteError,
    ConditionFailedError,
    ConnectionError,
    DynamoDBWrapperError,
    IdempotentParameterMismatchError,
    InvalidCursorError,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    ItemTooLargeError,
    ThrottlingError,
    TransactionCanceledError,
    TransactionConflictError,
    UniqueViolationError,
    ValidationError,
    VersionConflictError,
    WriteOutcomeUnknownError,
)

TYPE_PREFIX = "urn:problem-type:"


class FieldProblem(BaseModel):
    """What is wrong with one value of the request."""

    field: str = Field(description="Where it stands, with dots for what is nested.")
    message: str


class Problem(BaseModel):
    """A problem in the sense of RFC 9457."""

    type: str = Field(default="about:blank", description="What kind of problem it is, for programs.")
    title: str = Field(description="The same for people.")
    status: int = Field(description="The HTTP status.")
    detail: str | None = Field(default=None, description="What happened, and what can be done.")
    request_id: str = Field(description="The log of the service has the details under this id.")
    errors: list[FieldProblem] | None = Field(default=None, description="What is wrong, where that is known.")


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of problem.

    Attributes:
        status: The HTTP status.
        name: The end of its type.
        title: What it is, for people.
        detail: What happened, and what the caller can do.
        passes: Whether nothing was done and the same request may succeed later: then there is a ``Retry-After``.
    """

    status: int
    name: str
    title: str
    detail: str | None = None
    passes: bool = False


INTERNAL = Kind(500, "internal-error", "Internal error", "The service failed; it is not the fault of the request.")
INVALID = Kind(422, "invalid-value", "Invalid value", "A value cannot be stored, or is no possible key.")
INVALID_REQUEST = Kind(422, "invalid-request", "Invalid request", "The request is not what this endpoint takes.")
_CHANGED = Kind(409, "transaction-cancelled", "Conflict", "The transaction was cancelled, and nothing was written.")

_KINDS: Mapping[type[DynamoDBWrapperError], Kind] = {
    ItemNotFoundError: Kind(404, "not-found", "Not found", "There is no such item."),
    ItemAlreadyExistsError: Kind(409, "already-exists", "Already exists", "There is an item with that key."),
    UniqueViolationError: Kind(409, "not-unique", "Not unique", "Another item has that value, which must be unique."),
    VersionConflictError: Kind(
        409, "version-conflict", "Version conflict", "The item was changed meanwhile: read it again."
    ),
    ConditionFailedError: Kind(
        412, "condition-failed", "Condition failed", "The item is not in a state that allows this; nothing was changed."
    ),
    TransactionConflictError: Kind(
        503, "busy", "Busy", "Others are writing the same items; nothing was written. Try again.", passes=True
    ),
    IdempotentParameterMismatchError: Kind(
        422, "idempotency-key-reused", "Idempotency key reused", "That key was used for another request."
    ),
    InvalidCursorError: Kind(
        400,
        "invalid-cursor",
        "Invalid cursor",
        "The cursor is damaged, or belongs to another query: start again without one.",
    ),
    ItemTooLargeError: Kind(413, "item-too-large", "Item too large", "An item may have 400 KB."),
    ThrottlingError: Kind(503, "overloaded", "Overloaded", "There are too many requests. Try again.", passes=True),
    ConnectionError: Kind(
        503, "unavailable", "Unavailable", "The database cannot be used at the moment. Try again.", passes=True
    ),
    # Neither 503 nor Retry-After: who sends an increment again may increment twice.
    WriteOutcomeUnknownError: Kind(
        504,
        "outcome-unknown",
        "Outcome unknown",
        "Whether this was written is not known: read before you send it again.",
    ),
    BatchIncompleteError: Kind(503, "incomplete", "Incomplete", "Only a part of this was done."),
}


def kind_of(error: DynamoDBWrapperError) -> Kind:
    """Return what kind of problem an error is for the caller of a service.

    What is wrong with the service, its deployment or its data is an internal error; so is every error that is not
    known to be anything else.
    """
    if isinstance(error, TransactionCanceledError):
        return _kind_of_cancelled(error)
    if isinstance(error, BatchIncompleteError) and isinstance(error.original_error, DynamoDBWrapperError):
        return _KINDS[BatchIncompleteError] if kind_of(error.original_error).status >= 503 else INTERNAL
    if type(error) is ValidationError:
        return INVALID if _is_about_what_was_given(error) else INTERNAL
    return next((_KINDS[cls] for cls in type(error).__mro__ if cls in _KINDS), INTERNAL)


def errors_of(error: DynamoDBWrapperError, kind: Kind) -> list[FieldProblem] | None:
    """Return which values of the request are wrong, as far as the caller may know."""
    if isinstance(error, UniqueViolationError):
        return [FieldProblem(field=error.fields[0], message="Another item has this value.")] if error.fields else None
    if isinstance(error, InvalidCursorError):
        return [FieldProblem(field="cursor", message="Not a cursor of this query.")]
    if kind is INVALID and isinstance(error, ValidationError):
        return [FieldProblem(field=field, message=str(reason)) for field, reason in error.errors.items()]
    return None


def problem_responses(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """Return ``responses=`` of an endpoint, a router or an application: these statuses are answered with a `Problem`.

    ::

        @app.get("/orders/{order_id}", responses=problem_responses(404))
    """
    return {status: {"model": Problem, "description": _described(status)} for status in statuses}


def _described(status: int) -> str:
    titles = [kind.title for kind in (*_KINDS.values(), INVALID_REQUEST, INVALID, INTERNAL) if kind.status == status]
    return " / ".join(titles) or HTTPStatus(status).phrase


def _kind_of_cancelled(error: TransactionCanceledError) -> Kind:
    """Return the kind of the first reason that does not pass by itself: alone, that write would have failed with it."""
    kinds = [kind_of(reason.error) for reason in error.reasons if reason.error is not None]
    return next((kind for kind in kinds if not kind.passes), kinds[0] if kinds else _CHANGED)


def _is_about_what_was_given(error: ValidationError) -> bool:
    """Whether a value was refused before anything was sent.

    That the request gave it, and not the program, is assumed. A region that is missing was given by neither.
    """
    is_of_aws = error.operation is not None or type(error.original_error).__module__.startswith("botocore.")
    return bool(error.errors) and not is_of_aws
