"""``python -m benchmarks``: client CPU per operation of this library and its peers; a Markdown table on stdout.

Quote the ratios, not the microseconds: they hold when the machine's speed drifts.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from contextlib import ExitStack

from benchmarks.cases import CASES, Case
from benchmarks.environments import python_for
from benchmarks.peers import OTHERS, Peer, SkippedError, ours
from benchmarks.processes import Candidate, Server, canned_server
from benchmarks.report import Results, table

ROUNDS, QUICK_ROUNDS = 15, 1
SECONDS, QUICK_SECONDS = 0.04, 0.005
"""CPU of one sample."""

TRANSPORTS = ("direct", "botocore")


def parser() -> argparse.ArgumentParser:
    """Return the parser of the command line."""
    made = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__.splitlines()[0] if __doc__ else "")
    made.add_argument("--quick", action="store_true", help="few and short rounds, no long streams: to see that it runs")
    made.add_argument("--only", type=names, default=[], help=f"cases, separated by commas: {', '.join(CASES)}")
    others = ", ".join(peer.name for peer in OTHERS)
    made.add_argument("--peers", type=names, help=f"beside this library, separated by commas, or none: {others}")
    made.add_argument(
        "--transport", choices=("auto", *TRANSPORTS), help=f"this library's (default: {' and '.join(TRANSPORTS)})"
    )
    return made


def names(text: str) -> list[str]:
    """Return the names in a list with commas."""
    return [name.strip() for name in text.split(",") if name.strip() not in ("", "none")]


def chosen(known: Sequence[str], wanted: Sequence[str] | None) -> list[str]:
    """Return the wanted names in their usual order, all if there are none.

    Raises:
        SystemExit: One is unknown.
    """
    unknown = set(wanted or ()) - set(known)
    if unknown:
        raise SystemExit(f"unknown: {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    return [name for name in known if wanted is None or name in wanted]


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure and print the table."""
    options = parser().parse_args(arguments)
    cases = [CASES[name] for name in chosen(list(CASES), options.only or None)]
    if options.quick and not options.only:
        cases = [case for case in cases if not case.is_long]
    wanted = chosen([peer.name for peer in OTHERS], options.peers)
    peers = [*map(ours, [options.transport] if options.transport else TRANSPORTS)]
    peers += [peer for peer in OTHERS if peer.name in wanted]
    rounds, seconds = (QUICK_ROUNDS, QUICK_SECONDS) if options.quick else (ROUNDS, SECONDS)
    results = Results()
    with canned_server() as server, ExitStack() as stack:
        candidates = started(peers, server, results, stack)
        try:
            for case in cases:
                measure(case, candidates, results, rounds=min(rounds, case.rounds), seconds=seconds)
        except KeyboardInterrupt:
            print("\ninterrupted: the table has what was measured", file=sys.stderr)
    print(table(results, cases))


def started(peers: Sequence[Peer], server: Server, results: Results, stack: ExitStack) -> list[Candidate]:
    """Return the candidates that could be started."""
    candidates = []
    for peer in peers:
        results.titles[peer.name] = peer.title
        try:
            candidate = Candidate(peer, python_for(peer), server)
        except SkippedError as reason:
            results.skipped["", peer.name] = str(reason)
            print(f"{peer.title}: {reason}", file=sys.stderr)
            continue
        stack.callback(candidate.close)
        candidates.append(candidate)
        first = next(iter(candidate.versions.values()), "")
        results.titles[peer.name] = f"{peer.title} ({first})" if first else peer.title
        results.pythons[peer.name] = candidate.python
        results.versions[peer.name] = candidate.versions
    return candidates


def measure(case: Case, candidates: Sequence[Candidate], results: Results, *, rounds: int, seconds: float) -> None:
    """Measure a case with all candidates, in turns, so that a machine that slows down slows all of them down."""
    for number in range(rounds):
        print(f"\r{case.title}: round {number + 1} of {rounds}   ", end="", file=sys.stderr, flush=True)
        for candidate in candidates:
            key = case.name, candidate.peer.name
            if key in results.skipped:
                continue
            try:
                results.samples.setdefault(key, []).append(candidate.measure(case, seconds))
            except SkippedError as reason:
                results.skipped[key] = str(reason)
    print(file=sys.stderr)


if __name__ == "__main__":
    main()
