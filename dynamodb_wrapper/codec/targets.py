"""Places in an item that expressions speak of."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pydantic

from dynamodb_wrapper.codec.shapes import Shape, Step
from dynamodb_wrapper.codec.wire import RefusedValueError, Wire
from dynamodb_wrapper.exceptions import ExpressionError, ValidationError

_PART = re.compile(r"([^\[\]]+)((?:\[\d+\])*)")
_INDEX = re.compile(r"\[(\d+)\]")


# What Pydantic calls a value of the right kind that breaks a rule of the model: such a value may be compared with.
_CONSTRAINTS = frozenset(
    (
        "assertion_error",
        "bytes_too_long",
        "bytes_too_short",
        "date_future",
        "date_past",
        "datetime_future",
        "datetime_past",
        "decimal_max_digits",
        "decimal_max_places",
        "decimal_whole_digits",
        "greater_than",
        "greater_than_equal",
        "int_from_float",
        "less_than",
        "less_than_equal",
        "multiple_of",
        "string_pattern_mismatch",
        "string_too_long",
        "string_too_short",
        "too_long",
        "too_short",
        "value_error",
    )
)


class Validate(Protocol):
    """Validates one value, raising Pydantic's error; ``strict`` overrides what the model says."""

    def __call__(self, value: Any, /, *, strict: bool | None = None) -> Any:
        """Return the validated value."""
        ...


@dataclass(frozen=True, slots=True)
class Target:
    """A place in an item that an expression speaks of, and how values are encoded for it.

    Attributes:
        label: How the caller wrote it, for messages.
        names: The path as it is stored.
        shape: What is known of the values there.
        raw: From any value to its wire form, by the value's own type.
        store: From a validated value to its wire form.
        validate: Validates a value for that place, or None when nothing is known of it.
    """

    label: str
    names: tuple[Step, ...]
    shape: Shape
    raw: Callable[[Any], Wire]
    store: Callable[[Any], Wire]
    validate: Validate | None = None

    def written(self, value: object) -> Wire:
        """Return the wire form of a value that is to be stored there.

        Raises:
            ValidationError: The model would refuse the value, or DynamoDB would.
        """
        if self.validate is None:
            return self._encoded(self.raw, value)
        try:
            value = self.validate(value)
        except pydantic.ValidationError as error:
            raise invalid(f"{self.label} cannot be {value!r}", error, self.label) from error
        return self._encoded(self.store, value)

    def compared(self, value: object) -> Wire:
        """Return the wire form of a value to compare with: as it would be stored, constraints not applied.

        Raises:
            ExpressionError: The value can never be there.
        """
        if self.validate is None:
            return self._encoded(self.raw, value)
        try:
            valid = self.validate(value, strict=False)
        except pydantic.ValidationError as error:
            wire = self._encoded(self.raw, value)
            failures = error.errors(include_url=False)
            is_comparable = {entry["type"] for entry in failures} <= _CONSTRAINTS
            if is_comparable and (not self.shape.tags or self.shape.tags & wire.keys()):
                return wire
            raise ExpressionError(
                f"{self.label} is never {value!r}: it is stored as {_tag_names(self.shape)} ({failures[0]['msg']})",
                {self.label: failures[0]["msg"]},
                error,
            ) from error
        return self._encoded(self.store, valid)

    def accepts(self, value: object) -> bool:
        """Whether the model would accept the value there."""
        try:
            if self.validate is not None:
                self.validate(value)
        except pydantic.ValidationError:
            return False
        return True

    def takes_numbers_like(self, value: object) -> bool:
        """Whether the place holds numbers, and of that kind (whole or not); constraints are not applied."""
        if self.shape.tags and "N" not in self.shape.tags:
            return False
        try:
            if self.validate is not None:
                self.validate(value, strict=False)
        except pydantic.ValidationError as error:
            return not any(entry["type"].startswith("int_") for entry in error.errors(include_url=False))
        return True

    def part(self, value: object) -> Wire:
        """Return the wire form of a piece of a value (a prefix, a substring) by its own type."""
        return self._encoded(self.raw, value)

    def _encoded(self, encode: Callable[[Any], Wire], value: object) -> Wire:
        try:
            return encode(value)
        except RefusedValueError as refused:
            raise refused.at(self.label).as_validation_error() from None
        except RecursionError as error:
            reason = "contains itself or is nested too deeply"
            raise ValidationError(f"{self.label} {reason}", {self.label: reason}, error) from error


def invalid(
    message: str, error: pydantic.ValidationError, prefix: str = "", *, kind: type[ValidationError] = ValidationError
) -> ValidationError:
    """Return our error for Pydantic's, with what is wrong by field and no values beyond those it is about."""
    errors = {
        ".".join([*filter(None, [prefix]), *_inside(prefix, entry["loc"])]) or "model": entry["msg"]
        for entry in error.errors(include_url=False)
    }
    details = "; ".join(f"{field}: {reason}" for field, reason in errors.items())
    return kind(f"{message}: {details}", errors, error)


def _inside(prefix: str, places: Sequence[Step]) -> list[str]:
    """Return the places without the field that the prefix names already."""
    repeats = bool(prefix) and bool(places) and places[0] == prefix.rsplit(".", 1)[-1]
    return [str(place) for place in places[repeats:]]


def path_label(path: Sequence[Step]) -> str:
    """Return a path as a caller would write it: ``stages[0].name``."""
    text = str(path[0])
    for step in path[1:]:
        text += f"[{step}]" if isinstance(step, int) else f".{step}"
    return text


def split_path(name: str) -> list[Step]:
    """Split ``"stages[0].name"`` into its steps.

    Raises:
        ExpressionError: It is no path.
    """
    steps: list[Step] = []
    for part in name.split("."):
        match = _PART.fullmatch(part)
        if match is None:
            raise ExpressionError(f"{name!r} is no path: names are joined by dots, list indexes stand in brackets")
        steps.append(match[1])
        steps.extend(int(index) for index in _INDEX.findall(match[2]))
    return steps


def _tag_names(shape: Shape) -> str:
    return " or ".join(sorted(shape.tags)) or "any type"
