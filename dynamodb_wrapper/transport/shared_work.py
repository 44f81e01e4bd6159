"""Work that heeds no time limit, done once for everybody who waits for it meanwhile."""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextvars import copy_context
from typing import Generic, TypeVar

from dynamodb_wrapper.exceptions import ConnectionError
from dynamodb_wrapper.transport.failures import Hint, Verdict, hinted
from dynamodb_wrapper.transport.forks import ForkSafeLock, generation

R = TypeVar("R")


class SharedWork(Generic[R]):
    """Has work done in a thread of its own, which whoever waits leaves behind when the time is over.

    There is one thread at a time, so that an outage does not pile them up. A forked child has its own.
    """

    def __init__(self, name: str) -> None:
        """Name the threads."""
        self._name = name
        self._lock = ForkSafeLock()
        self._running: Future[R] | None = None
        self._generation = generation()

    def outcome(self, work: Callable[[], R]) -> Future[R]:
        """Return what comes of the work that is being done at this moment, or else of this, in the caller's context.

        Cancelling it does not disturb the work, nor those who wait for it as well.

        Raises:
            ConnectionError: The process can have no more threads.
        """
        with self._lock:
            if self._running is None or self._generation != generation():
                future: Future[R] = Future()
                future.set_running_or_notify_cancel()  # from now on it cannot be cancelled
                doing = threading.Thread(
                    target=copy_context().run, args=(self._do, work, future), daemon=True, name=self._name
                )
                try:
                    doing.start()
                except RuntimeError as error:
                    message = f"a request needs a thread, and none can be started: {error}"
                    raise hinted(ConnectionError(message, error), Hint(Verdict.SAFE)) from error
                self._running, self._generation = future, generation()
            return self._running

    def _do(self, work: Callable[[], R], future: Future[R]) -> None:
        try:
            outcome = work()
        except BaseException as error:  # noqa: BLE001 - raised in those who wait, whatever it is
            self._end()
            future.set_exception(error)
        else:
            self._end()
            future.set_result(outcome)

    def _end(self) -> None:
        with self._lock:  # who asks from now on has it done anew
            self._running = None
