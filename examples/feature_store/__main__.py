"""Starts the feature store: on the embedded server, or on any other."""

from __future__ import annotations

import argparse
import os
from collections.abc import Sequence

import uvicorn

from dynamodb_wrapper import ValidationError


def main(arguments: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.feature_store", description=__doc__)
    parser.add_argument(
        "--endpoint", default="embedded", help="embedded (default), aws, or a server like http://localhost:8000"
    )
    parser.add_argument("--create-tables", action="store_true", help="make tables that are missing")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    options = parser.parse_args(arguments)
    os.environ["FEATURE_STORE_ENDPOINT"] = options.endpoint
    os.environ["FEATURE_STORE_CREATE_TABLES"] = "yes" if options.create_tables else "no"
    try:
        from examples.feature_store.app import app  # after the environment is set, so that it sees it
    except ValidationError as error:
        parser.error(str(error))
    # No line for each request; what goes wrong is logged by the integration.
    uvicorn.run(app, host=options.host, port=options.port, access_log=False)


if __name__ == "__main__":
    main()
