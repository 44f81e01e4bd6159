"""The rows of the Spark benchmark; nothing but the standard library, so that every environment can import it."""

from __future__ import annotations

import json
from typing import Any

PAGE_ITEMS = 1000
SEGMENTS = 8
"""Into how many segments everyone who chooses cuts a scan."""

COLUMNS = (
    "pk string, sk string, status string, total decimal(12,2), placed_at timestamp, version bigint, weight double, "
    "paid boolean, note string, email string, city string"
)
KEYS = ("pk", "sk")


def table_of(rows: int) -> str:
    """Return the table in which a scan finds so many items."""
    return f"orders-{rows}"


def wire_item(number: int) -> dict[str, Any]:
    """Return an item as the server sends it: 11 attributes, about 350 bytes of JSON."""
    return {
        "pk": {"S": f"user#{number % 50:04d}"},
        "sk": {"S": f"order#{number:08d}"},
        "status": {"S": ("open", "paid", "sent")[number % 3]},
        "total": {"N": f"{number}.{1 + number % 9}"},
        "placed_at": {"S": f"2024-03-31T01:30:00.{number:06d}+00:00"},
        "version": {"N": str(number)},
        "weight": {"N": repr(number + 0.3)},
        "paid": {"BOOL": number % 2 == 0},
        "note": {"S": "please ring the bell, and then wait for a while"},
        "email": {"S": f"user{number}@example.com"},
        "city": {"S": "Amsterdam"},
    }


ROW = (
    "concat('user#', lpad(id % 50, 4, '0')) pk",
    "concat('order#', lpad(id, 8, '0')) sk",
    "element_at(array('open', 'paid', 'sent'), int(id % 3) + 1) status",
    "cast(id % 1000 + 0.1 as decimal(12,2)) total",
    "timestamp_micros(1711848600000000 + id) placed_at",
    "id version",
    "double(id % 1000) + 0.3D weight",
    "id % 2 = 0 paid",
    "'please ring the bell, and then wait for a while' note",
    "concat('user', id, '@example.com') email",
    "'Amsterdam' city",
)
"""The same as SQL, from a column ``id``."""


def wire_json(body: object) -> bytes:
    """Return JSON as DynamoDB writes it."""
    return json.dumps(body, separators=(",", ":")).encode()
