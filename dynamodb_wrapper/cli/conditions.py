"""From ``--where total>=100`` to a condition; values are typed as the field is, by the library."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable

from dynamodb_wrapper.cli.failures import CommandError
from dynamodb_wrapper.codec.targets import split_path
from dynamodb_wrapper.expressions import Condition
from dynamodb_wrapper.expressions.nodes import Path

WHERE_HELP = (
    "Only items for which this holds; may be repeated, and all must hold. FIELD=VALUE, or with != < <= > >= ^= (begins "
    "with) *= (contains). FIELD alone: it is there; !FIELD: it is not. DynamoDB filters after reading."
)

_CONDITION = re.compile(r"(?P<path>[^=<>!^*]+?)\s*(?P<operator>!=|<=|>=|\^=|\*=|=|<|>)\s*(?P<value>.*)", re.DOTALL)
_PRESENCE = re.compile(r"(?P<absent>!?)\s*(?P<path>[^=<>!^*]+)")

_OPERATORS: dict[str, Callable[[Path, str], Condition]] = {
    "=": lambda path, value: path == value,
    "!=": lambda path, value: path != value,
    "<": lambda path, value: path < value,
    "<=": lambda path, value: path <= value,
    ">": lambda path, value: path > value,
    ">=": lambda path, value: path >= value,
    "^=": lambda path, value: path.begins_with(value),
    "*=": lambda path, value: path.contains(value),
}


def conditions(texts: Iterable[str]) -> list[Condition]:
    """Return the conditions that are written so.

    Raises:
        CommandError: One is not written so.
        ExpressionError: One has no path of an attribute.
    """
    return [_condition(text.strip()) for text in texts]


def _condition(text: str) -> Condition:
    if found := _CONDITION.fullmatch(text):
        return _OPERATORS[found["operator"]](_path(found["path"]), found["value"])
    if found := _PRESENCE.fullmatch(text):
        path = _path(found["path"])
        return path.not_exists() if found["absent"] else path.exists()
    raise CommandError(f"--where {text!r} is no condition: it is written as FIELD=VALUE, FIELD>VALUE, FIELD or !FIELD")


def _path(text: str) -> Path:
    return Path(*split_path(text.strip()))
