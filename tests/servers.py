"""Real DynamoDB servers for tests: started on a free loopback port, and ended by those who started them."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from uuid import uuid4

import boto3

from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.transport import connection_for, drop_embedded, reset_connection

if TYPE_CHECKING:
    from mypy_boto3_dynamodb import DynamoDBClient

ROOT = Path(__file__).resolve().parent.parent
STARTUP_SECONDS = 30


class ServerMissingError(Exception):
    """A server cannot be started here; the message says how to get it."""


@dataclass
class RunningServer:
    """Something that answers DynamoDB requests."""

    name: str
    endpoint_url: str | None
    region_name: str = "us-east-1"
    access_key: str = "testing"
    secret_key: str = field(default="testing", repr=False)
    session_token: str | None = field(default=None, repr=False)

    @cached_property
    def client(self) -> DynamoDBClient:
        """boto3's client, to see what is really stored, whatever our own code thinks."""
        return boto3.client(
            "dynamodb",
            endpoint_url=self.endpoint_url,
            region_name=self.region_name,
            aws_access_key_id=self.access_key,
            aws_secret_access_key=self.secret_key,
            aws_session_token=self.session_token,
        )

    def config(self, table_prefix: str, **overrides: Any) -> DynamoDBConfig:
        """Our configuration for this server."""
        settings: dict[str, Any] = {
            "endpoint_url": self.endpoint_url,
            "region_name": self.region_name,
            "aws_access_key_id": self.access_key,
            "aws_secret_access_key": self.secret_key,
            "aws_session_token": self.session_token,
            "table_prefix": table_prefix,
            "transport": os.environ.get("CONTRACT_TRANSPORT", "auto"),
        }
        return DynamoDBConfig(**{**settings, **overrides})

    def delete_tables(self, table_prefix: str) -> None:
        """Delete the tables whose names begin so."""
        for page in self.client.get_paginator("list_tables").paginate():
            for table_name in page["TableNames"]:
                if table_name.startswith(table_prefix):
                    self.client.delete_table(TableName=table_name)


@dataclass
class Embedded(RunningServer):
    """The server inside this process: without an address for boto3, reached through a connection of ours."""

    name: str = "embedded"
    endpoint_url: str | None = "embedded://contract"

    @cached_property
    def client(self) -> DynamoDBClient:
        return connection_for(self.config("")).boto3_client

    def config(self, table_prefix: str, **overrides: Any) -> DynamoDBConfig:
        return DynamoDBConfig.embedded("contract", **{"table_prefix": table_prefix, **overrides})

    def delete_tables(self, table_prefix: str) -> None:
        drop_embedded("contract")


@dataclass(frozen=True)
class Server:
    """A running server as one test sees it: every table of the test carries a prefix that no other test has."""

    running: RunningServer
    table_prefix: str = field(default_factory=lambda: f"dw-{uuid4().hex[:12]}")

    @property
    def name(self) -> str:
        return self.running.name

    @property
    def endpoint_url(self) -> str | None:
        return self.running.endpoint_url

    @property
    def client(self) -> DynamoDBClient:
        return self.running.client

    def config(self, **overrides: Any) -> DynamoDBConfig:
        return self.running.config(self.table_prefix, **overrides)

    def clean_up(self) -> None:
        """Close the connections of the test, and delete its tables."""
        reset_connection()
        self.running.delete_tables(self.table_prefix)


@contextmanager
def embedded() -> Iterator[RunningServer]:
    """The server inside this process, behind `DynamoDBConfig.embedded`."""
    yield Embedded()


@contextmanager
def moto() -> Iterator[RunningServer]:
    """moto in a process of its own, so that it neither shares our interpreter lock nor slows down coverage."""
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", "{port}"]
    with _process(command, environment={}) as endpoint_url:
        yield RunningServer("moto", endpoint_url)


@contextmanager
def ministack() -> Iterator[RunningServer]:
    """ministack from its own environment (it pins botocore)."""
    binary = Path(os.environ.get("MINISTACK_BIN") or ROOT / ".venv-ministack/bin/ministack")
    if not binary.exists():
        raise ServerMissingError(f"no ministack at {binary}: `make .venv-ministack/.ready` installs it")
    environment = {
        "BIND_HOST": "127.0.0.1",
        "GATEWAY_PORT": "{port}",
        "SERVICES": "dynamodb,dynamodbstreams",
        "SFTP_ENABLED": "0",
    }
    with _process([str(binary)], environment) as endpoint_url:
        yield RunningServer("ministack", endpoint_url)


@contextmanager
def endpoint() -> Iterator[RunningServer]:
    """Whatever answers at DYNAMODB_ENDPOINT_URL, for example DynamoDB Local."""
    if not (url := os.environ.get("DYNAMODB_ENDPOINT_URL")):
        raise ServerMissingError("set DYNAMODB_ENDPOINT_URL to the server's address")
    yield RunningServer("endpoint", url)


@contextmanager
def aws() -> Iterator[RunningServer]:
    """AWS itself, with the account and region of the environment."""
    session = boto3.Session()
    if (credentials := session.get_credentials()) is None:
        raise ServerMissingError("no AWS credentials in the environment")
    frozen = credentials.get_frozen_credentials()
    if not (frozen.access_key and frozen.secret_key and session.region_name):
        raise ServerMissingError("set AWS_REGION and a complete set of AWS credentials")
    yield RunningServer("aws", None, session.region_name, frozen.access_key, frozen.secret_key, frozen.token)


STARTERS = {start.__name__: start for start in (moto, ministack, embedded, endpoint, aws)}


def chosen() -> list[str]:
    """The servers of CONTRACT_SERVERS, in its order."""
    names = [name.strip() for name in os.environ.get("CONTRACT_SERVERS", "moto,ministack").split(",") if name.strip()]
    if unknown := [name for name in names if name not in STARTERS]:
        raise ValueError(f"CONTRACT_SERVERS names {unknown}; it can name {sorted(STARTERS)}")
    return names


@contextmanager
def _process(command: Sequence[str], environment: dict[str, str]) -> Iterator[str]:
    """Run a server until the block ends; both arguments may contain ``{port}``."""
    with tempfile.TemporaryDirectory(prefix="dynamodb-wrapper-") as folder, (Path(folder) / "log").open("w+b") as log:
        process, url = _start(command, environment, folder, log)
        try:
            yield url
        finally:
            process.terminate()
            try:
                process.wait(10)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _start(
    command: Sequence[str], environment: dict[str, str], folder: str, log: IO[bytes]
) -> tuple[subprocess.Popen[bytes], str]:
    # Another program may take the free port before the server does; then the server ends, and another port is tried.
    for _ in range(3):
        port = _free_port()
        process = subprocess.Popen(
            [part.format(port=port) for part in command],
            env={"PATH": os.environ.get("PATH", ""), "HOME": folder}
            | {name: value.format(port=port) for name, value in environment.items()},
            cwd=folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        url = f"http://127.0.0.1:{port}"
        if _wait_until_it_answers(process, url):
            return process, url
        process.kill()
        process.wait()
    log.seek(0)
    raise RuntimeError(f"{command[0]} did not start:\n{log.read().decode(errors='replace')[-4000:]}")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _wait_until_it_answers(process: subprocess.Popen[bytes], url: str) -> bool:
    deadline = time.monotonic() + STARTUP_SECONDS
    while process.poll() is None and time.monotonic() < deadline:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return process.poll() is None
        except urllib.error.HTTPError as answer:
            answer.close()
            return process.poll() is None
        except OSError:
            time.sleep(0.05)
    return False
