"""Measures the service, and the same service written by hand on boto3; everything stays on this machine."""

from __future__ import annotations

import argparse
import asyncio
import math
import os
import platform
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

from examples.feature_store.load_client import Result, Shot, fire
from examples.feature_store.load_database import CATEGORIES, FEATURES

SERVICES = {"dynamodb_wrapper": "examples.feature_store.app:app", "boto3": "examples.feature_store.by_hand:app"}
SHOTS = [
    Shot("read a category", "GET", f"/api/v1/get/item/u1/{CATEGORIES[0]}?table_type=bright_uid", None, b"feature_9"),
    Shot(
        "read 4 features of 3",
        "POST",
        "/api/v1/get/item/u1?table_type=bright_uid",
        {category: list(FEATURES)[:4] for category in CATEGORIES},
        b"feature_3",
    ),
    Shot("write a category", "POST", "/api/v1/items/u1?table_type=bright_uid", {CATEGORIES[0]: FEATURES}, b"replaced"),
    Shot(
        "write 3 categories",
        "POST",
        "/api/v1/items/u1?table_type=bright_uid",
        dict.fromkeys(CATEGORIES, FEATURES),
        b"replaced",
    ),
]
STARTS_IN_SECONDS = 30


def main(arguments: Sequence[str] | None = None) -> int:
    options = parser().parse_args(arguments)
    print(_described(options))
    print("\n| | service | requests/s | p50 ms | p99 ms | CPU ms a request | errors |")
    print("|---|---|---:|---:|---:|---:|---:|", flush=True)
    errors = 0
    with ExitStack() as running:
        endpoint = running.enter_context(_database(options.delay_ms))
        services = {name: running.enter_context(_service(path, endpoint)) for name, path in SERVICES.items()}
        for shot in SHOTS:
            results = {name: Result() for name in services}
            for number in range(options.rounds + 1):  # in turns, so that both meet the same machine
                for name, service in services.items():
                    if number == 1:  # what came before was to warm up
                        results[name] = Result()
                    asyncio.run(_measure(service, shot, options, results[name]))
            for name, result in results.items():
                print(f"| {shot.name} | {name} | {result.as_columns()} |", flush=True)
                errors += result.errors
    return 1 if errors else 0


async def _measure(
    service: tuple[str, subprocess.Popen[bytes]], shot: Shot, options: argparse.Namespace, result: Result
) -> None:
    url, process = service
    before = _cpu_seconds(process)
    await fire(url, shot, result, seconds=options.seconds, connections=options.connections)
    result.cpu_seconds += _cpu_seconds(process) - before


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m examples.feature_store.load", description=__doc__)
    parser.add_argument("--seconds", type=float, default=2, help="of each round (default: 2)")
    parser.add_argument("--rounds", type=int, default=3, help="after one to warm up (default: 3)")
    parser.add_argument("--connections", type=int, default=32, help="requests on their way at once (default: 32)")
    parser.add_argument("--delay-ms", type=float, default=3, help="how long the database takes (default: 3)")
    return parser


def _described(options: argparse.Namespace) -> str:
    packages = ", ".join(f"{name} {version(name)}" for name in ("fastapi", "uvicorn", "pydantic", "boto3", "botocore"))
    return (
        f"Python {platform.python_version()}, {packages}; {os.cpu_count()} CPUs; {options.connections} connections, "
        f"{options.rounds} rounds of {options.seconds:g} s each, a database that answers in {options.delay_ms:g} ms."
    )


@contextmanager
def _database(delay_ms: float) -> Iterator[str]:
    command = [sys.executable, "-m", "examples.feature_store.load_database", str(delay_ms)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        yield f"http://127.0.0.1:{process.stdout.readline().strip()}"
        process.stdin.close()


@contextmanager
def _service(application: str, endpoint: str) -> Iterator[tuple[str, subprocess.Popen[bytes]]]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    keys = {"AWS_ACCESS_KEY_ID": "local", "AWS_SECRET_ACCESS_KEY": "local", "AWS_REGION": "us-east-1"}
    environment = {**os.environ, **keys, "AWS_DEFAULT_REGION": "us-east-1", "FEATURE_STORE_ENDPOINT": endpoint}
    command = [sys.executable, "-m", "uvicorn", application, "--port", str(port), "--log-level", "warning"]
    process = subprocess.Popen([*command, "--no-access-log"], env=environment)
    try:
        url = f"http://127.0.0.1:{port}"
        _wait_for(f"{url}/openapi.json", process)
        yield url, process
    finally:
        process.terminate()
        process.wait()


def _cpu_seconds(process: subprocess.Popen[bytes]) -> float:
    """Return what a process has computed so far, in all of its threads; NaN where there is no /proc."""
    try:
        fields = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return math.nan
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def _wait_for(url: str, process: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + STARTS_IN_SECONDS
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError as error:
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit("The service did not start.") from error
            time.sleep(0.05)


if __name__ == "__main__":
    sys.exit(main())
