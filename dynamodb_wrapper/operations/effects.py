"""What a flow may ask for, and nothing else.

Everything that is more than one call is a *flow*: a generator that yields effects and receives their outcomes. A flow
never touches a socket, a clock or an event loop, so it is written once, tested by hand, and run by a blocking driver
or on an event loop. Flows never write a bare ``yield``: they use ``yield from`` on the functions below, which give
each effect's outcome its type.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from dynamodb_wrapper.codec import Item
from dynamodb_wrapper.exceptions import DynamoDBWrapperError

if TYPE_CHECKING:
    from concurrent.futures import Future

Params = dict[str, Any]
"""The parameters of one DynamoDB operation, as its API reference names them, values in wire form."""
Response = dict[str, Any]
"""The parsed answer of one DynamoDB operation, values in wire form."""
AnswerReader = Callable[[bytes], Response | None]
"""From the body of an answer to what is in it, items as models already; None for an answer that has to be parsed."""


@dataclass(frozen=True, slots=True)
class ItemsReader:
    """How the answer to a batch may be read instead of parsed.

    Attributes:
        read: As `Call` has it.
        key_of: From an item that it gives to the wire key of that item.
    """

    read: AnswerReader
    key_of: Callable[[Any], Item]


@dataclass(frozen=True, slots=True)
class Call:
    """Send one operation; the outcome is its response, or one of our errors thrown into the flow.

    Attributes:
        operation: DynamoDB's name of it, for example ``"PutItem"``.
        params: Its parameters.
        repeatable: Whether applying it twice leaves what applying it once leaves, so that it may be sent again
            when the answer was lost.
        key: The primary key the call is about, as the caller sees it; for errors.
        read: How a lane may read the answer instead of parsing it; whoever gives it takes items in both forms.
        body: The whole of the parameters as the protocol's JSON, where whoever makes the call has them so already;
            ``params`` then need name only the tables, whether consumed capacity is asked for and, so that caches
            forget no more than that, the keys of what is written (in the places of items).
    """

    operation: str
    params: Params
    repeatable: bool = True
    key: dict[str, object] | None = None
    read: AnswerReader | None = field(default=None, compare=False, repr=False)
    body: bytes | None = field(default=None, repr=False)


@dataclass(frozen=True, slots=True)
class Sleep:
    """Wait that many seconds; with ``jittered``, a random part of them."""

    seconds: float
    jittered: bool = False


@dataclass(frozen=True, slots=True)
class Now:
    """Tell the time (an aware datetime in UTC)."""


@dataclass(frozen=True, slots=True)
class NewToken:
    """Make a text that nobody else has (36 characters), for requests that are to be applied once."""


@dataclass(frozen=True, slots=True)
class Emit:
    """Hand items to whoever reads the stream; a flow that emits is run with ``stream``."""

    items: Sequence[Any]


@dataclass(frozen=True, slots=True)
class Together:
    """Run flows at the same time; the outcome is the list of their results, in their order.

    Attributes:
        flows: Taken one by one as there is room, so that an iterator may make them as it goes. They do not emit.
        at_most: How many run at a time.

    When one fails, no more are taken, those that run are finished, and the first error is thrown into the flow.
    """

    flows: Iterable[Flow[Any]]
    at_most: int


class Reading(Protocol):
    """Something that one caller reads, and others wait for."""

    @property
    def future(self) -> Future[bytes | None]:
        """What was read, None when it came to nothing; never an error."""
        ...

    @property
    def thread(self) -> int:
        """The thread that reads, as `threading.get_ident` has it."""
        ...


@dataclass(frozen=True, slots=True)
class Join:
    """Wait for what other callers read, at least one; the outcome has None where nothing came of it, or not in time."""

    readings: Sequence[Reading]


class Beside(Protocol):
    """A server that is asked beside DynamoDB, and can do without being answered."""

    def ask(self, request: Any) -> Any | None:
        """Return its answer; None when it is away."""
        ...

    async def ask_on_loop(self, request: Any) -> Any | None:
        """Return its answer, the event loop going on meanwhile; None when it is away."""
        ...

    def disconnect(self) -> None:
        """Close what threads have opened; the next question opens anew."""
        ...

    async def aclose(self) -> None:
        """Close what the running event loop has opened; the next question opens anew."""
        ...


@dataclass(frozen=True, slots=True)
class Ask:
    """Ask a server beside DynamoDB; the outcome is its answer, None when it is away."""

    server: Beside
    request: object


Effect = Call | Sleep | Now | NewToken | Emit | Together | Join | Ask

R = TypeVar("R")
Flow = Generator[Effect, Any, R]


def call(
    operation: str,
    params: Params,
    *,
    repeatable: bool = True,
    key: dict[str, object] | None = None,
    read: AnswerReader | None = None,
    body: bytes | None = None,
) -> Flow[Response]:
    """Send one operation and return its response."""
    return sent(Call(operation, params, repeatable, key, read, body))


def sent(call: Call) -> Flow[Response]:
    """Send a call and return its response."""
    response: Response = yield call
    return response


def calling_by(send: Callable[[Call], Flow[Response]], flow: Flow[R]) -> Flow[R]:
    """Return the result of a flow whose calls are sent by another one, but for those of flows that it runs together."""
    try:
        effect = next(flow)
        while True:
            try:
                outcome = (yield from send(effect)) if isinstance(effect, Call) else (yield effect)
            except (DynamoDBWrapperError, KeyboardInterrupt) as error:
                effect = flow.throw(error)
            else:
                effect = flow.send(outcome)
    except StopIteration as end:
        result: R = end.value
        return result
    finally:
        flow.close()


def sleep(seconds: float, *, jittered: bool = False) -> Flow[None]:
    """Wait that many seconds; with ``jittered``, a random part of them."""
    yield Sleep(seconds, jittered)


def now() -> Flow[datetime]:
    """Return the current time, aware, in UTC."""
    time: datetime = yield Now()
    return time


def new_token() -> Flow[str]:
    """Return a text that nobody else has."""
    token: str = yield NewToken()
    return token


def emit(items: Sequence[Any]) -> Flow[None]:
    """Hand items to the consumer of the stream."""
    yield Emit(items)


def together(flows: Iterable[Flow[R]], *, at_most: int) -> Flow[list[R]]:
    """Run flows at the same time, so many of them at a time, and return their results in order."""
    results: list[R] = yield Together(flows, at_most)
    return results


def join(readings: Sequence[Reading]) -> Flow[list[bytes | None]]:
    """Wait for what other callers read, in order; None where nothing came of it, or not in time."""
    answers: list[bytes | None] = (yield Join(readings)) if readings else []
    return answers


def ask(server: Beside, request: object) -> Flow[Any | None]:
    """Ask a server beside DynamoDB and return its answer; None when it is away."""
    answer: Any | None = yield Ask(server, request)
    return answer
