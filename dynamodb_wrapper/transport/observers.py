"""Who hears of requests: the log, and the hooks of the process. Neither ever sees a key or a value."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from contextvars import ContextVar
from dataclasses import asdict, dataclass, fields, replace
from types import TracebackType
from typing import Self

from dynamodb_wrapper.exceptions import DynamoDBWrapperError, ValidationError
from dynamodb_wrapper.operations.capacity import ConsumedCapacity
from dynamodb_wrapper.operations.effects import Call, Response
from dynamodb_wrapper.transport.failures import table_of, tables_of
from dynamodb_wrapper.transport.forks import ForkSafeLock

logger = logging.getLogger("dynamodb_wrapper.transport")

Hook = Callable[["RequestEvent"], object]

_REPORTING = frozenset(
    (
        "BatchGetItem",
        "BatchWriteItem",
        "DeleteItem",
        "GetItem",
        "PutItem",
        "Query",
        "Scan",
        "TransactGetItems",
        "TransactWriteItems",
        "UpdateItem",
    )
)
"""The operations that say what they consumed when they are asked to."""


@dataclass(frozen=True, slots=True)
class Server:
    """Where requests go: host, port and region, each None when it is not known (or there is no such thing)."""

    address: str | None = None
    port: int | None = None
    region: str | None = None


@dataclass(frozen=True, slots=True)
class RequestEvent:
    """One request after its last attempt: what, where, how long, how often, at what price; never a key or a value.

    Attributes:
        operation: DynamoDB's name of it, for example ``"PutItem"``.
        table_name: The table; several, of a batch or a transaction, with commas between them; None for none.
        table_names: The same one by one.
        index_name: The index, or None.
        duration_ms: How long it took in all, the delays between attempts included.
        attempts: How often it was tried.
        failures: Why all attempts but a successful one failed, in order: AWS's codes, or names of our errors.
        outcome: ``"ok"``, or the name of the class of the error that was raised.
        code: AWS's code of that error, or None.
        request_id: AWS's id of the last attempt, or None.
        consumed_capacity: What it consumed, or None when DynamoDB did not say.
        server: Where it went.
    """

    operation: str
    table_name: str | None
    table_names: tuple[str, ...]
    index_name: str | None
    duration_ms: float
    attempts: int
    failures: tuple[str, ...]
    outcome: str
    code: str | None
    request_id: str | None
    consumed_capacity: ConsumedCapacity | None
    server: Server


class Subscription:
    """A hook that is called until this is closed; as a ``with`` block, until its end."""

    def __init__(self, hook: Hook) -> None:
        self._hook = hook
        self._is_reported = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Call the hook no more; closing twice is fine. Requests on their way may still reach it."""
        _registry.remove(self)

    def tell(self, event: RequestEvent) -> None:
        """Call the hook; what it raises is logged, the first time."""
        try:
            self._hook(event)
        except Exception:  # the request has been made: an observer that is broken must not make it look failed
            if not self._is_reported:
                self._is_reported = True
                logger.exception("the hook %r failed and is called on; further failures are not logged", self._hook)


class _Registry:
    """The subscriptions of the process; read without a lock, changed under one by replacing the tuple."""

    def __init__(self) -> None:
        self._lock = ForkSafeLock()
        self.subscriptions: tuple[Subscription, ...] = ()

    def add(self, subscription: Subscription) -> Subscription:
        with self._lock:
            self.subscriptions = (*self.subscriptions, subscription)
        return subscription

    def remove(self, subscription: Subscription) -> None:
        with self._lock:
            self.subscriptions = tuple(entry for entry in self.subscriptions if entry is not subscription)


_registry = _Registry()
_is_telling: ContextVar[bool] = ContextVar("dynamodb_wrapper_telling", default=False)


def observe(hook: Hook) -> Subscription:
    """Call a hook with a `RequestEvent` after every request of this process, until the subscription is closed.

    It is called in the thread that made the request, after the retries and before the caller gets the answer, so it
    should be quick. What it raises is logged once and harms nothing. Requests that it makes itself are not observed.
    While there is a hook, every request asks for the capacity that it consumes.

    Raises:
        ValidationError: The hook cannot be called.
    """
    if not callable(hook):
        raise ValidationError(f"observe() takes a function of one RequestEvent, not {type(hook).__name__}")
    return _registry.add(Subscription(hook))


def is_observed() -> bool:
    """Return whether anybody wants to hear of requests now."""
    return (bool(_registry.subscriptions) and not _is_telling.get()) or logger.isEnabledFor(logging.DEBUG)


def reporting_capacity(call: Call) -> Call:
    """Return the call asking for the capacity it consumes, unless it says itself what it asks for."""
    if call.operation not in _REPORTING or "ReturnConsumedCapacity" in call.params:
        return call
    body = None if call.body is None else b'{"ReturnConsumedCapacity":"INDEXES",' + call.body.removeprefix(b"{")
    return replace(call, params={**call.params, "ReturnConsumedCapacity": "INDEXES"}, body=body)


class Observation:
    """Follows one request through its attempts, and tells how it went: as a ``with`` block around all of them."""

    __slots__ = ("_call", "_failures", "_response", "_server", "_started")

    def __init__(self, call: Call, server: Callable[[], Server]) -> None:
        self._call = call
        self._server = server
        self._failures: list[str] = []
        self._response: Response | None = None

    def __enter__(self) -> Self:
        self._started = time.perf_counter()
        return self

    def failed(self, error: DynamoDBWrapperError) -> None:
        """Note why an attempt failed."""
        self._failures.append(error.code or type(error).__name__)

    def answered(self, response: Response) -> Response:
        """Note the answer, and return it."""
        self._response = response
        return response

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        event = self._event(error)
        _log(event)
        if _is_telling.get():
            return
        token = _is_telling.set(True)
        try:
            for subscription in _registry.subscriptions:
                subscription.tell(event)
        finally:
            _is_telling.reset(token)

    def _event(self, error: BaseException | None) -> RequestEvent:
        ours = error if isinstance(error, DynamoDBWrapperError) else None
        response = self._response or {}
        answered_id = response.get("ResponseMetadata", {}).get("RequestId")
        index = self._call.params.get("IndexName")
        return RequestEvent(
            operation=self._call.operation,
            table_name=table_of(self._call),
            table_names=tables_of(self._call),
            index_name=index if isinstance(index, str) else None,
            duration_ms=round((time.perf_counter() - self._started) * 1000, 3),
            attempts=len(self._failures) + (self._response is not None),
            failures=tuple(self._failures),
            outcome="ok" if error is None else type(error).__name__,
            code=None if ours is None else ours.code,
            request_id=answered_id if ours is None else ours.request_id,
            consumed_capacity=ConsumedCapacity.of(self._call.operation, response),
            server=self._server(),
        )


_LOGGED = [field.name for field in fields(RequestEvent) if field.name not in ("table_names", "server")]
_IN_TEXT = ("operation", "table_name", "index_name", "attempts", "duration_ms", "request_id")


def _log(event: RequestEvent) -> None:
    """Write one DEBUG line, its record with the event's fields; capacity as a plain mapping."""
    if not logger.isEnabledFor(logging.DEBUG):
        return
    details = {name: getattr(event, name) for name in _LOGGED}
    capacity = event.consumed_capacity
    text = " ".join(f"{name}={details[name]}" for name in _IN_TEXT if name != "index_name" or details[name])
    if capacity is not None:
        details["consumed_capacity"] = asdict(capacity)
        text += f" capacity={capacity.total:g}"
    logger.debug("%s outcome=%s", text, event.outcome, extra=details)
