"""Work that many tasks wait for and one does."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any, Generic, TypeVar

R = TypeVar("R")


class NextTick(Generic[R]):
    """Work that begins in the event loop's next round after it is first awaited, and is done once.

    Every task that is ready in this round comes before it. A task that waits for it and is cancelled does not disturb
    it. Belongs to the event loop in which it was first awaited.
    """

    __slots__ = ("_task", "_work")

    def __init__(self, work: Callable[[], Coroutine[Any, Any, R]]) -> None:
        self._work = work
        self._task: asyncio.Task[R] | None = None

    @property
    def has_failed(self) -> bool:
        """Whether the work is over and has no outcome."""
        task = self._task
        return task is not None and task.done() and (task.cancelled() or task.exception() is not None)

    async def outcome(self) -> R:
        """Return what the work returns, or raise what it raises."""
        if self._task is None:
            # Not by create_task: a loop with eager tasks would begin at once.
            self._task = asyncio.Task(self._work(), loop=asyncio.get_running_loop())
            self._task.add_done_callback(_seen)
        await asyncio.wait((self._task,))  # which, unlike awaiting it, leaves it alone when the waiting is cancelled
        return self._task.result()


def _seen(task: asyncio.Task[Any]) -> None:
    """Take note of an error that nobody may be waiting for any more."""
    if not task.cancelled():
        task.exception()
