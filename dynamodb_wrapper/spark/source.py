"""The format ``dynamodb``, and reading: segments and queries into tasks, pages into batches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, repeat
from typing import Any

import pyarrow as pa
from pyspark.sql.datasource import (
    DataSource,
    DataSourceReader,
    DataSourceStreamWriter,
    DataSourceWriter,
    Filter,
    InputPartition,
    SimpleDataSourceStreamReader,
)
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StructType

from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.expressions import Condition, F, every
from dynamodb_wrapper.operations.declaration import GUARD_OWNER
from dynamodb_wrapper.operations.effects import Flow, Params, call, emit, sleep
from dynamodb_wrapper.spark.derived import partition_texts
from dynamodb_wrapper.spark.filters import MAX_QUERIES, Pushed, expressions, pushed, values_of
from dynamodb_wrapper.spark.inference import inferred_schema
from dynamodb_wrapper.spark.items import ItemReader
from dynamodb_wrapper.spark.metrics import Job, Meter, new_job_id
from dynamodb_wrapper.spark.options import Options
from dynamodb_wrapper.spark.pages import PageReader
from dynamodb_wrapper.spark.quarantine import Quarantine
from dynamodb_wrapper.spark.rate import Limit, Pace, Unlimited
from dynamodb_wrapper.spark.schemas import as_stored, model_schema, require_nullable
from dynamodb_wrapper.spark.sink import DynamoDBStreamWriter, DynamoDBWriter, planned_write
from dynamodb_wrapper.spark.stream_source import ChangeReader, stream_schema
from dynamodb_wrapper.spark.tables import Table, capacity_of, config_of, describe, driver_of, entity_of, table_of
from dynamodb_wrapper.spark.types import columns_of
from dynamodb_wrapper.spark.upcasting import Upcaster

_FIRST_PAGES = (100, 400, 1600, 6400)
_SEGMENTS_PER_TASK = 4
_FIRST_READ_UNITS = 16.0

Work = tuple[str, Params]
"""One scan of a segment, or one query: the operation, and its parameters without a page's."""


class DynamoDBDataSource(DataSource):
    """``spark.read.format("dynamodb")`` and ``df.write.format("dynamodb")``, and as streams, once registered.

    Attributes:
        parallelism: How many tasks the cluster runs at a time, as far as `register` could tell.
        hosts: On how many machines.
    """

    parallelism = 8
    hosts = 1

    def __init__(self, options: Mapping[str, str]) -> None:
        super().__init__(dict(options))
        self.chosen = Options.of(dict(options))

    @classmethod
    def name(cls) -> str:
        """Return the format's name."""
        return "dynamodb"

    def schema(self) -> StructType:
        """Return the schema of the model or repository, else the one inferred from a sample; or that of its changes."""
        config = config_of(self.chosen)
        table = table_of(self.chosen, config)
        if table.model is not None:
            items = model_schema(table.model, stored=table.stored)
        else:
            items = inferred_schema(table, self.chosen, driver_of(config))
        # Spark does not tell whether it is for `read` or for `readStream`; the option does.
        if self.chosen.starting_position is None:
            return items
        return stream_schema(table, items, describe(table.name, config))

    def reader(self, schema: StructType) -> DataSourceReader:
        """Return what reads the columns of a schema, which may be part of the model's, or another one."""
        if self.chosen.starting_position is not None:
            raise ValidationError(
                'option("starting_position", ...) is for changes: spark.readStream', {"starting_position": "in a batch"}
            )
        require_nullable(schema)
        config = config_of(self.chosen)
        table = table_of(self.chosen, config)
        stored = schema if table.model is None else as_stored(schema, model_schema(table.model, stored=table.stored))
        columns_of(stored)
        units = capacity_of(self.chosen, table, "Read", config)
        job = Job(new_job_id(), "read", table.name, self.chosen)
        limit = None if units is None else Limit(units / self._hosts, job.job_id, _FIRST_READ_UNITS)
        return DynamoDBReader(Reading(job, table, stored, limit, self.chosen.tasks or self.parallelism))

    def writer(self, schema: StructType, overwrite: bool) -> DataSourceWriter:  # noqa: FBT001 - Spark's signature
        """Return what writes rows of a schema."""
        return DynamoDBWriter(planned_write(self.chosen, schema, overwrites=overwrite, hosts=self._hosts))

    def simpleStreamReader(self, schema: StructType) -> SimpleDataSourceStreamReader:  # noqa: N802 - Spark's name
        """Return what reads the changes of the table."""
        return ChangeReader(self.chosen, schema)

    def streamWriter(  # noqa: N802 - likewise
        self,
        schema: StructType,
        overwrite: bool,  # noqa: FBT001 - likewise
    ) -> DataSourceStreamWriter:
        """Return what writes rows of a schema, micro-batch by micro-batch."""
        return DynamoDBStreamWriter(planned_write(self.chosen, schema, overwrites=overwrite, hosts=self._hosts))

    @property
    def _hosts(self) -> int:
        return self.chosen.hosts or self.hosts


@dataclass(frozen=True)
class Reading:
    """A read as it is shipped to the tasks.

    Attributes:
        job: What all its tasks know.
        table: What is read.
        schema: The columns.
        limit: The rate limit of a machine.
        tasks: The most tasks a scan is cut into.
    """

    job: Job
    table: Table
    schema: StructType
    limit: Limit | None
    tasks: int

    def works(self, found: Pushed) -> list[list[Work]]:
        """Return what each task is to read."""
        options = self.job.options
        common: Params = {"TableName": self.table.name, "ReturnConsumedCapacity": "TOTAL"}
        if options.index is not None:
            common["IndexName"] = options.index
        if options.consistent:
            common["ConsistentRead"] = True
        # What an upcaster needs, nobody knows; so an item that may be older is read as a whole.
        wanted = (*self.schema.names, *self.table.keys) if self.table.versions is None else ()
        names = list(dict.fromkeys(wanted))
        kept = every(self._only_ours(), self._no_guards())
        if found.partitions is not None:
            key = self.table.read_partition[0]
            queries = [("Query", common | expressions(found, key, value, names, kept)) for value in found.partitions]
            return _dealt(queries, min(self.tasks, len(queries)))
        total = options.segments or self.tasks * _SEGMENTS_PER_TASK
        scan = common | expressions(found, None, None, names, kept)
        segments = [("Scan", scan | {"Segment": number, "TotalSegments": total}) for number in range(total)]
        return _dealt(segments, min(self.tasks, total))

    def _only_ours(self) -> Condition | None:
        kind = self.table.kind
        return None if kind is None else F[kind.attribute] == kind.value

    def _no_guards(self) -> Condition | None:
        # Not by their key: a query refuses a filter on that, and finds them where a row's key is taken for theirs.
        return F[GUARD_OWNER].not_exists() if self.table.has_guards else None

    def batches(self, works: Sequence[Work]) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a task."""
        options = self.job.options
        config = config_of(options)
        pace: Pace = Unlimited() if self.limit is None else self.limit.begin()
        columns, arrow = columns_of(self.schema), to_arrow_schema(self.schema, timezone="UTC")
        pages = PageReader(columns, arrow, (*self.table.keys, *self.table.read_partition, *self.table.read_sort))
        pages.is_possible = pages.is_possible and self.table.versions is None
        limits = _limits(options.page_size)
        with Meter(self.job, config, pace) as meter, Quarantine(self.job, meter) as quarantine:
            items = ItemReader(columns, options.on_mismatch, quarantine.take_item)
            upcaster = Upcaster.of(self.table, options, config, quarantine.take_item)
            flows = (_pages(work, pages, pace, limits) for work in works)
            for answer in driver_of(config).stream_together(flows, at_most=min(options.prefetch, len(works))):
                found = answer["Items"]
                if upcaster is not None:
                    found = upcaster.items(found)
                batch = found if isinstance(found, pa.RecordBatch) else items.batch(found, arrow)
                meter.count(rows_read=batch.num_rows, bytes=_body_bytes(answer))
                if batch.num_rows:
                    yield batch


class DynamoDBReader(DataSourceReader):
    """Plans a read, and reads in the tasks."""

    def __init__(self, reading: Reading) -> None:
        self.reading = reading
        self.pushed = Pushed()
        # Spark refuses a reader that has a `pushFilters` of its own while pushdown is switched off. It tells by the
        # function; so this one passes for the inherited one, and is called only while pushdown is on.
        if reading.job.options.pushdown:
            self.__dict__["pushFilters"] = _FilterPusher(self)

    def push(self, filters: Iterable[Filter]) -> None:
        """Let DynamoDB apply what it can of the filters."""
        table, options = self.reading.table, self.reading.job.options
        coerces = options.on_mismatch != "fail"
        columns = columns_of(self.reading.schema)
        partition, sort = table.read_partition, table.read_sort
        if table.versions is not None:  # an upcaster changes anything but the table's key
            coerces = True
            partition, sort = (partition, sort) if options.index is None else ((), ())
        chosen = list(filters)
        texts = self._partition_texts(chosen) if table.versions is None else None
        self.pushed = pushed(chosen, columns, partition, sort, coerces=coerces, partitions=texts)

    def _partition_texts(self, filters: Sequence[Filter]) -> tuple[str, ...] | None:
        """Return the partition keys that filters on the fields they are made of leave; None if that is open."""
        options = self.reading.job.options
        entity = entity_of(options, config_of(options))
        template = None if entity is None else entity.declaration.templates.get(self.reading.table.read_partition[0])
        if entity is None or template is None or len(self.reading.table.read_partition) > 1:
            return None
        names = [entity.codec.attribute(name) for name in template.asked]
        chosen = values_of(filters, columns_of(self.reading.schema), names)
        texts = None if chosen is None else partition_texts(entity, template, chosen)
        return None if texts is None or len(texts) > MAX_QUERIES else texts

    def partitions(self) -> Sequence[InputPartition]:
        """Return what each task is to read."""
        return [InputPartition(works) for works in self.reading.works(self.pushed)]

    def read(self, partition: InputPartition) -> Iterator[pa.RecordBatch]:
        """Yield the rows of a task."""
        works: Sequence[Work] = partition.value or []  # None where there are no partitions
        return self.reading.batches(works) if works else iter(())


class _FilterPusher:
    """What Spark calls as ``reader.pushFilters``."""

    __func__ = staticmethod(DataSourceReader.pushFilters)

    def __init__(self, reader: DynamoDBReader) -> None:
        self._reader = reader

    def __call__(self, filters: list[Filter]) -> Iterable[Filter]:
        """Push what can be pushed, and return all filters: Spark applies them again."""
        self._reader.push(filters)
        return filters


def _dealt(works: Sequence[Work], tasks: int) -> list[list[Work]]:
    return [list(works[number::tasks]) for number in range(tasks)]


def _limits(page_size: int | None) -> Iterator[int | None]:
    """Return how many items the pages of a task may have: few at first, since Spark may want no more than that.

    Segments that are read at the same time share it, in threads.
    """
    growing = [size for size in _FIRST_PAGES if page_size is None or size < page_size]
    return chain(growing, repeat(page_size))


def _pages(work: Work, pages: PageReader, pace: Pace, limits: Iterator[int | None]) -> Flow[None]:
    """Emit the answers of one scan or query."""
    operation, params = work
    start: Params = {}
    while True:
        limit = next(limits)
        size: Params = {} if limit is None else {"Limit": limit}
        reserved = pace.reserve()
        if reserved.seconds > 0:
            yield from sleep(reserved.seconds)
        answer = yield from call(operation, params | size | start, read=pages.answer)
        pace.settle(reserved, answer.get("ConsumedCapacity", {}).get("CapacityUnits", 0.0))
        yield from emit([answer])
        if not answer.get("LastEvaluatedKey"):
            return
        start = {"ExclusiveStartKey": answer["LastEvaluatedKey"]}


def _body_bytes(answer: Mapping[str, Any]) -> int:
    headers = answer.get("ResponseMetadata", {}).get("HTTPHeaders", {})
    return int(headers.get("content-length", 0))
