"""Fields that are stored in another form than Pydantic's own, because DynamoDB needs it."""

from __future__ import annotations

import datetime as dt
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from dynamodb_wrapper.codec.shapes import Member, Shape, Step
from dynamodb_wrapper.codec.wire import RefusedValueError, TimeRules, Wire, read_any


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
            if isinstance(value, int) and "N" in wire:
                return times.show(dt.datetime.fromtimestamp(value, dt.UTC))
            return value

        return Shape(member.shape.annotation, frozenset("N"), read, member.shape.nullable)

    def store(self, value: Any, times: TimeRules) -> Any:
        """Return the epoch second of a datetime; numbers are taken as they are."""
        return math.ceil(times.aware(value).timestamp()) if isinstance(value, dt.datetime) else value


@dataclass(frozen=True, slots=True)
class KeyedList:
    """A list of models as a map by one of their fields, so that one element can be added or replaced atomically.

    The order is kept in an attribute ``position`` of each element. Paths address elements by their key:
    ``F.stages["extract"].status``.
    """

    by: str
    position: str = "position"

    def shape(self, member: Member, times: TimeRules) -> Shape:
        """Return a map that reads as the list, in order."""
        element = member.shape.element or Shape()

        def read(wire: Wire) -> object:
            if "M" not in wire:
                return member.shape.read(wire)
            entries = sorted(wire["M"].values(), key=self._order)
            return [element.read(self._without_position(entry)) for entry in entries]

        return Shape(member.shape.annotation, frozenset("M"), read, member.shape.nullable, element=element)

    def store(self, value: Any, times: TimeRules) -> Any:
        """Return the map of a list of dumped models (or the map itself, when it is one already)."""
        if isinstance(value, Mapping):
            return value
        stored = {str(entry[self.by]): {**entry, self.position: index} for index, entry in enumerate(value)}
        if len(stored) < len(value):
            raise RefusedValueError(f"has two elements with the same {self.by!r}", value)
        return stored

    def _order(self, entry: Wire) -> Any:
        position = entry.get("M", {}).get(self.position)
        return read_any(position) if position else math.inf

    def _without_position(self, entry: Wire) -> Wire:
        if "M" not in entry:
            return entry
        return {"M": {name: value for name, value in entry["M"].items() if name != self.position}}


__all__ = ["EpochSeconds", "KeyedList", "Step", "StoredForm"]
