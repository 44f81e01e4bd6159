"""The methods of an async repository about its table as a whole."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper import transport
from dynamodb_wrapper.operations import table_changes, tables
from dynamodb_wrapper.operations import table_diff as diffs
from dynamodb_wrapper.repositories.tables import TABLE_WAIT_SECONDS, TableFoundation
from dynamodb_wrapper.transport import HealthReport

T = TypeVar("T", bound=BaseModel)


class AsyncTableMethods(TableFoundation[T]):
    """Makes, describes and deletes the table."""

    _driver: transport.AsyncDriver

    async def create_table(
        self, *, wait_seconds: float = TABLE_WAIT_SECONDS, progress: tables.Progress | None = None
    ) -> None:
        """Make the table as declared (keys, indexes, billing, stream, TTL) and wait until it is active.

        Args:
            wait_seconds: How long to wait at most, default 300.
            progress: Is told each state; by default they are logged at INFO.

        Raises:
            TableInUseError: The table exists, or is not active in time.
        """
        await self._driver.run(
            tables.create_table(self._table_entity, wait_seconds=wait_seconds, progress=progress or self._log_progress),
            each_request=True,
        )

    async def ensure_table(
        self, *, wait_seconds: float = TABLE_WAIT_SECONDS, progress: tables.Progress | None = None
    ) -> bool:
        """Make the table unless it exists, wait until it is active, and return whether it was made here.

        Raises:
            ValidationError: The table exists with other keys, or lacks a declared index.
        """
        return await self._driver.run(
            tables.ensure_table(self._table_entity, wait_seconds=wait_seconds, progress=progress or self._log_progress),
            each_request=True,
        )

    async def table_diff(self, *, together_with: Iterable[TableFoundation[Any]] = ()) -> diffs.TableDiff:
        """Return what of the real table is not as declared; nothing is changed.

        Compared are keys, indexes, billing and capacity, TTL, stream, deletion protection, encryption and table class;
        and, where they are declared, warm throughput, point-in-time recovery, tags and replicas.

        Args:
            together_with: Other repositories of the same table, of either colour: the indexes that they declare belong
                to it as well.

        Raises:
            DeclarationError: They say different things of the table.
            ValidationError: One of them has another table.
        """
        return await self._driver.run(table_changes.table_diff(self._entities_with(together_with)))

    async def apply_table(
        self,
        *,
        together_with: Iterable[TableFoundation[Any]] = (),
        delete_indexes: bool = False,
        disable: bool = False,
        skip: Collection[diffs.Aspect] | tuple[diffs.Aspect, ...] = (),
        wait_seconds: float = TABLE_WAIT_SECONDS,
        progress: tables.Progress | None = None,
    ) -> diffs.TableChanges:
        """Make the table as declared, as far as that is safe, and return what was changed and what was left.

        A missing table is made. Changes are sent one at a time, as DynamoDB demands, each when the table and its
        indexes are active; after an interruption, call it again. No item is ever deleted, but by a declared TTL.

        Args:
            together_with: Other repositories of the same table, as for `table_diff`.
            delete_indexes: Delete global indexes that are not declared, and build differing ones anew.
            disable: Turn off what is not declared: TTL, stream, deletion protection, encryption with a key, backups,
                on-demand maxima.
            skip: Aspects to leave alone, for example ``("billing", "capacity")`` where autoscaling sets these.
            wait_seconds: How long to wait for each change at most, default 300. Building an index of a large table
                takes longer.
            progress: Is told each change and each state; by default they are logged at INFO.

        Raises:
            TableInUseError: The table is not active in time; what was changed stays.
        """
        return await self._driver.run(
            table_changes.apply_tables(
                self._entities_with(together_with),
                delete_indexes=delete_indexes,
                disable=disable,
                skip=skip,
                wait_seconds=wait_seconds,
                progress=progress or self._log_progress,
            ),
            each_request=True,
        )

    async def delete_table(
        self, *, wait_seconds: float = TABLE_WAIT_SECONDS, progress: tables.Progress | None = None
    ) -> bool:
        """Delete the table with everything in it and wait until it is gone; False if there was none."""
        return await self._driver.run(
            tables.delete_table(self._table_entity, wait_seconds=wait_seconds, progress=progress or self._log_progress),
            each_request=True,
        )

    async def table_status(self) -> str | None:
        """Return DynamoDB's word for the table's state (``"ACTIVE"``, ``"CREATING"``, ...), None if there is none."""
        return await self._driver.run(tables.table_status(self._table_entity))

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
