"""How DynamoDB is, for readiness endpoints: asked once, within a time limit, without retries."""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import TracebackType
from typing import Literal, Self

from dynamodb_wrapper.exceptions import (
    AccessDeniedError,
    ConnectionError,
    CredentialsError,
    DynamoDBWrapperError,
    TableNotFoundError,
    ThrottlingError,
)
from dynamodb_wrapper.operations.effects import Call, Response
from dynamodb_wrapper.transport.deadlines import checked_timeout

Credentials = Literal["ok", "missing", "expired", "refused", "unknown"]

_USABLE = frozenset({"ACTIVE", "UPDATING"})
_EXPIRED_CODES = frozenset({"ExpiredToken", "ExpiredTokenException"})
_EXPIRED_SIGN_INS = frozenset({"TokenRetrievalError", "SSOError", "LoginError", "RefreshWithMFAUnsupportedError"})


@dataclass(frozen=True, slots=True)
class HealthReport:
    """How DynamoDB was when it was asked.

    Attributes:
        healthy: Whether it can be used: it answered in time, accepted the credentials, and the table (if one was asked
            about) is there and ready.
        reachable: Whether an answer came at all; a refusal is one.
        latency_ms: How long the answer took; None when none came.
        table_name: The table asked about, or None.
        table_status: DynamoDB's word for its state (``"ACTIVE"``, ``"CREATING"``, ...), ``"missing"`` when there is no
            such table, None when it is not known.
        credentials: ``"ok"``, ``"missing"`` (none were found), ``"expired"``, ``"refused"``, or ``"unknown"`` when
            nobody looked at them.
        error: What is wrong, in one sentence without secrets, or None.
        checked_at: When it was asked, aware, in UTC.
        transport: What sends requests on items at this moment: ``"direct"`` or ``"botocore"``; None when nobody looked.
        why_botocore: Why botocore does, in words for people; None when it does not.
    """

    healthy: bool
    reachable: bool
    latency_ms: float | None
    table_name: str | None
    table_status: str | None
    credentials: Credentials
    error: str | None
    checked_at: datetime
    transport: Literal["direct", "botocore"] | None = None
    why_botocore: str | None = None

    def as_dict(self) -> dict[str, bool | float | str | None]:
        """Return the report as plain values that JSON knows; ``checked_at`` as ISO 8601 text."""
        return {
            "healthy": self.healthy,
            "reachable": self.reachable,
            "latency_ms": self.latency_ms,
            "table_name": self.table_name,
            "table_status": self.table_status,
            "credentials": self.credentials,
            "error": self.error,
            "checked_at": self.checked_at.isoformat(),
            "transport": self.transport,
            "why_botocore": self.why_botocore,
        }


class Probe:
    """One question to DynamoDB, and what comes of it: a ``with`` block around sending `call`, which hides its error.

    Attributes:
        call: The question.
    """

    def __init__(self, timeout_seconds: float, table_name: str | None) -> None:
        self.call = Call("ListTables", {"Limit": 1})
        if table_name is not None:
            self.call = Call("DescribeTable", {"TableName": table_name})
        self._timeout_seconds = timeout_seconds
        self._table_name = table_name
        self._status: str | None = None
        self._error: Exception | None = None

    def __enter__(self) -> Self:
        self._checked_at, self._started = datetime.now(UTC), time.perf_counter()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> bool:
        """Note how it ended; a health check says what is wrong, whatever it is, and never raises."""
        self._elapsed_ms = round((time.perf_counter() - self._started) * 1000, 3)
        if isinstance(error, Exception):
            self._error = error
        return self._error is not None

    @property
    def seconds(self) -> float:
        """How long the answer may take.

        Raises:
            ValidationError: It is not a number greater than 0.
        """
        return checked_timeout("timeout_seconds", self._timeout_seconds)

    def answered(self, response: Response) -> None:
        """Note the answer."""
        table: Mapping[str, object] | None = response.get("Table")
        self._status = None if table is None else str(table.get("TableStatus"))

    def report(self) -> HealthReport:
        """Return what the answer, or the error, says."""
        error, status = self._error, self._status
        if isinstance(error, TableNotFoundError):
            status = "missing"
        reachable = error is None or _is_answer(error)
        return HealthReport(
            healthy=(error is None or isinstance(error, AccessDeniedError)) and status in {None, *_USABLE},
            reachable=reachable,
            latency_ms=self._elapsed_ms if reachable else None,
            table_name=self._table_name,
            table_status=status,
            credentials=_credentials(error),
            error=_sentence(error, self._table_name, status),
            checked_at=self._checked_at,
        )


def not_asked(error: DynamoDBWrapperError) -> HealthReport:
    """Return the report of a configuration that cannot be used."""
    return HealthReport(
        healthy=False,
        reachable=False,
        latency_ms=None,
        table_name=None,
        table_status=None,
        credentials="unknown",
        error=error.message,
        checked_at=datetime.now(UTC),
    )


def _is_answer(error: Exception) -> bool:
    return isinstance(error, DynamoDBWrapperError) and (error.code is not None or error.request_id is not None)


def _credentials(error: Exception | None) -> Credentials:
    if isinstance(error, CredentialsError):
        names = {base.__name__ for base in type(error.original_error).__mro__}
        if error.code in _EXPIRED_CODES or names & _EXPIRED_SIGN_INS:
            return "expired"
        return "refused" if "ClientError" in names else "missing"
    if isinstance(error, ConnectionError | ThrottlingError):  # AWS turns requests away before it looks at who they are
        return "unknown"
    return "ok" if error is None or _is_answer(error) else "unknown"


def _sentence(error: Exception | None, table_name: str | None, status: str | None) -> str | None:
    if error is None:
        return None if status in {None, *_USABLE} else f"table {table_name!r} is {status}"
    if isinstance(error, DynamoDBWrapperError):
        return error.message
    return f"the check failed with {type(error).__name__}"  # whose text nobody has looked through for secrets
