"""Whether an answer arrived whole, and is one to its question.

botocore's JSON parser turns a body that it cannot read into an answer without an ``Item``, and its retry modes give up
on a wrong checksum silently: a truncated answer would read as "there is no such item". So every body is checked here
before anything parses it.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from typing import Protocol

from dynamodb_wrapper.exceptions import CorruptResponseError
from dynamodb_wrapper.operations.effects import Call, Response
from dynamodb_wrapper.transport.failures import Hint, Verdict, hinted

_MEMBERS: Mapping[str, Mapping[str, type]] = {
    "BatchGetItem": {"Responses": dict},
    "BatchWriteItem": {"UnprocessedItems": dict},
    "CreateTable": {"TableDescription": dict},
    "DeleteTable": {"TableDescription": dict},
    "DescribeStream": {"StreamDescription": dict},
    "DescribeTable": {"Table": dict},
    "DescribeTimeToLive": {"TimeToLiveDescription": dict},
    "GetRecords": {"Records": list},
    "GetShardIterator": {"ShardIterator": str},
    "ListTables": {"TableNames": list},
    "Query": {"Count": int, "Items": list},
    "Scan": {"Count": int, "Items": list},
    "TransactGetItems": {"Responses": list},
    "UpdateItem": {"Attributes": dict},
    "UpdateTable": {"TableDescription": dict},
}
"""What an answer must have, by operation; not all of it whatever was asked for, see `_is_left_out`."""

_MAY_HAVE: Mapping[str, type] = {
    "Attributes": dict,
    "Item": dict,
    "LastEvaluatedKey": dict,
    "UnprocessedItems": dict,
    "UnprocessedKeys": dict,
}


class Headers(Protocol):
    """Response headers, looked up without regard to case."""

    def get(self, name: str, /) -> str | None:
        """Return the header's value, or None."""
        ...


def checked_body(status: int, headers: Headers, body: bytes, *, may_be_empty: bool = False) -> bytes:
    """Return the plain JSON of an answer, once it is known to be what DynamoDB sent.

    Args:
        status: The HTTP status.
        headers: The response headers.
        body: The bytes on the wire, before any ``Content-Encoding`` is undone: the checksum is over these.
        may_be_empty: Whether a successful answer may have no body at all.

    Returns:
        The body; ``b""`` for an error answer that is not DynamoDB's (a proxy's page), so that its status counts.

    Raises:
        CorruptResponseError: The checksum is wrong or, where there is none, a successful answer is not JSON.
    """
    plain = _decoded(status, body, headers.get("content-encoding"))
    expected = headers.get("x-amz-crc32")
    # A proxy that compressed the answer, or undid it, leaves the checksum of the other form.
    if expected is not None and not (_has_sum(body, expected) or (plain is not body and _has_sum(plain, expected))):
        raise _corrupt(f"its CRC-32 is not the {expected} that its header says", status, body)
    if status < 300:
        # With a checksum it is what its sender meant; a look tells whether the sender was DynamoDB.
        is_whole = _is_json_object(plain) if expected is None else plain.lstrip()[:1] == b"{"
        if not is_whole and (plain or not may_be_empty):
            raise _corrupt("it is not a JSON object", status, body)
        return plain
    return plain if _is_json_object(plain) else b""


def checked_answer(call: Call, answer: Response) -> Response:
    """Return the answer, once it is known to have what its operation returns.

    A proxy or a broken server may answer 200 with any JSON object: without its members, a query would seem to have
    found nothing, and a batch to have written everything.

    Raises:
        CorruptResponseError: A member is missing, or of another type.
    """
    for name, kind in _MEMBERS.get(call.operation, {}).items():
        if not isinstance(answer.get(name), kind) and not _is_left_out(call, name):
            raise damaged(f"{name!r} is missing or wrong in an answer to {call.operation}")
    for name, kind in _MAY_HAVE.items():
        if name in answer and not isinstance(answer[name], kind):
            raise damaged(f"{name!r} is wrong in an answer to {call.operation}")
    if "Items" in answer and len(answer["Items"]) != answer["Count"]:
        raise damaged(f"it has {len(answer['Items'])} items and counts {answer['Count']}")
    if call.operation == "TransactGetItems" and len(answer["Responses"]) != len(call.params["TransactItems"]):
        raise damaged("it has another number of items than were asked for")
    return answer


def _is_left_out(call: Call, name: str) -> bool:
    if name == "Attributes":
        return call.params.get("ReturnValues") != "ALL_NEW"
    return name == "Items" and call.params.get("Select") == "COUNT"


def _has_sum(form: bytes, expected: str) -> bool:
    return str(zlib.crc32(form)) == expected.strip()


def _decoded(status: int, body: bytes, encoding: str | None) -> bytes:
    if encoding is None or encoding in ("", "identity"):
        return body
    if encoding != "gzip":
        raise _corrupt(f"nobody asked for the content encoding {encoding!r}", status, body)
    try:
        return zlib.decompress(body, wbits=zlib.MAX_WBITS | 16)
    except zlib.error as error:
        raise _corrupt("its gzip stream is damaged", status, body) from error


def _is_json_object(body: bytes) -> bool:
    try:
        return isinstance(json.loads(body), dict)
    except (ValueError, RecursionError):  # UnicodeDecodeError is one of the former
        return False


def damaged(reason: str, status: int | None = 200) -> CorruptResponseError:
    """Return the error of an answer that is none, for whatever else its status (None: it had none) may say."""
    return _corrupt(reason, status, None)


def _corrupt(reason: str, status: int | None, body: bytes | None) -> CorruptResponseError:
    known = {"status": status, "body_bytes": None if body is None else len(body)}
    error = CorruptResponseError(
        f"an answer of DynamoDB arrived damaged and was not used: {reason}",
        context={name: value for name, value in known.items() if value is not None},
    )
    # A 4xx says that nothing was done, whatever its body was.
    is_refusal = status is not None and 400 <= status < 500
    return hinted(error, Hint(Verdict.SAFE if is_refusal else Verdict.LOST))
