"""Python values to DynamoDB attribute values and back, without knowing a model.

An attribute value in *wire form* is the dict DynamoDB's own protocol uses, one type tag and a payload:
``{"S": "text"}``, ``{"N": "42"}``, ``{"M": {...}}``. Binary payloads are ``bytes`` in dicts made here; text payloads
(base64, as in JSON) are understood when reading.
"""

from __future__ import annotations

import base64
import datetime as dt
import math
import uuid
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from enum import Enum
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from pathlib import PurePath
from typing import Any

from pydantic import BaseModel, Secret, SecretBytes, SecretStr
from pydantic_core import PydanticSerializationError, to_jsonable_python

from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.utils.timezone import TimezoneManager

Wire = dict[str, Any]
"""One attribute value: a single type tag and its payload."""
Item = dict[str, Wire]
"""One item: attribute names to wire values."""

MAX_DIGITS = 38
"""Significant digits of a DynamoDB number (AWS, "Supported data types")."""
_LARGEST_EXPONENT = 125
_SMALLEST_EXPONENT = -130
_ZONES = TimezoneManager("UTC")
_SURELY_FITS = 10**MAX_DIGITS


@dataclass(frozen=True, slots=True)
class TimeRules:
    """How datetimes are stored and shown.

    Attributes:
        assumed: The zone a naive datetime is taken to be in.
        stored: The zone datetimes are stored in (UTC, unless the configuration says otherwise).
        shown: The zone datetimes come back in.
    """

    assumed: dt.tzinfo = dt.UTC
    stored: dt.tzinfo = dt.UTC
    shown: dt.tzinfo = dt.UTC

    @classmethod
    def of(cls, *, assumed: str, stored_in_utc: bool, shown: str | None) -> TimeRules:
        """Make the rules from zone names."""
        zone = zone_of(assumed)
        return cls(zone, dt.UTC if stored_in_utc else zone, zone_of(shown) if shown else dt.UTC)

    def aware(self, value: dt.datetime) -> dt.datetime:
        """Return ``value`` with the assumed zone if it was naive."""
        # Not "tzinfo is None": a tzinfo may decline to give an offset, and Python calls that naive as well.
        return value.replace(tzinfo=self.assumed) if value.utcoffset() is None else value

    def text(self, value: dt.datetime) -> str:
        """Return the stored form: ISO 8601 in one fixed width, so that text order is time order."""
        try:
            return self.aware(value).astimezone(self.stored).isoformat(timespec="microseconds")
        except OverflowError:
            raise RefusedValueError("is outside the years 1 to 9999 once it is converted to UTC", value) from None

    def show(self, value: dt.datetime) -> dt.datetime:
        """Return the same instant in the zone that readers see."""
        try:
            return self.aware(value).astimezone(self.shown)
        except OverflowError:
            return self.aware(value)


def zone_of(name: str) -> dt.tzinfo:
    """Return the zone of that name; UTC is ``datetime.UTC`` itself.

    Raises:
        ValidationError: There is no such zone.
    """
    return dt.UTC if name.upper() == "UTC" else _ZONES.get_timezone(name)


class RefusedValueError(Exception):
    """A value that DynamoDB cannot hold; becomes a `ValidationError` once its place is known."""

    def __init__(self, reason: str, value: object) -> None:
        super().__init__(reason)
        self.reason = reason
        self.value = value
        self.steps: list[str] = []

    def at(self, step: object) -> RefusedValueError:
        """Return this refusal, one level further out."""
        self.steps.insert(0, str(step))
        return self

    def as_validation_error(self, *, owner: str | None = None) -> ValidationError:
        """Return the error a caller sees: what was wrong, where, and the value."""
        field = ".".join(self.steps) or "value"
        shown = repr(self.value)
        shown = shown if len(shown) <= 120 else f"{shown[:117]}..."
        return ValidationError(
            f"{owner + ': ' if owner else ''}{field} = {shown} {self.reason}",
            {field: f"{shown} {self.reason}"},
            context={"field": field},
        )


def number_text(value: Decimal) -> str:
    """Return the one text DynamoDB's own normal form gives a number: no exponent, no trailing zeros."""
    if not value.is_finite():
        raise RefusedValueError("cannot be stored: DynamoDB has no NaN or infinity", value)
    if not value:
        return "0"
    if not _SMALLEST_EXPONENT <= value.adjusted() <= _LARGEST_EXPONENT:
        raise RefusedValueError("is outside DynamoDB's range of numbers, 1E-130 to 9.99E+125", value)
    text = format(value, "f")
    if "." in text:
        text = text.rstrip("0").rstrip(".")
    if len(text.lstrip("-").replace(".", "").strip("0")) > MAX_DIGITS:
        raise RefusedValueError(
            f"has more than {MAX_DIGITS} significant digits, the most a DynamoDB number holds", value
        )
    return text


def _unicode_text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError as error:
        raise RefusedValueError(f"is no valid Unicode text ({error.reason})", value) from None
    return value


def _int_text(value: int) -> str:
    if -_SURELY_FITS < value < _SURELY_FITS:
        return str(int(value))
    if abs(value) >= 10 ** (_LARGEST_EXPONENT + 1):
        raise RefusedValueError("is outside DynamoDB's range of numbers, 1E-130 to 9.99E+125", value)
    return number_text(Decimal(value))


def _float_text(value: float) -> str:
    if not math.isfinite(value):
        raise RefusedValueError("cannot be stored: DynamoDB has no NaN or infinity", value)
    try:
        return number_text(Decimal(repr(float(value))))
    except RefusedValueError as refused:
        raise RefusedValueError(refused.reason, value) from None


def read_number(text: str) -> int | Decimal:
    """Return an integral number as int (of any size), any other as Decimal, exactly."""
    if text.removeprefix("-").isdigit():
        return int(text)
    number = Decimal(text)
    whole = number.to_integral_value()
    return int(whole) if whole == number else number


def read_binary(payload: bytes | str) -> bytes:
    """Return the bytes of a ``B`` payload, be it bytes already or base64 text.

    Raises:
        TypeError: It is neither, such as a number: of that, `bytes` would make as many zeros.
    """
    return base64.b64decode(payload) if isinstance(payload, str) else bytes(memoryview(payload))


def read_any(wire: Wire) -> Any:
    """Return the Python value of an attribute value when nothing is known of its type."""
    for tag, payload in wire.items():
        if tag == "S":  # by far the commonest
            return payload
        read = _READ_ANY.get(tag)
        if read is not None:
            return read(payload)
    raise ValidationError(f"not a DynamoDB attribute value: {wire!r}")


_READ_ANY: dict[str, Callable[[Any], Any]] = {
    "S": lambda payload: payload,
    "N": read_number,
    "B": read_binary,
    "BOOL": bool,
    "NULL": lambda _: None,
    "M": lambda payload: {name: read_any(value) for name, value in payload.items()},
    "L": lambda payload: [read_any(value) for value in payload],
    "SS": set,
    "NS": lambda payload: {read_number(text) for text in payload},
    "BS": lambda payload: {read_binary(value) for value in payload},
}


class WireEncoder:
    """Encodes Python values by their own type."""

    def __init__(self, times: TimeRules) -> None:
        self._times = times
        self._by_type: dict[type, Callable[[Any], Wire]] = {
            type(None): lambda _: {"NULL": True},
            bool: lambda value: {"BOOL": value},
            str: lambda value: {"S": value if value.isascii() else _unicode_text(value)},
            int: lambda value: {"N": _int_text(value)},
            float: lambda value: {"N": _float_text(value)},
            Decimal: lambda value: {"N": number_text(value)},
            bytes: lambda value: {"B": value},
            dict: self._map,
            list: self._list,
            tuple: self._list,
            set: self._set,
            frozenset: self._set,
            dt.datetime: lambda value: {"S": times.text(value)},
            dt.date: lambda value: {"S": value.isoformat()},
            dt.time: lambda value: {"S": value.isoformat(timespec="microseconds")},
            dt.timedelta: lambda value: {"S": _duration_text(value)},
            uuid.UUID: lambda value: {"S": str(value)},
        }

    def encode(self, value: object) -> Wire:
        """Return the wire form of ``value``.

        Raises:
            RefusedValueError: DynamoDB cannot hold it; ``steps`` names the place inside it.
        """
        encode = self._by_type.get(type(value))
        if encode is None:
            encode = self._by_type[type(value)] = self._encoder_for(type(value))
        return encode(value)

    def _encoder_for(self, kind: type) -> Callable[[Any], Wire]:
        """Find how a type without an entry is encoded: by what it is a kind of, else as Pydantic writes it to JSON."""
        for base, prepare in _PREPARED:
            if issubclass(kind, base):
                return lambda value: self.encode(prepare(value))
        for base in (bool, str, int, float, Decimal, bytes, dict, list, tuple, set, frozenset):
            if issubclass(kind, base):
                return self._by_type[base]
        for base in (dt.datetime, dt.date, dt.time, dt.timedelta, uuid.UUID):
            if issubclass(kind, base):
                return self._by_type[base]
        return self._as_json

    def _as_json(self, value: object) -> Wire:
        try:
            plain = to_jsonable_python(value)
        except (PydanticSerializationError, ValueError, TypeError):
            raise RefusedValueError(f"is of type {type(value).__name__}, which has no DynamoDB form", value) from None
        return self.encode(plain)

    def _map(self, value: Mapping[object, object]) -> Wire:
        entries: Item = {}
        for key, entry in value.items():
            try:
                name = key if type(key) is str else self.key_text(key)
                if name in entries:
                    raise RefusedValueError("has two keys that are the same text", value)
                entries[name] = self.encode(entry)
            except RefusedValueError as refused:
                raise refused.at(key) from None
        return {"M": entries}

    def key_text(self, key: object) -> str:
        """Return the text that a map key of any type is stored as.

        Raises:
            RefusedValueError: It is no text or number.
        """
        if isinstance(key, bool):
            return "true" if key else "false"
        wire = self.encode(key)
        text = wire.get("S", wire.get("N"))
        if not isinstance(text, str):
            raise RefusedValueError(f"has a key of type {type(key).__name__}; map keys must be text or numbers", key)
        return text

    def _list(self, value: list[object] | tuple[object, ...]) -> Wire:
        encoded = []
        for index, entry in enumerate(value):
            try:
                encoded.append(self.encode(entry))
            except RefusedValueError as refused:
                raise refused.at(index) from None
        return {"L": encoded}

    def _set(self, value: set[object] | frozenset[object]) -> Wire:
        """Encode a set natively where DynamoDB can (text, numbers or bytes, not empty), else as a list.

        Sorted: the same for equal sets, in every process.
        """
        members = self._list(list(value))["L"]
        tags = {tag for member in members for tag in member}
        if len(tags) != 1 or not tags <= {"S", "N", "B"}:
            return {"L": sorted(members, key=repr)}
        (tag,) = tags
        payloads = [member[tag] for member in members]
        if len(set(payloads)) < len(payloads):
            raise RefusedValueError("has members that are one and the same value in DynamoDB", value)
        return {f"{tag}S": sorted(payloads)}


def _duration_text(value: dt.timedelta) -> str:
    text: str = to_jsonable_python(value)
    return text


def _iterated(value: Any) -> list[object]:
    return list(value)


# In this order: a StrEnum is also a str, and must be stored by its value.
_PREPARED: tuple[tuple[type, Callable[[Any], object]], ...] = (
    (Enum, lambda value: value.value),
    (BaseModel, lambda value: value.model_dump(by_alias=True, warnings=False)),
    (SecretStr, lambda value: value.get_secret_value()),
    (SecretBytes, lambda value: value.get_secret_value()),
    (Secret, lambda value: value.get_secret_value()),
    (PurePath, str),
    *((address, str) for address in (IPv4Address, IPv4Network, IPv6Address, IPv6Network)),  # and interfaces
    (bytearray, bytes),
    (memoryview, bytes),
    (deque, _iterated),
    (Mapping, dict),
)
