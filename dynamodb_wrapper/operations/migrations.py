"""The flow that rewrites a table in place, so that all its items are of the current schema version."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dynamodb_wrapper.codec import Item, item_bytes, read_any
from dynamodb_wrapper.exceptions import (
    DynamoDBWrapperError,
    TransactionConflictError,
    UniqueViolationError,
    ValidationError,
)
from dynamodb_wrapper.operations import evolving
from dynamodb_wrapper.operations.effects import Flow
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.evolving import Outcome
from dynamodb_wrapper.operations.passes import (
    WRITE_UNIT_BYTES,
    Done,
    PassOptions,
    PassReport,
    TablePass,
    estimated_total,
)

MAX_FAILURES = 100
"""How many failures a report has; all are counted."""
MAX_EXAMPLES = 3
"""How many examples a report has, of each version."""
OF_ONE_ITEM = (ValidationError, UniqueViolationError, TransactionConflictError)
"""What is wrong with one item, and says nothing about the others."""


@dataclass(frozen=True, slots=True)
class MigrationFailure:
    """An item that was left alone.

    Attributes:
        key: Its key.
        version: The schema version that is stored; None for something that is none.
        error: Why.
    """

    key: Mapping[str, object]
    version: int | None
    error: DynamoDBWrapperError

    @property
    def reason(self) -> str:
        """Why, as text."""
        return self.error.message


@dataclass(frozen=True, slots=True)
class MigrationExample:
    """What migrating changes in one item.

    Attributes:
        key: Its key.
        version: The schema version that was stored.
        before: The attributes that change, as they are stored; without those that are new.
        after: The same attributes afterwards; without those that are gone.
    """

    key: Mapping[str, object]
    version: int
    before: Mapping[str, object]
    after: Mapping[str, object]


@dataclass(frozen=True, slots=True)
class MigrationReport(PassReport):
    """What a migration has done, or, of a dry run, would do; from where it started, which may be a checkpoint.

    Attributes:
        dry_run: Whether nothing was written.
        rewritten: How many were brought up to date.
        current: How many were of the current version already.
        newer: How many were of a newer one, and left alone.
        gone: How many were deleted by other writers meanwhile.
        failed: How many cannot be brought up to date, and were left alone.
        versions: How many items of each version were found.
        failures: The first 100 that failed.
        examples: Of a dry run, the first 3 of each version that would be rewritten.
    """

    dry_run: bool
    rewritten: int = 0
    current: int = 0
    newer: int = 0
    gone: int = 0
    failed: int = 0
    versions: Mapping[int, int] = field(default_factory=dict)
    failures: tuple[MigrationFailure, ...] = ()
    examples: tuple[MigrationExample, ...] = ()

    def __str__(self) -> str:
        """Return the counts in one line."""
        verb = "would be rewritten" if self.dry_run else "rewritten"
        return (
            f"{self.scanned:,} items: {self.rewritten:,} {verb}, {self.current:,} current, {self.newer:,} newer, "
            f"{self.gone:,} gone, {self.failed:,} failed"
        )


Progress = Callable[[MigrationReport], object]
"""Is told how far a pass has come, after each round."""


@dataclass(frozen=True, slots=True)
class _Result:
    version: int | None
    outcome: Outcome | None = None
    is_newer: bool = False
    failure: MigrationFailure | None = None
    example: MigrationExample | None = None


def migrate(
    entity: Entity[Any], options: PassOptions, *, dry_run: bool, progress: Progress | None
) -> Flow[MigrationReport]:
    """Bring all items of a table up to date, and return what was done.

    Raises:
        ValidationError: The repository has no schema version, or an option is wrong.
        InvalidCursorError: The checkpoint is damaged, or is of another migration.
        DynamoDBWrapperError: A request failed; ``context["checkpoint"]`` is where to go on.
    """
    if entity.evolution is None:
        raise ValidationError(
            f"the repository of table {entity.table_name!r} declares no schema_version, so there is nothing to migrate"
        )
    purpose = f"{'dry run of ' if dry_run else ''}migration to {entity.evolution.current}"
    table = TablePass[_Result](entity, options, purpose=purpose)
    total = None if progress is None else (yield from estimated_total(entity))
    report = MigrationReport(dry_run, estimated_total=total)

    def handle(item: Item) -> Flow[Done[_Result]]:
        return _handled(entity, item, dry_run=dry_run)

    def note(results: Sequence[_Result]) -> None:
        nonlocal report
        report = _noted(report, results)

    def told() -> None:
        nonlocal report
        report = table.noted_in(report)
        if progress is not None:
            progress(report)

    yield from table.run(handle, note, told)
    return report


def _handled(entity: Entity[Any], item: Item, *, dry_run: bool) -> Flow[Done[_Result]]:
    evolution = entity.evolution
    assert evolution is not None
    version: int | None = None
    try:
        version = evolution.version_of(item)
        if version >= evolution.current:
            return Done(_Result(version, is_newer=version > evolution.current))
        if dry_run:
            example = _example(entity, version, item, evolving.current_form(entity, item))
            return Done(_Result(version, Outcome.REWRITTEN, example=example))
        done = yield from evolving.rewrite(entity, item)
    except OF_ONE_ITEM as error:
        error.context.update(entity.located(item))
        key = entity.readable_key(entity.key_of(item))
        return Done(_Result(version, failure=MigrationFailure(key, version, error)))
    units = done.write_units or -(-item_bytes(item) // WRITE_UNIT_BYTES)
    return Done(_Result(version, done.outcome), units)


def _example(entity: Entity[Any], version: int, before: Item, after: Item) -> MigrationExample:
    changed = [name for name in {**before, **after} if before.get(name) != after.get(name)]
    return MigrationExample(
        entity.readable_key(entity.key_of(before)),
        version,
        {name: read_any(before[name]) for name in changed if name in before},
        {name: read_any(after[name]) for name in changed if name in after},
    )


def _noted(report: MigrationReport, results: Sequence[_Result]) -> MigrationReport:
    """Return the report with what was done about some items."""
    versions = dict(report.versions)
    examples, failures = list(report.examples), list(report.failures)
    for result in results:
        if result.version is not None:
            versions[result.version] = versions.get(result.version, 0) + 1
        if result.failure is not None and len(failures) < MAX_FAILURES:
            failures.append(result.failure)
        if result.example is not None:
            known = sum(example.version == result.version for example in examples)
            examples += [result.example] if known < MAX_EXAMPLES else []
    outcomes = [result.outcome for result in results]
    newer = sum(result.is_newer for result in results)
    failed = sum(result.failure is not None for result in results)
    rewritten, gone = outcomes.count(Outcome.REWRITTEN), outcomes.count(Outcome.GONE)
    return replace(
        report,
        rewritten=report.rewritten + rewritten,
        gone=report.gone + gone,
        newer=report.newer + newer,
        failed=report.failed + failed,
        current=report.current + len(results) - rewritten - gone - newer - failed,
        versions=versions,
        failures=tuple(failures),
        examples=tuple(examples),
    )
