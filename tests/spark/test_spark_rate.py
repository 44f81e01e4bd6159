"""The rate limit: what all tasks of a machine consume together, on a clock of our own."""

from __future__ import annotations

import heapq
import itertools
import multiprocessing
import random
from pathlib import Path

import pytest

from dynamodb_wrapper.spark.rate import Account, Limit


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def consumed(
    tasks: int, units: float, seconds: float, folder: Path, *, in_flight: int = 8, seed: int = 1, guess: float = 25.0
) -> float:
    """Play a job: requests of 20 ms that consume between 1 and 50 units; return what they consumed in that time."""
    clock, chance = Clock(), random.Random(seed)
    limit = Limit(units, f"job-{tasks}-{seed}", guess)
    accounts = [Account(limit, folder=folder, clock=clock) for _ in range(tasks)]
    end = clock.now + seconds
    number = itertools.count()
    due = [(clock.now, next(number), account) for account in accounts for _ in range(in_flight)]
    heapq.heapify(due)
    total = 0.0
    while due:
        now, _, account = heapq.heappop(due)
        if now >= end:
            break
        clock.now = max(clock.now, now)
        reserved = account.reserve()
        sent = clock.now + reserved.seconds
        used = float(chance.randint(1, 50))
        if sent < end:
            total += used
        account.settle(reserved, used)
        heapq.heappush(due, (sent + 0.02, next(number), account))
    for account in accounts:
        account.close()
    return total


@pytest.mark.parametrize("tasks", [1, 2, 7, 32])
def test_a_minute_is_within_five_percent_whatever_the_number_of_tasks(tasks: int, tmp_path: Path) -> None:
    assert consumed(tasks, 1000, 60, tmp_path) == pytest.approx(60_000, rel=0.05)


@pytest.mark.parametrize("guess", [0.5, 500.0])
def test_what_was_reserved_wrongly_is_settled(guess: float, tmp_path: Path) -> None:
    """64 requests are on their way before the first one tells what it has consumed."""
    assert consumed(8, 1000, 12, tmp_path, guess=guess) == pytest.approx(12_000, rel=0.08)


def test_what_is_not_used_is_not_saved_up(tmp_path: Path) -> None:
    clock = Clock()
    account = Account(Limit(10, "idle", 10.0), folder=tmp_path, clock=clock)
    account.settle(account.reserve(), 10)
    clock.now += 3600
    assert account.reserve().seconds == 0
    assert account.reserve().seconds == pytest.approx(1, rel=0.1)
    account.close()


def test_throttling_slows_down_once_for_an_occasion_and_time_heals(tmp_path: Path) -> None:
    clock = Clock()
    account = Account(Limit(100, "throttled", 10.0), folder=tmp_path, clock=clock)

    def seconds_for_a_request() -> float:
        clock.now += 100
        account.settle(account.reserve(), 10)
        return account.reserve().seconds

    usual = seconds_for_a_request()
    for _ in range(5):
        account.throttled()
    account.settle(account.reserve(), 10)
    slower = account.reserve().seconds
    assert slower == pytest.approx(3 * usual / 0.7, rel=0.35)
    assert seconds_for_a_request() == pytest.approx(usual, rel=0.01)
    account.close()


def reserve_many(folder: str, times: int) -> None:
    account = Account(Limit(1e6, "shared", 1.0), folder=Path(folder), clock=lambda: 5.0)
    for _ in range(times):
        account.settle(account.reserve(), 1.0)
    account.close()


def test_processes_share_an_account_without_losing_a_unit(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    workers = [context.Process(target=reserve_many, args=(str(tmp_path), 300)) for _ in range(3)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    account = Account(Limit(1e6, "shared", 1.0), folder=tmp_path, clock=lambda: 5.0)
    assert account.reserve().seconds == pytest.approx(900e-6, rel=1e-6)
    account.close()
