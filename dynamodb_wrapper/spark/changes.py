"""The changes of a table as rows: the columns they have, and how a stream record becomes one."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC
from typing import Any

from pyspark.sql import types as t

from dynamodb_wrapper.codec import Item
from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.spark.shards import Record
from dynamodb_wrapper.spark.upcasting import Upcaster

_PLAIN: dict[str, t.DataType] = {
    "event_id": t.StringType(),
    "event_name": t.StringType(),
    "sequence_number": t.StringType(),
    "approximate_creation_time": t.TimestampType(),
    "expired": t.BooleanType(),
}
_IMAGES = {"new": "NewImage", "old": "OldImage"}
IMAGES_OF = {
    "KEYS_ONLY": (),
    "NEW_IMAGE": ("new",),
    "OLD_IMAGE": ("old",),
    "NEW_AND_OLD_IMAGES": ("new", "old"),
}
"""The columns with whole items that a stream has, by its ``StreamViewType``."""
_TTL = {"Type": "Service", "PrincipalId": "dynamodb.amazonaws.com"}


def schema_of_changes(
    items: t.StructType, keys: Sequence[str], images: Sequence[str], made: Sequence[t.StructField] = ()
) -> t.StructType:
    """Return the columns of changes to items of a schema.

    Args:
        items: The schema of the items.
        keys: The attributes of the table's key.
        images: Which of ``new`` and ``old`` there are.
        made: The attributes of the key that are in no column of the items.

    Raises:
        ValidationError: A key is not in the schema.
    """
    known = {field.name: field for field in (*items, *made)}
    if missing := [key for key in keys if key not in known]:
        raise ValidationError(
            f"the schema has no column for the key: {', '.join(missing)}; its columns are {', '.join(items.names)}",
            dict.fromkeys(missing, "missing"),
        )
    fields = [t.StructField(name, kind) for name, kind in _PLAIN.items()]
    fields.append(t.StructField("keys", t.StructType([known[key] for key in keys])))
    return t.StructType([*fields, *(t.StructField(image, items) for image in images)])


def check_schema(schema: t.StructType) -> None:
    """Return if a schema is one of changes, or a part of one.

    Raises:
        ValidationError: It has a column that changes do not have, or one of another type.
    """
    for field in schema.fields:
        is_whole = field.name in ("keys", *_IMAGES)
        if is_whole and isinstance(field.dataType, t.StructType):
            continue
        if _PLAIN.get(field.name) == field.dataType:
            continue
        due = "a struct" if is_whole else _PLAIN[field.name].simpleString() if field.name in _PLAIN else "not there"
        raise ValidationError(
            f"column {field.name!r} is {field.dataType.simpleString()}; in the changes of a table it is {due}. They "
            f"have the columns {', '.join((*_PLAIN, 'keys', *_IMAGES))}: change_schema(...) makes their schema, and so "
            'does option("starting_position", ...) where no schema is given',
            {field.name: f"is {due}"},
        )


def change_item(record: Record) -> Item:
    """Return a stream record as an item in wire form, with an attribute for each column."""
    body: dict[str, Any] = record["dynamodb"]
    created = body["ApproximateCreationDateTime"].astimezone(UTC)
    identity = record.get("userIdentity") or {}
    item: Item = {
        "event_id": {"S": record["eventID"]},
        "event_name": {"S": record["eventName"]},
        "sequence_number": {"S": body["SequenceNumber"]},
        "approximate_creation_time": {"S": created.isoformat()},
        "expired": {"BOOL": identity.items() >= _TTL.items()},
        "keys": {"M": body["Keys"]},
    }
    for column, image in _IMAGES.items():
        if image in body:
            item[column] = {"M": body[image]}
    return item


def with_current_images(item: Item, upcaster: Upcaster) -> Item | None:
    """Return a change with its images in the current schema version; None if it is left out."""
    current = dict(item)
    for column in _IMAGES:
        if column in item:
            image = upcaster.item(item[column]["M"], item)
            if image is None:
                return None
            current[column] = {"M": image}
    return current
