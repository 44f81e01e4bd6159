"""Attributes that are stored but are no field: computed from fields, mostly to serve as index keys."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal


@dataclass(frozen=True, slots=True)
class Derived:
    """An attribute computed from fields on every write, and never read back.

    The usual use is a sparse index: items for which ``compute`` gives None do not carry the attribute, so they are
    simply not in the index.

    Attributes:
        attribute: The name it is stored under; must not be a field's.
        fields: The Python names of the fields it is computed from.
        compute: Called with their values, in that order; returns the value, or None to leave the attribute out.
        tag: Its DynamoDB type: ``"S"`` (default), ``"N"`` or ``"B"``.
    """

    attribute: str
    fields: tuple[str, ...]
    compute: Callable[..., Any]
    tag: Literal["S", "N", "B"] = "S"


@dataclass(frozen=True, slots=True)
class Always:
    """Computes the same value whatever the item is; equal to another one of that value."""

    value: str

    def __call__(self) -> str:
        """Return the value."""
        return self.value
