"""Items in the answers that botocore receives, parsed in its place: its own parser takes twenty times as long.

Whoever listens to botocore sees, and may change, what its parser would have made of an answer. That parser still gets
the answer, without the items.
"""

from __future__ import annotations

import json
import logging
from contextvars import ContextVar
from typing import TYPE_CHECKING, Any

import pydantic_core
from botocore import parsers
from botocore.history import get_global_history_recorder

from dynamodb_wrapper.codec import with_bytes
from dynamodb_wrapper.operations.effects import Call, Response
from dynamodb_wrapper.transport.answers import has_whole_items
from dynamodb_wrapper.transport.guard import Guard, is_botocores, is_own

if TYPE_CHECKING:
    from botocore.client import BaseClient

_log = logging.getLogger("botocore.parsers")

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
    """Return the member of an answer that has the items, as botocore would parse it, and the answer without it.

    Nothing is taken out where there is none, or anything in it that DynamoDB does not send.
    """
    member = _ITEMS.get(operation, "")
    try:
        answer = pydantic_core.from_json(body)
        items = {member: answer.pop(member)}
        if b'"B"' in body or b'"BS"' in body:
            items = {member: json.loads(body, object_hook=with_bytes)[member]}
        is_plain = has_whole_items(items) and not (b"null" in body and _has_none(items))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError):  # botocore says what is wrong, if it is
        return {}, body
    return (items, json.dumps(answer).encode()) if is_plain else ({}, body)


def _has_none(value: Any) -> bool:
    """Whether anything in parsed JSON was ``null``, which botocore takes for missing."""
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return value is None or any(map(_has_none, inner))


class Reading:
    """A call on its way, whose answer is read by the call's own reader where nobody could see the items.

    Attributes:
        call: Which.
        begun: How many requests were begun meanwhile: if there is another one than its own, an answer may be that one's.
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


class Parsing:
    """Parses the items in the answers to one client, as far as this version of botocore is built as expected."""

    def __init__(self, client: BaseClient) -> None:
        """Look who is there when first asked, and again when handlers come or go, or botocore is wrapped."""
        self._client: Any = client
        self._guard = Guard(client)
        self._history: Any = get_global_history_recorder()
        self._functions: tuple[object, ...] = (None, None, None)
        self._handlers: object = None
        self._may_take: dict[str, bool] = {}
        self._may_read = False

    def note_beginning(self, **_: object) -> None:
        """Count a request that begins."""
        if (current := reading.get()) is not None:
            current.begun += 1

    def apart(self, operation: str, body: bytes) -> tuple[dict[str, Any], bytes]:
        """Return the items of an answer, parsed or read already, and the answer without them, for botocore to parse."""
        try:
            if not self._may_take_items(operation):
                return {}, body
            current = reading.get()
            if current is not None and self._may_be_read(current, operation):
                if (answer := current.read(body)) is not None:
                    items = {name: answer.pop(name) for name in (_ITEMS[operation],) if name in answer}
                    return items, json.dumps(answer).encode()
        except (AttributeError, TypeError, KeyError):
            return {}, body
        return items_apart(operation, body)

    def _may_take_items(self, operation: str) -> bool:
        """Return whether nobody could see that botocore's parser is not given the items."""
        endpoint, parser = self._client._endpoint, parsers.PROTOCOL_PARSERS["json"]
        factory, events = endpoint._response_parser_factory, self._client.meta.events._emitter
        now, then = (type(factory).create_parser, parser.parse, type(endpoint).make_request), self._functions
        are_same = now[0] is then[0] and now[1] is then[1] and now[2] is then[2]
        if not are_same or self._handlers is not events._lookup_cache:
            self._functions, self._handlers, self._may_take = now, events._lookup_cache, {}
            self._may_read = all(map(is_botocores, _methods(type(endpoint))))
        if operation not in self._may_take:
            handlers = events._handlers.prefix_search(f"before-parse.dynamodb.{operation}")
            functions = now[0], *_methods(parser)
            self._may_take[operation] = all(map(is_own, handlers)) and all(map(is_botocores, functions))
        # The parser logs what it is given, and may have been given other ways to parse.
        return self._may_take[operation] and not factory._defaults and not _log.isEnabledFor(logging.DEBUG)

    def _may_be_read(self, current: Reading, operation: str) -> bool:
        """Return whether an answer is a call's, and nobody could see what botocore makes of its items."""
        if current.begun != 1 or current.call.operation != operation or not self._may_read or self._history._enabled:
            return False
        return self._guard.why_not_direct(operation) is None


def _methods(cls: type) -> list[object]:
    """Return the methods of a class and its bases."""
    members = (member for base in cls.__mro__[:-1] for member in vars(base).values())
    return [member for member in members if callable(member) and not isinstance(member, type)]
