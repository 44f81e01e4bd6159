"""Batches of items in wire form: any number of writes or reads, of any tables.

This layer knows no models; `bulk` does the same for them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from dynamodb_wrapper.codec import Item, encoded_to_json, most_bytes
from dynamodb_wrapper.exceptions import CorruptResponseError, DynamoDBWrapperError
from dynamodb_wrapper.operations.batch_rounds import (
    Batch,
    BatchOptions,
    BatchProgress,
    Identity,
    Outcome,
    Pending,
    Progress,
    identity,
    split,
)
from dynamodb_wrapper.operations.capacity import ConsumedCapacity
from dynamodb_wrapper.operations.effects import Flow, ItemsReader, Params, call

__all__ = [
    "BatchOptions",
    "BatchProgress",
    "Entry",
    "Identity",
    "Progress",
    "Refused",
    "Wanted",
    "identity",
    "read",
    "write",
]

MAX_WRITES = 25
"""AWS, "BatchWriteItem": the most puts and deletes in one request."""
MAX_READS = 100
"""AWS, "BatchGetItem": the most keys in one request."""
MAX_REQUEST_BYTES = 12_000_000
"""Of compact JSON. AWS, "BatchWriteItem", allows 16 MB over the network, JSON's overhead included; the rest is for the
spaces that a lane's JSON may have. (The 16 MB of an answer need no care: what does not fit comes as unprocessed.)"""

DEFAULT = BatchOptions()


@dataclass(slots=True)  # not frozen: there are many, and a frozen one takes twice as long to make
class Entry:
    """One put or delete.

    Attributes:
        table_name: The physical table.
        key: The primary key, by which duplicates are told.
        request: ``{"PutRequest": {"Item": ...}}`` or ``{"DeleteRequest": {"Key": ...}}``; the key is all that it need
            have where there is a ``body``.
        origin: What the caller gave; what `BatchIncompleteError` reports.
        settle: Called once the entry is written, in the thread that the batch runs in.
        body: The whole of the request as JSON, if that is made already.
    """

    table_name: str
    key: Item
    request: Params
    origin: object
    settle: Callable[[], object] | None = None
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Refused:
    """Something in place of an entry that cannot be written; ends the batch, and is reported with what is not done."""

    table_name: str
    origin: object
    error: DynamoDBWrapperError


@dataclass(frozen=True, slots=True)
class Wanted:
    """One item to read.

    Attributes:
        table_name: The physical table.
        key: The primary key.
        origin: What the caller gave; what `BatchIncompleteError` reports.
    """

    table_name: str
    key: Item
    origin: object


def write(entries: Iterable[Entry | Refused], options: BatchOptions = DEFAULT) -> Flow[int]:
    """Write entries and return how many are done: all of them, one that a later one of the same key replaced included.

    Of entries with the same key, the last wins: within a request only the last is sent, and a key is in one request on
    its way at a time. Entries are drawn as there is room for them; only those on their way are held.

    Raises:
        BatchIncompleteError: After the first request something ended the batch: an error of DynamoDB or the network, an
            entry that is refused, leftovers that stay, or what the iterable itself raised; it is in
            ``.original_error`` (None for leftovers). The requests on their way were finished. ``.unprocessed`` has the
            origins, in order, of all entries that are not known to be written; of a collection that includes those
            never reached, of a generator those that were drawn from it. One that a later one replaced is not there.
        KeyboardInterrupt: Its ``__cause__`` is the `BatchIncompleteError`; so is that of ``asyncio.CancelledError``.
        Exception: What the iterable raised, or the error of a refused entry, before the first request.
    """
    batch = _Writing(entries, options)
    yield from batch.run()
    return batch.result()


def read(
    wanted: Iterable[Wanted],
    options: BatchOptions = DEFAULT,
    *,
    consistent: bool = False,
    parameters: Mapping[str, Params] | None = None,
    reader: ItemsReader | None = None,
) -> Flow[list[Item | None]]:
    """Read items and return them in the order asked, None for those that do not exist. A key is asked once.

    Args:
        wanted: The keys; drawn as there is room for requests.
        options: How they are sent.
        consistent: Read strongly consistent.
        parameters: By table, what else goes into its part of each request: ``ConsistentRead``, ``ProjectionExpression``
            (which must name the key attributes, or no answer could be told from another) and its names.
        reader: How answers may be read; then items may come in its form.

    Raises:
        BatchIncompleteError: DynamoDB left keys unread again and again; they are in ``.unprocessed``.
        DynamoDBWrapperError: Any other error, as it is: a read that failed has left nothing behind.
    """
    batch = _Reading(wanted, options, {"ConsistentRead": True} if consistent else {}, parameters or {}, reader)
    yield from batch.run()
    return batch.result()


class _Writing(Batch[Entry | Refused]):
    _verb = "written"
    _operation = "BatchWriteItem"

    def run(self) -> Flow[None]:
        """Send everything, or as much as can be; an interruption gets what is not known to be written for its cause."""
        try:
            yield from super().run()
        except GeneratorExit:
            raise
        except BaseException as interruption:  # Ctrl-C, or a cancelled task: what is done must still be told
            if isinstance(interruption, Exception) or not self._has_sent:
                raise
            self._options = replace(self._options, progress=None)
            self._take_in()
            self._leave(self._on_their_way.values())
            raise interruption from self._incomplete(self._done, interruption)

    def result(self) -> int:
        """Return how many are done, if all are."""
        if self._has_stopped:
            raise self._incomplete(self._done) from self._error
        return self._done

    def _next_chunk(self) -> dict[Identity, Pending[Entry | Refused]]:
        chunk: dict[Identity, Pending[Entry | Refused]] = {}
        size = 0
        while (pending := self._next()) is not None:
            earlier = chunk.get(pending.identity)
            size += most_bytes(pending.body) - (0 if earlier is None else most_bytes(earlier.body))
            # An entry waits while its key is on its way. Two requests with one key could be applied in either order,
            # and what DynamoDB leaves of the first is sent again after the second was applied.
            must_wait = pending.identity in self._on_their_way
            is_full = len(chunk) == MAX_WRITES and earlier is None
            if must_wait or is_full or (chunk and size > MAX_REQUEST_BYTES):
                self._held = pending
                break
            chunk[pending.identity] = (
                pending if earlier is None else replace(pending, stands_for=1 + earlier.stands_for)
            )
        return chunk

    def _next(self) -> Pending[Entry | Refused] | None:
        """Return the entry held back, or the next one; None at the end, and when the batch stops here."""
        if self._held is not None:
            held, self._held = self._held, None
            return held
        drawn = None
        try:
            drawn = self._draw()
            return None if drawn is None else _pending(*drawn)
        except Exception as error:  # the caller's own iterable may raise anything, and what is done must still be told
            if not self._has_sent:
                raise
            if drawn is not None:
                number, entry = drawn
                self._left.append((number, entry.table_name, entry.origin))
            self._stop(error)
            return None

    def _send(self, chunk: Sequence[Pending[Entry | Refused]]) -> Flow[Outcome[Entry | Refused]]:
        entries = [pending.entry for pending in chunk if isinstance(pending.entry, Entry)]
        requests: dict[str, list[Params]] = {}
        bodies: dict[str, list[bytes]] = {}
        for pending, entry in zip(chunk, entries, strict=True):
            requests.setdefault(entry.table_name, []).append(entry.request)
            bodies.setdefault(entry.table_name, []).append(pending.body)
        by_table = b",".join(b"%b:[%b]" % (encoded_to_json(name), b",".join(each)) for name, each in bodies.items())
        body = b'{"RequestItems":{%b}}' % by_table
        response = yield from call("BatchWriteItem", {"RequestItems": requests}, body=body)
        names = {entry.table_name: entry.key.keys() for entry in entries}
        left = [
            identity(table, _key_in(written, names.get(table, ()), self._operation))
            for table, unprocessed in response.get("UnprocessedItems", {}).items()
            for written in map(_written, unprocessed)
        ]
        consumed = ConsumedCapacity.of("BatchWriteItem", response)
        return replace(split(chunk, left), units=0.0 if consumed is None else consumed.write)

    def _settle(self, pending: Pending[Entry | Refused], item: Item | None) -> None:
        if isinstance(pending.entry, Entry) and pending.entry.settle is not None:
            pending.entry.settle()


class _Reading(Batch[Wanted]):
    _verb = "read"
    _operation = "BatchGetItem"

    def __init__(
        self,
        given: Iterable[Wanted],
        options: BatchOptions,
        shared: Params,
        parameters: Mapping[str, Params],
        reader: ItemsReader | None,
    ) -> None:
        super().__init__(given, options)
        self._shared = shared
        self._parameters = parameters
        self._reader = reader
        self._found: list[Item | None] = []
        self._asked: dict[Identity, int] = {}
        self._repeats: list[tuple[int, int]] = []  # a place in the results, and the place that has its item

    def result(self) -> list[Item | None]:
        """Return the items, if all were read."""
        if self._error is not None:
            raise self._error
        if self._has_stopped:
            unread = {number for number, _, _ in self._left}
            unread_repeats = [number for number, first in self._repeats if first in unread]
            raise self._incomplete(len(self._found) - len(unread) - len(unread_repeats))
        for place, first in self._repeats:
            item: Any = self._found[first]
            # What was parsed is decoded for each place; a model that was read already needs a twin of its own.
            is_model = self._reader is not None and item is not None and not isinstance(item, dict)
            self._found[place] = item.model_copy(deep=True) if is_model else item
        return self._found

    def _next_chunk(self) -> dict[Identity, Pending[Wanted]]:
        chunk: dict[Identity, Pending[Wanted]] = {}
        while len(chunk) < MAX_READS and (drawn := self._draw()) is not None:
            number, wanted = drawn
            self._found.append(None)
            key = identity(wanted.table_name, wanted.key)
            first = self._asked.setdefault(key, number)
            if first == number:
                chunk[key] = Pending(number, key, wanted)
            else:
                self._repeats.append((number, first))
                self._done += 1
        return chunk

    def _send(self, chunk: Sequence[Pending[Wanted]]) -> Flow[Outcome[Wanted]]:
        requests: dict[str, Params] = {}
        for pending in chunk:
            table = pending.entry.table_name
            empty = {"Keys": [], **self._shared, **self._parameters.get(table, {})}
            requests.setdefault(table, empty)["Keys"].append(pending.entry.key)
        read = None if self._reader is None else self._reader.read
        response = yield from call("BatchGetItem", {"RequestItems": requests}, read=read)
        names = {pending.entry.table_name: pending.entry.key.keys() for pending in chunk}
        found: dict[Identity, Item] = {
            identity(table, self._key_of(item, names.get(table, ()))): item
            for table, items in response.get("Responses", {}).items()
            for item in items
        }
        if not found.keys() <= {pending.identity for pending in chunk}:
            raise CorruptResponseError("BatchGetItem was answered with an item that was not asked for")
        unread = response.get("UnprocessedKeys", {})
        left = [
            identity(table, _key_in(key, names.get(table, ()), self._operation))
            for table, keys in unread.items()
            for key in keys.get("Keys", [{}])
        ]
        return split(chunk, left, found)

    def _key_of(self, item: Any, names: Iterable[str]) -> Item:
        if self._reader is None or isinstance(item, dict):
            return _key_in(item, names, self._operation)
        return self._reader.key_of(item)

    def _settle(self, pending: Pending[Wanted], item: Item | None) -> None:
        self._found[pending.number] = item


def _pending(number: int, entry: Entry | Refused) -> Pending[Entry | Refused]:
    if isinstance(entry, Refused):
        raise entry.error
    body = encoded_to_json(entry.request) if entry.body is None else entry.body
    return Pending(number, identity(entry.table_name, entry.key), entry, body)


def _key_in(item: Item, names: Iterable[str], operation: str) -> Item:
    """Return the key of an item of an answer.

    Raises:
        CorruptResponseError: It is not there.
    """
    try:
        return {name: item[name] for name in names}
    except KeyError as missing:
        raise CorruptResponseError(
            f"{operation} was answered with an item without its key {missing}", missing
        ) from missing


def _written(request: Params) -> Item:
    """Return what a put or delete of an answer has of its item: all of it, or the key; nothing where it is neither."""
    item: Item = request.get("PutRequest", {}).get("Item") or request.get("DeleteRequest", {}).get("Key") or {}
    return item
