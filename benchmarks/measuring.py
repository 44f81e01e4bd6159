"""The clock: CPU time of this process, beside that of a fixed piece of work."""

from __future__ import annotations

import json
import time

TEXT = json.dumps([{"pk": {"S": "user#0001"}, "number": {"N": str(n)}, "list": ["a", "b", n]} for n in range(120)])
NUMBERS = [(n * 7919) % 1500 for n in range(1500)]
REPEATS = 10


def calibration() -> float:
    """Return the CPU seconds of the fixed work, by which a sample is divided.

    It is done several times, a few milliseconds in all: what else the machine does comes and goes that fast.
    """
    start = time.process_time()
    for _ in range(REPEATS):
        json.loads(TEXT)
        sorted(NUMBERS)
        sum(number & 7 for number in NUMBERS)
        json.loads(TEXT)
    return (time.process_time() - start) / REPEATS
