"""What exports and imports have in common: what was moved so far, and when that is written down."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

_SECONDS_BETWEEN = 1.0


@dataclass(slots=True)
class Moved:
    """What was moved so far, by runs that were ended too.

    Attributes:
        items: Items that are written, to the file or to the table.
        same: Items that were there already, just as they are in the file.
        bytes: Bytes of rows that were written to a file, unpacked; of items for a table, as DynamoDB counts them.
        units: Capacity units that were consumed.
        seconds: How long it took.
        rows: Rows that were looked at.
        accepted: Rows that could be written.
    """

    items: int = 0
    same: int = 0
    bytes: int = 0
    units: float = 0.0
    seconds: float = 0.0
    rows: int = 0
    accepted: int = 0

    @classmethod
    def of(cls, state: Mapping[str, Any]) -> Moved:
        """Return what a checkpoint says."""
        return cls(**state)

    def as_dict(self) -> dict[str, Any]:
        """Return it for a checkpoint."""
        return asdict(self)


Told = Callable[[Moved], object]
"""Is told what was moved so far, now and then."""


class Watch:
    """Counts the seconds of a run, and says when a checkpoint is due."""

    def __init__(self) -> None:
        self._begun = self._noted = self._counted = time.monotonic()

    def is_due(self) -> bool:
        """Whether it is time for a checkpoint; then, for none until some time has passed."""
        is_due = time.monotonic() - self._noted >= _SECONDS_BETWEEN
        if is_due:
            self._noted = time.monotonic()
        return is_due

    def lap(self) -> float:
        """Return the seconds since this was asked before."""
        before, self._counted = self._counted, time.monotonic()
        return self._counted - before
