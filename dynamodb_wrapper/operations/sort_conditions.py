"""Conditions on the fields that a sort key is made of, as the one condition on the key that DynamoDB takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from dynamodb_wrapper.codec import Template, TimeRules, Wire
from dynamodb_wrapper.codec.templates import ABOVE_DELIMITER, cased, escaped, fitting
from dynamodb_wrapper.exceptions import ExpressionError
from dynamodb_wrapper.expressions import Comparison, Condition, Function, Path
from dynamodb_wrapper.expressions.nodes import Between
from dynamodb_wrapper.operations.key_values import MAX_SORT_KEY_BYTES

_NOTHING = "!"
"""Sorts below the delimiter, so it is in no value that a template writes: what ends with it is no key."""
_HIGHEST = "\U0010ffff"


@dataclass(frozen=True, slots=True)
class Partition:
    """What reads one partition of a key.

    Attributes:
        conditions: On the partition key.
        sort_key: Where a template makes the sort key: how, and which of its parts are given.
        shards: Where it is spread over shards: the condition for each; that of the first is in ``conditions``.
    """

    conditions: tuple[Condition, ...]
    sort_key: SortTemplate | None = None
    shards: tuple[Condition, ...] = ()


@dataclass(frozen=True, slots=True)
class SortTemplate:
    """The sort key of one partition, and which of its parts are given.

    Attributes:
        template: How it is made.
        wires: The parts that are known: from the partition key, and by equality.
        field_wire: From a field and a value to its stored form.
        times: How datetimes are stored.
        owner: What to name in errors.
    """

    template: Template
    wires: Mapping[str, Wire]
    field_wire: Callable[[str, object], Wire]
    times: TimeRules
    owner: str

    @property
    def _given(self) -> int:
        """How many parts are known, from the left."""
        names = self.template.names
        return next((number for number, name in enumerate(names) if name not in self.wires), len(names))

    @property
    def next_field(self) -> str | None:
        """The field that is conditioned next; None when all are given."""
        return next(iter(self.template.names[self._given :]), None)

    @property
    def condition(self) -> Condition | None:
        """The condition that the key begins with the parts given, or is made of them; None where that says nothing."""
        path, text = Path(self.template.attribute), self._prefix
        if self.next_field is None:
            return path == text
        return path.begins_with(text) if text else None

    def with_next(self, value: object) -> SortTemplate:
        """Return this with the next part given."""
        name = self.template.names[self._given]
        return replace(self, wires={**self.wires, name: self.field_wire(name, value)})

    def ranged(self, condition: Condition) -> Condition:
        """Return the condition on the key that says what a range says of the next part.

        Raises:
            ExpressionError: It is a prefix of a number.
        """
        match condition:
            case Between(_, low, high):
                return self._within(self._from(low), self._to(high))
            case Comparison(_, ">=", value):
                return self._within(self._from(value), None)
            case Comparison(_, ">", value):
                return self._within(self._prefix + self._text(value) + ABOVE_DELIMITER, None)
            case Comparison(_, "<=", value):
                return self._within(None, self._to(value))
            case Comparison(_, "<", value):
                return self._below(value)
            case Function("begins_with", _, (str(prefix),)):
                return Path(self.template.attribute).begins_with(self._prefix + self._piece(prefix))
        raise ExpressionError(f"{self.owner}: {condition!r} is no range of {self.next_field!r}")

    @property
    def _prefix(self) -> str:
        """What every key with the given parts begins with: it ends with the delimiter, or is empty."""
        known = [self.wires[name] for name in self.template.names[: self._given]]
        with fitting(self.owner):
            return self.template.prefix(known, self.times)

    @property
    def _is_last(self) -> bool:
        return not self.template.literals[self._given + 1]

    def _text(self, value: object) -> str:
        """Return what stands in the key for a value of the next part."""
        number = self._given
        with fitting(self.owner):
            return self.template.part_text(number, self.field_wire(self.template.names[number], value), self.times)

    def _from(self, value: object) -> str:
        return self._prefix + self._text(value)

    def _to(self, value: object) -> str:
        """Return what no key with at most that value is above, and every other is."""
        return self._prefix + self._text(value) + ("" if self._is_last else ABOVE_DELIMITER)

    def _within(self, low: str | None, high: str | None) -> Condition:
        """Return the condition that the key is in a range, and begins with the given parts."""
        path, prefix = Path(self.template.attribute), self._prefix
        if prefix:
            return path.between(low or prefix, high or prefix[:-1] + ABOVE_DELIMITER)
        if low is not None and high is not None:
            return path.between(low, high)
        return path >= low if high is None else path <= high

    def _below(self, value: object) -> Condition:
        prefix, text = self._prefix, self._text(value)
        path = Path(self.template.attribute)
        if not prefix:
            return path < text
        if not self._is_last:
            return self._within(None, prefix + text)
        if not text:
            return path == prefix + _NOTHING
        # DynamoDB has no range that leaves out its end. Between the text and this, no key is short enough to be.
        before = ord(text[-1]) - 1
        high = prefix + text[:-1] + chr(before if not 0xD800 <= before <= 0xDFFF else 0xD7FF)
        return self._within(None, high + _HIGHEST * ((MAX_SORT_KEY_BYTES - len(high.encode())) // 4))

    def _piece(self, prefix: str) -> str:
        """Return what stands in the key for the beginning of a value."""
        part = self.template.parts[self._given]
        if part.form == "number":
            raise ExpressionError(
                f"{self.owner}: {part.name!r} is a number, which begins with nothing: use .eq, .between, .lt, ...",
                {part.name: "a number"},
            )
        return escaped(cased(prefix, self.template.case))
