"""``python -m benchmarks.worker peer-module``: measures the operations of one candidate, as told on standard input.

Each line of input is a JSON object ``{"kind", "operation", "url", "at_once", "seconds"}``, and each line of output one
with the CPU ``seconds`` of one call and of the ``calibration`` beside it, or with an ``error``. The first line of
output has the versions. Standard input closed, it ends.
"""

from __future__ import annotations

import asyncio
import importlib
import json
import platform
import sys
import time
from importlib.metadata import version
from typing import Any

from benchmarks.data import QUERY_ITEMS
from benchmarks.measuring import calibration
from benchmarks.peers import ABSENT, SkippedError

WARM_UP_CALLS = 3
MOST_CALLS = 5000


class Worker:
    """One candidate in this process."""

    def __init__(self, peer: Any) -> None:
        self._peer = peer
        self._loop = asyncio.new_event_loop()
        self._made: dict[tuple[str, str], Any] = {}
        self._calls: dict[str, int] = {}

    def measured(self, order: dict[str, Any]) -> dict[str, float]:
        """Return the cost of one call of an operation.

        Raises:
            SkippedError: The candidate does not have this operation.
        """
        maker = "async_operations" if order["kind"] == "async" else "operations"
        operation = self._operation(maker, order)
        key = json.dumps(order)
        if key not in self._calls:
            self._calls[key] = self._calls_of(operation, order)
        before = calibration()
        seconds = self._seconds(operation, order, self._calls[key])
        return {"seconds": seconds, "calibration": (before + calibration()) / 2}

    def close(self) -> None:
        """Close what the candidate keeps open."""
        if hasattr(self._peer, "aclose"):
            self._loop.run_until_complete(self._peer.aclose())

    def _operation(self, maker: str, order: dict[str, Any]) -> Any:
        make = getattr(self._peer, maker, None)
        if make is None:
            raise SkippedError(ABSENT)
        key = maker, order["url"]
        if key not in self._made:
            made = make(order["url"])
            self._made[key] = made if maker == "operations" else self._loop.run_until_complete(made)
        if order["operation"] not in self._made[key]:
            raise SkippedError(ABSENT)
        return self._made[key][order["operation"]]

    def _calls_of(self, operation: Any, order: dict[str, Any]) -> int:
        """Return how many calls take about the wanted time, once it is warm and does what it should."""
        result = operation()
        if order["kind"] == "async":
            result = self._loop.run_until_complete(result)
        check(order["operation"], result)
        at_once: int = order["at_once"]
        self._seconds(operation, order, WARM_UP_CALLS * at_once)
        once = self._seconds(operation, order, WARM_UP_CALLS * at_once) * at_once
        times = round(float(order["seconds"]) / max(once, 1e-6))
        return at_once * max(1, min(MOST_CALLS, times))

    def _seconds(self, operation: Any, order: dict[str, Any], calls: int) -> float:
        """Return the CPU seconds of one of so many calls."""
        at_once = order["at_once"]
        start = time.process_time()
        if order["kind"] == "async":
            self._loop.run_until_complete(self._together(operation, at_once, calls // at_once))
        else:
            for _ in range(calls):
                operation()
        return (time.process_time() - start) / calls

    @staticmethod
    async def _together(operation: Any, at_once: int, times: int) -> None:
        async def again_and_again() -> None:
            for _ in range(times):
                await operation()

        await asyncio.gather(*(again_and_again() for _ in range(at_once)))


def check(operation: str, result: Any) -> None:
    """Raise if an operation does not give what it should: a fast wrong answer is none."""
    if operation == "query" and result is not None and len(result) != QUERY_ITEMS:
        raise AssertionError(f"{len(result)} items instead of {QUERY_ITEMS}")
    name = getattr(result, "name", None)
    if operation == "get" and name not in (None, "Customer number 1"):
        raise AssertionError(f"another item: {name}")


def main() -> None:
    """Answer orders until there are no more."""
    try:
        peer = importlib.import_module(f"benchmarks.peers.{sys.argv[1]}")
        versions = {package: version(package) for package in peer.PACKAGES}
        print(json.dumps({"python": platform.python_version(), "versions": versions}), flush=True)
    except Exception as error:  # noqa: BLE001 - whatever keeps a candidate from being imported is shown in the table
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        return
    worker = Worker(peer)
    for line in sys.stdin:
        try:
            answer: dict[str, Any] = dict(worker.measured(json.loads(line)))
        except SkippedError as reason:
            answer = {"error": str(reason)}
        except Exception as error:  # noqa: BLE001 - likewise
            answer = {"error": f"failed: {type(error).__name__}: {error}"}
        print(json.dumps(answer), flush=True)
    worker.close()


if __name__ == "__main__":
    main()
