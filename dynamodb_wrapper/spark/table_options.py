"""How a stored table configuration becomes a reader or a writer of Spark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.models import DataFormat, TableConfig

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession
    from pyspark.sql.types import StructType

_MODES = ("append", "overwrite", "error", "errorifexists", "ignore")
_CONNECTION = ("region", "endpoint_url", "config")
"""What ``connection_config`` may say of DynamoDB. Credentials have no place there: they would be in query plans."""


def read_options(table: TableConfig) -> dict[str, Any]:
    """Return what `read` uses: ``format``, for files ``path``, and the reader's options."""
    return {"format": table.data_format.value, **_place(table, table.read_options), **table.read_options}


def write_options(table: TableConfig) -> dict[str, Any]:
    """Return what `write` uses: ``format``, ``mode``, ``partitionBy``, for files ``path``, and the writer's options.

    Raises:
        ValidationError: The mode is none of Spark's.
    """
    options: dict[str, Any] = {
        "format": table.data_format.value,
        "mode": "append",
        **_place(table, table.write_options),
    }
    if table.partition_columns and table.data_format != DataFormat.DYNAMODB:
        options["partitionBy"] = list(table.partition_columns)
    options.update(table.write_options)
    if options["mode"] not in _MODES:
        problem = f"must be one of {', '.join(_MODES)}, not {options['mode']!r}"
        raise ValidationError(f"table {table.table_id!r}: the mode in write_options {problem}", {"mode": problem})
    return options


def read(session: SparkSession, table: TableConfig, **further: object) -> DataFrame:
    """Return the table as a frame, with the schema and the caching of its configuration, and further options."""
    options = {**read_options(table), **further}
    reader = session.read.format(options.pop("format"))
    if table.schema_definition:
        reader = reader.schema(schema_of(table))
    path = options.pop("path", None)
    frame = reader.options(**options).load(path) if path is not None else reader.options(**options).load()
    return frame.persist(_storage_level(table)) if table.caching_enabled else frame


def write(frame: DataFrame, table: TableConfig, *, mode: str | None = None, **further: object) -> str:
    """Write a frame into the table, and return the mode it was written in.

    Args:
        frame: The rows.
        table: Where to.
        mode: Instead of the table's own.
        further: Further options of the writer.
    """
    options = {**write_options(table), **further}
    chosen = mode or str(options["mode"])
    del options["mode"]
    writer = frame.write.format(options.pop("format")).mode(chosen)
    if columns := options.pop("partitionBy", None):
        writer = writer.partitionBy(*columns)
    path = options.pop("path", None)
    writer = writer.options(**options)
    writer.save(path) if path is not None else writer.save()
    return chosen


def schema_of(table: TableConfig) -> StructType | str:
    """Return the schema of a table's configuration.

    ``schema_definition`` is Spark's JSON (``{"type": "struct", "fields": [...]}``), or ``{"ddl": "id BIGINT, name
    STRING"}``, or the type of each column by name.

    Raises:
        ValidationError: It is none of these.
    """
    from pyspark.sql.types import StructType

    definition: Mapping[str, Any] = table.schema_definition or {}
    if definition.get("type") == "struct" and "fields" in definition:
        try:
            return StructType.fromJson(dict(definition))
        except (KeyError, TypeError, ValueError) as error:
            problem = f"is not Spark's JSON of a schema: {type(error).__name__}: {error}"
            raise _bad_schema(table, problem, error) from error
    if set(definition) == {"ddl"}:
        return str(definition["ddl"])
    if definition and all(isinstance(kind, str) for kind in definition.values()):
        return ", ".join(f"`{name.replace('`', '``')}` {kind}" for name, kind in definition.items())
    raise _bad_schema(table, "is neither Spark's JSON, nor {'ddl': ...}, nor the type of each column by name")


def size_bytes(session: SparkSession, table: TableConfig) -> int | None:
    """Return how many bytes the table's files have, as the file system says; None where there are no files."""
    if table.data_format == DataFormat.DYNAMODB:
        return None
    jvm, context = session._jvm, session._jsc  # None with Spark Connect
    if jvm is None or context is None:
        return None
    path = jvm.org.apache.hadoop.fs.Path(table.location)
    summary = path.getFileSystem(context.hadoopConfiguration()).getContentSummary(path)
    return int(summary.getLength())


def _place(table: TableConfig, options: Mapping[str, Any]) -> dict[str, Any]:
    if table.data_format != DataFormat.DYNAMODB:
        return {"path": table.location}
    place: dict[str, Any] = {}
    if "repository" not in options:  # which knows its table and keys
        place["table"] = table.table_name
        place.update(zip(("partition_key", "sort_key"), table.primary_key_columns, strict=False))
    place.update({name: table.connection_config[name] for name in _CONNECTION if name in table.connection_config})
    return place


def _storage_level(table: TableConfig) -> Any:
    from pyspark import StorageLevel

    name = table.cache_level or "MEMORY_AND_DISK"
    level = getattr(StorageLevel, name, None)
    if not isinstance(level, StorageLevel):
        problem = f"{name!r} is no storage level of Spark's, such as MEMORY_AND_DISK"
        raise ValidationError(f"table {table.table_id!r}: cache_level {problem}", {"cache_level": problem})
    return level


def _bad_schema(table: TableConfig, problem: str, error: Exception | None = None) -> ValidationError:
    message = f"table {table.table_id!r}: schema_definition {problem}"
    return ValidationError(message, {"schema_definition": problem}, error)
