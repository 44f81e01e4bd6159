"""Partitions that are spread over shards: written to one, read from all, in one order."""

from __future__ import annotations

from collections import Counter
from datetime import date, datetime
from typing import Any

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import AccessPattern, BaseDynamoRepository, DeclarationError, DynamoDBConfig, F
from dynamodb_wrapper.codec import Key
from dynamodb_wrapper.codec.templates import Sharded
from dynamodb_wrapper.exceptions import ExpressionError, InvalidCursorError
from dynamodb_wrapper.operations.gathering import Collection
from dynamodb_wrapper.repositories import SingleTable
from tests.contract.shop import MONDAY, Make, later, requests, stored
from tests.servers import Server

DAY = date(2026, 11, 2)


class Reading(BaseModel):
    day: date = DAY
    device_id: str
    at: datetime
    value: int = 0
    site: str | None = None


class Readings(BaseDynamoRepository[Reading]):
    table_name = "readings"
    primary_key = Sharded(Key("METRIC#{day}"), shards=4, by="device_id")
    sort_key = Key("{at}#{device_id}")
    of_site = AccessPattern("of_site", partition=Sharded(Key("SITE#{site}"), shards=3, by="device_id"), sort="value")


def filled(make: Make, count: int = 40) -> Any:
    readings = make(Readings)
    readings.put_many(
        [Reading(device_id=f"d{number % 13}", at=later(number), value=number % 7, site="x") for number in range(count)]
    )
    return readings


def minutes(found: Any) -> list[int]:
    return [round((one.at - MONDAY).total_seconds() / 60) for one in found]


def test_items_are_spread_and_found_by_their_key(make: Make, server: Server) -> None:
    readings = filled(make)
    items = server.client.scan(TableName=readings.table_name)["Items"]
    assert set(Counter(item["pk"]["S"] for item in items)) == {f"METRIC#2026-11-02#00{shard}" for shard in range(4)}
    found = readings.get_or_raise(DAY, (later(5), "d5"))
    assert found.value == 5
    assert readings.get_many([(DAY, (later(5), "d5")), (DAY, (later(5), "d6"))]) == [found, None]
    assert readings.get({"day": DAY, "at": later(5), "device_id": "d5"}) == found
    assert readings.patch(DAY, (later(5), "d5"), site="y").site == "y"
    assert [one.device_id for one in readings.of_site("y")] == ["d5"]
    assert readings.delete(DAY, (later(5), "d5"))


def test_a_query_reads_all_shards_in_order(make: Make) -> None:
    readings = filled(make)
    with requests() as sent:
        assert minutes(readings.query(DAY).all()) == list(range(40))
    assert sent == ["Query"] * 4
    assert minutes(readings.query(DAY)) == list(range(40))
    assert minutes(readings.query(DAY).descending()) == list(range(39, -1, -1))
    assert minutes(readings.query(DAY).ge(later(10)).limit(5)) == list(range(10, 15))
    assert minutes(readings.query(DAY).between(later(3), later(7)).all()) == [3, 4, 5, 6, 7]
    assert minutes(readings.query(DAY).where(F.value == 6)) == [6, 13, 20, 27, 34]
    assert minutes(readings.query(DAY).page_size(1)) == list(range(40))
    assert minutes([readings.query(DAY).first()]) == [0]
    assert readings.query(date(2026, 1, 1)).all() == []
    assert minutes(one for one in [readings.query(DAY).eq(later(2)).one()]) == [2]


def test_counts(make: Make) -> None:
    readings = filled(make)
    assert readings.count(DAY) == 40
    assert readings.count(DAY, where=F.value == 6) == 5
    assert readings.query(DAY).limit(3).count() == 3


@pytest.mark.parametrize("size", [1, 7, 39, 40, 100])
def test_pages_go_on_exactly_where_they_ended(make: Make, size: int) -> None:
    readings = filled(make)
    for query in (readings.query(DAY), readings.query(DAY).descending(), readings.query(DAY).where(F.value > 2)):
        found, cursor = [], None
        while True:
            page = query.page(size, cursor)
            assert len(page.items) == size or page.cursor is None
            found += page.items
            cursor = page.cursor
            if cursor is None:
                break
        assert found == query.all()


def test_what_is_written_meanwhile_is_in_its_place(make: Make) -> None:
    readings = filled(make, 20)
    page = readings.query(DAY).page(10)
    readings.create(Reading(device_id="new", at=later(12.5)))
    readings.create(Reading(device_id="old", at=later(2.5)))
    rest = readings.query(DAY).page(20, page.cursor)
    assert [one.device_id for one in rest.items].count("new") == 1
    assert "old" not in [one.device_id for one in rest.items]
    assert len(rest.items) == 11


def test_a_cursor_is_of_its_query(make: Make) -> None:
    readings = filled(make)
    cursor = readings.query(DAY).page(3).cursor
    for other in (readings.query(date(2026, 1, 1)), readings.query(DAY).descending(), readings.of_site("x")):
        with pytest.raises(InvalidCursorError):
            other.page(3, cursor)
    with pytest.raises(InvalidCursorError):
        readings.query(DAY).page(3, str(cursor)[:-2])


def test_an_index_is_merged_by_its_numbers(make: Make, server: Server) -> None:
    readings = filled(make)
    values = [one.value for one in readings.of_site("x")]
    assert values == sorted(values)
    assert [one.value for one in readings.of_site("x").gt(4).descending().limit(7)] == [6, 6, 6, 6, 6, 5, 5]
    assert [dict(one) for one in readings.of_site("x").project("value").limit(1)] == [{"value": 0}]
    device = readings.query(DAY).first()
    readings.patch(DAY, (device.at, device.device_id), site="z")
    sk = f"2026-11-02T09:30:00.000000Z#{device.device_id}"
    shard = next(
        number
        for number in range(4)
        if server.client.get_item(
            TableName=readings.table_name,
            Key={"pk": {"S": f"METRIC#2026-11-02#00{number}"}, "sk": {"S": sk}},
        ).get("Item")
    )
    item = stored(server, readings, pk=f"METRIC#2026-11-02#00{shard}", sk=sk)
    assert item["of_site_pk"]["S"].startswith("SITE#z#")


def test_a_start_key_is_of_one_partition(make: Make) -> None:
    readings = filled(make)
    start = {"pk": "METRIC#2026-11-02#000", "sk": "x"}
    with pytest.raises(ExpressionError, match="after a cursor"):
        readings.query_by_pk(DAY, ExclusiveStartKey=start)
    assert len(readings.query_by_pk(DAY, Limit=3)) == 3


# --- declarations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("declare", "reason"),
    [
        (lambda: Sharded(Key("{day}"), shards=1, by="device_id"), "from 2 to 1000"),
        (lambda: Sharded(Key("{day}"), shards=1001, by="device_id"), "from 2 to 1000"),
        (lambda: Sharded(Key("DAY#"), shards=2, by="device_id"), "leave it out"),
        (lambda: declared(Sharded(Key("{day}"), shards=2, by="nobody"), "at"), "no field"),
        (lambda: declared(Sharded(Key("{day}"), shards=2, by="device_id"), "at"), "field of the sort key"),
        (lambda: declared("day", Sharded(Key("{at}"), shards=2, by="device_id")), "no sort key"),
    ],
)
def test_what_cannot_be_spread_is_refused(declare: Any, reason: str) -> None:
    with pytest.raises(DeclarationError, match=reason):
        declare()


def declared(primary_key: Any, sort_key: Any, **attributes: Any) -> Any:
    body = {"table_name": "t", "model_class": Reading, "primary_key": primary_key, "sort_key": sort_key, **attributes}
    return type(BaseDynamoRepository)("Declared", (BaseDynamoRepository,), body)


class Everything(Collection):
    readings: list[Reading]


def test_a_shared_table_may_be_spread_but_is_no_collection() -> None:
    key = Sharded(Key("METRIC#{day}"), shards=2, by="device_id")
    shared = declared(key, Key("{device_id}"), single_table=SingleTable("t"))
    repository = shared(DynamoDBConfig(region_name="us-east-1"))
    assert repository.query(DAY).explain()["ExpressionAttributeValues"][":v0"] == {"S": "METRIC#2026-11-02#000"}
    with pytest.raises(DeclarationError, match="not from shards"):
        repository.collection(Everything, DAY)
