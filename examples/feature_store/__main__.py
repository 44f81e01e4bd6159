"""Starts the feature store: on the embedded server, or on any other."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> None:
    options = parser().parse_args(arguments)
    os.environ["FEATURE_STORE_ENDPOINT"] = options.endpoint
    os.environ["FEATURE_STORE_CREATE_TABLES"] = "yes" if options.create_tables else "no"
    import uvicorn  # after the environment is set, so that the application sees it

    # No line for each request; what goes wrong is logged by the integration.
    uvicorn.run("examples.feature_store.app:app", host=options.host, port=options.port, access_log=False)


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.feature_store", description=__doc__)
    parser.add_argument(
        "--endpoint", default="embedded", help="embedded (default), aws, or a server like http://localhost:8000"
    )
    parser.add_argument("--create-tables", action="store_true", help="make tables that are missing")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    return parser


if __name__ == "__main__":
    main()
