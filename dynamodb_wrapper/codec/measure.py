"""The size of an item as DynamoDB counts it."""

from __future__ import annotations

from collections.abc import Callable

from dynamodb_wrapper.codec.wire import Item, RefusedValueError, Wire, read_any, read_binary
from dynamodb_wrapper.codec.wire_json import encoded_to_json
from dynamodb_wrapper.exceptions import ItemTooLargeError, ValidationError

MAX_ITEM_BYTES = 400 * 1024
"""AWS, "Quotas": the most an item may take, names and values together."""
MAX_DEPTH = 32
"""AWS, "Quotas": how deep values may be nested; the value inside the innermost list or map is a level too."""


def item_bytes(item: Item) -> int:
    """Return the size of an item in bytes, as AWS's "item sizes and formats" counts it.

    Raises:
        ValidationError: Values are nested more than 32 levels deep, or text is no valid Unicode; names the attribute.
    """
    return sum(_attribute_bytes(name, wire) for name, wire in item.items())


def item_json(item: Item, *, table_name: str, key: Callable[[], object]) -> bytes:
    """Return the JSON of an item, if it is one that DynamoDB takes.

    Args:
        item: The item.
        table_name: For the error.
        key: Returns the key, for the error.

    Raises:
        ItemTooLargeError: It is over 400 KB; the message names the largest attribute.
        ValidationError: An attribute cannot be stored at all, as `item_bytes` says.
    """
    try:
        text = encoded_to_json(item)
    except ValidationError:
        item_bytes(item)  # says which attribute it is
        raise
    if not surely_fits(text):
        check_size(item, text, table_name=table_name, key=key)
    return text


def surely_fits(text: bytes) -> bool:
    """Whether the JSON of an item, made by codecs, shows that DynamoDB takes it; that of nearly all items does.

    An item never takes more bytes than its compact JSON. Every value is written with its tag and brackets, every number
    with all its digits and every binary as base64, and each of these is more than what DynamoDB counts.
    """
    if len(text) > MAX_ITEM_BYTES:
        return False
    # A value that is too deep has 32 lists and maps around it; quotes inside of texts are escaped.
    return text.count(b"{") <= MAX_DEPTH or text.count(b'{"M":{') + text.count(b'{"L":[') < MAX_DEPTH


def check_size(item: Item, text: bytes, *, table_name: str, key: Callable[[], object]) -> None:
    """Refuse an item, given with its JSON, that DynamoDB does not take; the arguments and errors are `item_json`'s."""
    if len(text) > MAX_ITEM_BYTES or _is_too_deep(item):
        _measure(item, table_name, key)


def most_bytes(text: bytes) -> int:
    """Return the most bytes that JSON takes in a request, whichever way it is sent."""
    # Some lanes write other characters than ASCII as escapes: UTF-8's 2 to 4 bytes become 6 or 12.
    return len(text) if text.isascii() else 3 * len(text)


def _measure(item: Item, table_name: str, key: Callable[[], object]) -> None:
    size = item_bytes(item)
    if size > MAX_ITEM_BYTES:
        sizes = {name: _attribute_bytes(name, wire) for name, wire in item.items()}
        largest = max(sizes, key=sizes.__getitem__)
        raise ItemTooLargeError(
            f"an item takes {size:,} bytes and DynamoDB holds {MAX_ITEM_BYTES:,}; "
            f"its largest attribute is {largest!r} with {sizes[largest]:,} bytes",
            {largest: f"{sizes[largest]:,} bytes"},
            context={"table_name": table_name, "key": key()},
        )


def _is_too_deep(item: Item) -> bool:
    """Whether values are nested more than 32 levels deep."""
    level: list[Wire] = list(item.values())
    for _ in range(MAX_DEPTH):
        inner: list[Wire] = []
        for wire in level:
            if "M" in wire:
                inner += wire["M"].values()
            elif "L" in wire:
                inner += wire["L"]
        if not inner:
            return False
        level = inner
    return True


def _attribute_bytes(name: str, wire: Wire) -> int:
    try:
        return len(name.encode()) + _value_bytes(wire, 1)
    except RefusedValueError as refused:
        reason = refused.reason
    except UnicodeEncodeError as error:
        reason = f"is no valid Unicode text ({error.reason})"
    try:
        shown = f"{read_any(wire)!r:.80}"
    except RecursionError:  # hundreds of levels deep
        shown = "..."
    raise ValidationError(f"{name} = {shown} {reason}", {name: reason}, context={"field": name})


def _value_bytes(wire: Wire, depth: int) -> int:
    if depth > MAX_DEPTH:
        raise RefusedValueError(f"is nested more than {MAX_DEPTH} levels deep, DynamoDB's limit", wire)
    ((tag, payload),) = wire.items()
    if tag == "S":
        return len(payload.encode())
    if tag == "N":
        return _number_bytes(payload)
    if tag == "M":
        return 3 + sum(1 + len(name.encode()) + _value_bytes(value, depth + 1) for name, value in payload.items())
    if tag == "L":
        return 3 + sum(1 + _value_bytes(value, depth + 1) for value in payload)
    if tag in ("BOOL", "NULL"):
        return 1
    if tag == "B":
        return len(read_binary(payload))
    member_tag = tag[0]
    return sum(_value_bytes({member_tag: member}, depth) for member in payload)


def _number_bytes(text: str) -> int:
    digits = text.removeprefix("-").replace(".", "").strip("0")
    return (len(digits) + 1) // 2 + 1 + text.startswith("-")
