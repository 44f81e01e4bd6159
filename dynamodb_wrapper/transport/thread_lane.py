"""The lane of event loops through a blocking lane: each attempt in a thread of a bounded pool."""

from __future__ import annotations

import asyncio
from concurrent.futures import Future, ThreadPoolExecutor

from dynamodb_wrapper.exceptions import ConnectionError
from dynamodb_wrapper.operations.effects import Call, Response
from dynamodb_wrapper.transport.deadlines import LONGEST_WAIT_SECONDS, Attempt
from dynamodb_wrapper.transport.drivers import Lane
from dynamodb_wrapper.transport.failures import Hint, Verdict, hinted
from dynamodb_wrapper.transport.forks import ForkSafeLock, generation


class ThreadLane:
    """Sends calls through a blocking lane without blocking the event loop.

    The threads belong to the lane, not to a loop: any number of loops may use it, one after another or at the same
    time. When all threads are busy, calls wait for one. After a fork the child has threads of its own.
    """

    def __init__(self, lane: Lane, *, at_most: int) -> None:
        """Use a blocking lane, which calls `begin_sending` before it sends, in so many threads."""
        self._lane = lane
        self._at_most = at_most
        self._lock = ForkSafeLock()
        self._pool: ThreadPoolExecutor | None = None
        self._generation = generation()

    async def send(self, call: Call, time_left: float | None = None) -> Response:
        """Return the parsed answer; the thread has the caller's context.

        A call that is given up, at its time limit or because the task is cancelled, will not be sent if it has not been
        yet; if it has, its thread ends when the blocking lane's own timeouts say so.

        Raises:
            DynamoDBWrapperError: What the blocking lane raised.
            DeadlineExceededError: It was not done in time, the time it waited for a thread included.
        """
        attempt = Attempt()
        answer = asyncio.wrap_future(self._submitted(attempt, call))
        try:
            await asyncio.wait((answer,), timeout=None if time_left is None else min(time_left, LONGEST_WAIT_SECONDS))
        except asyncio.CancelledError as cancelled:
            if not attempt.give_up():
                hinted(cancelled, Hint(Verdict.SAFE))
            _abandon(answer)
            raise
        if answer.done():
            return answer.result()
        late = attempt.too_late(time_left or 0.0)
        _abandon(answer)
        raise late

    async def open_ahead(self, connections: int, time_left: float) -> int:
        """Do what the blocking lane does, in a thread."""
        return await asyncio.to_thread(self._lane.open_ahead, connections, time_left)

    async def aclose(self) -> None:
        """Let idle threads end now, and the others after their call; the next call has new ones."""
        self.forget()

    def forget(self) -> None:
        """Do what `aclose` does, without an event loop."""
        with self._lock:
            pool, self._pool = self._pool, None
        if pool is not None and self._generation == generation():
            pool.shutdown(wait=False)

    def close(self) -> None:
        """Do what `forget` does; the blocking lane knows when it is closed for good."""
        self.forget()

    def _submitted(self, attempt: Attempt, call: Call) -> Future[Response]:
        with self._lock:
            if self._pool is None or self._generation != generation():
                self._pool = ThreadPoolExecutor(self._at_most, thread_name_prefix="dynamodb-async")
                self._generation = generation()
            try:
                return self._pool.submit(attempt.context().run, self._lane.send, call)
            except RuntimeError as error:
                message = f"a request needs a thread, and none can be started: {error}"
                raise hinted(ConnectionError(message, error), Hint(Verdict.SAFE)) from error


def _abandon(answer: asyncio.Future[Response]) -> None:
    """Wait for an answer no more, whatever it will be."""
    if not answer.cancel() and not answer.cancelled():
        answer.exception()  # it came at the last moment: an error in it counts as seen
