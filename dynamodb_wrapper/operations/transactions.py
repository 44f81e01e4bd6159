"""Transactions: many actions, all or nothing, and the only owner of retries for transaction conflicts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from decimal import Decimal
from typing import Any, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item, item_bytes, read_any
from dynamodb_wrapper.exceptions import (
    DeadlineExceededError,
    DynamoDBWrapperError,
    ItemNotFoundError,
    TransactionCanceledError,
    TransactionConflictError,
    ValidationError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.operations import cancellations, unique, writes
from dynamodb_wrapper.operations.cancellations import TRIES
from dynamodb_wrapper.operations.effects import Flow, Params, Response, call, new_token, sleep, together
from dynamodb_wrapper.operations.requests import Update
from dynamodb_wrapper.operations.unique import Known, Plan, StaleReadError
from dynamodb_wrapper.operations.writes import Guarding, Write

T = TypeVar("T", bound=BaseModel)
R = TypeVar("R")

MAX_ACTIONS = 100
"""AWS, "Quotas": the most actions in a transaction."""
MAX_BYTES = 4 * 1024 * 1024
"""AWS, "Quotas": the most that the items of a transaction take together."""
MAX_TOKEN_LENGTH = 36

_FIRST_PAUSE_SECONDS = 0.1
_LONGEST_PAUSE_SECONDS = 2.0
_READS_AT_ONCE = 8

_Failure = TransactionCanceledError | TransactionConflictError


# --- actions on the wire ----------------------------------------------------------------------------------------------


def submit(
    actions: Sequence[Params], token: str | None = None, *, options: Mapping[str, Any] | None = None
) -> Flow[Response]:
    """Write all of the actions or none, in one ``TransactWriteItems``; nothing is sent for no actions.

    Conflicts and throttling are waited out, with the same client token each time: once is what the actions are applied,
    also when an answer was lost.

    Args:
        actions: ``{"Put": {...}}`` and the like, values in wire form.
        token: The client token, 1 to 36 characters; by default a new one.
        options: Other parameters of the call, ``ReturnConsumedCapacity`` for example.

    Raises:
        TransactionCanceledError: An action cannot be done, or conflicts did not end; nothing was written.
        IdempotentParameterMismatchError: The token was used for other actions within the last ten minutes.
        WriteOutcomeUnknownError: The transaction was still in progress at the last try.
        ValidationError: There are over 100 actions, over 4 MB, or two on one item; nothing was sent.
    """
    if token is not None and not 1 <= len(token) <= MAX_TOKEN_LENGTH:
        raise ValidationError(f"a client token has 1 to {MAX_TOKEN_LENGTH} characters, not {len(token)}: {token!r:.80}")
    if not actions:
        return {}
    _check(actions)
    token = (yield from new_token()) if token is None else token
    params = {**(options or {}), "TransactItems": list(actions), "ClientRequestToken": token}
    return (yield from _until_no_conflict("TransactWriteItems", params))


def read(gets: Sequence[Params], *, options: Mapping[str, Any] | None = None) -> Flow[Response]:
    """Read items as they are at one moment, in one ``TransactGetItems``; nothing is sent for no gets.

    Args:
        gets: ``{"Get": {...}}``, values in wire form.
        options: Other parameters of the call.

    Raises:
        TransactionCanceledError: Writes to the items did not end, or a get cannot be done.
        ValidationError: There are over 100 gets, or two of one item; nothing was sent.
    """
    if not gets:
        return {"Responses": []}
    _check(gets)
    return (yield from _until_no_conflict("TransactGetItems", {**(options or {}), "TransactItems": list(gets)}))


def _until_no_conflict(operation: str, params: Params) -> Flow[Response]:
    pauses, pause = _pauses(), 0.0
    failure: _Failure | None = None
    while True:
        try:
            if failure is not None:
                yield from sleep(pause, jittered=True)
            return (yield from call(operation, params))
        except (TransactionCanceledError, TransactionConflictError) as error:
            if isinstance(error, TransactionCanceledError) and not cancellations.passes(error.reasons):
                raise
            failure, pause = error, next(pauses, -1)
            if pause < 0:
                raise _given_up(error) from error
        except DynamoDBWrapperError as error:
            final = _cut_short(failure, error)
            raise final from final.__cause__


def _cut_short(failure: _Failure | None, error: DynamoDBWrapperError) -> DynamoDBWrapperError:
    """Return the error of a transaction that is not tried again, given how the try before ended."""
    if isinstance(failure, TransactionConflictError) and not isinstance(error, WriteOutcomeUnknownError):
        message = f"the transaction was still in progress; whether it is applied is not known: {error.message}"
        unknown = WriteOutcomeUnknownError(message, error, {**failure.context, **error.context})
        unknown.__cause__ = error
        return unknown.answered(operation=failure.operation or "", request_id=failure.request_id, code=failure.code)
    if isinstance(error, DeadlineExceededError):
        error.original_error = error.__cause__ = error.__cause__ or failure
    return error


def _pauses() -> Iterator[float]:
    """Yield how long to wait after each try but the last."""
    for number in range(TRIES - 1):
        yield min(_FIRST_PAUSE_SECONDS * 2.0**number, _LONGEST_PAUSE_SECONDS)


def _given_up(error: _Failure) -> DynamoDBWrapperError:
    ours: DynamoDBWrapperError
    if isinstance(error, TransactionCanceledError):
        codes = ", ".join(sorted({reason.code for reason in error.reasons} - {"None"}))
        done = "read" if error.operation == "TransactGetItems" else "written"
        message = f"given up after {TRIES} tries, the last one cancelled for {codes}; nothing was {done}"
        ours = TransactionCanceledError(message, error, error.context, reasons=error.reasons)
    else:
        message = f"after {TRIES} tries the transaction is still in progress; whether it is applied is not known yet"
        ours = WriteOutcomeUnknownError(message, error, error.context)
    return ours.answered(operation=error.operation or "", request_id=error.request_id, code=error.code)


def _check(actions: Sequence[Params]) -> None:
    """Refuse what DynamoDB would refuse, as far as it can be seen here.

    Raises:
        ValidationError: Too many actions, too many bytes, or two actions on one item.
    """
    if len(actions) > MAX_ACTIONS:
        raise ValidationError(
            f"{len(actions)} actions are too many: DynamoDB takes {MAX_ACTIONS} in a transaction, and what guards a "
            "unique value is an action too"
        )
    parts = [_part(number, action) for number, action in enumerate(actions)]
    size = sum(item_bytes(part.get("Item") or part.get("Key") or {}) for part in parts)
    if size > MAX_BYTES:
        raise ValidationError(
            f"the items of the transaction take {size:,} bytes, and DynamoDB takes {MAX_BYTES:,} in a transaction"
        )
    key_names = {part["TableName"]: tuple(part["Key"]) for part in parts if "Key" in part}
    keys = []
    for part in parts:
        names = key_names.get(part["TableName"], ())
        key = {name: part["Item"][name] for name in names if name in part["Item"]} if "Item" in part else part["Key"]
        # Nothing tells the key of an item of a table that is only put to: whole items are compared then.
        keys.append((part["TableName"], key or part.get("Item", {})))
    _refuse_repeats(keys)


def _part(number: int, action: Params) -> Params:
    """Return what an action is to do, without its kind."""
    parts = list(action.values())
    if len(parts) != 1 or not isinstance(parts[0], Mapping) or not {"Key", "Item"} & parts[0].keys():
        raise ValidationError(
            f"[{number}] is no action of a transaction: it has one of Put, Update, Delete, ConditionCheck, Get, and "
            f"in that a table name and a key or an item; it has {sorted(map(str, action))}",
            {f"[{number}]": "no action"},
        )
    if "TableName" not in parts[0]:
        raise ValidationError(f"[{number}] names no table: TableName is missing", {f"[{number}]": "no TableName"})
    return dict(parts[0])


def _refuse_repeats(keys: Iterable[tuple[str, Item]]) -> None:
    seen: dict[object, int] = {}
    for number, (table_name, key) in enumerate(keys):
        same = seen.setdefault((table_name, _canonical(key)), number)
        if same != number:
            readable = {name: read_any(wire) for name, wire in key.items()}
            raise ValidationError(
                f"entries {same} and {number} are about the same item, {readable!r:.200} of table {table_name!r}, and "
                "DynamoDB takes one action per item in a transaction: make one of them",
                {f"[{number}]": f"about the same item as [{same}]"},
            )


def _canonical(key: Item) -> object:
    """Return what is equal for equal keys, however their numbers and bytes are written."""
    parts = []
    for name, wire in sorted(key.items()):
        ((tag, payload),) = wire.items()
        value = Decimal(payload) if tag == "N" else payload if tag == "S" else repr(payload)
        parts.append((name, tag, value))
    return tuple(parts)


# --- writes -----------------------------------------------------------------------------------------------------------


def write(requests: Sequence[Write[Any]]) -> Flow[list[BaseModel | None]]:
    """Write all or nothing; return the model of each write that was given one, its version and times set.

    Raises:
        TransactionCanceledError: A condition was false, or conflicts did not end; ``.reasons`` has one entry per
            request. Nothing was written.
        TransactionConflictError: Unique values were changed by others at every try; nothing was written.
        UniqueViolationError: Two of the requests would have the same unique value; nothing was sent.
        ValidationError: There is too much for one transaction, or two requests are about one item; nothing was sent.
    """
    _refuse_repeats((request.request.table_name, unique.key_of(request)) for request in requests)

    def attempt(known: Known) -> Flow[None]:
        reading = [request for request in requests if request.guarding is Guarding.READ]
        flows = (unique.read(request.entity, unique.key_of(request)) for request in reading)
        found = iter((yield from together(flows, at_most=_READS_AT_ONCE)) if reading else ())
        plans = [
            unique.plan(request, next(found) if request.guarding is Guarding.READ else None) for request in requests
        ]
        yield from submit_plans(plans, known)

    yield from until_as_read(attempt)
    return [None if request.model is None else request.settle() for request in requests]


def send(request: Write[T]) -> Flow[Response]:
    """Send one write, in a transaction if unique values change with it, and return the answer of the write alone.

    Raises:
        UniqueViolationError: Another item has one of its unique values; nothing was written.
        TransactionConflictError: Unique values were changed by others at every try; nothing was written.
        DynamoDBWrapperError: What `writes.send` raises.
    """
    if request.guarding is Guarding.NONE:
        return (yield from writes.send(request))

    def attempt(known: Known) -> Flow[Response]:
        is_read = request.guarding is Guarding.READ
        stored = (yield from unique.read(request.entity, unique.key_of(request))) if is_read else None
        plan = unique.plan(request, stored)
        if not any(unique.guard_actions([plan], known)):
            return (yield from writes.send(plan.write))
        yield from submit_plans([plan], known)
        if isinstance(request.request, Update):
            return {"Attributes": (yield from _after_patch(plan))} if request.request.answers else {}
        return {} if plan.stored is None else {"Attributes": plan.stored}

    try:
        return (yield from until_as_read(attempt))
    except TransactionCanceledError as error:
        raise next((reason.error for reason in error.reasons if reason.error), error) from error


def _after_patch(plan: Plan[Any]) -> Flow[Item]:
    """Read what a patch has left, because a transaction does not answer with items."""
    try:
        stored = yield from unique.read(plan.write.entity, plan.key)
    except DynamoDBWrapperError as error:  # most errors say that nothing was written
        message = f"the patch was applied, but then the item could not be read: {error.message}"
        unknown = WriteOutcomeUnknownError(message, error, error.context, key=plan.write.request.readable_key)
        raise unknown.answered(operation="GetItem", request_id=error.request_id, code=error.code) from error
    if stored is None:
        missing = ItemNotFoundError(plan.write.entity.table_name, plan.write.request.readable_key)
        missing.message = f"the patch was applied, but then another writer deleted the item: {missing.message}"
        raise missing
    return stored


def until_as_read(attempt: Callable[[Known], Flow[R]]) -> Flow[R]:
    """Try until what was read of unique values still holds when it is written."""
    known, pauses = Known(), _pauses()
    while True:
        try:
            return (yield from attempt(known))
        except StaleReadError as error:
            pause = next(pauses, None)
            if pause is None:
                raise TransactionConflictError(
                    f"given up after {TRIES} tries: each time other writers changed the unique values that had been "
                    "read; nothing was written",
                    error,
                    error.context,
                ) from error
        yield from sleep(pause, jittered=True)


def submit_plans(plans: Sequence[Plan[Any]], known: Known) -> Flow[None]:
    """Send writes and what they do to guards as one transaction.

    Raises:
        StaleReadError: What was read, or was known of guards, is no more so; what was learned is noted in ``known``.
        TransactionCanceledError: Anything else was in the way.
    """
    guards = list(unique.guard_actions(plans, known))
    requests = [*(plan.write.request for plan in plans), *(action.request for action in guards)]
    try:
        yield from submit([request.as_action() for request in requests])
    except TransactionCanceledError as error:
        if len(error.reasons) != len(requests):  # nobody knows which is which
            raise
        reasons = [
            cancellations.of_write(plan, reason, error) for plan, reason in zip(plans, error.reasons, strict=False)
        ]
        is_stale = any(isinstance(reason.error, StaleReadError) for reason in reasons)
        for action, reason in zip(guards, error.reasons[len(plans) :], strict=True):
            if reason.code == cancellations.CONDITION and (yield from unique.learn(plans, action, reason.item, known)):
                is_stale = True
            elif cancellations.is_graver(reason, reasons[action.plan]):
                reasons[action.plan] = cancellations.of_guard(plans[action.plan], action, reason, error)
        if is_stale:
            raise StaleReadError("what was read of unique values is no more so", error, error.context) from error
        raise cancellations.cancelled(plans, reasons, error) from error
