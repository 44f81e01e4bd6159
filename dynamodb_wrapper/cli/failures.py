"""What becomes of an error: one line on stderr, and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from enum import IntEnum
from typing import TextIO

import typer

from dynamodb_wrapper.exceptions import (
    AccessDeniedError,
    ConnectionError,
    CredentialsError,
    DynamoDBWrapperError,
    ItemNotFoundError,
    TableNotFoundError,
    ValidationError,
)

TRACEBACK_VARIABLE = "DYNAMODB_WRAPPER_TRACEBACK"


class ExitCode(IntEnum):
    """How a command ends."""

    OK = 0
    """It did what it was asked."""
    NO = 1
    """It ran, and the answer is no: differences, not healthy, some items failed, or nothing was done at a prompt."""
    USAGE = 2
    """The command, a key, a condition or a repository class is wrong; or a stored item is no valid model."""
    NOT_FOUND = 3
    """There is no such table or item."""
    UNREACHABLE = 4
    """DynamoDB could not be reached, or did not answer in time."""
    DENIED = 5
    """There are no usable credentials, or they lack a permission."""
    REFUSED = 6
    """DynamoDB refused for another reason: throttled, a limit, a table in use, a condition."""
    BUG = 70
    """Something that should not happen, in the command line or in the code of a repository."""
    OUTPUT = 74
    """The answer could not be written, or a file not read."""
    INTERRUPTED = 130
    """Ctrl-C, at a prompt too; what was begun can be gone on with."""
    BROKEN_PIPE = 141
    """Nobody reads the output any more, as with ``| head``."""


class CommandError(Exception):
    """A command cannot go on.

    Attributes:
        message: Why, in one sentence.
        code: How the process ends.
    """

    def __init__(self, message: str, code: ExitCode = ExitCode.USAGE) -> None:
        super().__init__(message)
        self.message = message
        self.code = code


def exit_code_of(error: DynamoDBWrapperError) -> ExitCode:
    """Return the exit code that stands for an error of the library."""
    if isinstance(error, ItemNotFoundError | TableNotFoundError):
        return ExitCode.NOT_FOUND
    if isinstance(error, ConnectionError):
        return ExitCode.UNREACHABLE
    if isinstance(error, CredentialsError | AccessDeniedError):
        return ExitCode.DENIED
    return ExitCode.USAGE if isinstance(error, ValidationError) else ExitCode.REFUSED


@contextmanager
def boundary() -> Iterator[None]:
    """Turn whatever a command raises into one line on stderr and an exit code."""
    try:
        yield
        sys.stdout.flush()
    except CommandError as error:
        raise _ended(error.message, error.code) from error
    except DynamoDBWrapperError as error:
        raise _ended(_said(error), exit_code_of(error)) from error
    except (KeyboardInterrupt, typer.Abort) as error:
        raise _ended("stopped", ExitCode.INTERRUPTED) from error
    except BrokenPipeError as error:
        _abandon(sys.stdout)
        raise typer.Exit(ExitCode.BROKEN_PIPE) from error
    except OSError as error:
        _abandon(sys.stdout)
        raise _ended(f"cannot read or write: {error}", ExitCode.OUTPUT) from error
    except typer.Exit:
        raise
    except Exception as error:
        # Whatever else: a model's own validators, a repository's own methods and our own mistakes run here.
        if os.environ.get(TRACEBACK_VARIABLE):
            raise
        text = f"unexpected {type(error).__name__}: {error} ({TRACEBACK_VARIABLE}=1 shows where)"
        raise _ended(text, ExitCode.BUG) from error


def _abandon(stream: TextIO) -> None:
    """Send what is still to be written nowhere: Python writes it when it ends, and would complain."""
    with suppress(OSError, ValueError):  # a stream that is no file has no number
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())


def _said(error: DynamoDBWrapperError) -> str:
    """Return an error's message with its context, without what is only good for programs."""
    if "checkpoint" not in error.context:
        return str(error)
    details = ", ".join(f"{name}={value!r}" for name, value in error.context.items() if name != "checkpoint")
    return f"{error.message} ({details})" if details else error.message


def _ended(message: str, code: ExitCode) -> typer.Exit:
    say(f"error: {message}" if code is not ExitCode.INTERRUPTED else message)
    return typer.Exit(code)


def say(message: str) -> None:
    """Write one line to stderr, whatever stands in the message; where it cannot be written, the exit code says it."""
    try:
        print(one_line(message), file=sys.stderr, flush=True)  # noqa: T201 - this is where the command line talks
    except OSError:
        _abandon(sys.stderr)


def one_line(text: str) -> str:
    """Return a text without line breaks and what else would steer a terminal."""
    return "".join(
        character if character.isprintable() else _shown(character) for character in " ".join(text.splitlines())
    )


def _shown(character: str) -> str:
    return " " if character == "\t" else character.encode("unicode_escape").decode()
