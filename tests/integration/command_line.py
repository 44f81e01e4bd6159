"""Calling the command line from a test: in this process, or in one of its own."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import typer.main

from dynamodb_wrapper.cli import app

ROOT = Path(__file__).resolve().parent.parent.parent
SHOP = "tests.integration.cli_shop"

_COLORS = re.compile(r"\x1b\[[0-9;]*m")
_COMMAND = typer.main.get_command(app.app)


@dataclass(frozen=True)
class Answer:
    """How a command ended, and what it said."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[Any]:
        """The JSON lines of the answer: every line of stdout is one."""
        return [json.loads(line) for line in self.out.splitlines()]

    @property
    def words(self) -> list[list[str]]:
        """The words of the answer, line by line."""
        return [line.split() for line in self.out.splitlines()]


class CommandLine:
    """The command line in this process."""

    def __init__(self, capsys: pytest.CaptureFixture[str]) -> None:
        self._capsys = capsys

    def __call__(self, *arguments: str) -> Answer:
        self._capsys.readouterr()
        with pytest.raises(SystemExit) as ended:
            _COMMAND.main(args=list(arguments), prog_name="dynamodb-wrapper")
        said = self._capsys.readouterr()
        said_of_errors = _COLORS.sub("", said.err)  # typer colours usage errors where CI services say so
        code = ended.value.code
        assert isinstance(code, int)
        assert "Traceback" not in said_of_errors
        return Answer(int(code), said.out, said_of_errors)


def environment(endpoint_url: str | None, table_prefix: str, **more: str) -> Mapping[str, str]:
    """The environment of a process that uses a server, and sees nothing else of this machine."""
    return {
        "PATH": os.environ.get("PATH", ""),
        "PYTHONPATH": str(ROOT),
        "AWS_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "AWS_EC2_METADATA_DISABLED": "true",
        "DYNAMODB_ENDPOINT_URL": endpoint_url or "",
        "DYNAMODB_TABLE_PREFIX": table_prefix,
        "DYNAMODB_ENVIRONMENT": "prod",
        **more,
    }


def process_of(*arguments: str) -> list[str]:
    """What to start for a command in a process of its own."""
    return [sys.executable, "-m", "dynamodb_wrapper.cli", *arguments]
