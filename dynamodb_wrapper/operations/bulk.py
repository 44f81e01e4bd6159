"""Flows on many models: reads, puts and deletes in batches."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item, PartialItem
from dynamodb_wrapper.exceptions import DynamoDBWrapperError, ValidationError
from dynamodb_wrapper.expressions import ExpressionWriter, Path
from dynamodb_wrapper.operations import batches, evolving, recalling, writes
from dynamodb_wrapper.operations.batches import BatchOptions, BatchProgress, Entry, Refused, Wanted
from dynamodb_wrapper.operations.effects import Flow, Params, now
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.items import Projection
from dynamodb_wrapper.operations.requests import delete_entry, put_body, put_entry, without_overlaps
from dynamodb_wrapper.operations.writes import KeyValues

if TYPE_CHECKING:
    from dynamodb_wrapper.operations.recalling import AnswerCache, Bodies, Name

T = TypeVar("T", bound=BaseModel)
G = TypeVar("G")


def get_many(
    entity: Entity[T],
    keys: Iterable[object],
    attributes: Sequence[str | Path] | None,
    options: BatchOptions,
    *,
    consistent: bool,
) -> Flow[list[T | None] | list[PartialItem | None]]:
    """Read items, or some attributes of them, in the order of their keys; None for those that do not exist.

    Whole items come from the cache, where there is one and ``consistent`` does not forbid it.

    Raises:
        ValidationError: A key is not one of this table, or a stored item is no valid model.
        BatchIncompleteError: Some keys were left unread.
    """
    chosen = None if attributes is None else Projection(entity, attributes)
    parameters = {} if chosen is None or chosen.reads_whole else {entity.table_name: _projected(entity, chosen)}
    decode = entity.found if chosen is None else chosen.found
    wanted = _prepared("keys", keys, partial(_wanted, entity))
    if entity.cache is not None and chosen is None and not consistent:
        return (yield from _recalled(entity, list(wanted), options, entity.cache))
    reader = entity.batch_reader if chosen is None else None
    found: list[Any] = yield from batches.read(
        wanted, options, consistent=consistent, parameters=parameters, reader=reader
    )
    older = evolving.older(entity, found) if chosen is None else []
    for place, item in enumerate(found):  # in place: an item is not kept once its model is made
        if item is not None:
            found[place] = decode(item)
    yield from evolving.write_back(entity, older)
    return found


def load(
    entity: Entity[Any], wanted: Iterable[Wanted], options: BatchOptions, *, consistent: bool
) -> Flow[list[Item | None]]:
    """Read items as they are stored, in the order of their keys; None for those that do not exist.

    Raises:
        BatchIncompleteError: Some keys were left unread.
    """
    found = yield from batches.read(wanted, options, consistent=consistent)
    yield from evolving.write_back(entity, found)
    return found


def _recalled(
    entity: Entity[T], wanted: Sequence[Wanted], options: BatchOptions, cache: AnswerCache
) -> Flow[list[T | None]]:
    by_name = {cache.name_of(one.key): one for one in wanted}
    older: list[Item] = []
    has_read = False

    def read(names: Sequence[Name]) -> Flow[Bodies]:
        nonlocal has_read
        has_read = True
        found = yield from batches.read(
            [by_name[name] for name in names],
            replace(options, progress=_progress_after(len(wanted) - len(names), len(wanted), options)),
            consistent=cache.consistent_fills,
        )
        older.extend(evolving.older(entity, found))
        return {name: recalling.body_of_item(item) for name, item in zip(names, found, strict=True)}

    bodies = yield from recalling.recalled(cache, recalling.Kind.ITEM, list(by_name), read)
    if wanted and not has_read and options.progress is not None:
        options.progress(BatchProgress(len(wanted), len(wanted)))
    answers = (recalling.opened(bodies[cache.name_of(one.key)], entity.item_reader) for one in wanted)
    models = [entity.found(answer["Item"]) if "Item" in answer else None for answer in answers]
    yield from evolving.write_back(entity, older)
    return models


def _progress_after(done: int, total: int, options: BatchOptions) -> Callable[[BatchProgress], object] | None:
    """Return what tells the progress of a batch that begins when so many are done already."""
    tell = options.progress
    return None if tell is None else lambda progress: tell(replace(progress, done=done + progress.done, total=total))


def put_many(entity: Entity[T], models: Iterable[T], options: BatchOptions, *, ignore_version: bool) -> Flow[int]:
    """Write models over whatever is there, and return how many.

    Raises:
        ValidationError: A batch cannot keep what the repository promises, or a model cannot be stored; nothing was
            sent.
        BatchIncompleteError: Some were not written.
    """
    refuse_without_conditions(entity, ignore_version=ignore_version)
    time = yield from now()
    entries = _prepared("models", models, partial(_put, entity, time), partial(_refused, entity))
    return (yield from batches.write(entries, options))


def delete_many(entity: Entity[T], keys: Iterable[object], options: BatchOptions, *, ignore_version: bool) -> Flow[int]:
    """Delete the items under keys, and return how many keys there were, with an item or without.

    Raises:
        ValidationError: A batch cannot keep what the repository promises, or a key is none of this table; nothing was
            sent.
        BatchIncompleteError: Some were not deleted.
    """
    refuse_without_conditions(entity, ignore_version=ignore_version)
    entries = _prepared("keys", keys, partial(_delete, entity), partial(_refused, entity))
    return (yield from batches.write(entries, options))


def refuse_without_conditions(entity: Entity[T], *, ignore_version: bool) -> None:
    """Refuse writes in batches, which have no conditions, where the repository promises what takes one.

    Raises:
        ValidationError: Says what to do instead.
    """
    version = entity.declaration.version
    if version is not None and not ignore_version:
        raise ValidationError(
            f"table {entity.table_name!r} is versioned (by {version!r}), and a batch cannot check versions: write "
            "one by one or in transactions, or pass ignore_version=True to overwrite what other writers have written",
            {"ignore_version": "not given"},
        )
    if entity.declaration.unique:
        names = [unique.field for unique in entity.declaration.unique]
        raise ValidationError(
            f"table {entity.table_name!r} keeps {', '.join(names)} unique, and a batch cannot: write one by one or in "
            "transactions",
            dict.fromkeys(names, "kept unique"),
        )


class CollectedWrites(Generic[T]):
    """Puts and deletes that are collected to be sent together; what batches of both colours are made of.

    Attributes:
        done: How many puts and deletes are done: 0 before the end of the block.
    """

    def __init__(self, entity: Entity[T], options: BatchOptions, *, ignore_version: bool) -> None:
        refuse_without_conditions(entity, ignore_version=ignore_version)
        self.done = 0
        self._entity = entity
        self._options = options
        self._time: datetime | None = None
        self._entries: list[Entry] | None = None

    def put(self, model: T) -> None:
        """Write a model at the end of the block, replacing what is there then; as the model is now.

        Raises:
            ValidationError: The model holds what DynamoDB cannot store; or this is outside of the block.
        """
        entries, time = self._collecting()
        entries.append(_put(self._entity, time, model))

    def delete(self, pk: object, sk: object = None) -> None:
        """Delete the item under a key, if there is one, at the end of the block.

        Raises:
            ValidationError: The key is not one of this table; or this is outside of the block.
        """
        entries, _ = self._collecting()
        entries.append(_deletion(self._entity, (pk, sk), pk if sk is None else (pk, sk)))

    def _opened(self) -> Flow[None]:
        """Begin to collect.

        Raises:
            ValidationError: It did once already.
        """
        if self._time is not None:
            raise ValidationError("a batch is entered once; make another one with .batch()")
        self._time = yield from now()
        self._entries = []

    def _closed(self, *, send: bool) -> Flow[None]:
        """Send what was collected, or forget it.

        Raises:
            BatchIncompleteError: Some was not done.
        """
        entries, _ = self._collecting()
        self._entries = None
        if send:
            self.done = yield from batches.write(entries, self._options)

    def _collecting(self) -> tuple[list[Entry], datetime]:
        if self._entries is None or self._time is None:
            raise ValidationError("a batch takes puts and deletes inside of its `with` block only")
        return self._entries, self._time


def _prepared(
    name: str,
    given: Iterable[G],
    prepare: Callable[[G], Any],
    refused: Callable[[G, DynamoDBWrapperError], Refused] | None = None,
) -> Iterable[Any]:
    """Return what is given in the form that is sent.

    Of a collection at once, so that a bad one is refused before anything is sent; of a generator as it is drawn.
    """
    if isinstance(given, str | bytes | Mapping | BaseModel) or not isinstance(given, Iterable):
        raise ValidationError(f"{name} takes a list or another iterable, not {given!r:.80}", {name: "no iterable"})
    if isinstance(given, Collection):
        return [prepare(one) for one in given]
    return map(prepare, given) if refused is None else _as_drawn(given, prepare, refused)


def _as_drawn(
    given: Iterable[G], prepare: Callable[[G], Entry], refused: Callable[[G, DynamoDBWrapperError], Refused]
) -> Iterator[Entry | Refused]:
    for one in given:
        try:
            entry: Entry | Refused = prepare(one)
        except DynamoDBWrapperError as error:
            entry = refused(one, error)
        yield entry


def _refused(entity: Entity[T], origin: object, error: DynamoDBWrapperError) -> Refused:
    return Refused(entity.table_name, origin, error)


def _put(entity: Entity[T], time: datetime, model: T) -> Entry:
    written, settled = writes.overwriting(entity, model, time)
    key, text = entity.encode_json(written)
    settle = partial(entity.settle, model, settled) if settled else None
    return Entry(entity.table_name, key, put_entry(key), model, settle, put_body(text))


def _delete(entity: Entity[T], key: object) -> Entry:
    return _deletion(entity, entity.key_values(key), key)


def _deletion(entity: Entity[T], key: KeyValues, origin: object) -> Entry:
    wire_key = entity.key(*key)
    return Entry(entity.table_name, wire_key, delete_entry(wire_key), origin)


def _wanted(entity: Entity[T], key: object) -> Wanted:
    return Wanted(entity.table_name, entity.key(*entity.key_values(key)), key)


def _projected(entity: Entity[T], chosen: Projection) -> Params:
    """Return the parameters that read some attributes, and the key, by which answers are told from each other."""
    writer = ExpressionWriter(entity.codec)
    keys = ((name,) for name in entity.table_key_attributes)
    names = [*(target.names for target in chosen.targets), *keys, *entity.told_by]
    return {"ProjectionExpression": writer.projection(without_overlaps(names)), **writer.parameters()}
