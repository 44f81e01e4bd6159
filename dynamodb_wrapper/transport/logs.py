"""One DEBUG line per request: what, where, how long, how often; never a key or a value."""

from __future__ import annotations

import logging
import time
from types import TracebackType
from typing import Self

from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.operations.effects import Call, Response
from dynamodb_wrapper.transport.failures import table_of

logger = logging.getLogger("dynamodb_wrapper.transport")


class RequestLog:
    """Logs the request that its ``with`` block sends, whether it succeeds or fails.

    The record has the fields ``operation``, ``table_name``, ``attempts``, ``duration_ms`` and ``request_id``.
    """

    def __init__(self, call: Call) -> None:
        self._call = call
        self._metadata: dict[str, object] = {}

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        return self

    def answered(self, response: Response) -> Response:
        """Note the answer, and return it."""
        self._metadata = response.get("ResponseMetadata", {})
        return response

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        retries, request_id = self._metadata.get("RetryAttempts", 0), self._metadata.get("RequestId")
        attempts: object = retries + 1 if isinstance(retries, int) else None
        if isinstance(error, DynamoDBWrapperError):
            attempts, request_id = error.context.get("attempts"), error.request_id
        fields = {
            "operation": self._call.operation,
            "table_name": table_of(self._call),
            "attempts": attempts,
            "duration_ms": round((time.perf_counter() - self._started) * 1000, 3),
            "request_id": request_id,
        }
        outcome = "ok" if kind is None else kind.__name__
        text = " ".join(f"{name}={value}" for name, value in fields.items())
        logger.debug("%s outcome=%s", text, outcome, extra={**fields, "outcome": outcome})
