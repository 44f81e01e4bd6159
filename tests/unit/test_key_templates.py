"""Key templates: what is written, that it is one of a kind, that it sorts, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta, timezone
from enum import IntEnum, StrEnum
from types import new_class
from typing import Any, cast
from uuid import UUID, uuid4

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from pydantic import BaseModel

from dynamodb_wrapper import AccessPattern, BaseDynamoRepository, DeclarationError, Derived, DynamoDBConfig, F
from dynamodb_wrapper.codec import Key, ModelCodec, Template, TimeRules, Wire
from dynamodb_wrapper.codec.templates import escaped, unescaped
from dynamodb_wrapper.exceptions import ConditionFailedError, ItemNotFoundError, ValidationError
from dynamodb_wrapper.operations import patches
from dynamodb_wrapper.operations.effects import Call
from dynamodb_wrapper.operations.key_templates import template_of
from tests.unit.test_flows import drive, failed

CONFIG = DynamoDBConfig(region_name="us-east-1", aws_access_key_id="x", aws_secret_access_key="x")
TIMES = TimeRules()


class Level(IntEnum):
    LOW = 1
    HIGH = 20


class State(StrEnum):
    OPEN = "open"
    DONE = "done"


class Task(BaseModel):
    owner: str
    task_id: str
    priority: int = 0
    due: datetime = datetime(2026, 11, 2, tzinfo=UTC)
    day: date = date(2026, 11, 2)
    ref: UUID = UUID(int=0)
    state: State = State.OPEN
    level: Level = Level.LOW
    team: str | None = None
    share: float = 0.0
    active: bool = True
    tags: list[str] = []
    either: int | str = 0
    lasts: timedelta = timedelta(0)
    at: datetime | date = date(2026, 11, 2)


def made(source: str, *, is_sorted: bool = True, **options: Any) -> Template:
    return template_of(Key(source, **options), "sk", Task, is_sorted=is_sorted)


def text_of(template: Template, **values: object) -> str | None:
    codec = ModelCodec.shared(Task)
    return template.text([codec.target((name,)).written(values[name]) for name in template.names], TIMES)


# --- what is written --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("source", "values", "text"),
    [
        ("USER#{owner}", {"owner": "u1"}, "USER#u1"),
        ("PROFILE", {}, "PROFILE"),
        ("{owner}", {"owner": "Zoë"}, "Zoë"),
        ("T#{priority:08d}#{task_id}#END", {"priority": 42, "task_id": "t"}, "T#00000042#t#END"),
        (
            "{due}",
            {"due": datetime(2026, 11, 2, 9, 30, tzinfo=timezone(timedelta(hours=2)))},
            "2026-11-02T07:30:00.000000Z",
        ),
        ("{due:day}", {"due": datetime(2026, 11, 2, 1, tzinfo=timezone(timedelta(hours=2)))}, "2026-11-01"),
        ("{due:hour}", {"due": datetime(2026, 11, 2, 9, 30, tzinfo=UTC)}, "2026-11-02T09"),
        ("{due}", {"due": datetime(17, 1, 2, tzinfo=UTC)}, "0017-01-02T00:00:00.000000Z"),
        ("{day}#{ref}", {"day": date(2026, 1, 2), "ref": UUID(int=7)}, f"2026-01-02#{UUID(int=7)}"),
        ("{state}#{level:02d}", {"state": State.DONE, "level": Level.LOW}, "done#01"),
        ("{owner}", {"owner": 'a#b $"!'}, "a$cb$`$d$b$a"),
    ],
)
def test_a_key_is_written(source: str, values: dict[str, object], text: str) -> None:
    assert text_of(made(source), **values) == text


def test_a_partition_key_may_have_a_number_as_it_is() -> None:
    template = made("TENANT#{priority:d}", is_sorted=False)
    assert [text_of(template, priority=number) for number in (7, 123, -4)] == ["TENANT#7", "TENANT#123", "TENANT#-4"]


def test_a_case_makes_texts_equal() -> None:
    assert text_of(made("M#{owner}", case="lower"), owner="Ann@X.org") == "M#ann@x.org"
    assert text_of(made("M#{owner}", case="upper"), owner="Ann@X.org") == "M#ANN@X.ORG"


def test_a_part_that_is_none_makes_no_key() -> None:
    assert made("T#{team}").text([None], TIMES) is None
    assert made("T#{team}").text([{"NULL": True}], TIMES) is None


@pytest.mark.parametrize(("number", "reason"), [(-1, "whole numbers from 0"), (100, "more than the 2 digits")])
def test_a_number_that_does_not_fit_is_refused(number: int, reason: str) -> None:
    class Tasks(BaseDynamoRepository[Task]):
        table_name = "tasks"
        primary_key = "owner"
        sort_key = Key("{priority:02d}#{task_id}")

    entity = Tasks(CONFIG)._entity
    with pytest.raises(ValidationError, match=reason):
        entity.encode(Task(owner="o", task_id="t", priority=number))
    with pytest.raises(ValidationError, match=reason):
        entity.key("o", (number, "t"))


# --- one of a kind, and in order --------------------------------------------------------------------------------------

TEXTS = st.text(st.characters(codec="utf-8"), max_size=8) | st.text("#$%a! d", max_size=8)
MOMENTS = st.datetimes(timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])).filter(
    lambda moment: datetime(2, 1, 1, tzinfo=UTC) < moment < datetime(9998, 1, 1, tzinfo=UTC)
)
VALUES = st.tuples(TEXTS, st.integers(0, 999_999), MOMENTS, TEXTS)
MIXED = made("A#{owner}#{priority:06d}#{due}#{task_id}")


def wires_of(values: tuple[object, ...]) -> list[Wire]:
    codec = ModelCodec.shared(Task)
    return [codec.target((name,)).written(value) for name, value in zip(MIXED.names, values, strict=True)]


@given(TEXTS)
@example("".join(map(chr, range(0x30))))
def test_an_escaped_text_is_read_back(text: str) -> None:
    assert unescaped(escaped(text)) == text
    assert "#" not in escaped(text)


@given(TEXTS, TEXTS)
@example("a b", "a")
@example("a", "a!")
def test_escaped_texts_sort_as_they_did_whatever_follows(one: str, other: str) -> None:
    assume(one < other)
    for rest_of_one in ("", "#z"):
        for rest_of_other in ("", "#a"):
            keys = (escaped(one) + rest_of_one).encode(), (escaped(other) + rest_of_other).encode()
            assert keys[0] < keys[1]


@given(VALUES, VALUES)
@example(("a#000001", 1, datetime(2026, 1, 1, tzinfo=UTC), "x"), ("a", 1, datetime(2026, 1, 1, tzinfo=UTC), "x"))
def test_keys_are_as_different_and_in_the_order_of_their_values(one: Any, other: Any) -> None:
    keys = [str(MIXED.text(wires_of(values), TIMES)).encode() for values in (one, other)]
    assert (keys[0] == keys[1]) == (one == other)
    assert (keys[0] < keys[1]) == (one < other)


@given(VALUES)
def test_a_key_is_read_back(values: tuple[object, ...]) -> None:
    wires = wires_of(values)
    assert MIXED.read(str(MIXED.text(wires, TIMES)), TIMES) == dict(zip(MIXED.names, wires, strict=True))


def test_what_another_template_made_is_not_read() -> None:
    template = made("USER#{owner}#{priority:04d}")
    assert template.read("ORG#a#0001", TIMES) is None
    assert template.read("USER#a#b#0001", TIMES) is None
    assert template.read("USER#a#none", TIMES) is None
    assert made("{due:day}#{owner}").read("2026-11-02#o", TIMES) == {"owner": {"S": "o"}}
    assert made("{task_id}#{priority:04d}", case="lower").read("o#0002", TIMES) == {"priority": {"N": "2"}}


# --- declarations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "reason"),
    [
        (lambda: Key(""), "a key template is a text"),
        (lambda: Key("{owner"), "braces"),
        (lambda: Key("{owner}}"), "braces"),
        (lambda: Key("USER-{owner}"), "stands between"),
        (lambda: Key("{owner}{task_id}"), "stands between"),
        (lambda: Key("{owner}_{task_id}"), "stands between"),
        (lambda: Key("{owner}#{owner}"), "twice"),
        (lambda: Key("{owner}", case=cast(Any, "title")), "case is"),
        (lambda: Key("{owner}", when=bool), "together"),
        (lambda: Key("{owner}", fields=("owner",)), "together"),
        (lambda: made("{nobody}"), "no field of Task"),
        (lambda: made("{owner}", when=bool, fields=("nobody",)), "no field of Task"),
        (lambda: made("{priority}"), "padded"),
        (lambda: made("{priority:d}"), "padded"),
        (lambda: made("{priority}", is_sorted=False), "padded"),
        (lambda: made("{priority:8d}"), "padded"),
        (lambda: made("{priority:039d}"), "padded"),
        (lambda: made("{priority:x}"), "padded"),
        (lambda: made("{level}"), "padded"),
        (lambda: made("{due:%Y}"), "cut to year"),
        (lambda: made("{owner:>10}"), "written as it is"),
    ],
)
def test_a_template_that_cannot_work_is_refused(make: Callable[[], object], reason: str) -> None:
    with pytest.raises(DeclarationError, match=reason):
        make()


@pytest.mark.parametrize("name", ["share", "active", "tags", "either"])
def test_a_field_that_cannot_stand_in_a_key_is_refused(name: str) -> None:
    with pytest.raises(DeclarationError, match=f"'{name}' is of type"):

        class Tasks(BaseDynamoRepository[Task]):
            table_name = "tasks"
            primary_key = Key(f"T#{{{name}}}")


def declared(**attributes: Any) -> type[BaseDynamoRepository[Task]]:
    body = {"table_name": "tasks", **attributes}
    return new_class("Tasks", (BaseDynamoRepository[Task],), {}, lambda namespace: namespace.update(body))


@pytest.mark.parametrize(("name", "reason"), [("lasts", "a duration"), ("at", "do not sort together")])
def test_a_text_that_does_not_sort_as_its_value_is_refused_in_a_sort_key_only(name: str, reason: str) -> None:
    with pytest.raises(DeclarationError, match=reason):
        made(f"T#{{{name}}}")
    assert made(f"T#{{{name}}}", is_sorted=False).names == (name,)


def test_keys_are_stored_where_one_would_look() -> None:
    tasks = declared(
        primary_key=Key("O#{owner}"),
        sort_key=Key("T#{task_id}"),
        by_day=AccessPattern("by_day", partition=Key("{day}"), sort=Key("{due}#{task_id}", attribute="when")),
        inverted=AccessPattern("inverted", partition=Key("T#{task_id}"), sort=Key("O#{owner}")),
    )(CONFIG)
    entity = tasks._entity
    assert entity.key_tags == dict.fromkeys(("pk", "sk", "by_day_pk", "when"), "S")
    assert entity.declaration.index("inverted").fields == ("sk", "pk")
    item = entity.encode(Task(owner="a", task_id="t"))
    assert [item[name]["S"] for name in ("pk", "sk", "by_day_pk", "when", "owner")] == [
        "O#a",
        "T#t",
        "2026-11-02",
        "2026-11-02T00:00:00.000000Z#t",
        "a",
    ]
    assert entity.decode(item) == Task(owner="a", task_id="t")


@pytest.mark.parametrize(
    ("attributes", "reason"),
    [
        ({"primary_key": Key("{owner}"), "sort_key": Key("{task_id}", attribute="pk")}, "attribute 'pk'"),
        ({"primary_key": Key("{owner}", attribute="day")}, "also a field"),
        ({"primary_key": Key("{owner}", when=lambda task: task.state, fields=("state",))}, "has when="),
        (
            {"primary_key": "owner", "by": AccessPattern("by_x", partition=Key("{nobody}"))},
            "no field of Task",
        ),
        (
            {"primary_key": Key("{owner}"), "own": AccessPattern(None, partition=Key("{task_id}"))},
            "attribute 'pk'",
        ),
    ],
)
def test_a_declaration_that_cannot_work_is_refused(attributes: dict[str, Any], reason: str) -> None:
    with pytest.raises(DeclarationError, match=reason):
        declared(**attributes)


def test_half_a_key_is_one_template() -> None:
    with pytest.raises(DeclarationError, match="half of a key"):
        AccessPattern("by_x", partition=[Key("{owner}"), "day"])


def test_a_template_and_a_derived_attribute_do_not_share_a_name() -> None:
    derived = Derived("by_x_pk", ("owner",), str)
    with pytest.raises(DeclarationError, match="by_x_pk"):
        declared(
            primary_key="owner",
            one=AccessPattern("by_y", partition=derived),
            other=AccessPattern("by_x", partition=Key("{day}")),
        )


# --- keys as callers give them ----------------------------------------------------------------------------------------


def entity_of(primary_key: Any, sort_key: Any = None) -> Any:
    return declared(primary_key=primary_key, sort_key=sort_key)(CONFIG)._entity


def test_a_key_is_given_by_fields() -> None:
    entity = entity_of(Key("O#{owner}"), Key("T#{task_id}"))
    expected = {"pk": {"S": "O#a"}, "sk": {"S": "T#t"}}
    assert entity.key("a", "t") == entity.key({"owner": "a", "task_id": "t"}) == expected
    assert entity.readable_key(expected) == {"owner": "a", "task_id": "t"}
    assert entity.readable_key({"pk": {"S": "X"}, "sk": {"S": "Y"}}) == {"pk": "X", "sk": "Y"}
    assert entity.key_values(("a", "t")) == ("a", "t")
    assert entity.key_values({"owner": "a", "task_id": "t"}) == ({"owner": "a", "task_id": "t"}, None)


def test_a_half_of_several_fields_is_given_as_a_tuple_or_by_name() -> None:
    entity = entity_of(Key("O#{owner}#{team}"), Key("{priority:04d}#{task_id}"))
    expected = {"pk": {"S": "O#a#x"}, "sk": {"S": "0003#t"}}
    assert entity.key(("a", "x"), (3, "t")) == expected
    assert entity.key(["a", "x"], {"task_id": "t", "priority": 3}) == expected
    assert entity.key({"owner": "a", "team": "x", "priority": "3", "task_id": "t"}) == expected


def test_a_half_without_a_field_of_its_own_is_not_given() -> None:
    for sort_key in (Key("PROFILE"), Key("O#{owner}")):
        entity = entity_of(Key("O#{owner}"), sort_key)
        assert entity.key("a")["pk"] == {"S": "O#a"}
        assert entity.key_values("a") == ("a", None)
        with pytest.raises(ValidationError, match="a key of table 'dev_tasks' is owner"):
            entity.key("a", "b")


@pytest.mark.parametrize(
    "given_key", [("a",), ("a", None), (("a", "b"), "t"), ({"owner": "a"},), ("", "t"), (None, "t")]
)
def test_a_wrong_key_is_refused(given_key: tuple[Any, ...]) -> None:
    entity = entity_of(Key("{owner}"), Key("T#{task_id}"))
    with pytest.raises(ValidationError):
        entity.key(*given_key)


def test_a_key_of_a_value_that_can_never_be_there_is_refused() -> None:
    with pytest.raises(ValidationError, match="'day' of table 'dev_tasks' cannot be 'soon'"):
        entity_of(Key("{day}")).key("soon")


def test_a_model_without_a_part_of_its_key_is_refused() -> None:
    entity = entity_of(Key("TEAM#{team}"))
    with pytest.raises(ValidationError, match="team cannot be None"):
        entity.encode(Task(owner="a", task_id="t"))


def test_too_long_a_key_is_refused() -> None:
    entity = entity_of("owner", Key("T#{task_id}"))
    with pytest.raises(ValidationError, match=r"takes 1,025 bytes"):
        entity.key("a", "t" * 1023)


# --- conditions on the parts of a sort key ----------------------------------------------------------------------------

KEYS = st.tuples(st.integers(0, 99), TEXTS, TEXTS)


class Ranked(BaseDynamoRepository[Task]):
    table_name = "ranked"
    primary_key = "owner"
    sort_key = Key("R#{priority:02d}#{team}#{task_id}")


def holds(params: dict[str, Any], key: str) -> bool:
    """Whether a sort key fulfils the rendered condition on it."""
    _, _, condition = params["KeyConditionExpression"].replace("(", "", 1).rpartition(":v0")
    values = [wire["S"].encode() for name, wire in sorted(params["ExpressionAttributeValues"].items()) if name != ":v0"]
    if "begins_with" in condition:
        return key.encode().startswith(values[0])
    if "BETWEEN" in condition:
        return bool(values[0] <= key.encode() <= values[-1])
    assert " = " in condition.split("AND", 1)[1]
    return key.encode() == values[0]


@given(
    KEYS, st.lists(KEYS, min_size=1, max_size=10), st.sampled_from(["eq", "lt", "le", "gt", "ge"]), st.integers(1, 3)
)
@example((5, "a", ""), [(5, "a", "x")], "lt", 3)
@example((5, "a", "b"), [(5, "a", "a\U0010ffff"), (5, "a", "b"), (5, "a", "b ")], "lt", 3)
@example((5, "a", "\ue000"), [(5, "a", "\ud7ff")], "lt", 3)
def test_a_condition_on_parts_is_exact(at: Any, keys: list[Any], method: str, depth: int) -> None:
    query = Ranked(CONFIG).query("o").eq(*at[: depth - 1])
    params = getattr(query, method)(at[depth - 1]).explain()
    for values in keys:
        wires = [{"N": str(values[0])}, {"S": values[1]}, {"S": values[2]}]
        (template,) = Ranked(CONFIG)._entity.declaration.templates.values()
        compared = {
            "eq": values[depth - 1] == at[depth - 1],
            "lt": values[depth - 1] < at[depth - 1],
            "le": values[depth - 1] <= at[depth - 1],
            "gt": values[depth - 1] > at[depth - 1],
            "ge": values[depth - 1] >= at[depth - 1],
        }
        is_wanted = values[: depth - 1] == at[: depth - 1] and compared[method]
        assert holds(params, str(template.text(wires, TIMES))) == is_wanted
        assert not holds(params, "Q#00#a#b")
        assert not holds(params, "S#00#a#b")


def test_conditions_are_left_to_right() -> None:
    query = Ranked(CONFIG).query("o")
    assert query.explain()["ExpressionAttributeValues"][":v1"] == {"S": "R#"}
    assert query.eq(3).begins_with("x y").explain()["ExpressionAttributeValues"][":v1"] == {"S": "R#03#x$`y"}
    assert query.eq(3, "x", "t").explain()["ExpressionAttributeValues"][":v1"] == {"S": "R#03#x#t"}
    with pytest.raises(ValidationError, match="no further sort part"):
        query.eq(3, "x", "t").lt("u")
    with pytest.raises(ValidationError, match="no further sort part"):
        query.gt(3).eq("x")
    with pytest.raises(ValidationError, match="begins with nothing"):
        query.begins_with("3")
    with pytest.raises(ValidationError, match="priority"):
        query.eq("three")
    with pytest.raises(ValidationError, match="more than the 2 digits"):
        query.eq(300)


def test_a_part_that_the_partition_has_is_given_already() -> None:
    class Tasks(BaseDynamoRepository[Task]):
        table_name = "tasks"
        primary_key = Key("O#{owner}")
        sort_key = Key("O#{owner}#{task_id}")

    assert Tasks(CONFIG).query("a").explain()["ExpressionAttributeValues"][":v1"] == {"S": "O#a#"}
    assert Tasks(CONFIG).query("a").eq("t").explain()["ExpressionAttributeValues"][":v1"] == {"S": "O#a#t"}


def test_without_a_text_before_it_a_range_is_open() -> None:
    class Tasks(BaseDynamoRepository[Task]):
        table_name = "tasks"
        primary_key = "owner"
        sort_key = Key("{priority:02d}#{task_id}")

    query = Tasks(CONFIG).query("a")
    assert "AND" not in query.explain()["KeyConditionExpression"]
    for refined, words in ((query.lt(3), "< "), (query.le(3), "<= "), (query.gt(3), ">= "), (query.ge(3), ">= ")):
        assert words in refined.explain()["KeyConditionExpression"]
    values = [
        refined.explain()["ExpressionAttributeValues"][":v1"]["S"]
        for refined in (query.lt(3), query.le(3), query.gt(3), query.ge(3))
    ]
    assert values == ["03", "03$", "03$", "03"]


def test_a_filter_may_be_on_a_field_of_the_key() -> None:
    assert "FilterExpression" in Ranked(CONFIG).query("o").where(F.task_id == "t").explain()


def test_a_uuid_is_told_from_others() -> None:
    ids = sorted(uuid4() for _ in range(5))
    assert [text_of(made("{ref}"), ref=one) for one in ids] == sorted(map(str, ids))


# --- patches over parts that were read --------------------------------------------------------------------------------


class Boards(BaseDynamoRepository[Task]):
    table_name = "boards"
    primary_key = "owner"
    by_team = AccessPattern("by_team", partition=Key("{team}"), sort=Key("{priority:02d}#{task_id}"))


def patched(*answers: Any) -> Any:
    flow = patches.patch(Boards(CONFIG)._entity, ("o", None), None, {"priority": 3}, when=None, upsert=False)
    return drive(flow, *answers)


def read_as(task_id: str) -> dict[str, Any]:
    return {"Item": {"owner": {"S": "o"}, "task_id": {"S": task_id}}}


def test_a_part_that_another_writer_changes_is_read_again() -> None:
    new = {"owner": {"S": "o"}, "task_id": {"S": "b"}, "priority": {"N": "3"}}
    driven = patched(read_as("a"), failed(read_as("b")["Item"]), read_as("b"), {"Attributes": new})
    assert driven.result == Task(owner="o", task_id="b", priority=3)
    calls = [effect for effect in driven.effects if isinstance(effect, Call)]
    assert [call.operation for call in calls] == ["GetItem", "UpdateItem", "GetItem", "UpdateItem"]
    assert all(call.params["ConsistentRead"] for call in calls[::2])
    assert {"S": "03#b"} in calls[3].params["ExpressionAttributeValues"].values()
    assert {"S": "b"} in calls[3].params["ExpressionAttributeValues"].values()  # the condition on what was read


def test_a_part_that_never_stays_is_given_up() -> None:
    answers = [answer for _ in range(8) for answer in (read_as("a"), failed(read_as("b")["Item"]))]
    with pytest.raises(ConditionFailedError, match=r"given up after 8 tries.*task_id"):
        patched(*answers)


def test_an_item_that_is_gone_meanwhile_is_not_found() -> None:
    with pytest.raises(ItemNotFoundError):
        patched(read_as("a"), failed(None))
