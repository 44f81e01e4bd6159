"""Errors about what the caller gave: values, keys, options, declarations, cursors."""

from __future__ import annotations

from collections.abc import Mapping

from dynamodb_wrapper.exceptions.base import DynamoDBWrapperError


class ValidationError(DynamoDBWrapperError, code=("ValidationException", "SerializationException")):
    """A value, key, option or stored item is not what it must be.

    Attributes:
        errors: What is wrong, by field name (dotted for nested fields).
    """

    def __init__(
        self,
        message: str,
        errors: Mapping[str, object] | None = None,
        original_error: BaseException | None = None,
        *,
        context: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message, original_error, context)
        self.errors: dict[str, object] = dict(errors or {})


class DeclarationError(ValidationError):
    """A repository class is declared wrongly; raised when the class is made."""


class ExpressionError(ValidationError):
    """A condition, update or projection cannot be expressed for this table."""


class InvalidCursorError(ValidationError):
    """A cursor is damaged, forged, or belongs to another query, table or index."""


class StoredItemError(ValidationError):
    """A stored item is not what its model says; nobody's input is wrong, but the data, or this program."""

    @property
    def key(self) -> dict[str, object] | None:
        """The item's key, by attribute; None where it is not known."""
        key = self.context.get("key")
        return key if isinstance(key, dict) else None


class SchemaVersionError(StoredItemError):
    """A stored item has a schema version that this program does not read or write.

    Attributes:
        found: The version that is stored.
        known: The version that the repository declares.
    """

    def __init__(self, message: str, *, found: object, known: int, original_error: BaseException | None = None) -> None:
        super().__init__(message, {"schema_version": found}, original_error)
        self.found = found
        self.known = known


class ItemTooLargeError(ValidationError):
    """An item is over DynamoDB's limit of 400 KB (attribute names and values together)."""
