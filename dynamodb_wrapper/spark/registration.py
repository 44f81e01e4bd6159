"""Making the format known to a Spark session."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from dynamodb_wrapper.spark.availability import require_spark

if TYPE_CHECKING:
    from pydantic import BaseModel
    from pyspark.sql import SparkSession
    from pyspark.sql.types import StructType

_log = logging.getLogger("dynamodb_wrapper.spark")


def register(spark: SparkSession) -> None:
    """Make ``spark.read.format("dynamodb")`` and ``df.write.format("dynamodb")`` work in a session, and as streams.

    Takes note of how many tasks the session runs at a time, and on how many machines, as it is now: for the options
    ``tasks`` and ``hosts``, where they are not given. Registering again takes note again.

    Raises:
        SparkMissingError: pyspark 4.1 or pyarrow is missing.
    """
    require_spark()
    from dynamodb_wrapper.spark.source import DynamoDBDataSource

    # A class of its own, which Spark ships by value, with what this session knows.
    noted = {"parallelism": _parallelism(spark), "hosts": _hosts(spark)}
    with _as_active(spark):
        spark.dataSource.register(type("RegisteredDataSource", (DynamoDBDataSource,), noted))
    if str(spark.conf.get("spark.speculation", "false")).lower() == "true":
        _log.warning(
            "spark.speculation is on: a write to DynamoDB may be done twice, which costs capacity, and requests of the "
            "attempt that lost may come after the job has ended; turn it off for jobs that write"
        )


def spark_schema(model: type[BaseModel]) -> StructType:
    """Return the Spark schema of a Pydantic model, its columns named as the attributes are stored.

    Raises:
        SparkMissingError: pyspark 4.1 or pyarrow is missing.
        ValidationError: A field has no one type in Spark; names it.
    """
    require_spark()
    from dynamodb_wrapper.spark.schemas import model_schema

    return model_schema(model)


def change_schema(
    items: type[BaseModel] | StructType, *, keys: Sequence[str], images: Sequence[str] = ("new", "old")
) -> StructType:
    """Return the schema of a table's changes, for ``spark.readStream.format("dynamodb").schema(...)``.

    Args:
        items: The schema of the items, or their model. What is not in it is left out of ``new`` and ``old``.
        keys: The attributes of the table's key: the partition key, and the sort key if there is one.
        images: Which of ``new`` and ``old`` are wanted; those that the stream's view type has.

    Raises:
        SparkMissingError: pyspark 4.1 or pyarrow is missing.
        ValidationError: A key is not in the schema, or a field of the model has no one type in Spark.
    """
    require_spark()
    from dynamodb_wrapper.spark.changes import schema_of_changes

    return schema_of_changes(spark_schema(items) if isinstance(items, type) else items, keys, images)


@contextmanager
def _as_active(spark: SparkSession) -> Iterator[None]:
    """Make a session the active one of this thread: Spark refuses a name that the active session has already."""
    jvm: Any = getattr(spark, "_jvm", None)
    if jvm is None:  # Spark Connect, whose sessions know nothing of each other
        yield
        return
    sessions = jvm.org.apache.spark.sql.classic.SparkSession
    before = sessions.getActiveSession()
    sessions.setActiveSession(spark._jsparkSession)
    try:
        yield
    finally:
        if before.isDefined():
            sessions.setActiveSession(before.get())
        else:
            sessions.clearActiveSession()


def _parallelism(spark: SparkSession) -> int:
    try:
        return max(int(spark.sparkContext.defaultParallelism), 1)
    except Exception:  # noqa: BLE001 - a Spark Connect session has no context, and says so in its own ways
        return 8


def _hosts(spark: SparkSession) -> int:
    """Return on how many machines there are executors now; 1 when nobody can tell."""
    try:
        status = spark.sparkContext._jsc.sc().getExecutorMemoryStatus().keys().mkString(",")
        hosts = [address.rpartition(":")[0] for address in str(status).split(",")]
        if (driver := spark.conf.get("spark.driver.host")) in hosts:
            hosts.remove(str(driver))  # its own entry; an executor beside it has another
    except Exception:  # noqa: BLE001 - likewise; and it is an inner interface of Spark's
        return 1
    return max(len(set(hosts)), 1)
