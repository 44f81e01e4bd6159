"""The methods of an async repository about its table as a whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.operations import tables
from dynamodb_wrapper.operations.tables import Progress
from dynamodb_wrapper.repositories.tables import TABLE_WAIT_SECONDS, TableFoundation
from dynamodb_wrapper.transport import HealthReport

if TYPE_CHECKING:
    from dynamodb_wrapper.transport.async_driver import AsyncDriver

T = TypeVar("T", bound=BaseModel)


class AsyncTableMethods(TableFoundation[T]):
    """Makes, describes and deletes the table."""

    _driver: AsyncDriver

    async def create_table(self, *, wait_seconds: float = TABLE_WAIT_SECONDS, progress: Progress | None = None) -> None:
        """Make the table as declared (keys, indexes, billing, stream, TTL) and wait until it is active.

        Args:
            wait_seconds: How long to wait at most, default 300.
            progress: Is told each state; by default they are logged at INFO.

        Raises:
            TableInUseError: The table exists, or is not active in time.
        """
        await self._driver.run(
            tables.create_table(self._entity, wait_seconds=wait_seconds, progress=progress or self._log_progress),
            each_request=True,
        )

    async def ensure_table(self, *, wait_seconds: float = TABLE_WAIT_SECONDS, progress: Progress | None = None) -> bool:
        """Make the table unless it exists, wait until it is active, and return whether it was made here.

        Raises:
            ValidationError: The table exists with other keys, or lacks a declared index.
        """
        return await self._driver.run(
            tables.ensure_table(self._entity, wait_seconds=wait_seconds, progress=progress or self._log_progress),
            each_request=True,
        )

    async def delete_table(self, *, wait_seconds: float = TABLE_WAIT_SECONDS, progress: Progress | None = None) -> bool:
        """Delete the table with everything in it and wait until it is gone; False if there was none."""
        return await self._driver.run(
            tables.delete_table(self._entity, wait_seconds=wait_seconds, progress=progress or self._log_progress),
            each_request=True,
        )

    async def table_status(self) -> str | None:
        """Return DynamoDB's word for the table's state (``"ACTIVE"``, ``"CREATING"``, ...), None if there is none."""
        return await self._driver.run(tables.table_status(self._entity))

    async def health_check(self, *, timeout_seconds: float = 5.0) -> bool:
        """Return whether DynamoDB answers within the timeout and has the table, ready to use; never raises."""
        return (await self.health_report(timeout_seconds=timeout_seconds)).healthy

    async def health_report(self, *, timeout_seconds: float = 5.0) -> HealthReport:
        """Return how DynamoDB and the table are now, within the timeout; never raises."""
        return self._connection.with_lane(
            await self._driver.health_report(timeout_seconds=timeout_seconds, table_name=self.table_name)
        )

    async def warm_up(self, *, connections: int = 1, timeout_seconds: float = 5.0) -> None:
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
        await self._compiled().async_warm_up(connections=connections, timeout_seconds=timeout_seconds)
