"""Deletions that Lambda's time did not suffice for: a queue brings them back, where there is one.

Without `DELETIONS_QUEUE_URL` the client goes on itself: it sends the same DELETE until the answer is 200.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from typing import Any

from dynamodb_wrapper import aws_services
from examples.lambda_tree_chat.problems import MissingError
from examples.lambda_tree_chat.service import ChatService


def go_on_later(user_id: str, chat_id: str, message_id: str | None) -> None:
    if url := os.environ.get("DELETIONS_QUEUE_URL"):
        body = json.dumps({"user_id": user_id, "chat_id": chat_id, "message_id": message_id})
        aws_services.client("sqs").send_message(QueueUrl=url, MessageBody=body)  # boto3 is loaded here, not before


def gone_on(service: ChatService, records: Iterable[Any]) -> dict[str, Any]:
    """Go on with deletions, and name those that are to come again (``ReportBatchItemFailures``)."""
    unfinished = [record["messageId"] for record in records if not _finished(service, json.loads(record["body"]))]
    return {"batchItemFailures": [{"itemIdentifier": message_id} for message_id in unfinished]}


def _finished(service: ChatService, asked: dict[str, Any]) -> bool:
    user_id, chat_id, message_id = asked["user_id"], asked["chat_id"], asked["message_id"]
    try:
        if message_id is None:
            return service.delete_chat(user_id, chat_id).finished
        return service.delete_branch(user_id, chat_id, message_id).finished
    except MissingError:
        return True  # somebody else has finished it
