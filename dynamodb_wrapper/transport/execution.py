"""What drivers of both colours share: their settings, and what an effect comes to that needs neither a lane nor a wait.

A driver may have a time limit. It holds for a flow that is ``run`` as a whole, with everything that the flow runs
together; of a stream, whose length is the consumer's affair, it holds for each request with its retries.
"""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from datetime import UTC, datetime
from math import inf
from typing import Generic, Self, TypeVar

from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.operations.effects import Call, Effect, Emit, Flow, NewToken, Now, Sleep
from dynamodb_wrapper.transport.deadlines import Deadline, checked_timeout
from dynamodb_wrapper.transport.observers import Server, is_observed, reporting_capacity
from dynamodb_wrapper.transport.retry import RetryPolicy, checked_attempts

L = TypeVar("L")
R = TypeVar("R")

LONGEST_JOIN_SECONDS = 10.0
"""As long as an attempt takes by default; a reading that takes longer is joined no more. So nobody waits for long for a
caller that is gone, and no circle of callers for itself."""


def utc_now() -> datetime:
    """Return the current time, aware, in UTC."""
    return datetime.now(UTC)


class Driver(Generic[L]):
    """The lane, the retries and the limits of flows.

    Attributes:
        lane: Sends single attempts.
        policy: When a call is tried again.
        server: Tells where the lane leads, for observers.
    """

    def __init__(
        self,
        lane: L,
        policy: RetryPolicy | None = None,
        *,
        timeout: float | None = None,
        reports_capacity: bool = False,
        server: Callable[[], Server] = Server,
        clock: Callable[[], datetime] = utc_now,
        timer: Callable[[], float] = time.monotonic,
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
        """
        self.lane = lane
        self.policy = policy or RetryPolicy()
        self.server = server
        self._timeout = timeout
        self._reports_capacity = reports_capacity
        self._clock = clock
        self._timer = timer

    def limited(self, *, timeout: float | None = None, max_attempts: int | None = None) -> Self:
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
            driver.policy = replace(self.policy, max_attempts=checked_attempts(max_attempts))
        return driver

    def reporting(self) -> Self:
        """Return a driver over the same lane whose requests ask for the capacity they consume."""
        driver = copy(self)
        driver._reports_capacity = True
        return driver

    def prepared(self, flow: Flow[R]) -> R:
        """Return the result of a flow that sends nothing and waits for nothing; it may ask for the time and tokens."""
        return run_flow(flow, self.told)

    def told(self, effect: Effect) -> object:
        """Return what an effect comes to that is neither a call nor a wait."""
        match effect:
            case Now():
                return self._clock()
            case NewToken():
                return str(uuid.uuid4())
            case Emit():
                raise TypeError("this flow emits items, so it is run with stream(), not with run()")
            case _:
                raise TypeError(f"a flow that is only prepared asks for {type(effect).__name__}")

    def new_deadline(self) -> Deadline | None:
        """Return the deadline of what begins now; None when there is no limit."""
        return None if self._timeout is None else Deadline.after(self._timeout, self._timer)

    @property
    def asks_capacity(self) -> bool:
        """Whether a request that begins now is to say what it consumes."""
        return self._reports_capacity or is_observed()


class Execution:
    """One run of a flow, with those that it runs together: what holds for all their effects.

    Attributes:
        deadline: When all of it has to be over; None when there is no limit, or one for each request.
        asks_capacity: Whether its requests ask for the capacity they consume. It does not change on the way: a
            transaction that is sent again with its token must be the same request.
    """

    __slots__ = ("asks_capacity", "deadline")

    def __init__(self, deadline: Deadline | None, *, asks_capacity: bool) -> None:
        self.deadline = deadline
        self.asks_capacity = asks_capacity

    def as_sent(self, call: Call) -> Call:
        """Return the call as it is sent, by every attempt."""
        return reporting_capacity(call) if self.asks_capacity else call


def pause_seconds(effect: Sleep, policy: RetryPolicy, deadline: Deadline | None) -> float:
    """Return how long to wait.

    Raises:
        DeadlineExceededError: It would be over after the deadline.
    """
    seconds = effect.seconds * (policy.jitter() if effect.jittered else 1)
    if deadline is not None:
        deadline.check_pause(seconds)
    return seconds


def join_seconds(deadline: Deadline | None) -> float:
    """Return how long to wait for what another caller reads; whoever has waited so long in vain reads it himself."""
    return LONGEST_JOIN_SECONDS if deadline is None else max(min(deadline.left(), LONGEST_JOIN_SECONDS), 0.0)


def run_flow(flow: Flow[R], outcome_of: Callable[[Effect], object], effect: Effect | None = None) -> R:
    """Run a flow to its end and return its result, each effect's outcome being that of a function.

    Args:
        flow: The flow.
        outcome_of: The function.
        effect: What the flow asks for at this moment, if it has begun.
    """
    try:
        effect = effect or next(flow)
        while True:
            effect = advance(flow, effect, outcome_of)
    except StopIteration as end:
        result: R = end.value
        return result
    finally:
        flow.close()


def advance(flow: Flow[R], effect: Effect, outcome_of: Callable[[Effect], object]) -> Effect:
    """Give a flow the outcome of an effect, or the error of ours that it came to, and return its next effect.

    A flow is told of a Ctrl-C as well: it may know what is done and what is not.
    """
    try:
        outcome = outcome_of(effect)
    except (DynamoDBWrapperError, KeyboardInterrupt) as error:
        return flow.throw(error)
    return flow.send(outcome)
