"""Conditions as frozen values: what ``F.total > 100`` makes.

Nodes know nothing of models or placeholders; they say what is meant. `dynamodb_wrapper.expressions.render` turns them
into DynamoDB's expression strings, with the values encoded as the model's fields are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal, NoReturn

from dynamodb_wrapper.codec import Wire
from dynamodb_wrapper.exceptions import ExpressionError

Step = str | int
Comparator = Literal["=", "<>", "<", "<=", ">", ">="]


class Condition:
    """A condition on an item; combine with ``&``, ``|`` and ``~``."""

    __slots__ = ()

    def __and__(self, other: Condition) -> Condition:
        return Every((*_parts(self, Every), *_parts(other, Every)))

    def __or__(self, other: Condition) -> Condition:
        return Some((*_parts(self, Some), *_parts(other, Some)))

    def __invert__(self) -> Condition:
        return Not(self)

    def __bool__(self) -> NoReturn:
        raise TypeError("a condition has no truth value here; combine conditions with & | ~, not with and, or, not")


def _parts(condition: object, kind: type[Every | Some]) -> tuple[Condition, ...]:
    if not isinstance(condition, Condition):
        raise TypeError(f"expected a condition like F.total > 100, got {condition!r}")
    return condition.conditions if isinstance(condition, kind) else (condition,)


class Operand:
    """Something with a value in the item: an attribute, or the size of one."""

    __slots__ = ()
    __hash__ = object.__hash__

    def __eq__(self, other: object) -> Condition:  # type: ignore[override]  # a node, as in every query builder
        return _compare(self, "=", other)

    def __ne__(self, other: object) -> Condition:  # type: ignore[override]
        return _compare(self, "<>", other)

    def __bool__(self) -> NoReturn:
        raise TypeError(f"{self!r} has no truth value here; compare it (== True), and combine with & | ~")

    def __lt__(self, other: object) -> Condition:
        return _compare(self, "<", other)

    def __le__(self, other: object) -> Condition:
        return _compare(self, "<=", other)

    def __gt__(self, other: object) -> Condition:
        return _compare(self, ">", other)

    def __ge__(self, other: object) -> Condition:
        return _compare(self, ">=", other)

    def between(self, low: object, high: object) -> Condition:
        """True where the value is at least ``low`` and at most ``high``."""
        _refuse_none(low, high)
        return Between(self, low, high)

    def in_(self, options: Iterable[object]) -> Condition:
        """True where the value is one of at most 100 options.

        Raises:
            ExpressionError: The options are one text, or None is among them.
        """
        if isinstance(options, str | bytes):
            raise ExpressionError(f"in_() takes several options, not one text: {options!r}")
        # A set has another order in every process, and cursors are bound to the expression's text.
        chosen = tuple(sorted(options, key=repr) if isinstance(options, set | frozenset) else options)
        _refuse_none(*chosen)
        return In(self, chosen)


def _compare(left: Operand, comparator: Comparator, right: object) -> Condition:
    _refuse_none(right)
    return Comparison(left, comparator, right)


def _refuse_none(*values: object) -> None:
    if any(value is None for value in values):
        raise ExpressionError(
            "a comparison with None is ambiguous: use .exists() or .not_exists() for a missing attribute, "
            ".is_type('NULL') for a stored NULL"
        )


class Path(Operand):
    """An attribute, or a place inside one: ``F.address.city``, ``F.stages[0]``, ``F["odd name"]``.

    Fields that share a name with a method here (``size``, ``contains``, ...) are reached as ``F.box["size"]``.
    """

    __slots__ = ("steps",)
    __iter__ = None  # or list(F.tags) would ask for F.tags[0], F.tags[1], ... without end
    __contains__ = None
    steps: tuple[Step, ...]

    def __init__(self, *steps: Step) -> None:
        object.__setattr__(self, "steps", steps)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError("paths cannot be changed")

    def __getattr__(self, name: str) -> Path:
        if name.startswith("__"):
            raise AttributeError(name)
        return Path(*self.steps, name)

    def __getitem__(self, step: Step) -> Path:
        if type(step) not in (str, int) or (isinstance(step, int) and step < 0):
            raise ExpressionError(f"a step into {self!r} is a name or a list index from 0, not {step!r}")
        return Path(*self.steps, step)

    def __hash__(self) -> int:
        return hash(self.steps)

    def __repr__(self) -> str:
        return "F" + "".join(f"[{step!r}]" for step in self.steps)

    def __reduce__(self) -> tuple[Any, ...]:
        return Path, self.steps

    def exists(self) -> Condition:
        """True where the item has the attribute, whatever its value."""
        return Function("attribute_exists", self)

    def not_exists(self) -> Condition:
        """True where the item lacks the attribute."""
        return Function("attribute_not_exists", self)

    def is_type(self, tag: str) -> Condition:
        """True where the stored value has that DynamoDB type: S, N, B, SS, NS, BS, L, M, BOOL or NULL."""
        return Function("attribute_type", self, (tag,))

    def begins_with(self, prefix: str | bytes | Path) -> Condition:
        """True where text or bytes begin with ``prefix``."""
        return Function("begins_with", self, (prefix,))

    def contains(self, part: object) -> Condition:
        """True where text contains ``part``, or a set or list has it as an element."""
        return Function("contains", self, (part,))

    def size(self) -> Size:
        """The length of text or bytes, or the number of elements, for comparing."""
        return Size(self)


class Fields:
    """The root of every path: ``F.total`` or ``F["total"]`` names a field (or a stored attribute)."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Path:
        if name.startswith("__"):
            raise AttributeError(name)
        return Path(name)

    def __getitem__(self, name: str) -> Path:
        if not isinstance(name, str):
            raise ExpressionError(f"F[...] takes an attribute name, not {name!r}")
        return Path(name)

    def __repr__(self) -> str:
        return "F"


F = Fields()


@dataclass(frozen=True, slots=True, eq=False)
class Size(Operand):
    """The size of an attribute."""

    path: Path


@dataclass(frozen=True, slots=True)
class Comparison(Condition):
    """``left comparator right``; right may be a path too."""

    left: Operand
    comparator: Comparator
    right: object


@dataclass(frozen=True, slots=True)
class Between(Condition):
    """``low <= operand <= high``."""

    operand: Operand
    low: object
    high: object


@dataclass(frozen=True, slots=True)
class In(Condition):
    """``operand`` is one of ``options``."""

    operand: Operand
    options: tuple[object, ...]


@dataclass(frozen=True, slots=True)
class Function(Condition):
    """One of DynamoDB's condition functions."""

    name: Literal["attribute_exists", "attribute_not_exists", "attribute_type", "begins_with", "contains"]
    path: Path
    arguments: tuple[object, ...] = ()


@dataclass(frozen=True, slots=True)
class Every(Condition):
    """All of the conditions."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Some(Condition):
    """At least one of the conditions."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True, slots=True)
class Not(Condition):
    """Not the condition."""

    condition: Condition


@dataclass(frozen=True, slots=True)
class Written(Condition):
    """A condition already written as an expression string; its placeholders are declared beside it."""

    text: str


@dataclass(frozen=True, slots=True)
class Stored(Condition):
    """An attribute, by its stored name, has exactly this wire value (None: is missing); for flows, not for callers."""

    attribute: str
    wire: Wire | None


def every(*conditions: Condition | None) -> Condition | None:
    """Return all given conditions as one, leaving out None; None when there are none."""
    given = [condition for condition in conditions if condition is not None]
    if len(given) <= 1:
        return given[0] if given else None
    return Every(tuple(part for condition in given for part in _parts(condition, Every)))


def paths_of(condition: Condition) -> Iterable[Path]:
    """Yield every path a condition mentions."""
    match condition:
        case Every(conditions) | Some(conditions):
            for part in conditions:
                yield from paths_of(part)
        case Not(part):
            yield from paths_of(part)
        case Comparison(left, _, right):
            yield from _operand_paths(left, right)
        case Between(operand, low, high):
            yield from _operand_paths(operand, low, high)
        case In(operand, options):
            yield from _operand_paths(operand, *options)
        case Function(_, path, arguments):
            yield from _operand_paths(path, *arguments)


def _operand_paths(*operands: object) -> Iterable[Path]:
    for operand in operands:
        if isinstance(operand, Size):
            yield operand.path
        elif isinstance(operand, Path):
            yield operand
