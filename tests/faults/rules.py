"""The faults: what can befall a request on its way to DynamoDB, and its answer on the way back."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from tests.faults.proxy import Answer, Body, Exchange, Fault

TABLE_ARN = "arn:aws:dynamodb:us-east-1:123456789012:table/orders"


# --- refusals: nothing is applied, and the answer says so ---------------------------------------------------------


def refusal(
    code: str, message: str = "injected", *, status: int = 400, wait_ms: int | None = None, **more: Any
) -> Fault:
    """An error answer of DynamoDB, without asking the server."""
    headers = {} if wait_ms is None else {"x-amz-retry-after": str(wait_ms)}
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{code}", "message": message, **more}
    return Fault(code, lambda exchange: exchange.answer(Answer.made_up(status, body, headers)))


def throttle(*, wait_ms: int | None = None) -> Fault:
    """The table has no capacity left."""
    reasons = [{"reason": "TableWriteProvisionedThroughputExceeded", "resource": TABLE_ARN}]
    code = "ProvisionedThroughputExceededException"
    return refusal(code, "The level of configured ...", wait_ms=wait_ms, ThrottlingReasons=reasons)


def throttle_on_demand(*, wait_ms: int | None = None) -> Fault:
    """The account or an on-demand table is asked too much; the reasons have another name here."""
    reasons = [{"reason": "TableWriteAccountLimitExceeded", "resource": TABLE_ARN}]
    return refusal("ThrottlingException", "Throughput exceeds ...", wait_ms=wait_ms, throttlingReasons=reasons)


def unavailable() -> Fault:
    return refusal("ServiceUnavailable", "Service is unavailable.", status=503)


def conflict() -> Fault:
    """A transaction in progress holds the item."""
    fault = refusal("TransactionConflictException", "Transaction is ongoing for the item")
    return replace(fault, only=("PutItem", "UpdateItem", "DeleteItem"))


def in_progress() -> Fault:
    """A transaction with the same token is on its way."""
    fault = refusal("TransactionInProgressException", "The transaction with the given token is already in progress")
    return replace(fault, only=("TransactWriteItems",))


def cancelled(*codes: str) -> Fault:
    """The transaction is cancelled for these reasons; for the actions after them there is none."""

    def act(exchange: Exchange) -> None:
        actions = exchange.request.body["TransactItems"]
        named = [*codes, *["None"] * (len(actions) - len(codes))]
        reasons = [{"Code": code} | ({} if code == "None" else {"Message": "injected"}) for code in named]
        message = f"Transaction cancelled, please refer cancellation reasons for specific reasons [{', '.join(named)}]"
        body = {"__type": "com.amazonaws.dynamodb.v20120810#TransactionCanceledException", "Message": message}
        exchange.answer(Answer.made_up(400, {**body, "CancellationReasons": reasons}))

    return Fault(f"cancelled ({', '.join(codes)})", act, ("TransactWriteItems", "TransactGetItems"))


# --- lost answers: the request may have been applied ----------------------------------------------------------------


def server_error(*, applied: bool) -> Fault:
    body = {"__type": "com.amazonaws.dynamodb.v20120810#InternalServerError", "message": "Internal server error"}

    def act(exchange: Exchange) -> None:
        if applied:
            exchange.forward()
        exchange.answer(Answer.made_up(500, body))

    return Fault(f"500 {_when(applied)}", act)


def reset(*, applied: bool) -> Fault:
    def act(exchange: Exchange) -> None:
        if applied:
            exchange.forward()
        exchange.reset()

    return Fault(f"reset {_when(applied)}", act)


def hang_up(*, applied: bool) -> Fault:
    """The connection is closed in good order, without an answer."""

    def act(exchange: Exchange) -> None:
        if applied:
            exchange.forward()
        exchange.hang_up()

    return Fault(f"closed {_when(applied)}", act)


def hang(*, applied: bool) -> Fault:
    """No answer comes, until the client gives up."""

    def act(exchange: Exchange) -> None:
        if applied:
            exchange.forward()
        exchange.wait()

    return Fault(f"hang {_when(applied)}", act)


def late() -> Fault:
    """The request reaches the server only after the client has given up."""

    def act(exchange: Exchange) -> None:
        exchange.wait()
        exchange.forward()

    return Fault("applied late", act)


def cut_short() -> Fault:
    """Half of the answer arrives, then the connection closes."""

    def act(exchange: Exchange) -> None:
        answer = exchange.forward()
        exchange.send(answer.head(length=len(answer.body)) + answer.body[: len(answer.body) // 2])
        exchange.hang_up()

    return Fault("cut short", act)


def truncated() -> Fault:
    """Half of the answer arrives as if it were all; only the checksum tells."""
    return _damaged("truncated", lambda body: body[: len(body) // 2])


def corrupt() -> Fault:
    """A bit of the answer is wrong: the first name in it, so that it is still JSON; only the checksum tells."""

    def flipped(body: bytes) -> bytes:
        if body == b"{}":
            return b'{"":1}'
        place = body.index(b'"') + 1
        return body[:place] + bytes([body[place] ^ 1]) + body[place + 1 :]

    return _damaged("corrupt", flipped)


def emptied() -> Fault:
    """``{}`` arrives instead of the answer, which to GetItem says that there is no item; only the checksum tells."""
    return _damaged("emptied", lambda body: b"{}")


def truncated_unchecked() -> Fault:
    """Half of the answer arrives as if it were all, and on its way it has lost its checksum."""

    def act(exchange: Exchange) -> None:
        answer = exchange.forward()
        half = answer.body[: len(answer.body) // 2]
        exchange.send(answer.head(length=len(half), checked=False) + half)

    return Fault("truncated, no checksum", act)


def _damaged(name: str, damage: Any) -> Fault:
    def act(exchange: Exchange) -> None:
        answer = exchange.forward()
        damaged = damage(answer.body)
        exchange.send(answer.head(length=len(damaged)) + damaged)

    return Fault(name, act)


# --- answers that are whole, but not what was hoped for -------------------------------------------------------------


def answered(body: bytes) -> Fault:
    """Another answer than the server's, whole and with its checksum; the request is applied."""

    def act(exchange: Exchange) -> None:
        exchange.forward()
        exchange.answer(Answer(200, body, {"Content-Type": "application/x-amz-json-1.0"}))

    return Fault("wrong shape", act)


def slow(seconds: float) -> Fault:
    def act(exchange: Exchange) -> None:
        time.sleep(seconds)
        exchange.answer(exchange.forward())

    return Fault("slow", act)


def leftovers(keep: int) -> Fault:
    """Of a batch so many entries are done; the others come back, as they were sent, as not processed."""

    def act(exchange: Exchange) -> None:
        request, is_read = exchange.request.body, exchange.request.operation == "BatchGetItem"
        left_name, room = ("UnprocessedKeys" if is_read else "UnprocessedItems"), keep
        done: Body = {}
        left: Body = {}
        for table, asked in request["RequestItems"].items():
            entries: Sequence[Any] = asked["Keys"] if is_read else asked
            for part, some in ((done, entries[:room]), (left, entries[room:])):
                if some:
                    part[table] = {**asked, "Keys": some} if is_read else some
            room -= len(entries[:room])
        if done:
            answer = exchange.forward({**request, "RequestItems": done})
        else:
            answer = Answer.made_up(200, {"Responses": {}} if is_read else {})
        if answer.status == 200 and left:
            body = json.loads(answer.body)
            body[left_name] = _joined(body.get(left_name) or {}, left, is_read=is_read)
            answer = Answer.made_up(200, body, answer.headers)
        exchange.answer(answer)

    return Fault("leftovers" if keep else "all left over", act, ("BatchWriteItem", "BatchGetItem"))


def _joined(first: Body, second: Body, *, is_read: bool) -> Body:
    joined = dict(first)
    for table, entries in second.items():
        if table not in joined:
            joined[table] = entries
        elif is_read:
            joined[table] = {**entries, "Keys": [*joined[table]["Keys"], *entries["Keys"]]}
        else:
            joined[table] = [*joined[table], *entries]
    return joined


def _when(applied: bool) -> str:
    return "after it was applied" if applied else "before it was applied"


REFUSALS = (throttle(), throttle_on_demand(), unavailable())
"""Nothing was applied, and sending again is always safe."""

BROKEN_BEFORE = (server_error(applied=False), reset(applied=False), hang_up(applied=False))
"""No answer, and nothing was applied, which the client cannot know."""

DAMAGED = (cut_short(), truncated(), corrupt(), truncated_unchecked())
"""The request was applied; its answer arrived damaged."""

BROKEN_AFTER = (server_error(applied=True), reset(applied=True), hang_up(applied=True), *DAMAGED)
"""No usable answer, and the request was applied."""
