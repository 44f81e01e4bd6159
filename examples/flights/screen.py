"""Draws the tour: the code of each step, which is the code that runs, and what came of it."""

from __future__ import annotations

import ast
import inspect
import re
import textwrap
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime
from decimal import Decimal
from enum import Enum
from pprint import pformat
from typing import Any, TypeVar

from pydantic import BaseModel
from rich import box
from rich.console import Console, JustifyMethod
from rich.markup import escape
from rich.padding import Padding
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.syntax import Syntax
from rich.table import Table

from dynamodb_wrapper import DynamoDBWrapperError, Page

R = TypeVar("R")
E = TypeVar("E", bound=DynamoDBWrapperError)

Row = BaseModel | Mapping[str, Any]

INDENT = 2
ROWS_SHOWN = 6
CURSOR_SHOWN = 30


class Screen:
    """Where the tour is shown."""

    def __init__(self, console: Console) -> None:
        self.console = console
        self._chapters = 0

    def chapter(self, title: str) -> None:
        self._chapters += 1
        self.console.print()
        self.console.rule(f"[bold]{self._chapters}. {escape(title)}", align="left")

    def say(self, text: str) -> None:
        self.console.print()
        self.console.print(" ".join(text.split()), highlight=False)

    def lines(self, *lines: str) -> None:
        for line in lines:
            self.console.print(line, highlight=False)

    def progress(self) -> Progress:
        return Progress(
            TextColumn("  {task.description:<28}"),
            BarColumn(bar_width=24),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            console=self.console,
        )

    def show(
        self,
        step: Callable[..., R],
        /,
        *,
        columns: str = "",
        as_rows: Callable[[R], Sequence[Row]] | None = None,
        **values: Any,
    ) -> R:
        """Show a step's docstring and code, run it with these values, and show what it returns."""
        self._introduce(step, values)
        started = time.perf_counter()
        result = step(**values)
        milliseconds = (time.perf_counter() - started) * 1000
        self._result(as_rows(result) if as_rows else result, columns.split(), f"{milliseconds:,.0f} ms")
        return result

    def show_refusal(self, step: Callable[..., object], expected: type[E], /, **values: Any) -> E:
        """Show a step that is refused, and the error."""
        self._introduce(step, values)
        try:
            step(**values)
        except expected as error:
            self.error(error)
            return error
        raise AssertionError(f"{step.__name__} was not refused with {expected.__name__}")

    def code(self, code: str) -> None:
        syntax = Syntax(code, "python", theme="ansi_dark", background_color="default", word_wrap=True)
        self.console.print(Padding(syntax, (0, 0, 0, 2 * INDENT)))

    def error(self, error: DynamoDBWrapperError) -> None:
        self._line(f"[bold red]{type(error).__name__}[/]: {escape(str(error))}")

    def table(self, rows: Sequence[Row], columns: Sequence[str] = ()) -> None:
        """Show rows as a table; without columns, all that the first row has."""
        rows_as_mappings = [dict(row) for row in rows]
        names = columns or (list(rows_as_mappings[0]) if rows_as_mappings else [])
        table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), show_edge=False)
        for name in names:
            is_number = all(isinstance(row.get(name), int | float | Decimal | None) for row in rows_as_mappings)
            has_times = any(isinstance(row.get(name), datetime) for row in rows_as_mappings)
            justify: JustifyMethod = "right" if is_number else "left"
            table.add_column(name.replace("_", " "), justify=justify, overflow="fold", no_wrap=has_times)
        for row in rows_as_mappings[:ROWS_SHOWN]:
            table.add_row(*(cell(row.get(name)) for name in names))
        self.console.print(Padding(table, (0, 0, 0, INDENT)))

    def _introduce(self, step: Callable[..., object], values: Mapping[str, Any]) -> None:
        text, code = text_and_code(step)
        given = "".join(f"{name} = {readable(value)}\n" for name, value in values.items() if is_plain(value))
        self.say(escape(text))
        self.console.print()
        self.code(given + code)
        self.console.print()

    def _result(self, result: object, columns: Sequence[str], took: str) -> None:
        match result:
            case Page():
                self.table(result.items, columns)
                cursor = "None" if result.cursor is None else f"'{result.cursor[:CURSOR_SHOWN]}...'"
                self._line(f"[dim]page.cursor is {escape(cursor)}; {took}")
            case list():
                if result:
                    self.table(result, columns)
                more = f", of which {ROWS_SHOWN} are shown" if len(result) > ROWS_SHOWN else ""
                self._line(f"[dim]{len(result)} result{'' if len(result) == 1 else 's'}{more}; {took}")
            case BaseModel():
                self.table([result], columns)
                self._line(f"[dim]{took}")
            case dict():
                self.code(pformat(result, width=self.console.width - 2 * INDENT, sort_dicts=False))
            case _:
                self._line(f"{escape(repr(result))}[dim]; {took}")

    def _line(self, markup: str) -> None:
        self.console.print(Padding(markup, (0, 0, 0, INDENT)), highlight=False)


def text_and_code(step: Callable[..., object]) -> tuple[str, str]:
    """Return a function's docstring and the code below it, without the ``return``."""
    source = textwrap.dedent(inspect.getsource(step))
    function = ast.parse(source).body[0]
    assert isinstance(function, ast.FunctionDef)
    first, last = function.body[1], function.body[-1]
    lines = source.splitlines()
    if isinstance(last, ast.Return):
        lines[last.lineno - 1] = lines[last.lineno - 1].replace("return ", "", 1)
    return inspect.getdoc(step) or "", textwrap.dedent("\n".join(lines[first.lineno - 1 :]))


def cell(value: object) -> str:
    """Return a value as a table shows it."""
    if value is None:
        return "[dim]-"
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M %Z")
    return escape(str(value.value if isinstance(value, Enum) else value))


def readable(value: object) -> str:
    """Return a value as the code above a step would make it."""
    return re.sub(r"zoneinfo\.ZoneInfo\(.*?\)", "NEW_YORK", repr(value)).replace("datetime.", "")


def is_plain(value: object) -> bool:
    return isinstance(value, str | int | date)
