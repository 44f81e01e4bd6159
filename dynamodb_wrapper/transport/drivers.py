"""The blocking driver: it runs flows, turning each effect they yield into an outcome.

A driver may have a time limit. It holds for a flow that is `SyncDriver.run` as a whole, with everything that the flow
runs together; of a stream, whose length is the consumer's affair, it holds for each request with its retries.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from contextvars import copy_context
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from itertools import chain, islice
from math import inf
from typing import Any, Protocol, TypeVar

from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.operations.effects import Call, Effect, Emit, Flow, NewToken, Now, Response, Sleep, Together
from dynamodb_wrapper.transport.deadlines import Deadline, checked_timeout
from dynamodb_wrapper.transport.observers import Observation, Server, is_observed, reporting_capacity
from dynamodb_wrapper.transport.retry import RetryPolicy, checked_attempts, retried

R = TypeVar("R")


class Lane(Protocol):
    """A way to DynamoDB and back: one attempt, without retries."""

    def send(self, call: Call, time_left: float | None = None) -> Response:
        """Return the parsed answer, or raise one of our errors.

        Args:
            call: What to send.
            time_left: The seconds after which it raises `DeadlineExceededError`; None for the lane's own timeouts.
        """
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
        timeout: float | None = None,
        reports_capacity: bool = False,
        server: Callable[[], Server] = Server,
        clock: Callable[[], datetime] = utc_now,
        timer: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """Drive flows over a lane.

        Args:
            lane: Sends single attempts.
            policy: When a call is tried again.
            timeout: The time limit in seconds; None for none.
            reports_capacity: Whether requests ask for the capacity they consume though nobody observes them.
            server: Tells where the lane leads, for observers.
            clock: Tells the time.
            timer: Tells seconds that only grow.
            sleep: Waits so many seconds.
        """
        self._lane = lane
        self._policy = policy or RetryPolicy()
        self._timeout = timeout
        self._reports_capacity = reports_capacity
        self._server = server
        self._clock = clock
        self._timer = timer
        self._sleep = sleep

    def limited(self, *, timeout: float | None = None, max_attempts: int | None = None) -> SyncDriver:
        """Return a driver over the same lane and retry quota with other limits; None leaves one as it is.

        Args:
            timeout: The time limit in seconds; ``math.inf`` for none.
            max_attempts: How often a call is sent at most, the first time included.

        Raises:
            ValidationError: A limit is not a number in its range.
        """
        driver = copy(self)
        if timeout is not None:
            seconds = checked_timeout("timeout", timeout)
            driver._timeout = None if seconds == inf else seconds
        if max_attempts is not None:
            driver._policy = replace(self._policy, max_attempts=checked_attempts(max_attempts))
        return driver

    def run(self, flow: Flow[R], *, each_request: bool = False) -> R:
        """Run a flow to its end and return its result.

        Args:
            flow: What to run; it does not emit.
            each_request: The time limit is that of each request with its retries, not of the whole flow: for flows
                that have a limit of their own.
        """
        return _run(flow, self._execution(each_request=each_request).outcome)

    def stream(self, flow: Flow[object]) -> Iterator[Any]:
        """Yield the items that a flow emits, as they are asked for.

        The flow goes on only when the items emitted so far are consumed; closing the iterator closes the flow.
        """
        execution = self._execution(each_request=True)
        try:
            while (emitted := _next_emitted(flow, execution)) is not None:
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
        execution = self._execution(each_request=True)

        def go_on(flow: Flow[object]) -> None:
            running[pool.submit(copy_context().run, _next_emitted, flow, execution)] = flow

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

    def _execution(self, *, each_request: bool) -> _Execution:
        deadline = None if each_request else self._new_deadline()
        return _Execution(self, deadline, asks_capacity=self._reports_capacity or is_observed())

    def _new_deadline(self) -> Deadline | None:
        return None if self._timeout is None else Deadline.after(self._timeout, self._timer)


class _Execution:
    """One run of a flow, with those that it runs together: what holds for all their effects.

    Attributes:
        deadline: When all of it has to be over; None when there is no limit, or one for each request.
        asks_capacity: Whether its requests ask for the capacity they consume. It does not change on the way: a
            transaction that is sent again with its token must be the same request.
    """

    __slots__ = ("_driver", "asks_capacity", "deadline")

    def __init__(self, driver: SyncDriver, deadline: Deadline | None, *, asks_capacity: bool) -> None:
        self._driver = driver
        self.deadline = deadline
        self.asks_capacity = asks_capacity

    def outcome(self, effect: Effect) -> object:
        """Return what an effect of the flow gives."""
        match effect:
            case Call():
                return self._answer(effect)
            case Sleep():
                self._pause(effect, self.deadline)
            case Now():
                return self._driver._clock()
            case NewToken():
                return str(uuid.uuid4())
            case Together():
                return self._together(effect)
            case Emit():
                raise TypeError("this flow emits items, so it is run with stream(), not with run()")
        return None

    def _together(self, effect: Together) -> list[Any]:
        flows = iter(effect.flows)
        first = list(islice(flows, 2))
        if len(first) < 2 or effect.at_most == 1:
            return [_run(flow, self.outcome) for flow in chain(first, flows)]
        results: dict[int, Any] = {}
        running: dict[Future[Any], int] = {}
        with ThreadPoolExecutor(effect.at_most, thread_name_prefix="dynamodb") as pool:
            for number, flow in enumerate(chain(first, flows)):
                running[pool.submit(copy_context().run, _run, flow, self.outcome)] = number
                if len(running) == effect.at_most:
                    _collect(wait(running, return_when=FIRST_COMPLETED).done, running, results)
            _collect(list(running), running, results)
        return [results[number] for number in range(len(results))]

    def _pause(self, effect: Sleep, deadline: Deadline | None) -> None:
        seconds = effect.seconds * (self._driver._policy.jitter() if effect.jittered else 1)
        if deadline is not None:
            deadline.check_pause(seconds)
        self._driver._sleep(seconds)

    def _answer(self, call: Call) -> Response:
        driver = self._driver
        deadline = self.deadline or driver._new_deadline()
        if self.asks_capacity:
            call = reporting_capacity(call)
        attempts = retried(call, driver._policy)
        if not is_observed():
            return _run(attempts, lambda effect: self._attempt(effect, deadline))
        with Observation(call, driver._server) as observation:
            return observation.answered(
                _run(attempts, lambda effect: self._observed_attempt(effect, deadline, observation))
            )

    def _attempt(self, effect: Effect, deadline: Deadline | None) -> object:
        if isinstance(effect, Sleep):
            self._pause(effect, deadline)
            return None
        assert isinstance(effect, Call)  # all that retries yield
        if deadline is None:
            return self._driver._lane.send(effect)
        return self._driver._lane.send(effect, deadline.time_for_call())

    def _observed_attempt(self, effect: Effect, deadline: Deadline | None, observation: Observation) -> object:
        if isinstance(effect, Sleep):
            return self._attempt(effect, deadline)
        try:
            answer = self._attempt(effect, deadline)
        except DynamoDBWrapperError as error:
            observation.failed(error)
            raise
        return answer


def _next_emitted(flow: Flow[object], execution: _Execution) -> Emit | None:
    """Run a flow until it emits; None at its end."""
    try:
        effect = flow.send(None)
        while not isinstance(effect, Emit):
            effect = _advance(flow, effect, execution.outcome)
    except StopIteration:
        return None
    return effect


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
