"""What the testing kit injects is what the proxy injects on the wire: the same requests, the same outcomes."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from dynamodb_wrapper import Add, DynamoDBConfig, DynamoDBWrapperError, transact_write
from dynamodb_wrapper.testing import Faults, Stage
from dynamodb_wrapper.transport import SyncDriver, connection_for
from dynamodb_wrapper.transport.failures import hint_of
from tests import servers
from tests.faults import rules
from tests.faults.bench import SHORT, Counter, Counters
from tests.faults.proxy import Fault, Proxy

THROTTLED = (
    "The level of configured provisioned throughput for the table was exceeded. Consider increasing your provisioning "
    "level with the UpdateTable API."
)
CONFLICT = "Transaction is ongoing for the item"


def put(counters: Counters) -> Any:
    return counters.put(Counter(name="c", total=5))


def get(counters: Counters) -> Any:
    return counters.get("c")


def add(counters: Counters) -> Any:
    return counters.patch("c", total=Add(1), upsert=True)


def put_many(counters: Counters) -> Any:
    return counters.put_many(Counter(name=f"c{number}") for number in range(5))


def get_many(counters: Counters) -> Any:
    return counters.get_many([f"c{number}" for number in range(5)])


def transact(counters: Counters) -> Any:
    return transact_write([counters.put_request(Counter(name="a")), counters.put_request(Counter(name="b"))])


def throttled(call: str) -> Fault:
    reasons = [
        {
            "reason": f"Table{call}ProvisionedThroughputExceeded",
            "resource": "arn:aws:dynamodb:us-east-1:123456789012:table/TABLE",
        }
    ]
    return rules.refusal("ProvisionedThroughputExceededException", THROTTLED, ThrottlingReasons=reasons)


@dataclass(frozen=True)
class Case:
    on_the_wire: Fault
    injected: Callable[[Faults, int | None], object]
    call: Callable[[Counters], Any]


CASES = {
    "throttled write": Case(throttled("Write"), lambda faults, times: faults.throttle(times), put),
    "throttled read": Case(throttled("Read"), lambda faults, times: faults.throttle(times), get),
    "throttled batch": Case(throttled("Write"), lambda faults, times: faults.throttle(times), put_many),
    "503": Case(rules.unavailable(), lambda faults, times: faults.unavailable(times), add),
    "500": Case(rules.server_error(applied=False), lambda faults, times: faults.server_error(times), put),
    "500 of what cannot be repeated": Case(
        rules.server_error(applied=True), lambda faults, times: faults.server_error(times, applied=True), add
    ),
    "conflict": Case(
        rules.refusal("TransactionConflictException", CONFLICT), lambda faults, times: faults.conflict(times), add
    ),
    "lost answer": Case(rules.reset(applied=True), lambda faults, times: faults.lose_response_of(None, times), put),
    "lost answer of what cannot be repeated": Case(
        rules.reset(applied=True), lambda faults, times: faults.lose_response_of(None, times), add
    ),
    "lost request": Case(rules.reset(applied=False), lambda faults, times: faults.lose_request_of(None, times), add),
    "lost answer of a read": Case(
        rules.hang_up(applied=True), lambda faults, times: faults.lose_response_of(None, times), get
    ),
    "time-out": Case(rules.hang(applied=False), lambda faults, times: faults.time_out(times), get),
    "time-out of a write": Case(
        rules.hang(applied=True), lambda faults, times: faults.time_out(times, applied=True), add
    ),
    "no access": Case(
        rules.refusal("AccessDeniedException", "no"),
        lambda faults, times: faults.refuse("AccessDeniedException", "no", times=times),
        get,
    ),
    "all entries left over": Case(
        rules.leftovers(0), lambda faults, times: faults.leave_unprocessed(None, times), put_many
    ),
    "all keys left over": Case(
        rules.leftovers(0), lambda faults, times: faults.leave_unprocessed(None, times), get_many
    ),
}


@dataclass
class Run:
    """What became of a call."""

    result: Any
    error: DynamoDBWrapperError | None
    operations: list[str]
    stored: list[Any]


@pytest.fixture(scope="module")
def proxy(moto_server: servers.RunningServer) -> Iterator[Proxy]:
    assert moto_server.endpoint_url is not None
    proxy = Proxy(moto_server.endpoint_url)
    yield proxy
    proxy.close()


def outcome_of(call: Callable[[Counters], Any], counters: Counters) -> tuple[Any, DynamoDBWrapperError | None]:
    try:
        return call(counters), None
    except DynamoDBWrapperError as error:
        return None, error


def through_the_proxy(case: Case, times: int | None, proxy: Proxy, server: servers.Server, transport: str) -> Run:
    direct = Counters(server.config())
    direct.ensure_table()
    proxy.received.clear()
    proxy.inject(case.on_the_wire, times=times)
    config = server.config(endpoint_url=proxy.url, transport=transport, timeout_seconds=SHORT)
    connection = connection_for(config)
    connection.driver = SyncDriver(connection._lane, connection._policy, sleep=lambda seconds: None)
    result, error = outcome_of(case.call, Counters(config))
    proxy.calm()
    proxy.release()
    proxy.settle()
    connection.close()
    operations = [request.operation for request in proxy.received]
    stored = sorted(direct.list_all(), key=lambda counter: counter.name)
    direct.delete_table()
    return Run(result, error, operations, stored)


def in_the_kit(case: Case, times: int | None, config: DynamoDBConfig) -> Run:
    stage = Stage(config.model_copy(update={"timeout_seconds": SHORT}))
    with stage.entered():
        (counters,) = stage.tables(Counters)
        case.injected(stage.faults, times)
        result, error = outcome_of(case.call, counters)
        operations = [request.operation for request in stage.requests.all]
        stage.faults.clear()
        stored = sorted(counters.list_all(), key=lambda counter: counter.name)
        counters.delete_table()
    return Run(result, error, operations, stored)


def described(error: DynamoDBWrapperError | None, table_name: str) -> Any:
    """All that is known of an error, without what is another each time."""
    if error is None:
        return None
    known = {**vars(error), "text": str(error), "kind": type(error), "hint": hint_of(error)}
    known["cause"] = (
        described(error.__cause__, table_name) if isinstance(error.__cause__, DynamoDBWrapperError) else None
    )
    for name in ("original_error", "_hint", "request_id", "__notes__"):
        known.pop(name, None)
    known["has_request_id"] = error.request_id is not None
    known["context"] = {name: value for name, value in error.context.items() if name != "request_id"}
    text = re.sub(r"request_id='\w+'", "request_id=ID", repr(known))
    text = re.sub(r"http://127.0.0.1:\d+|embedded://\w+", "ENDPOINT", text)
    return re.sub(r"table/\w+", "table/TABLE", text.replace(table_name, "TABLE"))


@pytest.mark.parametrize("times", [1, None], ids=["once", "always"])
@pytest.mark.parametrize("transport", ["direct", "botocore"])
@pytest.mark.parametrize("case", CASES.values(), ids=CASES)
def test_the_kit_and_the_wire_agree(
    case: Case, transport: str, times: int | None, proxy: Proxy, moto_server: servers.RunningServer
) -> None:
    server = servers.Server(moto_server)
    wire = through_the_proxy(case, times, proxy, server, transport)
    kit = in_the_kit(case, times, server.config(transport=transport))
    table_name = server.config().get_table_name("counters")
    assert described(kit.error, table_name) == described(wire.error, table_name)
    assert (kit.result, kit.operations, kit.stored) == (wire.result, wire.operations, wire.stored)
    assert wire.operations


def test_a_part_of_a_batch(proxy: Proxy, moto_server: servers.RunningServer) -> None:
    server = servers.Server(moto_server)
    for call in (put_many, get_many):
        case = Case(rules.leftovers(4), lambda faults, times: faults.leave_unprocessed(1, times), call)
        wire = through_the_proxy(case, 1, proxy, server, "direct")
        kit = in_the_kit(case, 1, server.config())
        assert (kit.result, kit.operations, kit.stored) == (wire.result, wire.operations, wire.stored)
        assert len(wire.operations) == 2
