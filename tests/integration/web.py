"""A web service in a process of its own, for tests that talk to it over HTTP."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx

ROOT = Path(__file__).resolve().parent.parent.parent
STARTUP_SECONDS = 30
STOP_SECONDS = 10


class Service:
    """A service that is started, stopped and started again, on one port.

    Attributes:
        client: Sends requests to it.
    """

    def __init__(self, arguments: Sequence[str], environment: Mapping[str, str], log: Path) -> None:
        self._port = _free_port()
        self._arguments = [part.format(port=self._port) for part in arguments]
        self._environment = {"PATH": os.environ.get("PATH", ""), "PYTHONPATH": str(ROOT), **environment}
        self._log = log
        self._process: subprocess.Popen[bytes] | None = None
        # Nothing is kept alive: a connection to the process that was stopped would fail once.
        limits = httpx.Limits(max_keepalive_connections=0)
        self.client = httpx.Client(base_url=self.url, timeout=20, limits=limits)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._port}"

    @property
    def log(self) -> str:
        """What it has written so far."""
        return self._log.read_text(errors="replace")

    def start(self) -> None:
        """Start it, and wait until it answers."""
        process = self.launch()
        deadline = time.monotonic() + STARTUP_SECONDS
        while True:
            try:
                self.client.get("/openapi.json")
            except httpx.TransportError as error:
                if process.poll() is not None or time.monotonic() > deadline:
                    raise RuntimeError(f"the service did not start:\n{self.log[-4000:]}") from error
                time.sleep(0.03)
            else:
                return

    def launch(self) -> subprocess.Popen[bytes]:
        """Start it."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-W", "error", *self._arguments],
                env=self._environment,
                cwd=self._log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )
        return self._process

    def stop(self) -> int:
        """Ask it to end, as an orchestrator does, and return its exit code."""
        assert self._process is not None
        self._process.terminate()
        return self._process.wait(STOP_SECONDS)

    def kill(self) -> None:
        """End it at once."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()


@contextmanager
def service(arguments: Sequence[str], environment: Mapping[str, str]) -> Iterator[Service]:
    """Run ``python`` with these arguments, which may contain ``{port}``, until the block ends."""
    with tempfile.TemporaryDirectory(prefix="dynamodb-wrapper-") as folder:
        made = Service(arguments, environment, Path(folder) / "log")
        try:
            with made.client:
                made.start()
                yield made
        finally:
            made.kill()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
