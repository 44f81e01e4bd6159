"""Time limits: when a call has to be over, and how to come back in time from work that heeds no limit."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import Context, ContextVar, copy_context
from dataclasses import dataclass
from math import isnan
from typing import TypeVar

from dynamodb_wrapper.exceptions import ConnectionError, DeadlineExceededError, ValidationError
from dynamodb_wrapper.transport.failures import Hint, Verdict, hinted
from dynamodb_wrapper.transport.forks import ForkSafeLock

R = TypeVar("R")

LONGEST_WAIT_SECONDS = 86_400.0
"""What a thread waits at most, so that no number is too large for the platform."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """When something has to be over.

    Attributes:
        seconds: How long it was given, for messages.
        ends_at: When it ends, as the timer tells.
        timer: Tells seconds that only grow.
    """

    seconds: float
    ends_at: float
    timer: Callable[[], float]

    @classmethod
    def after(cls, seconds: float, timer: Callable[[], float]) -> Deadline:
        """Return the deadline so many seconds from now."""
        return cls(seconds, timer() + seconds, timer)

    def left(self) -> float:
        """Return the seconds that are left; 0 or less when it has passed."""
        return self.ends_at - self.timer()

    def time_for_call(self) -> float:
        """Return the seconds that an attempt may take.

        Raises:
            DeadlineExceededError: None are left; nothing was sent.
        """
        left = self.left()
        if left <= 0:
            raise self.exceeded("so the request was not sent")
        return left

    def check_pause(self, seconds: float) -> None:
        """Refuse a pause that would end after the deadline: it would be waited for in vain.

        Raises:
            DeadlineExceededError: It would.
        """
        if seconds >= self.left():
            raise self.exceeded(f"so the {seconds:.3g} s until the next try were not waited for")

    def exceeded(self, consequence: str) -> DeadlineExceededError:
        """Return the error of a deadline that has passed with nothing on the way."""
        message = f"the time limit of {self.seconds:g} s has passed, {consequence}"
        return hinted(DeadlineExceededError(message, context={"deadline_seconds": self.seconds}), Hint(Verdict.SAFE))


def checked_timeout(name: str, seconds: object) -> float:
    """Return a time limit in seconds; infinity is none.

    Raises:
        ValidationError: It is not a number greater than 0.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or isnan(seconds) or seconds <= 0:
        problem = f"is {seconds!r}: must be a number of seconds greater than 0"
        raise ValidationError(f"{name} {problem}", {name: problem})
    return float(seconds)


class Attempt:
    """Whether work in another thread was given up before it sent anything: one of the two comes first."""

    __slots__ = ("_is_given_up", "_is_sent", "_lock")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._is_sent = self._is_given_up = False

    def may_send(self) -> bool:
        """Return whether the request may be sent: from now on it counts as sent."""
        with self._lock:
            self._is_sent = not self._is_given_up
            return self._is_sent

    def give_up(self) -> bool:
        """Return whether the request counts as sent; if not, it may not be any more."""
        with self._lock:
            self._is_given_up = not self._is_sent
            return self._is_sent

    def too_late(self, seconds: float) -> DeadlineExceededError:
        """Give up, and return the error of work that was not done in so many seconds."""
        time = f"within the {seconds:.3g} s that were left of the time limit"
        if self.give_up():
            return hinted(DeadlineExceededError(f"no answer came {time}"), Hint(Verdict.LOST))
        return hinted(DeadlineExceededError(f"the request could not be sent {time}"), Hint(Verdict.SAFE))

    def context(self) -> Context:
        """Return the caller's context, in which `begin_sending` asks this attempt."""
        context = copy_context()
        context.run(_attempt.set, self)
        return context


_attempt: ContextVar[Attempt | None] = ContextVar("dynamodb_wrapper_attempt", default=None)


def begin_sending() -> None:
    """Note that the current work is about to send its request.

    Raises:
        DeadlineExceededError: It was given up before, with the word that nothing was sent; so nothing must be.
    """
    attempt = _attempt.get()
    if attempt is not None and not attempt.may_send():
        raise hinted(DeadlineExceededError("given up before it was sent"), Hint(Verdict.SAFE))


class Abandonable:
    """Runs work that heeds no time limit, and comes back in time without it.

    Neither name resolution nor a credentials provider can be interrupted, so the work has a thread of its own, which is
    left behind when the time is over and ends when the work does. Only so many are left behind at a time: an outage
    must not pile up threads. Safe under threads and after a fork, whose child has none of its parent's threads.
    """

    def __init__(self, at_most: int) -> None:
        """Leave so many threads behind at most."""
        self._at_most = at_most
        self._lock = ForkSafeLock()
        self._left_behind: set[threading.Thread] = set()

    def run(self, work: Callable[[], R], seconds: float) -> R:
        """Return what the work returns, or raise what it raises, in the caller's context.

        Raises:
            DeadlineExceededError: It was not done in time. If it had called `begin_sending`, it goes on, and its
                outcome is lost; else it will send nothing.
            ConnectionError: Too much is still going on that was given up before, or the process can have no more
                threads; this was not begun.
        """
        self._check_room()
        attempt = Attempt()
        outcome: Future[R] = Future()
        thread = _started(work, attempt, outcome)
        try:
            thread.join(min(seconds, LONGEST_WAIT_SECONDS))
        finally:  # interrupted from the keyboard, it is left behind as well
            if thread.is_alive():
                with self._lock:
                    self._left_behind.add(thread)
        if outcome.done():
            return outcome.result()
        raise attempt.too_late(seconds)

    def _check_room(self) -> None:
        if len(self._left_behind) < self._at_most:
            return
        with self._lock:
            self._left_behind = {thread for thread in self._left_behind if thread.is_alive()}
            if len(self._left_behind) < self._at_most:
                return
        message = (
            f"{self._at_most} requests (max_pool_connections) that were given up at their time limit still wait for "
            "an answer: nothing more is sent with a time limit until one of them ends"
        )
        raise hinted(ConnectionError(message), Hint(Verdict.SAFE))


def _started(work: Callable[[], R], attempt: Attempt, outcome: Future[R]) -> threading.Thread:
    """Return a running thread that does the work in the caller's context and notes how it ended."""
    context = attempt.context()

    def make() -> None:
        try:
            outcome.set_result(context.run(work))
        except BaseException as error:  # noqa: BLE001 - raised in the calling thread, whatever it is
            outcome.set_exception(error)

    thread = threading.Thread(target=make, daemon=True, name="dynamodb-attempt")
    try:
        thread.start()
    except RuntimeError as error:
        message = f"a request with a time limit needs a thread, and none can be started: {error}"
        raise hinted(ConnectionError(message, error), Hint(Verdict.SAFE)) from error
    return thread
