"""The requests of a write, their JSON put together from that of the rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from json.encoder import encode_basestring as quoted
from typing import Any

import pyarrow as pa

from dynamodb_wrapper.codec import Item, from_json, read_any, to_json
from dynamodb_wrapper.exceptions import BatchIncompleteError, ConditionFailedError, ValidationError
from dynamodb_wrapper.expressions import Condition, ExpressionWriter, F, every
from dynamodb_wrapper.operations.batch_rounds import Identity, identity
from dynamodb_wrapper.operations.batches import MAX_REQUEST_BYTES, MAX_WRITES
from dynamodb_wrapper.operations.effects import Call, Flow, Params, Response, sent, sleep
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.evolving import units_of
from dynamodb_wrapper.operations.versions import of_this_schema, wrong_version
from dynamodb_wrapper.operations.writes import FOREIGN, is_absent, is_foreign, is_present, unless_foreign
from dynamodb_wrapper.spark.filters import Places
from dynamodb_wrapper.spark.metrics import Meter
from dynamodb_wrapper.spark.options import Options
from dynamodb_wrapper.spark.quarantine import Quarantine
from dynamodb_wrapper.spark.rate import Pace
from dynamodb_wrapper.spark.tables import Table
from dynamodb_wrapper.spark.types import Column

_IDLE_ATTEMPTS = 10
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
ASKED: Params = {"ReturnConsumedCapacity": "TOTAL"}
_ASKED_JSON = '"ReturnConsumedCapacity":"TOTAL"'


@dataclass(slots=True)  # not frozen: there is one for each row, and a frozen one takes twice as long to make
class Row:
    """A row that is to be written.

    Attributes:
        number: Its place in the batch.
        key: The attributes of its key as JSON, without braces.
        item: All its attributes likewise.
        stands_for: How many rows of the batch it stands for, itself and those with its key before it.
        removed: The derived attributes that an update takes away.
    """

    number: int
    key: str
    item: str
    stands_for: int = 1
    removed: Sequence[str] = ()


class Writes(ABC):
    """What turns the rows of a batch into flows, of which several run at a time."""

    def __init__(
        self,
        table: Table,
        options: Options,
        columns: Sequence[Column],
        meter: Meter,
        pace: Pace,
        quarantine: Quarantine,
        *,
        entity: Entity[Any] | None = None,
    ) -> None:
        self._table = table
        self._options = options
        self._columns = columns
        self._meter = meter
        self._pace = pace
        self._quarantine = quarantine
        self._entity = entity

    @abstractmethod
    def flows(self, rows: Sequence[Row], batch: pa.RecordBatch) -> Iterator[Flow[None]]:
        """Yield flows that write a batch of rows, rows with one key in their order; no two are about one item."""

    def _send(self, operation: str, params: Params, body: str) -> Flow[Response]:
        """Send a request, given as its JSON, when there is capacity for it."""
        return self._paced(Call(operation, params, body=body.encode()))

    def _paced(self, request: Call) -> Flow[Response]:
        assert request.body is not None
        reserved = self._pace.reserve()
        if reserved.seconds > 0:
            yield from sleep(reserved.seconds)
        self._meter.count(bytes=len(request.body))
        answer = yield from sent(request)
        self._pace.settle(reserved, units_of(request.operation, answer))
        return answer

    def _reject(self, row: Row, batch: pa.RecordBatch, reason: str) -> None:
        self._quarantine.take_row(batch, row.number, reason)
        self._meter.count(rows_rejected=row.stands_for - 1)

    def _goes_on(self, error: ValidationError) -> bool:
        """Whether what DynamoDB refused is a row to reject: only it knows the types of all keys of all indexes."""
        return error.code is not None and self._options.on_rejected == "quarantine"


class BatchWrites(Writes):
    """Puts and deletes: 25 to a request, and what DynamoDB leaves over again."""

    def flows(self, rows: Sequence[Row], batch: pa.RecordBatch) -> Iterator[Flow[None]]:
        """Yield a flow for each 25 rows, or as many as go into one request; of rows with one key the last is sent."""
        chunk: list[Row] = []
        size = 0
        for row in _last_of_each(rows):
            # A character may take four bytes; 25 items of 400 KB hardly ever come together.
            length = len(row.item) if row.item.isascii() else len(row.item.encode())
            if chunk and (len(chunk) == MAX_WRITES or size + length > MAX_REQUEST_BYTES):
                yield self._written(chunk, batch)
                chunk, size = [], 0
            chunk.append(row)
            size += length
        if chunk:
            yield self._written(chunk, batch)

    def _written(self, chunk: list[Row], batch: pa.RecordBatch) -> Flow[None]:
        try:
            yield from self._sent(chunk)
        except ValidationError as error:
            if not self._goes_on(error):
                raise
            if len(chunk) == 1:
                self._reject(chunk[0], batch, error.message)
                return
            # It refuses the batch, and does not say for which row.
            half = len(chunk) // 2
            yield from self._written(chunk[:half], batch)
            yield from self._written(chunk[half:], batch)

    def _sent(self, chunk: list[Row]) -> Flow[None]:
        pause, idle = _FIRST_PAUSE, 0
        while chunk:
            params: Params = {"RequestItems": {self._table.name: ()}, **ASKED}
            answer = yield from self._send("BatchWriteItem", params, self._body(chunk))
            left = self._left(chunk, answer.get("UnprocessedItems") or {})
            done = sum(row.stands_for for row in chunk) - sum(row.stands_for for row in left)
            self._meter.count(rows_written=done, rows_retried=len(left))
            if not left:
                return
            self._pace.throttled()
            idle = 0 if len(left) < len(chunk) else idle + 1
            if idle == _IDLE_ATTEMPTS:
                raise BatchIncompleteError(
                    f"DynamoDB left {len(left)} rows unprocessed {idle} times in a row",
                    context={"table_name": self._table.name},
                    unprocessed=[from_json(f"{{{row.key}}}") for row in left],
                    done=self._meter.counts.rows_written,
                )
            pause = _FIRST_PAUSE if idle == 0 else min(2 * pause, _LONGEST_PAUSE)
            yield from sleep(pause, jittered=True)
            chunk = left

    def _body(self, chunk: Sequence[Row]) -> str:
        if self._options.write_mode == "delete":
            entries = [f'{{"DeleteRequest":{{"Key":{{{row.key}}}}}}}' for row in chunk]
        else:
            entries = [f'{{"PutRequest":{{"Item":{{{row.item}}}}}}}' for row in chunk]
        requests = f"{{{quoted(self._table.name)}:[{','.join(entries)}]}}"
        return f'{{"RequestItems":{requests},{_ASKED_JSON}}}'

    def _left(self, chunk: list[Row], unprocessed: Mapping[str, Sequence[Any]]) -> list[Row]:
        keys = [_written_item(entry) for entries in unprocessed.values() for entry in entries]
        if not keys:
            return []
        left = {self._identity(item) for item in keys}
        rows = {self._identity(from_json(f"{{{row.key}}}")): row for row in chunk}
        if not left <= rows.keys():  # it does not tell what is left: doing everything again does no harm
            return chunk
        return [rows[key] for key in left]

    def _identity(self, item: Item) -> Identity:
        return identity("", {name: item[name] for name in self._table.keys if name in item})


class SingleWrites(Writes):
    """Inserts and updates, and puts and deletes in a shared table: only single requests have conditions."""

    def flows(self, rows: Sequence[Row], batch: pa.RecordBatch) -> Iterator[Flow[None]]:
        """Yield a flow for each key.

        No insert or update stands for another, since each may be rejected, or change other columns; of puts and deletes
        the last is sent.
        """
        if self._options.write_mode in ("put", "delete"):
            for row in _last_of_each(rows):
                yield self._or_rejected(row, batch, self._put_or_deleted(row, batch))
            return
        by_key: dict[str, list[Flow[None]]] = {}
        for row, flow in zip(rows, self._flow_of_each(rows, batch), strict=True):
            by_key.setdefault(row.key, []).append(self._or_rejected(row, batch, flow))
        yield from map(_in_order, by_key.values())

    def _or_rejected(self, row: Row, batch: pa.RecordBatch, flow: Flow[None]) -> Flow[None]:
        try:
            yield from flow
        except ValidationError as error:
            if not self._goes_on(error):
                raise
            self._reject(row, batch, error.message)

    def _flow_of_each(self, rows: Sequence[Row], batch: pa.RecordBatch) -> Iterator[Flow[None]]:
        if self._options.write_mode == "insert_only":
            for row in rows:
                yield self._inserted(row, batch)
            return
        names = [column.name for column in self._columns]
        changed = [place for place, name in enumerate(names) if name not in self._table.key_columns]
        nulls = [batch.column(place).is_null().to_pylist() for place in changed]
        for row in rows:
            missing = [place for place, column in zip(changed, nulls, strict=True) if column[row.number]]
            yield self._updated(row, batch, [names[place] for place in missing])

    def _put_or_deleted(self, row: Row, batch: pa.RecordBatch) -> Flow[None]:
        is_put = self._options.write_mode == "put"
        what = f'"Item":{{{row.item}}}' if is_put else f'"Key":{{{row.key}}}'
        body = f'{{"TableName":{quoted(self._table.name)},{what},{self._condition_json},{_ASKED_JSON}}}'
        try:
            yield from self._send("PutItem" if is_put else "DeleteItem", self._stub(), body)
        except ConditionFailedError:
            self._reject(row, batch, FOREIGN)
            return
        self._meter.count(rows_written=row.stands_for)

    def _inserted(self, row: Row, batch: pa.RecordBatch) -> Flow[None]:
        body = (
            f'{{"TableName":{quoted(self._table.name)},"Item":{{{row.item}}},{self._condition_json},'
            f'"ReturnValuesOnConditionCheckFailure":"ALL_OLD",{_ASKED_JSON}}}'
        )
        try:
            yield from self._send("PutItem", self._stub(), body)
        except ConditionFailedError as error:
            if not self._is_written(row, error):
                self._reject(row, batch, "there is another item with this key")
                return
        self._meter.count(rows_written=1)

    def _is_written(self, row: Row, error: ConditionFailedError) -> bool:
        """Whether an insert has met its own item: in an attempt that Spark repeats, or after a lost answer."""
        return isinstance(error.item, Mapping) and _is_same(error.item, from_json(f"{{{row.item}}}"))

    def _changes(self, row: Row, missing: Sequence[str]) -> tuple[Item, Sequence[str]]:
        """Return what an update sets, and the attributes that it removes."""
        # Where the key is made of fields, these are attributes, too: a new item needs them.
        kept = {*self._table.keys, *(() if self._options.upsert else self._table.key_columns)}
        values = {name: wire for name, wire in from_json(f"{{{row.item}}}").items() if name not in kept}
        removed = list(row.removed)
        if self._options.nulls == "remove":
            removed += missing
        elif self._options.nulls == "null":
            values |= {name: {"NULL": True} for name in missing}
        return values, removed

    def _updated(self, row: Row, batch: pa.RecordBatch, missing: Sequence[str]) -> Flow[None]:
        key = from_json(f"{{{row.key}}}")
        values, removed = self._changes(row, missing)
        names = {f"#a{number}": name for number, name in enumerate([*values, *removed])}
        places = list(names)
        clauses = []
        if values:
            clauses.append(
                "SET " + ", ".join(f"{place} = :a{number}" for number, place in enumerate(places[: len(values)]))
            )
        if removed:
            clauses.append("REMOVE " + ", ".join(places[len(values) :]))
        if clauses:
            condition = self._condition
            params: Params = {
                **self._stub(),
                **condition,
                "Key": key,
                "UpdateExpression": " ".join(clauses),
                "ExpressionAttributeNames": {**names, **condition.get("ExpressionAttributeNames", {})},
                "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
            }
            if given := {f":a{number}": wire for number, wire in enumerate(values.values())}:
                params["ExpressionAttributeValues"] = given | condition.get("ExpressionAttributeValues", {})
            try:
                yield from self._send("UpdateItem", self._stub(), to_json(params).decode())
            except ConditionFailedError as error:
                self._reject(row, batch, self._reason(error))
                return
        self._meter.count(rows_written=1)

    @cached_property
    def _wanted(self) -> Condition | None:
        """The condition of the mode: on what there is, and that it is the repository's."""
        entity, mode = self._entity, self._options.write_mode
        exists = F[self._table.keys[0]].exists()
        if mode == "insert_only":
            return ~exists
        if entity is None:
            return None if self._options.upsert else exists
        if mode != "update":
            return unless_foreign(entity, None)
        of_schema = of_this_schema(entity)
        if self._options.upsert:
            return unless_foreign(entity, None if of_schema is None else is_absent(entity) | of_schema)
        return every(is_present(entity), of_schema)

    @cached_property
    def _condition(self) -> Params:
        """The condition of the mode, with its placeholders."""
        if self._wanted is None:
            return {}
        writer = ExpressionWriter(Places() if self._entity is None else self._entity.codec)
        return {"ConditionExpression": writer.condition(self._wanted), **writer.parameters()}

    @cached_property
    def _condition_json(self) -> str:
        return to_json(self._condition).decode()[1:-1]

    def _reason(self, error: ConditionFailedError) -> str:
        """Return why an update was refused."""
        if self._entity is not None and self._options.upsert and is_foreign(self._entity, error):
            return FOREIGN
        wrong = None if self._entity is None else wrong_version(self._entity, error)
        return "there is no item with this key" if wrong is None else wrong.message

    def _stub(self) -> Params:
        return {"TableName": self._table.name, **ASKED}


def _last_of_each(rows: Sequence[Row]) -> Iterable[Row]:
    """Return of rows with one key the last, which stands for all."""
    last: dict[str, Row] = {}
    for row in rows:
        earlier = last.get(row.key)
        last[row.key] = row if earlier is None else replace(row, stands_for=earlier.stands_for + 1)
    return last.values()


def _in_order(flows: Sequence[Flow[None]]) -> Flow[None]:
    for flow in flows:
        yield from flow


def _written_item(entry: Mapping[str, Any]) -> Item:
    item: Item = entry["PutRequest"]["Item"] if "PutRequest" in entry else entry["DeleteRequest"]["Key"]
    return item


def _is_same(one: Mapping[str, Any], other: Mapping[str, Any]) -> bool:
    """Whether two items are equal, whichever way their numbers and sets are written."""
    return _comparable({"M": one}) == _comparable({"M": other})


def _comparable(wire: Mapping[str, Any]) -> object:
    ((tag, payload),) = wire.items()
    if tag == "M":
        return tag, {name: _comparable(value) for name, value in payload.items()}
    if tag == "L":
        return tag, [_comparable(value) for value in payload]
    return tag, read_any(dict(wire))
