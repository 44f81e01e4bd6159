"""What is stored: chats, each of one user, and the messages of a chat, each under the one that it answers."""

from __future__ import annotations

from datetime import datetime
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, Field

MAX_TEXT_BYTES = 4_000
MAX_MESSAGES = 500  # in a chat, those deleted included; with texts like these, a whole chat fits into Lambda's 6 MB
MAX_DEPTH = 50  # levels; so a line of messages, with its chat, fits into one transaction of 100 actions


def _short_enough(text: str) -> str:
    if len(text.encode()) > MAX_TEXT_BYTES:
        raise ValueError(f"longer than {MAX_TEXT_BYTES} bytes")
    return text


Text = Annotated[str, Field(min_length=1), AfterValidator(_short_enough)]
Title = Annotated[str, Field(min_length=1, max_length=200)]
Role = Literal["user", "assistant"]


class Chat(BaseModel):
    user_id: str
    chat_id: str
    title: Title
    root_id: str
    forked_from: str | None = None  # the message of another chat
    messages_made: int = 1
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Message(BaseModel):
    chat_id: str
    message_id: str
    parent_id: str | None = None
    depth: int = 1
    role: Role = "user"
    text: Text
    created_at: datetime | None = None
