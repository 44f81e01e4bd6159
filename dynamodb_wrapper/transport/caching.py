"""Read-through caches: how a repository declares one, and what keeps the answers in this process."""

from __future__ import annotations

import hashlib
import re
import time
from base64 import b32decode
from collections.abc import Callable, Hashable, Mapping, MutableMapping, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from math import inf, isfinite
from threading import get_ident
from typing import Any
from weakref import WeakValueDictionary

from dynamodb_wrapper.codec import read_any
from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import DeclarationError
from dynamodb_wrapper.operations.effects import Flow
from dynamodb_wrapper.operations.recalling import NO_ITEM, Bodies, CacheInfo, Kind, LedReading, LookedUp, Name
from dynamodb_wrapper.transport.execution import LONGEST_JOIN_SECONDS
from dynamodb_wrapper.transport.forks import ForkSafeLock, generation
from dynamodb_wrapper.transport.invalidation import Changed, watch
from dynamodb_wrapper.transport.sharing import connection_for

WEIGHT_BYTES = 4096
"""As much of an answer counts as one item."""
INDEX_LAG_SECONDS = 2.0
"""So long after a write no pages are kept: indexes follow their table, usually within a second."""
UNSETTLED_SECONDS = 10.0
"""So long after a write whose outcome is unknown nothing is kept: a request may be applied after it was given up."""


@dataclass(frozen=True, slots=True)
class Place:
    """One table as a configuration reaches it.

    Attributes:
        server: Endpoint, region and whose credentials, without a secret.
        table_name: The physical table.
        key_attributes: The stored names of its key.
        schema: Returns a text that differs where the model does.
    """

    server: tuple[str | None, ...]
    table_name: str
    key_attributes: tuple[str, ...]
    schema: Callable[[], str]


class Cache:
    """A read-through cache in this process, declared as ``cache = Cache(ttl=300)`` on a repository class.

    `get`, `get_or_raise` and `get_many` of the repositories of that class (and of its subclasses) read through it, and
    the access patterns that say ``cached=True``; never with ``consistent=True`` or ``attributes``. Writes of this
    process to the table, by whatever repository or client of this package, take what they change out of it. Writes of
    others are seen when the time is over. Answers are kept for each table and each server apart, and every caller gets
    a model of his own.

    Args:
        ttl: For how many seconds an answer is used.
        max_items: How many items are kept for a table; those not used for longest go first. One of more than 4 KB
            counts as several. As many pages of access patterns are kept besides.
        negative_ttl: For how many seconds it is believed that there is no item; None (default): that is never kept.
        consistent_fills: Whether items are read strongly consistent when they are to be kept (default), for twice the
            capacity of an eventually consistent reading. Without, what was outdated when it was read stays so for the
            ``ttl``.

    Raises:
        DeclarationError: An argument is out of range.
    """

    timer: Callable[[], float] = staticmethod(time.monotonic)

    def __init__(
        self, *, ttl: float, max_items: int = 1000, negative_ttl: float | None = None, consistent_fills: bool = True
    ) -> None:
        self.ttl = seconds("ttl", ttl)
        self.max_items = _whole("max_items", max_items)
        self.negative_ttl = None if negative_ttl is None else seconds("negative_ttl", negative_ttl)
        self.consistent_fills = consistent_fills
        self._arguments: dict[str, Any] = {
            "ttl": ttl,
            "max_items": max_items,
            "negative_ttl": negative_ttl,
            "consistent_fills": consistent_fills,
        }
        self._lock = ForkSafeLock()
        self._tables: WeakValueDictionary[tuple[object, ...], CachedTable] = WeakValueDictionary()

    def __repr__(self) -> str:
        return f"{type(self).__name__}(ttl={self.ttl:g}, max_items={self.max_items})"

    def __reduce__(self) -> tuple[Callable[..., Cache], tuple[type[Cache], dict[str, Any]]]:
        """Leave behind what it keeps: copied, or in another process, a cache begins empty."""
        return _declared_anew, (type(self), self._arguments)

    def table(
        self, config: DynamoDBConfig, table_name: str, key_attributes: tuple[str, ...], schema: Callable[[], str]
    ) -> CachedTable:
        """Return what keeps the answers about a table, the same one to everybody who reaches it alike.

        It lives as long as a connection for one of these configurations does.
        """
        place = Place(server_of(config), table_name, key_attributes, schema)
        name = (place.server, table_name, key_attributes, self._apart(schema))
        with self._lock:
            table = self._tables.get(name)
            if table is None:
                table = self._tables[name] = self._new_table(place, config)
                watch(table_name, table)
        connection_for(config).keep(table)
        return table

    def _new_table(self, place: Place, config: DynamoDBConfig) -> CachedTable:
        return CachedTable(self, place)

    def _apart(self, schema: Callable[[], str]) -> str | None:
        """Return what keeps models of one table apart: nothing in one process, where an item is the same for all."""
        return None


class Flight:
    """What one caller reads and others wait for.

    Attributes:
        shelf: Where the answer belongs.
        kind: What it is about.
        name: What is read.
        future: Tells who waits.
        thread: The thread that reads.
        began: When it began.
        lease: What a server that keeps answers has to be told with this one; None when it is not to keep it.
    """

    __slots__ = ("began", "future", "kind", "lease", "name", "shelf", "thread")

    def __init__(self, shelf: Shelf, kind: Kind, name: Name, began: float) -> None:
        self.shelf = shelf
        self.kind = kind
        self.name = name
        self.future: Future[bytes | None] = Future()
        self.future.set_running_or_notify_cancel()  # from now on, who gives up waiting cannot cancel it for others
        self.thread = get_ident()
        self.began = began
        self.lease: Any = None

    @property
    def is_current(self) -> bool:
        """Whether nothing was written since it began."""
        return self.shelf.flights.get(self.name) is self

    def succeed(self, body: bytes) -> None:
        """Tell who waits."""
        if not self.future.done():
            self.future.set_result(body)

    def end(self) -> None:
        """Let nobody wait any longer."""
        with self.shelf.lock:
            if self.is_current:
                del self.shelf.flights[self.name]
        if not self.future.done():
            self.future.set_result(None)


class Shelf:
    """Answers of one kind, and those that are being read; whoever changes it holds the lock."""

    def __init__(self, lock: ForkSafeLock, entries: MutableMapping[Name, bytes]) -> None:
        self.lock = lock
        self.entries = entries
        self.flights: dict[Name, Flight] = {}
        self._closed_until = -inf

    def drop(self, names: Sequence[Name] | None, *, closed_until: float) -> int:
        """Forget answers, all of them for None, and return how many were being read.

        Nothing is kept that somebody began to read before the shelf opens again.
        """
        self._closed_until = max(self._closed_until, closed_until)
        if names is None:
            dropped = len(self.flights)
            self.entries.clear()
            self.flights.clear()
            return dropped
        for name in names:
            self.entries.pop(name, None)
        return sum(self.flights.pop(name, None) is not None for name in names)

    def put(self, flight: Flight, body: bytes) -> None:
        """Keep an answer, if there is room for it, and answers were kept when its reading began."""
        if flight.began < self._closed_until:
            return
        try:
            self.entries[flight.name] = body
        except ValueError:  # cachetools: it alone is more than all that is kept
            return


class CachedTable:
    """The answers about one table that are in this process; safe under threads, empty in a forked child.

    Attributes:
        place: The table.
        consistent_fills: Whether items that are to be kept are read strongly consistent.
        elsewhere: None: nothing is kept outside of this process.
    """

    elsewhere: Hashable | None = None

    def __init__(self, options: Cache, place: Place) -> None:
        """Keep nothing yet."""
        self.place = place
        self.consistent_fills = options.consistent_fills
        self._options = options
        self._lock = ForkSafeLock()
        self._shelves = self._new_shelves()
        self._items = self._shelves[Kind.ITEM]
        self._generation = generation()
        self.hits = self.misses = self.shared = self.stale = 0

    def info(self) -> CacheInfo:
        """Return what became of the readings so far."""
        with self._lock:
            entries = sum(len(shelf.entries) for shelf in self._shelves.values())
            return CacheInfo(self.hits, self.misses, self.shared, self.stale, entries, self._failures)

    def name_of(self, item: Mapping[str, Any]) -> Name:
        """Return the name of what is known of an item: the values of its key, numbers and bytes in one form."""
        return tuple(
            wire["S"] if "S" in (wire := item[attribute]) else _name_of_part(wire)
            for attribute in self.place.key_attributes
        )

    def hit(self, name: Name) -> bytes | None:
        """Return what is known of an item."""
        with self._lock:
            if self._generation != generation():
                self._start_anew()
            try:
                body = self._items.entries[name]
            except KeyError:
                return None
            self.hits += 1
            return body

    def look_up(self, kind: Kind, names: Sequence[Name]) -> LookedUp:
        """Return what is known, and who reads the rest."""
        found: Bodies = {}
        led: list[Flight] = []
        joined: list[tuple[Name, Flight]] = []
        with self._lock:
            if self._generation != generation():
                self._start_anew()
            shelf, now = self._shelves[kind], self._options.timer()
            for name in names:
                body = shelf.entries.get(name)
                if body is not None:
                    found[name] = body
                elif (flight := shelf.flights.get(name)) is not None and now - flight.began < LONGEST_JOIN_SECONDS:
                    joined.append((name, flight))
                else:
                    flight = shelf.flights[name] = Flight(shelf, kind, name, now)
                    led.append(flight)
            self.hits += len(found)
            self.shared += len(joined)
        return LookedUp(found, led, joined)

    def fetched(self, led: Sequence[LedReading]) -> Flow[Bodies]:
        """Return nothing: what is known is in this process."""
        yield from ()
        self.count_misses(len(led))
        return {}

    def keep(self, led: Sequence[LedReading], bodies: Bodies) -> Flow[None]:
        """Keep answers, and tell them to who waits for them."""
        yield from ()
        self._settle(led, bodies)

    def clear(self) -> Flow[None]:
        """Forget everything about the table."""
        yield from ()
        self.drop(None)

    def drop(self, changed: Changed, *, is_settled: bool = True) -> None:
        """Forget what a write may change."""
        items, pages = (-inf, INDEX_LAG_SECONDS) if is_settled else (UNSETTLED_SECONDS, UNSETTLED_SECONDS)
        with self._lock:
            now = self._options.timer()
            self.stale += self._shelves[Kind.ITEM].drop(self._names(changed), closed_until=now + items)
            self.stale += self._shelves[Kind.PAGE].drop(None, closed_until=now + pages)

    def begin(self, changed: Changed) -> Flow[None]:
        """Do nothing."""
        yield from ()

    def end(self, changed: Changed) -> Flow[None]:
        """Do nothing."""
        yield from ()

    def leave(self, changed: Changed) -> None:
        """Do nothing."""

    def count_misses(self, number: int) -> None:
        """Count readings of DynamoDB."""
        with self._lock:
            self.misses += number

    _failures = 0

    def _settle(self, led: Sequence[LedReading], bodies: Bodies) -> list[Flight]:
        """Keep answers, tell them to who waits, and return the readings that no write has outdated."""
        flights = [flight for flight in led if isinstance(flight, Flight)]
        with self._lock:
            current = [flight for flight in flights if flight.is_current]
            for flight in current:
                flight.shelf.put(flight, bodies[flight.name])
        for flight in flights:
            flight.succeed(bodies[flight.name])
            flight.end()
        return current

    def _names(self, changed: Changed) -> list[Name] | None:
        try:
            names = None if changed is None else [self.name_of(item) for item in changed]
            hash(None if names is None else tuple(names))  # a list is no key either
        except (KeyError, ValueError, ArithmeticError, TypeError, AttributeError):
            return None  # no key of this table: DynamoDB will say so
        return names

    def _start_anew(self) -> None:
        """Forget what a forked child has of its parent: who was reading is not here, and writes there are not seen."""
        self._generation = generation()
        self._shelves = self._new_shelves()
        self._items = self._shelves[Kind.ITEM]

    def _new_shelves(self) -> dict[Kind, Shelf]:
        return {kind: Shelf(self._lock, self._new_entries()) for kind in Kind}

    def _new_entries(self) -> MutableMapping[Name, bytes]:
        from cachetools import TLRUCache  # not needed by programs without a cache

        def used_until(_: Name, body: bytes, now: float) -> float:
            return now + (self._options.negative_ttl or 0.0 if body == NO_ITEM else self._options.ttl)

        return TLRUCache(self._options.max_items, used_until, self._options.timer, _weight)


def _declared_anew(declared: type[Cache], arguments: dict[str, Any]) -> Cache:
    return declared(**arguments)


def server_of(config: DynamoDBConfig) -> tuple[str | None, ...]:
    """Return what tells where a configuration leads, and as whom, from others: endpoint, region, account; no secret."""
    return config.endpoint_url, config.region_name, _account_of(config.aws_access_key_id) or config.profile_name


def _account_of(key_id: str | None) -> str | None:
    """Return what stands for the account of an access key, the same for all keys of one account where that is known.

    The ids of AWS's keys hold the number of their account; so the keys of a role, which change by the hour, are told
    to be of one account. Others stand for themselves.
    """
    if key_id is None:
        return None
    if re.fullmatch("A[KS]IA[A-Z2-7]{16}", key_id):
        number = int.from_bytes(b32decode(key_id[4:])[:6], "big")
        return str((number & 0x7FFF_FFFF_FF80) >> 7)
    return hashlib.sha256(key_id.encode()).hexdigest()


def _name_of_part(wire: dict[str, Any]) -> Name:
    ((tag, _),) = wire.items()
    return tag, read_any(wire)


def _weight(body: bytes) -> int:
    return 1 + (len(body) - 1) // WEIGHT_BYTES


def seconds(name: str, value: object) -> float:
    """Return a number of seconds of a declaration.

    Raises:
        DeclarationError: It is none, or not greater than 0.
    """
    if isinstance(value, bool) or not isinstance(value, int | float) or not isfinite(value) or value <= 0:
        raise DeclarationError(f"Cache: {name} is {value!r}: must be a number of seconds greater than 0")
    return float(value)


def _whole(name: str, value: object) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise DeclarationError(f"Cache: {name} is {value!r}: must be a whole number, 1 or more")
    return value
