"""The read-through cache on real servers: what comes from it is what is stored, after every kind of write."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import suppress
from decimal import Decimal
from itertools import chain
from typing import Any

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    Add,
    BaseDynamoRepository,
    ConditionFailedError,
    F,
    Key,
    SchemaOptions,
    SingleTable,
    TransactionCanceledError,
    UniqueViolationError,
    VersionConflictError,
)
from dynamodb_wrapper.client import get_dynamodb_client
from dynamodb_wrapper.repositories.patterns import ParentPattern
from dynamodb_wrapper.repositories.transactions import transact_write
from dynamodb_wrapper.transport.caching import Cache
from tests.contract.shop import Make, Order, Orders, order, requests
from tests.servers import Server

READS = {"GetItem", "BatchGetItem", "Query"}


class CachedOrders(Orders):
    """Everything is kept for longer than any test takes: what is outdated stays so."""

    cache = Cache(ttl=3600, negative_ttl=3600)
    by_status = AccessPattern("by_status", partition="status", sort="placed_at", cached=True)
    mine = AccessPattern(None, partition="customer_id", sort="order_id", cached=True)


Write = Callable[[Any, Any], object]
KEY = {"customer_id": "c1", "order_id": "o1"}


def put_stored(orders: Any, client: Any) -> object:
    return orders.put(orders.get("c1", "o1", consistent=True).model_copy(update={"note": "put"}))


def update_stored(orders: Any, client: Any) -> object:
    return orders.update(orders.get("c1", "o1", consistent=True).model_copy(update={"note": "updated"}))


def batched(orders: Any, client: Any) -> None:
    with orders.batch(ignore_version=True) as batch:
        batch.put(order(note="batched"))
        batch.put(order("c1", "new"))


def in_a_transaction(orders: Any, client: Any) -> None:
    transact_write([orders.patch_request("c1", "o1", total=Add(1)), orders.create_request(order("c1", "new"))])


def document(client: Any, table: str) -> dict[str, Any]:
    return dict(client.get({"TableName": table, "Key": KEY, "ConsistentRead": True})["Item"])


WRITES: dict[str, Write] = {
    "create": lambda orders, client: orders.create(order("c1", "new")),
    "put": put_stored,
    "update": update_stored,
    "patch": lambda orders, client: orders.patch("c1", "o1", total=Add(Decimal(5))),
    "upsert": lambda orders, client: orders.patch(
        "c1", "new", {"placed_at": order().placed_at}, status="open", upsert=True
    ),
    "delete": lambda orders, client: orders.delete("c1", "o1"),
    "put_many": lambda orders, client: orders.put_many([order(note="many"), order("c1", "new")], ignore_version=True),
    "delete_many": lambda orders, client: orders.delete_many([("c1", "o1")], ignore_version=True),
    "batch": batched,
    "transaction": in_a_transaction,
    "deleting transaction": lambda orders, client: transact_write([orders.delete_request("c1", "o1")]),
    "document put": lambda orders, client: client.put(
        TableName=orders.table_name, Item={**KEY, "status": "paid", "note": "put", "version": 9}
    ),
    "document update": lambda orders, client: client.update(
        TableName=orders.table_name,
        Key=KEY,
        UpdateExpression="SET note = :n",
        ExpressionAttributeValues={":n": "document"},
    ),
    "document delete": lambda orders, client: client.delete(TableName=orders.table_name, Key=KEY),
    "document batch": lambda orders, client: client.batch_operations(
        [{"type": "delete", "tableName": orders.table_name, "key": KEY}]
    ),
    "document transaction": lambda orders, client: client.transact_write(
        TransactItems=[{"Delete": {"TableName": orders.table_name, "Key": KEY}}]
    ),
}


@pytest.mark.parametrize("write", WRITES)
def test_what_was_written_is_read(make: Make, server: Server, write: str) -> None:
    """By another repository, of another class, with another configuration: nothing of it knows of the cache."""
    orders = make(CachedOrders)
    orders.create(order(note="first"))
    orders.create(order("c1", "o2", note="second"))
    for _ in range(2):
        before = seen(orders)
    with requests() as sent:
        assert seen(orders)[:4] == before[:4]
    assert not READS - {"Query"} & set(sent)
    writer = make(Orders, timeout_seconds=9.0)
    WRITES[write](writer, get_dynamodb_client(config=server.config(retries=1)))
    truth = orders.without_cache()
    for _ in range(2):
        assert seen(orders) == seen(truth)
    assert seen(orders)[:4] != before[:4]
    with requests() as sent:
        orders.get("c1", "o1")
        orders.get_many([("c1", "o1"), ("c1", "o2"), ("c1", "new")])
    assert sent == []


def seen(orders: Any) -> list[Any]:
    keys = [("c1", "o1"), ("c1", "o2"), ("c1", "new")]
    return [
        *(orders.get(*key) for key in keys),
        orders.get_many(keys),
        orders.mine("c1").all(),
        [found.order_id for found in orders.mine("c1").descending().limit(1)],
    ]


def test_a_hit_is_what_a_reading_gives(make: Make) -> None:
    """Whatever types it has; and a change of what was returned is nobody else's."""
    orders = make(CachedOrders)
    full = order(
        note="Grüße", tags={"a", "b"}, words=["x"], prices={"a": Decimal("1.10")}, total=Decimal("0.1"), active=True
    )
    orders.create(full)
    read = orders.get_or_raise("c1", "o1", consistent=True)
    for _ in range(2):
        found = orders.get_or_raise("c1", "o1")
        assert found == read
        assert found.model_fields_set == read.model_fields_set
        found.tags.add("mine")
        found.words.append("mine")
    assert orders.get("c1", "o1", attributes=["note"]) == orders.without_cache().get("c1", "o1", attributes=["note"])


def test_what_was_read_can_be_written(make: Make) -> None:
    orders = make(CachedOrders)
    orders.create(order())
    orders.get("c1", "o1")
    for number in range(3):
        found = orders.get_or_raise("c1", "o1")
        found.count = number
        assert orders.update(found).version == number + 2
    assert orders.get_or_raise("c1", "o1").count == 2


def test_an_outdated_model_is_refused_with_what_is_stored_and_then_read_anew(make: Make, server: Server) -> None:
    orders = make(CachedOrders)
    orders.create(order())
    assert orders.get_or_raise("c1", "o1").version == 1
    server.client.update_item(  # as another program does, of which the cache knows nothing
        TableName=orders.table_name,
        Key={name: {"S": value} for name, value in KEY.items()},
        UpdateExpression="SET version = :v, note = :n",
        ExpressionAttributeValues={":v": {"N": "7"}, ":n": {"S": "theirs"}},
    )
    for write in (orders.update, orders.put):
        outdated = orders.get_or_raise("c1", "o1").model_copy(update={"version": 1})
        with pytest.raises(VersionConflictError) as refused:
            write(outdated)
        assert (refused.value.item.version, refused.value.item.note) == (7, "theirs")
        assert orders.get_or_raise("c1", "o1").note == "theirs"
    assert orders.update(orders.get_or_raise("c1", "o1")).version == 8


def test_a_write_that_fails_changes_nothing_that_is_read(make: Make) -> None:
    orders = make(CachedOrders)
    orders.create(order())
    orders.create(order("c1", "o2"))
    orders.get("c1", "o1")
    with pytest.raises(ConditionFailedError):
        orders.patch("c1", "o1", total=1, when=F.note == "another")
    with pytest.raises(TransactionCanceledError):
        transact_write([orders.patch_request("c1", "o1", total=1), orders.create_request(order("c1", "o2"))])
    assert orders.get("c1", "o1") == orders.get("c1", "o1", consistent=True)
    assert orders.get_or_raise("c1", "o1").total == 0


def test_pages_come_from_the_cache_until_something_is_written(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = make(CachedOrders)
    clock = [time.monotonic()]
    monkeypatch.setattr(CachedOrders.cache, "timer", lambda: clock[0])
    for number in range(5):
        orders.create(order("c1", f"o{number}"))
    clock[0] += 2

    def pages() -> list[list[str]]:
        found, cursor = [], None
        while True:
            page = orders.by_status("open").page(2, cursor)
            found.append(sorted(each.order_id for each in page.items))
            cursor = page.cursor
            if cursor is None:
                return found

    first = pages()
    with requests() as sent:
        assert pages() == first
        assert len(orders.by_status("open").page(2).items) == 2
        assert sorted(each.order_id for each in orders.by_status("open").limit(2)) == first[0]
    assert sent == []
    assert sorted(chain(*first)) == [f"o{number}" for number in range(5)]
    orders.patch("c1", "o3", status="paid")
    with requests() as sent:
        assert sorted(chain(*pages())) == ["o0", "o1", "o2", "o4"]
        pages()
    assert sent.count("Query") == 2 * len(pages())


class User(BaseModel):
    id: str
    email: str | None = None
    hits: int = 0


class CachedUsers(BaseDynamoRepository[User]):
    table_name = "users"
    primary_key = "id"
    unique = ("email",)
    cache = Cache(ttl=3600, negative_ttl=3600)


def test_writes_that_keep_values_unique(make: Make) -> None:
    users = make(CachedUsers)
    assert users.get("1") is None
    users.create(User(id="1", email="a@x"))
    assert users.get_or_raise("1").email == "a@x"
    users.patch("1", email="b@x")
    assert users.get_or_raise("1").email == "b@x"
    with pytest.raises(UniqueViolationError):
        users.create(User(id="2", email="b@x"))
    assert users.get("2") is None
    users.update(User(id="1", email="c@x", hits=3))
    assert users.get_or_raise("1").hits == 3
    users.delete("1")
    assert users.get("1") is None


class Note(BaseModel):
    id: str
    parent: str | None = None


class CachedNotes(BaseDynamoRepository[Note]):
    table_name = "notes"
    primary_key = "id"
    cache = Cache(ttl=3600, negative_ttl=3600)
    children = ParentPattern("by_parent", parent="parent", cached=True)


def test_trees_that_are_moved_and_deleted(make: Make) -> None:
    notes = make(CachedNotes)
    for id, parent in (("r", None), ("a", "r"), ("b", "r"), ("c", "a")):
        notes.create(Note(id=id, parent=parent))
    assert [notes.get_or_raise(id).parent for id in "rabc"] == [None, "r", "r", "a"]
    assert [note.id for note in notes.children("a")] == ["c"]
    notes.move_subtree("a", "b")
    assert notes.get_or_raise("a").parent == "b"
    assert [note.id for note in notes.children("b")] == ["a"]
    assert notes.delete_subtree("b") == 3
    assert notes.get_many(["r", "a", "b", "c"]) == [Note(id="r"), None, None, None]
    assert notes.children("b").all() == []


class Plan(BaseModel):
    id: str
    euros: int = 0


class PlanNow(BaseModel):
    id: str
    cents: int


class OldPlans(BaseDynamoRepository[Plan]):
    table_name = "plans"
    primary_key = "id"


class Plans(BaseDynamoRepository[PlanNow]):
    table_name = "plans"
    primary_key = "id"
    schema_version = 2
    cache = Cache(ttl=3600)

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        item["cents"] = item.pop("euros") * 100
        return item


class PlansWritingBack(Plans):
    schema_options = SchemaOptions(write_back=True)
    cache = Cache(ttl=3600)


def test_older_items_are_brought_up_to_date_and_migrated(make: Make) -> None:
    old, plans = make(OldPlans), make(Plans)
    old.put(Plan(id="a", euros=3))
    assert [plans.get_or_raise("a").cents for _ in range(2)] == [300, 300]
    assert plans.migrate().rewritten == 1
    with requests() as sent:
        assert plans.get_or_raise("a").cents == 300
    assert sent == ["GetItem"]
    assert plans.get_raw("a") == {"id": "a", "cents": 300, "schema_version": 2}


def test_what_is_written_back_is_read_again(make: Make) -> None:
    old, plans = make(OldPlans), make(PlansWritingBack)
    for id in "ab":
        old.put(Plan(id=id, euros=3))
    with requests() as sent:
        for _ in range(3):
            assert plans.get_or_raise("a").cents == 300
            assert [plan and plan.cents for plan in plans.get_many(["b"])] == [300]
    assert sorted(sent) == sorted(["GetItem", "UpdateItem", "GetItem", "BatchGetItem", "UpdateItem", "BatchGetItem"])


class Customer(BaseModel):
    customer: str
    name: str


SHARED = SingleTable("shared", partition_key="pk", sort_key="sk")


class Customers(BaseDynamoRepository[Customer]):
    single_table = SHARED
    primary_key = Key("C#{customer}")
    sort_key = Key("N#{name}")
    cache = Cache(ttl=3600, negative_ttl=3600)


def test_the_answers_about_a_table_are_those_of_its_key(make: Make) -> None:
    """In a shared table an item of another kind is not there; and it is seen when it comes to be ours."""
    customers = make(Customers)
    client = get_dynamodb_client(config=customers.config)
    entity = customers._entity
    (attribute,) = entity.told_by[1]
    ours = customers.create(Customer(customer="c", name="n"))
    stored = client.get(
        TableName=customers.table_name,
        Key={name: wire["S"] for name, wire in entity.key("c", "n").items()},
        ConsistentRead=True,
    )["Item"]
    assert customers.get("c", "n") == ours
    client.put(TableName=customers.table_name, Item={**stored, attribute: "Stranger"})
    assert customers.get("c", "n") is None
    client.put(TableName=customers.table_name, Item=stored)
    assert [customers.get("c", "n"), *customers.get_many([("c", "n")])] == [ours, ours]


def test_a_table_that_is_deleted_and_made_again_is_empty(make: Make) -> None:
    orders = make(CachedOrders)
    orders.create(order())
    assert orders.get("c1", "o1") is not None
    assert orders.delete_table()
    orders.ensure_table()
    assert orders.get("c1", "o1") is None
    assert orders.get_many([("c1", "o1")]) == [None]


def test_what_is_written_past_this_package_is_seen_when_the_cache_is_cleared(make: Make, server: Server) -> None:
    orders = make(CachedOrders)
    orders.create(order())
    assert orders.get("c1", "o1") is not None
    key = {name: {"S": value} for name, value in KEY.items()}
    server.client.delete_item(TableName=orders.table_name, Key=key)
    assert orders.get("c1", "o1") is not None
    orders.clear_cache()
    assert orders.get("c1", "o1") is None


def test_the_counts_say_what_happened(make: Make) -> None:
    orders = make(CachedOrders)
    orders.create(order())
    for _ in range(3):
        orders.get("c1", "o1")
        with suppress(Exception):
            orders.get("c1", "o9", consistent=True)
    info = orders.cache_info()
    assert (info.hits, info.misses, info.entries) == (2, 1, 1)
    assert isinstance(orders.get("c1", "o1"), Order)
