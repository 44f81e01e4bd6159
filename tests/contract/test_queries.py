"""Queries and scans: key conditions, indexes, filters, projections, pages, cursors, on every server."""

from __future__ import annotations

import base64
import itertools
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pytest
from boto3.dynamodb.conditions import Attr, Key
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    BaseDynamoRepository,
    DeclarationError,
    Derived,
    ExpressionError,
    F,
    InvalidCursorError,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    MultipleItemsFoundError,
    Query,
    ValidationError,
)
from tests.contract.shop import MONDAY, Make, Order, Orders, PlainOrders, Status, later, order, requests
from tests.servers import Server


def ids(found: Any) -> list[str]:
    return [entry.order_id for entry in found]


@pytest.fixture
def orders(make: Make) -> Orders:
    return make(Orders)


@pytest.fixture
def twenty(orders: Orders) -> Orders:
    """o00 to o19 of c1: totals 0 to 19, every fourth paid, at four different times; and one order of c2."""
    for number in range(20):
        orders.create(
            order(
                "c1",
                f"o{number:02}",
                total=Decimal(number),
                status=Status.OPEN if number % 4 else Status.PAID,
                placed_at=later(number // 5),
                reference=f"r{number}",
            )
        )
    orders.create(order("c2", "o00", status=Status.SENT))
    return orders


# --- key conditions -------------------------------------------------------------------------------------------------


def test_key_conditions_on_text(twenty: Orders) -> None:
    mine = twenty.query("c1")
    assert ids(mine) == [f"o{number:02}" for number in range(20)]
    assert ids(mine.eq("o03")) == ["o03"]
    assert ids(mine.lt("o02")) == ["o00", "o01"]
    assert ids(mine.le("o02")) == ["o00", "o01", "o02"]
    assert ids(mine.gt("o17")) == ["o18", "o19"]
    assert ids(mine.ge("o17")) == ["o17", "o18", "o19"]
    assert ids(mine.between("o04", "o06")) == ["o04", "o05", "o06"]
    assert ids(mine.begins_with("o1")) == [f"o{number}" for number in range(10, 20)]
    assert ids(mine.begins_with("x")) == []
    assert ids(twenty.query("nobody")) == []
    assert ids(twenty.mine("c1").lt("o02")) == ["o00", "o01"]


def test_key_conditions_on_numbers_and_bytes(make: Make) -> None:
    class Reading(BaseModel):
        sensor: int
        at: Decimal
        raw: bytes

    class Readings(BaseDynamoRepository[Reading]):
        table_name = "readings"
        primary_key = "sensor"
        sort_key = "at"
        by_raw = AccessPattern("by_raw", partition="sensor", sort="raw", local=True)

    readings = make(Readings)
    numbers = [Decimal(text) for text in ("-10", "-9.5", "0", "2", "10", "100.25")]
    blobs = [b"\x00", b"\x01", b"\x01\xff", b"\x7f", b"\x80", b"\xff\x00"]
    for at, raw in zip(numbers, reversed(blobs), strict=True):
        readings.create(Reading(sensor=0, at=at, raw=raw))

    def ats(found: Query[Reading]) -> list[Decimal]:
        return [entry.at for entry in found]

    def raws(found: Query[Reading]) -> list[bytes]:
        return [entry.raw for entry in found]

    mine, by_raw = readings.query(0), readings.by_raw(0)
    assert ats(mine) == numbers
    assert ats(mine.lt(2)) == numbers[:3]
    assert ats(mine.between(-9.5, "2")) == numbers[1:4]
    assert ats(mine.ge(Decimal("100.25"))) == numbers[5:]
    assert ats(mine.eq(0)) == [Decimal(0)]
    assert raws(by_raw) == blobs
    assert raws(by_raw.gt(b"\x7f")) == blobs[4:]
    assert raws(by_raw.begins_with(b"\x01")) == blobs[1:3]
    assert raws(by_raw.between(b"\x01", b"\x80")) == blobs[1:5]
    assert raws(by_raw.consistent().le(b"\x00")) == blobs[:1]


def test_reserved_words_and_odd_names_are_only_names(make: Make) -> None:
    class Odd(BaseModel):
        name: str
        size: int
        status: str
        data: dict[str, Any] = {}

    class Odds(BaseDynamoRepository[Odd]):
        table_name = "odds"
        primary_key = "name"
        sort_key = "size"
        by_status = AccessPattern("status", partition="status", sort="size")

    odds = make(Odds)
    given = odds.create(Odd(name="a", size=1, status="x", data={"a.b": 1, "order by": {"#n0": ":v0"}, "x-y": [5]}))
    assert odds.by_status("x").ge(1).where(F.name == "a").all() == [given]
    assert odds.query("a").where((F.data["a.b"] == 1) & (F.data["order by"]["#n0"] == ":v0")).one() == given
    assert odds.query("a").where(F.data["x-y"][0] == 5, F["status"] == "x").count() == 1
    partial = odds.query("a").project("status", F.data["a.b"], "size").one()
    assert dict(partial) == {"status": "x", "size": 1, "data": {"a.b": 1}}


def test_a_key_condition_that_does_not_fit_is_refused(twenty: Orders) -> None:
    mine = twenty.query("c1")
    refused: list[Callable[[], Any]] = [
        lambda: mine.eq("a", "b"),
        lambda: mine.eq("a").lt("b"),
        lambda: mine.lt("b").gt("a"),
        lambda: twenty.scan().eq("a"),
        lambda: twenty.query(),
        lambda: twenty.query("c1", "o1"),
        lambda: twenty.query(None),
        lambda: twenty.query(5),
        lambda: twenty.query(""),
        lambda: twenty.query("c1", index="by_nothing"),
        lambda: list(mine.gt(5)),
        lambda: list(mine.eq(None)),
        lambda: list(mine.begins_with(5)),  # type: ignore[arg-type]
        lambda: mine.limit(0),
        lambda: mine.limit(-1),
        lambda: mine.limit(True),
        lambda: mine.page_size(0),
        lambda: mine.page(0),
        lambda: mine.page(1.5),  # type: ignore[arg-type]
        lambda: mine.where(F.unknown == 1),
        lambda: mine.where("total > 5"),  # type: ignore[arg-type]
        lambda: mine.project("unknown"),
    ]
    with requests() as sent:
        for number, attempt in enumerate(refused):
            with pytest.raises(ValidationError):
                attempt()
            assert sent == [], number


# --- indexes --------------------------------------------------------------------------------------------------------


def test_a_global_index(twenty: Orders) -> None:
    paid = twenty.by_status(Status.PAID)
    assert sorted(ids(paid)) == ["o00", "o04", "o08", "o12", "o16"]
    assert [entry.placed_at for entry in paid] == sorted(entry.placed_at for entry in paid)
    assert ids(paid.between(later(1), later(2))) == ["o08", "o12"]
    assert ids(twenty.query("sent", index="by_status")) == ["o00"]
    assert len(twenty.by_status.scan().all()) == 21
    with pytest.raises(ExpressionError, match="global"):
        paid.consistent()
    twenty.patch("c1", "o08", status="sent")
    assert ids(paid.between(later(1), later(2))) == ["o12"]


def test_a_local_index_reads_consistently(make: Make) -> None:
    class LocalOrders(BaseDynamoRepository[Order]):
        table_name = "local-orders"
        primary_key = "customer_id"
        sort_key = "order_id"
        by_total = AccessPattern("by_total", partition="customer_id", sort="total", local=True)

    repository = make(LocalOrders)
    for number in range(5):
        repository.create(order("c1", f"o{number}", total=Decimal(-number)))
    assert ids(repository.by_total("c1").consistent()) == ["o4", "o3", "o2", "o1", "o0"]
    assert ids(repository.by_total("c1").descending().limit(2)) == ["o0", "o1"]


def test_a_sparse_index_has_only_the_items_with_its_key(make: Make) -> None:
    plain = make(PlainOrders)
    for number in range(6):
        plain.create(order("c1", f"o{number}", active=bool(number % 2) or None, total=Decimal(number)))
    assert ids(plain.active("yes")) == ["o1", "o3", "o5"]
    assert plain.active.scan().count() == 3
    assert ids(plain.by_place("c1").between("open#000000002.00", "open#000000003.99")) == ["o2", "o3"]
    assert ids(plain.by_place("c1").begins_with("paid")) == []


class Part(BaseModel):
    id: str
    maker: str
    kind: str
    year: int
    month: int
    name: str = ""


class Parts(BaseDynamoRepository[Part]):
    table_name = "parts"
    primary_key = "id"
    by_maker = AccessPattern("by_maker", partition=("maker", "kind"), sort=("year", "month"))


def test_an_index_with_keys_of_several_attributes(make: Make) -> None:
    parts = make(Parts)
    for number, (maker, kind, year, month) in enumerate(
        itertools.product(("x", "y"), ("a", "b"), (2024, 2025), (1, 6, 12))
    ):
        parts.create(Part(id=f"p{number:02}", maker=maker, kind=kind, year=year, month=month))

    def times(found: Query[Part]) -> list[tuple[int, int]]:
        return [(entry.year, entry.month) for entry in found]

    mine = parts.by_maker("x", "b")
    assert times(mine) == [(2024, 1), (2024, 6), (2024, 12), (2025, 1), (2025, 6), (2025, 12)]
    assert times(mine.eq(2025)) == [(2025, 1), (2025, 6), (2025, 12)]
    assert times(mine.eq(2025).ge(6)) == [(2025, 6), (2025, 12)]
    assert times(mine.eq(2024, 6)) == [(2024, 6)]
    assert times(mine.lt(2025).descending()) == [(2024, 12), (2024, 6), (2024, 1)]
    assert every_page(mine, [1, 2]) == [entry.id for entry in mine]
    for wrong in (("x",), ("x", "b", "c"), ()):
        with pytest.raises(ValidationError, match="maker, kind"):
            parts.by_maker(*wrong)
    with pytest.raises(ExpressionError):
        mine.ge(2024).eq(6)
    with pytest.raises(ExpressionError):
        mine.eq(2024, 6, 1)


# --- projections ----------------------------------------------------------------------------------------------------


class Summary(BaseModel):
    order_id: str
    total: Decimal
    reference: str | None = None


class Narrow(BaseDynamoRepository[Order]):
    table_name = "narrow-orders"
    primary_key = "customer_id"
    sort_key = "order_id"
    keys = AccessPattern("by_status", partition="status", sort="placed_at", projection="KEYS_ONLY")
    some = AccessPattern("by_total", partition="status", sort="total", projection=["reference", "note"])


def test_indexes_that_carry_only_some_attributes(make: Make) -> None:
    narrow = make(Narrow)
    for number in range(3):
        narrow.create(
            order("c1", f"o{number}", total=Decimal(number), reference=f"r{number}", active=True, note="n" * number)
        )
    keys = narrow.keys("open").project().all()
    assert [dict(entry) for entry in keys] == [
        {"customer_id": "c1", "order_id": f"o{number}", "status": Status.OPEN, "placed_at": MONDAY}
        for number in range(3)
    ]
    some = narrow.some("open").ge(1).project("reference", "total").all()
    assert [dict(entry) for entry in some] == [
        {"reference": "r1", "total": Decimal(1)},
        {"reference": "r2", "total": Decimal(2)},
    ]
    assert ids(narrow.some("open").where(F.note == "nn").project("order_id")) == ["o2"]
    assert narrow.keys("open").count() == 3
    with requests() as sent:
        for attempt in (
            lambda: list(narrow.keys("open")),
            lambda: narrow.keys("open").all(),
            lambda: narrow.keys("open").first(),
            lambda: narrow.keys("open").one(),
            lambda: narrow.keys("open").page(1),
            lambda: narrow.keys("open").project("note"),
            lambda: narrow.some("open").project("active"),
            lambda: narrow.some("open").project(Order),
            lambda: narrow.keys("open").where(F.note == "n"),
            lambda: narrow.some("open").where(F.active == True),  # noqa: E712
        ):
            with pytest.raises(ExpressionError, match=r"by_status|by_total"):
                attempt()
    assert sent == []


def test_projections(twenty: Orders) -> None:
    first = twenty.query("c1").project("total", F.reference, "note").first()
    assert first is not None
    assert dict(first) == {"total": Decimal(0), "reference": "r0"}
    summaries = twenty.by_status("paid").project(Summary).all()
    assert sorted(summaries, key=lambda entry: entry.total) == [
        Summary(order_id=f"o{number:02}", total=Decimal(number), reference=f"r{number}") for number in range(0, 20, 4)
    ]
    with pytest.raises(ExpressionError, match="elsewhere"):
        twenty.query("c1").project("elsewhere")


# --- filters --------------------------------------------------------------------------------------------------------


def test_a_filter_on_the_key_that_is_queried_is_refused(twenty: Orders) -> None:
    with requests() as sent:
        for query, condition in (
            (twenty.query("c1"), F.order_id == "o01"),
            (twenty.query("c1"), (F.total > 5) & ~(F.customer_id == "c2")),
            (twenty.by_status("open"), F.placed_at > MONDAY),
            (twenty.by_status("open"), Attr("status").eq("paid")),
        ):
            with pytest.raises(ExpressionError, match="key"):
                query.where(condition)
    assert sent == []
    assert ids(twenty.by_status("sent").where(F.customer_id == "c2")) == ["o00"]
    assert ids(twenty.scan().where(F.order_id == "o00", F.customer_id == "c2")) == ["o00"]


@pytest.mark.parametrize("page_size", [1, 7, None])
def test_empty_pages_are_not_the_end(twenty: Orders, page_size: int | None) -> None:
    for query in (twenty.query("c1").ge("o07"), twenty.by_status("open").ge(later(2)), twenty.scan()):
        sized = query if page_size is None else query.page_size(page_size)
        assert ids(sized.where(F.total == 19)) == ["o19"]
        assert ids(sized.where(F.total == 19).all()) == ["o19"]
        assert sized.where(F.total == 19).one().order_id == "o19"
        first = sized.where(F.total >= 18).first()
        assert first is not None
        assert first.order_id in ("o18", "o19")
        assert sized.where(F.total >= 18).count() == 2
        assert sorted(ids(sized.where(F.total >= 17).limit(2)))[0] in ("o17", "o18")
        assert len(sized.where(F.total >= 17).limit(2).all()) == 2
        assert len(sized.where(F.total >= 17).page(2).items) == 2
        assert sized.where(F.total == 99).first() is None
        assert sized.where(F.total == 99).page(5) == sized.where(F.note == "never").page(5)
        assert sized.where(F.total == 99).count() == 0
        with pytest.raises(ItemNotFoundError):
            sized.where(F.total == 99).one()
        with pytest.raises(MultipleItemsFoundError):
            sized.where(F.total >= 18).one()


def test_more_than_a_megabyte(make: Make) -> None:
    class Blob(BaseModel):
        p: str
        s: int
        body: bytes = b""
        last: bool = False

    class Blobs(BaseDynamoRepository[Blob]):
        table_name = "blobs"
        primary_key = "p"
        sort_key = "s"

    blobs = make(Blobs)
    for number in range(8):
        blobs.create(Blob(p="a", s=number, body=bytes(300_000), last=number == 7))
    for query in (blobs.query("a"), blobs.scan()):
        last = query.where(F.last == True)  # noqa: E712
        assert [entry.s for entry in query] == list(range(8))
        assert [entry.s for entry in last] == [7]
        found = last.first()
        assert found is not None
        assert found.s == 7
        assert last.one().s == 7
        assert last.count() == 1
        assert query.count() == 8
        assert [entry.s for entry in last.page(5).items] == [7]
        assert [entry.s for entry in query.limit(7)] == list(range(7))
    assert blobs.count() == 8
    assert blobs.count("a", where=F.last.exists()) == 8
    assert len(blobs.query_by_pk("a")) == len(blobs.list_all()) == 8


def test_first_with_a_rare_match_costs_few_requests(make: Make, server: Server) -> None:
    repository = make(Orders)
    for start in range(0, 1000, 25):
        server.client.batch_write_item(
            RequestItems={
                repository.table_name: [
                    {
                        "PutRequest": {
                            "Item": {
                                "customer_id": {"S": "c1"},
                                "order_id": {"S": f"o{number:04}"},
                                "count": {"N": str(number)},
                            }
                        }
                    }
                    for number in range(start, start + 25)
                ]
            }
        )
    with requests() as sent:
        found = repository.query("c1").where(F.count == 999).first()
    assert found is not None
    assert found.count == 999
    assert len(sent) <= 4
    with requests() as sent:
        assert repository.query("c1").first() is not None
        assert repository.query("c1").where(F.count >= 0).first() is not None
    assert sent == ["Query", "Query"]
    with requests() as sent:
        assert repository.query("c1").where(F.count > 5000).first() is None
    assert len(sent) <= 4


# --- pages and cursors ----------------------------------------------------------------------------------------------


def every_page(query: Query[Any], sizes: list[int]) -> list[Any]:
    """Read page after page in these sizes, over and over, and return what identifies each item."""
    seen: list[Any] = []
    cursor = None
    for size in itertools.cycle(sizes):
        page = query.page(size, cursor)
        assert len(page.items) == size or page.cursor is None
        seen += map(_identity, page.items)
        cursor = page.cursor
        if cursor is None:
            return seen
        assert cursor.replace("-", "").replace("_", "").isalnum()
    raise AssertionError


def _identity(entry: Any) -> Any:
    return entry.id if isinstance(entry, Part) else (entry.customer_id, entry.order_id)


def variants(repository: Orders) -> Iterator[Query[Any]]:
    for query in (
        repository.query("c1"),
        repository.by_status("open").le(later(2)),  # five items share each value of the sort key
        repository.scan(),
        repository.by_status.scan(),
    ):
        for filtered in (query, query.where(F.total.in_([0, 3, 5, 6, 7, 11, 19]))):
            yield filtered
            yield filtered.project("customer_id", "order_id")
            if query.explain().get("KeyConditionExpression"):
                yield filtered.descending()


@pytest.mark.parametrize("sizes", [[1, 2], [7, 5, 1], [100]])
def test_pages_of_any_sizes_have_every_item_once(twenty: Orders, sizes: list[int]) -> None:
    for query in variants(twenty):
        expected = [_identity(entry) for entry in query]
        assert len(set(expected)) == len(expected)
        assert every_page(query, sizes) == expected, query
        assert every_page(query.page_size(4), sizes) == expected, query


def test_a_cursor_goes_on_where_the_limit_stopped(twenty: Orders) -> None:
    query = twenty.query("c1").where(F.total >= 4)
    page = query.limit(3).page(10)
    assert ids(page.items) == ["o04", "o05", "o06"]
    following = query.page(2, page.cursor)
    assert ids(following.items) == ["o07", "o08"]
    assert ids(query.limit(1).page(5, following.cursor).items) == ["o09"]
    assert ids(query.limit(50).page(2, following.cursor).items) == ["o09", "o10"]
    assert ids(query.limit(3)) == ids(query.limit(3).all()) == ["o04", "o05", "o06"]
    assert query.limit(3).count() == 3
    assert query.limit(300).count() == 16


def test_limit_is_what_the_caller_gets_and_page_size_what_dynamodb_evaluates(twenty: Orders) -> None:
    with requests() as sent:
        assert len(list(twenty.query("c1").limit(7).page_size(3))) == 7
    assert sent == ["Query"] * 3
    assert twenty.query("c1").limit(7).explain()["Limit"] == 7
    assert twenty.query("c1").page_size(3).limit(7).explain()["Limit"] == 3
    assert "Limit" not in twenty.query("c1").explain()
    assert len(twenty.query("c1").limit(10**12).all()) == 20
    assert len(twenty.query("c1").page(10**12).items) == 20


def test_a_cursor_survives_the_deletion_of_its_item(twenty: Orders) -> None:
    page = twenty.query("c1").page(5)
    twenty.delete("c1", "o04")
    assert ids(twenty.query("c1").page(2, page.cursor).items) == ["o05", "o06"]


def test_a_cursor_belongs_to_its_query(twenty: Orders, make: Make) -> None:
    cursor = twenty.query("c1").where(F.total > 1).page(2).cursor
    other_table = make(PlainOrders)
    others: list[Query[Any]] = [
        twenty.query("c1"),
        twenty.query("c2").where(F.total > 1),
        twenty.query("c1").where(F.total > 2),
        twenty.query("c1").where(F.total > 1).descending(),
        twenty.query("c1").ge("o00").where(F.total > 1),
        twenty.by_status("open").where(F.total > 1),
        twenty.scan().where(F.total > 1),
        other_table.query("c1").where(F.total > 1),
    ]
    with requests() as sent:
        for other in others:
            with pytest.raises(InvalidCursorError, match="another query"):
                other.page(2, cursor)
    assert sent == []
    same = twenty.query("c1").where(F.total > 1)
    assert ids(same.page(1, cursor).items) == ["o04"]
    assert ids(same.page_size(2).limit(9).consistent().project("order_id").page(1, cursor).items) == ["o04"]


def test_a_damaged_cursor_is_an_error(twenty: Orders) -> None:
    query = twenty.query("c1")
    cursor = query.page(2).cursor
    assert cursor is not None
    damaged = ["", "x", "!!", "é", cursor[:-1], cursor[1:], cursor + "A", cursor.swapcase(), cursor * 2, "AAAA" * 20]
    damaged += [cursor[:place] + ("A" if cursor[place] != "A" else "B") + cursor[place + 1 :] for place in range(60)]
    with requests() as sent:
        for text in damaged:
            with pytest.raises(InvalidCursorError):
                query.page(2, text)
        for wrong in (5, b"x", ["x"]):
            with pytest.raises(InvalidCursorError):
                query.page(2, wrong)  # type: ignore[arg-type]
    assert sent == []


def test_cursors_are_signed_with_the_secret(twenty: Orders, make: Make) -> None:
    plain, signed, other = (
        twenty.query("c1"),
        make(Orders, cursor_secret="one").query("c1"),
        make(Orders, cursor_secret="two").query("c1"),
    )
    cursors = {query: query.page(2).cursor for query in (plain, signed, other)}
    assert len(set(cursors.values())) == 3
    for query, cursor in cursors.items():
        assert ids(query.page(1, cursor).items) == ["o02"]
        for foreign in cursors.values():
            if foreign != cursor:
                with pytest.raises(InvalidCursorError):
                    query.page(1, foreign)
    again = make(Orders, cursor_secret="one", max_pool_connections=7).query("c1")
    assert again.page(2).cursor == cursors[signed]
    assert b"one" not in base64.urlsafe_b64decode(str(cursors[signed]) + "==")


# --- order, consistency, laziness -----------------------------------------------------------------------------------


def test_descending(twenty: Orders) -> None:
    assert ids(twenty.query("c1").descending().limit(2)) == ["o19", "o18"]
    assert ids(twenty.query("c1").lt("o05").descending().page(1).items) == ["o04"]
    last = twenty.query("c1").descending().first()
    assert last is not None
    assert last.order_id == "o19"


def test_one(twenty: Orders) -> None:
    assert twenty.query("c2").one().order_id == "o00"
    with pytest.raises(ItemNotFoundError) as caught:
        twenty.query("nobody").one()
    assert caught.value.table_name == twenty.table_name
    with pytest.raises(MultipleItemsFoundError, match=twenty.table_name):
        twenty.query("c1").one()
    assert twenty.query("c1").limit(1).one().order_id == "o00"


def test_queries_are_lazy_and_refined_without_change(twenty: Orders) -> None:
    with requests() as sent:
        base = twenty.query("c1").page_size(5)
        refined = base.where(F.total > 3).descending().limit(2)
        explained = refined.explain()
        repr(refined)
        stream = iter(base)
        assert sent == []
        next(stream)
        assert sent == ["Query"]
        assert [next(stream).order_id for _ in range(4)] == ["o01", "o02", "o03", "o04"]
        assert sent == ["Query"]
        next(stream)
        assert sent == ["Query"] * 2
    assert explained["TableName"] == twenty.table_name
    assert explained["ScanIndexForward"] is False
    assert {"FilterExpression", "KeyConditionExpression"} <= explained.keys()
    assert ids(refined) == ids(refined) == ["o19", "o18"]
    assert len(list(base)) == 20


def test_explain_is_what_boto3_can_send(twenty: Orders, server: Server) -> None:
    explained = twenty.query("c1").between("o03", "o12").where(F.total > 5).project("order_id").explain()
    response = server.client.query(**explained)
    assert [item["order_id"]["S"] for item in response["Items"]] == [f"o{number:02}" for number in range(6, 13)]
    explained = twenty.by_status.scan().where(F.total < 2).explain()
    assert len(server.client.scan(**explained)["Items"]) == 3


# --- query_by_pk, scan, list_all, count -----------------------------------------------------------------------------


def test_query_by_pk_takes_dynamodbs_keywords(twenty: Orders) -> None:
    by_pk = twenty.query_by_pk
    assert len(by_pk("c1")) == 20
    assert by_pk("nobody") == []
    assert ids(by_pk("c1", Limit=3)) == ["o00", "o01", "o02"]
    assert ids(by_pk("c1", Limit=2, ScanIndexForward=False)) == ["o19", "o18"]
    assert ids(by_pk("c1", ScanIndexForward=True, Limit=1, ConsistentRead=True)) == ["o00"]
    assert ids(by_pk("c1", KeyConditionExpression=Key("order_id").begins_with("o1"), Limit=1)) == ["o10"]
    assert ids(by_pk("c1", KeyConditionExpression=Key("order_id").between("o03", "o04"))) == ["o03", "o04"]
    assert ids(by_pk("c1", KeyConditionExpression=F.order_id < "o01")) == ["o00"]
    full = Key("customer_id").eq("c1") & Key("order_id").lt("o02")
    assert ids(by_pk("c1", KeyConditionExpression=full)) == ["o00", "o01"]
    assert ids(
        by_pk(
            "c1",
            KeyConditionExpression="#o >= :o",
            ExpressionAttributeNames={"#o": "order_id"},
            ExpressionAttributeValues={":o": "o18"},
        )
    ) == ["o18", "o19"]
    assert ids(by_pk("c1", FilterExpression=Attr("total").gte(Decimal(18)))) == ["o18", "o19"]
    assert ids(by_pk("c1", FilterExpression=(F.total >= 18) & (F.reference != "r18"))) == ["o19"]
    assert ids(
        by_pk(
            "c1",
            FilterExpression="#n0 = :v0 AND placed_at < :v1 OR #t = :t",
            ExpressionAttributeNames={"#n0": "ref", "#t": "total"},
            ExpressionAttributeValues={":v0": "r5", ":v1": later(100), ":t": 7},
            KeyConditionExpression=Key("order_id").lt("o07"),
        )
    ) == ["o05"]
    assert ids(by_pk("c1", FilterExpression=Attr("total").gt(2), Limit=2)) == ["o03", "o04"]
    assert ids(by_pk("c1", ExclusiveStartKey={"customer_id": "c1", "order_id": "o17"})) == ["o18", "o19"]
    assert ids(by_pk("sent", IndexName="by_status")) == ["o00"]
    start = later(2)
    assert ids(by_pk("paid", IndexName="by_status", KeyConditionExpression=Key("placed_at").gte(start))) == [
        "o12",
        "o16",
    ]


def test_query_by_pk_refuses_what_it_cannot_keep(twenty: Orders) -> None:
    refused: list[tuple[dict[str, Any], type[Exception], str]] = [
        ({"limit": 3}, ExpressionError, "limit"),
        ({"Select": "COUNT"}, ExpressionError, "Select"),
        ({"ProjectionExpression": "order_id"}, ExpressionError, "ProjectionExpression"),
        ({"Limit": 0}, ValidationError, "Limit"),
        ({"IndexName": "by_nothing"}, DeclarationError, "by_status"),
        ({"IndexName": "by_status", "ConsistentRead": True}, ExpressionError, "global"),
        ({"FilterExpression": Attr("order_id").eq("x")}, ExpressionError, "key"),
        ({"FilterExpression": 5}, ExpressionError, "condition"),
        ({"KeyConditionExpression": Key("total").eq(5)}, ExpressionError, "total"),
        ({"KeyConditionExpression": Key("customer_id").eq("c2")}, ExpressionError, "customer_id"),
        ({"KeyConditionExpression": Key("order_id").eq("x") & Attr("total").eq(5)}, ExpressionError, "sort"),
        ({"ExpressionAttributeValues": {":a": float("nan")}}, ValidationError, ":a"),
    ]
    with requests() as sent:
        for keywords, kind, message in refused:
            with pytest.raises(kind, match=message):
                twenty.query_by_pk("open" if keywords.get("IndexName") == "by_status" else "c1", **keywords)
    assert sent == []


def test_scan_list_all_and_count(twenty: Orders) -> None:
    assert len(list(twenty.scan())) == len(twenty.list_all()) == 21
    assert len(list(twenty.scan(index="by_status"))) == 21
    assert twenty.count() == twenty.count(index="by_status") == 21
    assert twenty.count("c1") == 20
    assert twenty.count("nobody") == 0
    assert twenty.count("open", index="by_status") == 15
    assert twenty.count("c1", where=F.total > 9) == 10
    assert twenty.count(where=Attr("total").lt(2)) == 3
    assert twenty.query("c1").begins_with("o1").count() == 10
    assert twenty.query("c1").project("note").count() == 20


def test_a_filter_too_long_for_dynamodb_is_refused_clearly(twenty: Orders) -> None:
    condition = F.note == "x0"
    for number in range(1, 320):
        condition |= F.note == f"x{number}"
    with requests() as sent, pytest.raises(ExpressionError, match="DynamoDB allows"):
        list(twenty.query("c1").where(condition))
    assert sent == []
    with pytest.raises(ExpressionError, match="100"):
        list(twenty.query("c1").where(F.note.in_([f"x{number}" for number in range(101)])))


# --- time zones -----------------------------------------------------------------------------------------------------


def test_datetimes_are_shown_in_the_zone_asked_for(make: Make) -> None:
    repository = make(Orders)
    created = repository.create(order(placed_at=MONDAY)).model_copy(deep=True)
    shown = repository.get_with_timezone("c1", "o1", "America/New_York")
    assert shown is not None
    assert shown.placed_at == MONDAY
    assert shown.placed_at.utcoffset() == timedelta(hours=-5)
    assert shown.created_at is not None
    assert shown.created_at.utcoffset() == timedelta(hours=-5)
    assert shown == created
    (listed,) = repository.list_all_with_timezone("Asia/Tokyo")
    assert (listed.placed_at, listed.placed_at.utcoffset()) == (MONDAY, timedelta(hours=9))
    for plain in (
        repository.get("c1", "o1"),
        repository.get_with_timezone("c1", "o1"),
        *repository.list_all_with_timezone(),
    ):
        assert plain is not None
        assert plain.placed_at.tzinfo is UTC
    assert repository.get_with_timezone("c1", "nothing", "Asia/Tokyo") is None
    with pytest.raises(ValidationError, match="Mars"):
        repository.get_with_timezone("c1", "o1", "Mars/Olympus")


def test_naive_datetimes_are_in_the_zone_of_the_call(make: Make) -> None:
    repository = make(Orders)
    noon = datetime(2026, 7, 1, 12)  # noqa: DTZ001
    repository.create(order("c1", "utc", placed_at=noon))
    repository.create_with_timezone_context(order("c1", "ny", placed_at=noon), "America/New_York")
    repository.create_with_timezone_context(order("c1", "none", placed_at=noon))
    aware = datetime(2026, 7, 1, 12, tzinfo=UTC)
    repository.create_with_timezone_context(order("c1", "aware", placed_at=aware), "America/New_York")
    placed = {entry.order_id: entry.placed_at for entry in repository.query("c1")}
    assert placed == {"utc": aware, "ny": aware + timedelta(hours=4), "none": aware, "aware": aware}
    repository.create(order("c1", "after", placed_at=noon))
    assert repository.get_or_raise("c1", "after").placed_at == aware


def test_a_naive_datetime_stays_the_same_instant_in_later_writes(make: Make) -> None:
    repository = make(Orders)
    given = order("c1", "o1", placed_at=datetime(2026, 7, 1, 12))  # noqa: DTZ001
    created = repository.create_with_timezone_context(given, "America/New_York")
    instant = datetime(2026, 7, 1, 16, tzinfo=UTC)
    assert created is given
    assert created.placed_at == instant
    assert repository.get("c1", "o1") == created
    assert repository.update(created).placed_at == instant
    assert repository.get_or_raise("c1", "o1").placed_at == instant
    failed = order("c1", "o1", placed_at=datetime(2026, 7, 1, 12))  # noqa: DTZ001
    with pytest.raises(ItemAlreadyExistsError):
        repository.create_with_timezone_context(failed, "America/New_York")
    assert failed.placed_at.tzinfo is None


def test_the_configured_zones(make: Make) -> None:
    londoner = make(Orders, default_timezone="Europe/London", user_timezone="Asia/Kolkata")
    created = londoner.create(order(placed_at=datetime(2026, 7, 1, 12)))  # noqa: DTZ001
    instant = datetime(2026, 7, 1, 11, tzinfo=UTC)
    got = londoner.get_or_raise("c1", "o1")
    assert (got.placed_at, got.placed_at.utcoffset()) == (instant, timedelta(hours=5.5))
    assert created.created_at is not None
    assert created.created_at.utcoffset() == timedelta(hours=5.5)
    assert londoner.by_status("open").eq(datetime(2026, 7, 1, 12)).one() == got  # noqa: DTZ001
    in_utc = make(Orders).get_or_raise("c1", "o1")
    assert (in_utc.placed_at, in_utc.placed_at.tzinfo) == (instant, UTC)
    assert londoner.patch("c1", "o1", placed_at=datetime(2026, 1, 1, 12)).placed_at == datetime(  # noqa: DTZ001
        2026, 1, 1, 12, tzinfo=UTC
    )


def test_derived_keys_see_the_fields_of_the_model(make: Make) -> None:
    day = Derived("day", ("placed_at",), lambda placed_at: f"{placed_at:%Y-%m-%d}")

    class Daily(BaseDynamoRepository[Order]):
        table_name = "daily"
        primary_key = "customer_id"
        sort_key = "order_id"
        by_day = AccessPattern("by_day", partition=day, sort="placed_at")

    daily = make(Daily)
    daily.create(order(placed_at=MONDAY))
    assert ids(daily.by_day("2026-11-02").le(MONDAY)) == ["o1"]
    daily.patch("c1", "o1", placed_at=MONDAY + timedelta(days=1))
    assert ids(daily.by_day("2026-11-02")) == []
    assert ids(daily.by_day("2026-11-03")) == ["o1"]
