"""Tables: made, checked, watched and deleted from the declaration, on every server."""

from __future__ import annotations

import logging
from datetime import datetime
from typing import Any

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    BaseDynamoRepository,
    Derived,
    TableInUseError,
    TableNotFoundError,
    TableOptions,
    ValidationError,
)
from tests.contract.shop import Make, Orders, PlainOrders, order, requests
from tests.servers import Server


class Thing(BaseModel):
    owner: str
    made_at: datetime
    size: int = 0
    raw: bytes | None = None
    note: str | None = None
    expires: int | None = None


class Things(BaseDynamoRepository[Thing]):
    table_name = "things"
    primary_key = "owner"
    sort_key = "made_at"
    ttl_attribute = "expires"
    by_size = AccessPattern("by_size", partition="size", sort="raw", projection=["note"])
    by_local = AccessPattern("by_local", partition="owner", sort="size", projection="KEYS_ONLY", local=True)
    by_mark = AccessPattern("by_mark", partition=Derived("mark", ("note",), lambda note: note and note[0]))
    table_options = TableOptions(stream="NEW_AND_OLD_IMAGES")


def described(server: Server, repository: BaseDynamoRepository[Any]) -> dict[str, Any]:
    return dict(server.client.describe_table(TableName=repository.table_name)["Table"])


def test_create_table_makes_what_is_declared(server: Server) -> None:
    things = Things(server.config())
    assert things.table_status() is None
    assert not things.health_check()
    things.create_table()
    assert things.table_status() == "ACTIVE"
    assert things.health_check()
    table = described(server, things)
    assert table["TableName"] == f"{server.table_prefix}_dev_things"
    assert table["KeySchema"] == [
        {"AttributeName": "owner", "KeyType": "HASH"},
        {"AttributeName": "made_at", "KeyType": "RANGE"},
    ]
    assert {entry["AttributeName"]: entry["AttributeType"] for entry in table["AttributeDefinitions"]} == {
        "owner": "S",
        "made_at": "S",
        "size": "N",
        "raw": "B",
        "mark": "S",
    }
    indexes = {entry["IndexName"]: entry for entry in table["GlobalSecondaryIndexes"]}
    assert indexes.keys() == {"by_size", "by_mark"}
    assert indexes["by_size"]["Projection"] == {"ProjectionType": "INCLUDE", "NonKeyAttributes": ["note"]}
    assert indexes["by_mark"]["Projection"]["ProjectionType"] == "ALL"
    (local,) = table["LocalSecondaryIndexes"]
    assert (local["IndexName"], local["Projection"]["ProjectionType"]) == ("by_local", "KEYS_ONLY")
    assert table["BillingModeSummary"]["BillingMode"] == "PAY_PER_REQUEST"
    assert table["StreamSpecification"] == {"StreamEnabled": True, "StreamViewType": "NEW_AND_OLD_IMAGES"}
    ttl = server.client.describe_time_to_live(TableName=things.table_name)["TimeToLiveDescription"]
    assert ttl["AttributeName"] == "expires"
    assert ttl["TimeToLiveStatus"] in ("ENABLED", "ENABLING")


def test_provisioned_capacity(server: Server) -> None:
    class Provisioned(PlainOrders):
        table_name = "provisioned"
        table_options = TableOptions(read_units=3, write_units=2)

    repository = Provisioned(server.config())
    repository.create_table()
    table = described(server, repository)
    for entry in (table, *table["GlobalSecondaryIndexes"]):
        assert entry["ProvisionedThroughput"]["ReadCapacityUnits"] == 3
        assert entry["ProvisionedThroughput"]["WriteCapacityUnits"] == 2
    repository.create(order())
    assert repository.get("c1", "o1") is not None


def test_deletion_protection(server: Server) -> None:
    class Protected(PlainOrders):
        table_name = "protected"
        table_options = TableOptions(deletion_protection=True)

    repository = Protected(server.config())
    repository.create_table()
    assert described(server, repository)["DeletionProtectionEnabled"] is True
    with pytest.raises(ValidationError):
        repository.delete_table()
    assert repository.table_status() == "ACTIVE"
    server.client.update_table(TableName=repository.table_name, DeletionProtectionEnabled=False)
    assert repository.delete_table()


def test_create_table_twice_is_an_error(server: Server) -> None:
    orders = Orders(server.config())
    orders.create_table()
    with pytest.raises(TableInUseError, match=orders.table_name):
        orders.create_table()


def test_ensure_table_may_be_called_at_any_time(server: Server) -> None:
    orders = Orders(server.config())
    assert orders.ensure_table() is True
    created = orders.create(order())
    assert orders.ensure_table() is False
    assert Orders(server.config()).ensure_table() is False
    assert orders.get("c1", "o1") == created


def test_ensure_table_makes_up_for_a_missing_ttl(server: Server) -> None:
    """As when the process that made the table ended before it set the TTL."""

    class WithoutTtl(Orders):
        ttl_attribute = None

    WithoutTtl(server.config()).create_table()
    Orders(server.config()).ensure_table()
    ttl = server.client.describe_time_to_live(TableName=Orders(server.config()).table_name)["TimeToLiveDescription"]
    assert ttl["AttributeName"] == "expires_at"
    assert ttl["TimeToLiveStatus"] in ("ENABLED", "ENABLING")


class Item(BaseModel):
    p: str
    s: str = ""
    n: int = 0
    x: str | None = None


def test_ensure_table_refuses_a_table_that_is_another_one(server: Server) -> None:
    class Base(BaseDynamoRepository[Item]):
        table_name = "items"
        primary_key = "p"
        sort_key = "s"
        by_x = AccessPattern("by_x", partition="x", sort="n", projection="KEYS_ONLY")

    class OtherKey(BaseDynamoRepository[Item]):
        table_name = "items"
        primary_key = "s"
        sort_key = "p"

    class NoSort(BaseDynamoRepository[Item]):
        table_name = "items"
        primary_key = "p"

    class NumberSort(BaseDynamoRepository[Item]):
        table_name = "items"
        primary_key = "p"
        sort_key = "n"

    class OtherIndexKey(Base):
        by_x = AccessPattern("by_x", partition="x", sort="s")

    class MoreIndexes(Base):
        by_n = AccessPattern("by_n", partition="n")

    class WiderIndex(Base):
        by_x = AccessPattern("by_x", partition="x", sort="n")

    class OtherType(Item):
        s: int = 0  # type: ignore[assignment]

    class TypedSort(BaseDynamoRepository[OtherType]):
        table_name = "items"
        primary_key = "p"
        sort_key = "s"

    class Plainer(BaseDynamoRepository[Item]):
        table_name = "items"
        primary_key = "p"
        sort_key = "s"

    Base(server.config()).create_table()
    for other in (OtherKey, NoSort, NumberSort, OtherIndexKey, MoreIndexes, WiderIndex, TypedSort):
        with pytest.raises(ValidationError, match="not as declared") as caught:
            other(server.config()).ensure_table()
        assert caught.value.errors, other
        assert "_dev_items" in str(caught.value)
    assert Plainer(server.config()).ensure_table() is False


def test_delete_table(server: Server, make: Make) -> None:
    orders = make(Orders)
    orders.create(order())
    assert orders.delete_table() is True
    assert orders.table_status() is None
    assert orders.delete_table() is False
    assert orders.ensure_table() is True
    assert orders.list_all() == []


def test_progress_is_told_or_logged(server: Server, caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []
    orders, plain = Orders(server.config()), PlainOrders(server.config())
    orders.create_table(progress=told.append)
    assert told[-1] == "ACTIVE"
    assert orders.delete_table(progress=told.append)
    assert told[-1] == "gone"
    with caplog.at_level(logging.INFO, logger="dynamodb_wrapper"):
        plain.ensure_table()
    assert f"table {plain.table_name} is ACTIVE" in caplog.messages


def test_a_missing_table_is_named_with_what_to_do(server: Server) -> None:
    orders = Orders(server.config())
    for attempt in (
        lambda: orders.get("c1", "o1"),
        lambda: orders.create(order()),
        lambda: orders.patch("c1", "o1", note="x"),
        lambda: orders.delete("c1", "o1"),
        lambda: orders.list_all(),
        lambda: orders.by_status("open").first(),
        lambda: orders.count("c1"),
    ):
        with pytest.raises(TableNotFoundError) as caught:
            attempt()
        assert orders.table_name in str(caught.value)
        assert "ensure_table" in str(caught.value)
        assert caught.value.table_name == orders.table_name
    model = order()
    with pytest.raises(TableNotFoundError):
        orders.create(model)
    assert (model.version, model.created_at) == (0, None)


def test_names_have_the_prefix_and_the_environment(server: Server) -> None:
    assert Orders(server.config()).table_name == f"{server.table_prefix}_dev_orders"
    assert Orders(server.config(environment="prod")).table_name == f"{server.table_prefix}_orders"
    assert Orders(server.config()).table.name == f"{server.table_prefix}_dev_orders"

    class Physical(BaseDynamoRepository[Item]):
        primary_key = "p"
        sort_key = "s"

        @property
        def table_name(self) -> str:
            return f"{self.config.table_prefix}-by-hand"

    physical = Physical(server.config())
    assert physical.table_name == f"{server.table_prefix}-by-hand"
    physical.create_table()
    assert physical.create(Item(p="a", s="b")) == physical.get("a", "b")
    assert f"{server.table_prefix}-by-hand" in server.client.list_tables()["TableNames"]


def test_nothing_is_sent_before_it_is_asked_for(server: Server) -> None:
    with requests() as sent:
        orders = Orders(server.config())
        repr(orders)
        repr(orders.by_status("open").limit(3))
        assert orders.table is orders.table
    assert sent == []
