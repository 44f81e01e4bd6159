"""Many threads write through one connection while everything fails at random; then what is stored is held against it.

Run as ``python -m tests.faults.soak --seconds 60 --threads 8``. Each thread notes what it was told of each write:
acknowledged, refused by a condition, failed for certain, or unknown. When the time is up the faults stop, everything is
read back past the proxy, and it must be so that nothing acknowledged is lost, nothing is applied twice, and nothing
that was refused or failed is stored. The exit status is 1 otherwise.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import random
import sys
import threading
import time
from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from dynamodb_wrapper import (
    Add,
    Append,
    BatchIncompleteError,
    DynamoDBWrapperError,
    ItemAlreadyExistsError,
    VersionConflictError,
    transact_write,
)
from tests import servers
from tests.contract import skins
from tests.contract.shop import Order, Orders, PlainOrders, order
from tests.faults import rules
from tests.faults.bench import Account, Accounts, Bench, Counter, Counters
from tests.faults.ledger import Entry, Report, Told
from tests.faults.proofs import Proof
from tests.faults.proxy import Fault, Proxy

TIMEOUT_SECONDS = 0.5
PACE = 0.05  # pauses of the retry policy are this part as long, so that a minute sees more faults
COUNTERS = 4
CREATES_PER_CUSTOMER = 40
WORDS_PER_JOURNAL = 60
JOURNALS = 3
BATCH = 30
SETTLED = 3

FAULTS: tuple[Fault, ...] = (
    *rules.REFUSALS,
    *rules.BROKEN_BEFORE,
    *rules.BROKEN_AFTER,
    rules.hang(applied=False),
    rules.hang(applied=True),
    rules.late(),
    rules.emptied(),
    rules.conflict(),
    rules.leftovers(0),
    rules.leftovers(2),
    rules.cancelled("TransactionConflict"),
    rules.in_progress(),
    rules.slow(0.02),
)


@dataclass
class Worker:
    """One thread: its number, its choices, and the orders it knows to be there."""

    number: int
    choices: random.Random
    turns: Iterator[int] = field(default_factory=itertools.count)
    mine: list[tuple[str, str]] = field(default_factory=list)
    batches: list[list[tuple[str, str]]] = field(default_factory=list)

    def label(self) -> str:
        return f"{self.number}-{next(self.turns)}"


class Soak:
    """Writers, a ledger of what they were told, and the proof."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._orders = bench.through(Orders, timeout_seconds=TIMEOUT_SECONDS)
        self._plain = PlainOrders(self._orders.config)
        self._counters = Counters(self._orders.config)
        self._accounts = Accounts(self._orders.config)
        self._ledger: list[Entry] = []
        self._reads: list[int] = []
        self._unseen: list[str] = []
        self._claims = itertools.count()
        self._journals = itertools.count()
        self._values = itertools.count()
        self._stop = threading.Event()

    def run(self, *, seconds: float, threads: int, seed: int, fault_rate: float, at_least: int = 0) -> Report:
        """Write for so long, and so often at least; then read everything back."""
        proxy = self._bench.proxy
        for number in range(COUNTERS):
            self._bench.behind(Counters).create(Counter(name=f"n{number}"))
        for number in range(threads):
            self._bench.behind(Accounts).create(Account(name=f"changer{number}", email=f"changer{number}@start"))
        errors: list[BaseException] = []
        writers = [
            threading.Thread(target=self._write, args=(Worker(number, random.Random(f"{seed}/{number}")), errors))
            for number in range(threads)
        ]
        proxy.inject_randomly(FAULTS, rate=fault_rate, seed=seed)
        started = time.monotonic()
        for thread in writers:
            thread.start()
        while (time.monotonic() < started + seconds or len(self._ledger) < at_least) and not errors:
            time.sleep(min(1.0, seconds / 5))
            proxy.close_idle()
            proxy.injected["idle connections closed"] += 1
            proxy.go_away()
            proxy.injected["server gone for 20 ms"] += 1
            time.sleep(0.02)
            proxy.come_back()
        self._stop.set()
        for thread in writers:
            thread.join(60)
        elapsed = time.monotonic() - started
        proxy.calm()
        proxy.release()
        proxy.settle()
        if errors:
            raise errors[0]
        report = Report(elapsed, defaultdict(Tally), len(self._reads), +proxy.injected, lost=list(self._unseen))
        for entry in self._ledger:
            report.told[entry.kind][entry.told] += 1
        Proof(self._bench, self._ledger, report).run()
        return report

    # --- writing ------------------------------------------------------------------------------------------------

    def _write(self, worker: Worker, errors: list[BaseException]) -> None:
        acts: tuple[Callable[[Worker], None], ...] = (
            self._count,
            self._create,
            self._create,
            self._claim,
            self._append,
            self._append_versioned,
            self._update,
            self._delete,
            self._read,
            self._put_many,
            self._delete_many,
            self._transact,
            self._take_value,
            self._change_value,
        )
        try:
            while not self._stop.is_set():
                worker.choices.choice(acts)(worker)
        except BaseException as error:  # noqa: BLE001 - anything that is not one of our errors ends the run
            errors.append(error)

    def _note(self, kind: str, place: str, label: str, write: Callable[[], object]) -> Told:
        try:
            write()
            told = Told.ACKNOWLEDGED
        except DynamoDBWrapperError as error:
            told = Told.by(error)
        self._ledger.append(Entry(kind, place, label, told))
        return told

    def _note_batch(self, kind: str, keys: Sequence[tuple[str, str]], write: Callable[[], object]) -> None:
        """Note each entry of a batch: those not reported as left are acknowledged."""
        left: set[object] = set()
        told = Told.FAILED
        try:
            write()
        except BatchIncompleteError as error:
            left = {(one.customer_id, one.order_id) if isinstance(one, Order) else one for one in error.unprocessed}
            told = Told.UNKNOWN if "may_be_written" in error.context else Told.FAILED
        self._ledger.extend(Entry(kind, *key, told if key in left else Told.ACKNOWLEDGED) for key in keys)

    def _count(self, worker: Worker) -> None:
        name = f"n{worker.choices.randrange(COUNTERS)}"
        self._note("increment", name, worker.label(), lambda: self._counters.patch(name, total=Add(1)))

    def _create(self, worker: Worker) -> None:
        label = worker.label()
        customer = f"{worker.number}/{int(label.partition('-')[2]) // CREATES_PER_CUSTOMER}"
        new = order(customer, label)
        if self._note("create", customer, label, lambda: self._orders.create(new)) is Told.ACKNOWLEDGED:
            worker.mine.append((customer, label))

    def _claim(self, worker: Worker) -> None:
        """Create the same item as other threads at the same time: one of them gets it."""
        label, claim = worker.label(), f"claim{next(self._claims) // 4}"
        self._note("create, contended", claim, label, lambda: self._orders.create(order(claim, "o1", note=label)))

    def _append(self, worker: Worker) -> None:
        label, journal = worker.label(), self._journal(worker, PlainOrders)
        self._note("append", journal, label, lambda: self._plain.patch(journal, "o1", words=Append(label)))

    def _append_versioned(self, worker: Worker) -> None:
        label, journal = worker.label(), self._journal(worker, Orders)
        self._note("append, versioned", journal, label, lambda: self._orders.patch(journal, "o1", words=Append(label)))

    def _update(self, worker: Worker) -> None:
        """Read, change and write back, until nobody else has done so in between."""
        label, journal = worker.label(), self._journal(worker, Orders)

        def write() -> None:
            for turn in itertools.count(1):
                mine = self._orders.get_or_raise(journal, "o1", consistent=True)
                mine.words.append(label)
                try:
                    self._orders.update(mine)
                except VersionConflictError:
                    if turn == 5:
                        raise
                else:
                    return

        self._note("update, versioned", journal, label, write)

    def _delete(self, worker: Worker) -> None:
        # Not the newest ones: an attempt to create them that went astray could still arrive, and find the key free.
        if len(worker.mine) > SETTLED:
            customer, label = worker.mine.pop(worker.choices.randrange(len(worker.mine) - SETTLED))
            self._note("delete", customer, label, lambda: self._orders.delete(customer, label))

    def _put_many(self, worker: Worker) -> None:
        customer = f"batch/{worker.label()}"
        keys = [(customer, f"{number:02}") for number in range(BATCH)]
        self._note_batch("put, batch", keys, lambda: self._plain.put_many([order(*key) for key in keys]))
        worker.batches.append(keys)

    def _delete_many(self, worker: Worker) -> None:
        if len(worker.batches) > SETTLED:
            keys = worker.batches.pop(0)[::2]
            self._note_batch("delete, batch", keys, lambda: self._plain.delete_many(keys))

    def _transact(self, worker: Worker) -> None:
        """Append the same label to two journals, in both or in none."""
        label, plain, versioned = worker.label(), self._journal(worker, PlainOrders), self._journal(worker, Orders)

        def write() -> None:
            transact_write(
                [
                    self._plain.patch_request(plain, "o1", words=Append(label)),
                    self._orders.patch_request(versioned, "o1", words=Append(label)),
                ]
            )

        self._note("transaction", f"{plain}|{versioned}", label, write)

    def _take_value(self, worker: Worker) -> None:
        """Create an account with a unique value that others want at the same time: one of them gets it."""
        name, email = f"taker{worker.label()}", f"value{next(self._values) // 4}"
        self._note("unique, contended", email, name, lambda: self._accounts.create(Account(name=name, email=email)))

    def _change_value(self, worker: Worker) -> None:
        """Change the unique value of this thread's own account."""
        name, email = f"changer{worker.number}", f"{worker.label()}@changed"
        self._note("unique, changed", name, email, lambda: self._accounts.patch(name, email=email))

    def _read(self, worker: Worker) -> None:
        """Look for what was acknowledged; an error is an answer too, but "there is none" would be a lie."""
        if not worker.mine:
            return
        customer, label = worker.choices.choice(worker.mine)
        self._reads.append(worker.number)
        with contextlib.suppress(DynamoDBWrapperError):
            if self._orders.get(customer, label, consistent=True) is None:
                self._unseen.append(f"get did not find {customer} {label}")
            asked = worker.mine[-30:]
            missing = zip(asked, self._orders.get_many(asked, consistent=True), strict=True)
            self._unseen.extend(f"get_many did not find {key}" for key, one in missing if one is None)
            expected = {order_id for mine, order_id in worker.mine if mine == customer}
            found = {entry.order_id for entry in self._orders.query(customer).page_size(7).consistent()}
            self._unseen.extend(f"query did not find {customer} {label}" for label in expected - found)

    def _journal(self, worker: Worker, repository_class: type[Orders] | type[PlainOrders]) -> str:
        """The item that labels are appended to now; after a while another one, because items have an end."""
        page = next(self._journals) // (WORDS_PER_JOURNAL * JOURNALS)
        journal = f"{repository_class.__name__}/{page}/{worker.choices.randrange(JOURNALS)}"
        behind: Any = self._bench.behind(repository_class)
        with contextlib.suppress(ItemAlreadyExistsError):
            behind.create(order(journal, "o1"))
        return journal


def soak(
    running: servers.RunningServer,
    *,
    skin: str,
    transport: str,
    seconds: float,
    threads: int,
    seed: int,
    fault_rate: float,
    at_least: int = 0,
) -> Report:
    """Run on a server, through a proxy of its own, and clean up.

    With the async skin each thread waits for a task, and all tasks are on one event loop.
    """
    assert running.endpoint_url is not None
    bench = Bench(Proxy(running.endpoint_url), servers.Server(running), transport, pace=PACE)
    loop = skins.Loop()
    try:
        bench.make_tables()
        with pytest.MonkeyPatch.context() as patch:
            skins.use(skin, loop, sys.modules[__name__], patch)
            return Soak(bench).run(
                seconds=seconds, threads=threads, seed=seed, fault_rate=fault_rate, at_least=at_least
            )
    finally:
        bench.proxy.calm()
        bench.server.clean_up()
        bench.proxy.close()
        loop.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fault-rate", type=float, default=0.1)
    parser.add_argument("--skin", default="sync", choices=skins.SKINS)
    parser.add_argument("--transport", default="botocore")
    parser.add_argument("--server", default="ministack", choices=["ministack", "endpoint"])
    options = parser.parse_args()
    with servers.STARTERS[options.server]() as running:
        report = soak(
            running,
            skin=options.skin,
            transport=options.transport,
            seconds=options.seconds,
            threads=options.threads,
            seed=options.seed,
            fault_rate=options.fault_rate,
        )
    print(report)
    return 0 if report.is_clean else 1


if __name__ == "__main__":
    sys.exit(main())
