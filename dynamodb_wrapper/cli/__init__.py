"""The command line `dynamodb-wrapper`: presentation only, over the same repositories that programs use.

One file per group of commands, each of which takes an `Invocation`; `app` lists them all.
"""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line; ends the process with one of the codes in `failures.ExitCode`."""
    try:
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
        sys.exit(130)
