"""Fields that are stored in another form than Pydantic's own, because DynamoDB needs it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dynamodb_wrapper.codec.shapes import Member, Shape
from dynamodb_wrapper.codec.wire import RefusedValueError, TimeRules, Wire, read_any
from dynamodb_wrapper.exceptions import DeclarationError

_EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
_SECOND = dt.timedelta(seconds=1)


class StoredForm(Protocol):
    """Turns the dumped value of one field into what is stored, and back."""

    def shape(self, member: Member, times: TimeRules) -> Shape:
        """Return how the stored form looks and is read."""
        ...

    def store(self, value: Any, times: TimeRules) -> Any:
        """Return the value to encode for a dumped value that is not None."""
        ...


@dataclass(frozen=True, slots=True)
class EpochSeconds:
    """A datetime as whole seconds since 1970, the only form DynamoDB's time to live understands.

    A fraction is rounded up: an item never expires before its time.
    """

    def shape(self, member: Member, times: TimeRules) -> Shape:
        """Return a number that reads as a datetime."""

        def read(wire: Wire) -> object:
            value = read_any(wire)
            if "N" not in wire:
                return value
            try:
                return times.show(dt.datetime.fromtimestamp(float(value), dt.UTC))
            except (ValueError, OverflowError, OSError):
                return value  # milliseconds, by another writer: Pydantic knows them by their size

        return Shape(member.shape.annotation, frozenset("N"), read, member.shape.nullable)

    def store(self, value: Any, times: TimeRules) -> Any:
        """Return the epoch second of a datetime; numbers are taken as they are."""
        return -((_EPOCH - times.aware(value)) // _SECOND) if isinstance(value, dt.datetime) else value


@dataclass(frozen=True, slots=True)
class KeyedList:
    """A list of models as a map by one of their fields, so that one element can be added or replaced atomically.

    The order is kept in an attribute ``position`` of each element. Paths address elements by their key:
    ``F.stages["extract"].status``.
    """

    by: str
    position: str = "position"

    def shape(self, member: Member, times: TimeRules) -> Shape:
        """Return a map that reads as the list, in order.

        Raises:
            DeclarationError: The elements have no attribute ``by``, or use ``position`` themselves.
        """
        element = member.shape.element or Shape()
        if element.model is not None and self.by not in element.model.by_attribute:
            raise DeclarationError(f"{member.name}: the elements have no attribute {self.by!r} to be keyed by")
        if element.model is not None and self.position in (*element.model.by_attribute, *element.model.computed):
            raise DeclarationError(
                f"{member.name}: the elements have an attribute {self.position!r} of their own; "
                f"choose another name for their order: KeyedList({self.by!r}, position=...)"
            )

        def read(wire: Wire) -> object:
            if "M" not in wire:
                return member.shape.read(wire)
            entries = sorted(wire["M"].items(), key=lambda named: (self._order(named[1]), named[0]))
            return [element.read(self._without_position(entry)) for _, entry in entries]

        return Shape(member.shape.annotation, frozenset("M"), read, member.shape.nullable, element=element)

    def store(self, value: Any, times: TimeRules) -> Any:
        """Return the map of a list of dumped models (or the map itself, when it is one already)."""
        if isinstance(value, Mapping):
            return value
        stored = {entry[self.by]: {**entry, self.position: index} for index, entry in enumerate(value)}
        if len(stored) < len(value):
            raise RefusedValueError(f"has two elements with the same {self.by!r}", value)
        return stored

    def placed(self, element: Wire, stored: Wire, key: str) -> Wire:
        """Return an encoded element with its position: that of the one it replaces in ``stored``, or the next one."""
        known = {name: self._order(entry) for name, entry in stored["M"].items()}
        following = max((position for position in known.values() if position != math.inf), default=-1) + 1
        position = known.get(key, math.inf)
        return {"M": {**element["M"], self.position: {"N": str(following if position == math.inf else position)}}}

    def _order(self, entry: Wire) -> Any:
        position = entry.get("M", {}).get(self.position)
        return read_any(position) if position else math.inf

    def _without_position(self, entry: Wire) -> Wire:
        if "M" not in entry:
            return entry
        return {"M": {name: value for name, value in entry["M"].items() if name != self.position}}
