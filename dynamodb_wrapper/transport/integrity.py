"""Whether an answer arrived whole.

botocore's JSON parser turns a body that it cannot read into an answer without an ``Item``, and its retry modes give up
on a wrong checksum silently: a truncated answer would read as "there is no such item". So every body is checked here
before anything parses it.
"""

from __future__ import annotations

import json
import zlib
from typing import Protocol

from dynamodb_wrapper.exceptions import CorruptResponseError
from dynamodb_wrapper.transport.failures import Hint, Verdict, hinted


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
    forms = (body,) if plain is body else (body, plain)
    if expected is not None and expected.strip() not in [str(zlib.crc32(form)) for form in forms]:
        raise _corrupt(f"its CRC-32 is not the {expected} that its header says", status, body)
    if status < 300:
        if expected is None and not _is_json_object(plain) and (plain or not may_be_empty):
            raise _corrupt("it is not a JSON object", status, body)
        return plain
    return plain if _is_json_object(plain) else b""


def _decoded(status: int, body: bytes, encoding: str | None) -> bytes:
    if encoding in {None, "", "identity"}:
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
    except ValueError:  # UnicodeDecodeError is one
        return False


def _corrupt(reason: str, status: int, body: bytes) -> CorruptResponseError:
    error = CorruptResponseError(
        f"an answer of DynamoDB arrived damaged and was not used: {reason}",
        context={"status": status, "body_bytes": len(body)},
    )
    # A 4xx says that nothing was done, whatever its body was.
    return hinted(error, Hint(Verdict.SAFE if 400 <= status < 500 else Verdict.LOST))
