"""The root of the error tree and the table from AWS error codes to classes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import ClassVar, Self

Key = Mapping[str, object]
"""A primary key as the caller sees it: attribute name to Python value."""

_CLASS_OF_CODE: dict[str, type[DynamoDBWrapperError]] = {}


class DynamoDBWrapperError(Exception):
    """Anything that went wrong in this library or in DynamoDB.

    Attributes:
        message: What happened, in one sentence, without the context.
        original_error: The exception underneath (from botocore, Pydantic, the socket), or None.
        context: What a log line needs: table, key, operation, request id.
        operation: The DynamoDB operation (``"PutItem"``), or None when nothing was sent.
        request_id: AWS's id of the request, or None.
        code: AWS's error code, or None when the error is ours alone.
    """

    codes: ClassVar[tuple[str, ...]] = ()

    def __init_subclass__(cls, *, code: str | Iterable[str] = ()) -> None:
        super().__init_subclass__()
        cls.codes = (code,) if isinstance(code, str) else tuple(code)
        for name in cls.codes:
            _CLASS_OF_CODE[name] = cls

    def __init__(
        self,
        message: str,
        original_error: BaseException | None = None,
        context: Mapping[str, object] | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.original_error = original_error
        self.context: dict[str, object] = dict(context or {})
        self.operation: str | None = None
        self.request_id: str | None = None
        self.code: str | None = None

    def __str__(self) -> str:
        if not self.context:
            return self.message
        details = ", ".join(f"{name}={value!r}" for name, value in self.context.items())
        return f"{self.message} ({details})"

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(message={self.message!r}, "
            f"original_error={self.original_error!r}, context={self.context!r})"
        )

    def __reduce__(self) -> tuple[object, ...]:
        # Exceptions with their own signatures do not survive pickling (multiprocessing, Spark) by default.
        return _restore, (type(self), self.args, self.__dict__)

    def answered(self, *, operation: str, request_id: str | None, code: str | None) -> Self:
        """Return this error with what AWS said about the request noted on it."""
        self.operation, self.request_id, self.code = operation, request_id, code
        self.context.setdefault("operation", operation)
        if request_id:
            self.context["request_id"] = request_id
        return self


def _restore(
    cls: type[DynamoDBWrapperError], args: tuple[object, ...], state: dict[str, object]
) -> DynamoDBWrapperError:
    error = cls.__new__(cls, *args)
    error.args = args
    error.__dict__.update(state)
    return error


def error_class_for(code: str) -> type[DynamoDBWrapperError]:
    """Return the class that stands for an AWS error code (`DynamoDBWrapperError` when none does)."""
    return _CLASS_OF_CODE.get(code, DynamoDBWrapperError)
