"""Schema versions on real servers: every way to read, writes of old and new programs, migrations beside them."""

from __future__ import annotations

import json
import random
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict, field_serializer

from dynamodb_wrapper import (
    AccessPattern,
    Add,
    BaseDynamoRepository,
    ConditionFailedError,
    F,
    InvalidCursorError,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    Key,
    Sharded,
    SingleTable,
    TransactionCanceledError,
    Unique,
    ValidationError,
    VersionConflictError,
)
from dynamodb_wrapper.codec import SchemaOptions
from dynamodb_wrapper.exceptions import AccessDeniedError, SchemaVersionError, UniqueViolationError
from dynamodb_wrapper.operations import evolving, trees
from dynamodb_wrapper.operations.effects import Call, Flow, Response
from dynamodb_wrapper.repositories.patterns import ParentPattern
from dynamodb_wrapper.repositories.transactions import transact_get, transact_write
from dynamodb_wrapper.transport import RetryPolicy, SyncDriver
from tests import servers
from tests.contract.shop import Make, requests, stored
from tests.servers import Server

LOCKING = sorted({*servers.chosen(), "embedded"} - {"moto"})
"""Not moto's server, which has no item lock."""


class Plan(BaseModel):
    """The model of the first program."""

    id: str
    team: str = "t"
    name: str
    euros: Decimal = Decimal(0)
    hits: int = 0
    version: int = 0


class Price(BaseModel):
    cents: int
    currency: str = "EUR"


class PlanNow(BaseModel):
    """The model of the second program: a price in the place of euros, and a title."""

    id: str
    team: str = "t"
    title: str
    price: Price
    parent: str | None = None
    color: str = "grey"
    hits: int = 0
    version: int = 0


class PlansOnce(BaseDynamoRepository[Plan]):
    """As it was before anybody thought of versions."""

    table_name = "plans"
    primary_key = "id"
    version_attribute = "version"
    by_team = AccessPattern("by_team", partition="team", sort="id")


class Plans(BaseDynamoRepository[PlanNow]):
    table_name = "plans"
    primary_key = "id"
    version_attribute = "version"
    schema_version = 3
    by_team = AccessPattern("by_team", partition="team", sort="id")
    below = ParentPattern("below", parent="parent", id="id")

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        item["title"] = item.pop("name")
        return item

    def upcast_v2_v3(self, item: dict[str, Any]) -> dict[str, Any]:
        item["price"] = {"cents": int(item.pop("euros", 0) * 100), "currency": "EUR"}
        return item


class WritingBack(Plans):
    schema_options = SchemaOptions(write_back=True)


@pytest.fixture
def plans(make: Make) -> Plans:
    repository = make(Plans)
    once = make(PlansOnce)
    once.put(Plan(id="a", name="Alpha", euros=Decimal("1.5")))
    repository.table.put_item(Item={"id": "b", "team": "t", "title": "Beta", "euros": 2, "schema_version": 2})
    repository.put(PlanNow(id="c", title="Gamma", price=Price(cents=300)))
    return repository


WANTED = {"a": ("Alpha", 150), "b": ("Beta", 200), "c": ("Gamma", 300)}


def seen(found: Any) -> dict[str, tuple[str, int]]:
    return {plan.id: (plan.title, plan.price.cents) for plan in found if plan is not None}


# --- reading ----------------------------------------------------------------------------------------------------------

READS: dict[str, Callable[[Any], Any]] = {
    "get": lambda plans: [plans.get(key) for key in "abc"],
    "get_or_raise": lambda plans: [plans.get_or_raise(key, consistent=True) for key in "abc"],
    "get_many": lambda plans: plans.get_many(["a", "b", "c"]),
    "scan": lambda plans: plans.scan().all(),
    "scan in pages": lambda plans: [*(first := plans.scan().page(2)).items, *plans.scan().page(2, first.cursor).items],
    "scan lazily": lambda plans: list(plans.scan()),
    "list_all": lambda plans: plans.list_all(),
    "query": lambda plans: [plans.query(key).one() for key in "abc"],
    "pattern": lambda plans: list(plans.by_team("t")),
    "first of a pattern": lambda plans: [plans.by_team("t").eq(key).first() for key in "abc"],
    "parallel_scan": lambda plans: list(plans.parallel_scan(3)),
    "transact_get": lambda plans: transact_get([plans.get_request(key) for key in "abc"]),
    "with_timezone": lambda plans: plans.list_all_with_timezone("Europe/Berlin"),
    "trees": lambda plans: [plans.read_tree(key).item for key in "abc"],
    "filtered": lambda plans: plans.scan().where(F.team == "t").all(),
}


@pytest.mark.parametrize("way", READS)
def test_older_items_are_read_as_the_current_version(plans: Plans, way: str) -> None:
    assert seen(READS[way](plans)) == WANTED


def test_a_loader_reads_older_items(plans: Plans) -> None:
    loader = plans.loader()
    handles = [loader.load(key) for key in "abc"]
    assert seen([handle.result() for handle in handles]) == WANTED


def test_errors_have_the_stored_item_in_the_current_version(plans: Plans) -> None:
    model = PlanNow(id="a", title="x", price=Price(cents=1))
    with pytest.raises(ItemAlreadyExistsError) as exists:
        plans.create(model)
    with pytest.raises(ConditionFailedError) as failed:
        plans.delete("a", when=F.hits == 5)
    with pytest.raises(TransactionCanceledError) as cancelled:
        transact_write([plans.create_request(model)])
    for item in (exists.value.item, failed.value.item, cancelled.value.reasons[0].item):
        assert seen([item]) == {"a": ("Alpha", 150)}


def test_parts_of_older_items_are_those_of_the_current_version(plans: Plans) -> None:
    names = ["title", "price.cents", "euros" if "euros" in PlanNow.model_fields else "color"]
    found = [plans.get(key, attributes=names) for key in "abc"]
    assert [dict(part) for part in found] == [dict(part) for part in plans.get_many(["a", "b", "c"], attributes=names)]
    assert found[0] == {"title": "Alpha", "price": {"cents": 150}}
    assert found[2] == {"title": "Gamma", "price": {"cents": 300}, "color": "grey"}

    class Titled(BaseModel):
        title: str

    assert {part.title for part in plans.scan().project("title")} == {"Alpha", "Beta", "Gamma"}
    assert {part.title for part in plans.parallel_scan().project(Titled)} == {"Alpha", "Beta", "Gamma"}
    assert {part.title for part in plans.by_team("t").project("title")} == {"Alpha", "Beta", "Gamma"}


@pytest.mark.parametrize("way", READS)
def test_newer_items_are_refused_with_their_key(plans: Plans, way: str) -> None:
    plans.patch("b", color="red")
    plans.table.update_item(
        Key={"id": "b"}, UpdateExpression="SET schema_version = :v", ExpressionAttributeValues={":v": 4}
    )
    with pytest.raises(SchemaVersionError) as caught:
        READS[way](plans)
    assert (caught.value.key, caught.value.found, caught.value.known) == ({"id": "b"}, 4, 3)
    with pytest.raises(SchemaVersionError):
        plans.patch("b", color="blue")
    with pytest.raises(SchemaVersionError):
        plans.update(PlanNow(id="b", title="x", price=Price(cents=1), version=1))
    assert plans.get_raw("b")["color"] == "red"  # type: ignore[index]


# --- writing ----------------------------------------------------------------------------------------------------------


def test_new_items_have_the_version(make: Make, server: Server) -> None:
    plans = make(Plans)
    model = PlanNow(id="x", title="X", price=Price(cents=1))
    plans.create(model)
    plans.put_many([model.model_copy(update={"id": "y"})], ignore_version=True)
    plans.patch("z", title="Z", price=Price(cents=2), upsert=True)
    assert [stored(server, plans, id=key)["schema_version"] for key in "xyz"] == [{"N": "3"}] * 3


def test_a_patch_of_an_older_item_is_of_the_current_version(plans: Plans) -> None:
    patched = plans.patch("a", hits=Add(1), title="New")
    assert (patched.title, patched.price.cents, patched.hits, patched.version) == ("New", 150, 1, 2)
    raw = plans.get_raw("a")
    assert raw is not None
    assert (raw["schema_version"], raw["price"]) == (3, {"cents": 150, "currency": "EUR"})
    assert not {"name", "euros"} & raw.keys()


def test_a_patch_compares_with_the_current_version(plans: Plans) -> None:
    assert plans.patch("a", changes={"price.cents": 160}, when=F.price.cents == 150).price.cents == 160
    with pytest.raises(ConditionFailedError) as caught:
        plans.patch("b", hits=1, when=F.title == "other")
    assert seen([caught.value.item]) == {"b": ("Beta", 200)}
    with pytest.raises(ItemNotFoundError):
        plans.patch("none", hits=1)


def test_an_update_of_an_older_item_leaves_nothing_of_the_old_form(plans: Plans) -> None:
    model = plans.get_or_raise("a")
    model.hits = 7
    assert plans.update(model).version == 2
    raw = plans.get_raw("a")
    assert raw is not None
    assert raw.keys() == {*PlanNow.model_fields, "schema_version"} - {"parent"}
    with pytest.raises(VersionConflictError):
        plans.update(PlanNow(id="b", title="x", price=Price(cents=1), version=9))


def test_a_transaction_patches_older_items(plans: Plans) -> None:
    transact_write([plans.patch_request("a", hits=Add(2)), plans.patch_request("b", hits=Add(3))])
    assert [plans.get_or_raise(key).hits for key in "abc"] == [2, 3, 0]
    assert [plans.get_raw(key)["schema_version"] for key in "ab"] == [3, 3]  # type: ignore[index]


def test_a_tree_moves_older_nodes(plans: Plans) -> None:
    moved = plans.move_subtree("a", "c")
    assert (moved.parent, moved.title) == ("c", "Alpha")
    assert [node.item.id for node in plans.read_tree("c").children] == ["a"]


class Frozen(BaseModel):
    id: str
    name: str
    note: str | None = None
    words: list[str] = []

    model_config = ConfigDict(frozen=True)


class Newer(BaseModel):
    id: str
    name: str
    note: str | None = None
    words: list[str] = []
    color: str = "grey"
    parts: dict[str, int] = {}


class OldProgram(BaseDynamoRepository[Frozen]):
    table_name = "things"
    primary_key = "id"
    schema_version = 1
    schema_options = SchemaOptions(newer_versions="read")


class NewProgram(BaseDynamoRepository[Newer]):
    table_name = "things"
    primary_key = "id"
    schema_version = 2

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        item.setdefault("color", "grey")
        return item


def test_what_a_newer_program_added_survives_an_older_one(make: Make) -> None:
    new, old = make(NewProgram), make(OldProgram)
    new.create(Newer(id="a", name="A", note="n", words=["x"], color="red", parts={"x": 1}))
    old.update(old.get_or_raise("a").model_copy(update={"name": "B", "note": None}))
    assert new.get("a") == Newer(id="a", name="B", note=None, words=["x"], color="red", parts={"x": 1})
    old.patch("a", name="C")
    transact_write([old.update_request(old.get_or_raise("a").model_copy(update={"words": []}))])
    assert new.get("a") == Newer(id="a", name="C", words=[], color="red", parts={"x": 1})
    raw = new.get_raw("a")
    assert raw is not None
    assert "note" not in raw
    assert raw["schema_version"] == 1


@pytest.mark.parametrize("way", READS)
def test_older_items_are_written_back_when_asked(make: Make, plans: Plans, way: str) -> None:
    back = make(WritingBack)
    before = {key: back.get_raw(key) for key in "abc"}
    assert seen(READS[way](back)) == WANTED
    with requests() as sent:
        assert seen(READS[way](back)) == WANTED
    assert "UpdateItem" not in sent
    after = {key: back.get_raw(key) for key in "abc"}
    assert [after[key]["schema_version"] for key in "abc"] == [3, 3, 3]  # type: ignore[index]
    assert after["c"] == before["c"]
    assert after["a"]["version"] == 1  # type: ignore[index]


def test_what_a_loader_has_read_is_written_back_when_asked(make: Make, plans: Plans) -> None:
    back = make(WritingBack)
    loader = back.loader()
    handles = [loader.load(key) for key in ("a", "none", "b", "c")]
    assert seen([handle.result() for handle in handles if handle.result()]) == WANTED
    assert [(back.get_raw(key) or {})["schema_version"] for key in "abc"] == [3, 3, 3]
    assert seen([handle.result() for handle in handles if handle.result()]) == WANTED


def test_orphans_are_written_back_when_asked(make: Make, plans: Plans) -> None:
    back = make(WritingBack)
    back.table.put_item(Item={"id": "lost", "parent": "gone", "name": "Lost"})
    assert [orphan.title for orphan in back.find_orphans()] == ["Lost"]
    assert (back.get_raw("lost") or {})["title"] == "Lost"


def test_a_whole_tree_is_written_back_when_asked(make: Make, plans: Plans) -> None:
    back = make(WritingBack)
    for number in range(20):
        back.table.put_item(Item={"id": f"n{number}", "parent": f"n{(number - 1) // 3}", "name": str(number)})
    back.table.update_item(Key={"id": "n0"}, UpdateExpression="REMOVE parent")
    tree = back.read_tree("n0")
    assert [node.item.title for node in tree.walk()] == [node.item.id[1:] for node in tree.walk()]
    assert {(back.get_raw(f"n{number}") or {})["schema_version"] for number in range(20)} == {3}
    assert [(back.get_raw(key) or {}).get("schema_version") for key in "ab"] == [None, 2], "others were not read"
    with requests() as sent:
        assert back.read_tree("n0") == tree
    assert "UpdateItem" not in sent


WAYS: dict[str, Callable[[Any], Flow[Any]]] = {
    "transaction": lambda plans: evolving.get([plans.get_request("a").read]),
    "tree": lambda plans: trees.read(plans._family, "a", max_depth=9, include_metadata=False, concurrency=1),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("meddle", ["change", "delete", "upgrade", "fail"])
def test_writing_back_loses_no_update_and_never_harms_the_reading(
    make: Make, plans: Plans, server: Server, way: str, meddle: str
) -> None:
    back = make(WritingBack)

    class Meddling:
        """Another writer is faster than the writing back; or that is refused."""

        def __init__(self, lane: Any) -> None:
            self._lane = lane

        def send(self, call: Call) -> Response:
            if call.operation == "UpdateItem":
                if meddle == "fail":
                    raise AccessDeniedError("not authorized")
                if meddle == "change":
                    server.client.update_item(
                        TableName=back.table_name,
                        Key={"id": {"S": "a"}},
                        UpdateExpression="SET hits = :h",
                        ExpressionAttributeValues={":h": {"N": "41"}},
                    )
                if meddle == "delete":
                    server.client.delete_item(TableName=back.table_name, Key={"id": {"S": "a"}})
                if meddle == "upgrade":
                    plans.patch("a", title="Better")
            response: Response = self._lane.send(call)
            return response

    driver = SyncDriver(Meddling(back._connection._lane), RetryPolicy(max_attempts=1))
    found = driver.run(WAYS[way](back))
    found = found[0] if way == "transaction" else found.item
    assert (found.title, found.price.cents, found.hits) == ("Alpha", 150, 0)
    now = back.get_raw("a")
    if meddle == "delete":
        assert now is None
    else:
        assert now is not None
        assert (now.get("hits"), now.get("title")) == {
            "change": (41, None),
            "upgrade": (0, "Better"),
            "fail": (0, None),
        }[meddle]


class Leaf(BaseModel):
    """Names its parent by another field than the next version does."""

    id: str
    up: str | None = None
    name: str


class LeafNow(BaseModel):
    id: str
    parent: str | None = None
    title: str

    @field_serializer("title")
    def _written(self, title: str) -> str:
        if title == "unwritable":
            raise TypeError("no way to write it")
        return title


LEAVES = SingleTable("leaves", indexes={"below": ("below_pk", "below_sk")})


class LeavesOnce(BaseDynamoRepository[Leaf]):
    single_table = LEAVES
    kind = "leaf"
    primary_key = Sharded(Key("LEAF"), shards=3, by="id")
    sort_key = Key("LEAF#{id}")
    schema_version = 1
    below = ParentPattern("below", parent="up", id="id", partition=Key("UP#{up}"), sort=Key("{id}"))


class LeavesNow(BaseDynamoRepository[LeafNow]):
    single_table = LEAVES
    kind = "leaf"
    primary_key = LeavesOnce.primary_key
    sort_key = LeavesOnce.sort_key
    schema_version = 2
    schema_options = SchemaOptions(write_back=True)
    below = ParentPattern("below", parent="parent", id="id", partition=Key("UP#{parent}"), sort=Key("{id}"))

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        item["title"] = item.pop("name")
        if "up" in item:
            item["parent"] = item.pop("up")
        return item


SHARED_READS: dict[str, Callable[[Any], Any]] = {
    "tree": lambda leaves: [node.item for node in leaves.read_tree((None, "1")).walk()],
    "transaction": lambda leaves: transact_get([leaves.get_request(None, id_) for id_ in "123"]),
    "shards": lambda leaves: leaves.query().all(),
    "pages of shards": lambda leaves: leaves.query().page(9).items,
}


@pytest.mark.parametrize("way", SHARED_READS)
@pytest.mark.parametrize("title", ["fine", "unwritable"])
def test_in_a_shared_table_ours_alone_are_written_back(make: Make, server: Server, way: str, title: str) -> None:
    once, now = make(LeavesOnce), make(LeavesNow)
    for id_, parent in (("1", None), ("2", "1"), ("3", "1")):
        once.create(Leaf(id=id_, up=parent, name=title if id_ == "2" else id_))
    stranger = {"below_pk": {"S": "UP#1"}, "below_sk": {"S": "4"}, "name": {"S": "x"}, **now._entity.key(None, "4")}
    server.client.put_item(TableName=now.table_name, Item=stranger)
    assert [leaf.title for leaf in SHARED_READS[way](now)] == ["1", title, "3"]
    assert transact_get([now.get_request(None, "4")]) == [None]
    versions = {id_: (now.get_raw(None, id_) or {})["schema_version"] for id_ in "123"}
    assert versions == {"1": 2, "2": 2 if title == "fine" else 1, "3": 2}
    key = now._entity.key(None, "4")
    assert server.client.get_item(TableName=now.table_name, Key=key)["Item"] == stranger


def test_trees_of_older_nodes_whose_parents_have_another_field(make: Make) -> None:
    once, now = make(LeavesOnce), make(LeavesNow)
    for id_, up in (("1", None), ("2", "1"), ("3", "2"), ("4", "2"), ("5", "1"), ("6", "gone")):
        once.create(Leaf(id=id_, up=up, name=id_))
    assert [leaf.id for leaf in now.find_orphans()] == ["6"]
    assert now.move_subtree((None, "3"), (None, "5")).parent == "5"
    with pytest.raises(ValidationError, match="below it"):
        now.move_subtree((None, "1"), (None, "3"))
    once.create(Leaf(id="7", up="4", name="7"))
    assert now.delete_subtree((None, "2")) == 3
    result = now.read_tree((None, "1"), include_metadata=True)
    assert [node.item.id for node in result.tree.walk()] == ["1", "5", "3"]
    assert result.metadata.orphans == ()
    assert now.delete_subtree((None, "1")) == 3
    assert [leaf.id for leaf in now.scan()] == ["6"]


def test_attributes_that_a_transaction_reads_are_not_written_back(make: Make, plans: Plans) -> None:
    back = make(WritingBack)
    assert transact_get([back.get_request("a", attributes=["title"])]) == [{"title": "Alpha"}]
    assert "title" not in (back.get_raw("a") or {})


def test_the_version_of_an_item_that_cannot_be_read_is_no_secret(plans: Plans) -> None:
    plans.table.put_item(Item={"id": "d", "nom": "?"})
    with pytest.raises(ValidationError, match=r"upcast_v1_v2 failed .* KeyError: 'name'") as caught:
        plans.get("d")
    assert caught.value.context["key"] == {"id": "d"}


# --- migrating --------------------------------------------------------------------------------------------------------


def fill(plans: Any, count: int) -> None:
    with plans.table.batch_writer() as batch:
        for number in range(count):
            batch.put_item(Item={"id": f"p{number:03}", "team": "t", "name": f"N{number}", "euros": number})


def test_a_table_is_migrated_in_place(plans: Plans) -> None:
    fill(plans, 120)
    plans.table.put_item(Item={"id": "bad", "nom": "?"})
    plans.table.put_item(Item={"id": "new", "schema_version": 9})
    raw = {item["id"]: item for item in plans.table.scan()["Items"]}
    told: list[Any] = []
    dry = plans.migrate(dry_run=True, segments=3, progress=told.append)
    assert {item["id"]: item for item in plans.table.scan()["Items"]} == raw
    assert (dry.scanned, dry.rewritten, dry.current, dry.newer, dry.failed) == (125, 122, 1, 1, 1)
    assert dry.versions == {1: 122, 2: 1, 3: 1, 9: 1}
    assert [failure.key for failure in dry.failures] == [{"id": "bad"}]
    assert told[-1] == dry
    assert dry.is_done
    done = plans.migrate(segments=3)
    assert (done.rewritten, done.current, done.newer, done.failed) == (122, 1, 1, 1)
    assert done.write_units >= 61  # moto says half of what AWS does
    assert done.read_units > 0
    again = plans.migrate(segments=1)
    assert (again.rewritten, again.current, again.failed) == (0, 123, 1)
    for number in range(120):
        found = plans.get_raw(f"p{number:03}")
        assert found is not None
        assert found["price"] == {"cents": number * 100, "currency": "EUR"}
        assert found["schema_version"] == 3


def test_a_migration_goes_on_from_its_checkpoint(plans: Plans) -> None:
    fill(plans, 250)

    class StopError(Exception):
        pass

    told: list[Any] = []

    def stop(report: Any) -> None:
        told.append(report)
        if len(told) == 1:
            raise StopError

    with pytest.raises(StopError):
        plans.migrate(segments=1, progress=stop)
    assert told[0].scanned == 100
    rest = plans.migrate(segments=1, checkpoint=told[0].checkpoint)
    assert told[0].scanned + rest.scanned == 253
    assert told[0].rewritten + rest.rewritten == 252
    with pytest.raises(InvalidCursorError):
        plans.migrate(segments=2, checkpoint=told[0].checkpoint)


# --- copying ----------------------------------------------------------------------------------------------------------


class Keyed(BaseModel):
    team: str
    plan: str
    title: str
    cents: int


class KeyedPlans(BaseDynamoRepository[Keyed]):
    table_name = "keyed"
    primary_key = "team"
    sort_key = "plan"
    schema_version = 1


def keyed(plan: PlanNow) -> Keyed | None:
    if plan.id == "c":
        return None
    return Keyed(team=plan.team, plan=f"P#{plan.id}", title=plan.title, cents=plan.price.cents)


def plain(repository: Any) -> Any:
    """The repository itself, where the skin hides it: a parameter is not unwrapped."""
    return vars(repository).get("_subject", repository)


def test_a_table_is_copied_under_other_keys_and_verified(plans: Plans, make: Make) -> None:
    fill(plans, 110)
    plans.table.update_item(Key={"id": "a"}, UpdateExpression="SET extra = :x", ExpressionAttributeValues={":x": {1}})
    target = make(KeyedPlans)
    before = plans.compare_with(plain(target), keyed)
    assert (before.missing, before.is_equal) == (112, False)
    told: list[Any] = []
    done = plans.copy_to(plain(target), keyed, progress=told.append)
    assert (done.scanned, done.copied, done.left_out, done.failed) == (113, 112, 1, 0)
    assert told[-1] == done
    assert target.get_or_raise("t", "P#a") == Keyed(team="t", plan="P#a", title="Alpha", cents=150)
    assert target.get_raw("t", "P#a")["extra"] == {1}  # type: ignore[index]
    again = plans.copy_to(plain(target), keyed)
    assert (again.copied, again.same) == (0, 112)
    assert plans.compare_with(plain(target), keyed).is_equal

    target.patch("t", "P#a", title="changed")
    target.delete("t", "P#b")
    target.create(Keyed(team="t", plan="other", title="o", cents=0))
    found = plans.compare_with(plain(target), keyed)
    assert (found.same, found.different, found.missing, found.target_count) == (110, 1, 1, 112)
    assert not found.is_equal
    assert found.failures[0].key == {"id": "a"}
    assert found.failures[0].error.errors == {"title": "differs"}  # type: ignore[attr-defined]
    assert plans.copy_to(plain(target), keyed).different == 1
    assert target.get_or_raise("t", "P#a").title == "changed"


def test_what_cannot_be_copied_is_reported(plans: Plans, make: Make) -> None:
    target = make(KeyedPlans)

    def transform(plan: PlanNow) -> Any:
        return {"a": 1 / 0} if plan.id == "a" else plan

    report = plans.copy_to(plain(target), transform)
    assert (report.scanned, report.copied, report.failed) == (3, 0, 3)
    assert {"ZeroDivisionError" in failure.reason for failure in report.failures} == {True, False}
    with pytest.raises(ValidationError, match="give a transform"):
        plans.copy_to(plain(target))
    with pytest.raises(ValidationError, match="to itself"):
        plans.copy_to(plain(plans))
    with pytest.raises(ValidationError, match="same configuration"):
        plans.copy_to(plain(make(KeyedPlans, retries=7)), keyed)


# --- beside live writers ----------------------------------------------------------------------------------------------


class Counter(BaseModel):
    """What the old program knows."""

    id: str
    name: str
    old_hits: int = 0
    old_edits: int = 0
    seen: set[str] = set()
    version: int = 0


class CounterNow(Counter):
    """What the new program knows."""

    title: str
    new_hits: int = 0
    new_edits: int = 0


class OldCounters(BaseDynamoRepository[Counter]):
    table_name = "counters"
    primary_key = "id"
    version_attribute = "version"
    schema_version = 1
    schema_options = SchemaOptions(newer_versions="read")


class NewCounters(BaseDynamoRepository[CounterNow]):
    table_name = "counters"
    primary_key = "id"
    version_attribute = "version"
    schema_version = 2

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        item.setdefault("title", item["name"].title())
        return item


@pytest.fixture(scope="module", params=LOCKING)
def locking_server(request: pytest.FixtureRequest) -> servers.RunningServer:
    running: servers.RunningServer = request.getfixturevalue(f"{request.param}_server")
    return running


@pytest.fixture
def locking(locking_server: servers.RunningServer) -> Iterator[Server]:
    server = servers.Server(locking_server)
    yield server
    server.clean_up()


class Named(BaseModel):
    id: str
    email: str


class NamedOnce(BaseDynamoRepository[Named]):
    table_name = "named"
    primary_key = "id"
    unique = ("email",)


class NamedNow(NamedOnce):
    schema_version = 2
    unique = (Unique("email"),)

    @staticmethod
    def upcast_v1_v2(item: dict[str, Any]) -> dict[str, Any]:
        item["email"] = item["email"].lower()
        return item


def test_migrating_keeps_values_unique(locking: Server) -> None:
    once, now = NamedOnce(locking.config()), NamedNow(locking.config())
    once.ensure_table()
    for key, email in (("1", "A@x"), ("2", "b@x"), ("3", "B@x")):
        once.create(Named(id=key, email=email))
    report = now.migrate()
    assert (report.scanned, report.rewritten, report.failed) == (3, 2, 1)
    assert isinstance(report.failures[0].error, UniqueViolationError)
    with pytest.raises(UniqueViolationError):
        now.create(Named(id="4", email="a@x"))
    once.create(Named(id="5", email="A@x"))  # the value as it was before is free


KEYS = [f"k{number}" for number in range(12)]


def hit(repository: Any, key: str, name: str, done: dict[str, int]) -> None:
    repository.patch(key, changes={name: Add(1), "seen": Add({name})})
    done[key] += 1


def edit(repository: Any, key: str, name: str, done: dict[str, int]) -> None:
    model = repository.get_or_raise(key, consistent=True)
    setattr(model, name, getattr(model, name) + 1)
    try:
        repository.update(model)
    except VersionConflictError:
        return
    done[key] += 1


def test_nothing_is_lost_while_old_and_new_programs_write_and_a_migration_runs(locking: Server) -> None:
    old, new = OldCounters(locking.config()), NewCounters(locking.config())
    old.ensure_table()
    for key in KEYS:
        old.create(Counter(id=key, name=f"name {key}"))
    programs = [(old, hit, "old_hits"), (old, edit, "old_edits"), (new, hit, "new_hits"), (new, edit, "new_edits")]
    counts: dict[str, dict[str, int]] = {name: dict.fromkeys(KEYS, 0) for _, _, name in programs}
    over = threading.Event()

    def program(number: int) -> None:
        repository, act, name = programs[number]
        chance = random.Random(number)
        for _ in range(60):
            act(repository, chance.choice(KEYS), name, counts[name])

    def migrating() -> list[Any]:
        reports = []
        while not over.is_set():
            reports.append(new.migrate(segments=2))
        return reports

    with ThreadPoolExecutor(5) as pool:
        migration = pool.submit(migrating)
        try:
            list(pool.map(program, range(4)))
        finally:
            over.set()
        reports = migration.result()
    final = new.migrate()
    assert sum(report.rewritten for report in [*reports, final]) > 0
    assert all(report.failed == 0 for report in reports) or final.failed == 0
    assert (final.failed, new.migrate().rewritten) == (0, 0)
    for key in KEYS:
        raw = new.get_raw(key)
        assert raw is not None
        assert {name: raw.get(name, 0) for name in counts} == {name: counts[name][key] for name in counts}
        assert raw.get("seen", set()) == {name for name in ("old_hits", "new_hits") if counts[name][key]}
        assert (raw["title"], raw["schema_version"]) == (f"Name {key.title()}", 2)
    assert all(sum(of_keys.values()) for of_keys in counts.values())


# --- killed and resumed -----------------------------------------------------------------------------------------------

KILLED = """
import os, sys
from pathlib import Path
from dynamodb_wrapper import DynamoDBConfig
from tests.contract.test_evolution import Plans

config, file, dies_after = DynamoDBConfig(**__import__("json").loads(sys.argv[1])), Path(sys.argv[2]), int(sys.argv[3])
rounds = 0

def note(report):
    global rounds
    rounds += 1
    file.write_text(report.checkpoint or "")
    print(report.scanned, report.rewritten, flush=True)
    if rounds == dies_after:
        os._exit(9)

Plans(config).migrate(segments=2, checkpoint=file.read_text() or None, progress=note)
"""


def test_killed_and_resumed_a_migration_does_the_rest(running_server: Any, plans: Plans, tmp_path: Path) -> None:
    if running_server.name == "embedded":
        pytest.skip("it lives in one process")
    fill(plans, 450)
    file = tmp_path / "checkpoint"
    file.write_text("")
    secret = plans.config.aws_secret_access_key
    settings = plans.config.model_dump(mode="json", exclude_none=True, exclude_unset=True)
    if secret is not None:
        settings["aws_secret_access_key"] = secret.get_secret_value()
    scanned = []
    for dies_after in (1, 1, 0):
        done = subprocess.run(
            [sys.executable, "-c", KILLED, json.dumps(settings), str(file), str(dies_after)],
            capture_output=True,
            text=True,
            check=False,
            timeout=100,
            cwd=Path(__file__).parents[2],
        )
        assert done.returncode == (9 if dies_after else 0), done.stderr
        scanned.append(int(done.stdout.split("\n")[-2].split()[0]))
    assert sum(scanned) == 453
    assert file.read_text() == ""
    assert plans.migrate().rewritten == 0
