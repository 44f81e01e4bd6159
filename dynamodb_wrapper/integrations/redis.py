"""A read-through cache on a Redis server, shared by processes: one writes, and no other reads what was there before.

What is kept depends on tokens: one for the item, one for the table, one for all pages of the table. An answer is kept
with the tokens that were there before it was read, and used only as long as they are. A write takes tokens away; so an
answer that was read before it, and comes to be kept after it, is never used, whoever wrote and whoever read.
"""

from __future__ import annotations

import hashlib
import json
import secrets
from collections.abc import Callable, Iterable, Sequence
from decimal import Context, Decimal
from typing import TYPE_CHECKING, Any, NamedTuple

from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import DeclarationError
from dynamodb_wrapper.integrations.redis_server import BUSY, Command, RedisServer
from dynamodb_wrapper.operations.effects import Flow, ask
from dynamodb_wrapper.operations.recalling import NO_ITEM, Bodies, CacheInfo, Kind, LedReading, Name
from dynamodb_wrapper.transport import connection_for
from dynamodb_wrapper.transport.caching import INDEX_LAG_SECONDS, Cache, CachedTable, Flight, Place, seconds
from dynamodb_wrapper.transport.invalidation import plain_name

if TYPE_CHECKING:
    from dynamodb_wrapper.transport.invalidation import Changed

_FORMAT = "dynamodb-wrapper:1"
_SEAL_BYTES = 16
_WRITING_MS = 30_000
"""How long a token is kept away when the process that writes ends in the middle."""
_SLACK_MS = 60_000
"""How long a reading may take, that its token is still there when it is kept."""
_ANY_NUMBER = Context(prec=100)
_THIS_PROCESS = secrets.token_hex(8)


class RedisCache(Cache):
    """A read-through cache on a Redis server, declared as ``cache = RedisCache("redis://...", ttl=300)``.

    It is what `Cache` is, for all processes that declare it: a write through this package in any of them takes what it
    changes out of the cache for all. While the server is away, reads go to DynamoDB.

    Args:
        url: ``redis://``, ``rediss://`` or ``unix://``, or a function that returns it, called when it is needed.
        ttl: For how many seconds an answer is used.
        negative_ttl: For how many seconds it is believed that there is no item; None (default): that is never kept.
        consistent_fills: Whether items are read strongly consistent when they are to be kept (default).
        timeout_seconds: To wait for the server, default 0.1. After a failure it is left alone for a while.
        namespace: Keeps apart what would be taken for one: tables of the same name and region in several AWS accounts,
            where a role or a profile gives the credentials.

    Raises:
        DeclarationError: An argument is out of range.
    """

    def __init__(
        self,
        url: str | Callable[[], str],
        *,
        ttl: float,
        negative_ttl: float | None = None,
        consistent_fills: bool = True,
        timeout_seconds: float = 0.1,
        namespace: str = "",
    ) -> None:
        super().__init__(ttl=ttl, negative_ttl=negative_ttl, consistent_fills=consistent_fills)
        self.namespace = namespace
        self._arguments |= {"url": url, "timeout_seconds": timeout_seconds, "namespace": namespace}
        del self._arguments["max_items"]
        self.server = RedisServer(url, seconds("timeout_seconds", timeout_seconds))

    def __repr__(self) -> str:
        return f"RedisCache({self.server!r}, ttl={self.ttl:g})"

    def _new_table(self, place: Place, config: DynamoDBConfig) -> CachedTable:
        if config.endpoint_url is None and config.region_name is None:
            raise DeclarationError(
                f"a cache that processes share has to know where table {place.table_name!r} is: set region_name (or "
                "endpoint_url) in the configuration"
            )
        return RedisTable(self, place, self.server)

    def _apart(self, schema: Callable[[], str]) -> str:
        return schema()

    def table(
        self, config: DynamoDBConfig, table_name: str, key_attributes: tuple[str, ...], schema: Callable[[], str]
    ) -> CachedTable:
        """Return what keeps the answers about a table, the same one to everybody who reaches it alike."""
        connection_for(config).close_along(self.server)
        return super().table(config, table_name, key_attributes, schema)


class _Lease(NamedTuple):
    """Where an answer is to be kept, and on what it depends."""

    entry: bytes
    scopes: tuple[bytes, ...]
    tokens: tuple[bytes, ...] = ()


class RedisTable(CachedTable):
    """The answers about one table that are on a Redis server; readings are shared within the process.

    Attributes:
        elsewhere: The server and the table.
    """

    def __init__(self, options: RedisCache, place: Place, server: RedisServer) -> None:
        """Ask nothing yet."""
        super().__init__(options, place)
        self._server = server
        # What answers depend on is named by the table alone, as writes are told by it: wherever it is, whatever the
        # model. Answers belong to one place and one model.
        table = plain_name(place.table_name)
        self.elsewhere = (id(server), table, place.key_attributes)
        self._whole = _key("table", table)
        self._pages = _key("pages", table)
        self._table = table
        is_embedded = (place.server[0] or "").startswith("embedded:")
        self._place = (options.namespace, *place.server, _THIS_PROCESS if is_embedded else "", place.schema(), table)
        self._ttl_ms = _milliseconds(options.ttl)
        self._negative_ttl_ms = None if options.negative_ttl is None else _milliseconds(options.negative_ttl)

    def info(self) -> CacheInfo:
        """Return what became of the readings so far."""
        found = super().info()
        return CacheInfo(found.hits, found.misses, found.shared, found.stale, 0, self._server.failures)

    def hit(self, name: Name) -> bytes | None:
        """Return None: nothing is known in this process."""
        return None

    def fetched(self, led: Sequence[LedReading]) -> Flow[Bodies]:
        """Return what the server has."""
        flights = [flight for flight in led if isinstance(flight, Flight)]
        asked = [self._lease_of(flight) for flight in flights]
        replies = yield from ask(self._server, [("MGET", *lease.scopes, lease.entry) for lease in asked])
        found: Bodies = {}
        without: list[tuple[Flight, _Lease]] = []
        stale = 0
        for flight, lease, reply in zip(flights, asked, replies or (), strict=False):
            *tokens, kept = reply
            body = _unsealed(lease.entry, tokens, kept)
            stale += kept is not None and body is None
            if body is not None:
                found[flight.name] = body
                flight.succeed(body)
            elif None in tokens:
                without.append((flight, lease))
            elif BUSY not in tokens:
                flight.lease = lease._replace(tokens=tuple(tokens))
        yield from self._make_tokens(without)
        self._count(hits=len(found), misses=len(flights) - len(found), stale=stale)
        return found

    def keep(self, led: Sequence[LedReading], bodies: Bodies) -> Flow[None]:
        """Tell answers to who waits for them, and keep those that no write in this process has outdated."""
        commands: list[Command] = []
        for flight in self._settle(led, bodies):
            body = bodies[flight.name]
            ttl = self._negative_ttl_ms if body == NO_ITEM else self._ttl_ms
            if flight.lease is None or ttl is None:
                continue
            entry, _, tokens = flight.lease
            commands.append(("SET", entry, _seal(entry, tokens, body) + body, "PX", ttl))
        if commands:
            yield from ask(self._server, commands)

    def clear(self) -> Flow[None]:
        """Forget everything about the table, for every process."""
        self.drop(None)
        yield from self._tell([("DEL", self._whole, self._pages)], None)

    def begin(self, changed: Changed) -> Flow[None]:
        """Let nobody use or keep what a write may change, for as long as it may take."""
        keys = (*self._scopes_of(changed), self._pages)
        # Deleted first: a server whose memory is full takes that, and nothing else.
        commands: list[Command] = [("DEL", *keys), *(("SET", key, BUSY, "PX", _WRITING_MS) for key in keys)]
        yield from self._tell(commands, changed)

    def end(self, changed: Changed) -> Flow[None]:
        """Let answers be kept again: those that are read from now on; pages a little later, as indexes lag behind."""
        pages: Command = ("SET", self._pages, BUSY, "PX", _milliseconds(INDEX_LAG_SECONDS))
        yield from self._tell([("DEL", *self._scopes_of(changed)), pages], changed)

    def leave(self, changed: Changed) -> None:
        """Have the server told with the next question."""
        self._server.owe(self._whole, (*self._scopes_of(changed), self._pages))

    def _tell(self, commands: Sequence[Command], changed: Changed) -> Flow[None]:
        try:
            replies = yield from ask(self._server, commands)
        except BaseException:
            self.leave(changed)
            raise
        if replies is None:
            self.leave(changed)

    def _make_tokens(self, wanted: Sequence[tuple[Flight, _Lease]]) -> Flow[None]:
        """Give readings tokens to depend on where there are none.

        An item's lives twice as long as its answers, so that it seldom ends before one of them; its life is not
        prolonged, as that could prolong `BUSY` in its place. The two of a table stay.
        """
        if not wanted:
            return
        lifetime = ("PX", 2 * self._ttl_ms + _SLACK_MS)
        scopes = dict.fromkeys(scope for _, lease in wanted for scope in lease.scopes)
        made: list[Command] = [
            ("SET", scope, secrets.token_bytes(12), "NX", *(() if scope in (self._whole, self._pages) else lifetime))
            for scope in scopes
        ]
        replies = yield from ask(self._server, [*made, ("MGET", *scopes)])
        if replies is None:
            return
        tokens = dict(zip(scopes, replies[-1], strict=True))
        for flight, lease in wanted:
            found = tuple(tokens[scope] for scope in lease.scopes)
            if None not in found and BUSY not in found:
                flight.lease = lease._replace(tokens=found)

    def _lease_of(self, flight: Flight) -> _Lease:
        name = _text_of(flight.name)
        entry = _key(flight.kind.name.lower(), *self._place, *name)
        return _Lease(entry, (self._whole, self._item(name) if flight.kind is Kind.ITEM else self._pages))

    def _scopes_of(self, changed: Changed) -> Iterable[bytes]:
        names = self._names(changed)
        return (self._whole,) if names is None else [self._item(_text_of(name)) for name in names]

    def _item(self, name: Sequence[str]) -> bytes:
        return _key("token", self._table, *name)

    def _count(self, *, hits: int, misses: int, stale: int) -> None:
        with self._lock:
            self.hits += hits
            self.misses += misses
            self.stale += stale

    def _new_entries(self) -> dict[Name, bytes]:
        return _Nothing()


class _Nothing(dict[Name, bytes]):
    """Keeps nothing: it is all on the server."""

    def __setitem__(self, name: Name, body: bytes) -> None:
        """Keep nothing."""


def _key(kind: str, *parts: str | None) -> bytes:
    """Return the name of something on the server: no two have one, and none tells a value."""
    return f"{_FORMAT}:{kind}:{hashlib.sha256(json.dumps(parts).encode()).hexdigest()}".encode()


def _text_of(name: Any) -> list[str]:
    """Return the name of an answer as texts: the same for the same key."""
    if isinstance(name, bytes):
        return [name.hex()]
    texts = []
    for part in name:
        tag, value = ("S", part) if isinstance(part, str) else part
        if isinstance(value, Decimal):
            value = _ANY_NUMBER.plus(value.normalize(_ANY_NUMBER))  # which makes 0 of -0
        texts += [tag, value.hex() if isinstance(value, bytes) else str(value)]
    return texts


def _seal(entry: bytes, tokens: Iterable[bytes], body: bytes) -> bytes:
    """Return what an answer begins with: it is whole, and of this entry, and depends on these tokens."""
    return hashlib.blake2b(b"".join((entry, *tokens, body)), digest_size=_SEAL_BYTES).digest()


def _unsealed(entry: bytes, tokens: Sequence[bytes | None], kept: bytes | None) -> bytes | None:
    """Return the answer that is kept; None for none, and for one that does not depend on these tokens."""
    known = [token for token in tokens if token is not None and token != BUSY]
    if kept is None or len(known) < len(tokens):
        return None
    seal, body = kept[:_SEAL_BYTES], kept[_SEAL_BYTES:]
    return body if seal == _seal(entry, known, body) else None


def _milliseconds(seconds: float) -> int:
    return max(1, round(seconds * 1000))
