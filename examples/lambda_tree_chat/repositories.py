"""Where it is stored: everything in one table, with one index.

A user's chats are one partition, `USER#...`, so a chat is found only by whose it is: there is no reading of another's.
The messages of a chat are another one, `CHAT#...`, and a tree.
"""

from __future__ import annotations

from dynamodb_wrapper import AccessPattern, BaseDynamoRepository, Key, ParentPattern, SingleTable
from examples.lambda_tree_chat.models import Chat, Message

TABLE = SingleTable("chats", indexes={"gsi1": ("gsi1pk", "gsi1sk")})


class ChatRepository(BaseDynamoRepository[Chat]):
    single_table = TABLE
    primary_key = Key("USER#{user_id}")
    sort_key = Key("CHAT#{chat_id}")
    newest = AccessPattern("gsi1", partition=Key("USER#{user_id}"), sort=Key("{created_at}#{chat_id}"))


class MessageRepository(BaseDynamoRepository[Message]):
    single_table = TABLE
    primary_key = Key("CHAT#{chat_id}")
    sort_key = Key("MESSAGE#{message_id}")
    replies = ParentPattern(
        "gsi1",
        parent="parent_id",
        id="message_id",
        within="chat_id",
        partition=Key("CHAT#{chat_id}#{parent_id}"),
        sort=Key("{created_at}#{message_id}"),
    )
