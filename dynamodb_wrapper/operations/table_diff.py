"""What `table_diff` finds and `apply_table` has done, as values."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Literal

from dynamodb_wrapper.operations.effects import Params

Aspect = Literal[
    "table",
    "key",
    "indexes",
    "billing",
    "capacity",
    "ttl",
    "stream",
    "deletion_protection",
    "encryption",
    "table_class",
    "point_in_time_recovery",
    "tags",
    "replicas",
]
Permission = Literal["delete_indexes", "disable"]


@dataclass(frozen=True, slots=True)
class Step:
    """The request that brings a table nearer to its declaration."""

    operation: str
    params: Params


@dataclass(frozen=True, slots=True)
class TableDifference:
    """One thing that is not as it is declared.

    Attributes:
        table_name: The physical table.
        aspect: Which part of the declaration it is about, a fixed word.
        what: The thing itself, for people: ``"index by_status"``.
        declared: What is declared; None for nothing.
        actual: What is there; None for nothing.
        how: What `apply_table` sends to change it; None if it cannot.
        why_not: Why it is not changed, or only when asked; None if it is safe.
        needs: The keyword of `apply_table` that asks for the change; None if there is none.
    """

    table_name: str
    aspect: Aspect
    what: str
    declared: str | None
    actual: str | None
    how: str | None = None
    why_not: str | None = None
    needs: Permission | None = None
    step: Step | None = field(default=None, compare=False, repr=False)

    @property
    def safe(self) -> bool:
        """Whether `apply_table` changes it without being asked: nothing is lost, and nobody is cut off."""
        return self.step is not None and self.needs is None

    def is_asked(self, permitted: Collection[str], skip: Collection[Aspect]) -> bool:
        """Whether `apply_table` changes it with these permissions, and these aspects left alone."""
        is_permitted = self.needs is None or self.needs in permitted
        return self.step is not None and is_permitted and self.aspect not in skip

    def __str__(self) -> str:
        said = f"{self.what} is {self.actual or 'missing'}, declared {self.declared or 'none'}"
        reasons = [] if self.why_not is None else [self.why_not]
        if self.needs is not None:
            reasons.append(f"apply_table({self.needs}=True) changes it")
        return f"{self.table_name}: {said}" + (f" ({'; '.join(reasons)})" if reasons else "")


@dataclass(frozen=True, slots=True)
class TableDiff:
    """All that is not as it is declared. False when there is nothing.

    Attributes:
        differences: In the order in which they would be changed.
    """

    differences: tuple[TableDifference, ...]

    def __bool__(self) -> bool:
        return bool(self.differences)

    def __iter__(self) -> Iterator[TableDifference]:
        return iter(self.differences)

    def __len__(self) -> int:
        return len(self.differences)

    def __str__(self) -> str:
        return "\n".join(map(str, self.differences)) or "as declared"

    @property
    def safe(self) -> tuple[TableDifference, ...]:
        """What `apply_table` changes without being asked."""
        return tuple(difference for difference in self.differences if difference.safe)

    def chosen(
        self, *, delete_indexes: bool = False, disable: bool = False, skip: Collection[Aspect] = ()
    ) -> tuple[TableDifference, ...]:
        """Return what `apply_table` with these options would change; nothing of a table that has another key."""
        permitted = {name for name, given in (("delete_indexes", delete_indexes), ("disable", disable)) if given}
        others = {difference.table_name for difference in self.differences if difference.aspect == "key"}
        return tuple(
            difference
            for difference in self.differences
            if difference.is_asked(permitted, skip) and difference.table_name not in others
        )

    @property
    def impossible(self) -> tuple[TableDifference, ...]:
        """What no `apply_table` changes."""
        return tuple(difference for difference in self.differences if difference.step is None)


@dataclass(frozen=True, slots=True)
class TableChanges:
    """What `apply_table` has done, and what it has left. False when nothing is left.

    Attributes:
        done: What was changed, in that order. An index that is built anew is there twice: deleted, then made.
        left: What is still not as declared, each with the reason in ``why_not``.
    """

    done: tuple[TableDifference, ...]
    left: tuple[TableDifference, ...]

    def __bool__(self) -> bool:
        return bool(self.left)

    def __str__(self) -> str:
        lines = [f"done: {difference.table_name}: {difference.what} ({difference.how})" for difference in self.done]
        return "\n".join([*lines, *(f"left: {difference}" for difference in self.left)]) or "as declared"
