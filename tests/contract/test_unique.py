"""Unique values on real servers: through every kind of write, beside each other, and with many writers at once."""

from __future__ import annotations

import random
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from threading import Barrier
from typing import Any

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    Add,
    BaseDynamoRepository,
    ConditionFailedError,
    F,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    Remove,
    TransactionCanceledError,
    TransactionConflictError,
    ValidationError,
    VersionConflictError,
)
from dynamodb_wrapper.exceptions import UniqueViolationError
from dynamodb_wrapper.operations.declaration import Unique
from dynamodb_wrapper.operations.unique import guard_item_key, guards_of
from dynamodb_wrapper.repositories.transactions import transact_write
from tests import servers
from tests.contract.shop import Make, maker, requests
from tests.servers import Server

THREADS = 8
SERVERS = sorted({*servers.chosen(), "embedded"} - {"moto"})
"""Not moto's server, which has no item lock."""


class User(BaseModel):
    id: str
    email: str | None = None
    nick: str | None = None
    team: str | None = None
    hits: int = 0
    version: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None


class Users(BaseDynamoRepository[User]):
    table_name = "users"
    primary_key = "id"
    version_attribute = "version"
    unique = (Unique("email", normalize=str.casefold), Unique("nick", within="team"))


class PlainUsers(BaseDynamoRepository[User]):
    table_name = "users"
    primary_key = "id"
    version_attribute = "version"


class Seat(BaseModel):
    train: str
    number: int
    passenger: str | None = None


class Seats(BaseDynamoRepository[Seat]):
    table_name = "seats"
    primary_key = "train"
    sort_key = "number"
    unique = (Unique("passenger", within="train"),)
    by_number = AccessPattern("by_number", partition="number", sort="train")


def guards_and_needs(server: Server, users: BaseDynamoRepository[Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """The guards there are, and those that the items need: partition keys to owners."""
    entity = users._entity
    found: list[dict[str, Any]] = []
    for page in server.client.get_paginator("scan").paginate(TableName=users.table_name, ConsistentRead=True):
        found += page["Items"]
    guards = {
        item[entity.partition_attribute]["S"]: item["unique#owner"]["M"] for item in found if "unique#owner" in item
    }
    needs: dict[str, Any] = {}
    for item in found:
        if "unique#owner" not in item:
            for guard in guards_of(entity, item):
                assert guard not in needs, "two items have one value"
                needs[guard] = entity.key_of(item)
    return guards, needs


def check_guards(server: Server, users: BaseDynamoRepository[Any]) -> None:
    guards, needs = guards_and_needs(server, users)
    assert guards == needs


def test_a_value_is_taken_through_every_write_and_free_again_after_it(make: Make, server: Server) -> None:
    users = make(Users)
    ada = users.create(User(id="1", email="Ada@x.org", nick="ada", team="a"))
    bob = users.create(User(id="2", email="bob@x.org", nick="ada", team="b"))
    with pytest.raises(UniqueViolationError) as caught:
        users.create(User(id="3", email="ADA@x.org"))
    assert (caught.value.fields, caught.value.owner, caught.value.key) == (("email",), {"id": "1"}, {"id": "3"})
    assert caught.value.code == "ConditionalCheckFailed"
    with pytest.raises(UniqueViolationError):
        users.put(User(id="3", nick="ada", team="a"))
    with pytest.raises(UniqueViolationError):
        users.update(bob.model_copy(update={"team": "a"}))
    with pytest.raises(UniqueViolationError):
        users.patch("2", email="ada@X.org")
    assert users.count() == 2
    check_guards(server, users)

    ada.email = "ada@y.org"
    assert users.update(ada).version == 2
    assert users.patch("2", email="ada@x.org", hits=Add(1)).hits == 1
    assert users.patch("1", nick=None, team=Remove()).nick is None
    assert users.patch("2", team="a").version == 3
    check_guards(server, users)
    assert users.delete("2") is True
    assert users.delete("2") is False
    assert users.create(User(id="3", email="ada@x.org", nick="ada", team="a")).version == 1
    check_guards(server, users)


def test_what_does_not_change_values_stays_one_request(make: Make, server: Server) -> None:
    users = make(Users)
    ada = users.create(User(id="1", email="a"))
    with requests() as sent:
        users.patch("1", hits=Add(1))
        users.update(users.get_or_raise("1"))
        users.patch("1", email="A")
        users.put(users.get_or_raise("1"))
    assert sent == [
        "UpdateItem",
        "GetItem",
        "GetItem",
        "PutItem",
        "GetItem",
        "UpdateItem",
        "GetItem",
        "GetItem",
        "PutItem",
    ]
    with pytest.raises(VersionConflictError):
        users.update(ada)
    with pytest.raises(VersionConflictError):
        users.update(ada.model_copy(update={"email": "b"}))
    with pytest.raises(ItemAlreadyExistsError):
        users.create(User(id="1", email="c"))
    with pytest.raises(ConditionFailedError):
        users.delete("1", when=F.hits == 0)
    with pytest.raises(ItemNotFoundError):
        users.patch("9", email="z")
    check_guards(server, users)


def test_guards_are_no_items(make: Make, server: Server) -> None:
    users = make(Users)
    for number in range(5):
        users.create(User(id=str(number), email=f"{number}@x"))
    assert len(users.list_all()) == users.count() == 5
    assert len(users.scan().limit(3).all()) == 3
    seen, cursor = [], None
    while True:
        page = users.scan().page(2, cursor)
        seen += page.items
        if page.cursor is None:
            break
        cursor = page.cursor
    assert sorted(user.id for user in seen) == ["0", "1", "2", "3", "4"]
    for ask in (users.get, users.get_raw, users.exists, users.delete):
        with pytest.raises(ValidationError, match="guards"):
            ask("unique#email#S:0@x")
    with pytest.raises(ValidationError, match="guards"):
        users.create(User(id="unique#email#S:0@x"))


def test_a_table_with_a_sort_key_and_an_index_of_its_key(make: Make, server: Server) -> None:
    seats = make(Seats)
    seats.create(Seat(train="t1", number=0, passenger="ada"))
    seats.create(Seat(train="t2", number=0, passenger="ada"))
    with pytest.raises(UniqueViolationError) as caught:
        seats.put(Seat(train="t1", number=2, passenger="ada"))
    assert caught.value.owner == {"train": "t1", "number": 0}
    assert [seat.train for seat in seats.by_number(0)] == ["t1", "t2"]
    assert len(seats.scan(index="by_number").all()) == seats.count(index="by_number") == 2
    assert seats.patch("t1", 0, passenger=None).passenger is None
    seats.put(Seat(train="t1", number=2, passenger="ada"))
    check_guards(server, seats)


def test_values_go_from_item_to_item_in_one_transaction(make: Make, server: Server) -> None:
    users = make(Users)
    ada, bob = users.create(User(id="1", email="a", nick="n", team="t")), users.create(User(id="2", email="b"))
    ada.email, bob.email = bob.email, ada.email
    transact_write([users.update_request(ada), users.update_request(bob)])
    assert (users.get_or_raise("1").email, users.get_or_raise("2").email) == ("b", "a")
    check_guards(server, users)
    transact_write([users.delete_request("1"), users.create_request(User(id="3", email="b", nick="n", team="t"))])
    check_guards(server, users)
    with pytest.raises(TransactionCanceledError) as caught:
        transact_write([users.patch_request("2", hits=Add(1)), users.patch_request("3", email="A")])
    assert [type(reason.error) for reason in caught.value.reasons] == [type(None), UniqueViolationError]
    assert users.get_or_raise("2").hits == 0
    check_guards(server, users)


def test_the_guard_of_an_item_deleted_by_other_means_is_taken_over(make: Make, server: Server) -> None:
    users = make(Users)
    users.create(User(id="1", email="a"))
    users.create(User(id="2", email="b"))
    server.client.delete_item(TableName=users.table_name, Key={"id": {"S": "1"}})
    users.patch("2", email="a")
    server.client.delete_item(TableName=users.table_name, Key={"id": {"S": "2"}})
    users.create(User(id="2", email="a"))
    check_guards(server, users)


def test_items_older_than_the_declaration(make: Make, server: Server) -> None:
    old, users = make(PlainUsers), make(Users)
    for number, email in enumerate(["a", "b", "A", None]):
        old.create(User(id=str(number), email=email))
    violations = users.ensure_unique()
    assert len(violations) == 1
    assert {str(violations[0].key), str(violations[0].owner)} == {"{'id': '0'}", "{'id': '2'}"}
    users.patch("2", email="c")
    assert users.ensure_unique() == []
    check_guards(server, users)
    with pytest.raises(UniqueViolationError):
        users.create(User(id="9", email="B"))
    assert make(PlainUsers).ensure_unique() == []


def test_long_values_and_odd_ones(make: Make, server: Server) -> None:
    users = make(Users)
    odd = ["x" * 3000, "x" * 3000 + "y", "#", "%23", "", "a#b", "ß", "\U0001f600"]
    for number, email in enumerate(odd):
        users.create(User(id=str(number), email=email))
    for email in odd:
        with pytest.raises(UniqueViolationError):
            users.create(User(id="again", email=email))
    check_guards(server, users)


# --- many writers ---------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module", params=SERVERS)
def locking_server(request: pytest.FixtureRequest) -> servers.RunningServer:
    running: servers.RunningServer = request.getfixturevalue(f"{request.param}_server")
    return running


@pytest.fixture
def locking(locking_server: servers.RunningServer) -> Iterator[Server]:
    server = servers.Server(locking_server)
    yield server
    server.clean_up()


def test_one_of_many_gets_the_value(locking: Server) -> None:
    users = maker(locking)(Users)
    for turn in range(5):
        barrier = Barrier(THREADS)

        def create(number: int, turn: int = turn, barrier: Barrier = barrier) -> str | None:
            barrier.wait(30)
            try:
                return users.create(User(id=f"{turn}-{number}", email=f"same-{turn}")).id
            except UniqueViolationError:
                return None

        with ThreadPoolExecutor(THREADS) as pool:
            winners = [winner for winner in pool.map(create, range(THREADS)) if winner]
        assert len(winners) == 1
        assert users.get(winners[0]) is not None
    assert users.count() == 5
    check_guards(locking, users)


def test_an_item_that_many_patch_keeps_one_guard(locking: Server) -> None:
    users = maker(locking)(Users)
    users.create(User(id="1", email="first", nick="n", team="t"))
    for turn in range(3):
        barrier = Barrier(THREADS)

        def patch(number: int, turn: int = turn, barrier: Barrier = barrier) -> None:
            barrier.wait(30)
            match number % 3:
                case 0:
                    users.patch("1", email=f"{turn}-{number}", hits=Add(1))
                case 1:
                    users.patch("1", team=f"{turn}-{number}", hits=Add(1))
                case 2:
                    users.patch("1", hits=Add(1))

        with ThreadPoolExecutor(THREADS) as pool:
            list(pool.map(patch, range(THREADS)))
        check_guards(locking, users)
    assert users.get_or_raise("1").hits == 3 * THREADS


def test_guards_fit_items_after_random_writes_at_once(locking: Server) -> None:
    users = maker(locking)(Users)

    def work(number: int) -> int:
        choose, done = random.Random(number), 0
        for _ in range(25):
            key, email = str(choose.randrange(6)), choose.choice(["a", "b", "c", "D", "d", None])
            nick, team = choose.choice(["n", "m", None]), choose.choice(["t", "u", None])
            try:
                match choose.randrange(6):
                    case 0:
                        users.create(User(id=key, email=email, nick=nick, team=team))
                    case 1:
                        users.patch(key, email=email)
                    case 2:
                        users.patch(key, nick=nick, team=team, hits=Add(1))
                    case 3:
                        users.delete(key)
                    case 4:
                        if found := users.get(key):
                            users.update(found.model_copy(update={"email": email}))
                    case 5:
                        other = str((int(key) + 1) % 6)
                        transact_write([users.patch_request(key, email=email), users.patch_request(other, nick=nick)])
                done += 1
            except (ConditionFailedError, ItemNotFoundError, TransactionCanceledError, TransactionConflictError):
                continue
        return done

    with ThreadPoolExecutor(THREADS) as pool:
        assert sum(pool.map(work, range(THREADS))) > 20
    check_guards(locking, users)


def test_the_checker_sees_what_is_wrong(make: Make, server: Server) -> None:
    users = make(Users)
    users.create(User(id="1", email="a"))
    key = guard_item_key(users._entity, "unique#email#S:a")
    server.client.delete_item(TableName=users.table_name, Key=key)
    with pytest.raises(AssertionError):
        check_guards(server, users)
