"""The process's default configuration and its boto3 tables, for code without a repository."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from dynamodb_wrapper.config import DynamoDBConfig
from dynamodb_wrapper.exceptions import DynamoDBWrapperError, ValidationError
from dynamodb_wrapper.transport.connection import Connection
from dynamodb_wrapper.transport.forks import ForkSafeLock
from dynamodb_wrapper.transport.health import HealthReport, not_asked
from dynamodb_wrapper.transport.sharing import connection_for, reset_connections

if TYPE_CHECKING:
    from mypy_boto3_dynamodb.service_resource import Table
else:
    Table = Any  # those who ask for type hints need not have the stubs

_lock = ForkSafeLock()


class DynamoDBSingleton:
    """Always the same object: the default configuration of the process, and tables by alias or physical name.

    The configuration is ``DynamoDBConfig.from_env()``, read on first use, unless `configure` set another.
    """

    _instance: DynamoDBSingleton | None = None
    _configured: DynamoDBConfig | None
    _from_env: DynamoDBConfig | None
    _aliases: dict[str, str]
    _fetched: dict[str, None]  # an ordered set of names

    def __new__(cls) -> DynamoDBSingleton:
        """Return the one object."""
        with _lock:
            if cls._instance is None:
                cls._instance = super().__new__(cls)
                cls._instance._configured = cls._instance._from_env = None
                cls._instance._aliases, cls._instance._fetched = {}, {}
            return cls._instance

    @property
    def config(self) -> DynamoDBConfig:
        """The default configuration.

        Raises:
            ValidationError: The environment has a bad value.
        """
        with _lock:
            if self._configured is not None:
                return self._configured
            if self._from_env is None:
                from dynamodb_wrapper.config import DynamoDBConfig

                self._from_env = DynamoDBConfig.from_env()
            return self._from_env

    @property
    def connection(self) -> Connection:
        """The connection of the default configuration."""
        return connection_for(self.config)

    def configure(self, config: DynamoDBConfig | None) -> None:
        """Make a configuration the default; None goes back to that of the environment.

        Raises:
            ValidationError: It is something else.
        """
        from dynamodb_wrapper.config import DynamoDBConfig

        if config is not None and not isinstance(config, DynamoDBConfig):
            raise ValidationError(f"configure() takes a DynamoDBConfig or None, not {type(config).__name__}")
        with _lock:
            self._configured, self._from_env, self._fetched = config, None, {}

    def register_tables(self, tables: Mapping[str, str]) -> None:
        """Name tables: alias to physical name. An alias that is registered again gets the new name.

        Raises:
            ValidationError: It is no mapping, or an alias or a name is not a text with something in it.
        """
        if not isinstance(tables, Mapping):
            raise ValidationError(f"register_tables() takes a mapping of alias to name, not {type(tables).__name__}")
        for alias, name in tables.items():
            _check_name(alias, "alias")
            _check_name(name, alias)
        with _lock:
            self._aliases.update(tables)

    def get_table(self, name: str) -> Table:
        """Return the boto3 `Table` of an alias, or of a physical name used as it is; the same object each time."""
        _check_name(name, "name")
        with _lock:
            if name not in self._aliases:
                self._fetched[name] = None
            physical = self._aliases.get(name, name)
        return self.connection.table(physical)

    def get_all_tables(self) -> dict[str, Table]:
        """Return the boto3 tables of all aliases, and of the physical names fetched so far."""
        with _lock:
            names = [*self._aliases, *(name for name in self._fetched if name not in self._aliases)]
        return {name: self.get_table(name) for name in names}

    def health_check(self, *, timeout_seconds: float = 5.0) -> bool:
        """Return whether DynamoDB answers now, within the timeout; never raises."""
        return self.health_report(timeout_seconds=timeout_seconds).healthy

    def health_report(self, *, timeout_seconds: float = 5.0) -> HealthReport:
        """Return how DynamoDB is now, within the timeout; never raises."""
        try:
            connection = self.connection
        except DynamoDBWrapperError as error:  # a bad value in the environment
            return not_asked(error)
        return connection.health_report(timeout_seconds=timeout_seconds)

    def reset_connection(self) -> None:
        """Close all connections of the process, and forget the tables fetched and what the environment said.

        What was declared stays: aliases, and the configuration given to `configure`. Repositories made before go on
        working: they connect anew.
        """
        with _lock:
            self._from_env, self._fetched = None, {}
        reset_connections()


def _check_name(name: object, field: str) -> None:
    if not isinstance(name, str) or not name:
        raise ValidationError(f"a table is named by a text that is not empty, not by {name!r}", {field: "not a name"})


def configure(config: DynamoDBConfig | None) -> None:
    """Make a configuration the process's default; None goes back to that of the environment."""
    DynamoDBSingleton().configure(config)


def register_tables(tables: Mapping[str, str]) -> None:
    """Name tables: alias to physical name."""
    DynamoDBSingleton().register_tables(tables)


def get_table(name: str) -> Table:
    """Return the boto3 `Table` of an alias, or of a physical name used as it is; the same object each time."""
    return DynamoDBSingleton().get_table(name)


def get_all_tables() -> dict[str, Table]:
    """Return the boto3 tables of all aliases, and of the physical names fetched so far."""
    return DynamoDBSingleton().get_all_tables()


def health_check(*, timeout_seconds: float = 5.0) -> bool:
    """Return whether DynamoDB answers now, within the timeout; never raises."""
    return DynamoDBSingleton().health_check(timeout_seconds=timeout_seconds)


def health_report(*, timeout_seconds: float = 5.0) -> HealthReport:
    """Return how DynamoDB is now, within the timeout; never raises."""
    return DynamoDBSingleton().health_report(timeout_seconds=timeout_seconds)


def reset_connection() -> None:
    """Close all connections of the process, and forget the tables fetched and what the environment said."""
    DynamoDBSingleton().reset_connection()
