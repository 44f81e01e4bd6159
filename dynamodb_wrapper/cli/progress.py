"""How far a long command has come, on stderr, where that is a terminal."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from dynamodb_wrapper.cli.output import console

Told = Callable[[float, str, float | None], None]
"""Is told how much is done, a few words about it, and about how much there is to do; None where that is not known."""


@contextmanager
def shown_progress(about: str) -> Iterator[Told]:
    """Show a bar while the block runs; it is gone at the end, also of a block that fails.

    Args:
        about: What is being done.
    """
    if not console(stderr=True).is_terminal:
        yield _untold
        return
    bar = Progress(
        TextColumn("{task.description}", markup=False),
        BarColumn(),
        TextColumn("{task.completed:,.0f} {task.fields[words]}", markup=False),
        TimeElapsedColumn(),
        console=console(stderr=True),
        transient=True,
    )
    with bar:
        task = bar.add_task(about, total=None, words="")

        def told(done: float, words: str, total: float | None) -> None:
            # What DynamoDB says of a table's size is up to six hours old.
            bar.update(task, completed=done, total=max(done, total) if total else None, words=words)

        yield told


def _untold(done: float, words: str, total: float | None) -> None:
    """Show nothing: there is no terminal."""
