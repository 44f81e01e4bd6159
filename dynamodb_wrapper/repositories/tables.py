"""The methods of a repository about its table as a whole."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from typing import Any, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations import table_changes, tables, templates
from dynamodb_wrapper.operations import table_diff as diffs
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.repositories.foundation import RepositoryFoundation
from dynamodb_wrapper.transport import HealthReport, SyncDriver

T = TypeVar("T", bound=BaseModel)

_log = logging.getLogger("dynamodb_wrapper.repositories")

TABLE_WAIT_SECONDS = 300.0


class TableFoundation(RepositoryFoundation[T]):
    """What repositories of both colours do about their tables without asking DynamoDB."""

    @property
    def _entities(self) -> tuple[Entity[Any], ...]:
        """What the repository keeps, table by table: its own, or the one it shares, and what it declares beside."""
        return (self._table_entity,)

    def _entities_with(self, others: Iterable[TableFoundation[Any]]) -> list[Entity[Any]]:
        """Return what the repository keeps, and what others keep in the same tables.

        Raises:
            ValidationError: Another one has none of these tables.
        """
        found = list(self._entities)
        names = {entity.table_name for entity in found}
        for other in others:
            shared = [entity for entity in other._entities if entity.table_name in names]
            if not shared:
                raise ValidationError(
                    f"{type(other).__name__} keeps nothing in {', '.join(sorted(names))}; compare its table by itself",
                    {"together_with": f"has {type(other).__name__}"},
                )
            found += shared
        return found

    def cloudformation(self) -> templates.Template:
        """Return a CloudFormation template with the table, as a dict for ``json.dumps``, without asking AWS.

        CDK takes the file with ``CfnInclude``. For several repositories: `cloudformation_template`.
        """
        return templates.cloudformation_of(self._entities)

    def terraform(self) -> templates.Template:
        """Return a Terraform configuration with the table, as a dict for a ``.tf.json`` file, without asking AWS.

        For several repositories: `terraform_configuration`.
        """
        return templates.terraform_of(self._entities)

    def _log_progress(self, state: str) -> None:
        _log.info("table %s is %s", self.table_name, state)


class TableMethods(TableFoundation[T]):
    """Makes, describes and deletes the table."""

    _driver: SyncDriver

    def create_table(
        self, *, wait_seconds: float = TABLE_WAIT_SECONDS, progress: tables.Progress | None = None
    ) -> None:
        """Make the table as declared (keys, indexes, billing, stream, TTL) and wait until it is active.

        Args:
            wait_seconds: How long to wait at most, default 300.
            progress: Is told each state; by default they are logged at INFO.

        Raises:
            TableInUseError: The table exists, or is not active in time.
        """
        self._driver.run(
            tables.create_table(self._table_entity, wait_seconds=wait_seconds, progress=progress or self._log_progress),
            each_request=True,
        )

    def ensure_table(
        self, *, wait_seconds: float = TABLE_WAIT_SECONDS, progress: tables.Progress | None = None
    ) -> bool:
        """Make the table unless it exists, wait until it is active, and return whether it was made here.

        Raises:
            ValidationError: The table exists with other keys, or lacks a declared index.
        """
        return self._driver.run(
            tables.ensure_table(self._table_entity, wait_seconds=wait_seconds, progress=progress or self._log_progress),
            each_request=True,
        )

    def table_diff(self, *, together_with: Iterable[TableFoundation[Any]] = ()) -> diffs.TableDiff:
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
        return self._driver.run(table_changes.table_diff(self._entities_with(together_with)))

    def apply_table(
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
        return self._driver.run(
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

    def delete_table(
        self, *, wait_seconds: float = TABLE_WAIT_SECONDS, progress: tables.Progress | None = None
    ) -> bool:
        """Delete the table with everything in it and wait until it is gone; False if there was none."""
        return self._driver.run(
            tables.delete_table(self._table_entity, wait_seconds=wait_seconds, progress=progress or self._log_progress),
            each_request=True,
        )

    def table_status(self) -> str | None:
        """Return DynamoDB's word for the table's state (``"ACTIVE"``, ``"CREATING"``, ...), None if there is none."""
        return self._driver.run(tables.table_status(self._table_entity))

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
