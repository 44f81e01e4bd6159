"""Time limits in tests.

That a wait has an end is proven against what would hang far longer without it, never by a fast clock: a busy machine
may stop a process for seconds, between any two lines.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

PATIENCE = 30.0


@contextmanager
def in_time() -> Iterator[None]:
    """What is done within ends by itself; without its own limit it would take at least twice as long as this."""
    started = time.monotonic()
    yield
    assert time.monotonic() - started < PATIENCE


def until(holds: Callable[[], object]) -> None:
    """Wait for something that another thread or process does."""
    end = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.002)
