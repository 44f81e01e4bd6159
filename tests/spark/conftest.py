"""What Spark tests share: one session for all of them, a server, and tables of their own."""

from __future__ import annotations

import importlib.util
import os
import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import pytest

from tests import servers

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).resolve().parent.parent.parent
HAS_SPARK = importlib.util.find_spec("pyspark") is not None and importlib.util.find_spec("pyarrow") is not None
SERVER = {"AWS_ACCESS_KEY_ID": "testing", "AWS_SECRET_ACCESS_KEY": "testing", "AWS_REGION": "us-east-1"}
"""What the workers find in their environment; the endpoint is an option."""


def environment() -> dict[str, str]:
    """What Spark needs to be told by the environment, here and in processes of tests."""
    paths = [str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])]
    return {
        "SPARK_LOCAL_IP": "127.0.0.1",
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONPATH": os.pathsep.join(paths),
        "AWS_EC2_METADATA_DISABLED": "true",
        "TZ": "UTC",
        **SERVER,
    }


SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
    "spark.driver.memory": "1g",
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.executor.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
    "spark.sql.session.timeZone": "America/New_York",
    "spark.log.level": "ERROR",
    "spark.python.daemon.module": "tests.spark.daemon",
}


@pytest.fixture(scope="session")
def spark() -> Iterator[SparkSession]:
    """The session: local, two tasks at a time (and two attempts at each)."""
    pytest.importorskip("pyspark", reason="pyspark is not installed here: `make spark` runs these tests")
    from dynamodb_wrapper.spark import SparkMissingError, register, require_java

    try:
        require_java()
    except SparkMissingError as missing:
        pytest.skip(str(missing))
    from pyspark.sql import SparkSession

    before = dict(os.environ)
    os.environ.update(environment())
    with warnings.catch_warnings(), tempfile.TemporaryDirectory() as folder:
        warnings.simplefilter("ignore")
        builder = SparkSession.builder.master("local[2, 2]").appName("tests")
        for name, value in {**SETTINGS, "spark.local.dir": folder, "spark.sql.warehouse.dir": folder}.items():
            builder = builder.config(name, value)
        session = builder.getOrCreate()
        os.environ.clear()
        os.environ.update(before)
        register(session)
        yield session
        session.stop()


@pytest.fixture
def server(ministack_server: servers.RunningServer) -> Iterator[servers.Server]:
    """ministack, with a prefix for the tables of this test."""
    one = servers.Server(ministack_server)
    yield one
    one.clean_up()


@pytest.fixture
def table(server: servers.Server) -> str:
    """A table with keys pk (text) and sk (number) and an index by_status (status, sk)."""
    return make_table(server)


def make_table(server: servers.Server, **more: Any) -> str:
    name = f"{server.table_prefix}-{uuid4().hex[:6]}"
    server.client.create_table(
        TableName=name,
        KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}, {"AttributeName": "sk", "KeyType": "RANGE"}],
        AttributeDefinitions=[
            {"AttributeName": "pk", "AttributeType": "S"},
            {"AttributeName": "sk", "AttributeType": "N"},
            {"AttributeName": "status", "AttributeType": "S"},
        ],
        GlobalSecondaryIndexes=[
            {
                "IndexName": "by_status",
                "KeySchema": [
                    {"AttributeName": "status", "KeyType": "HASH"},
                    {"AttributeName": "sk", "KeyType": "RANGE"},
                ],
                "Projection": {"ProjectionType": "ALL"},
            }
        ],
        **{"BillingMode": "PAY_PER_REQUEST", **more},
    )
    return name


def stored(server: servers.Server, table: str) -> list[dict[str, Any]]:
    """All items of a table, in wire form, sorted by key."""
    pages = server.client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
    items = [dict(item) for page in pages for item in page["Items"]]
    return sorted(items, key=lambda item: (item["pk"]["S"], float(item["sk"]["N"])))


def put(server: servers.Server, table: str, items: list[dict[str, Any]]) -> None:
    """Write items in wire form."""
    for start in range(0, len(items), 25):
        requests = [{"PutRequest": {"Item": item}} for item in items[start : start + 25]]
        server.client.batch_write_item(RequestItems={table: requests})
