"""Counts of requests in this process, for status pages and tests; OpenTelemetry is for everything more."""

from __future__ import annotations

from dataclasses import dataclass

from dynamodb_wrapper.transport.forks import ForkSafeLock
from dynamodb_wrapper.transport.observers import RequestEvent


@dataclass(frozen=True, slots=True)
class RequestCounts:
    """What was seen of one operation on one table (or several, of one batch or transaction).

    Attributes:
        requests: How many there were, retries not counted.
        errors: How many of them failed in the end; a false condition counts too.
        retries: How many attempts were made beyond the first ones.
        duration_ms: How long all of them took together.
        longest_ms: How long the longest took.
        capacity: The capacity units they consumed, as far as DynamoDB said.
    """

    requests: int = 0
    errors: int = 0
    retries: int = 0
    duration_ms: float = 0.0
    longest_ms: float = 0.0
    capacity: float = 0.0

    def with_request(self, event: RequestEvent) -> RequestCounts:
        """Return the counts with one more request."""
        return RequestCounts(
            self.requests + 1,
            self.errors + (event.outcome != "ok"),
            self.retries + max(event.attempts - 1, 0),
            self.duration_ms + event.duration_ms,
            max(self.longest_ms, event.duration_ms),
            self.capacity + (event.consumed_capacity.total if event.consumed_capacity is not None else 0.0),
        )


class RequestMetrics:
    """A hook for `observe` that counts, by operation and table; safe under threads."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self._counts: dict[tuple[str, str | None], RequestCounts] = {}

    def __call__(self, event: RequestEvent) -> None:
        """Count one request."""
        key = (event.operation, event.table_name)
        with self._lock:
            self._counts[key] = self._counts.get(key, RequestCounts()).with_request(event)

    def snapshot(self) -> dict[tuple[str, str | None], RequestCounts]:
        """Return the counts so far, by operation and table name."""
        with self._lock:
            return dict(self._counts)
