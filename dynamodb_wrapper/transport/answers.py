"""What comes back on the direct lanes: the bytes of an answer, in the shape that botocore gives it."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

from dynamodb_wrapper.codec import with_bytes
from dynamodb_wrapper.operations.effects import Call, Response
from dynamodb_wrapper.transport import http
from dynamodb_wrapper.transport.integrity import damaged

_DICTS = frozenset((dict,))


def parsed(answer: http.Answer, body: bytes) -> Response:
    """Return an answer in the shape that botocore gives it."""
    response = _loaded(answer.status, body) if body or answer.status < 300 else {}
    if None in response.values():
        response = {name: value for name, value in response.items() if value is not None}
    if answer.status >= 300:
        code = str(response.get("__type") or answer.status).split(":", 1)[0].rpartition("#")[2]
        message = response.get("message") or response.get("Message") or ""
        response["Error"] = {"Message": message, "Code": code}
    response["ResponseMetadata"] = metadata(answer)
    return response


def metadata(answer: http.Answer) -> dict[str, Any]:
    """Return botocore's ``ResponseMetadata`` of an answer."""
    found: dict[str, Any] = {"HTTPStatusCode": answer.status, "HTTPHeaders": answer.headers, "RetryAttempts": 0}
    if (request_id := answer.headers.get("x-amzn-requestid")) is not None:
        found["RequestId"] = request_id
    return found


def _loaded(status: int, body: bytes) -> Response:
    try:
        has_binary = b'"B"' in body or b'"BS"' in body
        loaded = json.loads(body.decode(), object_hook=with_bytes if has_binary else None)
    except (ValueError, RecursionError) as error:
        reason: BaseException | None = error
    else:
        if isinstance(loaded, dict):
            return loaded
        reason = None
    raise damaged("it is not a JSON object, or not one of DynamoDB's", status) from reason


def checked_items(call: Call, response: Response) -> Response:
    """Return an answer whose items were seen to be made of attributes; its members are known to be there."""
    if not has_whole_items(response):
        raise damaged(f"an item in an answer to {call.operation} has something else than attributes")
    return response


def has_whole_items(response: Response) -> bool:
    """Return whether the items of an answer are made of attributes."""
    return all(type(item) is dict and _DICTS.issuperset(map(type, item.values())) for item in _items_in(response))


def _items_in(response: Response) -> Iterable[Any]:
    found = [response[name] for name in ("Item", "Attributes", "LastEvaluatedKey") if name in response]
    found += response.get("Items", ())
    responses = response.get("Responses", {})
    if isinstance(responses, dict):
        for items in responses.values():
            found += items if isinstance(items, list) else [None]
    else:  # of a transaction
        found += [part.get("Item", {}) if isinstance(part, dict) else part for part in responses]
    return found
