"""The time of a test."""

from __future__ import annotations

import threading
import time
from datetime import UTC, datetime, timedelta


class Clock:
    """The time that repositories go by, and the waits that they did not have to wait.

    It goes on by itself, ahead of the real one by what was slept and moved, until it is stopped.

    Attributes:
        sleeps: The seconds that were asked for between attempts, rounds and looks, in order. Nobody waited for them;
            the clock was moved instead.
    """

    def __init__(self) -> None:
        self.sleeps: list[float] = []
        self._lock = threading.Lock()
        self._moved = timedelta()
        self._slept = 0.0
        self._stopped: datetime | None = None
        self._stopped_timer = 0.0

    def __repr__(self) -> str:
        return f"Clock({self.now.isoformat()}{', stopped' if self._stopped else ''})"

    @property
    def now(self) -> datetime:
        """The time, aware, in UTC."""
        return (self._stopped or datetime.now(UTC)) + self._moved

    def stop(self) -> None:
        """Let it stand still from now on: it moves when it is moved, and by the library's own waits."""
        with self._lock:
            self._stop_at(self._stopped or datetime.now(UTC))

    def move(self, by: timedelta | float) -> None:
        """Move it on.

        Args:
            by: How far; a number is seconds. Not back: nothing in a program expects that of time.

        Raises:
            ValueError: It is negative.
        """
        step = by if isinstance(by, timedelta) else timedelta(seconds=by)
        if step < timedelta():
            raise ValueError(f"the clock moves forward only, not by {step}")
        with self._lock:
            self._moved += step
            self._slept += step.total_seconds()

    def set(self, to: datetime) -> None:
        """Stop it at a time, the past included; time limits that are running do not notice.

        Raises:
            ValueError: The time is naive.
        """
        if to.tzinfo is None:
            raise ValueError(f"{to!r} has no timezone: the clock is set to an aware datetime")
        with self._lock:
            self._stop_at(to.astimezone(UTC))
            self._moved = timedelta()

    # --- what a connection asks -------------------------------------------------------------------------------------

    def read(self) -> datetime:
        """Return the time."""
        return self.now

    def timer(self) -> float:
        """Return seconds that only grow, with the clock."""
        return self._slept + (self._stopped_timer if self._stopped else time.monotonic())

    def sleep(self, seconds: float) -> None:
        """Note a wait, and move by it."""
        self.sleeps.append(seconds)
        self.move(seconds)

    def _stop_at(self, moment: datetime) -> None:
        if self._stopped is None:
            self._stopped_timer = time.monotonic()
        self._stopped = moment
