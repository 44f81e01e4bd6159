"""The connection under faults: idle sockets, a server that goes away, time limits, credentials that rotate."""

from __future__ import annotations

import stat
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import uuid4

import pytest

from dynamodb_wrapper import (
    Add,
    ConnectionError,
    CredentialsError,
    DynamoDBConfig,
    DynamoDBWrapperError,
    WriteOutcomeUnknownError,
)
from dynamodb_wrapper.transport import connection_for
from tests.contract.shop import Orders, PlainOrders, order
from tests.faults import rules
from tests.faults.bench import SHORT, Bench, Counter, Counters
from tests.faults.proxy import Fault
from tests.timing import in_time, until

THREADS = 8


@pytest.mark.parametrize("times", [1, 3])
def test_a_connection_closed_while_idle_is_replaced_and_an_increment_is_sent_once(bench: Bench, times: int) -> None:
    name = uuid4().hex
    bench.behind(Counters).create(Counter(name=name))
    counters = bench.through(Counters)
    for turn in range(1, times + 1):
        assert counters.patch(name, total=Add(1)).total == turn
        assert bench.proxy.close_idle() >= 1
    assert bench.behind(Counters).get_or_raise(name).total == times
    assert bench.proxy.count("UpdateItem") == times
    assert bench.pauses == []


def test_a_pool_of_connections_closed_while_idle_is_replaced(bench: Bench) -> None:
    name = uuid4().hex
    bench.behind(Counters).create(Counter(name=name))
    counters = bench.through(Counters)
    bench.proxy.inject(rules.slow(0.1), "GetItem", times=THREADS)  # so that all are needed at once
    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(lambda _: counters.get(name), range(THREADS)))
        assert bench.proxy.close_idle() >= THREADS
        list(pool.map(lambda _: counters.patch(name, total=Add(1)), range(THREADS)))
    assert bench.behind(Counters).get_or_raise(name).total == bench.proxy.count("UpdateItem") == THREADS


def test_a_connection_closed_just_as_a_write_is_sent_is_a_lost_answer(bench: Bench) -> None:
    # The server closes it at the moment the request arrives: from here it looks like the idle case, but is not.
    name = uuid4().hex
    bench.behind(Counters).create(Counter(name=name))
    counters = bench.through(Counters)
    counters.get(name)
    bench.proxy.inject(rules.hang_up(applied=True), "UpdateItem")
    with pytest.raises(WriteOutcomeUnknownError):
        counters.patch(name, total=Add(1))
    assert bench.behind(Counters).get_or_raise(name).total == 1


def test_a_connection_is_not_used_again_after_half_an_answer(bench: Bench) -> None:
    first, second = uuid4().hex, uuid4().hex
    for key in (first, second):
        bench.behind(Orders).create(order(key, "o1", note=key))

    def half_now_half_later(exchange: object) -> None:
        answer = exchange.forward()  # type: ignore[attr-defined]
        raw = answer.head(length=len(answer.body)) + answer.body
        exchange.send(raw[:-20])  # type: ignore[attr-defined]
        time.sleep(SHORT + 0.1)
        exchange.send(raw[-20:])  # type: ignore[attr-defined]

    bench.proxy.inject(Fault("in two halves", half_now_half_later), "GetItem")
    orders = bench.through(Orders, timeout_seconds=SHORT)
    assert orders.get_or_raise(first, "o1").note == first
    assert orders.get_or_raise(second, "o1").note == second
    assert bench.proxy.count("GetItem") == 3


def test_a_server_that_goes_away_and_comes_back(bench: Bench) -> None:
    key = uuid4().hex
    bench.behind(PlainOrders).create(order(key, "o1"))
    orders = bench.through(PlainOrders, timeout_seconds=1.0, connect_timeout_seconds=1.0)
    assert orders.health_check()
    bench.proxy.go_away()
    try:
        assert not orders.health_check(timeout_seconds=1.0)
        with pytest.raises(ConnectionError) as caught:
            orders.get(key, "o1")
        # It was never sent, so it is certain that nothing was applied, though an increment cannot be repeated.
        with pytest.raises(ConnectionError) as refused:
            orders.patch(key, "o1", count=Add(1))
    finally:
        bench.proxy.come_back()
    assert bench.proxy.url in str(caught.value)
    assert caught.value.context["attempts"] == refused.value.context["attempts"] == 4
    assert "lost_answers" not in refused.value.context
    assert orders.health_check()
    assert orders.patch(key, "o1", count=Add(1)).count == 1


def test_threads_write_on_while_the_server_comes_and_goes(bench: Bench) -> None:
    customer = uuid4().hex
    orders = bench.through(Orders, timeout_seconds=1.0, connect_timeout_seconds=1.0)
    stop = threading.Event()
    acknowledged: list[str] = []

    def write(number: int) -> None:
        turn = 0
        while not stop.is_set():
            turn += 1
            try:
                acknowledged.append(orders.create(order(customer, f"{number}-{turn}")).order_id)
            except ConnectionError:
                time.sleep(0.005)

    with ThreadPoolExecutor(4) as pool:
        writers = [pool.submit(write, number) for number in range(4)]
        for _ in range(3):
            time.sleep(0.15)
            bench.proxy.go_away()
            time.sleep(0.05)
            bench.proxy.come_back()
        before = len(acknowledged)
        try:
            until(lambda: len(acknowledged) >= before + 10)  # it is written to again
        finally:
            stop.set()
    assert [writer.result() for writer in writers] == [None] * 4
    bench.proxy.settle()
    stored = {entry.order_id for entry in bench.behind(Orders).query(customer)}
    assert set(acknowledged) <= stored


@pytest.mark.parametrize("operation", ["GetItem", "PutItem", "UpdateItem"])
def test_a_server_that_never_answers_takes_no_longer_than_its_attempts(bench: Bench, operation: str) -> None:
    key = uuid4().hex
    orders = bench.through(Orders, timeout_seconds=SHORT, retries=1)
    act = {
        "GetItem": lambda: orders.get(key, "o1"),
        "PutItem": lambda: orders.create(order(key, "o1")),
        "UpdateItem": lambda: orders.patch(key, "o1", count=Add(1)),
    }
    bench.proxy.inject(rules.hang(applied=False), times=None)
    # An update is sent once and read back twice, the others are sent twice.
    with in_time(), pytest.raises(DynamoDBWrapperError) as caught:
        act[operation]()
    assert caught.value.context["lost_answers"] == (1 if operation == "UpdateItem" else 2)
    bench.proxy.calm()
    assert orders.get(key, "o1") is None


def test_health_is_told_within_its_time_limit(bench: Bench) -> None:
    orders = bench.through(Orders)
    bench.proxy.inject(rules.hang(applied=False), times=1)
    with in_time():
        assert not orders.health_check(timeout_seconds=0.2)
    bench.proxy.release()
    assert orders.health_check()


# --- credentials ----------------------------------------------------------------------------------------------------


def rotating(bench: Bench, folder: Path, monkeypatch: pytest.MonkeyPatch, *, seconds: int) -> DynamoDBConfig:
    """A configuration whose credentials come from a program, new ones each time, valid for so many seconds."""
    program = folder / "credentials"
    program.write_text(
        f"#!{sys.executable} -IS\n"
        "import json, time\n"
        f"until = time.strftime('%Y-%m-%dT%H:%M:%SZ', time.gmtime(time.time() + {seconds}))\n"
        "key = {'Version': 1, 'AccessKeyId': f'KEY{time.time_ns()}', 'SecretAccessKey': 's', 'SessionToken': 't'}\n"
        "print(json.dumps({**key, 'Expiration': until}))\n"
    )
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    (folder / "config").write_text(f"[profile rotating]\ncredential_process = {program}\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(folder / "config"))
    return DynamoDBConfig(
        endpoint_url=bench.proxy.url,
        region_name="us-east-1",
        profile_name="rotating",
        table_prefix=bench.server.table_prefix,
        transport=bench.transport,  # type: ignore[arg-type]
    )


def test_credentials_rotate_under_load(bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    config = rotating(bench, tmp_path, monkeypatch, seconds=2)  # near enough to their end to be renewed at once
    orders, customer = Orders(config), uuid4().hex

    def write(number: int) -> None:
        for turn in range(2):
            orders.create(order(customer, f"{number}-{turn}"))
            orders.patch(customer, f"{number}-{turn}", count=Add(1))

    with ThreadPoolExecutor(THREADS) as pool:
        assert list(pool.map(write, range(THREADS))) == [None] * THREADS
    stored = bench.behind(Orders).query(customer).all()
    assert (len(stored), {entry.count for entry in stored}) == (THREADS * 2, {1})
    assert bench.proxy.count("UpdateItem") == THREADS * 2
    assert len({request.access_key for request in bench.proxy.received}) > 1
    connection_for(config).close()


def test_credentials_that_expired_say_so_and_are_not_sent_again(bench: Bench) -> None:
    bench.proxy.inject(rules.refusal("ExpiredTokenException", "The security token included in the request is expired"))
    with pytest.raises(CredentialsError, match="renew the credentials"):
        bench.through(Orders).create(order(uuid4().hex, "o1"))
    assert bench.proxy.count("PutItem") == 1
