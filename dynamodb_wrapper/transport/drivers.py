"""The blocking driver: it runs flows, turning each effect they yield into an outcome."""

from __future__ import annotations

import logging
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from datetime import UTC, datetime
from itertools import chain, islice
from typing import Any, Protocol, TypeVar

from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.operations.effects import Call, Effect, Emit, Flow, NewToken, Now, Response, Sleep, Together
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
    """Runs flows in the calling thread, and those that run together in threads of their own.

    Safe to share between threads.
    """

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
            while (emitted := self._next_emitted(flow)) is not None:
                yield from emitted.items
        finally:
            flow.close()

    def stream_together(self, flows: Iterable[Flow[object]], *, at_most: int) -> Iterator[Any]:
        """Yield the items that several flows emit, as they come, so many of the flows running at a time.

        A flow runs ahead of the consumer by what it emits once. When one fails, no other goes on. Closing the iterator
        waits for the calls on their way and closes the flows.
        """
        waiting, opened = iter(flows), list[Flow[object]]()
        running: dict[Future[Emit | None], Flow[object]] = {}
        pool = ThreadPoolExecutor(at_most, thread_name_prefix="dynamodb")

        def go_on(flow: Flow[object]) -> None:
            running[pool.submit(copy_context().run, self._next_emitted, flow)] = flow

        try:
            for flow in islice(waiting, at_most):
                opened.append(flow)
                go_on(flow)
            while running:
                done = next(iter(wait(running, return_when=FIRST_COMPLETED).done))
                flow, emitted = running.pop(done), done.result()
                if emitted is not None:
                    go_on(flow)
                    yield from emitted.items
                for following in islice(waiting, 0 if emitted is not None else 1):
                    opened.append(following)
                    go_on(following)
        finally:
            pool.shutdown()
            for flow in opened:
                flow.close()

    def _next_emitted(self, flow: Flow[object]) -> Emit | None:
        """Run a flow until it emits; None at its end."""
        try:
            effect = flow.send(None)
            while not isinstance(effect, Emit):
                effect = _advance(flow, effect, self._outcome)
        except StopIteration:
            return None
        return effect

    def _outcome(self, effect: Effect) -> object:
        match effect:
            case Call():
                return self._answer(effect)
            case Sleep():
                return self._sleep(effect.seconds * (self._policy.jitter() if effect.jittered else 1))
            case Now():
                return self._clock()
            case NewToken():
                return str(uuid.uuid4())
            case Together():
                return self._together(effect)
            case Emit():
                raise TypeError("this flow emits items, so it is run with stream(), not with run()")

    def _together(self, effect: Together) -> list[Any]:
        flows = iter(effect.flows)
        first = list(islice(flows, 2))
        if len(first) < 2 or effect.at_most == 1:
            return [self.run(flow) for flow in chain(first, flows)]
        results: dict[int, Any] = {}
        running: dict[Future[Any], int] = {}
        with ThreadPoolExecutor(effect.at_most, thread_name_prefix="dynamodb") as pool:
            for number, flow in enumerate(chain(first, flows)):
                running[pool.submit(copy_context().run, self.run, flow)] = number
                if len(running) == effect.at_most:
                    _collect(wait(running, return_when=FIRST_COMPLETED).done, running, results)
            _collect(list(running), running, results)
        return [results[number] for number in range(len(results))]

    def _answer(self, call: Call) -> Response:
        attempts = retried(call, self._policy)
        if not logger.isEnabledFor(logging.DEBUG):
            return _run(attempts, self._attempt)
        with RequestLog(call) as log:
            return log.answered(_run(attempts, self._attempt))

    def _attempt(self, effect: Effect) -> object:
        return self._lane.send(effect) if isinstance(effect, Call) else self._outcome(effect)


def _collect(done: Iterable[Future[Any]], running: dict[Future[Any], int], results: dict[int, Any]) -> None:
    """Move what is done from those that run to the results; the first error found is raised."""
    for future in done:
        results[running.pop(future)] = future.result()


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
