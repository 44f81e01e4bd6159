"""Single writes under every fault: what the caller is told is true, and nothing is applied twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count
from typing import Any
from uuid import uuid4

import pytest

from dynamodb_wrapper import (
    Add,
    Append,
    BaseDynamoRepository,
    ConditionFailedError,
    ConnectionError,
    DynamoDBWrapperError,
    F,
    ItemAlreadyExistsError,
    ServerError,
    ThrottlingError,
    ThrottlingReason,
    TransactionConflictError,
    VersionConflictError,
    WriteOutcomeUnknownError,
)
from tests.contract.shop import Orders, PlainOrders, order
from tests.faults import rules
from tests.faults.bench import SHORT, Bench, Counter, Counters
from tests.faults.proxy import Fault

Repository = BaseDynamoRepository[Any]
DONE, UNKNOWN, FAILED = "done", "unknown", "failed"


@dataclass(frozen=True)
class Write:
    """One write of one item.

    Attributes:
        operation: What DynamoDB calls it.
        start: What is stored before it; None for nothing.
        write: Writes, given the repository and a model of what is stored (or the one to be stored).
        times_applied: How often it was applied, seen from what is stored afterwards.
        when_lost: What the caller is told when the answer is lost, had the write been applied or not.
    """

    repository_class: type[Repository]
    operation: str
    start: Callable[[str], Any] | None
    write: Callable[[Any, Any], object]
    times_applied: Callable[[Any], int]
    when_lost: dict[bool, str]


def an_order(key: str) -> Any:
    return order(key, "o1", count=5)


def a_counter(key: str) -> Any:
    return Counter(name=key, total=5)


def there(stored: Any) -> int:
    return stored is not None


def gone(stored: Any) -> int:
    return stored is None


def versions(stored: Any) -> int:
    return int(stored.version) - 1


def counted(stored: Any) -> int:
    return int(stored.count if hasattr(stored, "count") else stored.total) - 5


def total(stored: Any) -> int:
    return 0 if stored is None else stored.total


def noted(stored: Any) -> int:
    return stored.note == "new"


def with_note(model: Any) -> Any:
    model.note = "new"
    return model


def patch(**change: Any) -> Callable[[Any, Any], object]:
    return lambda repository, model: repository.patch(*key_of(model), **change)


def key_of(model: Any) -> tuple[str, ...]:
    return (model.customer_id, model.order_id) if hasattr(model, "order_id") else (model.name,)


SURE = {False: DONE, True: DONE}
IF_APPLIED = {False: UNKNOWN, True: DONE}
IF_NOT_APPLIED = {False: DONE, True: UNKNOWN}
NEVER_SURE = {False: UNKNOWN, True: UNKNOWN}

WRITES = {
    # What the write itself has stored tells: the times, to the microsecond.
    "create": Write(Orders, "PutItem", None, lambda r, m: r.create(m), there, SURE),
    "create, no times": Write(Counters, "PutItem", None, lambda r, m: r.create(m), there, IF_NOT_APPLIED),
    "put, new": Write(Orders, "PutItem", None, lambda r, m: r.put(m), there, SURE),
    "put, versioned": Write(Orders, "PutItem", an_order, lambda r, m: r.put(with_note(m)), versions, SURE),
    "put": Write(PlainOrders, "PutItem", an_order, lambda r, m: r.put(with_note(m)), noted, SURE),
    "update, versioned": Write(Orders, "PutItem", an_order, lambda r, m: r.update(with_note(m)), versions, SURE),
    "update": Write(PlainOrders, "PutItem", an_order, lambda r, m: r.update(with_note(m)), noted, SURE),
    # Not sent again, but read back. No trace of it may mean that it is still on its way.
    "add": Write(PlainOrders, "UpdateItem", an_order, patch(count=Add(1)), counted, IF_APPLIED),
    "add, versioned": Write(Orders, "UpdateItem", an_order, patch(count=Add(1)), versions, IF_APPLIED),
    "add, if": Write(PlainOrders, "UpdateItem", an_order, patch(count=Add(1), when=F.count == 5), counted, IF_APPLIED),
    "append": Write(PlainOrders, "UpdateItem", an_order, patch(words=Append("x")), lambda o: len(o.words), IF_APPLIED),
    "set, versioned": Write(Orders, "UpdateItem", an_order, patch(note="new"), versions, IF_APPLIED),
    # No times and no version: nothing tells.
    "add, no times": Write(Counters, "UpdateItem", a_counter, patch(total=Add(1)), counted, NEVER_SURE),
    "add, upsert": Write(Counters, "UpdateItem", None, patch(total=Add(1), upsert=True), total, NEVER_SURE),
    # The same however often it is applied.
    "set": Write(PlainOrders, "UpdateItem", an_order, patch(note="new"), noted, SURE),
    "set, if": Write(PlainOrders, "UpdateItem", an_order, patch(note="new", when=F.note != "new"), noted, SURE),
    "set, if, no times": Write(
        Counters, "UpdateItem", a_counter, patch(note="new", when=F.note != "new"), noted, IF_NOT_APPLIED
    ),
    "delete": Write(PlainOrders, "DeleteItem", an_order, lambda r, m: r.delete(*key_of(m)), gone, SURE),
    "delete, if": Write(
        PlainOrders, "DeleteItem", an_order, lambda r, m: r.delete(*key_of(m), when=F.count == 5), gone, IF_NOT_APPLIED
    ),
}  # fmt: skip

WAITED_FOR = ("create", "update, versioned", "add", "add, no times", "set", "delete, if")


@dataclass
class Attempted:
    """A write that was made under faults: what the caller was told, and what there is."""

    told: str
    error: Any
    times_applied: int
    result: object = None


def attempt(bench: Bench, case: Write, *faults: Fault, times: int | None = 1) -> Attempted:
    """Make a write whose attempts the faults befall, one after the other, and see what came of it."""
    hangs = any(fault.name.startswith(("hang", "applied late")) for fault in faults)
    repository = bench.through(case.repository_class, **({"timeout_seconds": SHORT} if hangs else {}))
    behind = bench.behind(case.repository_class)
    key = uuid4().hex
    if case.start is None:
        model = a_counter(key) if case.repository_class is Counters else an_order(key)
    else:
        model = behind.create(case.start(key))
    for fault in faults:
        bench.proxy.inject(fault, case.operation, times=times)
    told, error, result = DONE, None, None
    try:
        result = case.write(repository, model)
    except DynamoDBWrapperError as raised:
        told, error = (UNKNOWN if isinstance(raised, WriteOutcomeUnknownError) else FAILED), raised
    bench.proxy.settle()
    assert bench.proxy.injected.total() >= len(faults)
    return Attempted(told, error, case.times_applied(behind.get(*key_of(model), consistent=True)), result)


def each(faults: tuple[Fault, ...]) -> Any:
    return pytest.mark.parametrize("fault", [pytest.param(fault, id=fault.name) for fault in faults])


every_write = pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in WRITES.items()])


@every_write
@each(rules.REFUSALS)
def test_a_write_that_was_turned_away_is_sent_again(bench: Bench, case: Write, fault: Fault) -> None:
    made = attempt(bench, case, fault)
    assert (made.told, made.times_applied) == (DONE, 1)
    assert (bench.proxy.count(case.operation), bench.proxy.count_applied(case.operation)) == (2, 1)
    assert len(bench.pauses) == 1


@every_write
@each(rules.BROKEN_BEFORE)
def test_a_write_lost_on_its_way(bench: Bench, case: Write, fault: Fault) -> None:
    made = attempt(bench, case, fault)
    told = case.when_lost[False]
    assert (made.told, made.times_applied) == (told, 1 if told == DONE else 0)
    assert bench.proxy.count_applied(case.operation) == made.times_applied


@every_write
@each(rules.BROKEN_AFTER)
def test_a_write_whose_answer_is_lost(bench: Bench, case: Write, fault: Fault) -> None:
    made = attempt(bench, case, fault)
    assert (made.told, made.times_applied) == (case.when_lost[True], 1)


@pytest.mark.parametrize("name", WAITED_FOR)
@pytest.mark.parametrize("applied", [False, True])
def test_a_write_that_nobody_answers(bench: Bench, name: str, applied: bool) -> None:
    made = attempt(bench, WRITES[name], rules.hang(applied=applied))
    assert made.told == WRITES[name].when_lost[applied]
    assert made.times_applied == (1 if applied or made.told == DONE else 0)


@pytest.mark.parametrize("name", WAITED_FOR)
def test_a_write_that_arrives_after_its_caller_gave_up(bench: Bench, name: str) -> None:
    # The attempt after it may come first; a counter must still count once, and a version move once.
    made = attempt(bench, WRITES[name], rules.late())
    assert made.told in WRITES[name].when_lost.values()
    assert made.times_applied == 1


@every_write
@each(rules.REFUSALS)
def test_a_write_that_is_always_turned_away(bench: Bench, case: Write, fault: Fault) -> None:
    made = attempt(bench, case, fault, times=None)
    assert isinstance(made.error, ServerError if fault.name == "ServiceUnavailable" else ThrottlingError)
    assert (made.error.code, made.error.operation) == (fault.name, case.operation)
    assert (made.error.context["attempts"], bench.proxy.count(case.operation)) == (4, 4)
    assert "lost_answers" not in made.error.context
    assert (made.times_applied, bench.proxy.count_applied(case.operation)) == (0, 0)


@every_write
@each((rules.server_error(applied=True), rules.reset(applied=True), rules.truncated(), rules.corrupt()))
def test_a_write_that_is_never_answered(bench: Bench, case: Write, fault: Fault) -> None:
    made = attempt(bench, case, fault, times=None)
    if bench.proxy.count(case.operation) == 1:  # not repeatable: read back instead
        assert made.told == case.when_lost[True]
    else:  # sent again until the attempts ran out
        assert made.told == UNKNOWN
        assert made.error.context["attempts"] == bench.proxy.count(case.operation) == 4
        assert made.error.context["lost_answers"] >= 1
        assert isinstance(made.error.original_error, ConnectionError)
    assert made.times_applied == 1


@each((rules.throttle(), rules.throttle_on_demand()))
def test_throttling_gives_its_reasons(bench: Bench, fault: Fault) -> None:
    bench.proxy.inject(fault, "PutItem", times=None)
    with pytest.raises(ThrottlingError) as caught:
        bench.through(Orders).create(an_order(uuid4().hex))
    reasons = {
        "ProvisionedThroughputExceededException": "TableWriteProvisionedThroughputExceeded",
        "ThrottlingException": "TableWriteAccountLimitExceeded",
    }
    assert caught.value.reasons == (ThrottlingReason(reasons[fault.name], rules.TABLE_ARN),)


def test_the_server_says_how_long_to_wait(bench: Bench) -> None:
    bench.proxy.inject(rules.throttle(wait_ms=4000), "PutItem")
    bench.through(Orders).create(an_order(uuid4().hex))
    assert 4.0 <= bench.pauses[0] <= 5.0


def test_without_retries_the_first_refusal_is_the_last(bench: Bench) -> None:
    bench.proxy.inject(rules.throttle(), "PutItem")
    with pytest.raises(ThrottlingError):
        bench.through(Orders, retries=0).create(an_order(uuid4().hex))
    assert (bench.proxy.count("PutItem"), bench.pauses) == (1, [])


@every_write
def test_a_conflict_with_a_transaction_says_so_and_applies_nothing(bench: Bench, case: Write) -> None:
    made = attempt(bench, case, rules.conflict(), times=None)
    assert isinstance(made.error, TransactionConflictError)
    assert made.error.operation == case.operation
    assert "lost_answers" not in made.error.context
    assert made.times_applied == 0


def test_an_unknown_outcome_names_the_item_and_the_attempts(bench: Bench) -> None:
    key = uuid4().hex
    bench.behind(PlainOrders).create(an_order(key))
    bench.proxy.inject(rules.throttle(), "UpdateItem")
    bench.proxy.inject(rules.reset(applied=False), "UpdateItem")
    with pytest.raises(WriteOutcomeUnknownError) as caught:
        bench.through(PlainOrders).patch(key, "o1", count=Add(1))
    error = caught.value
    assert error.key == {"customer_id": key, "order_id": "o1"}
    assert error.operation == "UpdateItem"
    assert (error.context["attempts"], error.context["lost_answers"]) == (2, 1)
    assert isinstance(error.original_error, ConnectionError)


# --- one after the other --------------------------------------------------------------------------------------------


def test_a_delete_tells_what_its_last_attempt_found(bench: Bench) -> None:
    assert attempt(bench, WRITES["delete"], rules.reset(applied=False)).result is True
    assert attempt(bench, WRITES["delete"], rules.reset(applied=True)).result is False


def test_a_write_lost_then_turned_away_says_that_it_may_have_been_applied(bench: Bench) -> None:
    orders, key = bench.through(Orders), uuid4().hex
    bench.proxy.inject(rules.reset(applied=True), "PutItem")
    bench.proxy.inject(rules.throttle(), "PutItem", times=None)
    with pytest.raises(WriteOutcomeUnknownError) as caught:
        orders.create(an_order(key))
    assert caught.value.context["lost_answers"] == 1
    assert isinstance(caught.value.original_error, ThrottlingError)
    assert bench.behind(Orders).exists(key, "o1")


def test_an_increment_turned_away_then_lost_is_read_back(bench: Bench) -> None:
    made = attempt(bench, WRITES["add"], rules.throttle(), rules.unavailable(), rules.reset(applied=True))
    assert (made.told, made.times_applied) == (DONE, 1)
    made = attempt(bench, WRITES["add"], rules.throttle(), rules.unavailable(), rules.reset(applied=False))
    assert (made.told, made.times_applied) == (UNKNOWN, 0)


@each((rules.throttle(), rules.reset(applied=False), *rules.DAMAGED))
def test_reading_back_survives_faults_of_its_own(bench: Bench, fault: Fault) -> None:
    bench.proxy.inject(fault, "GetItem", times=2)
    made = attempt(bench, WRITES["add"], rules.reset(applied=True))
    assert (made.told, made.times_applied, bench.proxy.count("GetItem")) == (DONE, 1, 3)


@each((rules.throttle(), rules.server_error(applied=False)))
def test_when_reading_back_fails_the_outcome_is_unknown(bench: Bench, fault: Fault) -> None:
    bench.proxy.inject(fault, "GetItem", times=None)
    made = attempt(bench, WRITES["add"], rules.reset(applied=True))
    assert (made.told, made.times_applied) == (UNKNOWN, 1)


def test_every_answer_but_the_last_is_lost(bench: Bench) -> None:
    lost = [rules.reset(applied=True), rules.server_error(applied=True), rules.cut_short()]
    for name in ("create", "put, versioned", "update, versioned", "set", "set, if"):
        made = attempt(bench, WRITES[name], *lost)
        assert (name, made.told, made.times_applied) == (name, DONE, 1)


def test_a_create_whose_answers_all_arrive_in_half_without_a_checksum(bench: Bench) -> None:
    # The first says that it was done, the others that there is such an item: not that the create was refused.
    made = attempt(bench, WRITES["create"], rules.truncated_unchecked(), times=None)
    assert isinstance(made.error, WriteOutcomeUnknownError)
    assert made.times_applied == 1


@pytest.mark.parametrize("name", ["create, no times", "add", "add, no times", "delete, if"])
def test_an_answer_that_is_no_object_is_a_lost_answer(bench: Bench, name: str) -> None:
    made = attempt(bench, WRITES[name], rules.answered(b"[]"))
    assert (made.told, made.times_applied) == (WRITES[name].when_lost[True], 1)


@pytest.mark.parametrize("name", ["add", "add, no times", "set"])
def test_an_answer_without_the_new_item_is_a_lost_answer(bench: Bench, name: str) -> None:
    made = attempt(bench, WRITES[name], rules.answered(b"{}"))
    assert (made.told, made.times_applied) == (WRITES[name].when_lost[True], 1)


# --- with another writer in between ---------------------------------------------------------------------------------


def test_a_create_that_another_writer_beat_is_told(bench: Bench) -> None:
    key = uuid4().hex
    mine = an_order(key)
    bench.proxy.inject(
        Fault("beaten", lambda exchange: (bench.behind(Orders).create(an_order(key)), exchange.reset())[1]), "PutItem"
    )
    with pytest.raises(ItemAlreadyExistsError) as caught:
        bench.through(Orders).create(mine)
    assert caught.value.item == bench.behind(Orders).get_or_raise(key, "o1")
    assert mine.version == 0


def test_a_create_that_another_writer_changed_since_is_still_mine(bench: Bench) -> None:
    key = uuid4().hex

    def applied_then_changed(exchange: Any) -> None:
        exchange.forward()
        bench.behind(Orders).patch(key, "o1", note="theirs")
        exchange.reset()

    bench.proxy.inject(Fault("changed", applied_then_changed), "PutItem")
    created = bench.through(Orders).create(an_order(key))
    assert created.version == 1
    assert bench.behind(Orders).get_or_raise(key, "o1").version == 2


def test_a_lost_update_that_another_writer_beat_is_a_conflict(bench: Bench) -> None:
    key = uuid4().hex
    mine = bench.behind(Orders).create(an_order(key))

    def beaten(exchange: Any) -> None:
        bench.behind(Orders).patch(key, "o1", note="theirs")
        exchange.reset()

    bench.proxy.inject(Fault("beaten", beaten), "PutItem")
    with pytest.raises(VersionConflictError) as caught:
        bench.through(Orders).update(with_note(mine))
    assert caught.value.item.note == "theirs"
    assert mine.version == 1


def test_a_lost_update_under_a_later_one_is_unknown(bench: Bench) -> None:
    key = uuid4().hex
    mine = bench.behind(Orders).create(an_order(key))

    def applied_then_changed(exchange: Any) -> None:
        exchange.forward()
        bench.behind(Orders).patch(key, "o1", count=Add(1))
        exchange.reset()

    bench.proxy.inject(Fault("changed", applied_then_changed), "PutItem")
    with pytest.raises(WriteOutcomeUnknownError):
        bench.through(Orders).update(with_note(mine))
    stored = bench.behind(Orders).get_or_raise(key, "o1")
    assert (stored.note, stored.count, stored.version, mine.version) == ("new", 6, 3, 1)


def test_a_lost_increment_under_a_later_one_is_unknown(bench: Bench) -> None:
    for is_applied in (True, False):
        key = uuid4().hex
        bench.behind(PlainOrders).create(an_order(key))

        def another(exchange: Any, key: str = key, is_applied: bool = is_applied) -> None:
            if is_applied:
                exchange.forward()
            bench.behind(PlainOrders).patch(key, "o1", count=Add(10))
            exchange.reset()

        bench.proxy.inject(Fault("another", another), "UpdateItem")
        with pytest.raises(WriteOutcomeUnknownError):
            bench.through(PlainOrders).patch(key, "o1", count=Add(1))
        assert bench.behind(PlainOrders).get_or_raise(key, "o1").count == 15 + is_applied


def test_a_failed_condition_is_never_sent_again(bench: Bench) -> None:
    key = uuid4().hex
    bench.behind(PlainOrders).create(an_order(key))
    with pytest.raises(ConditionFailedError):
        bench.through(PlainOrders).patch(key, "o1", note="new", when=F.count == 6)
    assert bench.proxy.count("UpdateItem") == 1


def test_the_quota_ends_the_retries_of_a_failing_server(bench: Bench) -> None:
    orders = bench.through(Orders)
    bench.proxy.inject(rules.unavailable(), "PutItem", times=None)
    for number in count():
        with pytest.raises(ConnectionError) as caught:
            orders.create(an_order(uuid4().hex))
        if caught.value.context.get("retry_quota") == "exhausted" and caught.value.context["attempts"] == 1:
            break
        assert number < 20, "every call is still tried again"
    bench.proxy.calm()
    assert orders.create(an_order(uuid4().hex)).version == 1
