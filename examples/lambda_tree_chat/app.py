"""The function: `handler` is what Lambda calls. What is made here stays for the life of the container."""

from __future__ import annotations

from dynamodb_wrapper import DynamoDBConfig
from examples.lambda_tree_chat.handlers import ChatHandler
from examples.lambda_tree_chat.service import ChatService

config = DynamoDBConfig.from_env(retries=2, timeout_seconds=3.0, connect_timeout_seconds=1.0)
service = ChatService(config)
service.warm_up()
handler = ChatHandler(service)
