"""What commands print: tables for people, JSON lines for programs; messages go to stderr."""

from __future__ import annotations

import base64
import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

import pydantic_core
from pydantic import BaseModel
from rich.console import Console
from rich.table import Table
from rich.text import Text

from dynamodb_wrapper.cli.failures import one_line, say

_UNBOUNDED = 100_000
"""Columns of what is no terminal: nothing is cut off where nothing has a width."""


class _Console(Console):
    """What draws, and leaves it to the command line how a process ends that nobody reads from."""

    def on_broken_pipe(self) -> None:
        """Raise the error, instead of ending the process with 1.

        Raises:
            BrokenPipeError: Always.
        """
        raise BrokenPipeError


@dataclass(frozen=True, slots=True)
class Output:
    """Where a command's answer goes.

    Attributes:
        as_json: Whether it is JSON lines.
    """

    as_json: bool = False

    def rows(self, rows: Iterable[Mapping[str, object]], *, columns: Sequence[str] | None = None) -> None:
        """Print rows: JSON lines as they come, or a table when all are there; nothing when there are none.

        Args:
            rows: The rows, by column.
            columns: What the table shows; by default what the rows have. JSON lines have everything.
        """
        if self.as_json:
            for row in rows:
                self._line(row)
        elif whole := list(rows):
            named = columns if columns is not None else list(dict.fromkeys(name for row in whole for name in row))
            console().print(grid(named, ([row.get(name) for name in named] for row in whole)))

    def record(self, values: Mapping[str, object]) -> None:
        """Print one thing: its values below each other, or one JSON line."""
        if self.as_json:
            self._line(values)
        elif values:
            console().print(Text(record_lines(values)), soft_wrap=True)

    def line(self, values: Mapping[str, object]) -> None:
        """Print one thing on one line at once, as JSON or as words."""
        if self.as_json:
            self._line(values)
        else:
            self.text("  ".join(f"{name}={shown(value)}" for name, value in values.items() if value is not None))
        sys.stdout.flush()

    def document(self, value: object) -> None:
        """Print JSON: indented for people, on one line with ``--json``."""
        sys.stdout.write(to_json(value, indent=None if self.as_json else 2) + "\n")

    def text(self, line: str) -> None:
        """Print a line of the answer for people; nothing where it is JSON."""
        if not self.as_json:
            console().print(Text(one_line(line)), soft_wrap=True)

    def verbatim(self, text: str) -> None:
        """Print text of several lines as it is."""
        sys.stdout.write(f"{text.rstrip()}\n")

    def say(self, message: str) -> None:
        """Tell people something that is not part of the answer, on stderr."""
        say(message)

    def _line(self, row: Mapping[str, object]) -> None:
        sys.stdout.write(to_json(row) + "\n")
        if sys.stdout.isatty():
            sys.stdout.flush()


def grid(columns: Sequence[str], rows: Iterable[Iterable[object]]) -> Table:
    """Return a table for people."""
    table = Table(header_style="bold", box=None, pad_edge=False, padding=(0, 2, 0, 0))
    for column in columns:
        table.add_column(Text(one_line(column)), overflow="fold")
    for row in rows:
        table.add_row(*(Text(shown(cell)) for cell in row))
    return table


def record_lines(values: Mapping[str, object]) -> str:
    """Return the values of one thing, below each other."""
    width = max(map(len, values), default=0)
    return "\n".join(f"{one_line(name):<{width}}  {shown(value)}" for name, value in values.items())


def console(*, stderr: bool = False) -> Console:
    """Return what draws on stdout or stderr as they are now; NO_COLOR is heeded."""
    drawn = _Console(stderr=stderr, highlight=False, markup=False, emoji=False)
    return drawn if drawn.is_terminal else _Console(stderr=stderr, highlight=False, width=_UNBOUNDED)


def to_json(value: object, *, indent: int | None = None) -> str:
    """Return JSON, on one line if not indented.

    Decimals are text with all their digits, times are ISO 8601, bytes are base64, sets are lists in order.
    """
    takes_all = (sys.stdout.encoding or "").lower().replace("-", "") == "utf8"
    return json.dumps(plain(value), ensure_ascii=not takes_all, indent=indent)


def plain(value: object) -> Any:
    """Return a value as JSON has it; a model's by the names its items have."""
    match value:
        case BaseModel():
            return plain(value.model_dump(by_alias=True))
        case Mapping():
            return {_key(key): plain(entry) for key, entry in value.items()}
        case list() | tuple():
            return [plain(entry) for entry in value]
        case set() | frozenset():
            return sorted(map(plain, value), key=_in_order)
        case bytes() | bytearray():
            return base64.b64encode(value).decode()
        case float() if not isfinite(value):
            return str(value)
    return pydantic_core.to_jsonable_python(value, serialize_unknown=True)


def _in_order(entry: object) -> tuple[bool, float, str]:
    """Return by what an entry of a set is sorted: numbers first, then text."""
    if isinstance(entry, int | float):
        return False, float(entry), ""
    return True, 0.0, repr(entry)


def _key(key: object) -> str:
    return key if isinstance(key, str) else str(plain(key))


def shown(value: object) -> str:
    """Return a value as a cell of a table shows it."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, datetime):
        return value.isoformat(sep=" ", timespec="seconds")
    has_parts = isinstance(value, BaseModel | Mapping | list | tuple | set | frozenset)
    return one_line(to_json(value) if has_parts else str(plain(value)))
