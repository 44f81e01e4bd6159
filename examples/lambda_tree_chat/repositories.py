"""Where it is stored.

A user's chats are one partition, `USER#...`, so a chat is found only by whose it is: there is no reading of another's.
Messages are a tree, which has plain fields as its key, in a table of their own.
"""

from __future__ import annotations

from dynamodb_wrapper import AccessPattern, BaseDynamoRepository, Key, ParentPattern
from examples.lambda_tree_chat.models import Chat, Message


class ChatRepository(BaseDynamoRepository[Chat]):
    table_name = "chats"
    primary_key = Key("USER#{user_id}")
    sort_key = Key("CHAT#{chat_id}")
    newest = AccessPattern("newest", partition=Key("USER#{user_id}"), sort=Key("{created_at}#{chat_id}"))


class MessageRepository(BaseDynamoRepository[Message]):
    table_name = "chat_messages"
    primary_key = "chat_id"
    sort_key = "message_id"
    replies = ParentPattern("replies", parent="parent_id", id="message_id", within="chat_id", sort="created_at")
