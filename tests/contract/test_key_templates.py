"""Repositories whose keys are templates: callers give and get fields, whatever the keys are made of."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Any

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import AccessPattern, Add, BaseDynamoRepository, F, Remove, transact_get, transact_write
from dynamodb_wrapper.codec import Key
from dynamodb_wrapper.exceptions import (
    ConditionFailedError,
    ExpressionError,
    InvalidCursorError,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    UniqueViolationError,
    ValidationError,
    VersionConflictError,
)
from tests.contract.shop import MONDAY, Make, later, stored
from tests.servers import Server


class State(StrEnum):
    OPEN = "open"
    DONE = "done"


class Ticket(BaseModel):
    team: str
    number: int
    title: str = ""
    owner: str | None = None
    state: State = State.OPEN
    priority: int = 0
    due: datetime = MONDAY
    version: int = 0
    updated_at: datetime | None = None


class Tickets(BaseDynamoRepository[Ticket]):
    table_name = "tickets"
    primary_key = Key("TEAM#{team}")
    sort_key = Key("TICKET#{number:06d}")
    by_owner = AccessPattern("by_owner", partition=Key("OWNER#{owner}"), sort=Key("{priority:02d}#{due}#{number:06d}"))
    open_ones = AccessPattern(
        "open_ones",
        partition=Key("OPEN#{team}", when=lambda ticket: ticket.state == State.OPEN, fields=("state",)),
        sort=Key("{due}"),
    )
    inverted = AccessPattern("inverted", partition=Key("TICKET#{number:06d}"), sort=Key("TEAM#{team}"))


class VersionedTickets(BaseDynamoRepository[Ticket]):
    table_name = "versioned-tickets"
    primary_key = Key("TEAM#{team}", attribute="PK")
    sort_key = Key("TICKET#{number:06d}", attribute="SK")
    version_attribute = "version"
    recent = AccessPattern("recent", partition=Key("TEAM#{team}"), sort=Key("{updated_at}#{number:06d}"))


def ticket(number: int = 1, team: str = "red", **fields: Any) -> Ticket:
    return Ticket(team=team, number=number, **fields)


def keys_of(server: Server, repository: BaseDynamoRepository[Any], number: int = 1) -> dict[str, str]:
    item = stored(server, repository, pk="TEAM#red", sk=f"TICKET#{number:06d}")
    return {name: item[name]["S"] for name in item if name.startswith(("by_owner", "open_ones"))}


# --- one item ---------------------------------------------------------------------------------------------------------


def test_fields_go_in_and_fields_come_out(make: Make, server: Server) -> None:
    tickets = make(Tickets)
    written = tickets.create(ticket(7, title="a", owner="ann"))
    assert tickets.get("red", 7) == tickets.get({"team": "red", "number": 7}) == written
    assert tickets.get("red", 8) is None
    assert tickets.exists("red", 7)
    assert not tickets.exists("blue", 7)
    assert dict(tickets.get("red", 7, attributes=["title", "number"]) or {}) == {"title": "a", "number": 7}
    item = stored(server, tickets, pk="TEAM#red", sk="TICKET#000007")
    assert (item["team"], item["number"], item["by_owner_pk"]) == ({"S": "red"}, {"N": "7"}, {"S": "OWNER#ann"})


def test_an_error_names_the_fields(make: Make) -> None:
    tickets = make(Tickets)
    tickets.create(ticket())
    with pytest.raises(ItemAlreadyExistsError) as taken:
        tickets.create(ticket(title="other"))
    assert taken.value.key == {"team": "red", "number": 1}
    assert taken.value.item.title == ""
    with pytest.raises(ItemNotFoundError, match="'number': 2"):
        tickets.get_or_raise("red", 2)


def test_what_holds_a_delimiter_is_another_item(make: Make) -> None:
    tickets = make(Tickets)
    names = ("red", "red#TICKET", "red#", "#red", "red $", "red!")
    for name in names:
        tickets.create(ticket(team=name, title=name))
    assert [tickets.get_or_raise(name, 1).title for name in names] == list(names)
    assert [found.team for name in names for found in tickets.query(name)] == list(names)


def test_updates_deletes_and_versions(make: Make) -> None:
    tickets = make(VersionedTickets)
    first = tickets.create(ticket())
    second = tickets.get_or_raise("red", 1)
    tickets.update(first)
    with pytest.raises(VersionConflictError):
        tickets.update(second)
    assert tickets.delete("red", 1, when=F.version == 2)
    assert not tickets.delete("red", 1)


# --- patches ----------------------------------------------------------------------------------------------------------


def test_a_patch_moves_the_keys_of_what_it_is_given(make: Make, server: Server) -> None:
    tickets = make(Tickets)
    tickets.create(ticket(owner="ann", priority=1))
    changed = tickets.patch("red", 1, owner="bob")
    assert changed.owner == "bob"
    assert keys_of(server, tickets)["by_owner_pk"] == "OWNER#bob"
    tickets.patch("red", 1, owner=Remove())
    assert "by_owner_pk" not in keys_of(server, tickets)


def test_a_patch_reads_the_parts_of_a_key_that_it_is_not_given(make: Make, server: Server) -> None:
    tickets = make(Tickets)
    tickets.create(ticket(owner="ann", priority=1, due=MONDAY))
    tickets.patch("red", 1, priority=5)
    assert keys_of(server, tickets)["by_owner_sk"] == "05#2026-11-02T09:30:00.000000Z#000001"
    with pytest.raises(ItemNotFoundError):
        tickets.patch("red", 9, priority=5)
    with pytest.raises(ConditionFailedError):
        tickets.patch("red", 1, priority=6, when=F.title == "other")
    assert tickets.get_or_raise("red", 1).priority == 5


def test_a_patch_in_a_transaction_is_refused_without_them(make: Make, server: Server) -> None:
    tickets = make(Tickets)
    tickets.create(ticket(owner="ann"))
    with pytest.raises(ExpressionError, match="'due' is missing"):
        tickets.patch_request("red", 1, priority=5)
    transact_write([tickets.patch_request("red", 1, priority=5, due=later(1))])
    assert keys_of(server, tickets)["by_owner_sk"] == "05#2026-11-02T09:31:00.000000Z#000001"


def test_a_part_of_a_key_is_set_to_a_plain_value(make: Make) -> None:
    tickets = make(Tickets)
    tickets.create(ticket())
    with pytest.raises(ExpressionError, match="plain value"):
        tickets.patch("red", 1, priority=Add(1))
    with pytest.raises(ExpressionError, match="part of the key"):
        tickets.patch("red", 1, number=2)
    with pytest.raises(ExpressionError, match="change those"):
        tickets.patch("red", 1, {"by_owner_pk": "x"})
    with pytest.raises(ValidationError, match="more than the 2 digits"):
        tickets.patch("red", 1, priority=100)


def test_a_key_follows_the_time_of_the_update(make: Make) -> None:
    tickets = make(VersionedTickets)
    for number in (1, 2):
        tickets.create(ticket(number))
    tickets.patch("red", 1, title="changed")
    assert [found.number for found in tickets.recent("red")] == [2, 1]
    assert [found.number for found in tickets.recent("red").gt(later(60 * 24 * 365 * 50))] == []


def test_an_upsert_writes_the_fields_of_the_key(make: Make, server: Server) -> None:
    tickets = make(Tickets)
    given: dict[str, Any] = {"state": State.OPEN, "owner": "ann", "priority": 3, "due": MONDAY}
    assert tickets.patch("red", 4, upsert=True, **given) == tickets.get_or_raise("red", 4)
    assert keys_of(server, tickets, 4) == {
        "by_owner_pk": "OWNER#ann",
        "by_owner_sk": "03#2026-11-02T09:30:00.000000Z#000004",
        "open_ones_pk": "OPEN#red",
        "open_ones_sk": "2026-11-02T09:30:00.000000Z",
    }
    with pytest.raises(ValidationError, match="missing"):
        tickets.patch("red", 5, upsert=True, owner="ann")


def test_an_upsert_makes_the_keys_of_the_time_that_it_sets(make: Make, server: Server) -> None:
    tickets = make(VersionedTickets)
    made = tickets.patch("red", 4, upsert=True, title="a")
    item = stored(server, tickets, PK="TEAM#red", SK="TICKET#000004")
    assert made.updated_at is not None
    assert item["recent_sk"] == {"S": f"{made.updated_at:%Y-%m-%dT%H:%M:%S.%fZ}#000004"}
    changed = tickets.patch("red", 4, upsert=True, title="b")
    assert [found.updated_at for found in tickets.recent("red")] == [changed.updated_at]


def test_a_predicate_decides_who_is_in_an_index(make: Make) -> None:
    tickets = make(Tickets)
    for number in range(4):
        tickets.create(ticket(number, state=State.DONE if number == 3 else State.OPEN, due=later(-number)))
    tickets.patch("red", 0, state=State.DONE)
    tickets.patch("red", 3, state=State.OPEN)
    closed = tickets.get_or_raise("red", 1)
    tickets.update(closed.model_copy(update={"state": State.DONE}))
    assert [found.number for found in tickets.open_ones("red")] == [3, 2]


# --- queries ----------------------------------------------------------------------------------------------------------


def test_a_query_is_about_fields(make: Make) -> None:
    tickets = make(Tickets)
    for number in (1, 20, 3, 100):
        tickets.create(ticket(number))
    tickets.create(ticket(1, team="blue"))
    assert [found.number for found in tickets.query("red")] == [1, 3, 20, 100]
    assert [found.number for found in tickets.query("red").between(3, 20)] == [3, 20]
    assert [found.number for found in tickets.query("red").gt(3).descending()] == [100, 20]
    assert [found.number for found in tickets.query("red").lt(3)] == [1]
    assert tickets.query("red").eq(20).one().number == 20
    assert tickets.count("red") == 4
    assert [found.team for found in tickets.inverted(1)] == ["blue", "red"]
    assert [found.number for found in tickets.query_by_pk("red", Limit=2)] == [1, 3]


def test_the_leading_parts_of_a_sort_key_are_given_left_to_right(make: Make) -> None:
    tickets = make(Tickets)
    for number in range(12):
        tickets.create(ticket(number, owner="ann", priority=number % 3, due=later(number)))
    mine = tickets.by_owner("ann")
    assert [found.number for found in mine.eq(1)] == [1, 4, 7, 10]
    assert [found.number for found in mine.eq(1).ge(later(7))] == [7, 10]
    assert [found.number for found in mine.eq(1).lt(later(7))] == [1, 4]
    assert [found.number for found in mine.eq(1).begins_with("2026-11-02T09:3")] == [1, 4, 7]
    assert [found.number for found in mine.eq(1, later(4), 4)] == [4]
    assert [found.number for found in mine.ge(2)] == [2, 5, 8, 11]
    assert [found.number for found in mine.between(1, 2).where(F.number > 9)] == [10, 11]


def test_pages_go_on_where_they_ended(make: Make) -> None:
    tickets = make(Tickets)
    for number in range(7):
        tickets.create(ticket(number, owner="ann", priority=number % 2))
    for query in (tickets.query("red"), tickets.by_owner("ann"), tickets.query("red").where(F.priority >= 0)):
        found, cursor = [], None
        while True:
            page = query.page(3, cursor)
            found += [one.number for one in page.items]
            cursor = page.cursor
            if cursor is None:
                break
        assert found == [one.number for one in query]
        assert len(found) == 7
    with pytest.raises(InvalidCursorError):
        tickets.query("blue").page(3, tickets.query("red").page(3).cursor)


def test_some_attributes_of_an_index(make: Make) -> None:
    tickets = make(Tickets)
    tickets.create(ticket(1, owner="ann", title="a"))
    assert [dict(found) for found in tickets.by_owner("ann").project("title")] == [{"title": "a"}]
    page = tickets.by_owner("ann").project("title").page(1)
    assert [dict(found) for found in page.items] == [{"title": "a"}]


def test_scans(make: Make) -> None:
    tickets = make(Tickets)
    for number in range(5):
        tickets.create(ticket(number, owner="ann" if number else None))
    assert (
        {found.number for found in tickets.scan()}
        == {found.number for found in tickets.parallel_scan(2)}
        == set(range(5))
    )
    assert tickets.scan(index="by_owner").count() == 4


# --- many items -------------------------------------------------------------------------------------------------------


def test_batches(make: Make) -> None:
    tickets = make(Tickets)
    assert tickets.put_many([ticket(number) for number in range(30)]) == 30
    found = tickets.get_many([("red", 3), ("red", 99), {"team": "red", "number": 7}])
    assert [one and one.number for one in found] == [3, None, 7]
    assert tickets.delete_many([("red", number) for number in range(29)]) == 29
    with tickets.batch() as batch:
        batch.put(ticket(50))
        batch.delete("red", 29)
    assert [one.number for one in tickets.query("red")] == [50]
    loader = tickets.loader()
    handles = [loader.load("red", 50), loader.load("red", 51)]
    assert [one and one.number for one in (handle.result() for handle in handles)] == [50, None]
    with pytest.raises(ValidationError, match="team and number"):
        tickets.get_many(["red"])


def test_transactions(make: Make) -> None:
    tickets = make(Tickets)
    tickets.create(ticket(1))
    transact_write(
        [
            tickets.create_request(ticket(2)),
            tickets.patch_request("red", 1, title="patched"),
            tickets.check_request("red", 3, when=F.title.not_exists()),
        ]
    )
    first, second = transact_get([tickets.get_request("red", 1), tickets.get_request("red", 2, attributes=["number"])])
    assert first is not None
    assert first.title == "patched"
    assert second is not None
    assert dict(second) == {"number": 2}
    transact_write([tickets.delete_request("red", 1), tickets.delete_request("red", 2)])
    assert tickets.count() == 0


# --- other keys -------------------------------------------------------------------------------------------------------


class Member(BaseModel):
    club: str
    email: str
    handle: str | None = None
    joined: datetime = datetime(2026, 1, 1, tzinfo=UTC)
    level: int = 0


class Members(BaseDynamoRepository[Member]):
    """A cased key and a unique value; a sort key without fields of its own; a day's index."""

    table_name = "members"
    primary_key = Key("CLUB#{club}#MEMBER#{email}", case="lower")
    sort_key = Key("PROFILE")
    unique = ("handle",)
    by_day = AccessPattern("by_day", partition=Key("JOINED#{joined:day}"), sort=Key("{joined}#{email}"))
    by_level = AccessPattern("by_level", partition=Key("LEVEL#{level:d}"), sort="joined")


def test_a_key_in_one_case_is_found_in_any(make: Make) -> None:
    members = make(Members)
    members.create(Member(club="Chess", email="Ann@X.org"))
    found = members.get_or_raise(("chess", "ANN@x.org"))
    assert (found.club, found.email) == ("Chess", "Ann@X.org")
    with pytest.raises(ItemAlreadyExistsError):
        members.create(Member(club="CHESS", email="ann@x.org"))
    assert members.get_many([("CHESS", "ann@x.org"), ["chess", "bob"]]) == [found, None]


def test_a_patch_of_a_cased_key_keeps_the_fields_as_they_are(make: Make) -> None:
    members = make(Members)
    members.create(Member(club="Chess", email="Ann@X.org"))
    changed = members.patch(("chess", "ann@x.org"), joined=datetime(2026, 3, 4, 5, tzinfo=UTC))
    assert changed.email == "Ann@X.org"
    assert [one.email for one in members.by_day(datetime(2026, 3, 4, 22, tzinfo=UTC))] == ["Ann@X.org"]
    assert members.by_day(changed.joined).eq(changed.joined, "Ann@X.org").one() == changed
    assert members.by_day(changed.joined).eq(changed.joined, "ann@x.org").first() is None


def test_unique_values_beside_templates(make: Make) -> None:
    members = make(Members)
    members.create(Member(club="a", email="a", handle="ann"))
    with pytest.raises(UniqueViolationError) as taken:
        members.create(Member(club="b", email="b", handle="ann"))
    assert taken.value.key == {"pk": "CLUB#b#MEMBER#b", "sk": "PROFILE"}
    members.patch(("a", "a"), handle="bob")
    members.patch(("b", "b"), upsert=True, handle="ann", joined=MONDAY, level=1)
    assert {one.handle for one in members.scan()} == {"ann", "bob"}
    assert members.get_or_raise(("b", "b")).club == "b"


def test_a_number_in_a_partition_key(make: Make) -> None:
    members = make(Members)
    for level in (2, 10, -1):
        members.create(Member(club="a", email=str(level), level=level, joined=MONDAY + timedelta(days=level)))
    assert [one.level for level in (10, -1, 3) for one in members.by_level(level)] == [10, -1]
    assert [one.level for one in members.by_level(2).gt(MONDAY)] == [2]
