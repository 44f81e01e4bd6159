"""What would be lost, unreadable or untrue later is refused now, before anything is sent."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID, uuid4

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    BaseDynamoRepository,
    ExpressionError,
    F,
    Remove,
    SetIfMissing,
    ValidationError,
    VersionConflictError,
)
from tests.servers import Server


class Note(BaseModel):
    id: str
    count: int | None = None
    at: datetime | None = None
    anything: dict[str, Any] = {}
    lines: list[str] = []
    version: int = 0


class Unversioned(BaseDynamoRepository[Note]):
    table_name = "notes"
    primary_key = "id"


class Versioned(BaseDynamoRepository[Note]):
    table_name = "notes"
    primary_key = "id"
    version_attribute = "version"


class Ticket(BaseModel):
    id: UUID
    count: int = 0


class Tickets(BaseDynamoRepository[Ticket]):
    table_name = "tickets"
    primary_key = "id"


@pytest.fixture
def notes(server: Server) -> Unversioned:
    repository = Unversioned(server.config())
    repository.ensure_table()
    repository.create(Note(id="a"))
    return repository


def test_items_from_before_the_version_can_be_adopted_once(notes: Unversioned) -> None:
    versioned = Versioned(notes.config)
    first, second = versioned.get_or_raise("a"), versioned.get_or_raise("a")
    assert versioned.update(first).version == 1
    with pytest.raises(VersionConflictError, match="version 1 is stored"):
        versioned.update(second)
    with pytest.raises(VersionConflictError):
        versioned.put(second)


def test_a_value_assigned_past_validation_is_not_written(notes: Unversioned) -> None:
    note = notes.get_or_raise("a")
    note.count = "oops"  # type: ignore[assignment]  # Pydantic does not look at assignments by default
    with pytest.raises(ValidationError, match="count"):
        notes.update(note)
    assert notes.get_or_raise("a").count is None


def test_values_that_contain_themselves_are_refused(notes: Unversioned) -> None:
    circle: list[Any] = []
    circle.append(circle)
    with pytest.raises(ValidationError, match="contains itself"):
        notes.put(Note(id="b").model_copy(update={"anything": {"x": circle}}))
    with pytest.raises(ValidationError, match=r"contains itself|nested"):
        notes.patch("a", anything={"x": circle})
    assert notes.list_all() == [notes.get_or_raise("a")]


def test_broken_unicode_is_refused_everywhere(notes: Unversioned) -> None:
    for attempt in (
        lambda: notes.get("\ud800"),
        lambda: notes.put(Note(id="\ud800")),
        lambda: notes.patch("a", anything={"x": "\ud800"}),
        lambda: notes.scan().where(F.id == "\ud800").all(),
    ):
        with pytest.raises(ValidationError, match="Unicode"):
            attempt()


def test_an_upsert_checks_its_key_as_the_model_does(server: Server) -> None:
    tickets = Tickets(server.config())
    tickets.ensure_table()
    with pytest.raises(ValidationError, match="id"):
        tickets.patch("garbage", count=1, upsert=True)
    assert tickets.list_all() == []
    known = uuid4()
    assert tickets.patch(known, count=1, upsert=True) == Ticket(id=known, count=1)


def test_a_condition_that_can_never_hold_lets_nothing_through(notes: Unversioned) -> None:
    with pytest.raises(ExpressionError, match="at is never 'yesterday'"):
        notes.patch("a", count=1, when=F.at < "yesterday")
    assert notes.get_or_raise("a").count is None


def test_setting_a_missing_attribute_to_none_is_refused(notes: Unversioned) -> None:
    with pytest.raises(ExpressionError, match="nothing to set"):
        notes.patch("a", count=SetIfMissing(None))
    assert notes.scan().where(F.count.not_exists()).count() == 1


def test_a_place_in_a_list_is_never_patched_twice(notes: Unversioned) -> None:
    from dynamodb_wrapper.operations.patches import patch_request

    entity = notes._entity
    for changes, repeatable in (
        ({"lines[0]": Remove()}, False),
        ({"lines[9]": "x"}, False),
        ({"lines": ["x"]}, True),
        ({"anything.x": 1}, True),
    ):
        request = patch_request(entity, entity.key("a"), changes, when=None, upsert=False, time=None)
        assert request.as_call().repeatable is repeatable, changes


def test_a_whole_key_condition_may_repeat_the_key(notes: Unversioned) -> None:
    condition = {"KeyConditionExpression": "#key = :id", "ExpressionAttributeNames": {"#key": "id"}}
    assert len(notes.query_by_pk("a", **condition, ExpressionAttributeValues={":id": "a"})) == 1
    with pytest.raises(ExpressionError, match="given already"):
        notes.query_by_pk("a", **condition, ExpressionAttributeValues={":id": "b"})
