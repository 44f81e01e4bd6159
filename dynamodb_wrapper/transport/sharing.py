"""One connection per distinct configuration in a process, shared by everyone who uses that configuration."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from dynamodb_wrapper.transport.connection import Connection
from dynamodb_wrapper.transport.forks import ForkSafeLock

if TYPE_CHECKING:
    from dynamodb_wrapper.config import DynamoDBConfig

_lock = ForkSafeLock()
_connections: dict[tuple[object, ...], Connection] = {}
_makers: dict[str | None, Callable[[DynamoDBConfig], Connection]] = {}  # by endpoint, where tests make them otherwise

# What a connection does not depend on: configurations that differ only here share one.
_ABOVE_THE_WIRE = frozenset(
    (
        "table_prefix",
        "environment",
        "cursor_secret",
        "default_timezone",
        "user_timezone",
        "store_timestamps_in_utc",
    )
)


def _wire_key(config: DynamoDBConfig) -> tuple[object, ...]:
    return tuple(getattr(config, name) for name in type(config).model_fields if name not in _ABOVE_THE_WIRE)


def connection_for(config: DynamoDBConfig) -> Connection:
    """Return the process's connection for a configuration.

    Configurations share one unless they differ in what the wire depends on: endpoint, region, credentials, pool,
    timeouts, retries, transport, logging.
    """
    key = _wire_key(config)
    with _lock:
        connection = _connections.get(key)
        if connection is None or connection.closed:
            for closed in [known for known, other in _connections.items() if other.closed]:
                del _connections[closed]
            connection = _connections[key] = _makers.get(config.endpoint_url, Connection)(config)
        return connection


@contextmanager
def connections_made_by(make: Callable[[DynamoDBConfig], Connection], endpoint_url: str | None) -> Iterator[None]:
    """Make the connections to an endpoint in another way until the block ends, and close them then; for tests.

    Those that were there before are left alone: who holds one keeps it, who asks meanwhile gets another.
    """
    with _lock:
        before, made_before = _taken_out(endpoint_url), _makers.get(endpoint_url)
        _makers[endpoint_url] = make
    try:
        yield
    finally:
        with _lock:
            made = _taken_out(endpoint_url)
            _connections.update(before)
            del _makers[endpoint_url]
            if made_before is not None:
                _makers[endpoint_url] = made_before
        for connection in made.values():
            connection.close()


def _taken_out(endpoint_url: str | None) -> dict[tuple[object, ...], Connection]:
    """Forget the connections to an endpoint, and return them."""
    found = {key: entry for key, entry in _connections.items() if entry.config.endpoint_url == endpoint_url}
    for key in found:
        del _connections[key]
    return found


def reset_connections() -> None:
    """Disconnect every connection of the process; each opens anew when it is next used."""
    with _lock:
        connections = list(_connections.values())
    for connection in connections:
        connection.disconnect()
