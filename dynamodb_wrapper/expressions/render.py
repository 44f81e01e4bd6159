"""Nodes to DynamoDB's expression strings: the only place that hands out placeholders."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from dynamodb_wrapper.codec import Item, Step, Target, Wire
from dynamodb_wrapper.exceptions import ExpressionError
from dynamodb_wrapper.expressions.nodes import (
    Between,
    Comparison,
    Condition,
    Every,
    Function,
    In,
    Not,
    Operand,
    Path,
    Size,
    Some,
    Stored,
    Written,
)
from dynamodb_wrapper.expressions.updates import Action, Add, Append, Delete, Encoded, Prepend, Remove, SetIfMissing

MAX_EXPRESSION_BYTES = 4096
"""AWS, "Quotas": the longest expression string."""
MAX_OPERATORS = 300
"""AWS, "Quotas": the most operators and functions in one expression."""
MAX_IN_OPTIONS = 100
"""AWS, "Condition expressions": the most operands of ``IN``."""

_TYPE_TAGS = ("S", "N", "B", "SS", "NS", "BS", "L", "M", "BOOL", "NULL")


class Resolver(Protocol):
    """Knows what the paths of expressions mean: a model's codec."""

    def target(self, path: Sequence[Step]) -> Target:
        """Return the place a path speaks of."""
        ...

    def element_target(self, target: Target) -> Target:
        """Return the place of an element of the list or set at ``target``."""
        ...


class ExpressionWriter:
    """Writes the expressions of one request, which share their placeholders.

    Every attribute name goes through a placeholder, so reserved words and odd names need no care; equal names and
    equal values share one.
    """

    def __init__(self, resolver: Resolver) -> None:
        self._resolver = resolver
        self._names: dict[str, str] = {}
        self._values: dict[str, Wire] = {}
        self._operators = 0

    def adopt(self, names: Mapping[str, str], values: Item) -> None:
        """Take over placeholders that an already written expression uses; ours keep clear of them.

        Raises:
            ExpressionError: A placeholder stands for something else already.
        """
        _adopt(self._names, names)
        _adopt(self._values, values)

    def parameters(self) -> dict[str, Any]:
        """Return the placeholder parameters; an empty one is left out, because AWS refuses it."""
        parameters: dict[str, Any] = {}
        if self._names:
            parameters["ExpressionAttributeNames"] = dict(self._names)
        if self._values:
            parameters["ExpressionAttributeValues"] = dict(self._values)
        return parameters

    def condition(self, condition: Condition) -> str:
        """Return the expression string of a condition.

        Raises:
            ExpressionError: It names a place the model lacks, or is over one of AWS's limits.
        """
        self._operators = 0
        return self._checked(self._condition(condition))

    def update(self, changes: Iterable[tuple[Target, object]]) -> str:
        """Return the update expression of changes: place to new value or `Action`.

        Raises:
            ExpressionError: Two changes touch the same place, or an action does not fit its field.
            ValidationError: A value is not one for its field.
        """
        clauses: dict[str, list[str]] = {"SET": [], "REMOVE": [], "ADD": [], "DELETE": []}
        seen: list[Target] = []
        for target, change in changes:
            self._refuse_overlap(target, seen)
            seen.append(target)
            clause, text = self._change(target, change)
            clauses[clause].append(text)
        written = [f"{clause} {', '.join(parts)}" for clause, parts in clauses.items() if parts]
        return self._checked(" ".join(written))

    def projection(self, names: Iterable[tuple[Step, ...]]) -> str:
        """Return the projection expression of stored paths."""
        return self._checked(", ".join(dict.fromkeys(self.place(steps) for steps in names)))

    def place(self, steps: Sequence[Step]) -> str:
        """Return the text of a stored path, its names behind placeholders."""
        text = ""
        for step in steps:
            text += f"[{step}]" if isinstance(step, int) else f"{'.' if text else ''}{self._name(step)}"
        return text

    def value(self, wire: Wire) -> str:
        """Return the placeholder of a value."""
        for placeholder, known in self._values.items():
            if known == wire:
                return placeholder
        return _put(self._values, ":v", wire)

    def _name(self, name: str) -> str:
        for placeholder, known in self._names.items():
            if known == name:
                return placeholder
        return _put(self._names, "#n", name)

    # --- conditions ---------------------------------------------------------------------------------------------

    def _condition(self, condition: Condition) -> str:
        match condition:
            case Function():
                return self._function(condition)
            case Every(conditions) | Some(conditions):
                self._operators += len(conditions) - 1
                word = " AND " if isinstance(condition, Every) else " OR "
                return word.join(self._grouped(part) for part in conditions)
            case Not(part):
                self._operators += 1
                return f"NOT {self._grouped(part)}"
            case Comparison(left, comparator, right):
                self._operators += 1
                return f"{self._operand(left)} {comparator} {self._compared(left, right, comparator)}"
            case Between(operand, low, high):
                self._operators += 1
                bounds = " AND ".join(self._compared(operand, bound, "BETWEEN") for bound in (low, high))
                return f"{self._operand(operand)} BETWEEN {bounds}"
            case In(operand, options):
                return self._in(operand, options)
            case Stored(attribute, wire):
                self._operators += 1
                place = self.place((attribute,))
                return f"attribute_not_exists({place})" if wire is None else f"{place} = {self.value(wire)}"
            case Written(text):
                return text
        raise ExpressionError(f"expected a condition like F.total > 100, got {condition!r}")

    def _grouped(self, condition: Condition) -> str:
        text = self._condition(condition)
        return f"({text})" if isinstance(condition, Every | Some | Written | Not) else text

    def _in(self, operand: Operand, options: tuple[object, ...]) -> str:
        if not 1 <= len(options) <= MAX_IN_OPTIONS:
            raise ExpressionError(f"in_() takes 1 to {MAX_IN_OPTIONS} options, got {len(options)}")
        self._operators += 1
        return f"{self._operand(operand)} IN ({', '.join(self._compared(operand, option) for option in options)})"

    def _function(self, function: Function) -> str:
        self._operators += 1
        target = self._resolver.target(function.path.steps)
        arguments = [self.place(target.names)]
        for argument in function.arguments:
            if isinstance(argument, Operand):
                arguments.append(self._operand(argument))
            else:
                arguments.append(self.value(self._argument(function.name, target, argument)))
        return f"{function.name}({', '.join(arguments)})"

    def _argument(self, name: str, target: Target, argument: object) -> Wire:
        if name == "attribute_type":
            if argument not in _TYPE_TAGS:
                raise ExpressionError(f"{argument!r} is no DynamoDB type; they are {', '.join(_TYPE_TAGS)}")
            return {"S": argument}
        tags = target.shape.tags
        if name == "contains" and target.shape.element is not None and tags != {"M"}:
            return self._resolver.element_target(target).compared(argument)
        wire = target.part(argument)
        text = tags & {"S", "B"} if tags else frozenset(("S", "B"))
        if name == "contains" and (not tags or tags & {"L", "SS", "NS", "BS"}):
            return wire
        if not text:
            stored = " or ".join(sorted(tags))
            raise ExpressionError(f"{name}() works on text and bytes, and {target.label} is stored as {stored}")
        if not text & wire.keys():
            taken = " or ".join(sorted(text))
            raise ExpressionError(
                f"{name}() on {target.label} takes a value of DynamoDB type {taken}, not {argument!r}"
            )
        return wire

    def _operand(self, operand: Operand) -> str:
        if isinstance(operand, Size):
            self._operators += 1
            target = self._resolver.target(operand.path.steps)
            if target.shape.tags and target.shape.tags <= {"N", "BOOL"}:
                raise ExpressionError(f"{target.label} has no size: it is no text, bytes, list, map or set")
            return f"size({self.place(target.names)})"
        if isinstance(operand, Path):
            return self.place(self._resolver.target(operand.steps).names)
        raise ExpressionError(f"expected a path like F.total, got {operand!r}")

    def _compared(self, left: Operand, right: object, comparator: str = "=") -> str:
        if isinstance(right, Operand):
            return self._operand(right)
        if isinstance(left, Size):
            if isinstance(right, bool) or not isinstance(right, int):
                raise ExpressionError(f"a size is compared with a whole number, not {right!r}")
            return self.value({"N": str(right)})
        assert isinstance(left, Path)
        target = self._resolver.target(left.steps)
        wire = target.compared(right)
        if comparator not in ("=", "<>") and not wire.keys() & {"S", "N", "B"}:
            raise ExpressionError(f"{target.label} {comparator} {right!r}: only text, numbers and bytes have an order")
        return self.value(wire)

    # --- updates ------------------------------------------------------------------------------------------------

    def _change(self, target: Target, change: object) -> tuple[str, str]:
        place = self.place(target.names)
        if change is Remove:
            change = Remove()
        match change:
            case Encoded(wire):
                return "SET", f"{place} = {self.value(wire)}"
            case Remove():
                return "REMOVE", place
            case Add():
                return self._add(target, place, change)
            case SetIfMissing(value):
                return "SET", f"{place} = if_not_exists({place}, {self._written(target, value)})"
            case Append(values) | Prepend(values):
                elements = self.value(self._elements(target, values))
                known = f"if_not_exists({place}, {self.value({'L': []})})"
                both = (known, elements) if isinstance(change, Append) else (elements, known)
                return "SET", f"{place} = list_append({both[0]}, {both[1]})"
            case Delete(values):
                return "DELETE", f"{place} {self.value(self._members(target, values, 'Delete'))}"
        return "SET", f"{place} = {self._written(target, change)}"

    def _written(self, target: Target, value: object) -> str:
        if value is Remove or isinstance(value, Action | Condition | Operand):
            raise ExpressionError(f"{target.label} cannot be set to {value!r}")
        return self.value(target.written(value))

    def _add(self, target: Target, place: str, change: Add) -> tuple[str, str]:
        if isinstance(change.value, set | frozenset):
            return "ADD", f"{place} {self.value(self._members(target, change.value, 'Add'))}"
        wire = target.part(change.value)
        if "N" not in wire or not target.takes_numbers_like(change.value):
            raise ExpressionError(
                f"Add({change.value!r}) does not fit {target.label}: Add takes set members or a number, a whole number "
                "where the field is one"
            )
        if len(target.names) == 1:
            return "ADD", f"{place} {self.value(wire)}"
        # ADD is documented for top-level attributes only.
        return "SET", f"{place} = if_not_exists({place}, {self.value({'N': '0'})}) + {self.value(wire)}"

    def _elements(self, target: Target, values: tuple[object, ...]) -> Wire:
        if target.shape.tags and ("L" not in target.shape.tags or target.shape.is_set):
            raise ExpressionError(f"{target.label} is no list, so nothing can be appended to it")
        element = self._resolver.element_target(target)
        return {"L": [element.written(value) for value in _spread(element, values)]}

    def _members(self, target: Target, values: Iterable[object], action: str) -> Wire:
        if target.shape.tags and not target.shape.is_set:
            raise ExpressionError(f"{action} of members does not fit {target.label}: it is no set")
        element = self._resolver.element_target(target)
        wires = [element.written(value) for value in values]
        tags = {tag for wire in wires for tag in wire}
        if len(tags) != 1 or not tags <= {"S", "N", "B"}:
            raise ExpressionError(
                f"{action} on {target.label} takes at least one member, all of them text, numbers or bytes"
            )
        (tag,) = tags
        return {f"{tag}S": sorted({wire[tag] for wire in wires})}

    def _refuse_overlap(self, target: Target, seen: list[Target]) -> None:
        for other in seen:
            shorter = min(len(target.names), len(other.names))
            if target.names[:shorter] == other.names[:shorter]:
                raise ExpressionError(f"{target.label} and {other.label} overlap: DynamoDB allows one change per place")

    def _checked(self, text: str) -> str:
        if len(text.encode()) > MAX_EXPRESSION_BYTES:
            raise ExpressionError(
                f"an expression takes {len(text.encode()):,} bytes and DynamoDB allows {MAX_EXPRESSION_BYTES:,}; "
                "use fewer conditions or changes"
            )
        if self._operators > MAX_OPERATORS:
            raise ExpressionError(
                f"an expression has {self._operators} operators and functions and DynamoDB allows {MAX_OPERATORS}"
            )
        return text


def _spread(element: Target, values: tuple[object, ...]) -> tuple[object, ...]:
    """Return the elements: ``Append("x", "y")`` and ``Append(["x", "y"])`` mean the same.

    Where the elements are lists themselves, a lone list is one element, unless all in it are elements.
    """
    if len(values) != 1 or not isinstance(values[0], list | tuple):
        return values
    if "L" in element.shape.tags and not all(map(element.accepts, values[0])):
        return values
    return tuple(values[0])


def _adopt(known: dict[str, Any], given: Mapping[str, Any]) -> None:
    for placeholder, entry in given.items():
        if known.setdefault(placeholder, entry) != entry:
            raise ExpressionError(f"the placeholder {placeholder!r} is used for two things")


def _put(placeholders: dict[str, Any], prefix: str, entry: Any) -> str:
    number = len(placeholders)
    while f"{prefix}{number}" in placeholders:
        number += 1
    placeholders[f"{prefix}{number}"] = entry
    return f"{prefix}{number}"
