"""The requests of a write, their JSON put together from that of the rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from json.encoder import encode_basestring as quoted
from typing import Any

import pyarrow as pa

from dynamodb_wrapper.codec import Item, from_json, read_any, to_json
from dynamodb_wrapper.exceptions import BatchIncompleteError, ConditionFailedError
from dynamodb_wrapper.operations.batch_rounds import Identity, identity
from dynamodb_wrapper.operations.batches import MAX_REQUEST_BYTES, MAX_WRITES
from dynamodb_wrapper.operations.effects import Flow, Params, Response, call, sleep
from dynamodb_wrapper.spark.metrics import Meter
from dynamodb_wrapper.spark.options import Options
from dynamodb_wrapper.spark.quarantine import Quarantine
from dynamodb_wrapper.spark.rate import Pace
from dynamodb_wrapper.spark.tables import Table
from dynamodb_wrapper.spark.types import Column

_IDLE_ATTEMPTS = 10
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0
_ASKED: Params = {"ReturnConsumedCapacity": "TOTAL"}


@dataclass(frozen=True, slots=True)
class Row:
    """A row that is to be written.

    Attributes:
        number: Its place in the batch.
        key: The attributes of its key as JSON, without braces.
        item: All its attributes likewise.
        stands_for: How many rows of the batch it stands for, itself and those with its key before it.
    """

    number: int
    key: str
    item: str
    stands_for: int = 1


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
    ) -> None:
        self._table = table
        self._options = options
        self._columns = columns
        self._meter = meter
        self._pace = pace
        self._quarantine = quarantine

    @abstractmethod
    def flows(self, rows: Sequence[Row], batch: pa.RecordBatch) -> Iterator[Flow[None]]:
        """Yield flows that write a batch of rows, rows with one key in their order; no two are about one item."""

    def _send(self, operation: str, params: Params, body: str) -> Flow[Response]:
        """Send a request when there is capacity for it."""
        reserved = self._pace.reserve()
        if reserved.seconds > 0:
            yield from sleep(reserved.seconds)
        encoded = body.encode()
        self._meter.count(bytes=len(encoded))
        answer = yield from call(operation, params, body=encoded)
        self._pace.settle(reserved, _consumed(answer))
        return answer


class BatchWrites(Writes):
    """Puts and deletes: 25 to a request, and what DynamoDB leaves over again."""

    def flows(self, rows: Sequence[Row], batch: pa.RecordBatch) -> Iterator[Flow[None]]:
        """Yield a flow for each 25 rows, or as many as go into one request; of rows with one key the last is sent."""
        last: dict[str, Row] = {}
        for row in rows:
            earlier = last.get(row.key)
            last[row.key] = row if earlier is None else replace(row, stands_for=earlier.stands_for + 1)
        chunk: list[Row] = []
        size = 0
        for row in last.values():
            # A character may take four bytes; 25 items of 400 KB hardly ever come together.
            length = len(row.item) if row.item.isascii() else len(row.item.encode())
            if chunk and (len(chunk) == MAX_WRITES or size + length > MAX_REQUEST_BYTES):
                yield self._written(chunk)
                chunk, size = [], 0
            chunk.append(row)
            size += length
        if chunk:
            yield self._written(chunk)

    def _written(self, chunk: list[Row]) -> Flow[None]:
        pause, idle = _FIRST_PAUSE, 0
        while chunk:
            params: Params = {"RequestItems": {self._table.name: ()}, **_ASKED}
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
        return f'{{"RequestItems":{requests},"ReturnConsumedCapacity":"TOTAL"}}'

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
    """Inserts and updates: a request for each row, since only these have conditions."""

    def flows(self, rows: Sequence[Row], batch: pa.RecordBatch) -> Iterator[Flow[None]]:
        """Yield a flow for each key: no row stands for another, since each may be rejected, or change other columns."""
        by_key: dict[str, list[Flow[None]]] = {}
        for row, flow in zip(rows, self._flow_of_each(rows, batch), strict=True):
            by_key.setdefault(row.key, []).append(flow)
        yield from map(_in_order, by_key.values())

    def _flow_of_each(self, rows: Sequence[Row], batch: pa.RecordBatch) -> Iterator[Flow[None]]:
        if self._options.write_mode == "insert_only":
            for row in rows:
                yield self._inserted(row, batch)
            return
        names = [column.name for column in self._columns]
        changed = [place for place, name in enumerate(names) if name not in self._table.keys]
        nulls = [batch.column(place).is_null().to_pylist() for place in changed]
        for row in rows:
            missing = [place for place, column in zip(changed, nulls, strict=True) if column[row.number]]
            yield self._updated(row, batch, [names[place] for place in missing])

    def _inserted(self, row: Row, batch: pa.RecordBatch) -> Flow[None]:
        body = (
            f'{{"TableName":{quoted(self._table.name)},"Item":{{{row.item}}},'
            f'"ConditionExpression":"attribute_not_exists(#k)","ExpressionAttributeNames":{{"#k":'
            f'{quoted(self._table.keys[0])}}},"ReturnValuesOnConditionCheckFailure":"ALL_OLD",'
            '"ReturnConsumedCapacity":"TOTAL"}'
        )
        try:
            yield from self._send("PutItem", self._stub(), body)
        except ConditionFailedError as error:
            # An attempt that Spark repeats, or a lost answer, meets its own item.
            if not isinstance(error.item, Mapping) or not _is_same(error.item, from_json(f"{{{row.item}}}")):
                self._reject(row, batch, "there is another item with this key")
                return
        self._meter.count(rows_written=1)

    def _updated(self, row: Row, batch: pa.RecordBatch, missing: Sequence[str]) -> Flow[None]:
        key = from_json(f"{{{row.key}}}")
        values = {name: wire for name, wire in from_json(f"{{{row.item}}}").items() if name not in key}
        removed: Sequence[str] = ()
        if self._options.nulls == "remove":
            removed = missing
        elif self._options.nulls == "null":
            values |= {name: {"NULL": True} for name in missing}
        names = {f"#n{number}": name for number, name in enumerate([*values, *removed])}
        places = list(names)
        clauses = []
        if values:
            clauses.append(
                "SET " + ", ".join(f"{place} = :v{number}" for number, place in enumerate(places[: len(values)]))
            )
        if removed:
            clauses.append("REMOVE " + ", ".join(places[len(values) :]))
        if clauses:
            params: Params = {
                **self._stub(),
                "Key": key,
                "UpdateExpression": " ".join(clauses),
                "ExpressionAttributeNames": names,
                "ExpressionAttributeValues": {f":v{number}": wire for number, wire in enumerate(values.values())},
            }
            if not (yield from self._update(params)):
                self._reject(row, batch, "there is no item with this key")
                return
        self._meter.count(rows_written=1)

    def _update(self, params: Params) -> Flow[bool]:
        """Send an update; False if there is no such item."""
        if not self._options.upsert:
            params["ConditionExpression"] = "attribute_exists(#k)"
            params["ExpressionAttributeNames"] = {**params["ExpressionAttributeNames"], "#k": self._table.keys[0]}
        if not params["ExpressionAttributeValues"]:
            del params["ExpressionAttributeValues"]
        try:
            yield from self._send("UpdateItem", self._stub(), to_json(params).decode())
        except ConditionFailedError:
            return False
        return True

    def _stub(self) -> Params:
        return {"TableName": self._table.name, **_ASKED}

    def _reject(self, row: Row, batch: pa.RecordBatch, reason: str) -> None:
        self._quarantine.take_row(batch.slice(row.number, 1).to_pylist()[0], reason)


def _in_order(flows: Sequence[Flow[None]]) -> Flow[None]:
    for flow in flows:
        yield from flow


def _written_item(entry: Mapping[str, Any]) -> Item:
    item: Item = entry["PutRequest"]["Item"] if "PutRequest" in entry else entry["DeleteRequest"]["Key"]
    return item


def _consumed(answer: Response) -> float:
    consumed = answer.get("ConsumedCapacity") or []
    entries = [consumed] if isinstance(consumed, Mapping) else consumed
    return float(sum(entry.get("CapacityUnits", 0.0) for entry in entries))


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
