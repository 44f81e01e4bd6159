"""Cursors and checkpoints: where a reading stopped, as an opaque text bound to its query."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac

from dynamodb_wrapper.codec import Item, Wire, encoded_to_json, from_json
from dynamodb_wrapper.exceptions import InvalidCursorError, ValidationError

_FORMAT = b"\x01"
_QUERY_BYTES = 8
_SEAL_BYTES = 16
_FOREIGN = {
    "cursor": "the cursor belongs to another query: table, index, conditions and direction must be those of the page "
    "it came from",
    "checkpoint": "the checkpoint belongs to another scan: table, index, filter and number of segments must be those "
    "of the scan it came from",
}


def fingerprint(request: object) -> bytes:
    """Return what identifies a query: equal for equal requests in every process."""
    return hashlib.sha256(encoded_to_json(request)).digest()[:_QUERY_BYTES]


def write_cursor(key: Item, query: bytes, secret: str | None) -> str:
    """Return the cursor of a resume key."""
    return sealed(key, query, secret)


def read_cursor(cursor: str, query: bytes, secret: str | None) -> Item:
    """Return the resume key of a cursor.

    Raises:
        InvalidCursorError: The cursor is damaged or forged, or belongs to another query.
    """
    return resume_key(unsealed(cursor, query, secret, kind="cursor"), kind="cursor")


def sealed(content: object, query: bytes, secret: str | None) -> str:
    """Return JSON content as an opaque, URL-safe text that belongs to a query.

    The seal is a checksum, or with a secret a signature, so that a forged text is told from ours. The content is
    encoded, not encrypted.
    """
    payload = _FORMAT + query + encoded_to_json(content)
    return _text(_seal(payload, secret) + payload)


def unsealed(text: str, query: bytes, secret: str | None, *, kind: str) -> object:
    """Return the JSON content of a text of ours.

    Args:
        text: What `sealed` returned.
        query: The query it must belong to.
        secret: What it was signed with.
        kind: What to call it in errors.

    Raises:
        InvalidCursorError: It is damaged or forged, or belongs to another query.
    """
    try:
        raw = base64.b64decode(text.encode("ascii") + b"=" * (-len(text) % 4), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError, AttributeError) as error:
        raise InvalidCursorError(f"this is no {kind} of ours: it is not URL-safe text", original_error=error) from error
    if _text(raw) != text:  # base64 has several spellings of the same bytes; ours is one
        raise damaged(kind)
    seal, payload = raw[:_SEAL_BYTES], raw[_SEAL_BYTES:]
    if not payload.startswith(_FORMAT) or not hmac.compare_digest(seal, _seal(payload, secret)):
        raise InvalidCursorError(
            f"the {kind} is damaged, or was not made with this cursor_secret; start over without one"
        )
    if payload[1 : 1 + _QUERY_BYTES] != query:
        raise InvalidCursorError(_FOREIGN[kind])
    try:
        content: object = from_json(payload[1 + _QUERY_BYTES :])
    except ValidationError as error:
        raise damaged(kind) from error
    return content


def resume_key(content: object, *, kind: str) -> Item:
    """Return the resume key that was sealed as JSON.

    Raises:
        InvalidCursorError: It is none.
    """
    if not isinstance(content, dict) or not content:
        raise damaged(kind)
    return {name: _key_part(wire, kind) for name, wire in content.items()}


def damaged(kind: str) -> InvalidCursorError:
    """Return the error of a text that is not as it was made."""
    return InvalidCursorError(f"the {kind} is damaged; start over without one")


def _text(raw: bytes) -> str:
    return base64.urlsafe_b64encode(raw).decode().rstrip("=")


def _key_part(wire: object, kind: str) -> Wire:
    match list(wire.items()) if isinstance(wire, dict) else None:
        case [("S" | "N" as tag, str(text))]:
            return {tag: text}
        case [("B", str(text))]:
            try:
                return {"B": base64.b64decode(text, validate=True)}
            except ValueError as error:
                raise damaged(kind) from error
    raise damaged(kind)


def _seal(payload: bytes, secret: str | None) -> bytes:
    return hmac.digest((secret or "").encode(), payload, "sha256")[:_SEAL_BYTES]
