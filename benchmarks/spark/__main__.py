"""``python -m benchmarks.spark``: rows/s and CPU a row through Spark, ours and its peers'; a Markdown table.

Quote the ratios: all candidates are measured in turns, on two cores that the canned server shares with them.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any
from urllib.request import Request, urlopen

from benchmarks.__main__ import chosen, names
from benchmarks.environments import ROOT, python_for
from benchmarks.peers import Peer, SkippedError
from benchmarks.processes import Server, read, variables
from benchmarks.spark.peers import OURS, PEERS
from benchmarks.spark.report import CASES, Results, rate_table, table

ROWS, QUICK_ROWS = 100_000, 8_000
ROUNDS, QUICK_ROUNDS = 5, 1
TASKS = 2
LATENCIES = (0, 12)
"""Milliseconds; DynamoDB itself takes about 12 for a batch."""

RATE_TASKS, QUICK_RATE_TASKS = (1, 2, 8, 32), (2,)
UNITS_A_SECOND = 200
"""So few that two cores read and write them easily: the limit is to be measured, and not the machine."""
RATE_SECONDS, QUICK_RATE_SECONDS = 75, 5
"""How long a limited job should take: more than the minute that is looked at."""
SCAN_UNITS_PER_ROW = 0.045


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks.spark", description=(__doc__ or "").splitlines()[0])
    made.add_argument("--quick", action="store_true", help="few rows, one round: to see that it runs")
    made.add_argument("--peers", type=names, help=f"of: {', '.join(peer.name for peer in PEERS)} (default: all)")
    made.add_argument("--latency", type=names, help=f"of: {', '.join(map(str, LATENCIES))} ms (default: both)")
    made.add_argument("--rate", action="store_true", help="measure the rate limit instead: a minute for each line")
    made.add_argument("--rounds", type=int, default=ROUNDS, help=f"default: {ROUNDS}, and one before them to warm up")
    return made


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    options = parser().parse_args(arguments)
    if options.rate:
        print(rate_table(rates(quick=options.quick), UNITS_A_SECOND))
        return
    wanted = chosen([peer.name for peer in PEERS], options.peers)
    latencies = [int(text) for text in chosen([*map(str, LATENCIES)], options.latency)]
    rows, rounds = (QUICK_ROWS, QUICK_ROUNDS) if options.quick else (ROWS, options.rounds)
    results = Results()
    with ExitStack() as stack:
        urls = {latency: stack.enter_context(canned_server(latency)) for latency in latencies}
        candidates = started([peer for peer in PEERS if peer.name in wanted], results, stack)
        try:
            for latency, url in urls.items():
                for case in CASES:
                    measure(case, latency, url, candidates, results, rows=rows, rounds=rounds)
        except KeyboardInterrupt:
            print("\ninterrupted: the table has what was measured", file=sys.stderr)
    print(table(results, latencies))


class Candidate:
    """A peer in a process with its own Spark."""

    def __init__(self, peer: Peer, tasks: int) -> None:
        """Start it.

        Raises:
            SkippedError: It has no environment, or cannot be imported there.
        """
        self.peer = peer
        self._process = subprocess.Popen(
            [python_for(peer), "-m", "benchmarks.spark.worker", peer.module, str(tasks)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            env={**variables(peer, Server("", None, None)), "SPARK_LOCAL_IP": "127.0.0.1", "TZ": "UTC"},
            start_new_session=True,  # by which its processes are told from the others'
        )
        answer = self._answer()
        self.python: str = answer["python"]
        self.versions: dict[str, str] = answer["versions"]

    def measure(
        self, case: str, url: str, rows: int, *, partitions: int = TASKS, capacity: float | None = None
    ) -> dict[str, float]:
        """Return what a read or write took.

        Raises:
            SkippedError: It failed; says how.
        """
        order = {"case": case, "url": url, "rows": rows, "partitions": partitions, "capacity": capacity}
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(order) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def close(self) -> None:
        """End it."""
        self._process.communicate()

    def _answer(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        return read(line or json.dumps({"error": "failed: its process has ended"}))


@contextmanager
def canned_server(milliseconds: int) -> Iterator[str]:
    """Run the canned server in a process of its own; its URL."""
    command = [sys.executable, "-m", "benchmarks.spark.server", str(milliseconds)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()


def counted(url: str) -> dict[str, float]:
    """Return what the server has counted since it was last asked."""
    request = Request(url, b"{}", {"X-Amz-Target": "DynamoDB_20120810.Counts"})
    with urlopen(request) as answer:
        counts: dict[str, float] = json.load(answer)
    return counts


def started(peers: Sequence[Peer], results: Results, stack: ExitStack) -> list[Candidate]:
    """Return the candidates that could be started."""
    candidates = []
    for peer in peers:
        results.titles[peer.name] = peer.title
        try:
            candidate = Candidate(peer, TASKS)
        except SkippedError as reason:
            results.skipped["", peer.name] = str(reason)
            print(f"{peer.title}: {reason}", file=sys.stderr)
            continue
        stack.callback(candidate.close)
        candidates.append(candidate)
        results.pythons[peer.name] = candidate.python
        results.versions[peer.name] = candidate.versions
    return candidates


def measure(
    case: str, latency: int, url: str, candidates: Sequence[Candidate], results: Results, *, rows: int, rounds: int
) -> None:
    """Measure a case with all candidates, in turns, so that a machine that slows down slows all of them down."""
    for number in range(rounds + 1):
        print(f"\r{case}, {latency} ms: round {number} of {rounds}   ", end="", file=sys.stderr, flush=True)
        for candidate in candidates:
            key = f"{case}, {latency} ms", candidate.peer.name
            if key in results.skipped:
                continue
            counted(url)
            try:
                sample = candidate.measure(case, url, rows)
                if (items := counted(url)["items"]) < rows:
                    raise SkippedError(f"failed: the server has seen {items:,} of {rows:,} rows")
            except SkippedError as reason:
                results.skipped[key] = str(reason)
                continue
            if number:  # the first is to warm up
                results.samples.setdefault(key, []).append(sample)
    print(file=sys.stderr)


def rates(*, quick: bool) -> Iterator[tuple[str, int, float]]:
    """Yield case, number of tasks, and the capacity units a second that the server saw in the first minute."""
    peer = next(peer for peer in PEERS if peer.name == OURS)
    seconds = QUICK_RATE_SECONDS if quick else RATE_SECONDS
    with canned_server(0) as url:
        for tasks in QUICK_RATE_TASKS if quick else RATE_TASKS:
            candidate = Candidate(peer, tasks)
            try:
                for case in CASES:
                    units = UNITS_A_SECOND * seconds
                    rows = round(units / SCAN_UNITS_PER_ROW) // 1000 * 1000 if case == "read" else units
                    rows -= rows % (tasks * 8)
                    counted(url)
                    took = candidate.measure(case, url, rows, partitions=tasks, capacity=UNITS_A_SECOND)["wall"]
                    counts = counted(url)
                    rate = counts["units"] / took if quick else counts["minute"] / 60
                    print(f"{case} with {tasks} tasks: {rate:,.1f} units a second", file=sys.stderr)
                    yield case, tasks, rate
            finally:
                candidate.close()


if __name__ == "__main__":
    main()
