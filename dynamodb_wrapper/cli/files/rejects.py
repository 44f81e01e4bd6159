"""Rows that are not written: counted, told, and kept in a file that says why."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dynamodb_wrapper.cli.failures import CommandError, ExitCode
from dynamodb_wrapper.cli.files.outputs import GrowingFile
from dynamodb_wrapper.cli.output import to_json
from dynamodb_wrapper.exceptions import DynamoDBWrapperError, ValidationError

_SHOWN = 5


class Rejects:
    """What one run refuses.

    Attributes:
        count: How many rows were refused.
        first: The first of them, for people.
    """

    def __init__(self, path: Path | None, *, at_most: int | None) -> None:
        """Refuse rows.

        Args:
            path: The file of JSON lines that they go to, if any.
            at_most: How many there may be; None for any number.
        """
        self.count = 0
        self.first: list[str] = []
        self._at_most = at_most
        self._file = None if path is None else GrowingFile(path, packed=False)
        self._held: list[Mapping[str, Any]] = []

    def begin(self, state: Mapping[str, Any] | None) -> None:
        """Begin, or go on where `commit` was.

        Raises:
            CommandError: The file cannot be written.
        """
        self.count = 0 if state is None else int(state["count"])
        if self._file is not None:
            self._file.open(None if state is None else state["offset"])

    def take(self, reason: str, row: object, where: Mapping[str, object]) -> None:
        """Refuse a row.

        Args:
            reason: Why.
            row: The row as the file has it.
            where: Where it stands.

        Raises:
            TooManyRefusedError: These are more than there may be.
        """
        self._held.append({**where, "reason": reason, "row": row})
        told = " ".join((*(f"{name} {value}" for name, value in where.items()), reason))
        if len(self.first) < _SHOWN:
            self.first.append(told)
        if self._at_most is not None and self.count + len(self._held) > self._at_most:
            raise TooManyRefusedError(
                f"{self.count + len(self._held):,} were refused, and --max-rejected is {self._at_most:,}: {told}"
            )

    def keep(self) -> None:
        """Count those that were taken: what was done with them is done."""
        for entry in self._held:
            if self._file is not None:
                self._file.write(to_json(entry).encode() + b"\n")
        self.count += len(self._held)
        self._held = []

    def forget(self) -> None:
        """Take back those that were not counted yet: they will come again."""
        self._held = []

    def commit(self) -> Mapping[str, Any]:
        """Bring all that is counted to the disk, and return where to go on."""
        return {"count": self.count, "offset": None if self._file is None else self._file.commit()}

    def close(self) -> None:
        """Close the file."""
        if self._file is not None:
            self._file.close()


class TooManyRefusedError(CommandError):
    """More rows were refused than there may be."""

    def __init__(self, message: str) -> None:
        super().__init__(message, ExitCode.NO)


def reason_of(error: DynamoDBWrapperError) -> str:
    """Return what is wrong with a row: the message, without what it was about, and what is wrong field by field."""
    details = error.errors if isinstance(error, ValidationError) else {}
    told = [f"{name}: {reason}" for name, reason in details.items() if str(reason) not in error.message]
    return "; ".join((error.message, *told))


def shown_row(content: object) -> object:
    """Return a row as it can stand in JSON: a line as text, values by column as they are."""
    if isinstance(content, bytes):
        return content.decode(errors="backslashreplace")
    return json.loads(to_json(content))
