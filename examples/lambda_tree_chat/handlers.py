"""What the function answers to: a method for each thing that can be done with chats."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel

from dynamodb_wrapper import TreeNode
from examples.lambda_tree_chat import deletions
from examples.lambda_tree_chat.base_handler import BaseHandler, route
from examples.lambda_tree_chat.events import Event, Request, Response, response
from examples.lambda_tree_chat.models import MAX_DEPTH, Message, Role, Text, Title
from examples.lambda_tree_chat.service import ChatService, Made


class NewChat(BaseModel):
    title: Title
    text: Text


class NewMessage(BaseModel):
    role: Role = "user"
    text: Text


class NewFork(BaseModel):
    title: Title


class ChatHandler(BaseHandler):
    def __init__(self, service: ChatService) -> None:
        self._service = service

    @route("POST", "/chats")
    def create(self, request: Request, seconds: float) -> Response:
        new = request.body(NewChat)
        return made(self._service.within(seconds).create(request.user_id, new.title, new.text, request.token))

    @route("GET", "/chats")
    def page(self, request: Request, seconds: float) -> Response:
        size, cursor = request.number("size", 20, 100), request.query.get("cursor")
        page = self._service.within(seconds).page(request.user_id, size, cursor)
        return response(200, {"chats": [plain(chat) for chat in page.items], "cursor": page.cursor})

    @route("GET", "/chats/{chat_id}")
    @route("GET", "/chats/{chat_id}/messages/{message_id}")
    def read(self, request: Request, seconds: float, chat_id: str, message_id: str | None = None) -> Response:
        depth = request.number("depth", 10, MAX_DEPTH)
        tree = self._service.within(seconds).tree(request.user_id, chat_id, message_id, depth)
        return response(200, nested(tree))

    @route("POST", "/chats/{chat_id}/messages/{message_id}/replies")
    def reply(self, request: Request, seconds: float, chat_id: str, message_id: str) -> Response:
        new = request.body(NewMessage)
        service = self._service.within(seconds)
        reply, is_new = service.reply(request.user_id, chat_id, message_id, new.role, new.text, request.token)
        return response(201 if is_new else 200, {"message": plain(reply)})

    @route("POST", "/chats/{chat_id}/messages/{message_id}/fork")
    def fork(self, request: Request, seconds: float, chat_id: str, message_id: str) -> Response:
        title = request.body(NewFork).title
        service = self._service.within(seconds)
        return made(service.fork(request.user_id, chat_id, message_id, title, request.token))

    @route("DELETE", "/chats/{chat_id}")
    @route("DELETE", "/chats/{chat_id}/messages/{message_id}")
    def delete(self, request: Request, seconds: float, chat_id: str, message_id: str | None = None) -> Response:
        service = self._service.within(seconds)
        if message_id is None:
            deletion = service.delete_chat(request.user_id, chat_id)
        else:
            deletion = service.delete_branch(request.user_id, chat_id, message_id)
        if not deletion.finished:
            deletions.go_on_later(request.user_id, chat_id, message_id)
        return response(200 if deletion.finished else 202, vars(deletion))

    def from_queue(self, event: Event, seconds: float) -> Response:
        return deletions.gone_on(self._service.within(seconds), event["Records"])


def plain(model: BaseModel) -> dict[str, Any]:
    return model.model_dump(mode="json", exclude={"user_id"})


def nested(node: TreeNode[Message]) -> dict[str, Any]:
    return {**plain(node.item), "replies": [nested(child) for child in node.children]}


def made(result: Made) -> Response:
    body = {"chat": plain(result.chat), "message": plain(result.message)}
    return response(201 if result.is_new else 200, body)
