"""One item: create, put, get, update, patch, delete, on every server."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.conditions import Attr
from pydantic import BaseModel, ConfigDict, Field

from dynamodb_wrapper import (
    AccessPattern,
    Add,
    Append,
    BaseDynamoRepository,
    ConditionFailedError,
    Delete,
    Derived,
    ExpressionError,
    F,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    Prepend,
    Remove,
    SetIfMissing,
    Unique,
    UniqueViolationError,
    ValidationError,
    VersionConflictError,
)
from tests.contract.shop import (
    MONDAY,
    Address,
    Line,
    Make,
    Order,
    Orders,
    PlainOrders,
    Status,
    order,
    requests,
    stored,
)
from tests.servers import Server


@pytest.fixture
def orders(make: Make) -> Orders:
    return make(Orders)


@pytest.fixture
def plain(make: Make) -> PlainOrders:
    return make(PlainOrders)


# --- create ---------------------------------------------------------------------------------------------------------


def test_create_writes_what_get_reads(orders: Orders) -> None:
    given = order(total=Decimal("12.50"), tags={"a", "b"}, address=Address(street="High St", city="Bath"))
    created = orders.create(given)
    assert created is given
    assert orders.get("c1", "o1") == created
    assert orders.get_or_raise("c1", "o1", consistent=True) == created


def test_create_never_overwrites_and_shows_what_is_there(orders: Orders) -> None:
    first = orders.create(order(note="first"))
    with pytest.raises(ItemAlreadyExistsError) as caught:
        orders.create(order(note="second"))
    assert caught.value.item == first
    assert caught.value.table_name == orders.table_name
    assert caught.value.key == {"customer_id": "c1", "order_id": "o1"}
    assert caught.value.operation == "PutItem"
    assert caught.value.code == "ConditionalCheckFailedException"
    assert caught.value.request_id
    assert caught.value.original_error is not None
    assert orders.get("c1", "o1") == first


def test_create_needs_the_whole_key_to_be_free_and_nothing_else(orders: Orders) -> None:
    orders.create(order("c1", "o1"))
    orders.create(order("c1", "o2"))
    orders.create(order("c2", "o1"))
    assert len(orders.list_all()) == 3


def test_a_failed_create_changes_nothing_on_the_model_and_a_retry_overwrites_nothing(orders: Orders) -> None:
    """The version moves after success only: otherwise the retry below would look like an update of version 1."""
    theirs = orders.create(order(note="theirs"))
    mine = order(note="mine")
    before = mine.model_copy(deep=True)
    for attempt in (orders.create, orders.create, orders.update, orders.put):
        with pytest.raises(ConditionFailedError):
            attempt(mine)
        assert mine == before
        assert mine.model_fields_set == before.model_fields_set
    assert orders.get("c1", "o1") == theirs


def test_create_keeps_times_that_were_given(orders: Orders) -> None:
    given = orders.create(order(created_at=MONDAY, updated_at=MONDAY))
    assert (given.created_at, given.updated_at) == (MONDAY, MONDAY)
    assert orders.get("c1", "o1") == given


# --- versions -------------------------------------------------------------------------------------------------------


def test_versions_count_writes(orders: Orders, server: Server) -> None:
    model = order()
    assert orders.create(model).version == 1
    assert orders.update(model).version == 2
    assert orders.put(model).version == 3
    assert orders.patch("c1", "o1", note="x").version == 4
    assert stored(server, orders, customer_id="c1", order_id="o1")["version"] == {"N": "4"}


def test_create_starts_at_1_whatever_the_model_says(orders: Orders) -> None:
    assert orders.create(order(version=7)).version == 1


def test_a_stale_update_conflicts_and_shows_what_is_stored(orders: Orders) -> None:
    orders.create(order())
    mine, theirs = orders.get_or_raise("c1", "o1"), orders.get_or_raise("c1", "o1")
    theirs.note = "theirs"
    orders.update(theirs)
    mine.note = "mine"
    for attempt in (orders.update, orders.put):
        with pytest.raises(VersionConflictError) as caught:
            attempt(mine)
        assert caught.value.item == theirs
        assert caught.value.key == {"customer_id": "c1", "order_id": "o1"}
        assert caught.value.table_name == orders.table_name
        assert mine.version == 1
    mine.version = caught.value.item.version
    assert orders.update(mine).version == 3


@pytest.mark.parametrize("version", [0, None])
def test_a_model_that_was_never_stored_conflicts_with_one_that_was(make: Make, version: int | None) -> None:
    class Thing(BaseModel):
        id: str
        version: int | None = None

    class Things(BaseDynamoRepository[Thing]):
        table_name = "things"
        primary_key = "id"
        version_attribute = "version"

    things = make(Things)
    things.create(Thing(id="a"))
    for attempt in (things.update, things.put):
        with pytest.raises(VersionConflictError):
            attempt(Thing(id="a", version=version))
    with pytest.raises(ItemNotFoundError):
        things.update(Thing(id="b", version=version))
    assert things.put(Thing(id="b", version=version)).version == 1


def test_put_writes_over_the_version_read_or_over_nothing(orders: Orders) -> None:
    model = orders.put(order(note="new"))
    assert model.version == 1
    model.note = "changed"
    assert orders.put(model).version == 2
    assert orders.get("c1", "o1") == model
    assert orders.delete("c1", "o1")
    assert orders.put(model).version == 3


def test_put_without_a_version_replaces_everything(plain: PlainOrders) -> None:
    plain.put(order(note="first", tags={"a"}))
    second = plain.put(order(total=Decimal(5)))
    assert plain.get("c1", "o1") == second
    assert second.note is None


def test_update_replaces_the_whole_item(plain: PlainOrders, server: Server) -> None:
    model = plain.create(order(note="x", tags={"a"}, active=True))
    changed = model.model_copy(update={"note": None, "tags": set(), "active": False})
    plain.update(changed)
    assert plain.get("c1", "o1") == changed
    assert stored(server, plain, customer_id="c1", order_id="o1").keys().isdisjoint({"note", "tags", "active_key"})


def test_update_of_a_missing_item_writes_nothing(orders: Orders, plain: PlainOrders) -> None:
    for repository in (orders, plain):
        for version in (0, 3):
            with pytest.raises(ItemNotFoundError) as caught:
                repository.update(order(version=version))
            assert caught.value.table_name == repository.table_name
            assert caught.value.key == {"customer_id": "c1", "order_id": "o1"}
        assert repository.get("c1", "o1") is None


# --- what a write sets ----------------------------------------------------------------------------------------------


def test_a_frozen_model_is_returned_as_a_copy(make: Make) -> None:
    class Thing(BaseModel):
        model_config = ConfigDict(frozen=True)
        id: str
        version: int = 0
        updated_at: datetime | None = None

    class Things(BaseDynamoRepository[Thing]):
        table_name = "things"
        primary_key = "id"
        version_attribute = "version"

    things, given = make(Things), Thing(id="a")
    created = things.create(given)
    assert (given.version, given.updated_at) == (0, None)
    assert created.version == 1
    assert created.updated_at is not None
    assert things.get("a") == created
    updated = things.update(created)
    assert (created.version, updated.version) == (1, 2)
    assert things.get("a") == updated


def test_the_times_of_writes_are_kept(orders: Orders) -> None:
    started = datetime.now(UTC)
    created = orders.create(order()).model_copy()
    assert created.created_at == created.updated_at
    assert created.created_at is not None
    assert created.created_at.tzinfo is not None
    assert started <= created.created_at <= datetime.now(UTC)
    updated = orders.update(orders.get_or_raise("c1", "o1")).model_copy()
    patched = orders.patch("c1", "o1", note="x")
    assert updated.created_at == patched.created_at == created.created_at
    assert created.updated_at is not None
    assert updated.updated_at is not None
    assert patched.updated_at is not None
    assert created.updated_at < updated.updated_at < patched.updated_at


def test_expiry_is_stored_as_whole_seconds_and_read_as_a_datetime(orders: Orders, server: Server) -> None:
    expiry = datetime(2027, 1, 1, 12, 0, 0, 250_000, tzinfo=timezone(timedelta(hours=5)))
    created = orders.create(order(expires_at=expiry))
    whole = datetime(2027, 1, 1, 7, 0, 1, tzinfo=UTC)
    assert stored(server, orders, customer_id="c1", order_id="o1")["expires_at"] == {"N": str(int(whole.timestamp()))}
    assert created.expires_at == whole
    assert orders.get("c1", "o1") == created
    patched = orders.patch("c1", "o1", expires_at=MONDAY)
    assert patched.expires_at == MONDAY
    assert stored(server, orders, customer_id="c1", order_id="o1")["expires_at"] == {"N": str(int(MONDAY.timestamp()))}
    assert orders.query("c1").where(F.expires_at < MONDAY + timedelta(seconds=1)).count() == 1
    assert orders.patch("c1", "o1", expires_at=None).expires_at is None
    assert "expires_at" not in stored(server, orders, customer_id="c1", order_id="o1")


def test_what_is_none_is_left_out(orders: Orders, server: Server) -> None:
    orders.create(order(note=None))
    item = stored(server, orders, customer_id="c1", order_id="o1")
    assert item.keys().isdisjoint({"note", "address", "active", "expires_at", "ref", "reference"})
    assert orders.delete("c1", "o1", when=F.note.not_exists())


# --- get, exists ----------------------------------------------------------------------------------------------------


def test_a_missing_item_is_none_false_or_an_error_that_names_it(orders: Orders) -> None:
    assert orders.get("c1", "o1") is None
    assert orders.get("c1", "o1", attributes=["note"]) is None
    assert orders.get_raw("c1", "o1") is None
    assert not orders.exists("c1", "o1")
    for attributes in (None, ["note"]):
        with pytest.raises(ItemNotFoundError) as caught:
            orders.get_or_raise("c1", "o1", attributes=attributes)  # type: ignore[call-overload]
        assert caught.value.table_name == orders.table_name
        assert caught.value.key == {"customer_id": "c1", "order_id": "o1"}
        assert orders.table_name in str(caught.value)
        assert "'o1'" in str(caught.value)


def test_exists_reads_no_attributes(orders: Orders) -> None:
    orders.create(order(note="x" * 1000))
    assert orders.exists("c1", "o1")
    assert orders.exists("c1", "o1", consistent=True)
    assert not orders.exists("c1", "o2")


def test_a_partial_read_never_pretends_to_be_a_model(orders: Orders) -> None:
    orders.create(order(total=Decimal("1.5"), reference="r1", address=Address(street="s", city="Bath")))
    partial = orders.get_or_raise("c1", "o1", attributes=["total", "note", F.reference, "placed_at", "address.city"])
    assert not isinstance(partial, Order)
    assert dict(partial) == {
        "total": Decimal("1.5"),
        "reference": "r1",
        "placed_at": MONDAY,
        "address": {"city": "Bath"},
    }
    assert partial.total == Decimal("1.5")
    with pytest.raises(AttributeError):
        _ = partial.note
    assert dict(orders.get_or_raise("c1", "o1", attributes=["note"])) == {}
    assert dict(orders.get_or_raise("c1", "o1", attributes=["customer_id"])) == {"customer_id": "c1"}
    assert dict(orders.get_or_raise("c1", "o1", attributes=["tags"])) in ({}, {"tags": set()})


def test_an_item_that_is_no_model_any_more_is_an_error_with_its_key_and_can_be_read_raw(
    orders: Orders, server: Server
) -> None:
    item: Any = {"customer_id": {"S": "c1"}, "order_id": {"S": "o1"}, "total": {"S": "lots"}, "n": {"NS": ["1", "2"]}}
    server.client.put_item(TableName=orders.table_name, Item=item)
    with pytest.raises(ValidationError) as caught:
        orders.get("c1", "o1")
    assert "total" in caught.value.errors
    assert caught.value.context["key"] == {"customer_id": "c1", "order_id": "o1"}
    assert caught.value.context["table_name"] == orders.table_name
    with pytest.raises(ValidationError):
        list(orders.query("c1"))
    assert orders.get_raw("c1", "o1") == {"customer_id": "c1", "order_id": "o1", "total": "lots", "n": {1, 2}}


# --- patch ----------------------------------------------------------------------------------------------------------


def test_patch_sets_values_and_returns_the_new_model(orders: Orders) -> None:
    orders.create(order(note="old"))
    patched = orders.patch("c1", "o1", status=Status.PAID, note="new", total="9.99")
    assert (patched.status, patched.note, patched.total) == (Status.PAID, "new", Decimal("9.99"))
    assert orders.get("c1", "o1") == patched


def test_patch_with_every_action(orders: Orders, server: Server) -> None:
    orders.create(order(total=Decimal("1.5"), tags={"a", "b"}, words=["b"], note="x", reference="r"))
    patched = orders.patch(
        "c1",
        "o1",
        total=Add(Decimal("0.25")),
        count=Add(3),
        tags=Add({"c"}),
        words=Append("c", "d"),
        note=Remove(),
        reference=SetIfMissing("other"),
        active=SetIfMissing(True),
        lines=Append([Line(sku="s1"), Line(sku="s2")]),
    )
    assert (patched.total, patched.count, patched.tags, patched.words) == (
        Decimal("1.75"),
        3,
        {"a", "b", "c"},
        ["b", "c", "d"],
    )
    assert (patched.note, patched.reference, patched.active) == (None, "r", True)
    assert patched.lines == [Line(sku="s1"), Line(sku="s2")]
    patched = orders.patch("c1", "o1", words=Prepend("x", "a"), tags=Delete("a", "c"), count=Add(-5), note=Remove)
    assert (patched.words, patched.tags, patched.count) == (["x", "a", "b", "c", "d"], {"b"}, -2)
    assert orders.patch("c1", "o1", tags=Delete("b")).tags == set()
    assert "tags" not in stored(server, orders, customer_id="c1", order_id="o1")
    assert orders.patch("c1", "o1", tags={"z"}, words=[]).tags == {"z"}
    assert orders.patch("c1", "o1", tags=set()).tags == set()
    assert orders.get_or_raise("c1", "o1").version == 6


def test_patch_of_places_inside_attributes(orders: Orders) -> None:
    orders.create(
        order(
            address=Address(street="High St", city="Bath", post_code="BA1"),
            lines=[Line(sku="s1"), Line(sku="s2")],
            prices={"a.b": Decimal(1), "c": Decimal(2)},
        )
    )
    patched = orders.patch(
        "c1",
        "o1",
        {
            "address.city": "Wells",
            F.address.post_code: Remove(),
            "lines[0].count": Add(4),
            F.lines[1]: Line(sku="s3"),
            F.prices["a.b"]: Decimal(7),
            F.prices["new"]: Decimal("0.1"),
        },
    )
    assert patched.address == Address(street="High St", city="Wells")
    assert patched.lines == [Line(sku="s1", count=5), Line(sku="s3")]
    assert patched.prices == {"a.b": Decimal(7), "c": Decimal(2), "new": Decimal("0.1")}
    assert orders.patch("c1", "o1", {F.lines[0]: Remove(), F.prices["c"]: Remove}).lines == [Line(sku="s3")]
    assert orders.get_or_raise("c1", "o1").prices == {"a.b": Decimal(7), "new": Decimal("0.1")}


def test_patch_takes_the_python_name_of_an_alias(orders: Orders, server: Server) -> None:
    orders.create(order())
    assert orders.patch("c1", "o1", reference="r1").reference == "r1"
    assert stored(server, orders, customer_id="c1", order_id="o1")["ref"] == {"S": "r1"}
    assert orders.patch("c1", "o1", {"ref": "r2"}, when=F.reference == "r1").reference == "r2"
    with pytest.raises(ValidationError, match="reference"):
        orders.patch("c1", "o1", reference="x" * 21)


def test_patch_only_when(orders: Orders) -> None:
    before = orders.create(order(total=Decimal(5)))
    for when in (F.total > 5, Attr("total").gt(5), (F.total == 5) & F.note.exists(), ~(F.status == "open")):
        with pytest.raises(ConditionFailedError) as caught:
            orders.patch("c1", "o1", note="x", when=when)
        assert caught.value.item == before
        assert type(caught.value) is ConditionFailedError
        assert caught.value.key == {"customer_id": "c1", "order_id": "o1"}
    assert orders.get("c1", "o1") == before
    assert orders.patch("c1", "o1", note="x", when=F.placed_at == MONDAY).note == "x"
    assert orders.patch("c1", "o1", note="y", when=F.version == 2).version == 3
    with pytest.raises(ConditionFailedError):
        orders.patch("c1", "o1", note="z", when=F.version == 2)


def test_patch_of_a_missing_item_creates_no_fragment(orders: Orders, plain: PlainOrders) -> None:
    for repository in (orders, plain):
        for changes in ({"note": "x"}, {"count": Add(1)}, {"note": Remove()}):
            with pytest.raises(ItemNotFoundError) as caught:
                repository.patch("c1", "o1", changes)
            assert caught.value.key == {"customer_id": "c1", "order_id": "o1"}
        with pytest.raises(ItemNotFoundError):
            repository.patch("c1", "o1", note="x", when=F.note.not_exists())
        assert not repository.exists("c1", "o1")


def test_an_item_that_an_upsert_makes_is_in_the_indexes_by_its_defaults(make: Make) -> None:
    class Job(BaseModel):
        id: str
        queue: str = Field(default="main", alias="q")
        state: str = "new"
        tries: int = 0

    class Jobs(BaseDynamoRepository[Job]):
        table_name = "jobs"
        primary_key = "id"
        unique = (Unique("state", within="queue"),)
        by_queue = AccessPattern("by_queue", partition="queue", sort="state")

    jobs = make(Jobs)
    jobs.patch("a", tries=Add(1), upsert=True)
    jobs.patch("a", tries=Add(1), upsert=True)
    assert jobs.by_queue("main").all() == [Job(id="a", tries=2)]
    with pytest.raises(UniqueViolationError):
        jobs.patch("b", tries=Add(1), upsert=True)
    jobs.patch("b", queue="other", upsert=True)
    assert [job.id for job in jobs.by_queue("other")] == ["b"]


def test_upsert_creates_a_whole_item_or_refuses(make: Make) -> None:
    class Counter(BaseModel):
        name: str
        owner: str
        hits: int
        seen: set[str] = Field(default_factory=set)
        version: int = 0
        created_at: datetime | None = None
        updated_at: datetime | None = None

    class Counters(BaseDynamoRepository[Counter]):
        table_name = "counters"
        primary_key = "name"
        version_attribute = "version"

    counters = make(Counters)
    with requests() as sent, pytest.raises(ValidationError, match="owner"):
        counters.patch("a", hits=Add(1), upsert=True)
    assert sent == []
    first = counters.patch("a", hits=Add(1), owner=SetIfMissing("me"), seen=Add({"x"}), upsert=True)
    assert (first.name, first.owner, first.hits, first.seen, first.version) == ("a", "me", 1, {"x"}, 1)
    assert first.created_at is not None
    assert first.created_at == first.updated_at
    second = counters.patch("a", hits=Add(1), owner=SetIfMissing("you"), upsert=True)
    assert (second.owner, second.hits, second.version, second.created_at) == ("me", 2, 2, first.created_at)
    with pytest.raises(ConditionFailedError):
        counters.patch("b", hits=1, owner="me", upsert=True, when=F.hits > 5)
    assert not counters.exists("b")


def test_patch_refuses_what_would_break_the_item(orders: Orders) -> None:
    orders.create(order(address=Address(street="s", city="c"), lines=[Line(sku="a")]))
    before = orders.get("c1", "o1")
    refused: list[dict[Any, Any]] = [
        {"customer_id": "c2"},
        {"order_id": Remove()},
        {"version": 5},
        {"version": Add(2)},
        {"unknown": 1},
        {"address.unknown": 1},
        {"address.city": Remove()},
        {"address.city": None},
        {"lines[0].sku": Remove},
        {"status": "lost"},
        {"total": "lots"},
        {"total": Decimal("NaN")},
        {"total": Append(1)},
        {"note": Add(1)},
        {"note": Delete("x")},
        {"tags": Add({1})},
        {"tags": Add(set())},
        {"words": Append(7)},
        {"count": 1.5},
        {"lines[x].sku": "a"},
        {"note": F.total},
        {"note": F.total > 5},
        {"address": Address(street="s", city="c"), "address.city": "x"},
        {},
    ]
    with requests() as sent:
        for changes in refused:
            with pytest.raises(ValidationError):
                orders.patch("c1", "o1", changes)
            assert sent == [], changes
    assert sent == []
    assert orders.get("c1", "o1") == before


def test_patch_cannot_remove_what_the_model_requires(make: Make) -> None:
    class Thing(BaseModel):
        id: str
        name: str
        maybe: str | None
        kinds: set[str]

    class Things(BaseDynamoRepository[Thing]):
        table_name = "things"
        primary_key = "id"

    things = make(Things)
    things.create(Thing(id="a", name="n", maybe="m", kinds={"x"}))
    for change in (Remove(), Remove, None):
        with pytest.raises(ValidationError, match="name"):
            things.patch("a", name=change)
    assert things.patch("a", maybe=Remove(), kinds=Remove()) == Thing(id="a", name="n", maybe=None, kinds=set())


def test_patch_says_so_when_changes_are_given_in_the_wrong_place(make: Make) -> None:
    class Thing(BaseModel):
        id: str
        name: str

    class Things(BaseDynamoRepository[Thing]):
        table_name = "things"
        primary_key = "id"

    things = make(Things)
    things.create(Thing(id="a", name="n"))
    with pytest.raises(ValidationError, match="changes="):
        things.patch("a", {"name": "x"})
    with pytest.raises(ValidationError, match="both"):
        things.patch("a", changes={"name": "x"}, name="y")
    assert things.patch("a", changes={"name": "x"}).name == "x"


# --- derived attributes ---------------------------------------------------------------------------------------------


def test_derived_attributes_follow_every_write(plain: PlainOrders, server: Server) -> None:
    def keys() -> tuple[str | None, str | None]:
        item = stored(server, plain, customer_id="c1", order_id="o1")
        return item.get("active_key", {}).get("S"), item.get("place_key", {}).get("S")

    model = plain.create(order(active=True, total=Decimal(5)))
    assert keys() == ("yes", "open#000000005.00")
    model.active = False
    plain.update(model)
    assert keys() == (None, "open#000000005.00")
    plain.patch("c1", "o1", active=True)
    assert keys()[0] == "yes"
    plain.patch("c1", "o1", note="x")
    assert keys() == ("yes", "open#000000005.00")
    plain.patch("c1", "o1", active=None)
    assert keys()[0] is None
    plain.patch("c1", "o1", active=True)
    plain.patch("c1", "o1", active=Remove())
    assert keys()[0] is None
    plain.patch("c1", "o1", status="paid", total=7)
    assert keys() == (None, "paid#000000007.00")
    model.active, model.total = True, Decimal(6)
    plain.put(model)
    assert keys() == ("yes", "open#000000006.00")
    assert plain.get("c1", "o1") == model


def test_a_patch_of_a_part_of_a_derived_key_is_refused(plain: PlainOrders) -> None:
    plain.create(order(active=True, total=Decimal(5)))
    refused: list[dict[str, Any]] = [
        {"status": "paid"},
        {"total": 7},
        {"status": "paid", "total": Add(1)},
        {"active": SetIfMissing(True)},
        {"active_key": "yes"},
    ]
    with requests() as sent:
        for changes in refused:
            with pytest.raises(ExpressionError, match=r"active|place_key"):
                plain.patch("c1", "o1", changes)
    assert sent == []


def test_a_derived_key_on_a_managed_time_moves_with_it(make: Make, server: Server) -> None:
    class Thing(BaseModel):
        id: str
        note: str | None = None
        updated_at: datetime | None = None

    by_time = Derived("changed", ("id", "updated_at"), lambda id, updated_at: f"{id}/{updated_at:%H:%M:%S.%f}")

    class Things(BaseDynamoRepository[Thing]):
        table_name = "things"
        primary_key = "id"
        changed = AccessPattern("changed", partition=by_time)

    things = make(Things)
    things.create(Thing(id="a"))
    patched = things.patch("a", note="x")
    assert stored(server, things, id="a")["changed"] == {"S": f"a/{patched.updated_at:%H:%M:%S.%f}"}


# --- delete ---------------------------------------------------------------------------------------------------------


def test_delete_tells_whether_an_item_was_there(orders: Orders) -> None:
    orders.create(order())
    assert orders.delete("c1", "o1") is True
    assert orders.delete("c1", "o1") is False


def test_delete_only_when(orders: Orders) -> None:
    stored_order = orders.create(order(note="x"))
    for when in (F.note == "y", Attr("note").eq("y"), F.version == 2):
        with pytest.raises(ConditionFailedError) as caught:
            orders.delete("c1", "o1", when=when)
        assert caught.value.item == stored_order
    assert orders.exists("c1", "o1")
    assert orders.delete("c1", "o1", when=Attr("note").eq("x") & Attr("version").eq(1)) is True
    with pytest.raises(ConditionFailedError) as caught:
        orders.delete("c1", "o1", when=F.note == "x")
    assert caught.value.item is None


# --- conditions -----------------------------------------------------------------------------------------------------


CONDITIONS: list[tuple[Any, bool]] = [
    (F.total == 5, True),
    (F.total != 5, False),
    (F.total.between(1, 5), True),
    (F.total.in_([1, 5]), True),
    (F.status == Status.OPEN, True),
    (F.placed_at < MONDAY.astimezone(timezone(timedelta(hours=-8))) + timedelta(microseconds=1), True),
    (F.note.begins_with("he"), True),
    (F.note.contains("ell"), True),
    (F.note.size() == 5, True),
    (F.tags.contains("a"), True),
    (F.tags.contains("z"), False),
    (F.tags.size() == 2, True),
    (F.words.contains("w"), True),
    (F.words[0] == "v", True),
    (F.words[5].exists(), False),
    (F.address.city == "Bath", True),
    (F.lines[0].count > 2, True),
    (F.reference == "r", True),
    (F.reference.is_type("S"), True),
    (F.total > F.count, True),
    (F.count == 0, True),
    (F.active.not_exists(), True),
    (~((F.total == 5) | (F.note == "x")), False),
    ((F.total == 4) | ((F.note == "hello") & ~F.active.exists()), True),
    (Attr("total").eq(5), True),
    (Attr("ref").eq("r"), True),
    (Attr("reference").begins_with("r") & Attr("total").between(1, 9), True),
    (Attr("status").is_in([Status.OPEN, "paid"]), True),
    (Attr("address.city").eq("Bath"), True),
    (Attr("words[0]").eq("v"), True),
    (~Attr("active").exists() | Attr("note").contains("zzz"), True),
    (Attr("note").size().gte(5), True),
    (Attr("note").attribute_type("N"), False),
]


@pytest.fixture
def full_order(orders: Orders) -> Order:
    return orders.create(
        order(
            total=Decimal(5),
            note="hello",
            tags={"a", "b"},
            words=["v", "w"],
            reference="r",
            address=Address(street="s", city="Bath"),
            lines=[Line(sku="s", count=3)],
        )
    )


def test_conditions_of_filters(orders: Orders, full_order: Order) -> None:
    for condition, holds in CONDITIONS:
        assert orders.query("c1").where(condition).all() == [full_order] * holds, condition


def test_conditions_of_patches_and_deletes(orders: Orders, full_order: Order) -> None:
    for condition, holds in CONDITIONS:
        if holds:
            assert orders.patch("c1", "o1", active=None, when=condition).note == "hello", condition
            continue
        for change in (
            lambda when: orders.patch("c1", "o1", note="x", when=when),
            lambda when: orders.delete("c1", "o1", when=when),
        ):
            with pytest.raises(ConditionFailedError):
                change(condition)
