"""A command line on a test's own server, and what is in its tables."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from click.testing import Result
from typer.testing import CliRunner

from dynamodb_wrapper import BaseDynamoRepository
from dynamodb_wrapper.cli import app
from dynamodb_wrapper.codec import Item
from tests.servers import ROOT, Server

MODELS = "tests.integration.cli_files_models"


@dataclass
class CommandLine:
    """Runs commands in this process, or in one of their own."""

    server: Server
    folder: Path
    endpoint_url: str | None = None

    @property
    def environment(self) -> dict[str, str]:
        running = self.server.running
        return {
            "DYNAMODB_ENDPOINT_URL": str(self.endpoint_url or running.endpoint_url),
            "AWS_REGION": running.region_name,
            "AWS_ACCESS_KEY_ID": running.access_key,
            "AWS_SECRET_ACCESS_KEY": running.secret_key,
            "AWS_EC2_METADATA_DISABLED": "true",
            "DYNAMODB_TABLE_PREFIX": self.server.table_prefix,
        }

    def run(self, *arguments: object, given: str | bytes | None = None) -> Result:
        """Run a command in this process, whatever its exit code."""
        result = CliRunner(env=self.environment).invoke(app.app, [str(each) for each in arguments], input=given)
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    def ok(self, *arguments: object, given: str | bytes | None = None) -> dict[str, Any]:
        """Run a command that succeeds, and return its summary."""
        result = self.run("--json", *arguments, given=given)
        assert result.exit_code == 0, result.output
        return dict(json.loads(result.stdout.splitlines()[-1]))

    @contextmanager
    def started(self, *arguments: object) -> Iterator[subprocess.Popen[str]]:
        """Run a command in a process of its own; it is killed at the end of the block if it still runs."""
        process = subprocess.Popen(
            [sys.executable, "-m", "dynamodb_wrapper.cli", *map(str, arguments)],
            env={**os.environ, **self.environment, "PYTHONPATH": str(ROOT)},
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        try:
            yield process
        finally:
            process.kill()
            process.communicate()

    def interrupted(
        self, checkpoint: Path, *arguments: object, how: signal.Signals
    ) -> subprocess.CompletedProcess[str]:
        """Run a command until it has written a checkpoint, and a little longer, and end it with a signal."""
        with self.started(*arguments) as process:
            wait_for(checkpoint, process)
            time.sleep(0.3)
            process.send_signal(how)
            out, err = process.communicate(timeout=30)
            return subprocess.CompletedProcess([], process.returncode, out, err)

    def items(self, table_name: str) -> list[Item]:
        """What is stored, seen with boto3's own client, in the order of its keys."""
        pages = self.server.client.get_paginator("scan").paginate(TableName=table_name, ConsistentRead=True)
        return in_order(item for page in pages for item in page["Items"])

    def raw_table(self, name: str = "raw", *, kind: str = "S") -> str:
        """Make a table that no repository declares, and return its name."""
        table_name = f"{self.server.table_prefix}-{name}"
        self.server.client.create_table(
            TableName=table_name,
            KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": kind}],  # type: ignore[typeddict-item]
            BillingMode="PAY_PER_REQUEST",
        )
        return table_name

    def fill(self, table_name: str, items: Sequence[Item]) -> None:
        """Put items with boto3's own client."""
        for begin in range(0, len(items), 25):
            requests: Any = [{"PutRequest": {"Item": item}} for item in items[begin : begin + 25]]
            self.server.client.batch_write_item(RequestItems={table_name: requests})

    def empty(self, repository: BaseDynamoRepository[Any]) -> None:
        """Make the table of a repository anew."""
        repository.delete_table()
        repository.create_table()


def wait_for(path: Path, process: subprocess.Popen[str], *, newer_than: int = 0) -> None:
    """Wait until a process has written a file, later than some time in nanoseconds."""
    deadline = time.monotonic() + 60
    while not (path.exists() and path.stat().st_mtime_ns > newer_than):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline, f"no {path}"
        time.sleep(0.01)


def in_order(items: Any) -> list[Item]:
    return sorted(map(comparable, items), key=repr)


def comparable(wire: Any) -> Any:
    """An item in a form where equal means the same: sets have no order."""
    if isinstance(wire, dict):
        return {
            name: sorted(value) if name in ("SS", "NS", "BS") and isinstance(value, list) else comparable(value)
            for name, value in sorted(wire.items())
        }
    return [comparable(element) for element in wire] if isinstance(wire, list) else wire


def lines_of(path: Path) -> list[Any]:
    return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
