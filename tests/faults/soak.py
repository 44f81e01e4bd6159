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
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

from dynamodb_wrapper import (
    Add,
    Append,
    ConditionFailedError,
    DynamoDBWrapperError,
    ItemAlreadyExistsError,
    VersionConflictError,
    WriteOutcomeUnknownError,
)
from tests import servers
from tests.contract.shop import Order, Orders, PlainOrders, order
from tests.faults import rules
from tests.faults.bench import Bench, Counter, Counters
from tests.faults.proxy import Fault, Proxy

TIMEOUT_SECONDS = 0.5
PACE = 0.05  # pauses of the retry policy are this part as long, so that a minute sees more faults
COUNTERS = 4
CREATES_PER_CUSTOMER = 40
WORDS_PER_JOURNAL = 60
JOURNALS = 3

FAULTS: tuple[Fault, ...] = (
    *rules.REFUSALS,
    *rules.BROKEN_BEFORE,
    *rules.BROKEN_AFTER,
    rules.hang(applied=False),
    rules.hang(applied=True),
    rules.late(),
    rules.emptied(),
    rules.conflict(),
    rules.slow(0.02),
)


class Told(StrEnum):
    """What the caller of a write was told of it."""

    ACKNOWLEDGED = "acknowledged"
    REFUSED = "refused"
    FAILED = "failed"
    UNKNOWN = "unknown"


@dataclass(frozen=True)
class Entry:
    """One write: what kind, to which item, the label it leaves there, and what was told of it."""

    kind: str
    place: str
    label: str
    told: Told


@dataclass
class Report:
    """What was done, and what is wrong with what is stored."""

    seconds: float
    told: dict[str, Tally[Told]]
    reads: int
    faults: Tally[str]
    lost: list[str] = field(default_factory=list)
    doubled: list[str] = field(default_factory=list)
    untrue: list[str] = field(default_factory=list)

    @property
    def operations(self) -> int:
        return self.reads + sum(tally.total() for tally in self.told.values())

    @property
    def is_clean(self) -> bool:
        return not (self.lost or self.doubled or self.untrue)

    def __str__(self) -> str:
        lines = [f"{'writes':<20}" + "".join(f"{told:>14}" for told in Told)]
        for kind, tally in sorted(self.told.items()):
            lines.append(f"{kind:<20}" + "".join(f"{tally[told]:>14,}" for told in Told))
        total: Tally[Told] = sum(self.told.values(), Tally())
        lines += [f"{'all':<20}" + "".join(f"{total[told]:>14,}" for told in Told), "", f"{'faults':<34}"]
        lines += [f"  {name:<32}{number:>14,}" for name, number in sorted(self.faults.items())]
        lines += [
            f"  {'all':<32}{self.faults.total():>14,}",
            "",
            f"{self.operations:,} operations ({self.reads:,} of them reads) in {self.seconds:.0f} s, "
            f"{self.operations / self.seconds:,.0f} a second",
            f"lost: {len(self.lost)}, doubled: {len(self.doubled)}, refused or failed but stored: {len(self.untrue)}",
            *(f"  LOST {entry}" for entry in self.lost[:20]),
            *(f"  DOUBLED {entry}" for entry in self.doubled[:20]),
            *(f"  UNTRUE {entry}" for entry in self.untrue[:20]),
        ]
        return "\n".join(lines)


@dataclass
class Worker:
    """One thread: its number, its choices, and the orders it knows to be there."""

    number: int
    choices: random.Random
    turns: Iterator[int] = field(default_factory=itertools.count)
    mine: list[tuple[str, str]] = field(default_factory=list)

    def label(self) -> str:
        return f"{self.number}-{next(self.turns)}"


class Soak:
    """Writers, a ledger of what they were told, and the proof."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._orders = bench.through(Orders, timeout_seconds=TIMEOUT_SECONDS)
        self._plain = PlainOrders(self._orders.config)
        self._counters = Counters(self._orders.config)
        self._ledger: list[Entry] = []
        self._reads: list[int] = []
        self._unseen: list[str] = []
        self._claims = itertools.count()
        self._journals = itertools.count()
        self._stop = threading.Event()

    def run(self, *, seconds: float, threads: int, seed: int, fault_rate: float) -> Report:
        """Write for so long, then read everything back."""
        proxy = self._bench.proxy
        for number in range(COUNTERS):
            self._bench.behind(Counters).create(Counter(name=f"n{number}"))
        errors: list[BaseException] = []
        writers = [
            threading.Thread(target=self._write, args=(Worker(number, random.Random(f"{seed}/{number}")), errors))
            for number in range(threads)
        ]
        proxy.inject_randomly(FAULTS, rate=fault_rate, seed=seed)
        started = time.monotonic()
        for thread in writers:
            thread.start()
        while time.monotonic() < started + seconds and not errors:
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
        return self._proven(elapsed)

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
        except WriteOutcomeUnknownError:
            told = Told.UNKNOWN
        except DynamoDBWrapperError as error:
            if isinstance(error, ConditionFailedError):
                told = Told.REFUSED
            else:
                told = Told.UNKNOWN if "lost_answers" in error.context else Told.FAILED
        self._ledger.append(Entry(kind, place, label, told))
        return told

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
        if worker.mine:
            customer, label = worker.mine.pop(worker.choices.randrange(len(worker.mine)))
            self._note("delete", customer, label, lambda: self._orders.delete(customer, label))

    def _read(self, worker: Worker) -> None:
        """Look for what was acknowledged; an error is an answer too, but "there is none" would be a lie."""
        if not worker.mine:
            return
        customer, label = worker.choices.choice(worker.mine)
        self._reads.append(worker.number)
        with contextlib.suppress(DynamoDBWrapperError):
            if self._orders.get(customer, label, consistent=True) is None:
                self._unseen.append(f"get did not find {customer} {label}")
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

    # --- the proof ----------------------------------------------------------------------------------------------

    def _proven(self, elapsed: float) -> Report:
        told: dict[str, Tally[Told]] = defaultdict(Tally)
        for entry in self._ledger:
            told[entry.kind][entry.told] += 1
        report = Report(elapsed, told, len(self._reads), +self._bench.proxy.injected, lost=list(self._unseen))
        orders = {(one.customer_id, one.order_id): one for one in self._bench.behind(Orders).scan().consistent()}
        plain = {(one.customer_id, one.order_id): one for one in self._bench.behind(PlainOrders).scan().consistent()}
        self._prove_counters(report)
        self._prove_creates(report, orders)
        self._prove_claims(report, orders)
        self._prove_journals(report, {**orders, **plain})
        return report

    def _entries(self, *kinds: str) -> Iterator[Entry]:
        return (entry for entry in self._ledger if entry.kind in kinds)

    def _prove_counters(self, report: Report) -> None:
        told: dict[str, Tally[Told]] = defaultdict(Tally)
        for entry in self._entries("increment"):
            told[entry.place][entry.told] += 1
        for counter in self._bench.behind(Counters).scan().consistent():
            least = told[counter.name][Told.ACKNOWLEDGED]
            most = least + told[counter.name][Told.UNKNOWN]
            where = f"increment {counter.name}: {counter.total}, acknowledged {least}, at most {most}"
            report.lost += [where] * max(least - counter.total, 0)
            report.doubled += [where] * max(counter.total - most, 0)

    def _prove_creates(self, report: Report, orders: dict[tuple[str, str], Order]) -> None:
        deleted = {(entry.place, entry.label): entry.told for entry in self._entries("delete")}
        for entry in self._entries("create"):
            key, is_there = (entry.place, entry.label), (entry.place, entry.label) in orders
            delete = deleted.get(key)
            if entry.told in (Told.REFUSED, Told.FAILED) and is_there:
                report.untrue.append(f"{entry} is stored")
            if entry.told is Told.ACKNOWLEDGED and delete in (None, Told.REFUSED, Told.FAILED) and not is_there:
                report.lost.append(f"{entry}, delete {delete}, is not stored")
            if delete is Told.ACKNOWLEDGED and is_there:
                report.lost.append(f"delete of {key} is undone")

    def _prove_claims(self, report: Report, orders: dict[tuple[str, str], Order]) -> None:
        claims: dict[str, list[Entry]] = defaultdict(list)
        for entry in self._entries("create, contended"):
            claims[entry.place].append(entry)
        for claim, entries in claims.items():
            winners = [entry.label for entry in entries if entry.told is Told.ACKNOWLEDGED]
            stored = orders.get((claim, "o1"))
            owner = None if stored is None else stored.note
            if len(winners) > 1:
                report.doubled.append(f"{claim} was acknowledged to {winners}, and belongs to {owner}")
            elif winners and winners != [owner]:
                report.lost.append(f"{claim} was acknowledged to {winners}, and belongs to {owner}")
            if owner in {entry.label for entry in entries if entry.told in (Told.REFUSED, Told.FAILED)}:
                report.untrue.append(f"{claim} was refused to {owner}, and belongs to it")

    def _prove_journals(self, report: Report, stored: dict[tuple[str, str], Order]) -> None:
        for entry in self._entries("append", "append, versioned", "update, versioned"):
            times = stored[entry.place, "o1"].words.count(entry.label)
            if times > 1:
                report.doubled.append(f"{entry} is stored {times} times")
            elif entry.told is Told.ACKNOWLEDGED and not times:
                report.lost.append(f"{entry} is not stored")
            elif entry.told in (Told.REFUSED, Told.FAILED) and times:
                report.untrue.append(f"{entry} is stored")
        for (name, _), journal in stored.items():
            if name.startswith("Orders/") and journal.version != 1 + len(journal.words):
                report.doubled.append(f"{name} has version {journal.version} after {len(journal.words)} writes")


def soak(
    running: servers.RunningServer, *, transport: str, seconds: float, threads: int, seed: int, fault_rate: float
) -> Report:
    """Run on a server, through a proxy of its own, and clean up."""
    assert running.endpoint_url is not None
    bench = Bench(Proxy(running.endpoint_url), servers.Server(running), transport, pace=PACE)
    try:
        bench.make_tables()
        return Soak(bench).run(seconds=seconds, threads=threads, seed=seed, fault_rate=fault_rate)
    finally:
        bench.proxy.calm()
        bench.server.clean_up()
        bench.proxy.close()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.faults.soak", description=__doc__)
    parser.add_argument("--seconds", type=float, default=30)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--fault-rate", type=float, default=0.1)
    parser.add_argument("--transport", default="botocore")
    parser.add_argument("--server", default="ministack", choices=["ministack", "endpoint"])
    options = parser.parse_args()
    with servers.STARTERS[options.server]() as running:
        report = soak(
            running,
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
