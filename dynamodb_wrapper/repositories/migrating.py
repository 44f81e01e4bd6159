"""The methods of a repository that bring its table up to date, or copy it into another one."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.exceptions import ValidationError
from dynamodb_wrapper.operations import copies, migrations, passes
from dynamodb_wrapper.repositories.foundation import RepositoryFoundation
from dynamodb_wrapper.transport import SyncDriver

T = TypeVar("T", bound=BaseModel)


class CopyFoundation(RepositoryFoundation[T]):
    """What repositories of both colours do about copies without asking DynamoDB."""

    def _copying(self, target: object, transform: Callable[[T], BaseModel | None] | None) -> copies.Copying:
        if not isinstance(target, RepositoryFoundation) or target._connection is not self._connection:
            raise ValidationError(
                f"the table is copied to that of another repository with the same configuration, not to {target!r:.80}",
                {"target": "no repository of this configuration"},
            )
        return copies.Copying(self._entity, target._entity, transform)


class MigrationMethods(CopyFoundation[T]):
    """Brings the table up to date, or copies it."""

    _driver: SyncDriver

    def migrate(
        self,
        *,
        dry_run: bool = False,
        segments: int = 4,
        checkpoint: str | None = None,
        units_per_second: float | None = None,
        progress: Callable[[migrations.MigrationReport], object] | None = None,
    ) -> migrations.MigrationReport:
        """Rewrite all older items of the table in the current schema version, and return what was done.

        Safe while others write: each write is conditional on all that was read of its item, and where another writer
        was faster, the item is looked at anew. Items that cannot be brought up to date are left alone and reported.
        Run it again once no older program writes; it goes through the whole table, and writes nothing twice.

        Args:
            dry_run: Write nothing: report what would change, with examples, and what would fail.
            segments: Into how many segments the table is cut; up to 8 of them are read at a time.
            checkpoint: From a report with as many segments: only what was not done.
            units_per_second: How many capacity units to consume, read and written together; None for no limit.
            progress: Is told after each round, some hundred items; the report's checkpoint is good to go on from, and
                its ``evaluated`` and ``estimated_total`` are what a progress bar needs.

        Raises:
            ValidationError: The repository has no schema version, or an option is wrong.
            InvalidCursorError: The checkpoint is damaged, or is of another migration.
            DynamoDBWrapperError: A request failed; ``context["checkpoint"]`` is where to go on.
        """
        return self._driver.reporting().run(
            migrations.migrate(
                self._entity,
                passes.PassOptions(segments, checkpoint, units_per_second),
                dry_run=dry_run,
                progress=progress,
            ),
            each_request=True,
        )

    def copy_to(
        self,
        target: RepositoryFoundation[Any],
        transform: Callable[[T], BaseModel | None] | None = None,
        *,
        segments: int = 4,
        checkpoint: str | None = None,
        units_per_second: float | None = None,
        progress: Callable[[copies.CopyReport], object] | None = None,
    ) -> copies.CopyReport:
        """Write every item to another repository's table, where nothing has its key, and return what was done.

        For what cannot change in place: keys. An item that is there already is never overwritten: it counts as the
        same, or as different. Attributes that neither model knows come along.

        Args:
            target: The repository of the other table, with the same configuration.
            transform: From this repository's model to the other's, the same for the same item each time; None from
                it leaves an item out. Without a transform, the models are the same.
            segments: Into how many segments the table is cut; up to 8 of them are read at a time.
            checkpoint: From a report with as many segments: only what was not done.
            units_per_second: How many capacity units to consume, read and written together; None for no limit.
            progress: Is told after each round, some hundred items; the report's checkpoint is good to go on from, and
                its ``evaluated`` and ``estimated_total`` are what a progress bar needs.

        Raises:
            ValidationError: The target is no other table of this configuration, or an option is wrong.
            InvalidCursorError: The checkpoint is damaged, or is of another copy.
            DynamoDBWrapperError: A request failed; ``context["checkpoint"]`` is where to go on.
        """
        return self._driver.reporting().run(
            copies.copy(
                self._copying(target, transform),
                passes.PassOptions(segments, checkpoint, units_per_second),
                progress=progress,
            ),
            each_request=True,
        )

    def compare_with(
        self,
        target: RepositoryFoundation[Any],
        transform: Callable[[T], BaseModel | None] | None = None,
        *,
        segments: int = 4,
        checkpoint: str | None = None,
        units_per_second: float | None = None,
        progress: Callable[[copies.CopyReport], object] | None = None,
    ) -> copies.CopyReport:
        """Compare every item with its copy, attribute by attribute, count those of the copy, and return what was found.

        ``is_equal`` of the report says whether each item is there as `copy_to` writes it, and no others are.

        Args:
            target: The repository of the other table, with the same configuration.
            transform: What it was copied with.
            segments: Into how many segments the table is cut; up to 8 of them are read at a time.
            checkpoint: From a report with as many segments: only what was not done.
            units_per_second: How many capacity units to consume; None for no limit. Counting has no limit.
            progress: Is told after each round, some hundred items; the report's checkpoint is good to go on from, and
                its ``evaluated`` and ``estimated_total`` are what a progress bar needs.

        Raises:
            ValidationError: The target is no other table of this configuration, or an option is wrong.
            InvalidCursorError: The checkpoint is damaged, or is of another comparison.
            DynamoDBWrapperError: A request failed; ``context["checkpoint"]`` is where to go on.
        """
        return self._driver.reporting().run(
            copies.compare(
                self._copying(target, transform),
                passes.PassOptions(segments, checkpoint, units_per_second),
                progress=progress,
            ),
            each_request=True,
        )
