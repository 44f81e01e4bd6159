"""What can befall an attempt: flows that are run in its place, each ending as DynamoDB or a broken network does.

Texts and members are those of AWS's answers.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any
from uuid import uuid4

from dynamodb_wrapper.codec import to_json
from dynamodb_wrapper.operations.effects import Flow, Params, Response, sent
from dynamodb_wrapper.transport.botocore_lane import parameters_of
from dynamodb_wrapper.transport.failures import tables_of
from dynamodb_wrapper.transport.mishaps import Mishaps
from dynamodb_wrapper.transport.surroundings import Attempt

Injection = Callable[[Attempt], Flow[Response]]

_TYPE = "com.amazonaws.dynamodb.v20120810#"
_CONFLICT = "Transaction is ongoing for the item"
CANCELLATIONS = {
    "ConditionalCheckFailed": "The conditional request failed",
    "TransactionConflict": _CONFLICT,
    "ProvisionedThroughputExceeded": "The level of configured provisioned throughput for the table was exceeded. "
    "Consider increasing your provisioning level with the UpdateTable API.",
    "ThrottlingError": "Throughput exceeds the current capacity of your table or index. DynamoDB is automatically "
    "scaling your table or index so please try again shortly.",
    "RequestLimitExceeded": "Throughput exceeds the current throughput limit for your account.",
    "ItemCollectionSizeLimitExceeded": "Collection size exceeded.",
    "ValidationError": "The provided expression refers to an attribute that does not exist in the item",
}
"""The reasons of a cancelled transaction, and their texts."""


def refused(
    code: str, message: str, *, status: int = 400, headers: Mapping[str, str] | None = None, **members: object
) -> Injection:
    """DynamoDB answers with an error; nothing is applied."""

    def act(attempt: Attempt) -> Flow[Response]:
        yield from ()  # nothing is sent
        return _answered(attempt, status, {"__type": _TYPE + code, "message": message, **members}, headers or {})

    return act


def throttled(retry_after_seconds: float | None) -> Injection:
    """The table has no capacity left."""

    def act(attempt: Attempt) -> Flow[Response]:
        direction = "Write" if "Write" in attempt.call.operation or _is_single_write(attempt) else "Read"
        reasons = [
            {
                "reason": f"Table{direction}ProvisionedThroughputExceeded",
                "resource": f"arn:aws:dynamodb:us-east-1:123456789012:table/{table}",
            }
            for table in tables_of(attempt.call)
        ]
        refusal = refused(
            "ProvisionedThroughputExceededException",
            CANCELLATIONS["ProvisionedThroughputExceeded"],
            headers={} if retry_after_seconds is None else {"x-amz-retry-after": f"{retry_after_seconds * 1000:.0f}"},
            ThrottlingReasons=reasons,
        )
        return (yield from refusal(attempt))

    return act


def conflicting(attempt: Attempt) -> Flow[Response]:
    """A transaction of somebody else's holds the item; nothing is applied."""
    if attempt.call.operation in ("TransactWriteItems", "TransactGetItems"):
        return (yield from cancelled("TransactionConflict")(attempt))
    return (yield from refused("TransactionConflictException", _CONFLICT)(attempt))


def cancelled(*codes: str) -> Injection:
    """The transaction is cancelled, for a reason per action; there is none for the actions after the last."""

    def act(attempt: Attempt) -> Flow[Response]:
        yield from ()
        actions = len(parameters_of(attempt.call)["TransactItems"])
        if len(codes) > actions:
            raise AssertionError(f"{len(codes)} reasons were given for a transaction of {actions} actions: {codes}")
        named = [*codes, *["None"] * (actions - len(codes))]
        reasons = [{"Code": code} | ({} if code == "None" else {"Message": CANCELLATIONS[code]}) for code in named]
        message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{', '.join(named)}]"
        refusal = {"__type": _TYPE + "TransactionCanceledException", "Message": message, "CancellationReasons": reasons}
        return _answered(attempt, 400, refusal, {})

    return act


def failed(*, applied: bool) -> Injection:
    """DynamoDB answers 500, before or after it applied the request."""

    def act(attempt: Attempt) -> Flow[Response]:
        if applied:
            yield from sent(attempt.call)
        return _answered(
            attempt, 500, {"__type": _TYPE + "InternalServerError", "message": "Internal server error"}, {}
        )

    return act


def not_connected(attempt: Attempt) -> Flow[Response]:
    """Nobody listens at the endpoint."""
    yield from ()
    raise Mishaps(attempt.endpoint, 0).not_made(ConnectionRefusedError(111, "Connection refused"))


def cut_off(*, applied: bool) -> Injection:
    """The connection breaks, before DynamoDB has the request or after it applied it: nobody can tell here."""

    def act(attempt: Attempt) -> Flow[Response]:
        if applied:
            yield from sent(attempt.call)
        raise Mishaps(attempt.endpoint, 0).cut_off(ConnectionResetError(104, "Connection reset by peer"))

    return act


def late(seconds: float | None, *, applied: bool, passes: Callable[[float], None]) -> Injection:
    """The answer takes its time: so many seconds, or (None) more than anybody waits.

    Args:
        seconds: How long.
        applied: Whether the request is applied where nobody waits for the answer.
        passes: Lets time pass.
    """

    def act(attempt: Attempt) -> Flow[Response]:
        patience, is_last = attempt.seconds
        if seconds is not None and seconds < patience:
            passes(seconds)
            return (yield from sent(attempt.call))
        if applied:
            yield from sent(attempt.call)
        passes(patience)
        error = TimeoutError("timed out")
        raise Mishaps(attempt.endpoint, 0).not_answered(patience, error, is_last=is_last)

    return act


def damaged(attempt: Attempt) -> Flow[Response]:
    """The request is applied, and its answer arrives with a bit turned over; only the checksum tells."""
    answer = yield from sent(attempt.call)
    answer = {name: value for name, value in answer.items() if name != "ResponseMetadata"}
    body = json.dumps(answer, default=str).encode()
    flipped = body[:-1] + bytes([body[-1] ^ 1])
    return attempt.outcome(200, {"x-amz-crc32": str(zlib.crc32(body))}, flipped)


def left_over(entries: int | None) -> Injection:
    """Of a batch, so many entries come back as not processed, the last ones; None for all of them."""

    def act(attempt: Attempt) -> Flow[Response]:
        params = parameters_of(attempt.call)
        is_read = attempt.call.operation == "BatchGetItem"
        done, left = _divided(params["RequestItems"], entries, is_read=is_read)
        name = "UnprocessedKeys" if is_read else "UnprocessedItems"
        if not done:
            return _answered(attempt, 200, {**({"Responses": {}} if is_read else {}), name: left}, {})
        answer = yield from sent(replace(attempt.call, params={**params, "RequestItems": done}, body=None))
        answer[name] = _joined(answer.get(name) or {}, left, is_read=is_read)
        return answer

    return act


def _divided(asked: Params, entries: int | None, *, is_read: bool) -> tuple[Params, Params]:
    """Return the entries of a batch by table: those that are done, and those that are left."""
    count = sum(len(_entries(of_table, is_read=is_read)) for of_table in asked.values())
    room = 0 if entries is None else max(0, count - entries)
    done: Params = {}
    left: Params = {}
    for table, of_table in asked.items():
        all_of_table = _entries(of_table, is_read=is_read)
        for part, some in ((done, all_of_table[:room]), (left, all_of_table[room:])):
            if some:
                part[table] = {**of_table, "Keys": some} if is_read else some
        room -= len(all_of_table[:room])
    return done, left


def _joined(first: Params, second: Params, *, is_read: bool) -> Params:
    joined = dict(first)
    for table, of_table in second.items():
        if table not in joined:
            joined[table] = of_table
            continue
        entries = [*_entries(joined[table], is_read=is_read), *_entries(of_table, is_read=is_read)]
        joined[table] = {**of_table, "Keys": entries} if is_read else entries
    return joined


def _entries(of_table: Any, *, is_read: bool) -> list[Any]:
    entries: list[Any] = of_table["Keys"] if is_read else of_table
    return entries


def _answered(attempt: Attempt, status: int, members: Mapping[str, object], headers: Mapping[str, str]) -> Response:
    body = to_json(members)
    own = {
        "content-type": "application/x-amz-json-1.0",
        "x-amzn-requestid": uuid4().hex.upper(),
        "x-amz-crc32": str(zlib.crc32(body)),
    }
    return attempt.outcome(status, {**own, **headers}, body)


def _is_single_write(attempt: Attempt) -> bool:
    return attempt.call.operation in ("PutItem", "UpdateItem", "DeleteItem")
