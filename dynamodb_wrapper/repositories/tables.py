"""The methods of a repository about its table as a whole."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.operations import tables
from dynamodb_wrapper.repositories.foundation import RepositoryFoundation
from dynamodb_wrapper.transport import HealthReport, SyncDriver

if TYPE_CHECKING:
    from dynamodb_wrapper.operations.tables import Progress

T = TypeVar("T", bound=BaseModel)

_log = logging.getLogger("dynamodb_wrapper.repositories")

TABLE_WAIT_SECONDS = 300.0


class TableFoundation(RepositoryFoundation[T]):
    """What repositories of both colours do about their tables without asking DynamoDB."""

    def _log_progress(self, state: str) -> None:
        _log.info("table %s is %s", self.table_name, state)


class TableMethods(TableFoundation[T]):
    """Makes, describes and deletes the table."""

    _driver: SyncDriver

    def create_table(self, *, wait_seconds: float = TABLE_WAIT_SECONDS, progress: Progress | None = None) -> None:
        """Make the table as declared (keys, indexes, billing, stream, TTL) and wait until it is active.

        Args:
            wait_seconds: How long to wait at most, default 300.
            progress: Is told each state; by default they are logged at INFO.

        Raises:
            TableInUseError: The table exists, or is not active in time.
        """
        self._driver.run(
            tables.create_table(self._entity, wait_seconds=wait_seconds, progress=progress or self._log_progress),
            each_request=True,
        )

    def ensure_table(self, *, wait_seconds: float = TABLE_WAIT_SECONDS, progress: Progress | None = None) -> bool:
        """Make the table unless it exists, wait until it is active, and return whether it was made here.

        Raises:
            ValidationError: The table exists with other keys, or lacks a declared index.
        """
        return self._driver.run(
            tables.ensure_table(self._entity, wait_seconds=wait_seconds, progress=progress or self._log_progress),
            each_request=True,
        )

    def delete_table(self, *, wait_seconds: float = TABLE_WAIT_SECONDS, progress: Progress | None = None) -> bool:
        """Delete the table with everything in it and wait until it is gone; False if there was none."""
        return self._driver.run(
            tables.delete_table(self._entity, wait_seconds=wait_seconds, progress=progress or self._log_progress),
            each_request=True,
        )

    def table_status(self) -> str | None:
        """Return DynamoDB's word for the table's state (``"ACTIVE"``, ``"CREATING"``, ...), None if there is none."""
        return self._driver.run(tables.table_status(self._entity))

    def health_check(self, *, timeout_seconds: float = 5.0) -> bool:
        """Return whether DynamoDB answers within the timeout and has the table, ready to use; never raises."""
        return self._connection.health_check(timeout_seconds=timeout_seconds, table_name=self.table_name)

    def health_report(self, *, timeout_seconds: float = 5.0) -> HealthReport:
        """Return how DynamoDB and the table are now, within the timeout; never raises."""
        return self._connection.health_report(timeout_seconds=timeout_seconds, table_name=self.table_name)

    def warm_up(self, *, connections: int = 1, timeout_seconds: float = 5.0) -> None:
        """Do ahead what the first request would wait for; nothing is sent to DynamoDB.

        What reads and writes the model is compiled, credentials are fetched, and connections opened. All repositories
        of a configuration share the connections, so one of them may open them all.

        Args:
            connections: How many to open, as many as will be needed at the same time; at most ``max_pool_connections``.
                They are closed when unused for 60 seconds.
            timeout_seconds: The time for what goes over the network.

        Raises:
            ConnectionError: The endpoint cannot be reached, or not in time (then a `DeadlineExceededError`).
            CredentialsError: There are none, or they cannot be fetched. Whether AWS accepts them, a request tells.
            ValidationError: An argument is out of range, or no region is known.
        """
        self._compiled().warm_up(connections=connections, timeout_seconds=timeout_seconds)
