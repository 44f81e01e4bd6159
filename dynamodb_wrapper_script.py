"""The script ``dynamodb-wrapper``; outside the package, so that a Ctrl-C while that is imported shows no traceback."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line, as `dynamodb_wrapper.cli.main` does."""
    try:
        from dynamodb_wrapper.cli import main as run

        run()
    except KeyboardInterrupt:
        sys.exit(130)
