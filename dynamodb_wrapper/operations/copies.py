"""Flows that copy a table into another one, item by item through their models, and compare the two."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item, Wire, item_bytes
from dynamodb_wrapper.exceptions import ConditionFailedError, UniqueViolationError, ValidationError
from dynamodb_wrapper.operations import queries, transactions, unique, writes
from dynamodb_wrapper.operations.effects import Flow
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.evolving import units_of
from dynamodb_wrapper.operations.migrations import MAX_FAILURES, OF_ONE_ITEM, MigrationFailure
from dynamodb_wrapper.operations.passes import (
    WRITE_UNIT_BYTES,
    Done,
    PassOptions,
    PassReport,
    TablePass,
    estimated_total,
)
from dynamodb_wrapper.operations.requests import Put
from dynamodb_wrapper.operations.selection import Selection
from dynamodb_wrapper.operations.writes import Guarding, Write

Transform = Callable[[Any], BaseModel | None]
"""From a model of the one table to that of the other; None for an item that is not copied."""


@dataclass(frozen=True, slots=True)
class CopyReport(PassReport):
    """What copying a table, or comparing it with its copy, has come to.

    Attributes:
        copied: How many were written; 0 in a comparison.
        same: How many were there already, just as they would be written.
        different: How many keys had another item there already; those are left alone.
        missing: How many were not there, in a comparison.
        left_out: How many the transformation gave None for.
        failed: How many could not be copied.
        failures: The first 100 that failed or were different: the key in the table that was read, and why.
        target_count: In a comparison, how many items the other table has.
    """

    copied: int = 0
    same: int = 0
    different: int = 0
    missing: int = 0
    left_out: int = 0
    failed: int = 0
    failures: tuple[MigrationFailure, ...] = ()
    target_count: int | None = None

    @property
    def is_equal(self) -> bool:
        """Whether a comparison found every item as it was to be copied, and no others."""
        is_clean = not (self.different or self.missing or self.failed)
        return self.is_done and is_clean and self.target_count == self.same

    def __str__(self) -> str:
        """Return the counts in one line."""
        return (
            f"{self.scanned:,} items: {self.copied:,} copied, {self.same:,} the same, {self.different:,} different, "
            f"{self.missing:,} missing, {self.left_out:,} left out, {self.failed:,} failed"
        )


Progress = Callable[[CopyReport], object]


@dataclass(frozen=True, slots=True)
class _Result:
    kind: str
    failure: MigrationFailure | None = None


@dataclass(frozen=True, slots=True)
class Copying:
    """Two tables, and how an item of the one becomes one of the other.

    Attributes:
        source: What is read.
        target: What is written.
        transform: From model to model; None where both have the same.
    """

    source: Entity[Any]
    target: Entity[Any]
    transform: Transform | None

    def __post_init__(self) -> None:
        kinds = {self.source.declaration.kind, self.target.declaration.kind}
        if self.source.table_name == self.target.table_name and (None in kinds or len(kinds) < 2):
            raise ValidationError(
                f"table {self.source.table_name!r} cannot be copied to itself; migrate() rewrites it (in a shared "
                "table, items of one kind may be copied to another kind)"
            )
        theirs, ours = self.target.codec.model_class, self.source.codec.model_class
        if self.transform is None and not issubclass(ours, theirs):
            raise ValidationError(
                f"a {ours.__name__} is no {theirs.__name__}: give a transform from one to the other",
                {"transform": "not given"},
            )

    def item(self, stored: Item) -> Item | None:
        """Return the item that is written for one that was read, None if there is none.

        Attributes that neither model knows come along.

        Raises:
            ValidationError: It cannot be read, transformed or written.
        """
        current = self.source.current_item(stored)
        model = self._transformed(self.source.decode(current))
        if model is None:
            return None
        item = self.target.encode(model)
        if (stamp := self.target.codec.stamp) is not None:  # the model may have it as a field, and not have set it
            item[stamp.attribute] = {"N": str(stamp.version)}
        for name, wire in current.items():
            if not (_knows(self.source, name) or _knows(self.target, name)):
                item.setdefault(name, wire)
        return item

    def _transformed(self, model: BaseModel) -> BaseModel | None:
        if self.transform is None:
            return model
        try:
            made: object = self.transform(model)
        except Exception as error:
            reason = f"{type(error).__name__}: {error}"
            raise ValidationError(f"the transform failed: {reason}", {"transform": reason}, error) from error
        if made is not None:
            self.target.check_class(made)
        return made if isinstance(made, BaseModel) else None


def _knows(entity: Entity[Any], name: str) -> bool:
    codec = entity.codec
    is_derived = any(entry.attribute == name for entry in codec.derived)
    is_stamp = codec.stamp is not None and codec.stamp.attribute == name
    return (
        codec.shape.open or name in codec.shape.by_attribute or name in codec.shape.computed or is_derived or is_stamp
    )


def copy(copying: Copying, options: PassOptions, *, progress: Progress | None) -> Flow[CopyReport]:
    """Write every item of a table to another one, where nothing has its key, and return what was done.

    Raises:
        InvalidCursorError: The checkpoint is damaged, or is of another copy.
        DynamoDBWrapperError: A request failed; ``context["checkpoint"]`` is where to go on.
    """
    return _through(copying, options, _copied, progress, purpose=f"copy to {copying.target.table_name}")


def compare(copying: Copying, options: PassOptions, *, progress: Progress | None) -> Flow[CopyReport]:
    """Compare every item of a table with its copy, and count those of the copy.

    Raises:
        InvalidCursorError: The checkpoint is damaged, or is of another comparison.
        DynamoDBWrapperError: A request failed; ``context["checkpoint"]`` is where to go on.
    """
    report = yield from _through(
        copying, options, _compared, progress, purpose=f"comparison with {copying.target.table_name}"
    )
    target = copying.target
    count = yield from queries.count(Selection(target, target.declaration.table_key, target.decode, consistent=True))
    return replace(report, target_count=count)


def _through(
    copying: Copying,
    options: PassOptions,
    handle: Callable[[Copying, Item], Flow[Done[_Result]]],
    progress: Progress | None,
    *,
    purpose: str,
) -> Flow[CopyReport]:
    table = TablePass[_Result](copying.source, options, purpose=purpose)
    total = None if progress is None else (yield from estimated_total(copying.source))
    report = CopyReport(estimated_total=total)

    def handled(item: Item) -> Flow[Done[_Result]]:
        return _one(copying, item, handle)

    def note(results: Sequence[_Result]) -> None:
        nonlocal report
        report = _noted(report, results)

    def told() -> None:
        nonlocal report
        report = table.noted_in(report)
        if progress is not None:
            progress(report)

    yield from table.run(handled, note, told)
    return report


def _one(copying: Copying, item: Item, handle: Callable[[Copying, Item], Flow[Done[_Result]]]) -> Flow[Done[_Result]]:
    try:
        return (yield from handle(copying, item))
    except OF_ONE_ITEM as error:
        source = copying.source
        error.context.setdefault("key", source.readable_key(source.key_of(item)))
        return Done(_Result("failed", _failure(copying, item, error)))


def _failure(copying: Copying, item: Item, error: Any) -> MigrationFailure:
    source, evolution = copying.source, copying.source.evolution
    version = None
    if evolution is not None and evolution.options.attribute in item:
        found = item[evolution.options.attribute].get("N", "")
        version = int(found) if found.isdigit() else None
    return MigrationFailure(source.readable_key(source.key_of(item)), version, error)


def _copied(copying: Copying, stored: Item) -> Flow[Done[_Result]]:
    target, item = copying.target, copying.item(stored)
    if item is None:
        return Done(_Result("left_out"))
    readable = target.readable_key(target.key_of(item))
    request = Put(target.table_name, target.codec, readable, item, writes.is_absent(target))
    guarding = writes.guarding_of(target, Guarding.NEW)
    write = Write(target, request, lambda error: error, lambda found: is_same(found, item), guarding=guarding)
    estimate = -(-item_bytes(item) // WRITE_UNIT_BYTES)
    try:
        response = yield from transactions.send(write)
    except UniqueViolationError:
        raise
    except ConditionFailedError as error:
        there = dict(error.item) if isinstance(error.item, Mapping) else None
        return Done(_found(copying, stored, item, there), estimate)
    return Done(_Result("copied"), units_of("PutItem", response) or estimate)


def _compared(copying: Copying, stored: Item) -> Flow[Done[_Result]]:
    target, item = copying.target, copying.item(stored)
    if item is None:
        return Done(_Result("left_out"))
    there = yield from unique.read(target, target.key_of(item))
    units = max(1, -(-item_bytes(there or {}) // 4096))
    return Done(_found(copying, stored, item, there), units)


def _found(copying: Copying, stored: Item, item: Item, there: Item | None) -> _Result:
    if there is None:
        return _Result("missing")
    if is_same(there, item):
        return _Result("same")
    names = sorted(name for name in {**there, **item} if _plain(there.get(name)) != _plain(item.get(name)))
    readable = copying.target.readable_key(copying.target.key_of(item))
    error = ValidationError(
        f"another item is stored under {readable!r} of table {copying.target.table_name!r}; "
        f"it differs in {', '.join(names)}",
        dict.fromkeys(names, "differs"),
    )
    return _Result("different", _failure(copying, stored, error))


def is_same(found: Item | None, item: Item) -> bool:
    """Whether two items are the same; sets have no order."""
    return found is not None and _plain({"M": found}) == _plain({"M": item})


def _plain(wire: Wire | None) -> object:
    match wire:
        case None:
            return None
        case {"M": entries}:
            return {name: _plain(entry) for name, entry in entries.items()}
        case {"L": elements}:
            return [_plain(element) for element in elements]
        case {"SS": members} | {"NS": members} | {"BS": members}:
            return (*wire, frozenset(members))
    return tuple(wire.items())


def _noted(report: CopyReport, results: Sequence[_Result]) -> CopyReport:
    kinds = [result.kind for result in results]
    failures = [result.failure for result in results if result.failure is not None]
    return replace(
        report,
        copied=report.copied + kinds.count("copied"),
        same=report.same + kinds.count("same"),
        different=report.different + kinds.count("different"),
        missing=report.missing + kinds.count("missing"),
        left_out=report.left_out + kinds.count("left_out"),
        failed=report.failed + kinds.count("failed"),
        failures=(*report.failures, *failures)[:MAX_FAILURES],
    )
