"""Batches of items in wire form: any number of writes or reads, cut into requests, several on their way at a time.

This layer knows no models, and one batch may concern any tables; `bulk` does the same for models.

The requests run beside each other, possibly in threads, and share one thing: a queue that each appends its outcomes to.
Everything else - cutting the next request, noting what is done, telling the progress, deciding to stop - happens where
requests are drawn, which is one place at a time. So nothing here needs a lock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

from dynamodb_wrapper.codec import Item, read_any, to_json
from dynamodb_wrapper.exceptions import (
    BatchIncompleteError,
    CorruptResponseError,
    DynamoDBWrapperError,
    ValidationError,
)
from dynamodb_wrapper.operations.effects import Flow, Params, call, sleep, together
from dynamodb_wrapper.operations.selection import positive

MAX_WRITES = 25
"""AWS, "BatchWriteItem": the most puts and deletes in one request."""
MAX_READS = 100
"""AWS, "BatchGetItem": the most keys in one request."""
MAX_REQUEST_BYTES = 12_000_000
"""Of compact JSON. AWS, "BatchWriteItem", allows 16 MB over the network, JSON's overhead included; the rest is for the
spaces that a lane's JSON may have. (The 16 MB of an answer need no care: what does not fit comes as unprocessed.)"""

_ROUND = 1000
"""The most requests drawn in one round. `together` keeps a result of each, and a generator may have no end."""
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0

Identity = tuple[object, ...]
"""A table and a key in it, in a form that is equal for equal keys: ``1`` and ``1.0`` are one number."""


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is.

    Attributes:
        done: How many entries are done so far.
        total: How many there are; None when they come from a generator.
    """

    done: int
    total: int | None


@dataclass(frozen=True, slots=True)
class BatchOptions:
    """How a batch is sent.

    Attributes:
        concurrency: How many requests are on their way at a time.
        attempts: How often in a row DynamoDB may leave everything of a request unprocessed. One entry done, and the
            count begins anew: so a request is sent at most so many times for each of its entries.
        progress: Is told how far the batch is, after each request, in the thread that the batch runs in. What it raises
            ends the batch there, when the requests on their way are finished, and goes to the caller.
    """

    concurrency: int = 4
    attempts: int = 10
    progress: Callable[[BatchProgress], object] | None = None

    def __post_init__(self) -> None:
        positive("concurrency", self.concurrency)
        positive("attempts", self.attempts)


DEFAULT = BatchOptions()


@dataclass(frozen=True, slots=True)
class Entry:
    """One put or delete.

    Attributes:
        table_name: The physical table.
        key: The primary key, by which duplicates are told.
        request: ``{"PutRequest": {"Item": ...}}`` or ``{"DeleteRequest": {"Key": ...}}``.
        origin: What the caller gave; what `BatchIncompleteError` reports.
        settle: Called once the entry is written, in the thread that the batch runs in.
    """

    table_name: str
    key: Item
    request: Params
    origin: object
    settle: Callable[[], object] | None = None


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
            never reached, of a generator those that were drawn from it.
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
) -> Flow[list[Item | None]]:
    """Read items and return them in the order asked, None for those that do not exist. A key is asked once.

    Args:
        wanted: The keys; drawn as there is room for requests.
        options: How they are sent.
        consistent: Read strongly consistent.
        parameters: By table, what else goes into its part of each request: ``ConsistentRead``, ``ProjectionExpression``
            (which must name the key attributes, or no answer could be told from another) and its names.

    Raises:
        BatchIncompleteError: DynamoDB left keys unread again and again; they are in ``.unprocessed``.
        DynamoDBWrapperError: Any other error, as it is: a read that failed has left nothing behind.
    """
    batch = _Reading(wanted, options, {"ConsistentRead": True} if consistent else {}, parameters or {})
    yield from batch.run()
    return batch.result()


def identity(table_name: str, key: Mapping[str, Any]) -> Identity:
    """Return what tells a key from others, whichever way servers and callers write its numbers and bytes.

    Raises:
        ValidationError: A part is no text, number or bytes.
    """
    parts: list[object] = []
    for name in sorted(key):
        ((tag, payload),) = key[name].items()
        if tag not in ("S", "N", "B"):
            raise ValidationError(
                f"key {name!r} of table {table_name!r} is of DynamoDB type {tag}; a key is text, a number or bytes",
                {name: f"of type {tag}"},
            )
        parts += (name, tag, payload if tag == "S" else read_any({tag: payload}))
    return (table_name, *parts)


@dataclass(frozen=True, slots=True)
class _Pending:
    """An entry or a wanted item that was drawn: its place in what the caller gave, and how many it stands for."""

    number: int
    identity: Identity
    entry: Entry | Wanted
    size: int = 0
    stands_for: int = 1


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What one answer settled, with the items it brought, and what a request gave up on."""

    done: Sequence[tuple[_Pending, Item | None]]
    left: Sequence[_Pending] = ()
    error: DynamoDBWrapperError | None = None


G = TypeVar("G")


class _Batch(ABC, Generic[G]):
    """What is given, cut into requests, and what became of them."""

    _verb: Literal["written", "read"]
    _operation: str

    def __init__(self, given: Iterable[G], options: BatchOptions) -> None:
        self._given = given if isinstance(given, Collection) else None
        self._source: Iterator[tuple[int, G]] = enumerate(given)
        self._options = options
        self._drawn = 0
        self._has_more = True
        self._held: _Pending | None = None  # drawn, and not sent yet
        self._has_sent = False
        self._on_their_way: set[Identity] = set()
        self._outcomes: deque[_Outcome] = deque()
        self._done = 0
        self._left: list[tuple[int, str, object]] = []  # number, table, origin
        self._lost = 0
        self._has_stopped = False
        self._error: Exception | None = None

    def run(self) -> Flow[None]:
        """Send everything, or as much as can be."""
        while (self._has_more or self._held is not None) and not self._has_stopped:
            # A round ends early when the next entry has to wait for the requests on their way.
            yield from together(self._requests(), at_most=self._options.concurrency)
            self._take_in()

    def _requests(self) -> Iterator[Flow[None]]:
        for _ in range(_ROUND):
            self._take_in()
            chunk = {} if self._has_stopped else self._next_chunk()
            if self._has_stopped:
                self._leave(chunk.values())
            if self._has_stopped or not chunk:
                return
            self._on_their_way |= chunk.keys()
            self._has_sent = True
            yield self._sent(list(chunk.values()))

    @abstractmethod
    def _next_chunk(self) -> dict[Identity, _Pending]:
        """Return what the next request is about; nothing at the end, or when it has to wait."""

    @abstractmethod
    def _send(self, chunk: Sequence[_Pending]) -> Flow[_Outcome]:
        """Send one request and return what it settled and what it left, without an error."""

    @abstractmethod
    def _settle(self, pending: _Pending, item: Item | None) -> None:
        """Note that something is done."""

    def _sent(self, chunk: Sequence[_Pending]) -> Flow[None]:
        """Send a request, and its leftovers again, until nothing is left or nothing moves any more."""
        pause, idle = _FIRST_PAUSE, 0
        while True:
            try:
                answer = yield from self._send(chunk)
            except DynamoDBWrapperError as error:
                self._outcomes.append(_Outcome((), chunk, error))
                return
            idle = 0 if answer.done else idle + 1
            if idle == self._options.attempts:
                self._outcomes.append(answer)
                return
            self._outcomes.append(_Outcome(answer.done))
            if not answer.left:
                return
            pause = _FIRST_PAUSE if answer.done else pause
            yield from sleep(pause, jittered=True)
            pause = min(2 * pause, _LONGEST_PAUSE)
            chunk = answer.left

    def _take_in(self) -> None:
        while self._outcomes:
            outcome = self._outcomes.popleft()
            for pending, item in outcome.done:
                self._on_their_way.discard(pending.identity)
                self._done += pending.stands_for
                self._settle(pending, item)
            if outcome.left:
                self._leave(outcome.left)
                self._stop(outcome.error)
                if outcome.error is not None and "lost_answers" in outcome.error.context:
                    self._lost += len(outcome.left)
            if outcome.done and self._options.progress is not None:
                total = None if self._given is None else len(self._given)
                self._options.progress(BatchProgress(self._done, total))

    def _stop(self, error: Exception | None) -> None:
        self._has_stopped = True
        self._error = self._error or error

    def _leave(self, chunk: Iterable[_Pending]) -> None:
        self._left += [(pending.number, pending.entry.table_name, pending.entry.origin) for pending in chunk]

    def _draw(self) -> tuple[int, G] | None:
        """Return the next of what is given with its number; None, and no more, at the end."""
        drawn = next(self._source, None)
        self._has_more = drawn is not None
        self._drawn += self._has_more
        return drawn

    def _incomplete(self, rest: Sequence[tuple[int, str, object]], done: int) -> BatchIncompleteError:
        if self._held is not None:
            self._leave((self._held,))
        left = sorted([*self._left, *rest], key=lambda place: place[0])
        error, is_lazy = self._error, self._given is None
        because = (
            f"DynamoDB left them unprocessed {self._options.attempts} times in a row"
            if error is None
            else f"{type(error).__name__} ended the batch"
        )
        undrawn = "; what was not drawn from the generator yet is not counted" if is_lazy else ""
        context: dict[str, object] = {"table_name": ", ".join(sorted({table for _, table, _ in left}))} if left else {}
        if self._lost:
            context["may_be_written"] = self._lost  # the answers were lost: applied or not, nobody knows
        incomplete = BatchIncompleteError(
            f"{len(left)} of {self._drawn + len(rest)} entries were not {self._verb}: {because}{undrawn}",
            error,
            context,
            unprocessed=[origin for _, _, origin in left],
            done=done,
        )
        cause = error if isinstance(error, DynamoDBWrapperError) else None
        return incomplete.answered(
            operation=self._operation,
            request_id=cause.request_id if cause is not None else None,
            code=cause.code if cause is not None else None,
        )


class _Writing(_Batch[Entry | Refused]):
    _verb = "written"
    _operation = "BatchWriteItem"

    def result(self) -> int:
        """Return how many are done, if all are."""
        if not self._has_stopped:
            return self._done
        rest = [] if self._given is None else [(number, one.table_name, one.origin) for number, one in self._source]
        raise self._incomplete(rest, self._done) from self._error

    def _next_chunk(self) -> dict[Identity, _Pending]:
        chunk: dict[Identity, _Pending] = {}
        size = 0
        while (pending := self._next()) is not None:
            earlier = chunk.get(pending.identity)
            size += pending.size - (0 if earlier is None else earlier.size)
            # An entry waits while its key is on its way. Two requests with one key could be applied in either order,
            # and what DynamoDB leaves of the first is sent again after the second was applied.
            must_wait = pending.identity in self._on_their_way
            is_full = len(chunk) == MAX_WRITES and earlier is None
            if must_wait or is_full or (chunk and size > MAX_REQUEST_BYTES):
                self._held = pending
                break
            stands_for = 1 if earlier is None else 1 + earlier.stands_for
            chunk[pending.identity] = _Pending(
                pending.number, pending.identity, pending.entry, pending.size, stands_for
            )
        return chunk

    def _next(self) -> _Pending | None:
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

    def _send(self, chunk: Sequence[_Pending]) -> Flow[_Outcome]:
        requests: dict[str, list[Params]] = {}
        for pending in chunk:
            assert isinstance(pending.entry, Entry)
            requests.setdefault(pending.entry.table_name, []).append(pending.entry.request)
        response = yield from call("BatchWriteItem", {"RequestItems": requests})
        names = {pending.entry.table_name: pending.entry.key.keys() for pending in chunk}
        return _split(
            chunk,
            [
                identity(table, {name: written[name] for name in names.get(table, ())})
                for table, left in response.get("UnprocessedItems", {}).items()
                for written in map(_written, left)
            ],
        )

    def _settle(self, pending: _Pending, item: Item | None) -> None:
        if isinstance(pending.entry, Entry) and pending.entry.settle is not None:
            pending.entry.settle()


class _Reading(_Batch[Wanted]):
    _verb = "read"
    _operation = "BatchGetItem"

    def __init__(
        self, given: Iterable[Wanted], options: BatchOptions, shared: Params, parameters: Mapping[str, Params]
    ) -> None:
        super().__init__(given, options)
        self._shared = shared
        self._parameters = parameters
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
            rest = [] if self._given is None else [(number, one.table_name, one.origin) for number, one in self._source]
            raise self._incomplete(rest, len(self._found) - len(unread) - len(unread_repeats))
        for place, first in self._repeats:
            self._found[place] = self._found[first]
        return self._found

    def _next_chunk(self) -> dict[Identity, _Pending]:
        chunk: dict[Identity, _Pending] = {}
        while len(chunk) < MAX_READS and (drawn := self._draw()) is not None:
            number, wanted = drawn
            self._found.append(None)
            key = identity(wanted.table_name, wanted.key)
            first = self._asked.setdefault(key, number)
            if first == number:
                chunk[key] = _Pending(number, key, wanted)
            else:
                self._repeats.append((number, first))
                self._done += 1
        return chunk

    def _send(self, chunk: Sequence[_Pending]) -> Flow[_Outcome]:
        requests: dict[str, Params] = {}
        for pending in chunk:
            table = pending.entry.table_name
            empty = {"Keys": [], **self._shared, **self._parameters.get(table, {})}
            requests.setdefault(table, empty)["Keys"].append(pending.entry.key)
        response = yield from call("BatchGetItem", {"RequestItems": requests})
        names = {pending.entry.table_name: pending.entry.key.keys() for pending in chunk}
        found: dict[Identity, Item] = {
            identity(table, {name: item[name] for name in names.get(table, ())}): item
            for table, items in response.get("Responses", {}).items()
            for item in items
        }
        if not found.keys() <= {pending.identity for pending in chunk}:
            raise CorruptResponseError("BatchGetItem was answered with an item that was not asked for")
        unread = response.get("UnprocessedKeys", {})
        left = [identity(table, key) for table, keys in unread.items() for key in keys["Keys"]]
        return _split(chunk, left, found)

    def _settle(self, pending: _Pending, item: Item | None) -> None:
        self._found[pending.number] = item


def _pending(number: int, entry: Entry | Refused) -> _Pending:
    if isinstance(entry, Refused):
        raise entry.error
    return _Pending(number, identity(entry.table_name, entry.key), entry, _sent_bytes(entry.request))


def _split(
    chunk: Sequence[_Pending], left: Collection[Identity], found: Mapping[Identity, Item] | None = None
) -> _Outcome:
    """Return a request's outcome from what its answer says is left."""
    unprocessed, items = set(left), found or {}
    if not unprocessed <= {pending.identity for pending in chunk}:
        # Something is left, and it does not tell what. To do everything again does no harm; to pass it over would.
        return _Outcome((), chunk)
    done = [(pending, items.get(pending.identity)) for pending in chunk if pending.identity not in unprocessed]
    return _Outcome(done, [pending for pending in chunk if pending.identity in unprocessed])


def _written(request: Params) -> Item:
    """Return what a put or delete of an answer has of its item: all of it, or the key."""
    item: Item = request["PutRequest"]["Item"] if "PutRequest" in request else request["DeleteRequest"]["Key"]
    return item


def _sent_bytes(request: Params) -> int:
    """Return the most bytes a request takes on the wire: where JSON escapes, UTF-8's 2 to 4 bytes become 6 or 12."""
    body = to_json(request)
    return len(body) if body.isascii() else 3 * len(body)
