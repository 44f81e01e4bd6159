"""What happens to a job when DynamoDB, a task or an executor fails: nothing is lost, and the report is true."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults import rules
from tests.faults.proxy import Exchange, Fault, Proxy
from tests.servers import Server
from tests.spark.conftest import ROOT, environment, put, stored
from tests.spark.test_spark_tables import items, read, reports, wire, write
from tests.timing import PATIENCE

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession


ON_ITS_WAY = 200
"""Two tasks, four requests each, 25 items: what may arrive together where the machine was busy."""


@pytest.fixture
def proxy(server: Server) -> Iterator[Proxy]:
    assert server.endpoint_url is not None
    one = Proxy(server.endpoint_url)
    yield one
    one.close()


def through(proxy: Proxy, folder: Path, **more: Any) -> dict[str, Any]:
    # Of two options of one name the later wins.
    return {"endpoint_url": proxy.url, "metrics_path": folder, **more}


def frame(spark: SparkSession, count: int, *, partitions: int = 2) -> DataFrame:
    return spark.range(0, count, 1, partitions).selectExpr("'p' as pk", "int(id) as sk", "string(id) as v")


def expected(count: int) -> list[dict[str, Any]]:
    return [wire("p", number, v={"S": str(number)}) for number in range(count)]


def totals(folder: Path, name: str, kind: str = "write") -> int:
    return int(sum(report["counts"][name] for report in reports(folder, kind)))


def test_leftovers_are_sent_again(
    spark: SparkSession, server: Server, table: str, proxy: Proxy, tmp_path: Path
) -> None:
    proxy.inject(rules.leftovers(7), "BatchWriteItem", times=3)
    proxy.inject(rules.leftovers(0), "BatchWriteItem", times=2)
    write(frame(spark, 120, partitions=1), server, **through(proxy, tmp_path, in_flight=1)).save(table)
    assert stored(server, table) == expected(120)
    assert totals(tmp_path, "rows_retried") == 18 + 11 + 4 + 4 + 4
    assert totals(tmp_path, "rows_written") == 120


@pytest.mark.parametrize("code", ["ProvisionedThroughputExceededException", "RequestLimitExceeded"])
def test_throttling_is_waited_out_and_counted(
    spark: SparkSession, server: Server, table: str, proxy: Proxy, tmp_path: Path, code: str
) -> None:
    proxy.inject(rules.refusal(code), "BatchWriteItem", times=3)
    write(frame(spark, 60), server, **through(proxy, tmp_path)).save(table)
    assert stored(server, table) == expected(60)
    assert totals(tmp_path, "throttles") == 3
    assert totals(tmp_path, "attempts") == totals(tmp_path, "requests") + 3


def test_damaged_answers_are_read_again(
    spark: SparkSession, server: Server, table: str, proxy: Proxy, tmp_path: Path
) -> None:
    put(server, table, items(150))
    for fault in (
        rules.corrupt(),
        rules.cut_short(),
        rules.truncated(),
        rules.reset(applied=True),
        rules.unavailable(),
    ):
        proxy.inject(fault, "Scan", skip=1)
    options = through(proxy, tmp_path, page_size=20, segments=3)
    found = read(spark, server, **options).schema("n int").load(table).collect()
    assert sorted(row.n for row in found) == list(range(150))
    assert totals(tmp_path, "rows_read", "read") == 150


def test_the_rate_limit_is_held_by_all_tasks_together(
    spark: SparkSession, server: Server, table: str, proxy: Proxy, tmp_path: Path
) -> None:
    arrived: list[tuple[float, int]] = []

    def note(exchange: Exchange) -> None:
        (entries,) = exchange.request.body["RequestItems"].values()
        arrived.append((time.monotonic(), len(entries)))
        exchange.answer(exchange.forward())

    proxy.inject(Fault("noted", note), "BatchWriteItem", times=None)
    rate = 150
    options = through(proxy, tmp_path, capacity=rate, in_flight=4)
    write(frame(spark, 900, partitions=6), server, **options).save(table)
    assert len(stored(server, table)) == 900
    arrived.sort()
    seconds = arrived[-1][0] - arrived[0][0]
    # An item consumes one unit here; the first requests and the last ones are no whole intervals.
    assert 900 / rate * 0.9 < seconds < 900 / rate + PATIENCE
    for start, _ in arrived:
        assert sum(units for moment, units in arrived if start <= moment < start + 2) <= 2 * rate * 1.1 + ON_ITS_WAY


def test_the_rate_limit_is_held_while_the_server_throttles(
    spark: SparkSession, server: Server, table: str, proxy: Proxy, tmp_path: Path
) -> None:
    """What is refused is sent again, and none of that comes on top of the limit; throttling slows the job down."""
    applied: list[tuple[float, int]] = []

    def note(exchange: Exchange) -> None:
        (entries,) = exchange.request.body["RequestItems"].values()
        answer = exchange.forward()
        applied.append((time.monotonic(), len(entries)))
        exchange.answer(answer)

    for place in range(8):
        proxy.inject(rules.throttle(), "BatchWriteItem", skip=place + 1)
    proxy.inject(Fault("noted", note), "BatchWriteItem", times=None)
    rate = 200
    options = through(proxy, tmp_path, capacity=rate, in_flight=4)
    write(frame(spark, 800, partitions=4), server, **options).save(table)
    assert stored(server, table) == expected(800)
    applied.sort()
    assert sum(units for _, units in applied) == 800
    # Without throttling it takes 4 seconds.
    assert applied[-1][0] - applied[0][0] > 800 / rate * 1.15
    for start, _ in applied:
        assert sum(units for moment, units in applied if start <= moment < start + 2) <= 2 * rate * 1.1 + ON_ITS_WAY
    assert totals(tmp_path, "throttles") == 8


def test_the_rate_limit_of_a_read_is_held_by_all_tasks_together(
    spark: SparkSession, server: Server, table: str, proxy: Proxy, tmp_path: Path
) -> None:
    put(server, table, items(600))
    arrived: list[tuple[float, float]] = []

    def note(exchange: Exchange) -> None:
        answer = exchange.forward()
        arrived.append((time.monotonic(), json.loads(answer.body)["ConsumedCapacity"]["CapacityUnits"]))
        exchange.answer(answer)

    proxy.inject(Fault("noted", note), "Scan", times=None)
    rate = 10
    options = through(proxy, tmp_path, capacity=rate, page_size=10, segments=6, tasks=3)
    found = read(spark, server, **options).schema("n int").load(table).collect()
    assert sorted(row.n for row in found) == list(range(600))
    arrived.sort()
    units = sum(consumed for _, consumed in arrived)
    assert units >= 30  # 60 pages of half a unit: otherwise nothing was limited
    # The first requests are taken to consume much more than they do, until their answers say so.
    assert units / rate * 0.8 < arrived[-1][0] - arrived[0][0] < units / rate + PATIENCE
    reported = sum(report["counts"]["capacity"] for report in reports(tmp_path, "read"))
    assert reported == units


def test_a_task_that_failed_is_done_again_and_nothing_is_lost(
    spark: SparkSession, server: Server, table: str, proxy: Proxy, tmp_path: Path
) -> None:
    proxy.inject(rules.refusal("AccessDeniedException"), "BatchWriteItem", skip=2)
    write(frame(spark, 200), server, **through(proxy, tmp_path, in_flight=1)).save(table)
    assert stored(server, table) == expected(200)
    outcomes = [report["outcome"] for report in reports(tmp_path, "write")]
    assert sorted(outcomes) == ["failed", "ok", "ok"]
    (job,) = reports(tmp_path, "job")
    assert (job["counts"]["rows_written"], job["partitions"]) == (200, [0, 1])


def test_a_permanent_failure_says_what_stays_behind(
    spark: SparkSession, server: Server, table: str, proxy: Proxy, tmp_path: Path
) -> None:
    denied = rules.refusal("AccessDeniedException")
    # Only the second half of the keys is refused: one partition is written, the other cannot be.
    proxy.inject(denied, "BatchWriteItem", times=None, when=lambda body: '"150"' in str(body).replace("'", '"'))
    with pytest.raises(Exception, match=r"partition 1 of the frame, attempt \d+: 50 of its rows had been written"):
        write(frame(spark, 200), server, **through(proxy, tmp_path, in_flight=1)).save(table)
    assert stored(server, table) == expected(150)
    (job,) = reports(tmp_path, "job")
    assert (job["outcome"], job["partitions"], job["unfinished"]) == ("aborted", [0], 1)
    assert job["counts"]["rows_written"] == 100
    failed = [report for report in reports(tmp_path, "write") if report["outcome"] == "failed"]
    assert {(report["partition"], report["counts"]["rows_written"]) for report in failed} == {(1, 50)}
    assert all("AccessDenied" in report["error"] for report in failed)


def test_a_report_that_cannot_be_written_fails_nothing(spark: SparkSession, server: Server, table: str) -> None:
    options = {"metrics": "tests.spark.shop:broken_report", "metrics_path": "nowhere://x"}
    write(frame(spark, 10), server, **options).save(table)
    assert stored(server, table) == expected(10)


CLUSTER_JOB = '''
import os, signal, sys
from pyspark.sql import SparkSession
from pyspark.sql.types import LongType
from dynamodb_wrapper.spark import register
from tests.spark.conftest import SETTINGS

endpoint, table, folder = sys.argv[1:]

def killed_once(rows):
    """In the middle of partition 1: end the executor, whose child is the daemon that forked this worker."""
    flag = os.path.join(folder, "killed")
    for batch in rows:
        for number in batch["id"]:
            if number == 350 and not os.path.exists(flag):
                open(flag, "w").close()
                with open(f"/proc/{os.getppid()}/stat") as stat:
                    executor = int(stat.read().rpartition(")")[2].split()[1])
                os.kill(executor, signal.SIGKILL)
        yield batch

builder = SparkSession.builder.master("local-cluster[2,1,1024]")
for name, value in SETTINGS.items():
    builder = builder.config(name, value)
spark = builder.config("spark.sql.execution.arrow.maxRecordsPerBatch", "50").getOrCreate()
register(spark)
frame = spark.range(0, 400, 1, 2).mapInPandas(killed_once, "id long")
frame = frame.selectExpr("'p' as pk", "int(id) as sk", "string(id) as v")
frame.write.format("dynamodb").mode("append").options(endpoint_url=endpoint, metrics_path=folder + "/m").save(table)
spark.stop()
'''


@pytest.mark.timeout(180)
@pytest.mark.usefixtures("spark")
def test_an_executor_killed_in_the_middle_loses_nothing(server: Server, table: str, tmp_path: Path) -> None:
    script = tmp_path / "job.py"
    script.write_text(CLUSTER_JOB)
    done = subprocess.run(
        [sys.executable, str(script), str(server.endpoint_url), table, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | environment(),
        capture_output=True,
        text=True,
        timeout=170,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-4000:]
    assert (tmp_path / "killed").exists()
    assert stored(server, table) == expected(400)
    (job,) = reports(tmp_path / "m", "job")
    assert (job["outcome"], job["counts"]["rows_written"]) == ("committed", 400)
