"""The blocking driver: it runs flows, turning each effect they yield into an outcome."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any, Protocol, TypeVar

from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.operations.effects import Call, Effect, Emit, Flow, Now, Response, Sleep
from dynamodb_wrapper.transport.logs import RequestLog, logger
from dynamodb_wrapper.transport.retry import RetryPolicy, retried

R = TypeVar("R")


class Lane(Protocol):
    """A way to DynamoDB and back: one attempt, without retries."""

    def send(self, call: Call) -> Response:
        """Return the parsed answer, or raise one of our errors."""
        ...


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


class SyncDriver:
    """Runs flows in the calling thread; safe to share between threads."""

    def __init__(
        self,
        lane: Lane,
        policy: RetryPolicy | None = None,
        *,
        clock: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._lane = lane
        self._policy = policy or RetryPolicy()
        self._clock = clock
        self._sleep = sleep

    def run(self, flow: Flow[R]) -> R:
        """Run a flow to its end and return its result."""
        return _run(flow, self._outcome)

    def stream(self, flow: Flow[object]) -> Iterator[Any]:
        """Yield the items that a flow emits, as they are asked for.

        The flow goes on only when the items emitted so far are consumed; closing the iterator closes the flow.
        """
        try:
            effect = next(flow)
            while True:
                if isinstance(effect, Emit):
                    yield from effect.items
                    effect = flow.send(None)
                else:
                    effect = _advance(flow, effect, self._outcome)
        except StopIteration:
            return
        finally:
            flow.close()

    def _outcome(self, effect: Effect) -> object:
        match effect:
            case Call():
                return self._answer(effect)
            case Sleep():
                return self._sleep(effect.seconds)
            case Now():
                return self._clock()
            case Emit():
                raise TypeError("this flow emits items, so it is run with stream(), not with run()")

    def _answer(self, call: Call) -> Response:
        attempts = retried(call, self._policy)
        if not logger.isEnabledFor(logging.DEBUG):
            return _run(attempts, self._attempt)
        with RequestLog(call) as log:
            return log.answered(_run(attempts, self._attempt))

    def _attempt(self, effect: Effect) -> object:
        return self._lane.send(effect) if isinstance(effect, Call) else self._outcome(effect)


def _run(flow: Flow[R], outcome_of: Callable[[Effect], object]) -> R:
    try:
        effect = next(flow)
        while True:
            effect = _advance(flow, effect, outcome_of)
    except StopIteration as end:
        result: R = end.value
        return result
    finally:
        flow.close()


def _advance(flow: Flow[R], effect: Effect, outcome_of: Callable[[Effect], object]) -> Effect:
    try:
        outcome = outcome_of(effect)
    except DynamoDBWrapperError as error:
        return flow.throw(error)
    return flow.send(outcome)
