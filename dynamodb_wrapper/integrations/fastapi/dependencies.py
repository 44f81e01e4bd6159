"""The connection of an application: opened and closed with it, and given to its endpoints as repositories."""

from __future__ import annotations

import asyncio
import inspect
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any, Generic, TypeVar

from fastapi import Depends, FastAPI
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute
from starlette.requests import HTTPConnection

from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import ConnectionError, ValidationError
from dynamodb_wrapper.repositories import AsyncBaseDynamoRepository, BaseDynamoRepository
from dynamodb_wrapper.transport import connection_for

R = TypeVar("R", bound="BaseDynamoRepository[Any] | AsyncBaseDynamoRepository[Any]")

_logger = logging.getLogger("dynamodb_wrapper.integrations.fastapi")


class RepositoryDependency(Generic[R]):
    """What `DynamoDB.repository` returns: for ``Depends``, and the key for ``app.dependency_overrides``.

    Attributes:
        repository_class: What it gives.
    """

    def __init__(self, repository_class: type[R], config: Callable[[], Awaitable[DynamoDBConfig]]) -> None:
        self.repository_class = repository_class
        self._made: dict[DynamoDBConfig, R] = {}
        self._known_endpoints: set[object] = set()
        kind = inspect.Parameter.POSITIONAL_OR_KEYWORD
        parameters = [
            inspect.Parameter("connection", kind, annotation=HTTPConnection),
            inspect.Parameter("config", kind, annotation=DynamoDBConfig, default=Depends(config)),
        ]
        self.__signature__ = inspect.Signature(parameters)  # which FastAPI looks at

    async def __call__(self, connection: HTTPConnection, config: DynamoDBConfig) -> R:
        """Return the repository of a configuration, the same for every request."""
        if issubclass(self.repository_class, BaseDynamoRepository):
            self._warn_of_blocking(connection.scope.get("route"))
        return self.made(config)

    def made(self, config: DynamoDBConfig) -> R:
        """Return the repository of a configuration."""
        repository = self._made.get(config)
        if repository is None:
            repository = self._made[config] = self.repository_class(config)
        return repository

    def __repr__(self) -> str:
        return f"RepositoryDependency({self.repository_class.__name__})"

    def _warn_of_blocking(self, route: object) -> None:
        """Log, once for each endpoint, that its blocking repository is used on the event loop, if signatures say so."""
        if not isinstance(route, APIRoute) or route.endpoint in self._known_endpoints:
            return
        self._known_endpoints.add(route.endpoint)
        if self._is_for_a_coroutine(route.dependant):
            _logger.warning(
                "%s, or what it depends on, is async def and takes the blocking %s: its requests stop the event loop "
                "and all other requests; make it a plain def, or use the async repository",
                getattr(route.endpoint, "__qualname__", route.endpoint),
                self.repository_class.__name__,
            )

    def _is_for_a_coroutine(self, dependant: Dependant) -> bool:
        is_asked_for = any(inner.call is self for inner in dependant.dependencies)
        if is_asked_for and inspect.iscoroutinefunction(dependant.call):
            return True
        return any(self._is_for_a_coroutine(inner) for inner in dependant.dependencies)


class DynamoDB:
    """A configuration for an application: its repositories as dependencies, and its lifespan.

    It can be made at import: nothing is opened before the lifespan begins, or else before the first request.
    """

    def __init__(self, config: DynamoDBConfig, *, connections: int = 1, warm_up_seconds: float = 5.0) -> None:
        """Use a configuration.

        Args:
            config: What repositories are made with. In a test another one takes its place, for all repositories and
                the lifespan: ``app.dependency_overrides[dynamodb.config] = lambda: test_config``. It is asked for with
                each request, so it returns the same one: `DynamoDBConfig.embedded` makes another server each time.
            connections: How many connections are opened when the application starts.
            warm_up_seconds: The time for that.

        Raises:
            ValidationError: ``config`` is no `DynamoDBConfig`.
        """
        if not isinstance(config, DynamoDBConfig):
            raise ValidationError(f"DynamoDB takes a DynamoDBConfig, not {type(config).__name__}")
        self._config = config
        self._connections = connections
        self._warm_up_seconds = warm_up_seconds
        self._dependencies: dict[type[Any], RepositoryDependency[Any]] = {}

    async def config(self) -> DynamoDBConfig:
        """Return the configuration; a dependency, so that tests can override it."""
        return self._config

    def repository(self, repository_class: type[R]) -> RepositoryDependency[R]:
        """Return the dependency that gives a repository, blocking or async; the same one each time.

        Use it as ``Annotated[OrderRepository, Depends(dynamodb.repository(OrderRepository))]``. A blocking repository
        belongs into ``def`` endpoints, which FastAPI runs in threads; in an ``async def`` endpoint it would stop the
        event loop, and with it every other request; the first time, that is logged.

        Raises:
            ValidationError: It is no repository class.
        """
        given: object = repository_class
        kinds = (BaseDynamoRepository, AsyncBaseDynamoRepository)
        if not (isinstance(given, type) and issubclass(given, kinds)):
            raise ValidationError(f"repository() takes a repository class, not {repository_class!r:.80}")
        known: RepositoryDependency[R] | None = self._dependencies.get(repository_class)
        if known is None:
            known = self._dependencies[repository_class] = RepositoryDependency(repository_class, self.config)
        return known

    @asynccontextmanager
    async def lifespan(self, app: FastAPI) -> AsyncGenerator[None, None]:
        """Open and warm the connection pool when the application starts, and close it when it ends.

        For ``FastAPI(lifespan=dynamodb.lifespan)``, or inside a lifespan of your own::

            @asynccontextmanager
            async def lifespan(app: FastAPI) -> AsyncGenerator[None, None]:
                async with dynamodb.lifespan(app):
                    yield

        A DynamoDB that cannot be reached is logged and does not keep the application from starting: it heals when
        DynamoDB is back.

        Raises:
            CredentialsError: There are no AWS credentials.
            ValidationError: No region is known, or an argument of this `DynamoDB` is out of range.
        """
        config = await self._config_of(app)
        try:
            await self.warm_up(config)
        except ConnectionError as error:
            _logger.warning("the application starts without a connection to DynamoDB: %s", error)
        try:
            yield
        finally:
            await connection_for(config).async_disconnect()

    async def warm_up(self, config: DynamoDBConfig | None = None) -> None:
        """Do ahead what first requests would wait for; nothing is sent to DynamoDB.

        What reads and writes the models of all repositories asked for so far is compiled, and connections are opened.

        Args:
            config: The configuration; None for this object's.

        Raises:
            ConnectionError: The endpoint cannot be reached, or not in time.
            CredentialsError: There are no AWS credentials.
            ValidationError: No region is known, or an argument of this `DynamoDB` is out of range.
        """
        for dependency in self._dependencies.values():
            repository = dependency.made(config or self._config)
            if isinstance(repository, AsyncBaseDynamoRepository):
                await repository.warm_up(connections=self._connections, timeout_seconds=self._warm_up_seconds)
            else:
                await asyncio.to_thread(
                    repository.warm_up, connections=self._connections, timeout_seconds=self._warm_up_seconds
                )

    async def _config_of(self, app: FastAPI) -> DynamoDBConfig:
        """Return the configuration, or what overrides it in a test.

        Raises:
            ValidationError: What overrides it does not return one.
        """
        found = app.dependency_overrides.get(self.config, self.config)()
        config: object = (await found) if inspect.isawaitable(found) else found
        if not isinstance(config, DynamoDBConfig):
            raise ValidationError(f"what overrides the configuration returned no DynamoDBConfig: {config!r:.80}")
        return config
