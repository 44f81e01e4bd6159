"""What a type checker knows of transactions: checked by mypy and pyright, both strict, and never run."""

from __future__ import annotations

from typing import assert_type

from pydantic import BaseModel

from dynamodb_wrapper import Add, BaseDynamoRepository, DynamoDBConfig, F, PartialItem, TransactionCanceledError
from dynamodb_wrapper.exceptions import DynamoDBWrapperError, UniqueViolationError
from dynamodb_wrapper.operations.declaration import Unique
from dynamodb_wrapper.repositories.transactions import (
    GetRequest,
    Transaction,
    WriteRequest,
    transact_get,
    transact_write,
    transaction,
)


class User(BaseModel):
    id: str
    email: str
    count: int = 0


class Order(BaseModel):
    id: str
    version: int = 0


class Users(BaseDynamoRepository[User]):
    table_name = "users"
    primary_key = "id"
    unique = ("email", Unique("count", within=["id", "email"]), Unique("email", within="id", normalize=str.casefold))


class Orders(BaseDynamoRepository[Order]):
    table_name = "orders"
    primary_key = "id"


config = DynamoDBConfig.for_local_development()
users, orders = Users(config), Orders(config)
user, order = User(id="1", email="a"), Order(id="1")


def requests() -> None:
    assert_type(users.create_request(user), WriteRequest[User])
    assert_type(users.put_request(user), WriteRequest[User])
    assert_type(users.update_request(user), WriteRequest[User])
    assert_type(users.patch_request("1", {"count": 1}, when=F.count > 5, upsert=True, email="b"), WriteRequest[User])
    assert_type(users.delete_request("1", when=F.count == 0), WriteRequest[User])
    assert_type(users.check_request("1"), WriteRequest[User])
    assert_type(users.get_request("1"), GetRequest[User])
    assert_type(users.get_request("1", attributes=["email", F.count]), GetRequest[PartialItem])
    assert_type(users.ensure_unique(), list[UniqueViolationError])


def sending() -> None:
    assert_type(transact_write([users.put_request(user), users.delete_request("2")]), list[User | None])
    base: list[BaseModel | None] = [*transact_write([users.put_request(user), orders.patch_request("1", id=Add(1))])]
    assert base
    assert_type(transact_get([users.get_request("1")]), list[User | None])
    mixed: list[User | Order | None] = [
        *transact_get([users.get_request("1")]),
        *transact_get([orders.get_request("1")]),
    ]
    assert mixed
    with transaction() as tx:
        assert_type(tx, Transaction)
        tx.write(users.put_request(user), orders.put_request(order))
    assert_type(tx.results, list[BaseModel | None])


def errors() -> None:
    try:
        transact_write([users.put_request(user)])
    except TransactionCanceledError as error:
        assert_type(error.reasons[0].code, str)
        assert_type(error.reasons[0].error, DynamoDBWrapperError | None)
    except UniqueViolationError as error:
        assert_type(error.fields, tuple[str, ...])
