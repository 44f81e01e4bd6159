"""What a patch does to an attribute, as frozen values."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from dynamodb_wrapper.codec import Wire


class Action:
    """A change that is more than a new value."""

    __slots__ = ()


@dataclass(frozen=True, slots=True)
class Add(Action):
    """Add a number (a missing attribute counts as 0), or add members to a set."""

    value: int | float | Decimal | set[object] | frozenset[object]


@dataclass(frozen=True, slots=True)
class Remove(Action):
    """Remove the attribute, map entry or list element."""


@dataclass(frozen=True, slots=True)
class SetIfMissing(Action):
    """Set the value only where the attribute is missing."""

    value: object


@dataclass(frozen=True, slots=True, init=False)
class Append(Action):
    """Put elements at the end of a list: ``Append("x", "y")`` or ``Append(["x", "y"])``."""

    values: tuple[object, ...]

    def __init__(self, *values: object) -> None:
        object.__setattr__(self, "values", values)


@dataclass(frozen=True, slots=True, init=False)
class Prepend(Action):
    """Put elements at the start of a list, in the order given."""

    values: tuple[object, ...]

    def __init__(self, *values: object) -> None:
        object.__setattr__(self, "values", values)


@dataclass(frozen=True, slots=True, init=False)
class Delete(Action):
    """Take members out of a set: ``Delete("x", "y")`` or ``Delete({"x", "y"})``."""

    values: frozenset[object]

    def __init__(self, *values: object) -> None:
        members: Iterable[object] = values
        if len(values) == 1 and isinstance(values[0], set | frozenset | list | tuple):
            members = values[0]
        object.__setattr__(self, "values", frozenset(members))


@dataclass(frozen=True, slots=True)
class Encoded(Action):
    """Set a value that is in its stored form already; for flows, not for callers."""

    wire: Wire
