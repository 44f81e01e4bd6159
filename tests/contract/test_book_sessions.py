"""The session store of The DynamoDB Book: its access patterns, as its entity chart has them.

Create a session, get it by its token, let it expire, and delete all sessions of a user.
"""

from __future__ import annotations

from datetime import datetime, timedelta
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel, Field

from dynamodb_wrapper import AccessPattern, BaseDynamoRepository, ItemAlreadyExistsError
from dynamodb_wrapper.codec import Key
from dynamodb_wrapper.repositories import SingleTable
from tests.contract.shop import MONDAY, Make, stored
from tests.servers import Server

TABLE = SingleTable(
    "sessions",
    partition_key="SessionToken",
    sort_key=None,
    kind="Type",
    indexes={"UserIndex": ("Username",)},
    ttl="TTL",
)


class Session(BaseModel):
    token: UUID = Field(default_factory=uuid4)
    username: str
    created_at: datetime = MONDAY
    expires_at: datetime = Field(default=MONDAY + timedelta(days=7), alias="TTL")

    model_config = {"populate_by_name": True}


class Sessions(BaseDynamoRepository[Session]):
    single_table = TABLE
    primary_key = Key("{token}")
    ttl_attribute = "expires_at"
    of_user = AccessPattern("UserIndex", partition=Key("{username}", case="lower"))


def test_a_session_is_created_once_and_found_by_its_token(make: Make, server: Server) -> None:
    sessions = make(Sessions)
    session = sessions.create(Session(username="Ann"))
    assert sessions.get(session.token) == sessions.get(str(session.token)) == session
    with pytest.raises(ItemAlreadyExistsError):
        sessions.create(Session(username="eve", token=session.token))
    item = stored(server, sessions, SessionToken=str(session.token))
    assert item["TTL"] == {"N": str(int(session.expires_at.timestamp()))}
    assert (item["Username"], item["username"], item["Type"]) == ({"S": "ann"}, {"S": "Ann"}, {"S": "Session"})


def test_all_sessions_of_a_user_are_deleted(make: Make) -> None:
    sessions = make(Sessions)
    mine = [sessions.create(Session(username=name)) for name in ("ann", "Ann", "ANN")]
    other = sessions.create(Session(username="bob"))
    tokens = [found.token for found in sessions.of_user("ann")]
    assert set(tokens) == {session.token for session in mine}
    assert sessions.delete_many(tokens) == 3
    assert sessions.list_all() == [other]
