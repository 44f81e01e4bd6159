"""``python -m benchmarks``: CPU per operation of this library and of boto3 with Pydantic by hand, interleaved.

Quote the ratios, not the microseconds: they hold when the machine's speed drifts.
"""

from __future__ import annotations

import platform
import socket
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from decimal import Decimal
from importlib.metadata import version
from typing import Any

import boto3
from boto3.dynamodb.conditions import Key
from rich.console import Console
from rich.table import Table

from benchmarks.canned_server import PAGE_ITEMS
from benchmarks.data import Customer, customer
from dynamodb_wrapper import BaseDynamoRepository, DynamoDBConfig

ROUNDS = 15
CALLS = {"get": 60, "put": 60, "update": 60, f"query of {PAGE_ITEMS}": 6}
Operation = Callable[[], object]


class CustomerRepository(BaseDynamoRepository[Customer]):
    """The library's way."""

    table_name = "customers"
    primary_key = "pk"
    sort_key = "sk"


def ours(port: int) -> dict[str, Operation]:
    """Return the operations through a repository."""
    config = DynamoDBConfig(
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="example",
    )
    repository, model = CustomerRepository(config), customer(1)
    return {
        "get": lambda: repository.get("user#0001", "order#000001"),
        "put": lambda: repository.put(model),
        "update": lambda: repository.patch("user#0001", "order#000001", age=30),
        f"query of {PAGE_ITEMS}": lambda: repository.query("user#0001").all(),
    }


def by_hand(port: int) -> dict[str, Operation]:
    """Return the operations as people write them with boto3's Table and Pydantic."""
    table: Any = boto3.resource(
        "dynamodb",
        endpoint_url=f"http://127.0.0.1:{port}",
        region_name="us-east-1",
        aws_access_key_id="AKIDEXAMPLE",
        aws_secret_access_key="example",
    ).Table("customers")
    key = {"pk": "user#0001", "sk": "order#000001"}
    model = customer(1)

    def put() -> object:
        item = model.model_dump(mode="json", exclude_none=True)
        item |= {"price": model.price, "score": Decimal(str(model.score)), "labels": model.labels}
        item["address"]["lat"] = Decimal(str(model.address.lat))
        return table.put_item(Item=item)

    def update() -> object:
        answer = table.update_item(
            Key=key,
            UpdateExpression="SET age = :age",
            ConditionExpression="attribute_exists(pk)",
            ExpressionAttributeValues={":age": 30},
            ReturnValues="ALL_NEW",
        )
        return Customer.model_validate(answer["Attributes"])

    def query() -> object:
        answer = table.query(KeyConditionExpression=Key("pk").eq("user#0001"))
        return [Customer.model_validate(item) for item in answer["Items"]]

    return {
        "get": lambda: Customer.model_validate(table.get_item(Key=key)["Item"]),
        "put": put,
        "update": update,
        f"query of {PAGE_ITEMS}": query,
    }


def raw_socket(port: int) -> dict[str, Operation]:
    """Return the operations as ready bytes over one socket: the limit, nothing signed or parsed."""
    connection = socket.create_connection(("127.0.0.1", port))

    def exchange(target: str) -> Operation:
        request = (
            f"POST / HTTP/1.1\r\nX-Amz-Target: DynamoDB_20120810.{target}\r\nContent-Length: 2\r\n\r\n{{}}".encode()
        )

        def send() -> int:
            connection.sendall(request)
            data = connection.recv(65536)
            end = data.find(b"\r\n\r\n")
            start = data.find(b"Content-Length: ") + len(b"Content-Length: ")
            missing = int(data[start:end]) - (len(data) - end - 4)
            while missing > 0:
                missing -= len(connection.recv(65536))
            return missing

        return send

    targets = {"get": "GetItem", "put": "PutItem", "update": "UpdateItem", f"query of {PAGE_ITEMS}": "Query"}
    return {name: exchange(target) for name, target in targets.items()}


@contextmanager
def canned_server() -> Iterator[int]:
    """Run the canned server in a process of its own; yield its port."""
    command = [sys.executable, "-m", "benchmarks.canned_server"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        try:
            yield int(process.stdout.readline())
        finally:
            process.stdin.close()


def measured(operation: Operation, calls: int) -> float:
    """Return the CPU microseconds of one call, averaged over a few."""
    start = time.process_time()
    for _ in range(calls):
        operation()
    return (time.process_time() - start) / calls * 1e6


def main() -> None:
    """Measure and print the table."""
    console = Console()
    names = {"raw socket": raw_socket, "boto3 + Pydantic": by_hand, "dynamodb_wrapper": ours}
    with canned_server() as port:
        candidates = {name: make(port) for name, make in names.items()}
        samples: dict[tuple[str, str], list[float]] = {}
        for operation, calls in CALLS.items():
            for operations in candidates.values():
                measured(operations[operation], calls)  # warm up
            for _ in range(ROUNDS):
                for name, operations in candidates.items():
                    samples.setdefault((operation, name), []).append(measured(operations[operation], calls))
    table = Table(title=f"CPU per call, median of {ROUNDS} interleaved rounds, microseconds")
    for column in ("operation", *names, "of boto3 + Pydantic"):
        table.add_column(column, justify="left" if column == "operation" else "right")
    for operation in CALLS:
        medians = {name: statistics.median(samples[operation, name]) for name in names}
        pairs = zip(samples[operation, "dynamodb_wrapper"], samples[operation, "boto3 + Pydantic"], strict=True)
        ratio = statistics.median(mine / theirs for mine, theirs in pairs)
        table.add_row(operation, *(f"{medians[name]:,.0f}" for name in names), f"{ratio:.2f}")
    console.print(table)
    versions = ", ".join(f"{name} {version(name)}" for name in ("boto3", "botocore", "pydantic"))
    console.print(f"Python {platform.python_version()}, {versions}")


if __name__ == "__main__":
    main()
