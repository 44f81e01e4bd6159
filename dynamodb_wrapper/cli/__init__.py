"""The command line `dynamodb-wrapper`: presentation only, over the same repositories that programs use.

One file per group of commands, each of which takes an `Invocation`; `app` lists them all.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

_INTERRUPTED = 130
"""`failures.ExitCode.INTERRUPTED`, before that is imported."""


def main() -> None:
    """Run the command line; ends the process with one of the codes in `failures.ExitCode`."""
    try:
        with _ended_by_ctrl_c():
            from dynamodb_wrapper.cli import app
        app.run()
    except ModuleNotFoundError as missing:
        name = (missing.name or "").partition(".")[0]
        if name not in ("typer", "rich"):
            raise
        install = "pip install 'dynamodb-wrapper[cli]'"
        sys.stderr.write(f"error: the command line needs {name}, which is not installed: {install}\n")
        sys.exit(2)
    except KeyboardInterrupt:
        sys.exit(_INTERRUPTED)


@contextmanager
def _ended_by_ctrl_c() -> Iterator[None]:
    """Let Ctrl-C end the process at once: in the middle of an import, others make something else of the exception."""
    is_ours = threading.current_thread() is threading.main_thread()  # others may not handle signals
    if (
        not is_ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler
    ):  # ignored in the background, say
        yield
        return
    signal.signal(signal.SIGINT, lambda number, frame: os._exit(_INTERRUPTED))
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, signal.default_int_handler)
