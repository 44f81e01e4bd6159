"""The table."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from benchmarks.cases import Case
from benchmarks.peers import ABSENT, ASYNC_BASELINE, BASELINE, RAW
from benchmarks.processes import Sample

HEADER = ("case", "candidate", "CPU", "of boto3 + Pydantic¹", "of the raw socket", "besides")


@dataclass
class Results:
    """What a run has found out.

    Attributes:
        titles: Of the candidates in their order, with the version of their first package.
        pythons: The version of each one's Python.
        versions: Of each one's packages.
        samples: By case and candidate.
        skipped: Why a case was not measured with a candidate; the case is empty for all of them.
    """

    titles: dict[str, str] = field(default_factory=dict)
    pythons: dict[str, str] = field(default_factory=dict)
    versions: dict[str, dict[str, str]] = field(default_factory=dict)
    samples: dict[tuple[str, str], list[Sample]] = field(default_factory=dict)
    skipped: dict[tuple[str, str], str] = field(default_factory=dict)

    def seconds(self, case: str, name: str) -> float | None:
        """Return the CPU seconds of one call: the median of samples, as at the run's median speed of the machine."""
        samples = self.samples.get((case, name))
        if not samples:
            return None
        usual = statistics.median(
            each.calibration
            for (_, other), measured in self.samples.items()
            if self.pythons[other] == self.pythons[name]
            for each in measured
        )
        return statistics.median(each.seconds / each.calibration for each in samples) * usual

    def others(self, case: str, name: str) -> dict[str, float]:
        """Return the medians of the further figures."""
        samples = self.samples[case, name]
        return {key: statistics.median(each.others[key] for each in samples) for key in samples[0].others}


def table(results: Results, cases: Iterable[Case]) -> str:
    """Return the table in Markdown, and the versions and what is missing below it."""
    rows: list[tuple[str, ...]] = [HEADER, ("---", "---", "---:", "---:", "---:", "---")]
    for case in cases:
        rows += rows_of(results, case)
    lines = ["| " + " | ".join(row) + " |" for row in rows]
    lines += ["", "¹ aioboto3 + Pydantic in asynchronous cases.", "", "Versions:", ""]
    for name, versions in results.versions.items():
        packages = ", ".join(f"{package} {version}" for package, version in versions.items())
        lines.append(f"- {results.titles[name]}: Python {results.pythons[name]}{', ' * bool(packages)}{packages}")
    lines += ["", "Not measured:", "", *(not_measured(results) or ["- nothing"])]
    return "\n".join(lines)


def rows_of(results: Results, case: Case) -> list[tuple[str, ...]]:
    """Return the rows of a case, the cheapest candidate first."""
    measured = [(seconds, name) for name in results.titles if (seconds := results.seconds(case.name, name)) is not None]
    reference = case.reference or case.name
    return [
        (
            case.title,
            results.titles[name],
            duration(seconds),
            ratio(seconds, results.seconds(reference, ASYNC_BASELINE if case.kind == "async" else BASELINE)),
            ratio(seconds, results.seconds(reference, RAW)),
            besides(results.others(case.name, name)),
        )
        for seconds, name in sorted(measured)
    ]


def not_measured(results: Results) -> list[str]:
    """Return a line for each reason, with the cases to which it applies."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for (case, name), reason in results.skipped.items():
        if reason != ABSENT:
            reasons.setdefault((name, reason), []).append(case or "everything")
    return [f"- {results.titles[name]}: {', '.join(cases)}: {reason}" for (name, reason), cases in reasons.items()]


def duration(seconds: float) -> str:
    """Return microseconds, or milliseconds from ten on."""
    return f"{seconds * 1e3:,.1f} ms" if seconds >= 0.01 else f"{seconds * 1e6:,.0f} µs"


def ratio(seconds: float, reference: float | None) -> str:
    """Return how much more or less than the reference it is."""
    if reference is None:
        return ""
    value = seconds / reference
    return f"{value:,.0f}" if value >= 20 else f"{value:.1f}" if value >= 2 else f"{value:.2f}"


def besides(figures: Mapping[str, float]) -> str:
    """Return the further figures in words."""
    words: dict[str, Callable[[float], str]] = {
        "wall": lambda value: f"{value * 1e3:,.0f} ms on the clock",
        "peak": lambda value: f"{value:,.0f} MB in all",
        "above": lambda value: f"{value:,.1f} MB more",
        "connections": lambda value: f"{value:.0f} connections" if value >= 0 else "",
    }
    return ", ".join(filter(None, (word(figures[key]) for key, word in words.items() if key in figures)))
