"""What a caller did wrong, with the HTTP status that says so; and what went wrong without them."""

from __future__ import annotations

from pydantic import ValidationError as BadModel

from dynamodb_wrapper import (
    ConnectionError,
    DynamoDBWrapperError,
    ItemNotFoundError,
    ThrottlingError,
    TransactionConflictError,
    ValidationError,
    WriteOutcomeUnknownError,
)


class RefusedError(Exception):
    status = 400


class UnauthorizedError(RefusedError):
    status = 401


class MissingError(RefusedError):
    status = 404


class NotAllowedError(RefusedError):
    status = 405


class ConflictError(RefusedError):
    status = 409


class TooMuchError(RefusedError):
    status = 422


_WITHOUT_THEM: tuple[tuple[type[DynamoDBWrapperError], int, str], ...] = (
    (ItemNotFoundError, 404, "there is no such message"),
    (TransactionConflictError, 409, "others are writing to the same chat: ask again"),
    (ThrottlingError, 429, "too many requests: ask again"),
    (WriteOutcomeUnknownError, 503, "the request may have been done: repeat it with the same Idempotency-Key"),
    (ConnectionError, 503, "not available at the moment: ask again"),
    (ValidationError, 400, "a parameter is not valid"),
)


def answer_to(error: Exception) -> tuple[int, str, list[dict[str, object]]]:
    """Return status, text and details for whoever called; nothing internal is in them."""
    if isinstance(error, RefusedError):
        return error.status, str(error), []
    if isinstance(error, BadModel):
        wrong: list[dict[str, object]] = [
            {"field": ".".join(map(str, part["loc"])), "problem": part["msg"]} for part in error.errors()
        ]
        return 422, "the request is not valid", wrong
    for kind, status, text in _WITHOUT_THEM:
        if isinstance(error, kind):
            return status, text, []
    return 500, "something went wrong here", []
