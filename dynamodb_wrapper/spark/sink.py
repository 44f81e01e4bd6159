"""Writing: rows into requests, several on their way at a time, and the truth about what was written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from pyspark import TaskContext
from pyspark.sql.datasource import DataSourceArrowWriter, DataSourceStreamArrowWriter, WriterCommitMessage
from pyspark.sql.types import StructType

from dynamodb_wrapper.exceptions import DynamoDBWrapperError, ValidationError
from dynamodb_wrapper.operations.declaration import GUARD_PREFIX
from dynamodb_wrapper.operations.effects import together
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.spark.derived import RowDeriver, derived_entries
from dynamodb_wrapper.spark.guarded import GuardedWrites, changes_guards
from dynamodb_wrapper.spark.metrics import Job, Meter, TaskReport, job_report, logger, new_job_id, publish
from dynamodb_wrapper.spark.options import Options
from dynamodb_wrapper.spark.quarantine import Quarantine
from dynamodb_wrapper.spark.rate import Limit, Pace, Unlimited
from dynamodb_wrapper.spark.requests import BatchWrites, Row, SingleWrites, Writes
from dynamodb_wrapper.spark.rows import RowEncoder
from dynamodb_wrapper.spark.schemas import as_stored, model_schema
from dynamodb_wrapper.spark.tables import Table, capacity_of, config_of, driver_of, entity_of, table_of
from dynamodb_wrapper.spark.types import columns_of

_FIRST_WRITE_UNITS = 25.0
_FIRST_GUARDED_UNITS = 4.0
"""An item and one guard, in a transaction."""


@dataclass
class TaskDone(WriterCommitMessage):
    """What a task tells the commit."""

    report: TaskReport


@dataclass(frozen=True)
class Writing:
    """A write as it is shipped to the tasks.

    Attributes:
        job: What all its tasks know.
        table: What is written to.
        schema: The columns.
        limit: The rate limit of a machine.
    """

    job: Job
    table: Table
    schema: StructType
    limit: Limit | None


def planned_write(options: Options, schema: StructType, *, overwrites: bool, hosts: int) -> Writing:
    """Return the plan of a write of rows of a schema.

    Raises:
        ValidationError: Rows of this schema cannot be written to this table, or not so.
    """
    if overwrites and options.overwrite is None:
        raise ValidationError(
            'mode("overwrite"), or outputMode("complete"), would have to delete what is in the table, and does not. '
            '"append" writes the rows, each replacing an item with its key; option("overwrite", "replace_items") makes '
            "it mean that",
            {"mode": "overwrite"},
        )
    config = config_of(options)
    table, entity = table_of(options, config), entity_of(options, config)
    stored = schema if table.model is None else as_stored(schema, model_schema(table.model, stored=table.stored))
    _check_keys(table, stored)
    if options.write_mode == "delete":
        stored = StructType([stored[key] for key in table.key_columns])
    columns_of(stored)
    if options.write_mode == "update" and len(stored) == len(table.key_columns):
        raise ValidationError("an update needs columns besides the key", {"write_mode": "update"})
    if entity is not None:
        _check_repository(options, table, stored, entity)
    units = capacity_of(options, table, "Write", config)
    job = Job(new_job_id(), "write", table.name, options)
    guess = _FIRST_GUARDED_UNITS if table.has_guards else _FIRST_WRITE_UNITS
    limit = None if units is None else Limit(units / hosts, job.job_id, guess)
    return Writing(job, table, stored, limit)


def _check_keys(table: Table, schema: StructType) -> None:
    missing = [key for key in table.key_columns if key not in schema.names]
    if missing:
        raise ValidationError(
            f"the frame has no column for the key of table {table.name!r}: {', '.join(missing)}; "
            f"its columns are {', '.join(schema.names)}",
            dict.fromkeys(missing, "missing"),
        )
    for column in columns_of(StructType([schema[key] for key in table.key_columns])):
        if column.tag not in ("S", "N", "B"):
            raise ValidationError(
                f"key {column.name!r} is {column.describe()}; a key is text, a number or binary",
                {column.name: f"stored as {column.tag}"},
            )


def _check_repository(options: Options, table: Table, schema: StructType, entity: Entity[Any]) -> None:
    """Refuse what would break a promise that the repository makes of its table."""
    is_stamped = any(entry.attribute == table.versions for entry in entity.codec.derived)
    is_new = options.write_mode in ("put", "insert_only") or options.upsert
    if table.versions is not None and is_new and not is_stamped and table.versions not in schema.names:
        raise ValidationError(
            f"{options.repository} has the schema version in a field of its model, and the frame has no column "
            f"{table.versions!r}: its rows would be taken for those of the first version. Add it to the frame",
            {table.versions: "missing"},
        )
    derived_entries(entity, options, schema.names)
    _check_union(options, schema, entity)
    if (version := entity.declaration.version) is not None:
        logger.warning("rows written to table %r neither check nor move the version %r", table.name, version)


def _check_union(options: Options, schema: StructType, entity: Entity[Any]) -> None:
    """Refuse rows that do not say which model of a union they are, or that would make another one of an item."""
    for name in map(entity.codec.attribute, entity.codec.fixed):
        if options.write_mode in ("put", "insert_only") and name not in schema.names:
            raise ValidationError(
                f"{name!r} says which model of {options.repository} a row is, and the frame has no such column",
                {name: "missing"},
            )
        if options.write_mode == "update" and (options.upsert or name in schema.names):
            raise ValidationError(
                f"{name!r} says which model of {options.repository} an item is, so an update can neither change it nor "
                "make an item: leave the column out, and upsert off",
                {name: "cannot be updated"},
            )


class DynamoDBWriter(DataSourceArrowWriter):
    """Writes the rows of each task, and tells what became of all."""

    def __init__(self, writing: Writing) -> None:
        self.writing = writing

    def write(self, iterator: Iterator[pa.RecordBatch]) -> WriterCommitMessage:
        """Write the rows of one task, and return its report.

        Raises:
            ValidationError: Rows were refused, and that is to fail; the others are written.
            DynamoDBWrapperError: DynamoDB gave up, or was given up on. A note says how many rows are written.
        """
        job = self.writing.job
        config = config_of(job.options)
        pace: Pace = Unlimited() if self.writing.limit is None else self.writing.limit.begin()
        with Meter(job, config, pace) as meter:
            try:
                self._write(iterator, meter, pace)
            except DynamoDBWrapperError as error:
                error.add_note(
                    f"partition {meter.partition} of the frame, attempt {meter.attempt}: {meter.counts.rows_written} "
                    f"of its rows had been written to table {job.table_name!r}, and stay there"
                )
                raise
        assert meter.report is not None
        return TaskDone(meter.report)

    def _write(self, batches: Iterator[pa.RecordBatch], meter: Meter, pace: Pace) -> None:
        writing = self.writing
        options = writing.job.options
        columns = columns_of(writing.schema)
        entity = entity_of(options, meter.config)
        deriver = None if entity is None else RowDeriver(entity, options, writing.schema.names)
        kept_prefix = GUARD_PREFIX if writing.table.has_guards else None
        encoder = RowEncoder(columns, writing.table.keys, deriver, kept_prefix=kept_prefix)
        driver = driver_of(meter.config)
        with Quarantine(writing.job, meter) as quarantine:
            writes = _kind(writing, entity)(writing.table, options, columns, meter, pace, quarantine, entity=entity)
            for whole in batches:
                batch = whole.select(writing.schema.names)
                rows = list(_rows(batch, encoder, quarantine))
                # A batch is finished before the next one begins: so rows with one key are written in their order.
                driver.run(together(writes.flows(rows, batch), at_most=options.in_flight))
        if quarantine.count and options.on_rejected == "fail":
            raise ValidationError(
                f"{quarantine.count} rows could not be written: {'; '.join(quarantine.reasons)}. "
                'option("on_rejected", "quarantine") writes them elsewhere',
                {"rows": quarantine.count},
            )

    def commit(self, messages: list[WriterCommitMessage | None]) -> None:
        """Report what was written."""
        self._report(messages, is_committed=True)

    def abort(self, messages: list[WriterCommitMessage | None]) -> None:
        """Report what was written by the tasks that ended; there is no way back."""
        self._report(messages, is_committed=False)

    def _report(self, messages: Sequence[WriterCommitMessage | None], *, is_committed: bool) -> None:
        job = self.writing.job
        tasks = [message.report if isinstance(message, TaskDone) else None for message in messages]
        report = job_report(job, tasks, outcome="committed" if is_committed else "aborted")
        publish(report, job.options, config_of(job.options))
        if self.writing.limit is not None:
            self.writing.limit.forget()
        if not is_committed:
            logger.error(
                "job %s was aborted: the %d rows of partitions %s are in table %r and stay there, and so may be rows "
                "of %d partitions that were not finished",
                job.job_id, report.counts.rows_written, report.partitions, job.table_name, report.unfinished,
            )  # fmt: skip


class DynamoDBStreamWriter(DataSourceStreamArrowWriter):
    """Writes the rows of each micro-batch, as the batch sink does, under an id that is the same when it is repeated."""

    def __init__(self, writing: Writing) -> None:
        self.writing = writing

    def write(self, iterator: Iterator[pa.RecordBatch]) -> WriterCommitMessage:
        """Write the rows of one task of a micro-batch, and return its report."""
        writing = self.writing
        context = TaskContext.get()
        query = None if context is None else context.getLocalProperty("sql.streaming.queryId")
        batch = None if context is None else context.getLocalProperty("streaming.sql.batchId")
        if query is not None and batch is not None:
            job = replace(writing.job, job_id=f"{query}-{batch}", batch_id=int(batch))
            # One account for all micro-batches: so the rate holds across them, and there is one file on a machine.
            limit = None if writing.limit is None else replace(writing.limit, account=query)
            writing = replace(writing, job=job, limit=limit)
        return DynamoDBWriter(writing).write(iterator)

    def commit(self, messages: list[WriterCommitMessage | None], batchId: int) -> None:  # noqa: N803 - Spark's
        """Report what was written of a micro-batch."""
        self._ended(messages, batchId).commit(messages)

    def abort(self, messages: list[WriterCommitMessage | None], batchId: int) -> None:  # noqa: N803 - Spark's
        """Report what was written of a micro-batch by the tasks that ended; there is no way back."""
        self._ended(messages, batchId).abort(messages)

    def _ended(self, messages: Sequence[WriterCommitMessage | None], batch_id: int) -> DynamoDBWriter:
        # This is another process than those of the tasks, and only they know the query.
        known = [message.report.job_id for message in messages if isinstance(message, TaskDone)]
        job_id = known[0] if known else f"{self.writing.job.job_id}-{batch_id}"
        job = replace(self.writing.job, job_id=job_id, batch_id=batch_id)
        return DynamoDBWriter(replace(self.writing, job=job, limit=None))


def _kind(writing: Writing, entity: Entity[Any] | None) -> type[Writes]:
    """Return how rows are sent."""
    options = writing.job.options
    if entity is not None and changes_guards(entity, options, writing.schema.names):
        return GuardedWrites
    # A batch has no conditions, and in a shared table each item may be another's.
    is_batched = options.write_mode in ("put", "delete") and writing.table.kind is None
    return BatchWrites if is_batched else SingleWrites


def _rows(batch: pa.RecordBatch, encoder: RowEncoder, quarantine: Quarantine) -> Iterator[Row]:
    """Yield the rows that can be written."""
    encoded = encoder.encode(batch)
    for number, reason in sorted(encoded.refused.items()):
        quarantine.take_row(batch, number, reason)
    for number, (item, key) in enumerate(zip(encoded.items, encoded.keys, strict=True)):
        if item is not None and key is not None:
            yield Row(number, key, item, removed=encoded.removed.get(number, ()))
