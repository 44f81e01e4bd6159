"""What was sent in a test: every request by name, and budgets for how many there may be."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from dynamodb_wrapper.codec import read_any
from dynamodb_wrapper.operations.capacity import ConsumedCapacity
from dynamodb_wrapper.operations.effects import Call, Params
from dynamodb_wrapper.transport.botocore_lane import parameters_of
from dynamodb_wrapper.transport.failures import table_of

_PLACEHOLDER = re.compile(r"[#:][A-Za-z0-9_]+")
_EXPRESSIONS = {
    "KeyConditionExpression": "where",
    "ConditionExpression": "if",
    "FilterExpression": "filter",
    "UpdateExpression": "update",
}
_LONGEST_VALUE = 60


@dataclass(frozen=True, slots=True)
class SentRequest:
    """One request, that is one attempt: a retry is another.

    Attributes:
        operation: DynamoDB's name of it.
        table_name: The table; several, of a batch or a transaction, with commas between them; None for none.
        index_name: The index, or None.
        key: The primary key it is about, as the caller sees it, or None.
        details: Its conditions with their values, or what is in a batch or a transaction; for reading.
        units: The capacity units that it consumed, or None where the server does not say. The embedded server's are
            rough.
        outcome: ``"ok"``, or AWS's code or our class of the error that it ended with.
    """

    operation: str
    table_name: str | None
    index_name: str | None
    key: dict[str, object] | None
    details: str
    units: float | None
    outcome: str

    @classmethod
    def of(cls, call: Call, capacity: ConsumedCapacity | None, outcome: str) -> SentRequest:
        """Describe an attempt at a call."""
        params = parameters_of(call)
        return cls(
            call.operation,
            table_of(call),
            params.get("IndexName"),
            call.key,
            _details(params),
            None if capacity is None else capacity.total,
            outcome,
        )

    def __str__(self) -> str:
        parts = (
            self.operation,
            self.table_name,
            f"index {self.index_name!r}" if self.index_name else "",
            f"key {self.key}" if self.key else "",
            self.details,
            "" if self.units is None else f"({self.units:g} units)",
            "" if self.outcome == "ok" else f"-> {self.outcome}",
        )
        return " ".join(part for part in parts if part)


class Requests:
    """The requests that a test has sent, in the order of their answers."""

    def __init__(self) -> None:
        self._sent: list[SentRequest] = []

    @property
    def all(self) -> list[SentRequest]:
        """All of them, the latest last."""
        return list(self._sent)

    def of(self, operation: str) -> list[SentRequest]:
        """Return those of one operation, by DynamoDB's name of it."""
        return [request for request in self._sent if request.operation == operation]

    def clear(self) -> None:
        """Forget them."""
        self._sent.clear()

    @contextmanager
    def assert_requests(
        self, *, max: int | None = None, exactly: int | None = None, max_units: float | None = None
    ) -> Iterator[list[SentRequest]]:
        """Fail with a list of all requests if the block sends more than it may; each attempt counts.

        Args:
            max: The most requests.
            exactly: The number of requests.
            max_units: The most capacity units, read and write together. Only for servers that report them well: the
                embedded one does not.

        Returns:
            A list that has the requests of the block, once it is over.

        Raises:
            AssertionError: The budget was overrun.
            ValueError: No budget was given.
        """
        if max is None and exactly is None and max_units is None:
            raise ValueError("assert_requests() takes max, exactly or max_units")
        before = len(self._sent)
        made: list[SentRequest] = []
        yield made
        made += self._sent[before:]
        units = sum(request.units or 0.0 for request in made)
        if exactly is not None and len(made) != exactly:
            raise AssertionError(_overrun(f"{len(made)} requests were sent instead of {exactly}", made))
        if max is not None and len(made) > max:
            raise AssertionError(_overrun(f"{len(made)} requests were sent, and there may be {max}", made))
        if max_units is not None and units > max_units:
            raise AssertionError(_overrun(f"{units:g} units were consumed, and there may be {max_units:g}", made))

    def note(self, request: SentRequest) -> None:
        """Add a request."""
        self._sent.append(request)


def _overrun(problem: str, made: Sequence[SentRequest]) -> str:
    lines = "".join(f"\n  {number}. {request}" for number, request in enumerate(made, 1))
    return f"{problem}{':' if made else ''}{lines}"


def _details(params: Params) -> str:
    if "RequestItems" in params:
        counts = {
            table: len(asked["Keys"] if isinstance(asked, dict) else asked)
            for table, asked in params["RequestItems"].items()
        }
        return ", ".join(f"{count} of {table}" for table, count in counts.items())
    if "TransactItems" in params:
        return ", ".join(
            f"{kind} {action.get('TableName')}" for part in params["TransactItems"] for kind, action in part.items()
        )
    names = params.get("ExpressionAttributeNames", {})
    values = params.get("ExpressionAttributeValues", {})

    def shown(found: re.Match[str]) -> str:
        placeholder = found[0]
        if placeholder in values:
            return _short(read_any(values[placeholder]))
        return str(names.get(placeholder, placeholder))

    written = [
        f"{word} {_PLACEHOLDER.sub(shown, params[name])}" for name, word in _EXPRESSIONS.items() if params.get(name)
    ]
    return "; ".join(written)


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."
