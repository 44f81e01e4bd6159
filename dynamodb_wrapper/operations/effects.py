"""What a flow may ask for, and nothing else.

Everything that is more than one call is a *flow*: a generator that yields effects and receives their outcomes. A flow
never touches a socket, a clock or an event loop, so it is written once, tested by hand, and run by a blocking driver
or on an event loop. Flows never write a bare ``yield``: they use ``yield from`` on the functions below, which give
each effect's outcome its type.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, TypeVar

Params = dict[str, Any]
"""The parameters of one DynamoDB operation, as its API reference names them, values in wire form."""
Response = dict[str, Any]
"""The parsed answer of one DynamoDB operation, values in wire form."""


@dataclass(frozen=True, slots=True)
class Call:
    """Send one operation; the outcome is its response, or one of our errors thrown into the flow.

    Attributes:
        operation: DynamoDB's name of it, for example ``"PutItem"``.
        params: Its parameters.
        repeatable: Whether applying it twice leaves what applying it once leaves, so that it may be sent again
            when the answer was lost.
        key: The primary key the call is about, as the caller sees it; for errors.
    """

    operation: str
    params: Params
    repeatable: bool = True
    key: dict[str, object] | None = None


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait that many seconds."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Now:
    """Tell the time (an aware datetime in UTC)."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand items to whoever reads the stream; a flow that emits is run with ``stream``."""

    items: Sequence[Any]


Effect = Call | Sleep | Now | Emit

R = TypeVar("R")
Flow = Generator[Effect, Any, R]


def call(
    operation: str, params: Params, *, repeatable: bool = True, key: dict[str, object] | None = None
) -> Flow[Response]:
    """Send one operation and return its response."""
    response: Response = yield Call(operation, params, repeatable, key)
    return response


def sleep(seconds: float) -> Flow[None]:
    """Wait."""
    yield Sleep(seconds)


def now() -> Flow[datetime]:
    """Return the current time, aware, in UTC."""
    time: datetime = yield Now()
    return time


def emit(items: Sequence[Any]) -> Flow[None]:
    """Hand items to the consumer of the stream."""
    yield Emit(items)
