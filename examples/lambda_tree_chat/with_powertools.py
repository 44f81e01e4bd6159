"""The same service behind Powertools' resolver and logger, for whoever wants their middleware and pays their import.

A part of the routes, enough to compare: see `measure.py`.
"""

from __future__ import annotations

from typing import Any

from aws_lambda_powertools import Logger
from aws_lambda_powertools.event_handler import APIGatewayHttpResolver, Response
from aws_lambda_powertools.utilities.typing import LambdaContext

from dynamodb_wrapper import DynamoDBConfig
from examples.lambda_tree_chat.handlers import NewChat, nested, plain
from examples.lambda_tree_chat.problems import answer_to
from examples.lambda_tree_chat.service import ChatService

logger = Logger(service="tree-chat")
app = APIGatewayHttpResolver()
service = ChatService(DynamoDBConfig.from_env(retries=2, timeout_seconds=3.0, connect_timeout_seconds=1.0))
service.warm_up()


def user_id() -> str:
    return str(app.current_event.request_context.authorizer.jwt_claim["sub"])


@app.post("/chats")
def create() -> tuple[dict[str, Any], int]:
    new = NewChat.model_validate_json(app.current_event.body or "{}")
    made = service.create(user_id(), new.title, new.text, app.current_event.headers.get("idempotency-key"))
    return {"chat": plain(made.chat), "message": plain(made.message)}, 201 if made.is_new else 200


@app.get("/chats/<chat_id>")
def read(chat_id: str) -> dict[str, Any]:
    depth = int(app.current_event.query_string_parameters.get("depth", "10"))
    return nested(service.tree(user_id(), chat_id, None, depth))


@app.exception_handler(Exception)  # type: ignore[untyped-decorator]
def failed(error: Exception) -> Response[Any]:
    status, text, details = answer_to(error)
    if status >= 500:
        logger.exception("failed")
    return Response(status, "application/json", {"error": text, "details": details})


@logger.inject_lambda_context
def handler(event: dict[str, Any], context: LambdaContext) -> dict[str, Any]:
    return app.resolve(event, context)
