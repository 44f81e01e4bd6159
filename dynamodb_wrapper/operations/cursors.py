"""Cursors: where a page ended, as an opaque text bound to its query."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from dynamodb_wrapper.codec import Item, from_json, to_json
from dynamodb_wrapper.exceptions import InvalidCursorError, ValidationError

_FORMAT = b"\x01"
_QUERY_BYTES = 8
_SEAL_BYTES = 16


def fingerprint(request: object) -> bytes:
    """Return what identifies a query: equal for equal requests in every process."""
    return hashlib.sha256(to_json(request)).digest()[:_QUERY_BYTES]


def write_cursor(key: Item, query: bytes, secret: str | None) -> str:
    """Return the cursor of a resume key.

    The seal is a checksum, or with a secret a signature, so that a forged cursor is told from ours. The key inside is
    encoded, not encrypted.
    """
    payload = _FORMAT + query + to_json(key)
    return _text(_seal(payload, secret) + payload)


def read_cursor(cursor: str, query: bytes, secret: str | None) -> Item:
    """Return the resume key of a cursor.

    Raises:
        InvalidCursorError: The cursor is damaged or forged, or belongs to another query.
    """
    try:
        raw = base64.b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError, AttributeError) as error:
        raise InvalidCursorError("this is no cursor of ours: it is not URL-safe text", original_error=error) from error
    if _text(raw) != cursor:  # base64 has several spellings of the same bytes; ours is one
        raise InvalidCursorError("the cursor is damaged; start over without one")
    seal, payload = raw[:_SEAL_BYTES], raw[_SEAL_BYTES:]
    if not payload.startswith(_FORMAT) or not hmac.compare_digest(seal, _seal(payload, secret)):
        raise InvalidCursorError(
            "the cursor is damaged, or was not made with this cursor_secret; start over without one"
        )
    if payload[1 : 1 + _QUERY_BYTES] != query:
        raise InvalidCursorError(
            "the cursor belongs to another query: table, index, conditions and direction must be those of the page "
            "it came from"
        )
    return _key(payload[1 + _QUERY_BYTES :])


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _key(text: bytes) -> Item:
    try:
        key = from_json(text)
    except ValidationError as error:
        raise InvalidCursorError("the cursor is damaged; start over without one", original_error=error) from error
    if not isinstance(key, dict) or not key:
        raise InvalidCursorError("the cursor is damaged; start over without one")
    return {name: _with_bytes(wire) for name, wire in key.items()}


def _with_bytes(wire: dict[str, str]) -> dict[str, object]:
    return {tag: base64.b64decode(payload) if tag == "B" else payload for tag, payload in wire.items()}


def _seal(payload: bytes, secret: str | None) -> bytes:
    return hmac.digest((secret or "").encode(), payload, "sha256")[:_SEAL_BYTES]
