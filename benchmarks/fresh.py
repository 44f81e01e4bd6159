"""``python -m benchmarks.fresh peer-module case url [items]``: one measurement in a new process."""

import time

CPU, WALL = time.process_time(), time.perf_counter()  # before anything is imported

import importlib  # noqa: E402
import sys  # noqa: E402
from typing import Any  # noqa: E402

CALIBRATIONS = 20


def cold_start(peer: Any, endpoint_url: str) -> dict[str, float]:
    """Return the cost from nothing to the first answer; the import of the peer is already done."""
    if hasattr(peer, "operations"):
        peer.operations(endpoint_url)["get"]()
    else:
        import asyncio

        async def first_answer() -> None:
            await (await peer.async_operations(endpoint_url))["get"]()

        asyncio.run(first_answer())
    cpu, wall = time.process_time() - CPU, time.perf_counter() - WALL
    return {"seconds": cpu, "wall": wall, "peak": peak()}


def stream(peer: Any, endpoint_url: str, items: int) -> dict[str, float]:
    """Return the cost per item, and what the peak of memory is above that after one page.

    It takes seconds, in which the speed of the machine changes: the calibration is done on the way.
    """
    from benchmarks.measuring import calibration

    for _ in peer.stream(endpoint_url, 100):
        pass
    calibrations = [calibration()]
    base, start, paused, count = peak(), time.process_time(), 0.0, 0
    for _ in peer.stream(endpoint_url, items):
        count += 1
        if count % (items // CALIBRATIONS) == 0:
            pause = time.process_time()
            calibrations.append(calibration())
            paused += time.process_time() - pause
    cpu = time.process_time() - start - paused
    assert count == items, f"{count} of {items} items"
    return {"seconds": cpu / items, "above": peak() - base, "calibration": sum(calibrations) / len(calibrations)}


def repositories(peer: Any, endpoint_url: str) -> dict[str, float]:
    """Return the cost of each of 99 repositories after the first, the memory of all, and the connections now open."""
    kept = [peer.repository(endpoint_url, 0)]
    kept[0]()
    base, start = peak(), time.process_time()
    for number in range(1, 100):
        kept.append(peer.repository(endpoint_url, number))
        kept[-1]()
    cpu = time.process_time() - start
    return {"seconds": cpu / 99, "above": peak() - base, "connections": connections()}


def peak() -> float:
    """Return the largest memory this process has had, in MB."""
    import resource

    largest = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return largest / (1 << 20 if sys.platform == "darwin" else 1 << 10)


def connections() -> int:
    """Return how many TCP connections this process has open (-1 where the system does not tell)."""
    import os

    if not os.path.isdir("/proc/self/fd"):
        return -1
    # One of those listed is that of the listing itself, which is closed by now.
    links = [f"/proc/self/fd/{name}" for name in os.listdir("/proc/self/fd")]
    return sum(os.readlink(link).startswith("socket:") for link in links if os.path.lexists(link))


def main() -> None:
    """Measure, and print a line of JSON."""
    module, case, endpoint_url, *items = sys.argv[1:]
    peer = importlib.import_module(f"benchmarks.peers.{module}")
    if case == "stream":
        figures = stream(peer, endpoint_url, int(items[0]))
    else:
        figures = {"cold_start": cold_start, "repositories": repositories}[case](peer, endpoint_url)
    import json

    from benchmarks.measuring import calibration

    figures.setdefault("calibration", sorted(calibration() for _ in range(5))[2])
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
