"""What a fault test works on: tables on a real server, repositories that reach them through the proxy or past it."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper import BaseDynamoRepository
from dynamodb_wrapper.transport import connection_for
from dynamodb_wrapper.transport.async_driver import AsyncDriver
from dynamodb_wrapper.transport.drivers import SyncDriver
from dynamodb_wrapper.transport.retry import RetryPolicy
from tests import servers
from tests.contract import skins
from tests.contract.shop import Orders, PlainOrders
from tests.faults.proxy import Proxy

R = TypeVar("R", bound="BaseDynamoRepository[Any]")

LANES = tuple((skin, transport) for skin in skins.SKINS for transport in ("botocore", "direct"))
"""The skins and the transports that every case runs with."""

SHORT = 0.25
"""Seconds to wait for an answer where none will come."""


class Counter(BaseModel):
    name: str
    total: int = 0
    note: str | None = None


class Counters(BaseDynamoRepository[Counter]):
    """Neither versions nor times: nothing stored tells whose write it was."""

    table_name = "counters"
    primary_key = "name"


class Account(BaseModel):
    name: str
    email: str | None = None
    logins: int = 0
    version: int = 0
    updated_at: datetime | None = None


class Accounts(BaseDynamoRepository[Account]):
    """No two have the same email; guard items see to it."""

    table_name = "accounts"
    primary_key = "name"
    version_attribute = "version"
    unique = ("email",)


REPOSITORIES: tuple[type[BaseDynamoRepository[Any]], ...] = (Orders, PlainOrders, Counters, Accounts)


@dataclass
class Bench:
    """A server with a proxy before it.

    Attributes:
        proxy: Breaks what a test asks it to break.
        server: The server behind it.
        transport: The lane that repositories take through the proxy.
        pauses: The seconds that flows have asked to wait.
        pace: The part of them that is really waited for.
    """

    proxy: Proxy
    server: servers.Server
    transport: str
    pauses: list[float] = field(default_factory=list)
    pace: float = 0.0

    def make_tables(self) -> None:
        for repository_class in REPOSITORIES:
            self.behind(repository_class).ensure_table()

    def start_anew(self) -> None:
        """Forget the rules and what has happened."""
        self.proxy.calm()
        self.proxy.received.clear()
        self.proxy.forwarded.clear()
        self.proxy.injected.clear()
        self.pauses.clear()

    def through(self, repository_class: type[R], **settings: Any) -> R:
        """A repository that reaches its table through the proxy, with a retry quota of its own."""
        config = self.server.config(endpoint_url=self.proxy.url, transport=self.transport, **settings)
        connection, policy = connection_for(config), RetryPolicy(config.max_attempts)
        connection.driver = SyncDriver(connection._lane, policy, sleep=self._pause)
        connection._async_driver = AsyncDriver(connection.async_driver.lane, policy, sleep=self._async_pause)
        return repository_class(config)

    def behind(self, repository_class: type[R]) -> R:
        """A repository that reaches its table past the proxy, to make it and to see what is really there."""
        return repository_class(self.server.config())

    def _pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        if self.pace:
            time.sleep(seconds * self.pace)

    async def _async_pause(self, seconds: float) -> None:
        self.pauses.append(seconds)
        await asyncio.sleep(seconds * self.pace)
