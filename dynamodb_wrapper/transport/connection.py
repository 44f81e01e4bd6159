"""A connection: what everyone who uses a configuration shares.

How long it lives:

- It opens when first used, and again whenever it is used after `disconnect` or in a forked child; whoever holds it (a
  repository made long ago) notices nothing.
- After its own `close` it refuses to be used; `connection_for` then gives a new one.
"""

from __future__ import annotations

import logging
import time
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dynamodb_wrapper.exceptions import ConnectionError, ValidationError
from dynamodb_wrapper.operations.effects import Beside, Call
from dynamodb_wrapper.transport import clients
from dynamodb_wrapper.transport.botocore_lane import BotocoreLane
from dynamodb_wrapper.transport.deadlines import Abandonable, checked_timeout
from dynamodb_wrapper.transport.direct_lane import DirectLane
from dynamodb_wrapper.transport.drivers import Lane, SyncDriver
from dynamodb_wrapper.transport.failures import Hint, Verdict, hinted
from dynamodb_wrapper.transport.forks import ForkSafeLock, generation
from dynamodb_wrapper.transport.health import HealthReport
from dynamodb_wrapper.transport.observers import Server, logger
from dynamodb_wrapper.transport.retry import RetryPolicy
from dynamodb_wrapper.transport.routes import Routes

if TYPE_CHECKING:
    import boto3
    from botocore.client import BaseClient
    from botocore.session import Session
    from mypy_boto3_dynamodb.client import DynamoDBClient
    from mypy_boto3_dynamodb.service_resource import DynamoDBServiceResource, Table

    from dynamodb_wrapper.config import DynamoDBConfig
    from dynamodb_wrapper.transport.async_driver import AsyncDriver, AsyncLane
    from dynamodb_wrapper.transport.errors import Endpoint


@dataclass(slots=True)
class _Open:
    """What an open connection holds; made piece by piece, and of one process only."""

    session: Session
    generation: int = field(default_factory=generation)
    client: BaseClient | None = None
    streams_client: BaseClient | None = None
    boto3_session: boto3.Session | None = None
    boto3_client: DynamoDBClient | None = None
    resource: DynamoDBServiceResource | None = None
    tables: dict[str, Table] = field(default_factory=dict)


class Connection:
    """The pool, the credentials and the retry quota of one configuration; safe under threads and after a fork.

    Attributes:
        config: The configuration it was first made for; what names tables and shows times may differ in those of
            others who share it.
        driver: Runs flows over this connection, in threads.
    """

    def __init__(self, config: DynamoDBConfig) -> None:
        """Open nothing yet. Use `connection_for`, which shares connections."""
        self.config = config
        self._abandonable = Abandonable(at_most=config.max_pool_connections)
        self._routes = Routes(config, lambda: self.client, self._endpoint, has_opened=self._has_opened)
        self._botocore_lane = BotocoreLane(lambda: self.client, self._endpoint, self._abandonable)
        self._lane, self._direct = self._new_lane()
        self._policy = RetryPolicy(config.max_attempts)
        self.driver = SyncDriver(
            self._lane,
            self._policy,
            timeout=config.deadline_seconds,
            reports_capacity=config.report_capacity,
            server=self._server,
        )
        self._async_driver: AsyncDriver | None = None
        self._lock = ForkSafeLock()
        self._open: _Open | None = None
        self._closed = False
        self._beside: set[Beside] = set()
        self._kept: set[object] = set()
        if config.debug_logging and logger.level == logging.NOTSET:
            logger.setLevel(logging.DEBUG)

    def __repr__(self) -> str:
        """Name the endpoint, and nothing secret."""
        return f"Connection({clients.endpoint_of(self.config)}{', closed' if self._closed else ''})"

    @property
    def closed(self) -> bool:
        """Whether `close` was called."""
        return self._closed

    @property
    def async_driver(self) -> AsyncDriver:
        """Runs flows over this connection on event loops, any number of them, with the retry quota of `driver`."""
        with self._lock:
            if self._async_driver is None:
                self._async_driver = self._new_async_driver()
            return self._async_driver

    @property
    def client(self) -> BaseClient:
        """The low-level botocore client under the driver: one attempt per call, requests not validated.

        Raises:
            ConnectionError: The connection was closed.
            CredentialsError: The profile does not exist, or its credentials cannot be loaded.
            ValidationError: No region is known.
        """
        opened = self._open
        if opened is not None and opened.client is not None and opened.generation == generation():
            return opened.client
        with self._lock, clients.our_errors(self.config):
            opened = self._opened()
            if opened.client is None:
                opened.client = clients.new_lane_client(opened.session, self.config)
            return opened.client

    @property
    def streams_driver(self) -> SyncDriver:
        """Runs flows whose calls are those of DynamoDB Streams (``GetRecords``), with the retry quota of `driver`."""
        lane = BotocoreLane(lambda: self._streams_client, self._endpoint, self._abandonable)
        return SyncDriver(lane, self._policy, timeout=self.config.deadline_seconds)

    @property
    def _streams_client(self) -> BaseClient:
        with self._lock, clients.our_errors(self.config):
            opened = self._opened()
            if opened.streams_client is None:
                opened.streams_client = clients.new_lane_client(opened.session, self.config, "dynamodbstreams")
            return opened.streams_client

    @property
    def boto3_session(self) -> boto3.Session:
        """A boto3 session with this connection's credentials and region."""
        with self._lock, clients.our_errors(self.config):
            opened = self._opened()
            if opened.boto3_session is None:
                opened.boto3_session = clients.new_boto3_session(opened.session)
            return opened.boto3_session

    @property
    def boto3_client(self) -> DynamoDBClient:
        """boto3's own client, for users: it validates requests and retries by itself."""
        with self._lock, clients.our_errors(self.config):
            opened = self._opened()
            if opened.boto3_client is None:
                opened.boto3_client = clients.new_boto3_client(self.boto3_session, self.config)
            return opened.boto3_client

    @property
    def resource(self) -> DynamoDBServiceResource:
        """boto3's DynamoDB resource, for users: it validates requests and retries by itself."""
        with self._lock, clients.our_errors(self.config):
            opened = self._opened()
            if opened.resource is None:
                opened.resource = clients.new_boto3_resource(self.boto3_session, self.config)
            return opened.resource

    def table(self, name: str) -> Table:
        """Return the boto3 `Table` of that physical name, the same object each time."""
        with self._lock, clients.our_errors(self.config):
            tables = self._opened().tables
            if name not in tables:
                tables[name] = self.resource.Table(name)
            return tables[name]

    def health_check(self, *, timeout_seconds: float = 5.0, table_name: str | None = None) -> bool:
        """Return whether DynamoDB answers now (and has the table, ready to use), within the timeout; never raises.

        It is the ``healthy`` of `health_report`.
        """
        return self.health_report(timeout_seconds=timeout_seconds, table_name=table_name).healthy

    def health_report(self, *, timeout_seconds: float = 5.0, table_name: str | None = None) -> HealthReport:
        """Return how DynamoDB is now (and the table), within the timeout; never raises.

        One ``ListTables`` (``DescribeTable`` for a table) without retries. Credentials that AWS knows but does not
        allow to do that are healthy.
        """
        return self.with_lane(self.driver.health_report(timeout_seconds=timeout_seconds, table_name=table_name))

    def warm_up(self, *, connections: int = 1, timeout_seconds: float = 5.0) -> None:
        """Do ahead what the first request would wait for, without sending one: it costs nothing at DynamoDB.

        Credentials are fetched, the host is looked up, certificates are read, and connections opened, TLS included, one
        after another. Where botocore sends requests (see `health_report`), its client is made and the credentials
        fetched; botocore opens its connections with the first requests.

        Args:
            connections: How many to open, as many as will be needed at the same time; at most ``max_pool_connections``.
                They are closed when unused for 60 seconds.
            timeout_seconds: The time for all of it.

        Raises:
            ConnectionError: The endpoint cannot be reached, or not in time (then a `DeadlineExceededError`).
            CredentialsError: There are none, or they cannot be fetched. Whether AWS accepts them, a request tells.
            ValidationError: An argument is out of range, or no region is known.
        """
        ends_at = time.monotonic() + self._checked(connections, timeout_seconds)
        self._abandonable.run(self._prepare, ends_at - time.monotonic())
        self._lane.open_ahead(connections, ends_at - time.monotonic())

    async def async_warm_up(self, *, connections: int = 1, timeout_seconds: float = 5.0) -> None:
        """Do what `warm_up` does, for the running event loop, which goes on meanwhile."""
        from asyncio import to_thread

        ends_at = time.monotonic() + self._checked(connections, timeout_seconds)
        await to_thread(self._abandonable.run, self._prepare, ends_at - time.monotonic())
        await self.async_driver.lane.open_ahead(connections, ends_at - time.monotonic())

    def with_lane(self, report: HealthReport) -> HealthReport:
        """Return a report that says what sends requests on items at this moment, and why."""
        opened, chosen = self._open, 'transport is "botocore" in the configuration'
        client = None if opened is None else opened.client
        why = chosen if self._direct is None else self._routes.why_botocore(client)
        return replace(report, transport="direct" if why is None else "botocore", why_botocore=why)

    def keep(self, value: object) -> None:
        """Let something live until this connection is closed for good."""
        self._kept.add(value)

    def close_along(self, server: Beside) -> None:
        """Have the connections to another server closed whenever those of this one are."""
        self._beside.add(server)

    def close(self) -> None:
        """Close the sockets and refuse further use; closing twice is fine."""
        with self._lock:
            self._closed = True
            self._kept.clear()
        if self._direct is not None:
            self._direct.close()
        if self._async_driver is not None:
            self._async_driver.lane.close()
        self.disconnect()

    def disconnect(self) -> None:
        """Close the sockets and forget clients, tables and credentials; the next use opens everything anew."""
        with self._lock:
            opened, self._open = self._open, None
        self._routes.forget()
        if self._direct is not None:
            self._direct.disconnect()
        for server in tuple(self._beside):
            server.disconnect()
        if self._async_driver is not None:
            self._async_driver.lane.forget()
        if opened is None or opened.generation != generation():
            return
        resource_client = opened.resource.meta.client if opened.resource else None
        for client in (opened.client, opened.streams_client, opened.boto3_client, resource_client):
            if client is not None:
                client.close()

    async def async_disconnect(self) -> None:
        """Do what `disconnect` does, and wait until what this event loop has opened is closed."""
        if self._async_driver is not None:
            await self._async_driver.lane.aclose()
        for server in tuple(self._beside):
            await server.aclose()
        self.disconnect()

    def _new_async_driver(self) -> AsyncDriver:
        # Not needed by programs without an event loop, and asyncio takes its time to be imported.
        from dynamodb_wrapper.transport.async_driver import AsyncDriver

        return AsyncDriver(
            self._new_async_lane(),
            self._policy,
            timeout=self.config.deadline_seconds,
            reports_capacity=self.config.report_capacity,
            server=self._server,
        )

    def _new_lane(self) -> tuple[Lane, DirectLane | None]:
        if self.config.transport == "botocore":
            return self._botocore_lane, None
        direct_lane = DirectLane(
            self._routes,
            self._abandonable,
            fallback=self._botocore_lane,
            max_connections=self.config.max_pool_connections,
        )
        return direct_lane, direct_lane

    def _new_async_lane(self) -> AsyncLane:
        from dynamodb_wrapper.transport.async_direct_lane import AsyncDirectLane
        from dynamodb_wrapper.transport.thread_lane import ThreadLane

        most = self.config.max_pool_connections
        thread_lane = ThreadLane(self._botocore_lane, at_most=most)
        if self.config.transport == "botocore":
            return thread_lane
        return AsyncDirectLane(self._routes, fallback=thread_lane, max_connections=most)

    def _endpoint(self, place: BaseClient | str) -> Endpoint:
        return clients.endpoint_of(self.config, place)

    def _checked(self, connections: object, timeout_seconds: float) -> float:
        most = self.config.max_pool_connections
        if isinstance(connections, bool) or not isinstance(connections, int) or not 1 <= connections <= most:
            problem = f"is {connections!r}: must be a whole number from 1 to {most} (max_pool_connections)"
            raise ValidationError(f"connections {problem}", {"connections": problem})
        return checked_timeout("timeout_seconds", timeout_seconds)

    def _prepare(self) -> None:
        """Have a route and keys; without any, raise what a request would."""
        if self._direct is None:
            _ = self.client
        if self._routes.find(Call("GetItem", {})) is None:
            raise clients.no_credentials(self.config)

    def _has_opened(self) -> bool:
        """Whether there is a session of botocore's, which users may have changed, or it has to say what is wrong."""
        return self._open is not None or self._closed

    def _opened(self) -> _Open:
        if self._closed:
            message = "this connection is closed; connection_for(config) or a new repository opens another"
            raise hinted(ConnectionError(message), Hint(Verdict.FINAL))
        if self._open is None or self._open.generation != generation():
            self._open = _Open(clients.new_session(self.config))
        return self._open

    def _server(self) -> Server:
        opened = self._open
        client = None if opened is None else opened.client
        return clients.server_of(self.config, client, self._routes.endpoint if client is None else None)
