"""What the writers of a soak were told, and what is wrong with what is stored."""

from __future__ import annotations

from collections import Counter as Tally
from dataclasses import dataclass, field
from enum import StrEnum

from dynamodb_wrapper import ConditionFailedError, DynamoDBWrapperError, WriteOutcomeUnknownError


class Told(StrEnum):
    """What the caller of a write was told of it."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"

    @classmethod
    def by(cls, error: DynamoDBWrapperError) -> Told:
        """What an error says of the write that raised it."""
        if isinstance(error, ConditionFailedError):
            return cls.REFUSED
        if isinstance(error, WriteOutcomeUnknownError) or "lost_answers" in error.context:
            return cls.UNKNOWN
        return cls.FAILED


@dataclass(frozen=True)
class Entry:
    """One write: what kind, to which item, the label it leaves there, and what was told of it."""

    kind: str
    place: str
    label: str
    told: Told


@dataclass
class Report:
    """What was done, and what is wrong with what is stored."""

    seconds: float
    told: dict[str, Tally[Told]]
    reads: int
    faults: Tally[str]
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)

    @property
    def operations(self) -> int:
        return self.reads + sum(tally.total() for tally in self.told.values())

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.untrue)

    def __str__(self) -> str:
        lines = [f"{'writes':<20}" + "".join(f"{told:>14}" for told in Told)]
        for kind, tally in sorted(self.told.items()):
            lines.append(f"{kind:<20}" + "".join(f"{tally[told]:>14,}" for told in Told))
        total: Tally[Told] = sum(self.told.values(), Tally())
        lines += [f"{'all':<20}" + "".join(f"{total[told]:>14,}" for told in Told), "", "faults"]
        lines += [f"  {name:<40}{number:>10,}" for name, number in sorted(self.faults.items())]
        lines += [
            f"  {'all':<40}{self.faults.total():>10,}",
            "",
            f"{self.operations:,} operations ({self.reads:,} of them reads) in {self.seconds:.0f} s, "
            f"{self.operations / self.seconds:,.0f} a second",
            f"lost: {len(self.lost)}, doubled: {len(self.doubled)}, refused or failed but stored: {len(self.untrue)}",
            *(f"  LOST {entry}" for entry in self.lost[:20]),
            *(f"  DOUBLED {entry}" for entry in self.doubled[:20]),
            *(f"  UNTRUE {entry}" for entry in self.untrue[:20]),
        ]
        return "\n".join(lines)
