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
    "with) *= (contains). FIELD alone: it is there; !FIELD: it is not. Several with ' or ' between them: one of them "
    "must hold. A value in quotes is taken as it is. DynamoDB filters after reading."
)

_OR = r"\s+or(?=\s|$)"
_PLACE = re.compile(
    rf"(?P<absent>!?)\s*(?P<path>[^=<>!^*]+?)\s*(?:(?P<operator>!=|<=|>=|\^=|\*=|=|<|>)\s*|(?={_OR})|$)"
)
_PLAIN = re.compile(rf"(?!or\s)(?P<value>.*?)\s*(?={_OR}|$)", re.DOTALL)
_QUOTED = re.compile(
    rf"(?P<quote>[\"'])(?P<value>(?:(?!(?P=quote)).|(?P=quote){{2}})*)(?P=quote)(?={_OR}|\s*$)", re.DOTALL
)
_ANOTHER = re.compile(r"\s(?P<word>OR|Or|and|And|AND)\s+[\w.\[\]-]+\s*(?:!=|<=|>=|\^=|\*=|=|<|>)")
_NEXT = re.compile(rf"{_OR}\s*")

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
        CommandError: One is not written so; says where.
        ExpressionError: One has no path of an attribute.
    """
    return [_condition(text) for text in texts]


def _condition(text: str) -> Condition:
    """Return the condition of a text: alternatives with ``or`` between them."""
    text = text.strip()
    condition, place = _alternative(text, 0)
    while place < len(text):
        found = _NEXT.match(text, place)
        assert found is not None  # every alternative ends at one
        another, place = _alternative(text, found.end())
        condition |= another
    return condition


def _alternative(text: str, start: int) -> tuple[Condition, int]:
    """Return the alternative that begins at a place in a text, and where it ends."""
    found = _PLACE.match(text, start)
    if found is None or re.match(r"or(\s|$)", text[start:]) or (found["absent"] and found["operator"]):
        raise _wrong(text, start, "is no condition: it is written as FIELD=VALUE, FIELD>VALUE, FIELD or !FIELD")
    path = Path(*split_path(found["path"]))
    if found["operator"] is None:
        return path.not_exists() if found["absent"] else path.exists(), found.end()
    value, end = _value(text, found.end())
    return _OPERATORS[found["operator"]](path, value), end


def _value(text: str, start: int) -> tuple[str, int]:
    """Return the value that begins at a place in a text, and where it ends."""
    quote = text[start : start + 1]
    if quote in ("'", '"'):
        found = _QUOTED.match(text, start)
        if found is None:
            raise _wrong(text, start, f"is no value: one in quotes ends with {quote}, and has {quote} in it twice")
        return found["value"].replace(2 * quote, quote), found.end()
    found = _PLAIN.match(text, start)
    if found is None:
        raise _wrong(text, start, "is no value: an empty one, or one that begins with 'or', stands in quotes")
    if other := _ANOTHER.search(text, start, found.end()):
        word = other["word"]
        advice = "alternatives have a small 'or' between them" if word.lower() == "or" else "repeat --where instead"
        raise _wrong(text, other.start("word"), f"looks like another condition: {advice}; a value with it in quotes")
    return found["value"], found.end()


def _wrong(text: str, start: int, problem: str) -> CommandError:
    rest = text[start:]
    where = "" if not start else f", at character {start + 1}, {rest!r}," if rest else ", at its end,"
    return CommandError(f"--where {text!r}{where} {problem}")
