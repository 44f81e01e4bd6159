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
_chats, _messages = _dynamodb.Table(f"{_PREFIX}chats"), _dynamodb.Table(f"{_PREFIX}chat_messages")


def handler(event: dict[str, Any], context: object) -> dict[str, Any]:
    user_id = event["requestContext"]["authorizer"]["jwt"]["claims"]["sub"]
    path = event["rawPath"].split("/")
    if event["requestContext"]["http"]["method"] == "POST":
        return _answer(201, _created(user_id, json.loads(event["body"])))
    chat = _chats.get_item(Key={"pk": f"USER#{user_id}", "sk": f"CHAT#{path[-1]}"}, ConsistentRead=True).get("Item")
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
    keys = {"pk": f"USER#{user_id}", "sk": f"CHAT#{chat_id}", "newest_sk": now}
    _dynamodb.meta.client.transact_write_items(
        TransactItems=[
            {
                "Put": {
                    "TableName": _chats.name,
                    "Item": {**chat, **keys},
                    "ConditionExpression": "attribute_not_exists(pk)",
                }
            },
            {"Put": {"TableName": _messages.name, "Item": {**message, "created_at": now}}},
        ]
    )
    return {"chat": chat, "message": message}


def _tree(chat_id: str, root_id: str, depth: int) -> dict[str, Any]:
    root = _messages.get_item(Key={"chat_id": chat_id, "message_id": root_id}, ConsistentRead=True)["Item"]
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
    condition = Key("chat_id").eq(chat_id) & Key("parent_id").eq(message_id)
    items: list[dict[str, Any]] = []
    answer = _messages.query(IndexName="replies", KeyConditionExpression=condition)
    items += answer["Items"]
    while "LastEvaluatedKey" in answer:
        start = answer["LastEvaluatedKey"]
        answer = _messages.query(IndexName="replies", KeyConditionExpression=condition, ExclusiveStartKey=start)
        items += answer["Items"]
    return [{**item, "replies": []} for item in items]


def _answer(status: int, body: dict[str, Any]) -> dict[str, Any]:
    return {
        "statusCode": status,
        "headers": {"content-type": "application/json"},
        "body": json.dumps(body, default=str),
    }
