"""A DynamoDB on this machine, in a process of its own: Spark's workers cannot reach one inside another process."""

from __future__ import annotations

import os
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from dynamodb_wrapper import DynamoDBConfig

MINISTACK = Path(os.environ.get("MINISTACK_BIN", ".venv-ministack/bin/ministack"))
STARTS_IN_SECONDS = 20


@contextmanager
def local_server() -> Iterator[str]:
    """Give the address of a new, empty server, which ends with the block."""
    if not MINISTACK.exists():
        raise SystemExit("There is no local DynamoDB here: `make pipeline` installs one; or name one with --endpoint.")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"BIND_HOST": "127.0.0.1", "GATEWAY_PORT": str(port), "SERVICES": "dynamodb", "SFTP_ENABLED": "0"}
    server = subprocess.Popen(
        [MINISTACK], env={**os.environ, **settings}, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(url, server)
        yield url
    finally:
        server.terminate()
        server.wait()


def _wait_for(url: str, server: subprocess.Popen[bytes]) -> None:
    from dynamodb_wrapper.transport import connection_for

    # Keys that no account has: nobody checks them here.
    config = DynamoDBConfig(
        endpoint_url=url, region_name="us-east-1", aws_access_key_id="local", aws_secret_access_key="local"
    )
    until = time.monotonic() + STARTS_IN_SECONDS
    while not connection_for(config).health_check(timeout_seconds=1):
        if server.poll() is not None or time.monotonic() > until:
            raise SystemExit(f"The local DynamoDB ({MINISTACK}) did not start.")
        time.sleep(0.1)
