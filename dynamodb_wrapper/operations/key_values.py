"""Values of keys in wire form: what DynamoDB takes for one, and the short way for those that are plainly right."""

from __future__ import annotations

from collections.abc import Callable

from dynamodb_wrapper.codec import Wire

MAX_PARTITION_KEY_BYTES = 2048
MAX_SORT_KEY_BYTES = 1024
"""AWS, "Quotas": the longest key values."""
SURELY_SHORT = MAX_SORT_KEY_BYTES // 4
"""Characters that take no more bytes than any key may have, whatever they are."""
_SURELY_A_NUMBER = 10**15
TYPE_NAMES = {"S": "text (S)", "N": "a number (N)", "B": "bytes (B)"}


def problem_of(wire: Wire, *, tag: str | None, most_bytes: int, kept_prefix: str | None) -> str:
    """Return what is wrong with a value of a key attribute, as the end of a sentence; nothing for one that can be.

    Args:
        wire: The value.
        tag: The type that the key is declared as; None for any.
        most_bytes: How long it may be.
        kept_prefix: What a text must not begin with.
    """
    ((found, payload),) = wire.items()
    if tag not in (None, found):
        return f"is of DynamoDB type {found}; the key is declared as {tag}"
    if found not in ("S", "B"):
        return ""
    try:
        length = len(payload.encode() if isinstance(payload, str) else payload)
    except UnicodeEncodeError as error:
        return f"is no valid Unicode text ({error.reason})"
    if length == 0:
        return "is empty; DynamoDB allows no empty key"
    if length > most_bytes:
        return f"takes {length:,} bytes; DynamoDB allows {most_bytes:,}"
    if kept_prefix is not None and isinstance(payload, str) and payload.startswith(kept_prefix):
        return f"begins with {kept_prefix!r}, which is kept for the guards of unique values"
    return ""


def plain_writer(kind: type | None) -> Callable[[object], Wire | None]:
    """Return what writes values of a key that are plainly right, and gives None for all others.

    Args:
        kind: ``str`` or ``int``, where such values are stored unchanged.
    """
    return _WRITERS.get(kind, _no_plain_value)


def wire_of_plain(value: str | int) -> Wire:
    """Return the wire form of a text or a whole number."""
    return {"S": value} if isinstance(value, str) else {"N": str(value)}


def _plain_text(value: object) -> Wire | None:
    is_plain = value.__class__ is str and value.isascii() and 0 < len(value) <= MAX_SORT_KEY_BYTES
    return {"S": value} if is_plain else None


def _plain_number(value: object) -> Wire | None:
    is_plain = value.__class__ is int and -_SURELY_A_NUMBER < value < _SURELY_A_NUMBER
    return {"N": str(value)} if is_plain else None


def _no_plain_value(_: object) -> Wire | None:
    return None


_WRITERS: dict[type | None, Callable[[object], Wire | None]] = {str: _plain_text, int: _plain_number}
