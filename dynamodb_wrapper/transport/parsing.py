"""Items in the answers that botocore receives, parsed in its place: its own parser takes twenty times as long.

Whoever listens to botocore sees, and may change, what its parser would have made of an answer. That parser still gets
the answer, with no items in it.
"""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from operator import attrgetter, is_
from typing import TYPE_CHECKING, Any

import pydantic_core
from botocore import parsers, xform_name
from botocore.history import get_global_history_recorder

from dynamodb_wrapper.codec import with_bytes
from dynamodb_wrapper.operations.effects import Call, Response
from dynamodb_wrapper.transport.answers import has_whole_items
from dynamodb_wrapper.transport.guard import Guard, is_botocores, is_own
from dynamodb_wrapper.transport.integrity import checked_answer

if TYPE_CHECKING:
    from botocore.client import BaseClient

_log = logging.getLogger("botocore.parsers")

_parsers: dict[str, type[Any]] = parsers.PROTOCOL_PARSERS  # type: ignore[assignment]  # its stub says instances

_CLIENTS = "_make_request", "_emit_api_params"
_ENDPOINTS = "make_request", "_send_request", "_get_response", "_do_get_response", "_needs_retry"
_OF_CLIENTS, _OF_ENDPOINTS = attrgetter(*_CLIENTS), attrgetter(*_ENDPOINTS)
_OF_PARSERS = attrgetter("parse", "_do_parse", "_parse_shape", "_handle_structure")
_HIDING = frozenset((*_CLIENTS, *_ENDPOINTS))
"""Methods that see what was parsed, or may change what is sent: of their class, unless an object has its own."""

_ITEMS = {
    "BatchGetItem": "Responses",
    "DeleteItem": "Attributes",
    "GetItem": "Item",
    "PutItem": "Attributes",
    "Query": "Items",
    "Scan": "Items",
    "TransactGetItems": "Responses",
    "UpdateItem": "Attributes",
}
"""The member of an answer that has items, by operation."""


def items_apart(operation: str, body: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the member of an answer that has the items, as botocore would parse it, and the answer with none in it.

    Nothing is taken out where there is none, or it does not look like items. It is not looked for values that DynamoDB
    does not send, and botocore would drop or stumble over: that would take as long again. Codecs refuse them.
    """
    member = _ITEMS.get(operation)
    if member is None:
        return {}, body
    try:
        rest = pydantic_core.from_json(body)
        items = {member: rest[member]}
        rest[member] = type(rest[member])()  # in its place: what botocore parses is in the order of the answer
        if b'"B"' in body or b'"BS"' in body:
            items = {member: json.loads(body, object_hook=with_bytes)[member]}
        is_plain = has_whole_items(items) and not (b"null" in body and _has_none(items))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # botocore says what is wrong, if it is
        return {}, body
    return (items, json.dumps(rest).encode()) if is_plain else ({}, body)


def _has_none(value: Any) -> bool:
    """Whether anything in parsed JSON was ``null``, which botocore takes for missing."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(map(_has_none, inner))


class Reading:
    """A call on its way, whose answer is read by the call's own reader where nobody could see the items.

    Attributes:
        call: Which.
        begun: How many requests were begun meanwhile: where there is more than its own, an answer may be another's.
        is_read: Whether the answer was read so.
    """

    __slots__ = ("begun", "call", "is_read")

    def __init__(self, call: Call) -> None:
        self.call = call
        self.begun = 0
        self.is_read = False

    def read(self, body: bytes) -> Response | None:
        """Return what is in the answer, items as models; None if it has to be parsed."""
        answer = None if self.call.read is None else self.call.read(body)
        self.is_read = answer is not None
        return answer


reading: ContextVar[Reading | None] = ContextVar("dynamodb_wrapper_reading", default=None)
"""The call that this context is sending."""


def answer(client: BaseClient, call: Call, parameters: dict[str, Any]) -> Response:
    """Return the answer to a call through a client; items are parsed, or models already."""
    method: Any = getattr(client, xform_name(call.operation))
    # Whoever has wrapped it may look at the items.
    current = Reading(call) if is_botocores(getattr(method, "__func__", method)) else None
    token = reading.set(current)
    try:
        response: Response = method(**parameters)
    finally:
        reading.reset(token)
    return response if current is not None and current.is_read else checked_answer(call, response)


class Parsing:
    """Parses the items in the answers to one client, as far as this version of botocore is built as expected."""

    def __init__(self, client: BaseClient) -> None:
        """Look who is there when first asked, and again when handlers come or go, or botocore is wrapped."""
        self._client: Any = client
        self._guard = Guard(client)
        self._history: Any = get_global_history_recorder()
        # Both are replaced, not changed, when what they are about does: threads share this.
        self._functions: tuple[tuple[object, ...], bool] = ((), False)
        self._handlers: tuple[object, dict[str, bool]] = (None, {})

    def note_beginning(self, **_: object) -> None:
        """Count a request that begins."""
        if (current := reading.get()) is not None:
            current.begun += 1

    def apart(self, operation: str, body: bytes) -> tuple[dict[str, Any], bytes]:
        """Return the items of an answer, parsed or read already, and the answer with none, for botocore to parse."""
        if operation not in _ITEMS or not self._may_take_items(operation):
            return {}, body
        current = self._unseen(operation)
        answer = None if current is None else current.read(body)
        if answer is None:
            return items_apart(operation, body)
        member = _ITEMS[operation]
        if member not in answer:
            return {}, json.dumps(answer).encode()
        return {member: answer[member]}, json.dumps({**answer, member: [] if member == "Items" else {}}).encode()

    def unseen(self, operation: str) -> Reading | None:
        """Return the call on its way, if a request is its own, and nobody could see what botocore makes of it."""
        return self._unseen(operation) if self._is_plain() else None

    def _unseen(self, operation: str) -> Reading | None:
        current = reading.get()
        if current is None or current.begun != 1 or current.call.operation != operation or self._history._enabled:
            return None
        return current if self._guard.why_not_direct(operation) is None else None

    def _is_plain(self) -> bool:
        """Return whether what botocore passes requests and answers through is its own, and as it is made."""
        try:
            client, parser = self._client, _parsers["json"]
            endpoint = client._endpoint
            factory = endpoint._response_parser_factory
            now = (
                parser,
                type(factory).create_parser,
                *_OF_PARSERS(parser),
                *_OF_ENDPOINTS(type(endpoint)),
                *_OF_CLIENTS(type(client)),
            )
            then, are_own = self._functions
            if not are_same(now, then):
                functions = *now[1:], *methods_of(parser), *methods_of(type(endpoint))
                are_own = all(map(is_botocores, functions))
                self._functions = now, are_own
            return (
                are_own
                and not factory._defaults
                and _HIDING.isdisjoint(vars(endpoint))
                and _HIDING.isdisjoint(vars(client))
            )
        except (AttributeError, TypeError, KeyError):
            return False

    def _may_take_items(self, operation: str) -> bool:
        """Return whether nobody could see that botocore's parser is not given the items."""
        if not self._is_plain() or _log.isEnabledFor(logging.DEBUG):  # the parser logs what it is given
            return False
        try:
            events = self._client.meta.events._emitter
            now, (then, known) = events._lookup_cache, self._handlers  # another one when a handler comes or goes
            if now is not then:
                known = {}
                self._handlers = now, known
            if operation not in known:
                handlers = events._handlers.prefix_search(f"before-parse.dynamodb.{operation}")
                known[operation] = all(map(is_own, handlers))
            return known[operation]
        except (AttributeError, TypeError):
            return False


def are_same(now: tuple[object, ...], then: tuple[object, ...]) -> bool:
    """Return whether functions are those that they were: by identity, as what wraps one may say that it equals it."""
    return len(now) == len(then) and all(map(is_, now, then))


def methods_of(cls: type) -> list[object]:
    """Return the methods of a class and its bases."""
    members = (member for base in cls.__mro__[:-1] for member in vars(base).values())
    return [member for member in members if callable(member) and not isinstance(member, type)]
