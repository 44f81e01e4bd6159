"""The same service written by hand on boto3, for the load test to compare with: ``def`` endpoints, in threads.

It reads, writes and answers the same. What is left out are the answers to errors, and health.
"""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

import boto3
from botocore.config import Config
from fastapi import FastAPI, HTTPException

from examples.feature_store.messages import CategoriesRead, CategoryRead, Read, Replaced, Write, Written
from examples.feature_store.tables import TableType

TABLE_PREFIX = os.environ.get("FEATURE_STORE_TABLE_PREFIX", "dev_")
TRIES = 8

database = boto3.resource(
    "dynamodb",
    endpoint_url=os.environ.get("FEATURE_STORE_ENDPOINT"),
    config=Config(
        max_pool_connections=50,
        connect_timeout=2,
        read_timeout=5,
        retries={"mode": "standard", "total_max_attempts": 4},
    ),
)
client: Any = database.meta.client  # a resource's client takes Python values; making a Table for each request is slow
app = FastAPI(title="Feature store, by hand")


@app.post("/api/v1/items/{identifier}")
def write_items(identifier: str, table_type: TableType, body: Write) -> Written:
    now = datetime.now(UTC).isoformat(timespec="microseconds")
    updates = []
    for category, given in body.data.items():
        metadata = given.metadata or body.metadata
        names = {
            "#f": "features",
            "#s": "source",
            "#i": "compute_id",
            "#t": "ttl",
            "#c": "created_at",
            "#u": "updated_at",
        }
        values = {":f": _stored(given.data), ":s": metadata.source, ":n": now}
        setting, removed = ["#f = :f", "#s = :s", "#u = :n", "#c = if_not_exists(#c, :n)"], []
        for name, placeholder, value in (("#i", ":i", metadata.compute_id), ("#t", ":t", metadata.ttl)):
            if value is None:
                removed.append(name)
            else:
                setting.append(f"{name} = {placeholder}")
                values[placeholder] = value
        updates.append(
            {
                "TableName": TABLE_PREFIX + table_type,
                "Key": {table_type.value: identifier, "category": category},
                "UpdateExpression": f"SET {', '.join(setting)}" + (f" REMOVE {', '.join(removed)}" if removed else ""),
                "ExpressionAttributeNames": names,
                "ExpressionAttributeValues": values,
            }
        )
    if len(updates) == 1:
        client.update_item(**updates[0])
    else:
        client.transact_write_items(TransactItems=[{"Update": update} for update in updates])
    counts = {category: len(given.data) for category, given in body.data.items()}
    return Written(
        message=f"{len(counts)} {'category' if len(counts) == 1 else 'categories'} replaced",
        identifier=identifier,
        table_type=table_type,
        results={category: Replaced(feature_count=count) for category, count in counts.items()},
        total_features=sum(counts.values()),
    )


@app.get("/api/v1/get/item/{identifier}/{category:path}", response_model_exclude_unset=True)
def read_item(identifier: str, category: str, table_type: TableType) -> CategoryRead:
    key = {table_type.value: identifier, "category": category}
    item = client.get_item(TableName=TABLE_PREFIX + table_type, Key=key).get("Item")
    if item is None or _is_expired(item):
        raise HTTPException(404)
    features = _answer(item, _read(item["features"]))
    return CategoryRead.model_validate({table_type.value: identifier, "category": category, "features": features})


@app.post("/api/v1/get/item/{identifier}", response_model_exclude_unset=True)
def read_items(identifier: str, table_type: TableType, body: Read) -> CategoriesRead:
    wanted = list(dict.fromkeys(name for names in body.values() for name in names))
    names = {f"#f{number}": name for number, name in enumerate(wanted)}
    names |= {"#f": "features", "#s": "source", "#t": "ttl"}
    projection = "category, created_at, updated_at, compute_id, #s, #t, " + ", ".join(
        f"#f.#f{number}" for number in range(len(wanted))
    )
    keys = [{table_type.value: identifier, "category": category} for category in body]
    asked: Any = {
        TABLE_PREFIX + table_type: {
            "Keys": keys,
            "ProjectionExpression": projection,
            "ExpressionAttributeNames": names,
        }
    }
    items: list[dict[str, Any]] = []
    for number in range(TRIES):
        response = client.batch_get_item(RequestItems=asked)
        items += response["Responses"].get(TABLE_PREFIX + table_type, [])
        asked = response.get("UnprocessedKeys")
        if not asked:
            break
        time.sleep(0.05 * 2**number)
    else:
        raise HTTPException(503)
    found = {}
    for item in items:
        if not _is_expired(item):
            features = _read(item.get("features", {}))
            chosen = {name: features[name] for name in body[item["category"]] if name in features}
            found[item["category"]] = _answer(item, chosen)
    if not found:
        raise HTTPException(404)
    missing = {
        category: absent
        for category, asked_for in body.items()
        if (absent := [name for name in asked_for if category not in found or name not in found[category]["data"]])
    }
    return CategoriesRead.model_validate({table_type.value: identifier, "features": found, "missing": missing})


def _answer(item: Mapping[str, Any], features: dict[str, Any]) -> dict[str, Any]:
    names = ("created_at", "updated_at", "source", "compute_id", "ttl")
    return {"data": features, "metadata": {name: item.get(name) for name in names}}


def _is_expired(item: Mapping[str, Any]) -> bool:
    return "ttl" in item and item["ttl"] <= time.time()


def _stored(value: Any) -> Any:
    """Return what boto3 takes: it refuses floats."""
    if isinstance(value, dict):
        return {name: _stored(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_stored(inner) for inner in value]
    return Decimal(repr(value)) if isinstance(value, float) else value


def _read(value: Any) -> Any:
    """Return what JSON knows: boto3 gives every number as a Decimal."""
    if isinstance(value, dict):
        return {name: _read(inner) for name, inner in value.items()}
    if isinstance(value, list):
        return [_read(inner) for inner in value]
    if isinstance(value, Decimal):
        return int(value) if value == value.to_integral_value() else float(value)
    return value
