"""``python -m examples.lambda_tree_chat.measure``: cold and warm start of the handler, and of its alternatives.

Every cold start is a process of its own; the alternatives take turns, so that a machine that gets slower is slower for
all of them. The server is moto's, in another process on this machine: its time is in the wall clock, not in the CPU's.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from dynamodb_wrapper import DynamoDBConfig
from examples.lambda_tree_chat.package import build
from examples.lambda_tree_chat.repositories import ChatRepository

ROOT = Path(__file__).resolve().parents[2]
MODULES = {
    "this example": "app",
    "- from its zip": "app",
    "- from a zip without bytecode": "app",
    "with Powertools": "with_powertools",
    "by hand on boto3": "by_hand",
}

# Run in the fresh process. What comes before the import is nothing that Lambda would not have loaded by then.
FRESH = """
import time
CPU, WALL = time.process_time(), time.perf_counter()
import importlib, json, sys
module, rounds = sys.argv[1], int(sys.argv[2])
handler = importlib.import_module(f"examples.lambda_tree_chat.{module}").handler
imported = time.process_time() - CPU, time.perf_counter() - WALL

class Context:
    function_name = invoked_function_arn = aws_request_id = "measured"
    memory_limit_in_mb = 512
    def get_remaining_time_in_millis(self):
        return 20_000

def event(method, path, body=None, **query):
    return {
        "version": "2.0", "rawPath": path, "headers": {}, "queryStringParameters": query, "isBase64Encoded": False,
        "body": body and json.dumps(body), "requestContext": {
            "http": {"method": method, "path": path}, "stage": "$default", "requestId": "measured",
            "authorizer": {"jwt": {"claims": {"sub": "ada"}, "scopes": None}}}}

def call(*arguments, **query):
    answer = handler(event(*arguments, **query), Context())
    assert answer["statusCode"] in (200, 201), answer
    return json.loads(answer["body"])

chat = call("POST", "/chats", {"title": "measured", "text": "hello"})["chat"]["chat_id"]
cold = time.process_time() - CPU, time.perf_counter() - WALL
for _ in range(20):
    call("GET", f"/chats/{chat}", depth="3")
start = time.process_time(), time.perf_counter()
for _ in range(rounds):
    call("GET", f"/chats/{chat}", depth="3")
warm = [(now - then) / rounds for now, then in zip((time.process_time(), time.perf_counter()), start)]
with open("/proc/self/status") as status:  # not what getrusage says: that counts the memory of who started this
    peak = next(int(line.split()[1]) / 1024 for line in status if line.startswith("VmHWM"))
print(json.dumps({"imported": imported, "cold": cold, "warm": warm, "modules": len(sys.modules), "peak": peak}))
"""


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m examples.lambda_tree_chat.measure", description=__doc__)
    parser.add_argument("--rounds", type=int, default=9, help="fresh processes of each (default: 9)")
    parser.add_argument("--calls", type=int, default=300, help="warm calls in each process (default: 300)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, local_server() as url:
        environment = function_environment(url)
        make_table(environment)
        places = {"- from its zip": Path(folder) / "zip", "- from a zip without bytecode": Path(folder) / "bare"}
        for name, place in places.items():
            build(place.with_suffix(".zip"), with_bytecode="without" not in name)
            shutil.unpack_archive(place.with_suffix(".zip"), place)
        found: dict[str, list[dict[str, Any]]] = {name: [] for name in MODULES}
        for _ in range(options.rounds):
            for name, module in MODULES.items():
                found[name].append(measured(module, options.calls, environment, places.get(name)))
    print(report(found))


@contextmanager
def local_server() -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(f"http://127.0.0.1:{port}")
        yield f"http://127.0.0.1:{port}"
    finally:
        server.terminate()
        server.wait()


def wait_for(url: str) -> None:
    for _ in range(100):
        try:
            urlopen(url).close()
            return
        except OSError:
            time.sleep(0.1)
    raise TimeoutError(f"no server came up at {url}")


def function_environment(url: str) -> dict[str, str]:
    return {
        "PATH": os.environ.get("PATH", ""),
        "HOME": "/nowhere",
        "AWS_LAMBDA_FUNCTION_NAME": "tree-chat",
        "AWS_REGION": "us-east-1",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "testing",
        "AWS_SECRET_ACCESS_KEY": "testing",
        "DYNAMODB_ENDPOINT_URL": url,
        "DYNAMODB_TABLE_PREFIX": "measured",
        "POWERTOOLS_TRACE_DISABLED": "1",
    }


def make_table(environment: dict[str, str]) -> None:
    config = DynamoDBConfig(
        endpoint_url=environment["DYNAMODB_ENDPOINT_URL"],
        region_name="us-east-1",
        aws_access_key_id="testing",
        aws_secret_access_key="testing",
        table_prefix="measured",
    )
    ChatRepository(config).ensure_table()


def measured(module: str, calls: int, environment: dict[str, str], place: Path | None) -> dict[str, Any]:
    """Return the figures of a fresh process; from an unpacked zip, nothing that is installed here is found."""
    options = [] if place is None else ["-S", "-B"]
    command = [sys.executable, *options, "-c", FRESH, module, str(calls)]
    environment = environment | {"PYTHONPATH": str(place or ROOT)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True, cwd="/")
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def report(found: dict[str, list[dict[str, Any]]]) -> str:
    versions = [f"{name} {importlib.metadata.version(name)}" for name in ("pydantic", "boto3", "aws-lambda-powertools")]
    lines = [
        f"Python {platform.python_version()}, {', '.join(versions)}; medians of {len(next(iter(found.values())))}",
        "",
        "| | import, CPU | to first answer, CPU | to first answer, wall | warm call, CPU | peak memory | modules |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for name, runs in found.items():
        imported, cold, warm = (statistics.median(run[key][0] for run in runs) for key in ("imported", "cold", "warm"))
        wall = statistics.median(run["cold"][1] for run in runs)
        peak = statistics.median(run["peak"] for run in runs)
        lines.append(
            f"| {name} | {imported * 1e3:.0f} ms | {cold * 1e3:.0f} ms | {wall * 1e3:.0f} ms | {warm * 1e3:.2f} ms "
            f"| {peak:.0f} MB | {runs[0]['modules']} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    main()
