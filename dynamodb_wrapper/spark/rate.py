"""The rate limit of a job: capacity units a second, shared by all its tasks on a machine.

The tasks of a job on one machine draw from one account, a small file under a lock. So the share of each is right
however many of them run, and a task that ends leaves its share to the others. Machines do not know of each other: the
limit is divided by their number.

A request reserves what the last ones consumed, and settles with what it really consumed. So the average holds, whatever
items take. When DynamoDB throttles all the same, because others use the table, the account pays less for a while.
"""

from __future__ import annotations

import fcntl
import os
import struct
import tempfile
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

R = TypeVar("R")

_STATE = struct.Struct("<dddd")
_SLOWER = 0.7
_SLOWEST = 0.05
_RECOVERY = 0.02
"""Of the full rate, a second without throttling."""
_CALM_SECONDS = 1.0
"""Throttled requests so close together are one occasion to slow down."""
_LEARNED = 0.2


@dataclass(frozen=True)
class Reservation:
    """What was set aside for a request: the seconds to wait before it, and capacity units."""

    seconds: float = 0.0
    units: float = 0.0


class Pace(Protocol):
    """What a flow asks before and tells after a request; from any thread."""

    def reserve(self) -> Reservation:
        """Set aside what a request is likely to consume, and return how long to wait before it."""
        ...

    def settle(self, reservation: Reservation, units: float) -> None:
        """Take note of what the request really consumed."""
        ...

    def throttled(self) -> None:
        """Take note that DynamoDB has refused for want of capacity."""
        ...


class Unlimited:
    """No limit but DynamoDB's own."""

    def reserve(self) -> Reservation:
        """Return that there is nothing to wait for."""
        return Reservation()

    def settle(self, reservation: Reservation, units: float) -> None:
        """Do nothing."""

    def throttled(self) -> None:
        """Do nothing."""


@dataclass(frozen=True)
class Limit:
    """A rate limit as it is shipped to the tasks.

    Attributes:
        units: Capacity units a second on one machine.
        account: The name of the account file.
        guess: What the first request is taken to consume.
    """

    units: float
    account: str
    guess: float

    def begin(self) -> Account:
        """Return this process's way to the account."""
        return Account(self)

    def path(self, folder: Path | None = None) -> Path:
        """Return the account's file, in the folder for temporary files."""
        return (folder or Path(tempfile.gettempdir())) / f"dynamodb-wrapper-{self.account}.rate"

    def forget(self) -> None:
        """Remove the account from this machine."""
        self.path().unlink(missing_ok=True)


class Account:
    """The account of a job on this machine; safe under threads and processes."""

    def __init__(
        self, limit: Limit, *, folder: Path | None = None, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._limit = limit
        self._clock = clock
        self._lock = threading.Lock()
        self._file = os.open(limit.path(folder), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def reserve(self) -> Reservation:
        """Set aside what a request is likely to consume, and return how long to wait before it."""

        def reserve(state: _State, now: float) -> Reservation:
            due = max(state.due, now)
            state.due = due + state.estimate / self._rate(state, now)
            return Reservation(due - now, state.estimate)

        return self._changed(reserve)

    def settle(self, reservation: Reservation, units: float) -> None:
        """Take note of what the request really consumed."""

        def settle(state: _State, now: float) -> None:
            state.due += (units - reservation.units) / self._rate(state, now)
            state.estimate += _LEARNED * (max(units, 0.5) - state.estimate)

        self._changed(settle)

    def throttled(self) -> None:
        """Slow down, once for requests that were throttled together."""

        def slow_down(state: _State, now: float) -> None:
            if now - state.throttled_at > _CALM_SECONDS:
                state.factor = max(self._factor(state, now) * _SLOWER, _SLOWEST)
                state.throttled_at = now

        self._changed(slow_down)

    def close(self) -> None:
        """Leave the account; the file stays for the other tasks, in the folder for temporary files."""
        os.close(self._file)

    def _rate(self, state: _State, now: float) -> float:
        return self._limit.units * self._factor(state, now)

    def _factor(self, state: _State, now: float) -> float:
        return min(1.0, state.factor + _RECOVERY * max(now - state.throttled_at, 0.0))

    def _changed(self, change: Callable[[_State, float], R]) -> R:
        with self._lock:
            fcntl.flock(self._file, fcntl.LOCK_EX)
            try:
                now = self._clock()
                raw = os.pread(self._file, _STATE.size, 0)
                new = _State(now, self._limit.guess, 1.0, now - 60)
                state = _State(*_STATE.unpack(raw)) if len(raw) == _STATE.size else new
                result = change(state, now)
                os.pwrite(self._file, _STATE.pack(state.due, state.estimate, state.factor, state.throttled_at), 0)
                return result
            finally:
                fcntl.flock(self._file, fcntl.LOCK_UN)


@dataclass
class _State:
    """What is in the file: when the next request is due, what one consumes, the slow-down, and since when."""

    due: float
    estimate: float
    factor: float
    throttled_at: float
