"""Every error this library raises, in one tree.

::

    DynamoDBWrapperError
    ├── ConnectionError                  the endpoint could not be reached or did not answer in time
    │   ├── CorruptResponseError         an answer arrived damaged (checksum, JSON or content)
    │   ├── DeadlineExceededError        the time limit of the call ran out; nothing was written
    │   ├── ServerError                  DynamoDB answered 5xx
    │   └── WriteOutcomeUnknownError     the answer was lost; the write may have happened
    ├── CredentialsError                 no credentials, or AWS refused them
    ├── AccessDeniedError                known credentials without the permission
    ├── ThrottlingError                  too many requests for the table, index or account
    ├── LimitExceededError               an account or table-management limit was reached
    ├── TableNotFoundError               the table or index does not exist
    ├── TableInUseError                  the table exists already, or is being changed
    ├── ItemNotFoundError                no item under that key
    ├── MultipleItemsFoundError          ``one()`` found more than one item
    ├── ConditionFailedError             a condition was false; ``.item`` is what is stored
    │   ├── ItemAlreadyExistsError
    │   ├── UniqueViolationError         another item has that unique value
    │   └── VersionConflictError
    ├── TransactionCanceledError         nothing was written; ``.reasons`` has one entry per request
    ├── TransactionConflictError         another transaction holds the item
    ├── IdempotentParameterMismatchError a client token was used for two different transactions
    ├── BatchIncompleteError             ``.unprocessed`` was not done
    └── ValidationError                  a value, key, option or declaration is wrong
        ├── DeclarationError             a repository class is declared wrongly
        ├── ExpressionError              a condition or update cannot be expressed
        ├── InvalidCursorError           a cursor is damaged, or belongs to another query
        ├── ItemTooLargeError            over 400 KB
        └── StoredItemError              a stored item is not what its model says
            └── SchemaVersionError       its schema version is newer than known, or older than read

A class names the AWS error codes it stands for (``code="ConditionalCheckFailedException"``), so the
hierarchy is the mapping: `error_class_for` looks a code up.
"""

from __future__ import annotations

from dynamodb_wrapper.exceptions.base import DynamoDBWrapperError, error_class_for
from dynamodb_wrapper.exceptions.requests import (
    AccessDeniedError,
    ConnectionError,
    CorruptResponseError,
    CredentialsError,
    DeadlineExceededError,
    LimitExceededError,
    ServerError,
    TableInUseError,
    TableNotFoundError,
    ThrottlingError,
    ThrottlingReason,
)
from dynamodb_wrapper.exceptions.validation import (
    DeclarationError,
    ExpressionError,
    InvalidCursorError,
    ItemTooLargeError,
    SchemaVersionError,
    StoredItemError,
    ValidationError,
)
from dynamodb_wrapper.exceptions.writes import (
    BatchIncompleteError,
    CancellationReason,
    ConditionFailedError,
    IdempotentParameterMismatchError,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    MultipleItemsFoundError,
    TransactionCanceledError,
    TransactionConflictError,
    UniqueViolationError,
    VersionConflictError,
    WriteOutcomeUnknownError,
)

__all__ = [
    "AccessDeniedError",
    "BatchIncompleteError",
    "CancellationReason",
    "ConditionFailedError",
    "ConnectionError",
    "CorruptResponseError",
    "CredentialsError",
    "DeadlineExceededError",
    "DeclarationError",
    "DynamoDBWrapperError",
    "ExpressionError",
    "IdempotentParameterMismatchError",
    "InvalidCursorError",
    "ItemAlreadyExistsError",
    "ItemNotFoundError",
    "ItemTooLargeError",
    "LimitExceededError",
    "MultipleItemsFoundError",
    "SchemaVersionError",
    "ServerError",
    "StoredItemError",
    "TableInUseError",
    "TableNotFoundError",
    "ThrottlingError",
    "ThrottlingReason",
    "TransactionCanceledError",
    "TransactionConflictError",
    "UniqueViolationError",
    "ValidationError",
    "VersionConflictError",
    "WriteOutcomeUnknownError",
    "error_class_for",
]
