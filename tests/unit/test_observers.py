"""Who hears of requests, and what they hear."""

from __future__ import annotations

import dataclasses
import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from dynamodb_wrapper.exceptions import (
    ConditionFailedError,
    ConnectionError,
    ThrottlingError,
    ValidationError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.operations.capacity import ConsumedCapacity, TableCapacity
from dynamodb_wrapper.operations.effects import Call, Flow, Response, call, together
from dynamodb_wrapper.transport import RequestEvent, RequestMetrics, RetryPolicy, Server, SyncDriver, observe

READ = {
    "TableName": "orders",
    "CapacityUnits": 1.5,
    "Table": {"CapacityUnits": 0.5},
    "GlobalSecondaryIndexes": {"by_status": {"CapacityUnits": 1.0}},
}
SERVER = Server("dynamodb.eu-west-1.amazonaws.com", 443, "eu-west-1")


class Lane:
    """Answers from a list; an exception in it is raised."""

    def __init__(self, *answers: Response | Exception) -> None:
        self.sent: list[Call] = []
        self._answers: Iterator[Response | Exception] = iter(answers)

    def send(self, call: Call, time_left: float | None = None) -> Response:
        self.sent.append(call)
        answer = next(self._answers)
        if isinstance(answer, Exception):
            raise answer
        return answer


def driver(lane: Lane, **options: Any) -> SyncDriver:
    return SyncDriver(lane, RetryPolicy(jitter=lambda: 0.0), server=lambda: SERVER, **options)


def test_a_hook_hears_what_where_how_often_and_at_what_price() -> None:
    throttled = ThrottlingError("slow").answered(operation="Query", request_id="R1", code="ThrottlingException")
    lane = Lane(throttled, ConnectionError("x"), {"ConsumedCapacity": READ, "ResponseMetadata": {"RequestId": "R3"}})
    heard: list[RequestEvent] = []
    with observe(heard.append):
        driver(lane).run(call("Query", {"TableName": "orders", "IndexName": "by_status"}, key={"p": "secret"}))
    (event,) = heard
    assert dataclasses.replace(event, duration_ms=0) == RequestEvent(
        operation="Query",
        table_name="orders",
        table_names=("orders",),
        index_name="by_status",
        duration_ms=0,
        attempts=3,
        failures=("ThrottlingException", "ConnectionError"),
        outcome="ok",
        code=None,
        request_id="R3",
        consumed_capacity=ConsumedCapacity(1.5, 1.5, 0.0, (TableCapacity("orders", 1.5, 0.5, {}, {"by_status": 1.0}),)),
        server=SERVER,
    )
    assert event.duration_ms >= 0
    assert "secret" not in repr(event)


def test_a_hook_hears_of_failures() -> None:
    refused = ConditionFailedError("no").answered(operation="PutItem", request_id="R1", code="ConditionalCheckFailed")
    heard: list[RequestEvent] = []
    with observe(heard.append):
        with pytest.raises(ConditionFailedError):
            driver(Lane(refused)).run(call("PutItem", {}))
        with pytest.raises(WriteOutcomeUnknownError):
            driver(Lane(ConnectionError("reset"))).run(call("UpdateItem", {}, repeatable=False))
        with pytest.raises(ZeroDivisionError):
            driver(Lane(ZeroDivisionError())).run(call("GetItem", {}))
    first, second, third = heard
    assert (first.outcome, first.code, first.request_id, first.attempts) == (
        "ConditionFailedError",
        "ConditionalCheckFailed",
        "R1",
        1,
    )
    assert (second.outcome, second.failures) == ("WriteOutcomeUnknownError", ("ConnectionError",))
    assert (third.outcome, third.code) == ("ZeroDivisionError", None)


def test_a_hook_is_called_once_a_call_in_the_calling_thread_until_it_is_closed() -> None:
    heard: list[str] = []
    subscription = observe(lambda event: heard.append(threading.current_thread().name))
    twice = observe(lambda event: heard.append("again"))
    driver(Lane({})).run(call("GetItem", {}))
    assert heard == [threading.current_thread().name, "again"]
    subscription.close()
    subscription.close()
    driver(Lane({})).run(call("GetItem", {}))
    assert heard[2:] == ["again"]
    twice.close()
    driver(Lane({})).run(call("GetItem", {}))
    assert len(heard) == 3


def test_the_same_hook_twice_is_two_subscriptions() -> None:
    heard: list[RequestEvent] = []
    with observe(heard.append), observe(heard.append) as inner:
        inner.close()
        driver(Lane({})).run(call("GetItem", {}))
    assert len(heard) == 1


def test_a_hook_that_fails_is_logged_once_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    heard: list[RequestEvent] = []

    def broken(event: RequestEvent) -> None:
        raise ValueError("a bug in the hook")

    with observe(broken), observe(heard.append):
        for _ in range(3):
            assert driver(Lane({"Item": {}})).run(call("GetItem", {})) == {"Item": {}}
    assert len(heard) == 3
    (record,) = caplog.records
    assert (record.levelname, record.name) == ("ERROR", "dynamodb_wrapper.transport")
    assert "a bug in the hook" in caplog.text


def test_a_hook_is_something_to_call() -> None:
    with pytest.raises(ValidationError, match="not str"):
        observe("print")  # type: ignore[arg-type]


def test_requests_of_a_hook_are_not_observed() -> None:
    heard: list[str] = []

    def asking(event: RequestEvent) -> None:
        heard.append(event.operation)
        driver(Lane({}, {})).run(together([call("PutItem", {}), call("PutItem", {})], at_most=2))

    with observe(asking):
        driver(Lane({})).run(call("GetItem", {}))
    assert heard == ["GetItem"]


def test_requests_of_flows_together_are_observed() -> None:
    heard: list[RequestEvent] = []
    with observe(heard.append):
        driver(Lane({}, {}, {})).run(together((call("GetItem", {}) for _ in range(3)), at_most=2))
    assert [event.operation for event in heard] == ["GetItem"] * 3


# --- capacity --------------------------------------------------------------------------------------------------------


def asked(lane: Lane) -> list[object]:
    return [sent.params.get("ReturnConsumedCapacity") for sent in lane.sent]


def test_capacity_is_asked_for_while_somebody_listens(caplog: pytest.LogCaptureFixture) -> None:
    lane = Lane(*[{}] * 4)
    driver(lane).run(call("GetItem", {}))
    with observe(lambda event: None):
        driver(lane).run(call("GetItem", {}))
    with caplog.at_level(logging.DEBUG, logger="dynamodb_wrapper.transport"):
        driver(lane).run(call("GetItem", {}))
    driver(lane, reports_capacity=True).run(call("GetItem", {}))
    assert asked(lane) == [None, "INDEXES", "INDEXES", "INDEXES"]


def test_what_the_caller_asks_for_holds_and_the_callers_params_are_not_changed() -> None:
    lane = Lane({}, {})
    params = {"TableName": "t"}
    reporting = driver(lane, reports_capacity=True)
    reporting.run(call("PutItem", params))
    reporting.run(call("PutItem", {"ReturnConsumedCapacity": "NONE"}))
    assert asked(lane) == ["INDEXES", "NONE"]
    assert params == {"TableName": "t"}


def test_only_operations_that_consume_are_asked() -> None:
    lane = Lane({}, {}, {})
    for operation in ("DescribeTable", "ListTables", "CreateTable"):
        driver(lane, reports_capacity=True).run(call(operation, {}))
    assert asked(lane) == [None, None, None]


def test_a_flow_asks_in_all_its_requests_or_in_none() -> None:
    """A transaction that is sent again with its token must be the same request."""
    lane = Lane({}, {}, {}, {})

    def flow() -> Flow[None]:
        yield from call("TransactWriteItems", {"ClientRequestToken": "T"})
        subscriptions.append(observe(lambda event: None))
        yield from call("TransactWriteItems", {"ClientRequestToken": "T"})
        subscriptions.pop(0).close()

    subscriptions = []
    driver(lane).run(flow())
    subscriptions.append(observe(lambda event: None))
    driver(lane).run(flow())
    for subscription in subscriptions:
        subscription.close()
    assert asked(lane) == [None, None, "INDEXES", "INDEXES"]


def test_capacity_of_one_table_of_several_and_of_none() -> None:
    assert ConsumedCapacity.of("GetItem", {}) is None
    assert ConsumedCapacity.of("BatchGetItem", {"ConsumedCapacity": []}) is None
    bare = ConsumedCapacity.of("PutItem", {"ConsumedCapacity": {"TableName": "t", "CapacityUnits": 2.0}})
    assert bare == ConsumedCapacity(2.0, 0.0, 2.0, (TableCapacity("t", 2.0),))
    several = ConsumedCapacity.of("BatchGetItem", {"ConsumedCapacity": [READ, {**READ, "TableName": "items"}]})
    assert several is not None
    assert (several.total, several.read, several.write) == (3.0, 3.0, 0.0)
    assert [table.table_name for table in several.tables] == ["orders", "items"]


def test_a_transaction_says_which_units_it_consumed() -> None:
    entry = {"TableName": "t", "CapacityUnits": 2.0, "ReadCapacityUnits": 2.0, "WriteCapacityUnits": 0.0}
    repeated = ConsumedCapacity.of("TransactWriteItems", {"ConsumedCapacity": [entry]})
    assert repeated is not None
    assert (repeated.read, repeated.write) == (2.0, 0.0)


def test_capacities_add_up_by_table_and_index() -> None:
    one = ConsumedCapacity.of("Query", {"ConsumedCapacity": READ})
    assert one is not None
    local = {"TableName": "orders", "CapacityUnits": 1.0, "LocalSecondaryIndexes": {"by_date": {"CapacityUnits": 1.0}}}
    other = ConsumedCapacity.of("Query", {"ConsumedCapacity": local})
    assert one + None == one
    assert one + other == ConsumedCapacity(
        2.5, 2.5, 0.0, (TableCapacity("orders", 2.5, 0.5, {"by_date": 1.0}, {"by_status": 1.0}),)
    )


# --- the log ---------------------------------------------------------------------------------------------------------


def test_the_log_has_the_fields_of_the_event_and_capacity_as_plain_values(caplog: pytest.LogCaptureFixture) -> None:
    lane = Lane({"ConsumedCapacity": READ, "ResponseMetadata": {"RequestId": "R1"}})
    with caplog.at_level(logging.DEBUG, logger="dynamodb_wrapper.transport"):
        driver(lane).run(call("Query", {"TableName": "orders", "IndexName": "by_status"}))
    (record,) = caplog.records
    fields = record.__dict__
    assert (fields["operation"], fields["table_name"], fields["index_name"]) == ("Query", "orders", "by_status")
    assert (fields["attempts"], fields["failures"], fields["outcome"], fields["code"]) == (1, (), "ok", None)
    assert fields["consumed_capacity"]["total"] == 1.5
    assert fields["consumed_capacity"]["tables"][0]["global_indexes"] == {"by_status": 1.0}
    assert "operation=Query table_name=orders index_name=by_status attempts=1" in record.getMessage()
    assert record.getMessage().endswith("capacity=1.5 outcome=ok")


# --- counts ----------------------------------------------------------------------------------------------------------


def test_metrics_count_by_operation_and_table() -> None:
    lane = Lane(ThrottlingError("slow"), {"ConsumedCapacity": READ}, ConditionFailedError("no"), {})
    metrics = RequestMetrics()
    with observe(metrics):
        driver(lane).run(call("Query", {"TableName": "orders"}))
        with pytest.raises(ConditionFailedError):
            driver(lane).run(call("PutItem", {"TableName": "orders"}))
        driver(lane).run(call("ListTables", {}))
    counts = metrics.snapshot()
    query, put, tables = counts["Query", "orders"], counts["PutItem", "orders"], counts["ListTables", None]
    assert (query.requests, query.errors, query.retries, query.capacity) == (1, 0, 1, 1.5)
    assert (put.requests, put.errors, put.retries, put.capacity) == (1, 1, 0, 0.0)
    assert (tables.requests, tables.errors) == (1, 0)
    assert 0 <= query.longest_ms <= query.duration_ms


def test_threads_count_together() -> None:
    class Answering:
        def send(self, call: Call, time_left: float | None = None) -> Response:
            return {}

    metrics = RequestMetrics()
    with observe(metrics):
        SyncDriver(Answering()).run(together((call("GetItem", {}) for _ in range(400)), at_most=8))
    assert metrics.snapshot()["GetItem", None].requests == 400
