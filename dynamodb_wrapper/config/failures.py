"""Turn what Pydantic says about wrong settings into our `ValidationError`, without showing a secret."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import get_args

from pydantic import ValidationError as PydanticValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError
from pydantic_core.core_schema import ErrorType

from dynamodb_wrapper.config.fields import ALLOWED, MASK, SECRET_FIELDS
from dynamodb_wrapper.config.sources import CREDENTIALS, MILLISECONDS, Found
from dynamodb_wrapper.exceptions import ValidationError


class IncompleteCredentialsError(ValueError):
    """A key without its secret and the like; Pydantic turns it into a line of its error, and we back into its text."""


_LONGEST_VALUE = 200
_KNOWN_TYPES = frozenset(get_args(ErrorType))


def settings_error(
    error: PydanticValidationError, found: Mapping[str, Found], fields: Collection[str]
) -> ValidationError:
    """Return our error for Pydantic's: each field, its value (masked for secrets), its source, and what is allowed.

    Args:
        error: What Pydantic raised.
        found: The settings that came from the environment.
        fields: The names of all settings, to suggest one for an unknown keyword.
    """
    problems: dict[str, object] = {}
    sentences: list[str] = []
    for line in error.errors(include_url=False):
        field = str(line["loc"][0]) if line["loc"] else "settings"
        cause = line.get("ctx", {}).get("error")
        if field in problems:
            continue
        if line["type"] == "extra_forbidden":
            problem = _unknown(field, fields)
        elif isinstance(cause, IncompleteCredentialsError):
            problem = f"{cause}{_origin(found)}"
        elif field not in ALLOWED:  # A subclass's own field, whose value may be a secret for all we know.
            problem = f"is wrong: {line['msg']}"
        else:
            problem = _wrong(field, line["input"], found.get(field))
        problems[field] = problem
        sentences.append(f"{field} {problem}")
    return ValidationError("; ".join(sentences), problems, _without_secrets(error))


def _unknown(field: str, fields: Collection[str]) -> str:
    import difflib  # of no use to those who have made no mistake

    near = difflib.get_close_matches(field, fields, n=1)
    if near:
        return f"is not a setting: did you mean {near[0]}?"
    return f"is not a setting: must be one of {', '.join(sorted(fields))}"


def _origin(found: Mapping[str, Found]) -> str:
    """Return which variables gave the credentials, for the end of a sentence."""
    variables = [found[name].variable for name in CREDENTIALS if name in found]
    return f" (the environment has only {' and '.join(variables)})" if variables else ""


def _wrong(field: str, value: object, found: Found | None) -> str:
    allowed = ALLOWED[field]
    if found is None:
        return f"is {_shown(field, value)}: must be {allowed}"
    if field in MILLISECONDS:
        allowed = f"a number of milliseconds, and the setting {allowed}"
    return f"is {_shown(field, found.text)} (from {found.variable}): must be {allowed}"


def _shown(field: str, value: object) -> str:
    text = repr(value)
    # What stands before an "@" in a URL is a user name and password.
    if field in SECRET_FIELDS or (field == "endpoint_url" and "@" in text):
        return repr(MASK)
    return text if len(text) <= _LONGEST_VALUE else f"{text[:_LONGEST_VALUE]}..."


def _custom(kind: str, message: str) -> PydanticCustomError:
    return PydanticCustomError(kind, "{message}", {"message": message})


def _without_secrets(error: PydanticValidationError) -> PydanticValidationError:
    """Return the same error with every input that may be secret masked.

    That is an unknown keyword's too: it may be the name of a secret, misspelt.
    """
    lines: list[InitErrorDetails] = []
    for line in error.errors(include_url=False):
        field = str(line["loc"][0]) if line["loc"] else ""
        secret = field not in ALLOWED or _shown(field, line["input"]) == repr(MASK)
        shown = MASK if secret else line["input"]
        # The same type with the same context where Pydantic knows it: older versions cannot unpickle a custom one.
        kind = line["type"] if line["type"] in _KNOWN_TYPES else _custom(line["type"], line["msg"])
        lines.append(InitErrorDetails(type=kind, loc=line["loc"], input=shown, ctx=line.get("ctx", {})))
    return PydanticValidationError.from_exception_data(error.title, lines, hide_input=True)
