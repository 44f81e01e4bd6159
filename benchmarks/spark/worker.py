"""``python -m benchmarks.spark.worker peer-module tasks``: one candidate with a Spark session of its own.

The first line of output has the versions. Each line of input is a JSON object ``{"case", "url", "rows", "partitions",
"capacity"}``, and each line of output one with the ``wall`` seconds, the CPU ``seconds`` of all its processes (as Linux
counts them), the ``python`` part of it, without the JVM's, and the ``rows``; or with an ``error``. Standard input
closed, it ends.
"""

from __future__ import annotations

import importlib
import json
import os
import platform
import sys
import time
from functools import cache
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as f

from benchmarks.spark.data import ROW, table_of

SETTINGS = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.driver.memory": "2g",
    "spark.driver.host": "127.0.0.1",
    "spark.sql.session.timeZone": "UTC",
    "spark.log.level": "ERROR",
}
TICKS = os.sysconf("SC_CLK_TCK")


class Worker:
    """One candidate in this process."""

    def __init__(self, peer: Any, spark: SparkSession) -> None:
        self._peer = peer
        self._spark = spark
        self._frame = cache(self._new_frame)

    def measured(self, order: dict[str, Any]) -> dict[str, float]:
        """Return what a read or write took."""
        capacity = {} if order["capacity"] is None else {"capacity": order["capacity"]}
        frame = self._frame(order["rows"], order["partitions"]) if order["case"] == "write" else None
        before, start = cpu(), time.perf_counter()
        if frame is None:
            rows = self._read(order, capacity)
        else:
            self._peer.write(frame, order["url"], table_of(order["rows"]), **capacity)
            rows = order["rows"]
        wall = time.perf_counter() - start
        spent, python = (after - earlier for after, earlier in zip(cpu(), before, strict=True))
        return {"wall": wall, "seconds": spent, "python": python, "rows": rows}

    def _read(self, order: dict[str, Any], capacity: dict[str, float]) -> int:
        frame = self._peer.read(self._spark, order["url"], order["rows"], **capacity)
        totals = f.count("pk"), f.max("total"), f.max("placed_at"), f.max("email")
        found = frame.groupBy().agg(*totals).collect()[0]
        if found[0] != order["rows"]:
            raise AssertionError(f"{found[0]} rows instead of {order['rows']}")  # a fast wrong answer is none
        return int(found[0])

    def _new_frame(self, rows: int, partitions: int) -> DataFrame:
        """Return what is written, ready in memory."""
        frame = self._spark.range(0, rows, 1, partitions).selectExpr(*ROW).cache()
        frame.count()
        return frame


def cpu() -> tuple[float, float]:
    """Return the CPU seconds of all processes of this one's session until now, and those without the JVM's own.

    A process counts with its children that have ended, and its children that have not count by themselves.
    """
    all_ticks = jvm_ticks = 0
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            head, _, tail = (entry / "stat").read_text().rpartition(")")
        except OSError:  # it has ended meanwhile, and its parent counts it
            continue
        fields = tail.split()
        if int(fields[3]) != os.getsid(0):
            continue
        own, ended = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
        all_ticks += own + ended
        jvm_ticks += own if head.endswith("(java") else 0
    return all_ticks / TICKS, (all_ticks - jvm_ticks) / TICKS


def cause(error: Exception) -> str:
    """Return the line that says what went wrong: for a task that failed, the end of Python's own traceback."""
    text = f"{type(error).__name__}: {error}"
    named = [line for line in text.splitlines() if line.split(":")[0].endswith("Error")]
    return (named or text.splitlines())[-1 if named else 0]


def main(module: str, tasks: str) -> None:
    """Answer orders until there are no more."""
    try:
        peer = importlib.import_module(f"benchmarks.spark.peers.{module}")
        versions = {package: version(package) for package in peer.PACKAGES}
    except Exception as error:  # noqa: BLE001 - whatever keeps a candidate from being imported is shown in the table
        print(json.dumps({"error": f"{type(error).__name__}: {error}"}), flush=True)
        return
    os.environ["PYSPARK_PYTHON"] = sys.executable  # Spark would take the first python3 on PATH
    with TemporaryDirectory() as folder:
        builder = SparkSession.builder.master(f"local[{tasks}]")
        places = {"spark.local.dir": folder, "spark.sql.warehouse.dir": folder}
        for name, value in {**SETTINGS, **places}.items():
            builder = builder.config(name, value)
        spark = builder.getOrCreate()
        worker = Worker(peer, spark)
        print(json.dumps({"python": platform.python_version(), "versions": versions}), flush=True)
        for line in sys.stdin:
            try:
                answer: dict[str, Any] = dict(worker.measured(json.loads(line)))
            except Exception as error:  # noqa: BLE001 - likewise
                answer = {"error": f"failed: {cause(error)}"}
            print(json.dumps(answer), flush=True)
        spark.stop()


if __name__ == "__main__":
    main(*sys.argv[1:])
