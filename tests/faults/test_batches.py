"""Batches under every fault: what is not reported as left is done, and what is reported is exactly what may not be."""

from __future__ import annotations

from typing import Any
from uuid import uuid4

import pytest

from dynamodb_wrapper import BatchIncompleteError, ConnectionError, CorruptResponseError, DynamoDBWrapperError
from tests.contract.shop import PlainOrders, order
from tests.faults import rules
from tests.faults.bench import SHORT, Bench
from tests.faults.proxy import Fault

FAULTS = (*rules.REFUSALS, *rules.BROKEN_BEFORE, *rules.BROKEN_AFTER)
MANY = 60  # three requests of writes
LEFT_OVER = 10  # times in a row, before a batch gives up


def each(faults: tuple[Fault, ...]) -> Any:
    return pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.name) for fault in faults])


def some(customer: str, count: int = MANY) -> list[Any]:
    return [order(customer, f"o{number:03}", count=number) for number in range(count)]


def ids(customer: str, bench: Bench) -> set[str]:
    return {entry.order_id for entry in bench.behind(PlainOrders).query(customer).consistent()}


@each(FAULTS)
def test_puts_are_all_there_after_a_fault(bench: Bench, fault: Fault) -> None:
    customer = uuid4().hex
    bench.proxy.inject(fault, "BatchWriteItem", skip=1)
    assert bench.through(PlainOrders).put_many(some(customer)) == MANY
    assert len(ids(customer, bench)) == MANY
    assert bench.proxy.count("BatchWriteItem") == 4


@each(FAULTS)
def test_deletes_are_all_done_after_a_fault(bench: Bench, fault: Fault) -> None:
    customer = uuid4().hex
    bench.behind(PlainOrders).put_many(some(customer))
    bench.proxy.inject(fault, "BatchWriteItem", skip=1)
    keys = [(customer, f"o{number:03}") for number in range(MANY - 1)]
    assert bench.through(PlainOrders).delete_many(keys) == MANY - 1
    assert ids(customer, bench) == {"o059"}


@each((*FAULTS, rules.emptied()))
def test_reads_are_complete_and_in_order_after_a_fault(bench: Bench, fault: Fault) -> None:
    customer = uuid4().hex
    bench.behind(PlainOrders).put_many(some(customer, 130))
    bench.proxy.inject(fault, "BatchGetItem")
    bench.proxy.inject(fault, "BatchGetItem", skip=1)
    keys = [(customer, f"o{number:03}") for number in (*range(140), 7, 3)]
    found = bench.through(PlainOrders).get_many(keys)
    assert [one and one.count for one in found] == [*range(130), *[None] * 10, 7, 3]
    assert bench.proxy.count("BatchGetItem") == 4


def test_a_batch_that_nobody_answers_is_sent_again(bench: Bench) -> None:
    customer, plain = uuid4().hex, bench.through(PlainOrders, timeout_seconds=SHORT)
    bench.proxy.inject(rules.hang(applied=True), "BatchWriteItem")
    bench.proxy.inject(rules.hang(applied=False), "BatchGetItem")
    assert plain.put_many(some(customer, 5)) == 5
    assert len([one for one in plain.get_many([(customer, f"o{n:03}") for n in range(5)]) if one]) == 5


# --- leftovers ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep", [0, 1, 24])
def test_leftovers_of_a_write_are_written_after_a_pause(bench: Bench, keep: int) -> None:
    customer = uuid4().hex
    bench.proxy.inject(rules.leftovers(keep), "BatchWriteItem", times=5)
    assert bench.through(PlainOrders).put_many(some(customer)) == MANY
    assert len(ids(customer, bench)) == MANY
    assert len(bench.pauses) == bench.proxy.count("BatchWriteItem") - 3


@pytest.mark.parametrize("keep", [0, 1, 99])
def test_leftovers_of_a_read_are_read_after_a_pause(bench: Bench, keep: int) -> None:
    customer = uuid4().hex
    bench.behind(PlainOrders).put_many(some(customer, 130))
    bench.proxy.inject(rules.leftovers(keep), "BatchGetItem", times=5)
    keys = [(customer, f"o{number:03}") for number in range(130)]
    assert [one and one.count for one in bench.through(PlainOrders).get_many(keys)] == list(range(130))
    assert len(bench.pauses) == bench.proxy.count("BatchGetItem") - 2


def test_one_entry_at_a_time_is_slow_but_gets_there(bench: Bench) -> None:
    customer = uuid4().hex
    bench.proxy.inject(rules.leftovers(1), "BatchWriteItem", times=None)
    assert bench.through(PlainOrders).put_many(some(customer, 30)) == 30
    assert bench.proxy.count("BatchWriteItem") == 30
    assert len(ids(customer, bench)) == 30


def test_what_is_always_left_over_is_reported_entry_by_entry(bench: Bench) -> None:
    customer, models = uuid4().hex, some(uuid4().hex)
    models = some(customer)
    stuck = models[30]

    def holds_it(body: dict[str, Any]) -> bool:
        (entries,) = body["RequestItems"].values()
        return any(entry["PutRequest"]["Item"]["order_id"] == {"S": stuck.order_id} for entry in entries)

    def leave_it(exchange: Any) -> None:
        ((table, entries),) = exchange.request.body["RequestItems"].items()
        left = [entry for entry in entries if entry["PutRequest"]["Item"]["order_id"] == {"S": stuck.order_id}]
        rest = [entry for entry in entries if entry not in left]
        if rest:
            exchange.forward({"RequestItems": {table: rest}})
        exchange.answer(rules.Answer.made_up(200, {"UnprocessedItems": {table: left}}))

    bench.proxy.inject(Fault("one left over", leave_it), "BatchWriteItem", times=None, when=holds_it)
    with pytest.raises(BatchIncompleteError) as caught:
        bench.through(PlainOrders).put_many(models)
    assert caught.value.unprocessed == [stuck]
    assert caught.value.done == MANY - 1
    assert bench.proxy.count("BatchWriteItem") == 3 + LEFT_OVER
    assert ids(customer, bench) == {one.order_id for one in models} - {stuck.order_id}


def test_when_everything_is_always_left_over_the_batch_ends(bench: Bench) -> None:
    customer = uuid4().hex
    bench.proxy.inject(rules.leftovers(0), times=None)
    models, keys = some(customer), [(customer, f"o{number:03}") for number in range(MANY)]
    with pytest.raises(BatchIncompleteError) as put:
        bench.through(PlainOrders).put_many(models)
    assert (put.value.unprocessed, put.value.done) == (models, 0)
    with pytest.raises(BatchIncompleteError) as read:
        bench.through(PlainOrders).get_many(keys)
    assert read.value.unprocessed == keys
    assert bench.proxy.count("BatchWriteItem") <= 4 * LEFT_OVER
    assert bench.proxy.count("BatchGetItem") == LEFT_OVER
    assert (ids(customer, bench), bench.proxy.count_applied("BatchWriteItem")) == (set(), 0)


# --- requests that fail for good ------------------------------------------------------------------------------------


@each((*rules.REFUSALS, rules.server_error(applied=False), rules.server_error(applied=True), rules.corrupt()))
def test_what_is_not_reported_as_left_is_written(bench: Bench, fault: Fault) -> None:
    customer = uuid4().hex
    models = some(customer, 100)

    def is_last(body: dict[str, Any]) -> bool:
        (entries,) = body["RequestItems"].values()
        return any(entry["PutRequest"]["Item"]["order_id"] == {"S": "o099"} for entry in entries)

    bench.proxy.inject(fault, "BatchWriteItem", times=None, when=is_last)
    with pytest.raises(BatchIncompleteError) as caught:
        bench.through(PlainOrders).put_many(models, concurrency=1)
    error = caught.value
    assert [one.order_id for one in error.unprocessed] == [f"o{number:03}" for number in range(75, 100)]
    assert error.done == 75
    assert isinstance(error.original_error, DynamoDBWrapperError)
    assert {f"o{number:03}" for number in range(75)} <= ids(customer, bench)
    may_be_written = fault.name in ("500 after it was applied", "500 before it was applied", "corrupt")
    assert ("may_be_written" in error.context) == may_be_written


@each((rules.reset(applied=False), rules.truncated(), rules.emptied()))
def test_a_read_that_is_never_answered_is_an_error(bench: Bench, fault: Fault) -> None:
    customer = uuid4().hex
    bench.behind(PlainOrders).put_many(some(customer, 3))
    bench.proxy.inject(fault, "BatchGetItem", times=None)
    with pytest.raises(ConnectionError):
        bench.through(PlainOrders).get_many([(customer, f"o{number:03}") for number in range(3)])


def test_an_answer_without_the_items_does_not_say_that_there_are_none(bench: Bench) -> None:
    customer = uuid4().hex
    bench.behind(PlainOrders).put_many(some(customer, 3))
    bench.proxy.inject(rules.answered(b"{}"), "BatchGetItem", times=None)
    with pytest.raises(CorruptResponseError):
        bench.through(PlainOrders).get_many([(customer, f"o{number:03}") for number in range(3)])


def test_nothing_is_sent_again_by_two_layers(bench: Bench) -> None:
    bench.proxy.inject(rules.throttle(), "BatchWriteItem", times=None)
    with pytest.raises(BatchIncompleteError):
        bench.through(PlainOrders).put_many(some(uuid4().hex, 5))
    assert bench.proxy.count("BatchWriteItem") == 4
