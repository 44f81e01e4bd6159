"""Several writers at once: nobody's change is lost. Not on moto's server, which has no item lock."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier
from typing import Any, TypeVar

import pytest

from dynamodb_wrapper import (
    Add,
    Append,
    ConditionFailedError,
    F,
    ItemAlreadyExistsError,
    ItemNotFoundError,
    VersionConflictError,
)
from tests import servers
from tests.contract.shop import Make, Orders, PlainOrders, maker, order

R = TypeVar("R")

THREADS = 8
SERVERS = sorted({*servers.chosen(), "embedded"} - {"moto"})


@pytest.fixture(scope="module", params=SERVERS)
def locking_server(request: pytest.FixtureRequest) -> servers.RunningServer:
    running: servers.RunningServer = request.getfixturevalue(f"{request.param}_server")
    return running


@pytest.fixture
def make(locking_server: servers.RunningServer) -> Iterator[Make]:
    server = servers.Server(locking_server)
    yield maker(server)
    server.clean_up()


def at_once(work: Callable[[int], R]) -> list[R | Exception]:
    """Run work(0) to work(7) in threads that start together; what they return or raise, in order."""
    barrier = Barrier(THREADS)

    def started(number: int) -> R | Exception:
        barrier.wait(30)
        try:
            return work(number)
        except (ConditionFailedError, ItemNotFoundError) as error:
            return error

    with ThreadPoolExecutor(THREADS) as pool:
        return list(pool.map(started, range(THREADS)))


def test_no_increment_is_lost(make: Make) -> None:
    orders = make(Orders)
    orders.create(order())

    def work(number: int) -> None:
        for turn in range(10):
            orders.patch("c1", "o1", count=Add(1), tags=Add({f"{number}"}), words=Append(f"{number}/{turn}"))

    assert at_once(work) == [None] * THREADS
    result = orders.get_or_raise("c1", "o1")
    assert result.count == THREADS * 10
    assert result.version == 1 + THREADS * 10
    assert result.tags == {str(number) for number in range(THREADS)}
    assert len(set(result.words)) == len(result.words) == THREADS * 10


def test_exactly_one_writer_wins_each_version(make: Make) -> None:
    orders = make(Orders)
    orders.create(order(count=0))

    def work(number: int) -> int:
        mine = orders.get_or_raise("c1", "o1", consistent=True)
        barrier.wait(30)
        mine.note = str(number)
        return orders.update(mine).version

    for turn in range(5):
        barrier = Barrier(THREADS)
        outcomes = at_once(work)
        winners = [number for number, outcome in enumerate(outcomes) if outcome == turn + 2]
        losers = [outcome for outcome in outcomes if isinstance(outcome, VersionConflictError)]
        assert (len(winners), len(losers)) == (1, THREADS - 1)
        stored = orders.get_or_raise("c1", "o1")
        assert (stored.version, stored.note) == (turn + 2, str(winners[0]))
        assert {loser.item.note for loser in losers if loser.item is not None} == {stored.note}


def test_a_loop_of_read_and_update_loses_nothing(make: Make) -> None:
    orders = make(Orders)
    orders.create(order(count=0))

    def work(number: int) -> int:
        conflicts = 0
        for _ in range(5):
            while True:
                mine = orders.get_or_raise("c1", "o1", consistent=True)
                mine.count += 1
                try:
                    orders.update(mine)
                    break
                except VersionConflictError:
                    conflicts += 1
        return conflicts

    at_once(work)
    result = orders.get_or_raise("c1", "o1")
    assert (result.count, result.version) == (THREADS * 5, THREADS * 5 + 1)


def test_exactly_one_create_wins(make: Make) -> None:
    orders = make(Orders)
    for turn in range(5):
        outcomes = at_once(lambda number, turn=turn: orders.create(order("c1", f"o{turn}", note=str(number))))
        winners = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
        losers = [outcome for outcome in outcomes if isinstance(outcome, ItemAlreadyExistsError)]
        assert (len(winners), len(losers)) == (1, THREADS - 1)
        assert orders.get("c1", f"o{turn}") == winners[0]
        assert all(loser.item == winners[0] for loser in losers)


def test_exactly_one_conditional_change_wins(make: Make) -> None:
    plain = make(PlainOrders)
    plain.create(order(count=5))
    outcomes: list[Any] = at_once(
        lambda number: plain.patch("c1", "o1", count=Add(-1), note=str(number), when=F.count >= 3)
    )
    assert sum(not isinstance(outcome, Exception) for outcome in outcomes) == 3
    assert plain.get_or_raise("c1", "o1").count == 2
    deleted = at_once(lambda number: plain.delete("c1", "o1", when=F.count == 2))
    assert deleted.count(True) == 1


def test_exactly_one_ensure_table_makes_it(make: Make) -> None:
    config = make(PlainOrders).config

    class Others(Orders):
        table_name = "others"

    assert sorted(at_once(lambda number: Others(config).ensure_table())) == [False] * (THREADS - 1) + [True]
    assert Others(config).create(order()).version == 1


def test_a_repository_is_shared_between_threads(make: Make) -> None:
    orders = make(Orders)

    def work(number: int) -> int:
        for turn in range(10):
            orders.create(order(f"c{number}", f"o{turn}"))
        return orders.query(f"c{number}").page_size(3).count() + len(list(orders.query(f"c{number}").page_size(4)))

    assert at_once(work) == [20] * THREADS
    assert orders.count() == THREADS * 10
