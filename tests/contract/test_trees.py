"""Trees on a server: a chat whose messages answer each other, and a plain table of notes.

The chat is in a table of its own, and in one that it shares with others: these have items in the same partitions, of
the table and of the index, and are not to be touched.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Any

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    BaseDynamoRepository,
    BatchIncompleteError,
    Derived,
    ItemNotFoundError,
    Key,
    SingleTable,
    ValidationError,
)
from dynamodb_wrapper.operations.effects import Call, Response
from dynamodb_wrapper.operations.trees import TreeNode
from dynamodb_wrapper.repositories.patterns import ParentPattern
from dynamodb_wrapper.transport import RetryPolicy
from tests.contract.shop import MONDAY, Make
from tests.contract.skins import driver_over


class Message(BaseModel):
    chat: str
    id: int
    answers: int | None = None
    text: str = ""
    sent_at: datetime = MONDAY
    version: int = 0
    updated_at: datetime | None = None


PLACE = Derived("place", ("answers", "text"), lambda answers, text: f"{answers}#{text}")


class Chats(BaseDynamoRepository[Message]):
    """Multi-attribute index key, numbers as ids, versions, and an index derived from the parent."""

    table_name = "chats"
    primary_key = "chat"
    sort_key = "id"
    version_attribute = "version"
    replies = ParentPattern("replies", parent="answers", id="id", within="chat", sort="sent_at")
    by_place = AccessPattern("by_place", partition="chat", sort=PLACE)


SHARED = SingleTable("chat", indexes={"replies": ("replies_pk", "replies_sk"), "by_place": ("place_pk", "place_sk")})
CHAT = Key("CHAT#{chat}")
REPLIES = Key("CHAT#{chat}#{answers:04d}")


class SharedChats(BaseDynamoRepository[Message]):
    """All keys are templates, and other models have the same partitions."""

    single_table = SHARED
    primary_key = CHAT
    sort_key = Key("MESSAGE#{id:04d}")
    version_attribute = "version"
    replies = ParentPattern(
        "replies", parent="answers", id="id", within="chat", partition=REPLIES, sort=Key("{sent_at}#{id:04d}")
    )
    by_place = AccessPattern("by_place", partition=CHAT, sort=Key("{answers:04d}#{text}"))


class Like(BaseModel):
    """Looks as if it were a message: it has all its fields."""

    chat: str
    id: int
    answers: int | None = None
    sent_at: datetime = MONDAY
    text: str = "like"


class Likes(BaseDynamoRepository[Like]):
    single_table = SHARED
    primary_key = CHAT
    sort_key = Key("LIKE#{id:04d}")
    of_message = AccessPattern("replies", partition=REPLIES, sort=Key("{sent_at}#{id:04d}"))


class Note(BaseModel):
    id: str
    parent: str | None = None


class Notes(BaseDynamoRepository[Note]):
    table_name = "notes"
    primary_key = "id"
    children = ParentPattern("by_parent", parent="parent")


WRITES = {"PutItem", "UpdateItem", "DeleteItem", "TransactWriteItems", "BatchWriteItem"}


class KilledError(Exception):
    """The process ended here."""


class DyingLane:
    """Lets so many writes through; every later request finds the process dead."""

    def __init__(self, lane: Any, writes: int) -> None:
        self._lane, self._left, self._lock = lane, writes, threading.Lock()

    def send(self, call: Call) -> Response:
        if call.operation in WRITES:
            with self._lock:
                if self._left == 0:
                    raise KilledError
                self._left -= 1
        response: Response = self._lane.send(call)
        return response


class MeddlingLane:
    """Does something of another writer's just before the first request of a kind."""

    def __init__(self, lane: Any, operation: str, meddle: Callable[[], object]) -> None:
        self._lane, self._operation, self._meddle = lane, operation, meddle

    def send(self, call: Call) -> Response:
        if call.operation == self._operation:
            self._operation = ""
            self._meddle()
        response: Response = self._lane.send(call)
        return response


def through(repository: BaseDynamoRepository[Any], lane: Callable[[Any], Any]) -> Any:
    """Return the repository over another lane."""
    other = repository.with_options()
    other._driver = driver_over(lane(repository._connection._lane), RetryPolicy(max_attempts=1), like=repository)
    return other


#        1
#    2       3
#  4   5     6
#  7         8 9
PARENTS = {1: None, 2: 1, 3: 1, 4: 2, 5: 2, 6: 3, 7: 4, 8: 6, 9: 6}


@pytest.fixture(params=[Chats, SharedChats])
def chats(make: Make, request: pytest.FixtureRequest) -> Iterator[Chats]:
    repository = make(request.param)
    write(repository, "c1")
    write(repository, "c2")  # the same ids in another chat
    if request.param is Chats:
        yield repository
        return
    likes = make(Likes)
    for id_, parent in PARENTS.items():
        likes.create(Like(chat="c1", id=id_, answers=parent))
    before = sorted(likes.query("c1"), key=lambda like: like.id)
    yield repository
    assert sorted(likes.query("c1"), key=lambda like: like.id) == before, "strangers were touched"


def at_place(chats: Chats, parent: int, text: str) -> list[int]:
    """Return what the index by place has there, whose key is derived from the parent."""
    query = chats.query("c1", index="by_place")
    is_shared = bool(chats._entity.declaration.templates)
    return [message.id for message in (query.eq(parent).eq(text) if is_shared else query.eq(f"{parent}#{text}"))]


def write(chats: Chats, chat: str) -> None:
    for id_, parent in PARENTS.items():
        sent_at = MONDAY + timedelta(minutes=id_)
        chats.create(Message(chat=chat, id=id_, answers=parent, text=f"t{id_}", sent_at=sent_at))


def shape(node: TreeNode[Any]) -> list[tuple[Any, list[Any]]]:
    return [(entry.item.id, [child.item.id for child in entry.children]) for entry in node.walk()]


WHOLE = [(1, [2, 3]), (2, [4, 5]), (4, [7]), (7, []), (5, []), (3, [6]), (6, [8, 9]), (8, []), (9, [])]


def left(chats: Chats, chat: str) -> set[int]:
    return {message.id for message in chats.query(chat)}


def assert_readable(chats: Chats, chat: str) -> None:
    """Every message is reached from a root of its chat, and none answers one that is gone."""
    stored = list(chats.query(chat))
    reached = [
        node.item.id for message in stored if message.answers is None for node in chats.read_tree(message).walk()
    ]
    assert sorted(reached) == sorted(message.id for message in stored)
    assert [orphan for orphan in chats.find_orphans() if orphan.chat == chat] == []


# --- read -----------------------------------------------------------------------------------------------------------


def test_a_tree_is_read_whole_with_children_in_order(chats: Chats) -> None:
    tree = chats.read_tree(("c1", 1))
    assert shape(tree) == WHOLE
    assert tree.children[0].item == chats.get("c1", 2)
    assert chats.read_tree(tree.item) == tree
    assert [message.id for message in chats.replies("c1", 6).descending()] == [9, 8]


def test_metadata(chats: Chats) -> None:
    metadata = chats.read_tree(("c1", 1), include_metadata=True).metadata
    assert (metadata.root_id, metadata.node_count, metadata.depth, metadata.complete) == (("c1", 1), 9, 4, True)
    assert (metadata.cycles, metadata.orphans) == ((), ())
    below = chats.read_tree(("c1", 6), include_metadata=True, max_depth=1)
    assert (below.metadata.node_count, below.metadata.depth, below.metadata.complete) == (1, 1, False)
    assert below.tree.item.id == 6


def test_many_children_come_in_many_pages(make: Make) -> None:
    notes = make(Notes)
    notes.put(Note(id="root"))
    for number in range(12):
        notes.put(Note(id=f"{number:03}" + "x" * 1500, parent="root"))
    small = through(notes, SmallPages)
    assert len(small.read_tree("root").children) == 12


class SmallPages:
    def __init__(self, lane: Any) -> None:
        self._lane = lane

    def send(self, call: Call) -> Response:
        if call.operation in {"Query", "Scan"}:
            call.params.setdefault("Limit", 5)
        response: Response = self._lane.send(call)
        return response


def test_a_chain_of_60_levels(make: Make) -> None:
    notes = make(Notes)
    for number in range(60):
        notes.put(Note(id=str(number), parent=str(number - 1) if number else None))
    result = notes.read_tree("0", max_depth=1000, include_metadata=True)
    assert (result.metadata.depth, result.metadata.node_count, result.metadata.complete) == (60, 60, True)
    assert notes.read_tree("0", include_metadata=True).metadata.depth == 10
    assert notes.delete_subtree("0") == 60


def test_cycles_and_missing_roots(make: Make, caplog: pytest.LogCaptureFixture) -> None:
    notes = make(Notes)
    for id_, parent in (("a", "c"), ("b", "a"), ("c", "b"), ("own", "own"), ("lost", "gone")):
        notes.put(Note(id=id_, parent=parent))
    result = notes.read_tree("a", include_metadata=True)
    assert [node.item.id for node in result.tree.walk()] == ["a", "b", "c"]
    assert result.metadata.cycles == (("c", "a"),)
    assert notes.read_tree("own", include_metadata=True).metadata.cycles == (("own", "own"),)
    assert notes.read_tree("lost", include_metadata=True).metadata.orphans == ("lost",)
    notes.read_tree("own")
    assert "were cut from a tree" in caplog.text
    with pytest.raises(ItemNotFoundError) as caught:
        notes.read_tree("gone")
    assert caught.value.context["orphaned_children"] == 1


def test_orphans_are_found_once_each_page_by_page(chats: Chats) -> None:
    assert list(chats.find_orphans()) == []
    chats.delete("c1", 2)
    chats.delete("c1", 6)
    expected = [("c1", 4), ("c1", 5), ("c1", 8), ("c1", 9)]
    assert sorted((orphan.chat, orphan.id) for orphan in chats.find_orphans()) == expected
    small: Chats = through(chats, SmallPages)
    assert sorted((orphan.chat, orphan.id) for orphan in small.find_orphans(concurrency=1)) == expected
    assert next(iter(chats.find_orphans())).chat == "c1"


# --- move -----------------------------------------------------------------------------------------------------------


def test_a_moved_subtree_hangs_elsewhere_with_version_times_and_derived_keys_right(chats: Chats) -> None:
    before = chats.get_or_raise("c1", 2)
    moved = chats.move_subtree(("c1", 2), ("c1", 8))
    assert (moved.answers, moved.version) == (8, before.version + 1)
    assert moved.updated_at is not None
    assert before.updated_at is not None
    assert moved.updated_at >= before.updated_at
    assert moved == chats.get("c1", 2)
    assert shape(chats.read_tree(("c1", 8))) == [(8, [2]), (2, [4, 5]), (4, [7]), (7, []), (5, [])]
    assert at_place(chats, 8, "t2") == [2]
    assert shape(chats.read_tree(("c2", 1))) == WHOLE
    chats.update(moved)


def test_a_moved_subtree_becomes_a_tree_of_its_own(chats: Chats) -> None:
    assert chats.move_subtree(("c1", 2), None).answers is None
    assert shape(chats.read_tree(("c1", 1)))[0] == (1, [3])
    assert len(shape(chats.read_tree(("c1", 2)))) == 4
    assert chats.move_subtree(("c1", 2), ("c1", 1)).answers == 1
    assert shape(chats.read_tree(("c1", 1))) == WHOLE


def test_a_move_that_would_break_the_tree_changes_nothing(chats: Chats) -> None:
    before = list(chats.query("c1"))
    for node, parent in (((("c1", 2)), ("c1", 7)), (("c1", 2), ("c1", 2)), (("c1", 1), ("c1", 9))):
        with pytest.raises(ValidationError):
            chats.move_subtree(node, parent)
    with pytest.raises(ValidationError, match="share chat"):
        chats.move_subtree(("c1", 2), ("c2", 3))
    with pytest.raises(ItemNotFoundError):
        chats.move_subtree(("c1", 2), ("c1", 99))
    with pytest.raises(ItemNotFoundError):
        chats.move_subtree(("c1", 99), ("c1", 1))
    assert list(chats.query("c1")) == before


def test_two_moves_at_the_same_time_make_no_cycle(chats: Chats) -> None:
    meddled = through(
        chats, lambda lane: MeddlingLane(lane, "TransactWriteItems", lambda: chats.move_subtree(("c1", 3), ("c1", 7)))
    )
    with pytest.raises(ValidationError, match="below it"):
        meddled.move_subtree(("c1", 2), ("c1", 8))
    assert_readable(chats, "c1")
    assert left(chats, "c1") == set(PARENTS)


def test_a_new_parent_that_goes_away_meanwhile_is_told(chats: Chats) -> None:
    meddled = through(
        chats, lambda lane: MeddlingLane(lane, "TransactWriteItems", lambda: chats.delete_subtree(("c1", 9)))
    )
    with pytest.raises(ItemNotFoundError):
        meddled.move_subtree(("c1", 2), ("c1", 9))
    assert_readable(chats, "c1")


def test_another_change_of_the_node_meanwhile_is_kept(chats: Chats) -> None:
    meddled = through(
        chats,
        lambda lane: MeddlingLane(lane, "TransactWriteItems", lambda: chats.patch("c1", 2, text="new", answers=1)),
    )
    moved = meddled.move_subtree(("c1", 2), ("c1", 9))
    assert (moved.text, moved.answers) == ("new", 9)
    assert at_place(chats, 9, "new") == [2]


@pytest.mark.parametrize("writes", [0, 1])
def test_a_move_that_is_killed_is_not_begun_or_done(chats: Chats, writes: int) -> None:
    dying = through(chats, lambda lane: DyingLane(lane, writes))
    outcome: list[Any] = []
    with suppress(KilledError):
        outcome.append(dying.move_subtree(("c1", 2), ("c1", 9)))
    assert len(outcome) == writes
    assert_readable(chats, "c1")
    assert chats.move_subtree(("c1", 2), ("c1", 9)).version == 2
    assert_readable(chats, "c1")


# --- delete ---------------------------------------------------------------------------------------------------------


def test_a_subtree_is_deleted_whole_and_nothing_else(chats: Chats) -> None:
    assert chats.delete_subtree(("c1", 2)) == 4
    assert left(chats, "c1") == {1, 3, 6, 8, 9}
    assert chats.delete_subtree(("c1", 1), concurrency=1) == 5
    assert left(chats, "c1") == set()
    assert shape(chats.read_tree(("c2", 1))) == WHOLE
    assert chats.delete_subtree(("c1", 1)) == 0


@pytest.mark.parametrize("concurrency", [1, 4])
@pytest.mark.parametrize("writes", range(8))
def test_killed_after_any_write_the_tree_is_readable_and_the_next_run_finishes(
    chats: Chats, writes: int, concurrency: int
) -> None:
    chats.put(Message(chat="c1", id=10, answers=9))
    dying = through(chats, lambda lane: DyingLane(lane, writes))
    deleted = None
    with suppress(KilledError):
        deleted = dying.delete_subtree(("c1", 3), concurrency=concurrency)
    assert deleted == (5 if writes >= 5 else None)
    assert len(left(chats, "c1")) == 10 - min(writes, 5)
    assert_readable(chats, "c1")
    assert chats.delete_subtree(("c1", 3), concurrency=concurrency) == 5 - min(writes, 5)
    assert left(chats, "c1") == {1, 2, 4, 5, 7}
    assert_readable(chats, "c1")
    assert shape(chats.read_tree(("c2", 1))) == WHOLE


def test_where_the_node_is_gone_what_is_left_below_it_is_deleted(chats: Chats) -> None:
    chats.delete("c1", 3)
    assert chats.delete_subtree(("c1", 3)) == 3
    assert left(chats, "c1") == {1, 2, 4, 5, 7}


def test_children_added_meanwhile_are_deleted_too(chats: Chats) -> None:
    def add() -> None:
        for id_, parent in ((20, 9), (21, 20), (22, 3)):
            chats.put(Message(chat="c1", id=id_, answers=parent))

    meddled = through(chats, lambda lane: MeddlingLane(lane, "DeleteItem", add))
    assert meddled.delete_subtree(("c1", 3)) == 4 + 3
    assert left(chats, "c1") == {1, 2, 4, 5, 7}


def test_when_children_are_added_without_end_the_node_stays_and_the_error_says_so(chats: Chats) -> None:
    class Busy:
        def __init__(self, lane: Any) -> None:
            self._lane, self._next = lane, 100

        def send(self, call: Call) -> Response:
            response: Response = self._lane.send(call)
            if call.operation == "DeleteItem":
                self._next += 1
                chats.put(Message(chat="c1", id=self._next, answers=3))
            return response

    with pytest.raises(BatchIncompleteError, match="kept adding") as caught:
        through(chats, Busy).delete_subtree(("c1", 3), concurrency=1)
    assert caught.value.unprocessed == [("c1", 3)]
    assert caught.value.done >= 3
    assert_readable(chats, "c1")
    chats.delete_subtree(("c1", 3))
    assert left(chats, "c1") == {1, 2, 4, 5, 7}


def test_a_child_added_while_the_node_itself_goes_is_deleted_too(chats: Chats) -> None:
    class Late:
        def __init__(self, lane: Any) -> None:
            self._lane = lane

        def send(self, call: Call) -> Response:
            if call.operation == "DeleteItem" and call.params["Key"] == chats._entity.key("c1", 3):
                chats.put(Message(chat="c1", id=30, answers=3))
            response: Response = self._lane.send(call)
            return response

    assert through(chats, Late).delete_subtree(("c1", 3)) == 5
    assert left(chats, "c1") == {1, 2, 4, 5, 7}


def test_a_node_moved_away_meanwhile_is_left_alone_with_its_new_children(chats: Chats) -> None:
    def rescue() -> None:
        chats.move_subtree(("c1", 6), ("c1", 2))
        chats.put(Message(chat="c1", id=20, answers=6))

    meddled = through(chats, lambda lane: MeddlingLane(lane, "DeleteItem", rescue))
    meddled.delete_subtree(("c1", 3))
    assert {6, 20} <= left(chats, "c1")
    assert 3 not in left(chats, "c1")
    assert_readable(chats, "c1")


def test_a_stale_index_deletes_nothing_that_was_moved_away(chats: Chats) -> None:
    """The index still shows the node where it was, as a real index does for a moment."""

    class StaleIndex:
        def __init__(self, lane: Any) -> None:
            self._lane = lane

        def send(self, call: Call) -> Response:
            response: Response = self._lane.send(call)
            if call.operation == "Query" and call.params["ExpressionAttributeValues"] == children_of_three:
                response = {**response, "Items": [*response["Items"], stale]}
            return response

    children = chats._family.children(chats._entity.encode(Message(chat="c1", id=3)))
    assert children is not None
    children_of_three = children.params()["ExpressionAttributeValues"]
    stale = chats._entity.encode(Message(chat="c1", id=6, answers=3))
    chats.move_subtree(("c1", 6), ("c1", 2))
    assert through(chats, StaleIndex).delete_subtree(("c1", 3)) == 1
    assert left(chats, "c1") == {1, 2, 4, 5, 6, 7, 8, 9}
    assert_readable(chats, "c1")


def test_a_cycle_is_deleted_too(make: Make) -> None:
    notes = make(Notes)
    for id_, parent in (("a", "c"), ("b", "a"), ("c", "b"), ("d", "b"), ("other", None)):
        notes.put(Note(id=id_, parent=parent))
    assert notes.delete_subtree("a") == 4
    assert [note.id for note in notes.scan()] == ["other"]


def test_a_wide_tree(make: Make) -> None:
    notes = make(Notes)
    notes.put(Note(id="root"))
    for number in range(150):
        notes.put(Note(id=str(number), parent="root"))
    assert notes.read_tree("root", include_metadata=True).metadata.node_count == 151
    assert notes.delete_subtree("root") == 151
    assert notes.scan().count() == 0
