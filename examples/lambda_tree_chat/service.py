"""What can be done with chats, whoever asks: no HTTP here, and nothing of Lambda."""

from __future__ import annotations

from copy import copy
from dataclasses import dataclass
from math import inf
from time import monotonic
from typing import Self
from uuid import UUID, uuid4, uuid5

from dynamodb_wrapper import (
    Add,
    BatchIncompleteError,
    DeadlineExceededError,
    DynamoDBConfig,
    F,
    ItemAlreadyExistsError,
    Page,
    TransactionCanceledError,
    TreeNode,
    WriteOutcomeUnknownError,
    transact_get,
    transact_write,
)
from examples.lambda_tree_chat.models import MAX_DEPTH, MAX_MESSAGES, Chat, Message, Role
from examples.lambda_tree_chat.problems import ConflictError, MissingError, TooMuchError
from examples.lambda_tree_chat.repositories import ChatRepository, MessageRepository

_IDS = UUID("7c1f4a0e-9f0b-4b6e-8d2a-5a3f1f0f7b11")  # of this service: what its ids are made under


@dataclass(frozen=True)
class Made:
    """A chat, the message that was made in it, and whether that was now or by an earlier request with the token."""

    chat: Chat
    message: Message
    is_new: bool


@dataclass(frozen=True)
class Deletion:
    deleted: int
    finished: bool


class ChatService:
    """Safe to share between threads; `within` gives one for a request."""

    def __init__(self, config: DynamoDBConfig) -> None:
        self._chats = ChatRepository(config)
        self._messages = MessageRepository(config)
        self._ends_at = inf

    def warm_up(self) -> None:
        """Do what the first request would wait for; both repositories use the same connections."""
        self._chats.warm_up()
        self._messages.warm_up()

    def within(self, seconds: float) -> Self:
        """The same service, all of whose work is over in so many seconds from now."""
        limited = copy(self)
        limited._ends_at = monotonic() + seconds
        return limited

    @property
    def seconds(self) -> float:
        return max(0.05, self._ends_at - monotonic())

    @property
    def chats(self) -> ChatRepository:
        return self._chats.with_options(timeout=self.seconds)

    @property
    def messages(self) -> MessageRepository:
        return self._messages.with_options(timeout=self.seconds)

    # --- reading ----------------------------------------------------------------------------------------------------

    def chat(self, user_id: str, chat_id: str) -> Chat:
        chat = self.chats.get(user_id, chat_id, consistent=True)
        if chat is None:  # or it is somebody else's: who asks does not learn which
            raise MissingError("there is no such chat")
        return chat

    def page(self, user_id: str, size: int, cursor: str | None) -> Page[Chat]:
        return self.chats.newest(user_id).descending().page(size, cursor)

    def tree(self, user_id: str, chat_id: str, message_id: str | None, depth: int) -> TreeNode[Message]:
        chat = self.chat(user_id, chat_id)
        return self.messages.read_tree((chat_id, message_id or chat.root_id), max_depth=depth)

    # --- writing ----------------------------------------------------------------------------------------------------

    def create(self, user_id: str, title: str, text: str, token: str | None) -> Made:
        chat_id = _new_id(token, user_id)
        root = Message(chat_id=chat_id, message_id=_derived(chat_id, "root"), text=text)
        chat = Chat(user_id=user_id, chat_id=chat_id, title=title, root_id=root.message_id)
        return self._started(chat, [root])

    def reply(
        self, user_id: str, chat_id: str, parent_id: str, role: Role, text: str, token: str | None
    ) -> tuple[Message, bool]:
        """Answer a message; return the answer, and whether it was made now.

        The chat is not returned: how many messages it has by now is not known without another read.
        """
        message_id = _new_id(token, user_id, chat_id)
        chat, parent, made_before = transact_get(
            [
                self.chats.get_request(user_id, chat_id),
                self.messages.get_request(chat_id, parent_id),
                self.messages.get_request(chat_id, message_id),
            ],
            timeout=self.seconds,
        )
        if not isinstance(chat, Chat):
            raise MissingError("there is no such chat")
        if isinstance(made_before, Message):
            return _same(made_before, parent_id, role, text), False
        if not isinstance(parent, Message):
            raise MissingError("there is no such message")
        if parent.depth >= MAX_DEPTH:
            raise TooMuchError(f"a chat has at most {MAX_DEPTH} levels")
        message = Message(
            chat_id=chat_id, message_id=message_id, parent_id=parent_id, depth=parent.depth + 1, role=role, text=text
        )
        self._add(chat, message)
        return message, True

    def fork(self, user_id: str, chat_id: str, message_id: str, title: str, token: str | None) -> Made:
        """Start a chat with copies of a message and of those above it."""
        self.chat(user_id, chat_id)
        new_id = _new_id(token, user_id, chat_id)
        line = self._line(chat_id, message_id)
        ids = [_derived(new_id, message.message_id) for message in line]
        copies = [
            message.model_copy(
                update={"chat_id": new_id, "message_id": own, "parent_id": parent, "depth": depth, "created_at": None}
            )
            for depth, (message, own, parent) in enumerate(zip(line, ids, [None, *ids], strict=False), 1)
        ]
        chat = Chat(user_id=user_id, chat_id=new_id, title=title, root_id=ids[0], forked_from=message_id)
        return self._started(chat.model_copy(update={"messages_made": len(copies)}), copies)

    # --- deleting ---------------------------------------------------------------------------------------------------

    def delete_branch(self, user_id: str, chat_id: str, message_id: str) -> Deletion:
        """Delete a message with all below it, as far as time allows: the deepest first, so what is left is a tree."""
        if message_id == self.chat(user_id, chat_id).root_id:
            raise ConflictError("this is the first message: delete the chat")
        return self._deleted(chat_id, message_id)

    def delete_chat(self, user_id: str, chat_id: str) -> Deletion:
        """The same with all messages; the chat goes last, so it is found until nothing of it is left."""
        deletion = self._deleted(chat_id, self.chat(user_id, chat_id).root_id)
        if deletion.finished:
            self.chats.delete(user_id, chat_id)
        return deletion

    # --- steps ------------------------------------------------------------------------------------------------------

    def _started(self, chat: Chat, line: list[Message]) -> Made:
        """Write a chat and its first messages, all or none."""
        creations = [self.chats.create_request(chat), *map(self.messages.create_request, line)]
        try:
            transact_write(creations, timeout=self.seconds)
        except TransactionCanceledError as error:
            if not isinstance(error.reasons[0].error, ItemAlreadyExistsError):
                raise
            before = self.chat(chat.user_id, chat.chat_id)
            if (before.title, before.forked_from) != (chat.title, chat.forked_from):
                raise ConflictError("this Idempotency-Key was used for another request") from error
            last = self.messages.get_or_raise(chat.chat_id, line[-1].message_id, consistent=True)
            return Made(before, _same(last, line[-1].parent_id, line[-1].role, line[-1].text), is_new=False)
        return Made(chat, line[-1], is_new=True)

    def _add(self, chat: Chat, message: Message) -> None:
        """Write a reply, if its parent is still there and the chat, still the user's, has room."""
        try:
            transact_write(
                [
                    self.chats.patch_request(
                        chat.user_id, chat.chat_id, messages_made=Add(1), when=F.messages_made < MAX_MESSAGES
                    ),
                    self.messages.check_request(message.chat_id, message.parent_id),
                    self.messages.create_request(message),
                ],
                timeout=self.seconds,
            )
        except TransactionCanceledError as error:
            of_chat, of_parent, of_message = (reason.code == "ConditionalCheckFailed" for reason in error.reasons)
            if of_message:
                raise ConflictError("the same request is being made already: ask again") from error
            if of_parent:
                raise MissingError("there is no such message") from error
            if of_chat:
                raise TooMuchError(f"a chat has at most {MAX_MESSAGES} messages, those deleted included") from error
            raise

    def _line(self, chat_id: str, message_id: str) -> list[Message]:
        """The messages from the first one down to this one, from one query of the chat."""
        found = {message.message_id: message for message in self.messages.query(chat_id).consistent()}
        line: list[Message] = []
        message = found.get(message_id)
        while message is not None and len(line) < MAX_DEPTH:
            line.append(message)
            message = found.get(message.parent_id or "")
        if not line:
            raise MissingError("there is no such message")
        return line[::-1]

    def _deleted(self, chat_id: str, message_id: str) -> Deletion:
        try:
            return Deletion(self.messages.delete_subtree((chat_id, message_id)), finished=True)
        except (DeadlineExceededError, WriteOutcomeUnknownError, BatchIncompleteError) as error:
            return Deletion(int(str(error.context.get("deleted", 0))), finished=False)


def _new_id(token: str | None, *scope: str) -> str:
    """An id that is the same whenever the client repeats a request, with its token."""
    return str(uuid4() if token is None else uuid5(_IDS, "\n".join((*scope, token))))


def _derived(*parts: str) -> str:
    return str(uuid5(_IDS, "\n".join(parts)))


def _same(message: Message, parent_id: str | None, role: Role, text: str) -> Message:
    if (message.parent_id, message.role, message.text) != (parent_id, role, text):
        raise ConflictError("this Idempotency-Key was used for another request")
    return message
