"""Unique values, flows driven by hand: which guards are taken and given up, and what a lost race looks like."""

from __future__ import annotations

import pickle
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    Add,
    BaseDynamoRepository,
    ConditionFailedError,
    ExpressionError,
    F,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    Remove,
    SetIfMissing,
    ThrottlingError,
    TransactionCanceledError,
    TransactionConflictError,
    ValidationError,
    VersionConflictError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.codec import TimeRules
from dynamodb_wrapper.exceptions import UniqueViolationError
from dynamodb_wrapper.operations import adoption, items, patches, queries, transactions, unique, writes
from dynamodb_wrapper.operations.declaration import Unique
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.requests import Update
from dynamodb_wrapper.operations.selection import Selection
from tests.unit.test_transactions import CONDITION, cancelled, drive


class User(BaseModel):
    id: str
    email: str | None = None
    nick: str | None = None
    team: str = "main"
    number: int | str | None = None
    hits: int = 0
    version: int = 0


class Users(BaseDynamoRepository[User]):
    table_name = "users"
    primary_key = "id"
    unique = (Unique("email", normalize=str.casefold), Unique("nick", within="team"), "number")


class VersionedUsers(Users):
    version_attribute = "version"


class SortedUsers(BaseDynamoRepository[User]):
    table_name = "users"
    primary_key = "id"
    sort_key = "hits"
    unique = ("email",)
    by_hits = AccessPattern("by_hits", partition="hits", sort="id")
    by_team = AccessPattern("by_team", partition="team", sort="id")


def entity_of(repository: type[BaseDynamoRepository[User]]) -> Entity[User]:
    declaration = repository._declaration
    assert declaration is not None
    return Entity("users", declaration, declaration.codec_for(User, TimeRules()))


USERS, VERSIONED, SORTED = entity_of(Users), entity_of(VersionedUsers), entity_of(SortedUsers)
EMAIL = "unique#email#S:"


def wire(key: str = "1", /, **attributes: Any) -> dict[str, Any]:
    return {"id": {"S": key}, "team": {"S": "main"}, "hits": {"N": "0"}, "version": {"N": "0"}, **attributes}


def text(value: str) -> dict[str, Any]:
    return {"S": value}


def guard(key: str, owner: str = "1") -> dict[str, Any]:
    return {"id": {"S": key}, "unique#owner": {"M": {"id": {"S": owner}}}}


def failed(item: dict[str, Any] | None) -> ConditionFailedError:
    return ConditionFailedError("The conditional request failed", item=item)


def actions(call: Any) -> list[tuple[str, str]]:
    """The actions of a transaction: their kinds, and the partition keys they are about."""
    assert call.operation == "TransactWriteItems"
    return [
        (kind, part.get("Key", part.get("Item"))["id"]["S"])
        for action in call.params["TransactItems"]
        for kind, part in action.items()
    ]


def model(**fields: Any) -> User:
    return User(**{"id": "1", **fields})


# --- guards of values -------------------------------------------------------------------------------------------------


def test_a_value_has_a_readable_guard() -> None:
    item = USERS.encode(model(email="Ada@X", nick="ada", number=5))
    assert sorted(unique.guards_of(USERS, item)) == [
        "unique#email#S:ada@x",
        "unique#nick,team#S:ada#S:main",
        "unique#number#N:5",
    ]


def test_none_is_no_value_and_nothing_is_unique_within_none() -> None:
    assert unique.guards_of(USERS, USERS.encode(model())) == {}
    assert unique.guards_of(USERS, {**wire(), "email": {"NULL": True}}) == {}
    assert unique.guards_of(USERS, {**wire(), "nick": text("a"), "team": {"NULL": True}}) == {}
    assert unique.guards_of(USERS, None) == {}


def test_a_missing_attribute_has_its_default() -> None:
    item = wire(nick=text("ada"))
    del item["team"]
    assert list(unique.guards_of(USERS, item)) == ["unique#nick,team#S:ada#S:main"]


def test_numbers_have_one_guard_however_written() -> None:
    guards = [
        list(unique.guards_of(USERS, wire(number=number)))
        for number in ({"N": "10"}, {"N": "1E+1"}, {"N": "10.0"}, {"S": "10"})
    ]
    assert guards == [["unique#number#N:10"]] * 3 + [["unique#number#S:10"]]


def test_other_types_are_never_written_and_do_no_harm_where_stored() -> None:
    class Loose(BaseModel):
        id: str
        anything: Any = None

    class Repository(BaseDynamoRepository[Loose]):
        table_name = "loose"
        primary_key = "id"
        unique = ("anything",)

    declaration = Repository._declaration
    assert declaration is not None
    entity = Entity("loose", declaration, declaration.codec_for(Loose, TimeRules()))
    with pytest.raises(ValidationError, match="stored as L"):
        drive(items.create(entity, Loose(id="1", anything=["a"])))
    stored = {"id": {"S": "1"}, "anything": {"L": []}}
    with pytest.raises(ValidationError, match="stored as BOOL"):
        drive(patches.patch(entity, ("1", None), None, {"anything": True}, when=None, upsert=False), {"Item": stored})
    driven = drive(items.put(entity, Loose(id="1", anything=5)), {"Item": stored}, {})
    assert actions(driven.calls[1]) == [("Put", "1"), ("Put", "unique#anything#N:5")]


def test_a_nested_change_of_a_unique_field_is_refused() -> None:
    class Loose(BaseModel):
        id: str
        anything: Any = None

    class Repository(BaseDynamoRepository[Loose]):
        table_name = "loose"
        primary_key = "id"
        unique = ("anything",)

    declaration = Repository._declaration
    assert declaration is not None
    entity = Entity("loose", declaration, declaration.codec_for(Loose, TimeRules()))
    with pytest.raises(ExpressionError, match="unique"):
        drive(patches.patch(entity, ("1", None), {"anything.x": 1}, {}, when=None, upsert=False))


VALUES = st.text(st.sampled_from("a#%,:S23C\0é")) | st.text(max_size=3) | st.text("#%", min_size=700, max_size=1500)


@given(VALUES, VALUES, VALUES, VALUES)
def test_two_values_never_share_a_guard(nick: str, team: str, other_nick: str, other_team: str) -> None:
    first = unique.guards_of(USERS, wire(nick=text(nick), team=text(team)))
    second = unique.guards_of(USERS, wire(nick=text(other_nick), team=text(other_team)))
    assert (list(first) == list(second)) == ((nick, team) == (other_nick, other_team))
    for key in (*first, *second):
        assert len(key.encode()) <= 2048
        assert key.startswith("unique#nick,team#")


@given(st.binary(), st.text(), st.integers(-(10**37), 10**37))
def test_types_do_not_share_a_guard(raw: bytes, string: str, number: int) -> None:
    values = [{"B": raw}, {"S": string}, {"N": str(number)}, {"S": str(number)}]
    keys = {key for value in values for key in unique.guards_of(USERS, wire(number=value))}
    assert len(keys) == len({tuple(value.items()) for value in values})


def test_a_normal_form_is_text() -> None:
    class Wrong(BaseDynamoRepository[User]):
        table_name = "users"
        primary_key = "id"
        unique = (Unique("email", normalize=lambda value: None),)  # type: ignore[arg-type,return-value]

    with pytest.raises(ValidationError, match="normalize"):
        unique.guards_of(entity_of(Wrong), wire(email=text("a")))


def test_the_key_of_a_guard_cannot_be_asked_for_or_written() -> None:
    with pytest.raises(ValidationError, match="guards of unique values"):
        USERS.key(f"{EMAIL}a")
    with pytest.raises(ValidationError, match="guards of unique values"):
        USERS.encode(User(id="unique#x"))
    assert USERS.key("uniqueness") == {"id": {"S": "uniqueness"}}


# --- create -----------------------------------------------------------------------------------------------------------


def test_create_takes_its_guards_in_one_transaction_without_reading() -> None:
    new = model(email="A", nick="n")
    driven = drive(items.create(VERSIONED, new), {})
    assert driven.result is new
    assert new.version == 1
    (sent,) = driven.calls
    assert actions(sent) == [("Put", "1"), ("Put", "unique#email#S:a"), ("Put", "unique#nick,team#S:n#S:main")]
    assert sent.params["TransactItems"][1]["Put"] == {
        "TableName": "users",
        "Item": guard("unique#email#S:a"),
        "ConditionExpression": "attribute_not_exists(#n0) OR #n1 = :v0",
        "ExpressionAttributeNames": {"#n0": "id", "#n1": "unique#owner"},
        "ExpressionAttributeValues": {":v0": {"M": {"id": {"S": "1"}}}},
        "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    }


def test_create_without_values_is_a_plain_put() -> None:
    assert [call.operation for call in drive(items.create(USERS, model()), {}).calls] == ["PutItem"]


def test_a_taken_value_names_field_and_owner() -> None:
    new = model(nick="n", version=0)
    answer = cancelled("None", (CONDITION, guard("unique#nick,team#S:n#S:main", "2")))
    with pytest.raises(UniqueViolationError, match="nick within team") as caught:
        drive(items.create(VERSIONED, new), answer, {"Item": wire("2", nick=text("n"))})
    error = caught.value
    assert (error.fields, error.owner, error.key) == (("nick", "team"), {"id": "2"}, {"id": "1"})
    assert (error.table_name, error.item, error.request_id) == ("users", None, "R1")
    assert new.version == 0
    copied = pickle.loads(pickle.dumps(error))
    assert (copied.fields, copied.owner) == (error.fields, error.owner)


def test_an_existing_item_goes_before_a_taken_value() -> None:
    answer = cancelled((CONDITION, wire(email=text("b"))), (CONDITION, guard(f"{EMAIL}a", "2")))
    with pytest.raises(ItemAlreadyExistsError) as caught:
        drive(items.create(USERS, model(email="a")), answer, {"Item": wire("2", email=text("A"))})
    assert caught.value.item == model(email="b")


def test_a_taken_value_goes_before_a_conflict() -> None:
    answer = cancelled("TransactionConflict", (CONDITION, guard(f"{EMAIL}a", "2")))
    with pytest.raises(UniqueViolationError):
        drive(items.create(USERS, model(email="a")), answer, {"Item": wire("2", email=text("a"))})


def test_conflicts_that_do_not_end_are_given_up() -> None:
    with pytest.raises(TransactionConflictError, match="8 tries"):
        drive(items.create(USERS, model(email="a")), *[cancelled("None", "TransactionConflict")] * 8)


def test_a_guard_whose_owner_is_gone_is_taken_over() -> None:
    answer = cancelled("None", (CONDITION, guard(f"{EMAIL}a", "2")))
    driven = drive(items.create(USERS, model(email="a")), answer, {}, {})
    operations = [call.operation for call in driven.calls]
    assert operations == ["TransactWriteItems", "GetItem", "TransactWriteItems"]
    assert driven.calls[1].params == {"TableName": "users", "Key": {"id": {"S": "2"}}, "ConsistentRead": True}
    assert driven.tokens == ["token-0", "token-1"]
    assert actions(driven.calls[2]) == [("Put", "1"), ("Put", f"{EMAIL}a"), ("ConditionCheck", "2")]
    taken, check = driven.calls[2].params["TransactItems"][1:]
    assert taken["Put"]["ExpressionAttributeValues"][":v1"] == {"M": {"id": {"S": "2"}}}
    assert check["ConditionCheck"]["ConditionExpression"] == "attribute_not_exists(#n0)"


def test_a_guard_whose_owner_has_another_value_is_taken_over_while_that_stays_so() -> None:
    first = cancelled("None", (CONDITION, guard(f"{EMAIL}a", "2")))
    second = cancelled("None", "None", (CONDITION, wire("2", email=text("a"))))
    other, same = {"Item": wire("2", email=text("b"))}, {"Item": wire("2", email=text("a"))}
    with pytest.raises(UniqueViolationError):  # the owner took its value back in between
        drive(items.create(USERS, model(email="a")), first, other, second, first, same)


# --- put and update ---------------------------------------------------------------------------------------------------


def test_the_same_values_are_one_put_over_what_was_read() -> None:
    driven = drive(items.update(VERSIONED, model(email="a", version=3)), {"Item": wire(email=text("A"))}, {})
    read, put = driven.calls
    assert (read.operation, put.operation) == ("GetItem", "PutItem")
    assert read.params["ConsistentRead"] is True
    names = put.params["ExpressionAttributeNames"]
    written = put.params["ConditionExpression"]
    for placeholder, name in names.items():
        written = written.replace(placeholder, name)
    assert written == (
        "attribute_exists(id) AND version = :v0 AND attribute_exists(id) AND email = :v1 "
        "AND attribute_not_exists(nick) AND attribute_not_exists(number) AND team = :v2"
    )


def test_another_value_gives_up_the_old_guard() -> None:
    stored = wire(email=text("a"), nick=text("n"))
    driven = drive(items.put(USERS, model(email="b", nick="n")), {"Item": stored}, {})
    assert actions(driven.calls[1]) == [("Put", "1"), ("Put", f"{EMAIL}b"), ("Delete", f"{EMAIL}a")]
    assert driven.calls[1].params["TransactItems"][2]["Delete"]["ConditionExpression"] == (
        "attribute_not_exists(#n0) OR #n1 = :v0"
    )


def test_another_scope_is_another_value() -> None:
    driven = drive(items.put(USERS, model(nick="n", team="x")), {"Item": wire(nick=text("n"))}, {})
    assert actions(driven.calls[1])[1:] == [
        ("Put", "unique#nick,team#S:n#S:x"),
        ("Delete", "unique#nick,team#S:n#S:main"),
    ]


def test_a_put_where_nothing_is_holds_only_while_that_stays_so() -> None:
    driven = drive(items.put(USERS, model(email="a")), {}, {})
    assert actions(driven.calls[1]) == [("Put", "1"), ("Put", f"{EMAIL}a")]
    assert driven.calls[1].params["TransactItems"][0]["Put"]["ConditionExpression"] == "attribute_not_exists(#n0)"


def test_a_value_changed_meanwhile_is_read_again_with_a_new_token() -> None:
    before, after = wire(email=text("a")), wire(email=text("x"))
    driven = drive(
        items.put(USERS, model(email="b")),
        {"Item": before},
        cancelled((CONDITION, after), "None", (CONDITION, guard(f"{EMAIL}a", "2"))),
        {"Item": after},
        {},
    )
    assert actions(driven.calls[3]) == [("Put", "1"), ("Put", f"{EMAIL}b"), ("Delete", f"{EMAIL}x")]
    assert driven.tokens == ["token-0", "token-1"]
    assert len(driven.sleeps) == 1
    assert driven.sleeps[0].jittered


def test_a_value_changed_under_a_single_put_is_read_again() -> None:
    driven = drive(
        items.put(USERS, model(email="a")),
        {"Item": wire(email=text("a"))},
        failed(wire(email=text("x"))),
        {"Item": wire(email=text("x"))},
        {},
    )
    assert [call.operation for call in driven.calls] == ["GetItem", "PutItem", "GetItem", "TransactWriteItems"]


def test_a_race_without_end_is_given_up() -> None:
    answers: list[Any] = []
    for number in range(8):
        stored = wire(email=text(str(number)))
        answers += [{"Item": stored}, cancelled((CONDITION, wire(email=text("other"))), "None", "None")]
    with pytest.raises(TransactionConflictError, match=r"8 tries.*nothing was written"):
        drive(items.put(USERS, model(email="b")), *answers)


def test_a_real_conflict_is_told_from_a_stale_read() -> None:
    stored = wire(email=text("a"), version={"N": "5"})
    with pytest.raises(VersionConflictError) as caught:
        drive(items.update(VERSIONED, model(email="a", version=3)), {"Item": stored}, failed(stored))
    assert caught.value.item.version == 5
    with pytest.raises(VersionConflictError):
        drive(
            items.update(VERSIONED, model(email="b", version=3)),
            {"Item": stored},
            cancelled((CONDITION, stored), "None", "None"),
        )


def test_an_update_of_nothing_finds_nothing() -> None:
    with pytest.raises(ItemNotFoundError):
        drive(items.update(USERS, model(email="a")), {}, cancelled(CONDITION, "None"))


def test_an_old_guard_of_another_item_is_left_alone() -> None:
    driven = drive(
        items.put(USERS, model(email="b")),
        {"Item": wire(email=text("a"))},
        cancelled("None", "None", (CONDITION, guard(f"{EMAIL}a", "2"))),
        {"Item": wire(email=text("a"))},
        {},
    )
    assert actions(driven.calls[3]) == [("Put", "1"), ("Put", f"{EMAIL}b")]


# --- patch ------------------------------------------------------------------------------------------------------------


def patch(entity: Entity[User] = USERS, **fields: Any) -> Any:
    return patches.patch(entity, ("1", None), None, fields, when=None, upsert=False)


def test_a_patch_beside_unique_values_is_one_update() -> None:
    driven = drive(patch(hits=Add(1)), {"Attributes": wire(hits={"N": "1"})})
    assert [call.operation for call in driven.calls] == ["UpdateItem"]


def test_a_patch_of_a_value_moves_the_guard_and_reads_back() -> None:
    driven = drive(
        patch(VERSIONED, email="b", hits=Add(1)),
        {"Item": wire(email=text("a"))},
        {},
        {"Item": wire(email=text("b"), hits={"N": "1"})},
    )
    assert driven.result == model(email="b", hits=1)
    assert actions(driven.calls[1]) == [("Update", "1"), ("Put", f"{EMAIL}b"), ("Delete", f"{EMAIL}a")]
    assert driven.calls[2].params["ConsistentRead"] is True


def test_an_update_that_wants_no_answer_is_not_read_back() -> None:
    write = patched("1", email="b")
    assert isinstance(write.request, Update)
    quiet = replace(write, request=replace(write.request, answers=False))
    driven = drive(transactions.send(quiet), {"Item": wire(email=text("a"))}, {})
    assert [call.operation for call in driven.calls] == ["GetItem", "TransactWriteItems"]
    assert driven.result == {}


def test_a_patch_to_the_same_value_is_one_update() -> None:
    driven = drive(patch(email="A"), {"Item": wire(email=text("a"))}, {"Attributes": wire(email=text("A"))})
    assert [call.operation for call in driven.calls] == ["GetItem", "UpdateItem"]
    assert driven.result.email == "A"


@pytest.mark.parametrize("change", [Remove(), Remove, None])
def test_a_removed_value_gives_up_its_guard(change: object) -> None:
    driven = drive(patch(email=change), {"Item": wire(email=text("a"))}, {}, {"Item": wire()})
    assert actions(driven.calls[1]) == [("Update", "1"), ("Delete", f"{EMAIL}a")]


def test_a_patch_of_the_scope_moves_the_guard() -> None:
    driven = drive(patch(team="x"), {"Item": wire(nick=text("n"))}, {}, {"Item": wire(nick=text("n"), team=text("x"))})
    assert actions(driven.calls[1])[1:] == [
        ("Put", "unique#nick,team#S:n#S:x"),
        ("Delete", "unique#nick,team#S:n#S:main"),
    ]


@pytest.mark.parametrize("action", [SetIfMissing("a"), Add(1)])
def test_only_plain_values_and_remove_are_taken_for_unique_fields(action: object) -> None:
    with pytest.raises(ExpressionError, match="unique"):
        drive(patch(number=action))


def test_a_patch_of_a_missing_item_finds_nothing() -> None:
    with pytest.raises(ItemNotFoundError):
        drive(patch(email="b"), {}, cancelled(CONDITION, "None"))


def test_an_upsert_guards_the_defaults_of_a_new_item() -> None:
    class Defaulted(BaseModel):
        id: str
        code: str = "x"
        hits: int = 0

    class Repository(BaseDynamoRepository[Defaulted]):
        table_name = "defaulted"
        primary_key = "id"
        unique = ("code",)

    declaration = Repository._declaration
    assert declaration is not None
    entity = Entity("defaulted", declaration, declaration.codec_for(Defaulted, TimeRules()))
    flow = patches.patch(entity, ("1", None), None, {"hits": Add(1)}, when=None, upsert=True)
    driven = drive(flow, {}, {}, {"Item": {"id": {"S": "1"}, "hits": {"N": "1"}}})
    assert actions(driven.calls[1]) == [("Update", "1"), ("Put", "unique#code#S:x")]


def test_an_item_deleted_right_after_its_patch_is_told() -> None:
    with pytest.raises(ItemNotFoundError, match="the patch was applied"):
        drive(patch(email="b"), {"Item": wire()}, {}, {})


def test_a_patch_that_cannot_be_read_back_is_not_told_as_refused() -> None:
    with pytest.raises(WriteOutcomeUnknownError, match=r"the patch was applied, but .* slow down") as caught:
        drive(patch(email="b"), {"Item": wire()}, {}, ThrottlingError("slow down"))
    assert caught.value.key == {"id": "1"}


# --- delete -----------------------------------------------------------------------------------------------------------


def test_a_delete_gives_up_all_guards() -> None:
    stored = wire(email=text("a"), nick=text("n"))
    driven = drive(items.delete(USERS, ("1", None), when=None), {"Item": stored}, {})
    assert driven.result is True
    assert [kind for kind, _ in actions(driven.calls[1])] == ["Delete"] * 3


def test_a_delete_of_nothing_or_without_values_is_a_plain_delete() -> None:
    driven = drive(items.delete(USERS, ("1", None), when=None), {}, {})
    assert (driven.result, driven.calls[1].operation) == (False, "DeleteItem")
    driven = drive(items.delete(USERS, ("1", None), when=None), {"Item": wire()}, {"Attributes": wire()})
    assert (driven.result, driven.calls[1].operation) == (True, "DeleteItem")


def test_a_delete_under_which_the_item_vanished_deleted_nothing() -> None:
    stored = wire(email=text("a"))
    flow = items.delete(USERS, ("1", None), when=None)
    assert drive(flow, {"Item": stored}, cancelled(CONDITION, "None"), {}, {}).result is False


def test_a_condition_of_a_delete_is_the_callers() -> None:
    stored = wire(email=text("a"))
    with pytest.raises(ConditionFailedError) as caught:
        drive(
            items.delete(USERS, ("1", None), when=F.hits == 5), {"Item": stored}, cancelled((CONDITION, stored), "None")
        )
    assert caught.value.item == model(email="a")


def repeated(item: dict[str, Any] | None) -> ConditionFailedError:
    """The answer to a write that was sent again, because the first answer was lost."""
    error = failed(item)
    error.context["lost_answers"] = 1
    return error


def test_a_delete_whose_answer_was_lost_is_done() -> None:
    flow = items.delete(USERS, ("1", None), when=None)
    driven = drive(flow, {"Item": wire()}, repeated(None))
    assert [call.operation for call in driven.calls] == ["GetItem", "DeleteItem"]
    with pytest.raises(WriteOutcomeUnknownError):
        drive(items.delete(USERS, ("1", None), when=F.hits == 0), {"Item": wire()}, repeated(None))


def test_a_put_whose_answer_was_lost_is_put_again_over_itself() -> None:
    driven = drive(items.put(USERS, model(hits=5)), {}, repeated(wire(hits={"N": "5"})), {"Item": wire()}, {})
    assert [call.operation for call in driven.calls] == ["GetItem", "PutItem", "GetItem", "PutItem"]
    assert driven.calls[1].params["Item"] == driven.calls[3].params["Item"]


# --- in transactions --------------------------------------------------------------------------------------------------


def created(number: str, **fields: Any) -> Any:
    return drive(writes.creation(USERS, User(id=number, **fields))).result


def patched(number: str, **fields: Any) -> Any:
    return drive(patches.patch_write(USERS, (number, None), None, fields, when=None, upsert=False)).result


def test_reasons_are_those_of_the_requests() -> None:
    requests = [created("1", email="a"), created("2"), created("3", email="c", nick="n")]
    answer = cancelled("None", "None", "None", "None", "None", (CONDITION, guard("unique#nick,team#S:n#S:main", "9")))
    with pytest.raises(TransactionCanceledError) as caught:
        drive(transactions.write(requests), answer, {"Item": wire("9", nick=text("n"))})
    reasons = caught.value.reasons
    assert [reason.code for reason in reasons] == ["None", "None", CONDITION]
    assert isinstance(reasons[2].error, UniqueViolationError)
    assert "[2] put" in caught.value.message


def test_values_are_swapped_in_one_transaction() -> None:
    driven = drive(
        transactions.write([patched("1", email="b"), patched("2", email="a")]),
        {"Item": wire("1", email=text("a"))},
        {"Item": wire("2", email=text("b"))},
        {},
    )
    assert actions(driven.calls[2]) == [("Update", "1"), ("Update", "2"), ("Put", f"{EMAIL}b"), ("Put", f"{EMAIL}a")]
    (first, second) = driven.calls[2].params["TransactItems"][2:]
    assert first["Put"]["Item"] == guard(f"{EMAIL}b", "1")
    assert first["Put"]["ConditionExpression"] == "attribute_not_exists(#n0) OR #n1 = :v0 OR #n1 = :v1"
    assert second["Put"]["Item"] == guard(f"{EMAIL}a", "2")


def test_one_value_for_two_is_refused_before_sending() -> None:
    with pytest.raises(UniqueViolationError) as caught:
        drive(transactions.write([created("1", email="a"), created("2", email="A")]))
    assert (caught.value.key, caught.value.owner) == ({"id": "2"}, {"id": "1"})


def test_guards_count_as_actions() -> None:
    with pytest.raises(ValidationError, match=r"102 actions.*unique"):
        drive(transactions.write([created(str(number), email=str(number)) for number in range(51)]))


# --- guards are no items ----------------------------------------------------------------------------------------------


def selection(entity: Entity[User], index: str | None = None) -> Selection[User]:
    declaration = entity.declaration
    return Selection(entity, declaration.index(index) if index else declaration.table_key, entity.decode)


def test_scans_keep_guards_out() -> None:
    params = selection(USERS).params()
    assert params["FilterExpression"] == "attribute_not_exists(#n0)"
    assert params["ExpressionAttributeNames"] == {"#n0": "unique#owner"}
    filtered = selection(USERS).filtered(F.hits > 1).params()
    assert filtered["FilterExpression"] == "#n0 > :v0 AND attribute_not_exists(#n1)"
    assert "FilterExpression" in selection(SORTED, "by_hits").params()
    assert "FilterExpression" in selection(SORTED, "by_hits").from_key(0).params()
    assert drive(queries.count(selection(USERS)), {"Count": 2}).calls[0].params["Select"] == "COUNT"


def test_what_has_no_guards_is_not_filtered() -> None:
    assert "FilterExpression" not in selection(USERS).from_key("1").params()
    assert "FilterExpression" not in selection(SORTED, "by_team").params()


def test_a_guard_has_a_constant_sort_key() -> None:
    driven = drive(items.create(SORTED, model(email="a")), {})
    held = driven.calls[0].params["TransactItems"][1]["Put"]
    assert held["Item"]["hits"] == {"N": "0"}
    assert held["Item"]["unique#owner"] == {"M": {"id": {"S": "1"}, "hits": {"N": "0"}}}


# --- values older than their declaration ------------------------------------------------------------------------------


def test_missing_guards_are_made_and_doubles_are_told() -> None:
    first, second = wire("1", email=text("a")), wire("2", email=text("A"))
    taken = cancelled("None", (CONDITION, guard(f"{EMAIL}a", "1")))
    driven = drive(
        adoption.ensure_unique(USERS),
        {"Items": [first], "LastEvaluatedKey": {"id": {"S": "1"}}},
        {"Item": first},
        {},
        {"Items": [second]},
        {"Item": second},
        taken,
        {"Item": first},
    )
    (violation,) = driven.result
    assert (violation.key, violation.owner) == ({"id": "2"}, {"id": "1"})
    assert actions(driven.calls[2]) == [("ConditionCheck", "1"), ("Put", f"{EMAIL}a")]
    assert driven.calls[3].params["ExclusiveStartKey"] == {"id": {"S": "1"}}
    assert driven.calls[3].params["ConsistentRead"] is True


def test_an_item_that_changes_meanwhile_is_read_again() -> None:
    before, after = wire("1", email=text("a")), wire("1", email=text("b"))
    driven = drive(
        adoption.ensure_unique(USERS),
        {"Items": [before]},
        {"Item": before},
        cancelled((CONDITION, after), "None"),
        {"Item": after},
    )
    assert driven.result == []
