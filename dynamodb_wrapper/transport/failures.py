"""What the retry policy needs to know of a failed attempt, noted on the error by whoever saw the failure.

A lane knows whether a request ever left, which status came back and how long AWS asks to wait; the error that the
caller gets has no use for it. `hinted` keeps it beside the error, `hint_of` reads it back.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeVar

from dynamodb_wrapper.exceptions import ConnectionError, ThrottlingError
from dynamodb_wrapper.operations.effects import Call

E = TypeVar("E", bound=BaseException)

BAD_KEYS = "the AWS access key or session token has characters that no key has, such as a line break"


class Verdict(Enum):
    """What a failed attempt says about sending the same request again."""

    FINAL = "the answer would be the same"
    SAFE = "nothing was applied, so any request may be repeated"
    LOST = "the request may have been applied, so only a repeatable one may be repeated"


@dataclass(frozen=True, slots=True)
class Hint:
    """How one attempt failed.

    Attributes:
        verdict: Whether the request may be repeated.
        throttled: Whether AWS asked for fewer requests (longer back-off, cheaper in the retry quota).
        retry_after: How long AWS asked to wait, in seconds, or None.
    """

    verdict: Verdict
    throttled: bool = False
    retry_after: float | None = None


_FINAL = Hint(Verdict.FINAL)
_LOST = Hint(Verdict.LOST)
_THROTTLED = Hint(Verdict.SAFE, throttled=True)


def hinted(error: E, hint: Hint) -> E:
    """Return the error with the hint noted on it."""
    error.__dict__["_hint"] = hint
    return error


def hint_of(error: BaseException) -> Hint:
    """Return the hint noted on the error, or the careful one for its class."""
    hint = error.__dict__.get("_hint")
    if isinstance(hint, Hint):
        return hint
    if isinstance(error, ThrottlingError):
        return _THROTTLED
    return _LOST if isinstance(error, ConnectionError) else _FINAL


def table_of(call: Call) -> str | None:
    """Return the table a call is about; several, of a batch or a transaction, with commas between them."""
    return ", ".join(tables_of(call)) or None


def tables_of(call: Call) -> tuple[str, ...]:
    """Return the tables a call is about, sorted."""
    name = call.params.get("TableName")
    if isinstance(name, str):
        return (name,)
    names = set(call.params.get("RequestItems", ()))
    for action in call.params.get("TransactItems", ()):
        names.update(part["TableName"] for part in action.values() if "TableName" in part)
    return tuple(sorted(names))


def context_of(call: Call) -> dict[str, object]:
    """Return what every error about a call says in its context: the table, and the key when there is one."""
    located = {"table_name": table_of(call), "key": call.key}
    return {name: value for name, value in located.items() if value is not None}
