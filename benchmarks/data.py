"""The items and keys of every benchmark; nothing but the standard library, so that every environment can import it."""

from __future__ import annotations

import json
from typing import Any

TABLE = "customers"
PARTITION = "user#1000"
"""A partition key says how many items a query finds under it."""

SORT_KEY = "order#000001"
PAGE_ITEMS = 100
QUERY_ITEMS = 1000
BATCH_GET_ITEMS = 100
BATCH_WRITE_ITEMS = 25


def partition(items: int) -> str:
    """Return the partition key under which a query finds so many items."""
    return f"user#{items}"


def sort_key(number: int) -> str:
    """Return the sort key of an item."""
    return f"order#{number:06d}"


def wire_item(number: int) -> dict[str, Any]:
    """Return an item as the server sends it: 15 attributes of the usual kinds, about 700 bytes (note on even ones)."""
    item: dict[str, Any] = {
        "pk": {"S": PARTITION},
        "sk": {"S": sort_key(number)},
        "name": {"S": f"Customer number {number}"},
        "age": {"N": str(20 + number % 60)},
        "price": {"N": f"{19 + number % 90}.{number % 100:02d}"},
        "score": {"N": "0.37"},
        "active": {"BOOL": number % 2 == 0},
        "seen_at": {"S": f"2025-01-{1 + number % 28:02d}T03:04:05.678901+00:00"},
        "uid": {"S": f"12345678-1234-4678-9234-{number:012d}"},
        "status": {"S": "active"},
        "tags": {"L": [{"S": "alpha"}, {"S": "beta"}, {"S": f"t{number % 10}"}]},
        "labels": {"SS": ["blue", "green", "red"]},
        "meta": {"M": {"source": {"S": "web"}, "visits": {"N": str(number)}}},
        "address": {
            "M": {
                "street": {"S": f"{number} Main Street"},
                "city": {"S": "Springfield"},
                "zip": {"S": "12345"},
                "lat": {"N": "51.5"},
            }
        },
    }
    if number % 2 == 0:
        item["note"] = {"S": "please ring the bell"}
    return item


def wire_json(body: object) -> bytes:
    """Return JSON as DynamoDB writes it."""
    return json.dumps(body, separators=(",", ":")).encode()
