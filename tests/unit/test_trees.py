"""Trees by hand: the algorithm on plain data, nodes at any depth, declarations, and what the flows ask for."""

from __future__ import annotations

import copy
import pickle
import random
from collections.abc import Hashable, Mapping
from datetime import UTC, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessDeniedError,
    AccessPattern,
    BaseDynamoRepository,
    CancellationReason,
    DeadlineExceededError,
    DeclarationError,
    Derived,
    DynamoDBConfig,
    ItemNotFoundError,
    Key,
    Sharded,
    SingleTable,
    TransactionCanceledError,
    ValidationError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.codec import Item, TimeRules
from dynamodb_wrapper.operations import subtrees, trees
from dynamodb_wrapper.operations.effects import Call, Flow, Together
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.parents import Family
from dynamodb_wrapper.operations.trees import Grown, TreeNode, grow
from dynamodb_wrapper.repositories.patterns import ParentPattern
from dynamodb_wrapper.transport import SyncDriver

NOON = datetime(2026, 11, 1, 12, tzinfo=UTC)


class Note(BaseModel):
    id: str
    parent: str | None = None
    text: str = ""


class Notes(BaseDynamoRepository[Note]):
    table_name = "notes"
    primary_key = "id"
    children = ParentPattern("by_parent", parent="parent", sort="text")


class NoLane:
    def send(self, call: Call) -> Any:
        raise AssertionError(f"nothing was to be sent: {call}")


# --- the algorithm --------------------------------------------------------------------------------------------------


def grown_from(children: Mapping[str, list[str]], *roots: str, max_depth: int | None = None) -> Grown[str]:
    def children_of(node: str) -> Flow[list[str]]:
        yield from ()
        return list(children.get(node, []))

    def identity(node: str) -> Hashable:
        return node

    flow = grow(roots, children_of, identity, max_depth=max_depth, at_most=1)
    return SyncDriver(NoLane()).run(flow)


def nested(grown: Grown[str]) -> Any:
    return grown.nested(lambda node, children: {"id": node, "children": children})


def test_a_root_alone_is_one_level() -> None:
    grown = grown_from({}, "a")
    assert nested(grown) == {"id": "a", "children": []}
    metadata = grown.metadata(str)
    assert (metadata.root_id, metadata.node_count, metadata.depth, metadata.complete) == ("a", 1, 1, True)


def test_children_stay_in_order_and_under_their_parents() -> None:
    grown = grown_from({"a": ["c", "b"], "b": ["d"], "c": ["f", "e"]}, "a")
    assert grown.levels == [["a"], ["c", "b"], ["f", "e", "d"]]
    assert nested(grown) == {
        "id": "a",
        "children": [
            {"id": "c", "children": [{"id": "f", "children": []}, {"id": "e", "children": []}]},
            {"id": "b", "children": [{"id": "d", "children": []}]},
        ],
    }


@pytest.mark.parametrize(
    ("max_depth", "levels", "complete"),
    [(1, 1, False), (2, 2, False), (3, 3, False), (4, 3, True), (None, 3, True)],
)
def test_levels_below_the_limit_are_not_asked_for(max_depth: int | None, levels: int, complete: bool) -> None:
    grown = grown_from({"a": ["b"], "b": ["c"]}, "a", max_depth=max_depth)
    assert (len(grown.levels), grown.complete) == (levels, complete)


@pytest.mark.parametrize(
    ("children", "cycles", "count"),
    [
        ({"a": ["a", "b"]}, [("a", "a")], 2),
        ({"a": ["b"], "b": ["a", "c"]}, [("b", "a")], 3),
        ({"a": ["b"], "b": ["c"], "c": ["b"]}, [("c", "b")], 3),
        ({"a": ["b", "c"], "b": ["d"], "c": ["d"]}, [], 4),
        ({"a": ["b", "b"]}, [], 2),
    ],
    ids=["own parent", "through the root", "below the root", "moved while it was read", "twice in the pages"],
)
def test_a_node_found_again_is_not_followed_and_only_a_way_back_up_is_a_cycle(
    children: dict[str, list[str]], cycles: list[tuple[str, str]], count: int
) -> None:
    grown = grown_from(children, "a")
    assert grown.cycles == cycles
    metadata = grown.metadata(str)
    assert metadata.cycles == tuple(cycles)
    assert metadata.node_count == count
    nested(grown)


def test_several_roots_grow_together() -> None:
    assert grown_from({"a": ["c"], "b": ["d"]}, "a", "b").levels == [["a", "b"], ["c", "d"]]


@pytest.mark.parametrize("seed", range(20))
def test_every_node_of_any_tree_is_found_once(seed: int) -> None:
    chance, children = random.Random(seed), dict[str, list[str]]()
    parents = {number: chance.randrange(number) for number in range(1, 200)}
    for number, parent in parents.items():
        children.setdefault(str(parent), []).append(str(number))
    grown = grown_from(children, "0")
    assert sorted(int(node) for level in grown.levels for node in level) == list(range(200))
    depths = {0: 1}
    for number, parent in parents.items():
        depths[number] = depths[parent] + 1
    assert grown.metadata(str).depth == max(depths.values())


def test_the_children_of_a_level_are_asked_for_together() -> None:
    def children_of(node: str) -> Flow[list[str]]:
        yield from ()
        return []

    flow = grow(["a", "b", "c"], children_of, str, max_depth=None, at_most=7)
    effect = next(flow)
    assert isinstance(effect, Together)
    assert (effect.at_most, len(list(effect.flows))) == (7, 3)
    flow.close()


# --- nodes ----------------------------------------------------------------------------------------------------------


def chain(length: int, text: str = "") -> TreeNode[Note]:
    node = TreeNode(Note(id=str(length - 1), text=text))
    for number in reversed(range(length - 1)):
        node = TreeNode(Note(id=str(number)), [node])
    return node


def small() -> TreeNode[Note]:
    return TreeNode(
        Note(id="a"),
        [TreeNode(Note(id="b"), [TreeNode(Note(id="c")), TreeNode(Note(id="d"))]), TreeNode(Note(id="e"))],
    )


def test_walk_yields_a_node_before_its_children_and_levels_go_down() -> None:
    assert [node.item.id for node in small().walk()] == ["a", "b", "c", "d", "e"]
    assert [[node.item.id for node in level] for level in small().levels()] == [["a"], ["b", "e"], ["c", "d"]]


def test_trees_are_equal_when_models_and_shape_are() -> None:
    assert small() == small()
    other = small()
    other.children[0].children.append(other.children.pop())
    assert other != small(), "the same models in another shape"
    assert small() != "a"
    with pytest.raises(TypeError):
        hash(small())


def test_a_node_shows_itself_not_the_whole_tree() -> None:
    assert repr(small()) == "TreeNode(Note(id='a', parent=None, text=''), children: 2)"


@pytest.mark.parametrize("again", [lambda tree: pickle.loads(pickle.dumps(tree)), copy.copy, copy.deepcopy])
def test_a_tree_survives_pickling_and_copying(again: Any) -> None:
    tree = small()
    made = again(tree)
    assert made == tree
    assert made is not tree
    assert [node.item.id for node in made.walk()] == ["a", "b", "c", "d", "e"]


def test_a_chain_of_10_000_nodes_is_no_trouble() -> None:
    tree = chain(10_000)
    assert sum(1 for _ in tree.walk()) == sum(1 for _ in tree.levels()) == 10_000
    assert len(repr(tree)) < 100
    assert tree == chain(10_000)
    assert tree != chain(10_000, text="other")
    assert pickle.loads(pickle.dumps(tree)) == tree
    assert copy.deepcopy(tree) == tree
    grown = grown_from({str(number): [str(number + 1)] for number in range(5_000)}, "0")
    assert len(grown.levels) == 5_001
    assert sum(1 for _ in grown.nested(lambda node, below: TreeNode(Note(id=node), below)).walk()) == 5_001


# --- declarations ---------------------------------------------------------------------------------------------------


class Part(BaseModel):
    shop: str
    id: str
    number: int = 0
    parent: str | None = None
    parent_number: int | None = None
    name: str = ""


def declared(key: tuple[Any, ...], **attributes: Any) -> type[BaseDynamoRepository[Part]]:
    names = dict(zip(("primary_key", "sort_key"), key, strict=False))
    return type("Parts", (BaseDynamoRepository,), {"model_class": Part, "table_name": "parts", **names, **attributes})


@pytest.mark.parametrize(
    ("key", "pattern", "id_", "within"),
    [
        (("id",), ParentPattern("tree", parent="parent"), "id", ()),
        (("id",), ParentPattern("tree", parent="parent", within="shop", sort="name"), "id", ("shop",)),
        (("shop", "id"), ParentPattern("tree", parent="parent", id="id", within=["shop"]), "id", ("shop",)),
        (("id", "shop"), ParentPattern("tree", parent="parent", id="id", within="shop"), "id", ("shop",)),
        (("number",), ParentPattern("tree", parent="parent_number"), "number", ()),
    ],
)
def test_a_tree_is_declared(key: tuple[str, ...], pattern: ParentPattern, id_: str, within: tuple[str, ...]) -> None:
    repository = declared(key, tree=pattern)
    declaration = repository._declaration
    assert declaration is not None
    link = pattern.link(declaration)
    assert (link.id, link.within) == (id_, within)
    assert declaration.index("tree").partition == (*within, link.parent)


@pytest.mark.parametrize(
    ("key", "pattern", "reason"),
    [
        (("shop", "id"), ParentPattern("tree", parent="parent", within="shop"), "needs id="),
        (("shop", "id"), ParentPattern("tree", parent="parent", id="id"), "the key of a parent is told from its child"),
        (("id",), ParentPattern("tree", parent="parent", id="name"), "the key of a parent is told from its child"),
        (("id",), ParentPattern("tree", parent="parent", id="absent"), "'absent' is no field"),
        (("id",), ParentPattern("tree", parent="absent"), "absent"),
        (("id",), ParentPattern("tree", parent="parent", within="absent"), "absent"),
        (("id",), ParentPattern("tree", parent="id"), "field of its own"),
        (("shop", "id"), ParentPattern("tree", parent="shop", id="id", within="name"), "field of its own"),
        (("id",), ParentPattern("tree", parent="parent", within="parent"), "twice"),
        (("id",), ParentPattern("tree", parent="parent", within="id"), "the key of a parent"),
        (("id",), ParentPattern("tree", parent="parent_number"), "stored the same way"),
        (("id",), ParentPattern("tree", parent="parent", within=["shop", "name", "number", "parent_number"]), "1 to 4"),
    ],
)
def test_a_tree_that_cannot_work_is_refused_when_the_class_is_made(
    key: tuple[str, ...], pattern: ParentPattern, reason: str
) -> None:
    with pytest.raises(DeclarationError, match=reason):
        declared(key, tree=pattern)


SHOP, PART = Key("SHOP#{shop}"), Key("PART#{id}")
BELOW = Key("BELOW#{shop}#{parent}")


def templated(partition: Any, **options: Any) -> ParentPattern:
    return ParentPattern(
        "tree", **{"parent": "parent", "id": "id", "within": "shop", "partition": partition, **options}
    )


@pytest.mark.parametrize(
    ("key", "pattern"),
    [
        ((SHOP, PART), templated(BELOW)),
        ((SHOP, PART), templated(None)),
        (("shop", "id"), templated(BELOW, sort=Key("{name}"))),
        ((Key("SHOP#{shop}#PART#{id}"),), templated(Key("{parent}#{shop}"))),
        ((Key("PART#{id}"),), ParentPattern("tree", parent="parent")),
        ((Sharded(SHOP, shards=4, by="id"), PART), templated(Sharded(BELOW, shards=4, by="name"), sort="name")),
        (
            (Key("{number:04d}"),),
            ParentPattern("tree", parent="parent_number", partition=Key("N#{parent_number:04d}")),
        ),
        ((Key("{number:d}"),), ParentPattern("tree", parent="parent_number")),
    ],
)
def test_a_tree_is_declared_with_templates(key: tuple[Any, ...], pattern: ParentPattern) -> None:
    declaration = declared(key, tree=pattern)._declaration
    assert declaration is not None
    link = pattern.link(declaration)
    assert link.index == declaration.index("tree")
    assert set(declaration.key_fields) <= {link.id, *link.within}


@pytest.mark.parametrize(
    ("key", "pattern", "reason"),
    [
        ((SHOP, PART), templated(Key("{shop}")), "partition key is made of shop, and the children .* shop, parent"),
        ((SHOP, PART), templated(Key("{shop}#{parent}#{name}")), "and by nothing else"),
        ((SHOP, PART), templated(Key("ALL")), "made of nothing"),
        ((SHOP, PART), templated(Key("{shop}#{parent}", case="lower")), "does not tell parent, shop exactly"),
        (
            (SHOP, PART),
            templated(Key("{shop}#{parent}", when=lambda part: part.name, fields=("name",))),
            "has when=, and a child",
        ),
        (
            (SHOP, PART),
            templated(BELOW, sort=Key("{name}", when=lambda part: part.number, fields=("number",))),
            "has when=, and a child",
        ),
        ((Key("SHOP#{shop}", case="upper"), PART), templated(BELOW), "the table's key does not tell shop exactly"),
        ((SHOP, Key("{id}#{name}")), templated(BELOW), "the key of a parent is told from its child"),
        ((SHOP, PART), templated(BELOW, id=None), "needs id="),
        ((Key("{shop}#{id}"),), templated(BELOW, id=None), "needs id="),
        ((Key("{number:04d}"),), ParentPattern("tree", parent="parent_number"), "4 digits .* must have as many"),
        (
            (Key("{number:04d}"),),
            ParentPattern("tree", parent="parent_number", partition=Key("{parent_number:06d}")),
            "4 digits .* must have as many",
        ),
    ],
)
def test_templates_that_do_not_tell_nodes_apart_are_refused(
    key: tuple[Any, ...], pattern: ParentPattern, reason: str
) -> None:
    with pytest.raises(DeclarationError, match=reason):
        declared(key, tree=pattern)


def test_the_digits_of_other_keys_do_not_matter_to_a_tree() -> None:
    key = (Key("{number:04d}"),)
    other = AccessPattern("other", partition=Key("X#{parent_number:06d}"), sort=Key("{number:06d}"))
    declared(key, tree=ParentPattern("tree", parent="parent_number", partition=Key("{parent_number:04d}")), other=other)
    declared(("number",), tree=ParentPattern("tree", parent="parent_number", sort=Key("{number:06d}")))
    other = AccessPattern("other", partition=Key("X#{parent_number:04d}"))
    with pytest.raises(DeclarationError, match=r"4 digits .* must have as many"):
        declared(key, tree=ParentPattern("tree", parent="parent_number"), other=other)


def test_in_a_shared_table_the_index_of_a_tree_needs_templates_and_the_error_has_one() -> None:
    table = SingleTable("t", indexes={"tree": ("tpk", "tsk")})
    body = {"model_class": Part, "single_table": table, "primary_key": SHOP, "sort_key": PART}
    for wrong in (templated(None), templated(BELOW)):
        with pytest.raises(DeclarationError, match=r'partition=Key\("\{shop\}#\{parent\}"\), and sort=Key'):
            type("Parts", (BaseDynamoRepository,), {**body, "tree": wrong})
    type("Parts", (BaseDynamoRepository,), {**body, "tree": templated(BELOW, sort=Key("{name}"))})


def test_a_repository_has_one_tree() -> None:
    patterns = {"one": ParentPattern("one", parent="parent"), "two": ParentPattern("two", parent="name")}
    with pytest.raises(DeclarationError, match="one parent pattern at most"):
        declared(("id",), **patterns)


def test_the_index_of_a_tree_carries_whole_items() -> None:
    keys_only = AccessPattern("tree", partition="parent", projection="KEYS_ONLY")
    with pytest.raises(DeclarationError, match="declared twice, differently"):
        declared(("id",), keys=keys_only, tree=ParentPattern("tree", parent="parent"))


def test_a_subclass_may_replace_the_tree() -> None:
    base = declared(("id",), tree=ParentPattern("one", parent="parent"))
    other = type("Other", (base,), {"tree": ParentPattern("two", parent="name")})
    assert other(DynamoDBConfig(region_name="us-east-1"))._family.link.index.name == "two"


def test_without_a_declared_tree_its_methods_say_so() -> None:
    parts = declared(("id",))(DynamoDBConfig(region_name="us-east-1"))
    for refused in (
        lambda: parts.read_tree("a"),
        lambda: parts.move_subtree("a", "b"),
        lambda: parts.delete_subtree("a"),
        lambda: parts.find_orphans(),
    ):
        with pytest.raises(DeclarationError, match="declares no ParentPattern"):
            refused()


def test_a_tree_declared_with_properties_is_checked_when_it_is_used() -> None:
    class Late(BaseDynamoRepository[Part]):
        tree = ParentPattern("tree", parent="parent_number")

        @property
        def table_name(self) -> str:
            return "parts"

        @property
        def primary_key(self) -> str:
            return str(self.config.environment and "id")

    late = Late(DynamoDBConfig(region_name="us-east-1"))
    with pytest.raises(DeclarationError, match="stored the same way"):
        late.read_tree("a")


# --- what is sent ---------------------------------------------------------------------------------------------------


def family_of(repository: type[BaseDynamoRepository[Any]]) -> Family[Any]:
    declaration = repository._declaration
    assert declaration is not None
    (pattern,) = [value for value in vars(repository).values() if isinstance(value, ParentPattern)]
    codec = declaration.codec_for(declaration.model_class, TimeRules())
    return Family(Entity("table", declaration, codec), pattern.link(declaration))


FAMILY = family_of(Notes)


class Answers:
    """A lane that answers from a list and notes what was sent."""

    def __init__(self, *answers: Any) -> None:
        self.sent: list[Call] = []
        self._answers = list(answers)

    def send(self, call: Call) -> Any:
        self.sent.append(call)
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    def run(self, flow: Flow[Any]) -> Any:
        return SyncDriver(self, clock=lambda: NOON).run(flow)

    @property
    def operations(self) -> list[str]:
        return [call.operation for call in self.sent]


def note(id: str, parent: str | None = None) -> Item:
    return {"id": {"S": id}, **({} if parent is None else {"parent": {"S": parent}})}


def read(lane: Answers, root: object, **options: Any) -> Any:
    settings = {"max_depth": 10, "include_metadata": False, "concurrency": 1, **options}
    return lane.run(trees.read(FAMILY, root, **settings))


def test_the_root_is_read_strongly_and_the_children_of_each_node_with_one_query() -> None:
    lane = Answers({"Item": note("a")}, {"Items": [note("b", "a")]}, {"Items": []})
    tree = read(lane, "a")
    assert tree == TreeNode(Note(id="a"), [TreeNode(Note(id="b", parent="a"))])
    assert lane.sent[0].params == {"TableName": "table", "Key": {"id": {"S": "a"}}, "ConsistentRead": True}
    assert [call.params for call in lane.sent[1:]] == [
        {
            "TableName": "table",
            "IndexName": "by_parent",
            "KeyConditionExpression": "#n0 = :v0",
            "ExpressionAttributeNames": {"#n0": "parent"},
            "ExpressionAttributeValues": {":v0": {"S": name}},
        }
        for name in ("a", "b")
    ]


def test_every_page_of_children_is_read_an_empty_one_is_not_the_last() -> None:
    key = note("b", "a")
    lane = Answers(
        {"Item": note("a")},
        {"Items": [], "LastEvaluatedKey": key},
        {"Items": [note("b", "a")], "LastEvaluatedKey": key},
        {"Items": [note("c", "a")]},
        {"Items": []},
        {"Items": []},
    )
    assert [node.item.id for node in read(lane, "a").walk()] == ["a", "b", "c"]


def test_a_scope_is_part_of_the_question() -> None:
    family = family_of(declared(("shop", "id"), tree=ParentPattern("tree", parent="parent", id="id", within="shop")))
    lane = Answers({"Items": []})
    lane.run(family.children_of({"shop": {"S": "s"}, "id": {"S": "a"}, "parent": {"S": "x"}}))
    params = lane.sent[0].params
    assert params["KeyConditionExpression"] == "#n0 = :v0 AND #n1 = :v1"
    assert params["ExpressionAttributeNames"] == {"#n0": "shop", "#n1": "parent"}
    assert params["ExpressionAttributeValues"] == {":v0": {"S": "s"}, ":v1": {"S": "a"}}


def test_an_item_without_its_scope_has_no_children() -> None:
    family = family_of(declared(("id",), tree=ParentPattern("tree", parent="parent", within="shop")))
    assert Answers().run(family.children_of({"id": {"S": "a"}})) == []


def test_a_missing_root_says_how_many_items_name_it() -> None:
    lane = Answers({}, {"Count": 2, "LastEvaluatedKey": note("b", "a")}, {"Count": 1})
    with pytest.raises(ItemNotFoundError, match="3 item") as caught:
        read(lane, "a")
    assert caught.value.context["orphaned_children"] == 3
    assert lane.operations == ["GetItem", "Query", "Query"]
    with pytest.raises(ItemNotFoundError) as caught:
        read(Answers({}, {"Count": 0}), "a")
    assert caught.value.context["orphaned_children"] == 0
    assert "parent" not in str(caught.value)


def test_a_cycle_is_cut_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    tree = read(Answers({"Item": note("a", "b")}, {"Items": [note("b", "a")]}, {"Items": [note("a", "b")]}), "a")
    assert [node.item.id for node in tree.walk()] == ["a", "b"]
    assert "1 link(s) to a node above were cut" in caplog.text


def test_metadata_tell_the_cycle_and_nothing_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    answers = {"Item": note("a", "b")}, {"Items": [note("b", "a")]}, {"Items": [note("a", "b")]}, {"Item": note("b")}
    result = read(Answers(*answers), "a", include_metadata=True)
    assert result.metadata.cycles == (("b", "a"),)
    assert result.metadata.orphans == ()
    assert caplog.text == ""


def test_metadata_tell_that_the_root_is_an_orphan() -> None:
    lane = Answers({"Item": note("a", "gone")}, {"Items": []}, {})
    assert read(lane, "a", include_metadata=True).metadata.orphans == ("a",)
    assert lane.sent[-1].params["Key"] == {"id": {"S": "gone"}}


@pytest.mark.parametrize("option", ["max_depth", "concurrency"])
@pytest.mark.parametrize("wrong", [0, -1, True, "2", None])
def test_a_wrong_number_is_refused_before_anything_is_sent(option: str, wrong: Any) -> None:
    with pytest.raises(ValidationError, match=option):
        read(Answers(), "a", **{option: wrong})


def test_a_node_is_named_by_key_pair_or_model() -> None:
    family = family_of(declared(("shop", "id"), tree=ParentPattern("tree", parent="parent", id="id", within="shop")))
    assert family.key_values(("s", "a")) == family.key_values(Part(shop="s", id="a")) == ("s", "a")
    assert FAMILY.key_values("a") == FAMILY.key_values(Note(id="a")) == ("a", None)
    assert family.key_values({"shop": "s", "id": "a"}) == family.key_values(["s", "a"]) == ("s", "a")
    for wrong in ("a", ("a",), None, ("a", "b", "c"), {"shop": "s"}):
        with pytest.raises(ValidationError, match="pair"):
            family.key_values(wrong)
    with pytest.raises(ValidationError, match="Part"):
        family.key_values(Note(id="a"))
    with pytest.raises(ValidationError):
        read(Answers(), None)
    with pytest.raises(ValidationError):
        read(Answers(), ("a", "b"))


# --- orphans --------------------------------------------------------------------------------------------------------


def test_orphans_are_looked_up_once_per_parent_and_read_again_because_the_index_may_lag_behind() -> None:
    lane = Answers(
        {
            "Items": [note("a", "gone"), note("b", "gone"), note("c", "gone"), note("d", "gone"), note("e", "there")],
            "LastEvaluatedKey": note("e", "there"),
        },
        {},
        {"Item": note("there")},
        {"Item": note("a", "gone")},
        {},
        {"Item": note("c", "there")},
        {"Item": note("d")},
        {"Items": []},
    )
    flow = subtrees.orphans(FAMILY, concurrency=1)
    assert list(SyncDriver(lane).stream(flow)) == [Note(id="a", parent="gone")]
    scan, *gets, again = lane.sent
    assert (scan.operation, scan.params["IndexName"]) == ("Scan", "by_parent")
    assert again.params["ExclusiveStartKey"] == note("e", "there")
    assert [call.params["Key"]["id"]["S"] for call in gets] == ["gone", "there", "a", "b", "c", "d"]
    assert all(call.params["ConsistentRead"] for call in gets)


def test_a_parent_out_of_scope_is_none() -> None:
    family = family_of(declared(("id",), tree=ParentPattern("tree", parent="parent", within="shop")))
    child = {"shop": {"S": "s"}, "id": {"S": "a"}, "parent": {"S": "p"}}
    lane = Answers({"Items": [child]}, {"Item": {"shop": {"S": "other"}, "id": {"S": "p"}}}, {"Item": child})
    assert [part.id for part in SyncDriver(lane).stream(subtrees.orphans(family, concurrency=1))] == ["a"]


# --- move -----------------------------------------------------------------------------------------------------------


def test_a_move_is_one_transaction_that_checks_every_node_above_the_new_place() -> None:
    lane = Answers(
        {"Item": note("n", "old")},
        {"Item": note("p", "q")},
        {"Item": note("q")},
        {},
        {"Item": note("n", "p")},
    )
    assert lane.run(subtrees.move(FAMILY, "n", "p")) == Note(id="n", parent="p")
    assert lane.operations == ["GetItem", "GetItem", "GetItem", "TransactWriteItems", "GetItem"]
    assert all(call.params["ConsistentRead"] for call in lane.sent if call.operation == "GetItem")
    update, above, top = lane.sent[3].params["TransactItems"]
    assert update["Update"]["Key"] == {"id": {"S": "n"}}
    assert update["Update"]["UpdateExpression"] == "SET #n0 = :v0"
    assert update["Update"]["ExpressionAttributeValues"] == {":v0": {"S": "p"}}
    assert above["ConditionCheck"]["Key"] == {"id": {"S": "p"}}
    assert above["ConditionCheck"]["ConditionExpression"] == "attribute_exists(#n0) AND #n1 = :v0"
    assert above["ConditionCheck"]["ExpressionAttributeValues"] == {":v0": {"S": "q"}}
    assert top["ConditionCheck"]["Key"] == {"id": {"S": "q"}}
    assert "attribute_not_exists(#n1)" in top["ConditionCheck"]["ConditionExpression"]


def test_to_become_a_root_needs_no_checks() -> None:
    lane = Answers({"Item": note("n", "old")}, {}, {"Item": note("n")})
    assert lane.run(subtrees.move(FAMILY, "n", None)) == Note(id="n")
    (update,) = lane.sent[1].params["TransactItems"]
    assert update["Update"]["UpdateExpression"] == "REMOVE #n0"


@pytest.mark.parametrize(("item", "parent"), [(note("n", "p"), "p"), (note("n"), None)])
def test_a_node_that_is_there_already_is_not_written(item: Item, parent: str | None) -> None:
    lane = Answers({"Item": item}, *([{"Item": note("p")}] if parent else []))
    assert lane.run(subtrees.move(FAMILY, "n", parent)).parent == parent
    assert set(lane.operations) == {"GetItem"}


def test_a_line_that_ends_in_nothing_is_checked_to_still_end_there() -> None:
    lane = Answers({"Item": note("n")}, {"Item": note("p", "gone")}, {}, {}, {"Item": note("n", "p")})
    lane.run(subtrees.move(FAMILY, "n", "p"))
    check = lane.sent[3].params["TransactItems"][2]["ConditionCheck"]
    assert check["Key"] == {"id": {"S": "gone"}}
    assert check["ConditionExpression"] == "attribute_not_exists(#n0)"


@pytest.mark.parametrize(
    ("parent", "answers", "reason"),
    [
        ("n", [{"Item": note("n")}], "the node itself"),
        ("p", [{"Item": note("n")}, {"Item": note("p", "q")}, {"Item": note("q", "n")}], "a node below it"),
        ("p", [{"Item": note("n")}, {"Item": note("p", "q")}, {"Item": note("q", "p")}], "cycle"),
        ("0", [{"Item": note("n")}, *({"Item": note(str(i), str(i + 1))} for i in range(99))], "99 nodes"),
    ],
)
def test_a_move_that_would_break_the_tree_is_refused(parent: str, answers: list[Any], reason: str) -> None:
    lane = Answers(*answers)
    with pytest.raises(ValidationError, match=reason):
        lane.run(subtrees.move(FAMILY, "n", parent))
    assert set(lane.operations) == {"GetItem"}


def test_ninety_nine_nodes_above_can_be_checked() -> None:
    line = [{"Item": note(str(i), str(i + 1) if i < 98 else None)} for i in range(99)]
    lane = Answers({"Item": note("n")}, *line, {}, {"Item": note("n", "0")})
    lane.run(subtrees.move(FAMILY, "n", "0"))
    assert len(lane.sent[-2].params["TransactItems"]) == 100


@pytest.mark.parametrize(("answers", "missing"), [([{}], "n"), ([{"Item": note("n")}, {}], "p")])
def test_a_missing_node_or_parent_is_told(answers: list[Any], missing: str) -> None:
    with pytest.raises(ItemNotFoundError) as caught:
        Answers(*answers).run(subtrees.move(FAMILY, "n", "p"))
    assert caught.value.key == {"id": missing}


def cancelled(*codes: str) -> TransactionCanceledError:
    return TransactionCanceledError("cancelled", reasons=[CancellationReason(code) for code in codes])


def test_a_move_starts_over_when_something_above_moved() -> None:
    first = {"Item": note("n")}, {"Item": note("p")}, cancelled("None", "ConditionalCheckFailed")
    lane = Answers(*first, {"Item": note("n")}, {"Item": note("p", "n")})
    with pytest.raises(ValidationError, match="below it"):
        lane.run(subtrees.move(FAMILY, "n", "p"))


def test_a_move_gives_up_after_five_times() -> None:
    failure = cancelled("None", "ConditionalCheckFailed")
    rounds = [[{"Item": note("n", str(number))}, {"Item": note("p")}, failure] for number in range(5)]
    lane = Answers(*(answer for round_ in rounds for answer in round_))
    with pytest.raises(TransactionCanceledError):
        lane.run(subtrees.move(FAMILY, "n", "p"))
    assert lane.operations.count("TransactWriteItems") == 5


def test_a_move_is_not_tried_again_when_nothing_has_changed() -> None:
    reads = {"Item": note("n")}, {"Item": note("p")}
    lane = Answers(*reads, cancelled("ConditionalCheckFailed", "None"), *reads)
    with pytest.raises(TransactionCanceledError):
        lane.run(subtrees.move(FAMILY, "n", "p"))
    assert lane.operations.count("TransactWriteItems") == 1


def test_another_reason_is_not_tried_again_here() -> None:
    lane = Answers({"Item": note("n")}, {"Item": note("p")}, cancelled("None", "ValidationError"))
    with pytest.raises(TransactionCanceledError):
        lane.run(subtrees.move(FAMILY, "n", "p"))


def test_a_move_across_scopes_is_refused() -> None:
    family = family_of(declared(("shop", "id"), tree=ParentPattern("tree", parent="parent", id="id", within="shop")))

    def part(shop: str, id: str) -> Item:
        return {"shop": {"S": shop}, "id": {"S": id}}

    lane = Answers({"Item": part("s", "a")}, {"Item": part("t", "b")})
    with pytest.raises(ValidationError, match="share shop, and these differ"):
        lane.run(subtrees.move(family, ("s", "a"), ("t", "b")))


def test_what_is_derived_from_the_parent_moves_with_it_if_the_rest_of_it_stands() -> None:
    place = Derived("place", ("parent", "name", "shop"), lambda parent, name, shop: f"{parent}#{name}#{shop}")
    family = family_of(
        declared(
            ("shop", "id"),
            by_place=AccessPattern("by_place", partition=place),
            tree=ParentPattern("tree", parent="parent", id="id", within="shop"),
        )
    )
    key = {"shop": {"S": "s"}, "id": {"S": "n"}}
    item = {**key, "name": {"S": "bolt"}}
    lane = Answers({"Item": item}, {"Item": {**key, "id": {"S": "p"}}}, {}, {"Item": item})
    lane.run(subtrees.move(family, ("s", "n"), ("s", "p")))
    update = lane.sent[2].params["TransactItems"][0]["Update"]
    assert {"S": "p#bolt#s"} in update["ExpressionAttributeValues"].values()
    assert "name" in update["ExpressionAttributeNames"].values()
    assert update["ConditionExpression"].count(" = ") == 1


def test_a_move_has_a_client_token() -> None:
    lane = Answers({"Item": note("n", "old")}, {}, {"Item": note("n")})
    lane.run(subtrees.move(FAMILY, "n", None))
    assert len(lane.sent[1].params["ClientRequestToken"]) == 36


def test_a_move_that_cannot_be_read_back_is_not_told_as_refused() -> None:
    failure = DeadlineExceededError("the time limit has passed")
    with pytest.raises(WriteOutcomeUnknownError, match=r"the node was moved, but .* time limit") as caught:
        Answers({"Item": note("n", "old")}, {}, failure).run(subtrees.move(FAMILY, "n", None))
    assert caught.value.key == {"id": "n"}


# --- delete ---------------------------------------------------------------------------------------------------------


def test_a_delete_that_stops_half_way_says_how_many_are_deleted() -> None:
    children = [note("a", "n"), note("b", "n")]
    lane = Answers(
        {"Item": note("n")},
        {"Items": children},
        {"Items": []},
        {"Items": []},
        *({"Item": child} for child in children),
        {"Attributes": children[0]},
        AccessDeniedError("not authorized"),
    )
    with pytest.raises(AccessDeniedError, match="1 nodes were deleted before: run it again") as caught:
        lane.run(subtrees.delete(FAMILY, "n", concurrency=1))
    assert caught.value.context["deleted"] == 1
