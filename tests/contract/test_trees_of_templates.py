"""Trees whose keys are made of templates: named in every way, in odd forms, and among strangers who look like them."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import datetime
from enum import Enum
from typing import Annotated, Any, Literal
from uuid import UUID

import pytest
from pydantic import BaseModel, Field

from dynamodb_wrapper import (
    BaseDynamoRepository,
    ItemNotFoundError,
    Key,
    ParentPattern,
    Sharded,
    SingleTable,
    ValidationError,
)
from dynamodb_wrapper.operations.trees import TreeNode
from tests.contract.shop import MONDAY, Make, requests
from tests.servers import Server

# --- forms ------------------------------------------------------------------------------------------------------------


class Place(Enum):
    NORTH = "n#orth"
    SOUTH = "south"


class Part(BaseModel):
    place: Place = Place.NORTH
    made: datetime = MONDAY
    part_id: UUID
    above: UUID | None = None
    name: str = ""
    note: str = ""
    updated_at: datetime | None = None


class Spread(BaseDynamoRepository[Part]):
    """A table of its own: its key is made of three fields, those of the index are plain ones."""

    table_name = "spread"
    primary_key = Key("PLACE#{place}")
    sort_key = Key("{made}#{part_id}")
    parts = ParentPattern("parts", parent="above", id="part_id", within=["place", "made"], sort="name")


class OneKey(BaseDynamoRepository[Part]):
    """No sort key, and a key of one field."""

    table_name = "one"
    primary_key = Key("PART#{part_id}")
    parts = ParentPattern("parts", parent="above", sort=Key("{name}#{note}"))


class Shards(BaseDynamoRepository[Part]):
    """Both the table's partitions and the index's are spread over shards."""

    table_name = "shards"
    primary_key = Sharded(Key("PLACE#{place}"), shards=3, by="part_id")
    sort_key = Key("{part_id}")
    parts = ParentPattern(
        "parts",
        parent="above",
        id="part_id",
        within="place",
        partition=Sharded(Key("{place}#{above}"), shards=4, by="name"),
        sort="name",
    )


class InShared(BaseDynamoRepository[Part]):
    """The sort key of the index has the time of the last write, and a field that a move does not give."""

    single_table = SingleTable("parts", indexes={"gsi1": ("gsi1pk", "gsi1sk")})
    primary_key = Key("P")
    sort_key = Key("{part_id}")
    parts = ParentPattern(
        "gsi1", parent="above", id="part_id", partition=Key("UP#{above}"), sort=Key("{name}#{updated_at}#{note}")
    )


def uuid(number: int) -> UUID:
    return UUID(int=number)


NAMES: dict[type[BaseDynamoRepository[Part]], Callable[[UUID], Any]] = {
    Spread: lambda id_: ((Place.NORTH), (MONDAY, id_)),
    OneKey: lambda id_: id_,
    Shards: lambda id_: (Place.NORTH, id_),
    InShared: lambda id_: (None, id_),
}
Parts = tuple[BaseDynamoRepository[Part], Callable[[int], Any]]

#       1
#   2       3
#  4 5      6
ABOVE = {1: None, 2: 1, 3: 1, 4: 2, 5: 2, 6: 3}
SHAPE = {1: [2, 3], 2: [4, 5], 3: [6], 4: [], 5: [], 6: []}


@pytest.fixture(params=NAMES)
def parts(make: Make, request: pytest.FixtureRequest) -> Parts:
    repository = make(request.param)
    for number, above in ABOVE.items():
        repository.create(Part(part_id=uuid(number), above=above and uuid(above), name=f"n{number}"))
    return repository, lambda number: NAMES[request.param](uuid(number))


def shape(tree: TreeNode[Part]) -> dict[int, list[int]]:
    return {node.item.part_id.int: [child.item.part_id.int for child in node.children] for node in tree.walk()}


def test_a_tree_is_read_whatever_its_keys_are_made_of(parts: Parts) -> None:
    repository, named = parts
    result = repository.read_tree(named(1), include_metadata=True)
    assert shape(result.tree) == SHAPE
    assert (result.metadata.root_id, result.metadata.node_count, result.metadata.depth) == (named(1), 6, 3)
    assert result.metadata.orphans == result.metadata.cycles == ()
    assert repository.read_tree(result.tree.item) == result.tree
    assert repository.read_tree(result.metadata.root_id) == result.tree


def test_a_subtree_moves_with_the_keys_that_are_made_of_its_parent(parts: Parts) -> None:
    repository, named = parts
    assert repository.move_subtree(named(2), named(6)).above == uuid(6)
    assert shape(repository.read_tree(named(1))) == {**SHAPE, 1: [3], 6: [2]}
    assert repository.move_subtree(named(2), None).above is None
    assert shape(repository.read_tree(named(1))) == {1: [3], 3: [6], 6: []}
    assert shape(repository.read_tree(named(2))) == {2: [4, 5], 4: [], 5: []}
    with pytest.raises(ValidationError, match="below it"):
        repository.move_subtree(named(2), named(5))
    with pytest.raises(ItemNotFoundError):
        repository.move_subtree(named(2), named(77))


def test_orphans_are_found_and_subtrees_deleted(parts: Parts) -> None:
    repository, named = parts
    repository.put(Part(part_id=uuid(9), above=uuid(8), name="n9"))
    assert [part.part_id.int for part in repository.find_orphans()] == [9]
    assert repository.read_tree(named(9), include_metadata=True).metadata.orphans == (named(9),)
    with pytest.raises(ItemNotFoundError) as caught:
        repository.read_tree(named(8))
    assert caught.value.context["orphaned_children"] == 1
    assert repository.delete_subtree(named(8)) == 1
    assert repository.delete_subtree(named(2)) == 3
    assert shape(repository.read_tree(named(1))) == {1: [3], 3: [6], 6: []}
    assert repository.delete_subtree(named(1)) == 3
    assert repository.scan().count() == 0


def test_a_node_named_wrongly_is_refused_before_anything_is_sent(parts: Parts) -> None:
    repository, _ = parts
    with requests() as sent:
        for wrong in (("a", "b", "c"), {"part_id": uuid(1), "x": 1}, object()):
            with pytest.raises(ValidationError):
                repository.read_tree(wrong)
    assert sent == []


def test_a_child_is_asked_of_each_shard_of_its_parent(make: Make) -> None:
    repository = make(Shards)
    repository.create(Part(part_id=uuid(1), name="root"))
    for number in range(2, 30):
        repository.create(Part(part_id=uuid(number), above=uuid(1), name=f"n{number:02}"))
    with requests() as sent:
        tree = repository.read_tree((Place.NORTH, uuid(1)), max_depth=2)
    assert sent == ["GetItem", *["Query"] * 4]
    assert [child.item.name for child in tree.children] == [f"n{number:02}" for number in range(2, 30)]


# --- strangers --------------------------------------------------------------------------------------------------------

TABLE = SingleTable("forest", indexes={"gsi1": ("gsi1pk", "gsi1sk")})
WOOD = Key("WOOD#{wood}")
BELOW = Key("WOOD#{wood}#{above}")


class Tree(BaseModel):
    wood: str
    id: str
    above: str | None = None
    kind: Literal["tree"] = "tree"


class Bush(BaseModel):
    wood: str
    id: str
    above: str | None = None
    kind: Literal["bush"] = "bush"
    berries: int = 0


class Plants(BaseDynamoRepository[Annotated[Tree | Bush, Field(discriminator="kind")]]):
    """A tree of two models."""

    single_table = TABLE
    kind = "plant"
    primary_key = WOOD
    sort_key = Key("PLANT#{id}")
    seedlings = ParentPattern("gsi1", parent="above", id="id", within="wood", partition=BELOW, sort=Key("S#{id}"))


class Animal(BaseModel):
    """Another tree in the same table, whose items are in the same partitions of the index."""

    wood: str
    id: str
    above: str | None = None


class Animals(BaseDynamoRepository[Animal]):
    single_table = TABLE
    primary_key = WOOD
    sort_key = Key("ANIMAL#{id}")
    young = ParentPattern("gsi1", parent="above", id="id", within="wood", partition=BELOW, sort=Key("S#{id}"))


WOODS = ("a", "a#b", "")
IDS = ("", "a", "b", "a#b", "b#a", "#", "$", " ", "$c", "a$", "A", "é", "b#")


def everything(server: Server, repository: Any) -> dict[tuple[str, str], Any]:
    items = server.client.scan(TableName=repository.table_name)["Items"]
    return {(item["pk"]["S"], item["sk"]["S"]): item for item in items}


def planted(chance: random.Random, make_one: Callable[..., Any]) -> dict[tuple[str, str], str | None]:
    """Write a forest: in each wood some ids, each below one written before it, or below none."""
    above: dict[tuple[str, str], str | None] = {}
    for wood in WOODS:
        ids = chance.sample(IDS, chance.randrange(3, len(IDS) + 1))
        for number, id_ in enumerate(ids):
            above[wood, id_] = chance.choice([None, *ids[:number]])
            make_one(wood=wood, id=id_, above=above[wood, id_])
    return above


def below(above: dict[tuple[str, str], str | None], wood: str, id_: str) -> set[str]:
    found = {id_}
    for (other, child), parent in above.items():  # parents come first
        if other == wood and parent in found and parent is not None:
            found.add(child)
    return found


@pytest.mark.parametrize("seed", range(5))
def test_no_tree_has_or_touches_what_is_not_its_own(make: Make, server: Server, seed: int) -> None:
    chance = random.Random(seed)
    plants, animals = make(Plants), make(Animals)
    mine = planted(chance, lambda **fields: plants.create(chance.choice([Tree, Bush])(**fields)))
    planted(chance, lambda **fields: animals.create(Animal(**fields)))
    for number, ((pk, sk), item) in enumerate(list(everything(server, plants).items())):  # without a kind, or of none
        if number % 4 == 0:
            stranger = {**item, "sk": {"S": f"{sk}$"}, "_kind": {"S": "plants"}}
            server.client.put_item(TableName=plants.table_name, Item=stranger)
            del stranger["_kind"]
            server.client.put_item(TableName=plants.table_name, Item={**stranger, "pk": {"S": f"{pk}#"}})
    strangers = {key: item for key, item in everything(server, plants).items() if item.get("_kind") != {"S": "plant"}}

    def is_untouched() -> bool:
        return strangers == {key: item for key, item in everything(server, plants).items() if key in strangers}

    for wood, id_ in chance.sample(sorted(mine), 5):
        found = plants.read_tree((wood, id_), max_depth=20, include_metadata=True)
        assert {node.item.id for node in found.tree.walk()} == below(mine, wood, id_)
        assert {node.item.wood for node in found.tree.walk()} == {wood}
        assert (found.metadata.cycles, found.metadata.orphans) == ((), ())
    assert list(plants.find_orphans()) == []
    wood, id_ = chance.choice(sorted(mine))
    for _, target in chance.sample([key for key in sorted(mine) if key[0] == wood], 3):
        if target not in below(mine, wood, id_):
            assert plants.move_subtree((wood, id_), (wood, target)).above == target
            assert id_ in {child.id for child in plants.seedlings(wood, target)}
    plants.move_subtree((wood, id_), None)
    gone = below({**mine, (wood, id_): None}, wood, id_)
    assert plants.delete_subtree((wood, id_)) == len(gone)
    assert is_untouched()
    assert {(plant.wood, plant.id) for plant in plants.scan()} == mine.keys() - {(wood, one) for one in gone}


def put_stranger(server: Server, plants: Plants, id_: str, **attributes: Any) -> dict[str, Any]:
    """Write what is no plant under the key that a plant would have."""
    item = {"pk": {"S": "WOOD#a"}, "sk": {"S": f"PLANT#{id_}"}, "wood": {"S": "a"}, "id": {"S": id_}, **attributes}
    server.client.put_item(TableName=plants.table_name, Item=item)
    return item


@pytest.mark.parametrize("kind", [{}, {"_kind": {"S": "Animal"}}], ids=["without a kind", "of another kind"])
def test_a_stranger_under_the_key_of_a_node_is_no_node(make: Make, server: Server, kind: dict[str, Any]) -> None:
    plants = make(Plants)
    for id_, above in (("root", None), ("child", "root"), ("lost", "x"), ("deep", "lost")):
        plants.create(Tree(wood="a", id=id_, above=above))
    stranger = put_stranger(server, plants, "x", above={"S": "root"}, **kind)
    in_index = {"gsi1pk": {"S": "WOOD#a#root"}, "gsi1sk": {"S": "S#y"}}
    other = put_stranger(server, plants, "y", above={"S": "root"}, **kind, **in_index)
    assert [node.item.id for node in plants.read_tree(("a", "root")).walk()] == ["root", "child"]
    with pytest.raises(ItemNotFoundError) as caught:
        plants.read_tree(("a", "x"))
    assert caught.value.context["orphaned_children"] == 1
    assert plants.read_tree(("a", "lost"), include_metadata=True).metadata.orphans == (("a", "lost"),)
    assert [orphan.id for orphan in plants.find_orphans()] == ["lost"]
    for node, parent in ((("a", "x"), ("a", "root")), (("a", "child"), ("a", "x")), (("a", "y"), None)):
        with pytest.raises(ItemNotFoundError):
            plants.move_subtree(node, parent)
    assert plants.move_subtree(("a", "child"), ("a", "deep")).above == "deep"  # its line ends at the stranger
    assert plants.delete_subtree(("a", "y")) == 0
    assert plants.delete_subtree(("a", "x")) == 3
    assert plants.delete_subtree(("a", "root")) == 1
    found = everything(server, plants)
    assert [found["WOOD#a", f"PLANT#{id_}"] for id_ in "xy"] == [stranger, other]
    assert len(found) == 2


def test_an_item_whose_key_tells_other_fields_than_it_has_is_an_error_and_is_not_touched(
    make: Make, server: Server
) -> None:
    """Written by other software: of our kind, below our root, and under a key that no repository would make."""
    plants = make(Plants)
    plants.create(Tree(wood="a", id="root"))
    item = {
        "pk": {"S": "elsewhere"},
        "sk": {"S": "?"},
        "_kind": {"S": "plant"},
        "kind": {"S": "tree"},
        "wood": {"S": "a"},
        "id": {"S": "odd"},
        "above": {"S": "root"},
        "gsi1pk": {"S": "WOOD#a#root"},
        "gsi1sk": {"S": "S#odd"},
    }
    server.client.put_item(TableName=plants.table_name, Item=item)
    assert [child.item.id for child in plants.read_tree(("a", "root")).children] == ["odd"]
    with pytest.raises(ValidationError, match="not made as this repository") as caught:
        plants.delete_subtree(("a", "root"))
    assert caught.value.context["key"] == {"pk": "elsewhere", "sk": "?"}
    assert len(everything(server, plants)) == 2


def test_an_item_that_the_index_has_under_another_parent_than_it_names_is_not_read(make: Make, server: Server) -> None:
    """As a program leaves it behind that changes fields, and knows nothing of the keys that are made of them."""
    plants = make(Plants)
    for wood, id_, above in (
        ("a", "root", None),
        ("a", "kept", "root"),
        ("a", "moved", "root"),
        ("b", "other", "root"),
    ):
        plants.create(Tree(wood=wood, id=id_, above=above))
    change = {"ExpressionAttributeNames": {"#n": "above"}, "ExpressionAttributeValues": {":v": {"S": "kept"}}}
    key = plants._entity.key("a", "moved")
    server.client.update_item(TableName=plants.table_name, Key=key, UpdateExpression="SET #n = :v", **change)  # type: ignore[arg-type]
    change = {"ExpressionAttributeNames": {"#n": "gsi1pk"}, "ExpressionAttributeValues": {":v": {"S": "WOOD#a#root"}}}
    key = plants._entity.key("b", "other")
    server.client.update_item(TableName=plants.table_name, Key=key, UpdateExpression="SET #n = :v", **change)  # type: ignore[arg-type]
    assert [child.item.id for child in plants.read_tree(("a", "root")).children] == ["kept"]
    assert plants.delete_subtree(("a", "root")) == 2
    assert {(plant.wood, plant.id) for plant in plants.scan()} == {("a", "moved"), ("b", "other")}


def test_a_collection_and_a_tree_read_the_same_partition(make: Make) -> None:
    """What one table is good for: the chat, its messages and their tree."""
    plants = make(Plants)
    for number in range(4):
        plants.create(Bush(wood="a", id=str(number), above=str(number - 1) if number else None, berries=number))
    assert [plant.id for plant in plants.query("a")] == ["0", "1", "2", "3"]
    assert [node.item.id for node in plants.read_tree(("a", "0")).walk()] == ["0", "1", "2", "3"]
    assert [plant.id for plant in plants.seedlings("a", "1").ge("0")] == ["2"]
