"""Writes to a repository with unique values: each row in a transaction with the guards of its values.

Which guards a row takes and gives up, and what a failed transaction means, is known to the flows of the repositories;
here their calls wait for capacity as all others of a job do. A transaction is whole or not at all, and a row that is
written a second time finds its item and its guards as it would leave them: so an attempt may be repeated.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import Any

import pyarrow as pa

from dynamodb_wrapper.codec import Item, Wire, from_json, to_json
from dynamodb_wrapper.exceptions import (
    ConditionFailedError,
    DynamoDBWrapperError,
    TransactionCanceledError,
    UniqueViolationError,
    ValidationError,
)
from dynamodb_wrapper.expressions import Encoded, Remove
from dynamodb_wrapper.operations import transactions
from dynamodb_wrapper.operations.cancellations import is_throttled
from dynamodb_wrapper.operations.effects import Call, Flow, Response, calling_by, sent
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.requests import Delete, Put, Update
from dynamodb_wrapper.operations.unique import guards_of
from dynamodb_wrapper.operations.versions import stored_place
from dynamodb_wrapper.operations.writes import FOREIGN, Guarding, Write
from dynamodb_wrapper.spark.derived import key_columns
from dynamodb_wrapper.spark.options import Options
from dynamodb_wrapper.spark.requests import ASKED, Row, SingleWrites


def changes_guards(entity: Entity[Any], options: Options, columns: Collection[str]) -> bool:
    """Whether a write of these columns may change which unique values items have."""
    if options.write_mode == "update" and not options.upsert:  # which may leave a unique field to its default
        return not entity.unique_attributes.isdisjoint({*columns}.difference(key_columns(entity)))
    return bool(entity.unique_attributes)


_NULL: Wire = {"NULL": True}
_ANYTHING: Wire = {"N": "0"}
"""Stands for a value that is not there; it is no text, which would be normalized."""


class GuardedWrites(SingleWrites):
    """Writes of all modes that may change unique values; a row whose value another item has is rejected."""

    def _or_rejected(self, row: Row, batch: pa.RecordBatch, flow: Flow[None]) -> Flow[None]:
        try:
            if self._options.write_mode != "delete":
                self._check_as_read(from_json(f"{{{row.item}}}"))
        except ValidationError as error:
            self._reject(row, batch, error.message)
        else:
            yield from super()._or_rejected(row, batch, flow)

    def _check_as_read(self, item: Item) -> None:
        """Refuse a row in whose item the repository would find other unique values than those it is guarded by.

        Raises:
            ValidationError: The model changes or refuses a value, or cannot compare it.
        """
        entity = self._own
        names = [name for name in sorted(entity.unique_attributes) if item.get(name, _NULL) != _NULL]
        read = entity.codec.decode_partial({name: item[name] for name in names})
        fields = {name: entity.codec.shape.by_attribute[name].name for name in names}
        given = {name: item.get(name, _ANYTHING) for name in entity.unique_attributes}  # an update need not give all
        due = given | {name: entity.codec.target((field,)).store(read[field]) for name, field in fields.items()}
        try:
            is_same = guards_of(entity, given) == guards_of(entity, due)
        except DynamoDBWrapperError:
            raise
        except Exception as error:  # what `normalize` does not expect is wrong with that row
            reason = f"{type(error).__name__}: {error}"
            raise ValidationError(f"unique values cannot be compared: {reason}", original_error=error) from error
        if not is_same:
            changed = ", ".join(repr(name) for name in names if given[name] != due[name])
            raise ValidationError(
                f"the repository, whose model changes such values, would read another {changed}: change it before"
            )

    def _put_or_deleted(self, row: Row, batch: pa.RecordBatch) -> Flow[None]:
        entity, key = self._own, from_json(f"{{{row.key}}}")
        readable = entity.readable_key(key)
        request: Put | Delete = Delete(entity.table_name, entity.codec, readable, key, self._wanted)
        if self._options.write_mode == "put":
            item = from_json(f"{{{row.item}}}")
            request = Put(entity.table_name, entity.codec, readable, item, self._wanted)
        try:
            yield from self._guarded(request, Guarding.READ)
        except UniqueViolationError as error:
            self._reject(row, batch, error.message)
        except ConditionFailedError:
            self._reject(row, batch, FOREIGN)
        else:
            self._meter.count(rows_written=row.stands_for)

    def _inserted(self, row: Row, batch: pa.RecordBatch) -> Flow[None]:
        entity, item = self._own, from_json(f"{{{row.item}}}")
        readable = entity.readable_key(entity.key_of(item))
        try:
            yield from self._guarded(Put(entity.table_name, entity.codec, readable, item, self._wanted), Guarding.NEW)
        except UniqueViolationError as error:
            self._reject(row, batch, error.message)
            return
        except ConditionFailedError as error:
            if not self._is_written(row, error):
                self._reject(row, batch, "there is another item with this key")
                return
        self._meter.count(rows_written=1)

    def _updated(self, row: Row, batch: pa.RecordBatch, missing: Sequence[str]) -> Flow[None]:
        entity, key = self._own, from_json(f"{{{row.key}}}")
        values, removed = self._changes(row, missing)
        changes: list[tuple[Any, object]] = [(stored_place(name), Encoded(wire)) for name, wire in values.items()]
        changes += [(stored_place(name), Remove()) for name in removed]
        request = Update(
            entity.table_name,
            entity.codec,
            entity.readable_key(key),
            key,
            tuple(changes),
            self._wanted,
            repeatable=True,
            answers=False,
        )
        try:
            if changes:
                yield from self._guarded(request, Guarding.READ)
        except UniqueViolationError as error:
            self._reject(row, batch, error.message)
        except ConditionFailedError as error:
            self._reject(row, batch, self._reason(error))
        else:
            self._meter.count(rows_written=1)

    @property
    def _own(self) -> Entity[Any]:
        assert self._entity is not None  # nothing else has unique values
        return self._entity

    def _guarded(self, request: Put | Update | Delete, guarding: Guarding) -> Flow[Response]:
        # After a lost answer what is stored is read anew, or compared with the row: nothing has to be proved.
        write = Write(self._own, request, lambda error: error, lambda stored: False, guarding=guarding)
        return calling_by(self._in_turn, transactions.send(write))

    def _in_turn(self, request: Call) -> Flow[Response]:
        """Send a call; a write, when there is capacity for it. What is read takes no capacity for writes."""
        if request.operation == "GetItem":
            return (yield from sent(request))
        assert request.body is None  # so the parameters are all that is written
        params = {**request.params, **ASKED}
        try:
            return (yield from self._paced(replace(request, params=params, body=to_json(params))))
        except TransactionCanceledError as error:
            if is_throttled(error.reasons):
                self._pace.throttled()
                self._meter.count(throttles=1)
            raise
