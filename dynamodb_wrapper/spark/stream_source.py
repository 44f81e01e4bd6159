"""Reading the changes of a table: DynamoDB Streams as a source of Spark's Structured Streaming.

It is a *simple* stream reader, which reads a batch where it plans it, beside Spark's driver. The other kind plans from
a beginning to an end that it knows, and lets tasks read; DynamoDB Streams tells no end of an open shard but to those
who read up to it. Planning would read everything once, and the tasks once more, from shards that two readers may read
at a time. So all changes come from one process, in one partition, in which those of an item are in order.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa
from pyspark.sql.datasource import SimpleDataSourceStreamReader
from pyspark.sql.pandas.types import to_arrow_schema
from pyspark.sql.types import StringType, StructField, StructType

from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations.declaration import GUARD_PREFIX
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.spark.changes import IMAGES_OF, change_item, check_schema, schema_of_changes, with_current_images
from dynamodb_wrapper.spark.items import ItemReader
from dynamodb_wrapper.spark.metrics import Job, Meter, logger, new_job_id
from dynamodb_wrapper.spark.offsets import Offset, StreamEndedError
from dynamodb_wrapper.spark.options import Options
from dynamodb_wrapper.spark.quarantine import Quarantine
from dynamodb_wrapper.spark.rate import Unlimited
from dynamodb_wrapper.spark.schemas import as_stored, model_schema, require_nullable
from dynamodb_wrapper.spark.shards import Record, ShardReader
from dynamodb_wrapper.spark.tables import Table, config_of, describe, entity_of, streams_driver_of, table_of
from dynamodb_wrapper.spark.types import columns_of
from dynamodb_wrapper.spark.upcasting import Upcaster
from dynamodb_wrapper.transport import SyncDriver

if TYPE_CHECKING:
    from pyspark.sql.streaming.datasource import SupportsTriggerAvailableNow
else:
    try:
        from pyspark.sql.streaming.datasource import SupportsTriggerAvailableNow
    except ImportError:  # before Spark 4.2, which takes all there is as one batch
        SupportsTriggerAvailableNow = object

_ROWS_A_BATCH = 1000


def stream_schema(table: Table, items: StructType, described: Mapping[str, Any]) -> StructType:
    """Return the columns of the changes of a table, as its stream has them."""
    _, view = _stream_of(table.name, described)
    # A key that is made of fields is text, and in no column of the items.
    made = [StructField(key, StringType()) for key in table.keys if key not in table.key_columns]
    return schema_of_changes(items, table.keys, IMAGES_OF[view], made)


class ChangeReader(SimpleDataSourceStreamReader, SupportsTriggerAvailableNow):
    """Reads the changes of a table, batch by batch.

    Raises:
        ValidationError: The schema is not one of changes, or there is no stream with these columns.
    """

    def __init__(self, options: Options, schema: StructType) -> None:
        check_schema(schema)
        require_nullable(schema)
        self._options = options
        self._table: Table | None = None
        table_name, stored = options.table, schema
        if options.repository is not None or options.model is not None:
            self._table = table_of(options, config_of(options))
            table_name, stored = self._table.name, _as_stored(schema, self._table)
        assert table_name is not None  # checked by Options
        columns_of(stored)
        self._table_name = table_name
        self._schema, self._stored = schema, stored
        self._shards: ShardReader | None = None
        self._until: datetime | None = None
        self._idle_since: float | None = None

    def initialOffset(self) -> dict[str, Any]:  # noqa: N802 - Spark's name
        """Return where a query begins that has no checkpoint yet."""
        position = self._options.starting_position
        if position is None:
            raise ValidationError(
                'option("starting_position", ...) is missing: "latest" begins with what changes from now on, '
                '"trim_horizon" with the oldest change that is kept',
                {"starting_position": "missing"},
            )
        shards = self._reader(self._described_stream())
        flow = shards.from_now_on() if position == "latest" else shards.from_the_beginning()
        return self._driver().run(flow).as_json()

    def prepareForTriggerAvailableNow(self) -> None:  # noqa: N802 - Spark's name
        """Leave what is created from now on to the next run."""
        self._until = datetime.now(UTC)

    def read(self, start: dict[str, Any]) -> tuple[Iterator[Any], dict[str, Any]]:
        """Return the next batch of changes, and the offset after it."""
        self._wait()
        offset = Offset.of(start)
        try:
            records, end = self._driver().run(self._reader(offset.stream).read(offset, until=self._until))
        except StreamEndedError as ended:
            records, end = [], self._in_following_stream(offset, ended)
        self._idle_since = None if records else time.monotonic()
        # A list, since Spark copies the iterator.
        return iter(self._batches(records)), end.as_json()

    def readBetweenOffsets(self, start: dict[str, Any], end: dict[str, Any]) -> Iterator[Any]:  # noqa: N802 - Spark's name
        """Return a batch once more, that was planned before the query was stopped."""
        first, last = Offset.of(start), Offset.of(end)
        if first.stream != last.stream:  # nothing was read in the batch that went from one to the other
            return iter(())
        return iter(self._batches(self._driver().run(self._reader(last.stream).between(first, last))))

    def _wait(self) -> None:
        """Wait until it is time to look again, after there was nothing: Spark itself asks every few milliseconds."""
        if self._idle_since is not None and self._until is None:
            time.sleep(max(0.0, self._idle_since + self._options.poll_seconds - time.monotonic()))

    def _driver(self) -> SyncDriver:
        return streams_driver_of(config_of(self._options))

    def _reader(self, stream: str) -> ShardReader:
        if self._shards is None or self._shards.stream != stream:
            goes_on = self._options.on_trimmed == "continue"
            self._shards = ShardReader(stream, goes_on, self._options.max_records)
        return self._shards

    def _described_stream(self) -> str:
        """Return the table's stream, once it is known to have the columns."""
        stream, view = _stream_of(self._table_name, describe(self._table_name, config_of(self._options)))
        for image in ("new", "old"):
            if image in self._schema.names and image not in IMAGES_OF[view]:
                raise ValidationError(
                    f"the stream of table {self._table_name!r} has the view type {view}, and so no column {image!r}: "
                    "leave it out, or make a stream with NEW_AND_OLD_IMAGES",
                    {image: f"not in {view}"},
                )
        return stream

    def _in_following_stream(self, offset: Offset, ended: StreamEndedError) -> Offset:
        """Return the beginning of the stream that the table has now, if that was asked for."""
        stream = self._described_stream()
        if self._options.on_trimmed != "continue" or stream == offset.stream:
            raise StreamEndedError(
                f"{ended.message}. What changed in table {self._table_name!r} until it had another stream is in none: "
                "read the table as a whole, then begin with another checkpoint location; or "
                'option("on_trimmed", "continue") goes on with the stream that the table has now',
                ended,
                {"stream": offset.stream},
            ) from ended
        logger.warning("%s; going on with the stream %s, and without what is in neither", ended.message, stream)
        beginning = self._driver().run(self._reader(stream).from_the_beginning())
        return Offset(stream, beginning.shards, offset.gaps + 1)

    def _batches(self, records: list[Record]) -> list[pa.RecordBatch]:
        config = config_of(self._options)
        entity = entity_of(self._options, config)
        records = [record for record in records if self._is_data(record, entity)]
        if not records:
            return []
        job = Job(new_job_id(), "read", self._table_name, self._options)
        arrow = to_arrow_schema(self._schema, timezone="UTC")
        batches = []
        with Meter(job, config, Unlimited()) as meter, Quarantine(job, meter) as quarantine:
            reader = ItemReader(columns_of(self._stored), self._options.on_mismatch, quarantine.take_item)
            upcaster = None
            if self._table is not None:
                upcaster = Upcaster.of(self._table, self._options, config, quarantine.take_item)
            for begin in range(0, len(records), _ROWS_A_BATCH):
                items = [change_item(record) for record in records[begin : begin + _ROWS_A_BATCH]]
                if upcaster is not None:
                    items = [current for item in items if (current := with_current_images(item, upcaster)) is not None]
                batches.append(reader.batch(items, arrow))
                meter.count(rows_read=batches[-1].num_rows)
        return batches

    def _is_data(self, record: Record, entity: Entity[Any] | None) -> bool:
        """Whether a record is about an item of the repository: no guard of a unique value, and none of another kind."""
        if self._table is None or entity is None:
            return True
        body: dict[str, Any] = record["dynamodb"]
        if self._table.has_guards and body["Keys"][self._table.keys[0]].get("S", "").startswith(GUARD_PREFIX):
            return False
        if self._table.kind is None:
            return True
        image = body.get("NewImage") or body.get("OldImage")
        if image is not None:
            return entity.is_ours(image)
        # Without an image there are only the keys; those of two kinds are never equal.
        templates = entity.declaration.templates
        texts = {name: body["Keys"][name].get("S", "") for name in self._table.keys if name in templates}
        return all(templates[name].read(text, entity.codec.times) is not None for name, text in texts.items())


def _as_stored(schema: StructType, table: Table) -> StructType:
    """Return the schema with what the model knows of how the attributes are stored."""
    if table.model is None:
        return schema
    model = model_schema(table.model, stored=table.stored)
    merged = StructType()
    for field in schema.fields:
        kind = field.dataType
        merged.add(field.name, as_stored(kind, model) if isinstance(kind, StructType) else kind)
    return merged


def _stream_of(table_name: str, described: Mapping[str, Any]) -> tuple[str, str]:
    """Return the ARN of a table's stream and its view type."""
    stream = described.get("StreamSpecification", {})
    if not stream.get("StreamEnabled") or not described.get("LatestStreamArn"):
        raise ValidationError(
            f"table {table_name!r} has no stream: enable one, with the view type NEW_AND_OLD_IMAGES to have items "
            "before and after a change",
            {"table": "has no stream"},
        )
    return described["LatestStreamArn"], stream["StreamViewType"]
