"""What a forked child must not inherit: locks of threads it does not have, sockets its parent still uses.

Nothing here acts on the fork itself except a counter: whoever holds a lock or a client compares `generation` with
the one it was made in, and makes a new one when they differ.
"""

from __future__ import annotations

import os
import threading

_generation = 0
_renewing = threading.Lock()


def generation() -> int:
    """Return a number that differs between a process and each of its forked children."""
    return _generation


class ForkSafeLock:
    """A re-entrant lock that is free in a forked child, whoever held it in the parent."""

    __slots__ = ("_generation", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._generation = _generation

    def __enter__(self) -> None:
        if self._generation != _generation:
            with _renewing:
                if self._generation != _generation:
                    self._lock, self._generation = threading.RLock(), _generation
        self._lock.acquire()

    def __exit__(self, *exc_info: object) -> None:
        self._lock.release()


def _in_child() -> None:
    global _generation, _renewing
    _generation += 1
    _renewing = threading.Lock()


if hasattr(os, "register_at_fork"):  # not on Windows, which has no fork either
    os.register_at_fork(after_in_child=_in_child)
