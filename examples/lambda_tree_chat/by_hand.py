"""Two of the requests (make a chat, read its tree) as one writes them on boto3, to compare: see `measure.py`.

No token, no time limit, no bounds, no checked answers: only what the two requests need.
"""

from __future__ import annotations

import json
import os
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any
from uuid import uuid4

import boto3
from boto3.dynamodb.conditions import Key
from botocore.config import Config

_PREFIX = os.environ.get("DYNAMODB_TABLE_PREFIX", "") + "_dev_"
_CONFIG = Config(connect_timeout=1, read_timeout=3, retries={"total_max_attempts": 3, "mode": "standard"})
_dynamodb = boto3.resource("dynamodb", endpoint_url=os.environ.get("DYNAMODB_ENDPOINT_URL"), config=_CONFIG)
_table = _dynamodb.Table(f"{_PREFIX}chats")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    user_id = event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]
    path = event["rawPath"].split("/")
    if event["requestContext"]["http"]["method"] == "POST":
        return _answer(201, _created(user_id, json.loads(event["body"])))
    chat = _table.get_item(Key={"pk": f"USER#{user_id}", "sk": f"CHAT#{path[-1]}"}, ConsistentRead=True).get("Item")
    if chat is None:
        return _answer(404, {"error": "there is no such chat"})
    return _answer(200, _tree(path[-1], str(chat["root_id"]), int(event["queryStringParameters"]["depth"])))


def _created(user_id: str, body: dict[str, str]) -> dict[str, Any]:
    chat_id, root_id, now = str(uuid4()), str(uuid4()), datetime.now(UTC).isoformat()
    chat: dict[str, Any] = {
        "user_id": user_id,
        "chat_id": chat_id,
        "title": body["title"],
        "root_id": root_id,
        "messages_made": 1,
        "created_at": now,
    }
    message: dict[str, Any] = {
        "chat_id": chat_id,
        "message_id": root_id,
        "text": body["text"],
        "role": "user",
        "depth": 1,
    }
    user = f"USER#{user_id}"
    keys = {"pk": user, "sk": f"CHAT#{chat_id}", "gsi1pk": user, "gsi1sk": f"{now}#{chat_id}", "_kind": "Chat"}
    message_keys = {"pk": f"CHAT#{chat_id}", "sk": f"MESSAGE#{root_id}", "_kind": "Message"}
    _dynamodb.meta.client.transact_write_items(
        TransactItems=[
            {
                "Put": {
                    "TableName": _table.name,
                    "Item": {**chat, **keys},
                    "ConditionExpression": "attribute_not_exists(pk)",
                }
            },
            {"Put": {"TableName": _table.name, "Item": {**message, **message_keys, "created_at": now}}},
        ]
    )
    return {"chat": chat, "message": message}


def _tree(chat_id: str, root_id: str, depth: int) -> dict[str, Any]:
    root = _table.get_item(Key={"pk": f"CHAT#{chat_id}", "sk": f"MESSAGE#{root_id}"}, ConsistentRead=True)["Item"]
    tree: dict[str, Any] = {**root, "replies": []}
    level = [tree]
    with ThreadPoolExecutor(8) as pool:
        for _ in range(depth - 1):
            found = list(pool.map(lambda node: _replies(chat_id, node["message_id"]), level))
            for node, replies in zip(level, found, strict=True):
                node["replies"] = replies
            level = [reply for replies in found for reply in replies]
    return tree


def _replies(chat_id: str, message_id: str) -> list[dict[str, Any]]:
    condition = Key("gsi1pk").eq(f"CHAT#{chat_id}#{message_id}")
    items: list[dict[str, Any]] = []
    answer = _table.query(IndexName="gsi1", KeyConditionExpression=condition)
    items += answer["Items"]
    while "LastEvaluatedKey" in answer:
        start = answer["LastEvaluatedKey"]
        answer = _table.query(IndexName="gsi1", KeyConditionExpression=condition, ExclusiveStartKey=start)
        items += answer["Items"]
    return [{**item, "replies": []} for item in items]


def _answer(status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body, default=str),
    }
