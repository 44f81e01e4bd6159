"""The engine of batches: any number of entries, cut into requests, several of them on their way at a time.

The requests run beside each other, possibly in threads, and share one thing: a queue that each appends its outcomes to.
Everything else - cutting the next request, noting what is done, telling the progress, deciding to stop - happens where
requests are drawn, which is one place at a time. So nothing here needs a lock.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Generic, Literal, Protocol, TypeVar

from dynamodb_wrapper.codec import Item, read_any
from dynamodb_wrapper.exceptions import BatchIncompleteError, DynamoDBWrapperError, ValidationError
from dynamodb_wrapper.operations.effects import Flow, sleep, together
from dynamodb_wrapper.operations.sizes import positive

_ROUND = 1000
"""The most requests drawn in one round. `together` keeps a result of each, and a generator may have no end."""
_FIRST_PAUSE = 0.05
_LONGEST_PAUSE = 5.0

Identity = tuple[object, ...]
"""A table and a key in it, in a form that is equal for equal keys: ``1`` and ``1.0`` are one number."""


class Given(Protocol):
    """What a batch is given many of: it belongs to a table, and knows what the caller gave."""

    @property
    def table_name(self) -> str:
        """The physical table."""
        ...

    @property
    def origin(self) -> object:
        """What the caller gave; what `BatchIncompleteError` reports."""
        ...


G = TypeVar("G", bound=Given)


@dataclass(frozen=True, slots=True)
class BatchProgress:
    """How far a batch is.

    Attributes:
        done: How many entries are done so far.
        total: How many there are; None when they come from a generator.
        units: Capacity units consumed so far, as far as DynamoDB was asked for them and said.
    """

    done: int
    total: int | None
    units: float = 0.0


Progress = Callable[[BatchProgress], object]
"""Called with how far a batch is."""


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
    progress: Progress | None = None

    def __post_init__(self) -> None:
        positive("concurrency", self.concurrency)
        positive("attempts", self.attempts)
        if self.progress is not None and not callable(self.progress):
            raise ValidationError(
                f"progress is {self.progress!r:.80}: must be a function of one BatchProgress",
                {"progress": "cannot be called"},
            )


def identity(table_name: str, key: Mapping[str, Any]) -> Identity:
    """Return what tells a key from others, whichever way servers and callers write its numbers and bytes.

    Raises:
        ValidationError: A part is no text, number or bytes.
    """
    parts: list[object] = []
    for name in sorted(key):
        ((tag, payload),) = key[name].items()
        if tag == "S":
            parts += (name, tag, payload)
        elif tag in ("N", "B"):
            parts += (name, tag, read_any({tag: payload}))
        else:
            raise ValidationError(
                f"key {name!r} of table {table_name!r} is of DynamoDB type {tag}; a key is text, a number or bytes",
                {name: f"of type {tag}"},
            )
    return (table_name, *parts)


@dataclass(slots=True)  # not frozen: there are many, and a frozen one takes twice as long to make
class Pending(Generic[G]):
    """An entry or a wanted item that was drawn: its place in what the caller gave, and how many it stands for.

    That of a write has its request as JSON.
    """

    number: int
    identity: Identity
    entry: G
    body: bytes = b""
    stands_for: int = 1


@dataclass(frozen=True, slots=True)
class Outcome(Generic[G]):
    """What one answer settled, with the items it brought, and what a request gave up on."""

    done: Sequence[tuple[Pending[G], Item | None]]
    left: Sequence[Pending[G]] = ()
    error: DynamoDBWrapperError | None = None
    units: float = 0.0


class Batch(ABC, Generic[G]):
    """What is given, cut into requests, and what became of them."""

    _verb: Literal["written", "read"]
    _operation: str

    def __init__(self, given: Iterable[G], options: BatchOptions) -> None:
        self._given = given if isinstance(given, Collection) else None
        self._source: Iterator[tuple[int, G]] = enumerate(given)
        self._options = options
        self._drawn = 0
        self._has_more = True
        self._held: Pending[G] | None = None  # drawn, and not sent yet
        self._has_sent = False
        self._on_their_way: dict[Identity, Pending[G]] = {}
        self._outcomes: deque[Outcome[G]] = deque()
        self._done = 0
        self._units = 0.0
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
            self._on_their_way |= chunk
            self._has_sent = True
            yield self._sent(list(chunk.values()))

    @abstractmethod
    def _next_chunk(self) -> dict[Identity, Pending[G]]:
        """Return what the next request is about; nothing at the end, or when it has to wait."""

    @abstractmethod
    def _send(self, chunk: Sequence[Pending[G]]) -> Flow[Outcome[G]]:
        """Send one request and return what it settled and what it left, without an error."""

    @abstractmethod
    def _settle(self, pending: Pending[G], item: Item | None) -> None:
        """Note that something is done."""

    def _sent(self, chunk: Sequence[Pending[G]]) -> Flow[None]:
        """Send a request, and its leftovers again, until nothing is left or nothing moves any more."""
        pause, idle = _FIRST_PAUSE, 0
        try:
            while chunk:
                answer = yield from self._send(chunk)
                idle = 0 if answer.done else idle + 1
                if idle == self._options.attempts:
                    self._outcomes.append(answer)
                    return
                self._outcomes.append(Outcome(answer.done, units=answer.units))
                chunk = answer.left
                if chunk:
                    pause = _FIRST_PAUSE if answer.done else pause
                    yield from sleep(pause, jittered=True)
                    pause = min(2 * pause, _LONGEST_PAUSE)
        except DynamoDBWrapperError as error:  # of the request, or of a pause for which there is no time
            self._outcomes.append(Outcome((), chunk, error))

    def _take_in(self) -> None:
        while self._outcomes:
            outcome = self._outcomes.popleft()
            self._units += outcome.units
            for pending, item in outcome.done:
                self._on_their_way.pop(pending.identity, None)
                self._done += pending.stands_for
                self._settle(pending, item)
            if outcome.left:
                self._leave(outcome.left)
                for pending in outcome.left:
                    self._on_their_way.pop(pending.identity, None)
                self._stop(outcome.error)
                if outcome.error is not None and "lost_answers" in outcome.error.context:
                    self._lost += len(outcome.left)
            if outcome.done and self._options.progress is not None:
                total = None if self._given is None else len(self._given)
                self._options.progress(BatchProgress(self._done, total, self._units))

    def _stop(self, error: Exception | None) -> None:
        self._has_stopped = True
        if self._error is None:
            self._error = error

    def _leave(self, chunk: Iterable[Pending[G]]) -> None:
        self._left += [(pending.number, pending.entry.table_name, pending.entry.origin) for pending in chunk]

    def _draw(self) -> tuple[int, G] | None:
        """Return the next of what is given with its number; None, and no more, at the end."""
        drawn = next(self._source, None)
        self._has_more = drawn is not None
        self._drawn += self._has_more
        return drawn

    def _incomplete(self, done: int, interruption: BaseException | None = None) -> BatchIncompleteError:
        if self._held is not None:
            self._leave((self._held,))
        rest = [] if self._given is None else [(number, one.table_name, one.origin) for number, one in self._source]
        left = sorted([*self._left, *rest], key=lambda place: place[0])
        error, is_lazy = self._error, self._given is None
        ended_by = error or interruption
        because = (
            f"DynamoDB left them unprocessed {self._options.attempts} times in a row"
            if ended_by is None
            else f"{type(ended_by).__name__} ended the batch"
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


def split(
    chunk: Sequence[Pending[G]], left: Collection[Identity], found: Mapping[Identity, Item] | None = None
) -> Outcome[G]:
    """Return a request's outcome from what its answer says is left."""
    unprocessed, items = set(left), found or {}
    if not unprocessed <= {pending.identity for pending in chunk}:
        # Something is left, and it does not tell what. To do everything again does no harm; to pass it over would.
        return Outcome((), chunk)
    done = [(pending, items.get(pending.identity)) for pending in chunk if pending.identity not in unprocessed]
    return Outcome(done, [pending for pending in chunk if pending.identity in unprocessed])
