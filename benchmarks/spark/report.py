"""The tables of the Spark benchmark."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from benchmarks.spark.peers import OURS

CASES = ("read", "write")
HEADER = ("case", "candidate", "rows/s", "times our time", "CPU a row", "of it in Python", "times our CPU")
ALIGNED = ("---", "---", "---:", "---:", "---:", "---:", "---:")


@dataclass
class Results:
    """What a run has found out.

    Attributes:
        titles: Of the candidates in their order.
        pythons: The version of each one's Python.
        versions: Of each one's packages.
        samples: By case and candidate.
        skipped: Why a case was not measured with a candidate; the case is empty for all of them.
    """

    titles: dict[str, str] = field(default_factory=dict)
    pythons: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    samples: dict[tuple[str, str], list[dict[str, float]]] = field(default_factory=dict)
    skipped: dict[tuple[str, str], str] = field(default_factory=dict)

    def per_row(self, case: str, name: str, figure: str) -> float | None:
        """Return the median of a figure for one row."""
        samples = self.samples.get((case, name))
        return statistics.median(each[figure] / each["rows"] for each in samples) if samples else None


def table(results: Results, latencies: Sequence[int]) -> str:
    """Return the table in Markdown, and the versions and what is missing below it."""
    rows: list[tuple[str, ...]] = [HEADER, ALIGNED]
    for latency in latencies:
        for case in CASES:
            rows += rows_of(results, f"{case}, {latency} ms")
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines += ["", "Versions:", ""]
    for name, versions in results.versions.items():
        packages = ", ".join(f"{package} {version}" for package, version in versions.items())
        lines.append(f"- {results.titles[name]}: Python {results.pythons[name]}, {packages}")
    missing = [f"- {results.titles[name]}: {case or 'all'}: {why}" for (case, name), why in results.skipped.items()]
    lines += ["", "Not measured:", "", *(missing or ["- nothing"])]
    return "\n".join(lines)


def rows_of(results: Results, case: str) -> list[tuple[str, ...]]:
    """Return the rows of a case, the fastest candidate first."""
    found = []
    ours = {figure: results.per_row(case, OURS, figure) for figure in ("wall", "seconds")}
    for name, title in results.titles.items():
        wall, cpu, python = (results.per_row(case, name, figure) for figure in ("wall", "seconds", "python"))
        if wall is None or cpu is None or python is None:
            continue
        ratios = [
            f"{theirs / mine:.2f}" if mine else "" for theirs, mine in ((wall, ours["wall"]), (cpu, ours["seconds"]))
        ]
        figures = f"{1 / wall:,.0f}", ratios[0], f"{cpu * 1e6:,.0f} µs", f"{python * 1e6:,.0f} µs", ratios[1]
        found.append((wall, (case, title, *figures)))
    return [row for _, row in sorted(found)]


def rate_table(rates: Iterable[tuple[str, int, float]], target: float) -> str:
    """Return the table of what limited jobs have consumed."""
    lines = ["| case | tasks | target | consumed in the first minute | off by |", "| --- | ---: | ---: | ---: | ---: |"]
    lines += [
        f"| {case} | {tasks} | {target:,.0f}/s | {units:,.1f}/s | {100 * (units / target - 1):+.1f} % |"
        for case, tasks, units in rates
    ]
    return "\n".join(lines)
