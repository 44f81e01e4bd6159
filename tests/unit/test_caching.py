"""Read-through caches: what is kept, for how long, who reads, and what takes it out again."""

from __future__ import annotations

import asyncio
import copy
import gc
import os
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from decimal import Decimal
from typing import Any

import pytest
from pydantic import BaseModel

from dynamodb_wrapper import (
    AccessPattern,
    AsyncBaseDynamoRepository,
    BaseDynamoRepository,
    BatchProgress,
    ConditionFailedError,
    ConnectionError,
    DeadlineExceededError,
    DeclarationError,
    DynamoDBConfig,
    F,
    ServerError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.operations.effects import Call, Response, call
from dynamodb_wrapper.operations.recalling import CacheInfo, Kind
from dynamodb_wrapper.transport import RetryPolicy, SyncDriver, connection_for, drop_embedded
from dynamodb_wrapper.transport.async_driver import AsyncDriver
from dynamodb_wrapper.transport.caching import Cache, server_of
from dynamodb_wrapper.transport.failures import Hint, Verdict, hinted
from dynamodb_wrapper.transport.invalidation import watchers
from tests.timing import PATIENCE, in_time, until

CONFIG = DynamoDBConfig(
    environment="prod", region_name="us-east-1", aws_access_key_id="k", aws_secret_access_key="s", profile_name=None
)
ONCE = RetryPolicy(max_attempts=1)


class Order(BaseModel):
    customer: str
    number: Decimal
    status: str = "open"
    note: str = ""
    picture: bytes = b""


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Lane:
    """Answers each call with what a function makes of it; notes the calls."""

    def __init__(self, answer: Callable[[Call], Response]) -> None:
        self.answer = answer
        self.sent: list[Call] = []

    def send(self, call: Call, time_left: float | None = None) -> Response:
        self.sent.append(call)
        return self.answer(call)

    @property
    def operations(self) -> list[str]:
        return [call.operation for call in self.sent]


def item(number: str = "1", **attributes: Any) -> dict[str, Any]:
    return {"customer": {"S": "c"}, "number": {"N": number}, **attributes}


def stored(call: Call) -> Response:
    """What a table answers in which every item but number 404 exists."""
    if call.operation == "GetItem":
        key = call.params["Key"]
        return {} if key["number"] == {"N": "404"} else {"Item": {**key, "note": {"S": "stored"}}}
    if call.operation == "BatchGetItem":
        ((table, asked),) = call.params["RequestItems"].items()
        return {"Responses": {table: [key for key in asked["Keys"] if key["number"] != {"N": "404"}]}}
    if call.operation == "Query":
        return {"Items": [item(picture={"B": b"\xff\x00"})], "Count": 1, "LastEvaluatedKey": item()}
    return {}


class Bench:
    """A repository over a lane, with a clock of its own."""

    def __init__(self, answer: Callable[[Call], Response] = stored, **options: Any) -> None:
        self.clock = Clock()
        kept = Cache(**{"ttl": 300, **options})
        kept.timer = self.clock

        class Orders(BaseDynamoRepository[Order]):
            table_name = "orders"
            primary_key = "customer"
            sort_key = "number"
            by_status = AccessPattern("by_status", partition="status", sort="number", cached=True)
            by_note = AccessPattern("by_note", partition="note")
            cache = kept

        self.cls = Orders
        self.cache = kept
        self.lane = Lane(answer)
        self.orders = self.other()

    def other(self, config: DynamoDBConfig = CONFIG) -> Any:
        """Return another repository of the class."""
        orders = self.cls(config)
        orders._driver = SyncDriver(self.lane, ONCE)
        return orders

    def passes(self, seconds: float) -> None:
        self.clock.now += seconds

    @property
    def reads(self) -> int:
        return sum(operation in ("GetItem", "BatchGetItem", "Query") for operation in self.lane.operations)


@pytest.fixture
def bench() -> Bench:
    return Bench()


# --- what is kept -----------------------------------------------------------------------------------------------------


def test_an_item_is_read_once_and_every_caller_has_a_model_of_his_own(bench: Bench) -> None:
    first, second = bench.orders.get("c", 1), bench.orders.get_or_raise("c", 1)
    assert first == second == Order(customer="c", number=Decimal(1), note="stored")
    assert first is not second
    assert [(call.operation, call.params) for call in bench.lane.sent] == [
        ("GetItem", {"TableName": "orders", "Key": item(), "ConsistentRead": True})
    ]
    assert bench.orders.cache_info() == CacheInfo(hits=1, misses=1, entries=1)


def test_an_answer_is_used_until_its_time_is_over(bench: Bench) -> None:
    bench.orders.get("c", 1)
    bench.passes(299.9)
    bench.orders.get("c", 1)
    assert bench.reads == 1
    bench.passes(0.1)
    bench.orders.get("c", 1)
    assert bench.reads == 2


def test_fills_may_be_eventually_consistent() -> None:
    bench = Bench(consistent_fills=False)
    bench.orders.get("c", 1)
    bench.orders.get_many([("c", 2)])
    assert [call.params.get("ConsistentRead") for call in bench.lane.sent] == [None, None]
    assert "ConsistentRead" not in bench.lane.sent[1].params["RequestItems"]["orders"]


def test_a_consistent_read_and_one_of_some_attributes_go_past_the_cache(bench: Bench) -> None:
    for _ in range(2):
        bench.orders.get("c", 1, consistent=True)
        bench.orders.get("c", 1, attributes=["note"])
        bench.orders.get_many([("c", 1)], consistent=True)
        bench.orders.get_many([("c", 1)], attributes=["note"])
        bench.orders.exists("c", 1)
        bench.orders.get_raw("c", 1)
    assert bench.reads == 12
    assert bench.orders.cache_info() == CacheInfo()


def test_that_there_is_no_item_is_kept_only_where_it_is_asked_for() -> None:
    bench, negative = Bench(), Bench(negative_ttl=5)
    for each in (bench, negative):
        assert each.orders.get("c", 404) is None
        assert each.orders.get_many([("c", 404)]) == [None]
    assert (bench.reads, negative.reads) == (2, 1)
    negative.passes(5)
    assert negative.orders.get("c", 404) is None
    assert negative.reads == 2


def test_only_so_many_are_kept_and_a_large_one_counts_as_several() -> None:
    def answer(call: Call) -> Response:
        size = 3 * 4096 if call.params["Key"]["number"] == {"N": "7"} else 1
        return {"Item": {**call.params["Key"], "note": {"S": "x" * size}}}

    bench = Bench(answer, max_items=4)
    for number in (1, 2, 3, 4, 1, 5):  # 2 was not used for longest
        bench.orders.get("c", number)
    assert bench.reads == 5
    bench.orders.get("c", 1)
    assert bench.reads == 5
    bench.orders.get("c", 2)
    assert bench.reads == 6
    bench.orders.get("c", 7)
    assert bench.orders.cache_info().entries == 1
    huge = Bench(answer, max_items=2)
    assert huge.orders.get("c", 7) == huge.orders.get("c", 7)
    assert (huge.reads, huge.orders.cache_info().entries) == (2, 0)


def test_a_batch_reads_what_is_missing_and_leaves_it_for_others(bench: Bench) -> None:
    told: list[tuple[int, int | None]] = []
    bench.orders.get("c", 1)
    keys = [("c", 2), ("c", 1), ("c", 404), ("c", 2)]
    found = bench.orders.get_many(keys, progress=lambda progress: told.append((progress.done, progress.total)))
    assert [order and order.number for order in found] == [2, 1, None, 2]
    assert found[0] == found[3]
    assert found[0] is not found[3]
    (request,) = [call for call in bench.lane.sent if call.operation == "BatchGetItem"]
    assert request.params == {
        "RequestItems": {"orders": {"Keys": [item("2"), item("404")], "ConsistentRead": True}},
    }
    assert told == [(4, 4)]
    bench.orders.get("c", 2)
    bench.orders.get_many(iter([("c", 1), ("c", 2)]))
    assert bench.reads == 2


def test_the_progress_of_a_batch_comes_to_its_end_though_nothing_is_read(bench: Bench) -> None:
    told: list[BatchProgress] = []
    bench.orders.get("c", 1)
    for keys in ([("c", 1), ("c", 2), ("c", 2)], [("c", 2), ("c", 1), ("c", 1)], []):
        bench.orders.get_many(keys, progress=told.append)
    assert told == [BatchProgress(3, 3)] * 2


def test_a_thousand_keys_take_as_many_requests_as_without_a_cache(bench: Bench) -> None:
    assert len(bench.orders.get_many([("c", number) for number in range(1000, 2000)])) == 1000
    assert bench.reads == 10
    bench.orders.get_many([("c", number) for number in range(1000, 2000)])
    assert bench.reads == 10


def test_keys_of_equal_numbers_are_one(bench: Bench) -> None:
    bench.orders.get("c", Decimal("1.50"))
    bench.orders.get("c", Decimal("1.5"))
    bench.orders.get_many([("c", Decimal("15e-1"))])
    assert bench.reads == 1


def test_repositories_of_the_class_share_and_other_servers_and_tables_are_apart(bench: Bench) -> None:
    bench.orders.get("c", 1)
    bench.other().get("c", 1)
    bench.other(CONFIG.model_copy(update={"timeout_seconds": 3.0})).get("c", 1)
    assert bench.reads == 1
    for changed in (
        {"region_name": "eu-west-1"},
        {"endpoint_url": "http://localhost:1"},
        {"aws_access_key_id": "other", "aws_secret_access_key": "s"},
        {"table_prefix": "p"},
    ):
        bench.other(CONFIG.model_copy(update=changed)).get("c", 1)
    assert bench.reads == 5


def test_keys_of_one_account_are_one_and_no_secret_is_kept() -> None:
    """The id of an access key holds the number of its account, so that keys that change leave the cache as it is."""

    def account(key_id: str) -> object:
        update = {"aws_access_key_id": key_id, "aws_secret_access_key": "s3cret", "aws_session_token": "t0ken"}
        found = server_of(CONFIG.model_copy(update=update))
        assert not {"s3cret", "t0ken", key_id} & set(found)
        return found[2]

    assert account("ASIAQNZGKIQY56JQ7WML") == "29608264753"
    assert account("ASIAQNZGKIQY2222AAAA") == account("AKIAQNZGKIQYZZZZZZZZ") != account("AKIAQNZGKIRYZZZZZZZZ")
    assert account("testing") != account("other")


def test_times_are_shown_in_the_zone_of_each_call_and_bytes_are_bytes() -> None:
    bench = Bench(lambda call: {"Item": {**call.params["Key"], "picture": {"B": b"\xff\x00"}}})
    for _ in range(2):
        assert bench.orders.get("c", 1).picture == b"\xff\x00"
        assert bench.orders.get_with_timezone("c", 1, "Asia/Tokyo").picture == b"\xff\x00"
    assert bench.reads == 1


# --- pages ------------------------------------------------------------------------------------------------------------


def test_pages_of_a_pattern_are_kept_by_everything_that_decides_them(bench: Bench) -> None:
    def read() -> list[Any]:
        open_orders = bench.orders.by_status("open")
        first = open_orders.page(1)
        return [
            first,
            open_orders.page(1, first.cursor),
            open_orders.limit(1).all(),
            open_orders.gt(3).page(1),
            open_orders.where(F.note == "x").page(1),
            open_orders.descending().page(1),
            open_orders.project("note").page(1).items,
            bench.orders.by_status("paid").first(),
            bench.orders.by_status.shown_in("Asia/Tokyo")("open").page(1).items,
        ]

    first = read()
    reads = bench.reads
    assert reads == 7  # two of them ask what the first did
    assert read() == first
    assert bench.reads == reads
    assert first[0].items[0].picture == b"\xff\x00"


def test_what_is_not_said_to_be_cached_is_not(bench: Bench) -> None:
    for _ in range(2):
        bench.orders.by_note("x").first()
        bench.orders.query("c").first()
        bench.orders.by_status.scan().page_size(1).first()
    assert bench.reads + bench.lane.operations.count("Scan") == 6
    assert bench.orders.cache_info() == CacheInfo()


def test_any_write_takes_all_pages_out_and_keeps_them_out_while_indexes_follow(bench: Bench) -> None:
    def read() -> int:
        bench.orders.by_status("open").first()
        return bench.reads

    assert (read(), read()) == (1, 1)
    bench.orders.delete("d", 99)
    assert (read(), read()) == (2, 3)
    bench.passes(1.9)
    assert read() == 4
    bench.passes(0.1)
    assert (read(), read()) == (5, 5)
    bench.passes(300)
    assert read() == 6


def test_a_page_that_was_read_while_indexes_followed_is_not_kept_however_late_it_comes(bench: Bench) -> None:
    bench.orders.delete("c", 1)

    def slowly(call: Call) -> Response:
        bench.passes(3)
        return stored(call)

    bench.lane.answer = slowly
    for _ in range(2):
        assert bench.orders.by_status("open").page(1).items
    assert bench.reads == 2  # the second began when they had followed
    assert bench.orders.by_status("open").page(1).items
    assert bench.reads == 2


def test_a_page_says_what_it_consumed_only_when_it_was_read() -> None:
    capacity = {"TableName": "orders", "CapacityUnits": 0.5}
    bench = Bench(lambda call: {**stored(call), "ConsumedCapacity": capacity})
    first, second = (bench.orders.by_status("open").page(1) for _ in range(2))
    assert first.consumed_capacity is not None
    assert first.consumed_capacity.total == 0.5
    assert second.consumed_capacity is None
    assert first.items == second.items


# --- writes -----------------------------------------------------------------------------------------------------------

ONE, TWO = item("1"), item("2")
NAMED_OTHERWISE = item("1.0")


@pytest.mark.parametrize(
    ("operation", "params", "remaining"),
    [
        ("PutItem", {"TableName": "orders", "Item": {**ONE, "note": {"S": "x"}}}, [2]),
        ("UpdateItem", {"TableName": "orders", "Key": ONE}, [2]),
        ("DeleteItem", {"TableName": "orders", "Key": NAMED_OTHERWISE}, [2]),
        ("DeleteItem", {"TableName": "arn:aws:dynamodb:us-east-1:123456789012:table/orders", "Key": ONE}, [2]),
        ("BatchWriteItem", {"RequestItems": {"orders": [{"PutRequest": {"Item": ONE}}]}}, [2]),
        ("BatchWriteItem", {"RequestItems": {"x": [], "orders": [{"DeleteRequest": {"Key": ONE}}]}}, [2]),
        ("TransactWriteItems", {"TransactItems": [{"Put": {"TableName": "orders", "Item": ONE}}]}, [2]),
        (
            "TransactWriteItems",
            {
                "TransactItems": [
                    {"Put": {"TableName": "arn:aws:dynamodb:us-east-1:123456789012:table/orders", "Item": ONE}},
                    {"Delete": {"TableName": "orders", "Key": TWO}},
                ]
            },
            [],
        ),
        ("TransactWriteItems", {"TransactItems": [{"Update": {"TableName": "orders", "Key": ONE}}]}, [2]),
        ("TransactWriteItems", {"TransactItems": [{"Delete": {"TableName": "orders", "Key": ONE}}]}, [2]),
        ("TransactWriteItems", {"TransactItems": [{"ConditionCheck": {"TableName": "orders", "Key": ONE}}]}, [1, 2]),
        ("PutItem", {"TableName": "others", "Item": ONE}, [1, 2]),
        ("DescribeTable", {"TableName": "orders"}, [1, 2]),
        ("Scan", {"TableName": "orders"}, [1, 2]),
        ("ExecuteStatement", {"Statement": "DELETE FROM ..."}, []),
        ("ExecuteTransaction", {}, []),
        ("DeleteTable", {"TableName": "orders"}, []),
        ("CreateTable", {"TableName": "orders"}, []),
        ("PutItem", {"TableName": "orders", "Item": {}}, []),
        ("PutItem", {"TableName": "orders", "Item": {"customer": {"S": "c"}}}, []),
        ("BatchWriteItem", {"RequestItems": {"orders": [{"what": 1}]}}, []),
        ("BatchWriteItem", {}, []),
    ],
)
def test_every_call_takes_out_what_it_may_change(
    bench: Bench, operation: str, params: dict[str, Any], remaining: list[int]
) -> None:
    bench.orders.get_many([("c", 1), ("c", 2)])
    other = SyncDriver(bench.lane, ONCE)  # nothing of the repository: whoever sends a call is seen

    def flow() -> Any:
        yield Call(operation, params)

    other.run(flow())
    before = bench.reads
    bench.orders.get_many([("c", 1), ("c", 2)])
    missing = [1, 2] if bench.reads > before else []
    if missing:
        missing = [int(key["number"]["N"]) for key in bench.lane.sent[-1].params["RequestItems"]["orders"]["Keys"]]
    assert sorted({1, 2} - set(missing)) == remaining


@pytest.mark.parametrize(
    ("operation", "params"),
    [
        ("PutItem", {"TableName": "orders", "Item": ONE}),
        ("BatchWriteItem", {"RequestItems": {"orders": [{"PutRequest": {"Item": ONE}}]}}),
    ],
)
def test_a_call_whose_parameters_are_bytes_takes_out_the_keys_that_it_names(
    bench: Bench, operation: str, params: dict[str, Any]
) -> None:
    bench.orders.get_many([("c", 1), ("c", 2)])

    def flow() -> Any:
        yield Call(operation, params, body=b"{}")

    SyncDriver(bench.lane, ONCE).run(flow())
    bench.orders.get_many([("c", 1), ("c", 2)])
    asked = bench.lane.sent[-1].params["RequestItems"]["orders"]["Keys"]
    assert [key["number"]["N"] for key in asked] == ["1"]


def test_a_call_whose_parameters_are_bytes_takes_out_everything(bench: Bench) -> None:
    bench.orders.get("c", 1)

    def flow() -> Any:
        yield Call("BatchWriteItem", {"RequestItems": {"orders": []}}, body=b"{}")
        yield Call("PutItem", {"TableName": "orders"}, body=b"{}")

    SyncDriver(bench.lane, ONCE).run(flow())
    bench.orders.get("c", 1)
    assert bench.reads == 2


def test_a_write_that_is_refused_takes_out_what_it_was_about(bench: Bench) -> None:
    bench.orders.get("c", 1)
    bench.lane.answer = lambda call: _raise(ConditionFailedError("no")) if call.operation != "GetItem" else stored(call)
    with pytest.raises(ConditionFailedError):
        bench.orders.delete("c", 1, when=F.note == "x")
    for _ in range(2):
        bench.orders.get("c", 1)
    assert bench.reads == 2


@pytest.mark.parametrize("is_async", [False, True])
def test_after_a_write_whose_outcome_is_unknown_nothing_is_kept_for_a_while(bench: Bench, is_async: bool) -> None:
    bench.orders.get("c", 1)
    lost = hinted(ConnectionError("reset"), Hint(Verdict.LOST))
    bench.lane.answer = lambda call: stored(call) if call.operation == "GetItem" else _raise(lost)

    def write() -> Any:
        yield Call("UpdateItem", {"TableName": "orders", "Key": ONE}, repeatable=False)

    driver = AsyncDriver(AsyncLane(bench.lane), ONCE) if is_async else SyncDriver(bench.lane, ONCE)  # type: ignore[arg-type]
    with pytest.raises(WriteOutcomeUnknownError):
        _done(driver.run(write()))
    for _ in range(2):
        bench.orders.get("c", 1)  # the write may come yet
    assert bench.reads == 3
    bench.passes(10)
    for _ in range(2):
        bench.orders.get("c", 1)
    assert bench.reads == 4


def test_a_reading_that_a_write_overtakes_is_not_kept() -> None:
    """The item is read, then written by another, and only then the answer arrives."""
    bench = Bench()

    def answer(call: Call) -> Response:
        if call.operation == "GetItem" and call.params["ConsistentRead"]:
            found = {"Item": {**call.params["Key"], "note": {"S": "old" if len(bench.lane.sent) == 1 else "new"}}}
            if len(bench.lane.sent) == 1:
                bench.other().delete("c", 1)
            return found
        return {}

    bench.lane.answer = answer
    assert bench.orders.get("c", 1).note == "old"  # it began before the write
    assert bench.orders.get("c", 1).note == "new"
    assert bench.orders.get("c", 1).note == "new"
    assert bench.orders.cache_info() == CacheInfo(hits=1, misses=2, stale=1, entries=1)


@pytest.mark.parametrize("wrong", [{"L": []}, {"M": {}}, {"SS": ["a"]}, {"S": []}, {}, "a", None])
def test_a_write_whose_key_is_none_is_left_to_dynamodb_to_refuse(bench: Bench, wrong: Any) -> None:
    """The document client takes items as they are."""
    bench.orders.get("c", 1)
    bench.lane.answer = lambda _: _raise(ConditionFailedError("refused"))
    params = {"TableName": bench.orders.table_name, "Item": {"customer": {"S": "c"}, "number": wrong}}
    with pytest.raises(ConditionFailedError):
        bench.orders._driver.run(call("PutItem", params))
    assert bench.orders.cache_info().entries == 0


def test_what_interrupts_a_write_leaves_nothing_in_the_cache(bench: Bench) -> None:
    bench.orders.get("c", 1)
    bench.lane.answer = lambda call: stored(call) if call.operation == "GetItem" else _raise(KeyboardInterrupt())
    with pytest.raises(KeyboardInterrupt):
        bench.orders.delete("c", 1)
    bench.orders.get("c", 1)
    bench.orders.get("c", 1)
    assert bench.reads == 3


def test_clearing_and_going_without(bench: Bench) -> None:
    bench.orders.get("c", 1)
    bench.orders.clear_cache()
    bench.orders.get("c", 1)
    assert bench.reads == 2
    without = bench.orders.without_cache()
    without.get("c", 1)
    without.by_status("open").first()
    assert bench.reads == 4
    assert bench.lane.sent[2].params == {"TableName": "orders", "Key": ONE}
    with pytest.raises(DeclarationError, match="declares no cache"):
        without.cache_info()
    without.delete("c", 1)
    bench.orders.get("c", 1)
    assert bench.reads == 5


def test_an_embedded_server_that_is_dropped_is_forgotten() -> None:
    class Orders(BaseDynamoRepository[Order]):
        table_name = "orders"
        primary_key = "customer"
        cache = Cache(ttl=300)

    orders = Orders(DynamoDBConfig.embedded("dropped"))
    orders.ensure_table()
    orders.create(Order(customer="c", number=Decimal(1)))
    assert orders.get("c") is not None
    drop_embedded("dropped")
    orders.ensure_table()
    assert orders.get("c") is None
    drop_embedded("dropped")


# --- many at once -----------------------------------------------------------------------------------------------------


class Gate:
    """A lane's answer that waits until it is let go."""

    def __init__(self, answer: Callable[[Call], Response] = stored) -> None:
        self.go = threading.Event()
        self.arrived = threading.Semaphore(0)
        self.answer = answer

    def __call__(self, call: Call) -> Response:
        self.arrived.release()
        assert self.go.wait(30)
        return self.answer(call)


def waited_for(bench: Bench, callers: int) -> None:
    until(lambda: bench.orders.cache_info().shared >= callers)


def test_many_threads_take_one_request() -> None:
    gate = Gate()
    bench = Bench(gate)
    with ThreadPoolExecutor(16) as pool:
        found = [pool.submit(bench.orders.get, "c", 1) for _ in range(8)]
        found += [pool.submit(bench.other().get_many, [("c", 1)]) for _ in range(8)]
        waited_for(bench, 15)
        gate.go.set()
        models = [model for future in found for model in _flat(future.result(30))]
    assert [model.number for model in models] == [1] * 16
    assert len({id(model) for model in models}) == 16
    assert bench.reads == 1
    assert bench.orders.cache_info() == CacheInfo(misses=1, shared=15, entries=1)


def test_a_failure_is_that_of_one_caller() -> None:
    failures = iter([ServerError("down")])

    def answer(call: Call) -> Response:
        failure = next(failures, None)
        return stored(call) if failure is None else _raise(failure)

    gate = Gate(answer)
    bench = Bench(gate)
    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(bench.orders.get, "c", 1) for _ in range(8)]
        waited_for(bench, 7)
        gate.go.set()
        errors = [future.exception(30) for future in found]
    assert [type(error) for error in errors if error] == [ServerError]
    assert bench.reads == 2  # the one that failed, and one for all others


def test_an_outage_is_not_waited_for_one_after_another() -> None:
    gate = Gate(lambda _: _raise(ServerError("down")))
    bench = Bench(gate)
    with ThreadPoolExecutor(8) as pool:
        found = [pool.submit(bench.orders.get, "c", 1) for _ in range(8)]
        waited_for(bench, 7)
        gate.go.set()
        assert all(isinstance(future.exception(30), ServerError) for future in found)
    assert bench.reads <= 8


def test_a_caller_waits_no_longer_than_his_own_time_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynamodb_wrapper.transport.execution.LONGEST_JOIN_SECONDS", 2 * PATIENCE)
    gate = Gate()
    bench = Bench(gate)
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(bench.orders.get, "c", 1)
        assert gate.arrived.acquire(timeout=30)
        with in_time(), pytest.raises(DeadlineExceededError):
            bench.orders.with_options(timeout=0.05).get("c", 1)
        gate.go.set()
        assert leader.result(30) is not None


def test_a_reading_within_the_reading_does_not_wait_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dynamodb_wrapper.transport.execution.LONGEST_JOIN_SECONDS", 2 * PATIENCE)
    bench = Bench()

    def answer(call: Call) -> Response:
        if len(bench.lane.sent) == 1:  # as an observer may, in the thread that reads
            assert bench.other().get("c", 1).note == "stored"
        return stored(call)

    bench.lane.answer = answer
    with in_time():
        assert bench.orders.get("c", 1).note == "stored"
    assert bench.reads == 2


def test_a_reading_that_takes_too_long_is_joined_no_more() -> None:
    """Whoever reads may have been interrupted where nobody could tell the others."""
    gate = Gate()
    bench = Bench(gate)
    with ThreadPoolExecutor(2) as pool:
        slow = pool.submit(bench.orders.get, "c", 1)
        assert gate.arrived.acquire(timeout=30)
        bench.passes(10)
        bench.lane.answer = stored
        assert bench.orders.get("c", 1) is not None
        assert bench.orders.cache_info() == CacheInfo(misses=2, entries=1)
        gate.go.set()
        assert slow.result(30) is not None
    assert bench.orders.get("c", 1) is not None
    assert bench.reads == 2


@pytest.mark.parametrize("is_async", [False, True])
def test_a_batch_waits_once_for_all_that_others_read(
    is_async: bool, bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were each key waited for by itself, a hundred of them could take a quarter of an hour."""
    monkeypatch.setattr("dynamodb_wrapper.transport.execution.LONGEST_JOIN_SECONDS", 0.6)
    keys = [("c", number) for number in range(100)]
    cache: Any = bench.orders._entity.cache
    names = [cache.name_of(bench.orders._entity.key(*key)) for key in keys]
    stuck = cache.look_up(Kind.ITEM, names).led
    for flight in stuck:
        flight.thread = -1  # that of somebody else
    orders = on_loop(bench)[0] if is_async else bench.orders
    with in_time():
        found = _done(orders.get_many(keys))
    assert [model.number for model in found] == list(range(100))
    assert (bench.reads, cache.info().shared) == (1, 200)
    for flight in stuck:
        flight.end()


def test_a_reading_is_kept_though_another_item_is_written_meanwhile() -> None:
    gate = Gate()
    bench = Bench(gate)
    with ThreadPoolExecutor(1) as pool:
        reading = pool.submit(bench.orders.get, "c", 1)
        assert gate.arrived.acquire(timeout=30)
        bench.passes(1)
        bench.lane.answer = stored
        bench.orders.delete("c", 2)
        gate.go.set()
        assert reading.result(30) is not None
    assert bench.orders.get("c", 1) is not None
    assert bench.reads == 1


def test_who_comes_after_a_write_does_not_wait_for_a_reading_from_before() -> None:
    gate = Gate()
    bench = Bench(gate)
    with ThreadPoolExecutor(2) as pool:
        before = pool.submit(bench.orders.get, "c", 1)
        assert gate.arrived.acquire(timeout=30)
        bench.lane.answer = stored
        bench.orders.delete("c", 1)
        assert bench.orders.get("c", 1) is not None
        assert not before.done()
        gate.go.set()
        assert before.result(30) is not None
    assert bench.reads == 2
    assert bench.orders.cache_info().shared == 0


class AsyncLane:
    """A lane of the event loop over a blocking one; it waits for an event first, where it has one."""

    def __init__(self, lane: Lane) -> None:
        self._lane = lane
        self.go: asyncio.Event | None = None

    async def send(self, call: Call, time_left: float | None = None) -> Response:
        if self.go is not None:
            self._lane.sent.append(call)
            await self.go.wait()
            return self._lane.answer(call)
        return self._lane.send(call)


def on_loop(bench: Bench) -> tuple[Any, AsyncLane]:
    """Return an async repository with the cache of a bench."""

    class AsyncOrders(AsyncBaseDynamoRepository[Order]):
        table_name = "orders"
        primary_key = "customer"
        sort_key = "number"
        cache = bench.cache

    orders: Any = AsyncOrders(CONFIG)
    lane = AsyncLane(bench.lane)
    orders._driver = AsyncDriver(lane, ONCE)  # type: ignore[arg-type]
    return orders, lane


def test_many_tasks_take_one_request_and_share_with_threads() -> None:
    async def main() -> None:
        bench = Bench()
        orders, lane = on_loop(bench)
        lane.go = asyncio.Event()
        tasks = [asyncio.create_task(orders.get("c", 1)) for _ in range(100)]
        await asyncio.sleep(0)
        thread = asyncio.create_task(asyncio.to_thread(bench.orders.get, "c", 1))
        while bench.orders.cache_info().shared < 100:
            await asyncio.sleep(0.001)
        lane.go.set()
        models = [await task for task in (*tasks, thread)]
        assert [model.note for model in models] == ["stored"] * 101
        assert bench.reads == 1
        assert (await orders.get("c", 1)).note == "stored"
        assert bench.reads == 1

    asyncio.run(main())


def test_the_cancellation_of_the_one_who_reads_is_not_that_of_the_others() -> None:
    async def main() -> None:
        bench = Bench()
        orders, lane = on_loop(bench)
        lane.go = asyncio.Event()
        leader, *others = [asyncio.create_task(orders.get("c", 1)) for _ in range(10)]
        await asyncio.sleep(0.01)
        leader.cancel()
        others[0].cancel()
        lane.go.set()
        found = await asyncio.gather(leader, *others, return_exceptions=True)
        assert [isinstance(result, asyncio.CancelledError) for result in found] == [True, True, *[False] * 8]
        assert all(isinstance(result, Order) for result in found[2:])
        assert bench.reads == 2
        assert bench.orders.cache_info().entries == 1

    asyncio.run(main())


def test_the_cancellation_of_one_who_waits_is_nobody_elses() -> None:
    async def main() -> None:
        bench = Bench()
        orders, lane = on_loop(bench)
        lane.go = asyncio.Event()
        tasks = [asyncio.create_task(orders.get("c", 1)) for _ in range(10)]
        await asyncio.sleep(0.01)
        for task in tasks[3:6]:
            task.cancel()
        await asyncio.sleep(0.01)
        lane.go.set()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        assert [isinstance(result, Order) for result in found] == [True] * 3 + [False] * 3 + [True] * 4
        assert bench.reads == 1

    asyncio.run(main())


def test_a_loop_that_is_closed_while_a_thread_reads_harms_nobody() -> None:
    gate = Gate()
    bench = Bench(gate)

    async def impatient() -> None:
        orders, _ = on_loop(bench)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(orders.get("c", 1), 0.01)

    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(bench.orders.get, "c", 1)
        assert gate.arrived.acquire(timeout=30)
        asyncio.run(impatient())
        gate.go.set()
        assert leader.result(30) is not None


def test_a_forked_child_reads_by_itself() -> None:
    """What its parent has kept is not its own, and nobody there ends the readings that were under way."""
    gate = Gate()
    bench = Bench()
    bench.orders.get("c", 2)
    bench.lane.answer = gate
    with ThreadPoolExecutor(1) as pool:
        leader = pool.submit(bench.orders.get, "c", 1)
        assert gate.arrived.acquire(timeout=30)
        child = _forked(lambda: _child(bench))
        gate.go.set()
        assert leader.result(30) is not None
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _child(bench: Bench) -> bool:
    bench.lane.answer = stored
    before = bench.reads
    found = bench.orders.get("c", 1), bench.orders.get("c", 2), bench.orders.get("c", 2)
    return all(found) and bench.reads == before + 2


def _forked(work: Callable[[], bool]) -> int:
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # Python 3.12 warns of forks in programs with threads
        child = os.fork()
    if child == 0:
        try:
            os._exit(0 if work() else 1)
        finally:
            os._exit(2)
    return child


# --- declarations -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {"ttl": 0},
        {"ttl": -1},
        {"ttl": True},
        {"ttl": "300"},
        {"ttl": float("inf")},
        {"ttl": float("nan")},
        {"ttl": 1, "max_items": 0},
        {"ttl": 1, "max_items": 1.5},
        {"ttl": 1, "negative_ttl": 0},
    ],
)
def test_a_wrong_cache_is_refused(options: dict[str, Any]) -> None:
    with pytest.raises(DeclarationError, match="Cache: "):
        Cache(**options)


def test_a_cache_that_is_copied_or_pickled_is_declared_anew(bench: Bench) -> None:
    bench.orders.get("c", 1)
    for again in (pickle.loads(pickle.dumps(bench.cache)), copy.deepcopy(bench.cache)):
        assert repr(again) == repr(bench.cache) == "Cache(ttl=300, max_items=1000)"
        assert len(again._tables) == 0


def test_a_cache_lives_as_long_as_the_connection() -> None:
    class Orders(BaseDynamoRepository[Order]):
        table_name = "short-lived"
        primary_key = "customer"
        cache = Cache(ttl=300)

    for number in range(3):
        config = DynamoDBConfig.embedded(f"short-lived-{number}")
        Orders(config)
        gc.collect()
        assert len(Orders.cache._tables) == 1
        connection_for(config).close()
        gc.collect()
        assert len(Orders.cache._tables) == 0
        assert len(watchers["dev_short-lived"]) == 1


SCHEMA = """
from datetime import UTC, datetime
from typing import Annotated, Any
from pydantic import AfterValidator, BaseModel
from dynamodb_wrapper import BaseDynamoRepository
from dynamodb_wrapper.operations import recalling

class Strange:
    pass

class Inner(BaseModel):
    tags: set[str] = {"a", "b", "c", "d", "e"}
    number: int = 0

class Model(BaseModel):
    id: str
    inner: Inner = Inner()
    at: datetime = datetime.now(UTC)
    any: Any = Strange()

class Odd(BaseModel):
    id: str
    strange: list[Annotated[Any, AfterValidator(lambda value: value)]] = []
    odd: Strange | None = None
    model_config = {"arbitrary_types_allowed": True}

def schema(model):
    made = type("Repository", (BaseDynamoRepository,), {"table_name": "t", "primary_key": "id", "model_class": model})
    return recalling.schema_of(made._declaration)

print(schema(Model))
print(schema(Odd))
class Inner(BaseModel):
    number: str = ""
print(schema(type("Model", (BaseModel,), {"__annotations__": {"id": str, "inner": Inner}, "__module__": "__main__"})))
"""


def test_the_text_of_a_model_is_the_same_in_every_process_and_quiet() -> None:
    texts = [
        subprocess.run(
            [sys.executable, "-W", "error", "-c", SCHEMA],
            check=True,
            capture_output=True,
            text=True,
            env={**os.environ, "PYTHONHASHSEED": seed},
        ).stdout.splitlines()
        for seed in ("1", "2")
    ]
    assert texts[0] == texts[1]
    assert len(set(texts[0])) == 3


def test_a_wrong_declaration_is_refused_when_the_class_is_made() -> None:
    with pytest.raises(DeclarationError, match=r"Orders: cache is a Cache\(\.\.\.\), not 300"):

        class Orders(BaseDynamoRepository[Order]):
            table_name = "orders"
            primary_key = "customer"
            cache = 300  # type: ignore[assignment]

    with pytest.raises(DeclarationError, match="Others: by_status is to be cached, and the repository declares no"):

        class Others(BaseDynamoRepository[Order]):
            table_name = "orders"
            primary_key = "customer"
            by_status = AccessPattern("by_status", partition="status", cached=True)


def test_a_class_below_one_with_a_cache_may_go_without(bench: Bench) -> None:
    class Uncached(bench.cls):  # type: ignore[misc,name-defined]
        cache = None

    uncached = Uncached(CONFIG)
    uncached._driver = SyncDriver(bench.lane, ONCE)
    for reads in (1, 2):
        assert uncached.get("c", 1) is not None
        assert uncached.by_status("open").limit(1).all()
        assert bench.reads == 2 * reads


def test_a_repository_without_a_cache_has_nothing_to_tell() -> None:
    class Orders(BaseDynamoRepository[Order]):
        table_name = "orders"
        primary_key = "customer"

    with pytest.raises(DeclarationError, match="Orders declares no cache"):
        Orders(CONFIG).cache_info()


def test_cachetools_is_imported_when_a_cache_is_used() -> None:
    program = (
        "import sys; from dynamodb_wrapper import BaseDynamoRepository; "
        "from dynamodb_wrapper.repositories.base import BaseDynamoRepository as b; "
        "sys.exit(any(name in sys.modules for name in ('cachetools', 'redis', 'dynamodb_wrapper.transport.caching')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False, cwd=os.getcwd()).returncode == 0


def _done(outcome: Any) -> Any:
    return asyncio.run(outcome) if asyncio.iscoroutine(outcome) else outcome


def _raise(error: BaseException) -> Response:
    raise error


def _flat(found: Any) -> Iterator[Any]:
    yield from found if isinstance(found, list) else [found]
