"""The proof after a soak: the ledger of what the writers were told, held against what is stored."""

from __future__ import annotations

from collections import Counter as Tally
from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Any

from tests.contract.shop import Order, Orders, PlainOrders
from tests.faults.bench import Accounts, Bench, Counters
from tests.faults.ledger import Entry, Report, Told

NOT_DONE = (Told.REFUSED, Told.FAILED)


class Proof:
    """Compares the ledger with the tables, and notes in the report what disagrees."""

    def __init__(self, bench: Bench, ledger: Sequence[Entry], report: Report) -> None:
        self._bench = bench
        self._ledger = ledger
        self._report = report
        orders = [*bench.behind(Orders).scan().consistent(), *bench.behind(PlainOrders).scan().consistent()]
        self._orders: dict[tuple[str, str], Order] = {(one.customer_id, one.order_id): one for one in orders}
        self._accounts = {one.name: one for one in bench.behind(Accounts).scan().consistent()}

    def run(self) -> None:
        """Check everything."""
        self._counters()
        self._items()
        self._claims("create, contended", {claim: one.note for (claim, _), one in self._orders.items()})
        self._claims("unique, contended", {str(one.email): one.name for one in self._accounts.values()})
        self._journals()
        self._transactions()
        self._renamed()
        self._guards()

    def _entries(self, *kinds: str) -> Iterator[Entry]:
        return (entry for entry in self._ledger if entry.kind in kinds)

    def _by_place(self, kind: str) -> dict[str, list[Entry]]:
        places: dict[str, list[Entry]] = defaultdict(list)
        for entry in self._entries(kind):
            places[entry.place].append(entry)
        return places

    def _counters(self) -> None:
        told: dict[str, Tally] = defaultdict(Tally)
        for entry in self._entries("increment"):
            told[entry.place][entry.told] += 1
        for counter in self._bench.behind(Counters).scan().consistent():
            least = told[counter.name][Told.ACKNOWLEDGED]
            most = least + told[counter.name][Told.UNKNOWN]
            where = f"increment {counter.name}: {counter.total}, acknowledged {least}, at most {most}"
            self._report.lost += [where] * max(least - counter.total, 0)
            self._report.doubled += [where] * max(counter.total - most, 0)

    def _items(self) -> None:
        """An item is there if its create was acknowledged, unless its delete was, or may have been, applied."""
        deletes = {(entry.place, entry.label): entry.told for entry in self._entries("delete", "delete, batch")}
        for entry in self._entries("create", "put, batch"):
            key, delete = (entry.place, entry.label), deletes.get((entry.place, entry.label))
            is_there = key in self._orders
            if entry.told in NOT_DONE and is_there:
                self._report.untrue.append(f"{entry} is stored")
            if entry.told is Told.ACKNOWLEDGED and delete in (None, *NOT_DONE) and not is_there:
                self._report.lost.append(f"{entry}, delete {delete}, is not stored")
            if delete is Told.ACKNOWLEDGED and is_there:
                self._report.lost.append(f"the delete of {key} is undone")

    def _claims(self, kind: str, owners: dict[str, Any]) -> None:
        """Of those who wanted the same at most one has got it, and it is the one who was told so."""
        for claim, entries in self._by_place(kind).items():
            winners = [entry.label for entry in entries if entry.told is Told.ACKNOWLEDGED]
            owner = owners.get(claim)
            if len(winners) > 1:
                self._report.doubled.append(f"{kind}: {claim} was acknowledged to {winners}, and is {owner}'s")
            elif winners and winners != [owner]:
                self._report.lost.append(f"{kind}: {claim} was acknowledged to {winners}, and is {owner}'s")
            if owner in {entry.label for entry in entries if entry.told in NOT_DONE}:
                self._report.untrue.append(f"{kind}: {claim} was refused to {owner}, and is {owner}'s")

    def _journals(self) -> None:
        """A label stands in its journal once if it was acknowledged; a version counts the writes."""
        for entry in self._entries("append", "append, versioned", "update, versioned"):
            self._check_label(entry, entry.place)
        for (name, _), journal in self._orders.items():
            if name.startswith("Orders/") and journal.version != 1 + len(journal.words):
                self._report.doubled.append(f"{name} has version {journal.version} after {len(journal.words)} writes")

    def _transactions(self) -> None:
        """A label stands in both journals of its transaction or in none."""
        for entry in self._entries("transaction"):
            places = entry.place.split("|")
            if len({entry.label in self._words(place) for place in places}) > 1:
                self._report.lost.append(f"{entry} was applied in part")
            for place in places:
                self._check_label(entry, place)

    def _check_label(self, entry: Entry, place: str) -> None:
        times = self._words(place).count(entry.label)
        if times > 1:
            self._report.doubled.append(f"{entry} is stored {times} times")
        elif entry.told is Told.ACKNOWLEDGED and not times:
            self._report.lost.append(f"{entry} is not stored")
        elif entry.told in NOT_DONE and times:
            self._report.untrue.append(f"{entry} is stored")

    def _words(self, place: str) -> list[str]:
        return self._orders[place, "o1"].words

    def _renamed(self) -> None:
        """An account has the value that was acknowledged last, or one of those after it whose outcome is unknown."""
        for name, entries in self._by_place("unique, changed").items():
            possible: set[str | None] = {f"{name}@start"}
            for entry in entries:
                if entry.told is Told.ACKNOWLEDGED:
                    possible = {entry.label}
                elif entry.told is Told.UNKNOWN:
                    possible.add(entry.label)
            if self._accounts[name].email not in possible:
                self._report.lost.append(f"{name} has {self._accounts[name].email}, and not one of {possible}")

    def _guards(self) -> None:
        """Each unique value that an account has is guarded once, and nothing else is."""
        table = self._bench.behind(Accounts).table_name
        pages = self._bench.server.client.get_paginator("scan").paginate(TableName=table, ConsistentRead=True)
        names = [item["name"]["S"] for page in pages for item in page["Items"]]
        guards = sorted(name for name in names if name.startswith("unique#"))
        emails = [one.email for one in self._accounts.values() if one.email is not None]
        self._report.doubled += [f"{email} is two accounts'" for email, count in Tally(emails).items() if count > 1]
        for email in emails:
            if not any(email in guard for guard in guards):
                self._report.lost.append(f"{email} has no guard")
        if len(guards) > len(emails):
            self._report.untrue.append(f"{len(guards)} guards of {len(emails)} values")
