"""Flows that make, watch and delete the table of a declaration."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Protocol

from dynamodb_wrapper.exceptions import TableInUseError, TableNotFoundError, ValidationError
from dynamodb_wrapper.operations.declared_tables import declared_table, recovery_params, table_params
from dynamodb_wrapper.operations.effects import Flow, call, sleep
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.table_comparison import other_structure
from dynamodb_wrapper.operations.table_options import LONGEST_RECOVERY_DAYS

Progress = Callable[[str], None]
"""Is told each state while a table is waited for: ``"CREATING"``, ``"ACTIVE"``, ..."""


class Named(Protocol):
    """A table that is known by its name at least; an `Entity` is one."""

    @property
    def table_name(self) -> str:
        """The physical name."""
        ...


_POLL_SECONDS = 0.25
_LONGEST_POLL_SECONDS = 5.0


def create_table(entity: Entity[Any], *, wait_seconds: float, progress: Progress) -> Flow[None]:
    """Make the table as declared, wait until it is active, then set its TTL and its backups.

    Raises:
        TableInUseError: It exists already, or is not active after ``wait_seconds``.
    """
    yield from call("CreateTable", table_params(entity), repeatable=False)
    yield from wait_until(entity, "ACTIVE", wait_seconds=wait_seconds, progress=progress)
    yield from _ensure_ttl(entity)
    yield from _ensure_recovery(entity, wait_seconds=wait_seconds)


def ensure_table(entity: Entity[Any], *, wait_seconds: float, progress: Progress) -> Flow[bool]:
    """Make the table unless it exists; True if it was made here. Two processes may do it at once.

    Raises:
        ValidationError: The existing table has another key, or a declared index is missing or another one.
    """
    table = yield from described(entity)
    made_here = table is None
    if table is None:
        try:
            # Repeatable: if the first try made the table, the repeat ends in the branch below, and all is well.
            yield from call("CreateTable", table_params(entity))
        except TableInUseError:
            made_here = False
            table = yield from described(entity)
    if table is not None:
        _refuse_other(entity, table)
    yield from wait_until(entity, "ACTIVE", wait_seconds=wait_seconds, progress=progress)
    yield from _ensure_ttl(entity)
    yield from _ensure_recovery(entity, wait_seconds=wait_seconds)
    return made_here


def delete_table(entity: Named, *, wait_seconds: float, progress: Progress) -> Flow[bool]:
    """Delete the table with all its items and wait until it is gone; False if there was none."""
    try:
        yield from call("DeleteTable", {"TableName": entity.table_name}, repeatable=True)
    except TableNotFoundError:
        return False
    yield from wait_until(entity, None, wait_seconds=wait_seconds, progress=progress)
    return True


def one_after_another(*flows: Flow[bool | None]) -> Flow[bool]:
    """Run flows of several tables, each when the one before is done; True if any of them says so."""
    outcomes = []
    for flow in flows:
        outcomes.append((yield from flow))
    return any(outcomes)


def table_status(entity: Named) -> Flow[str | None]:
    """Return DynamoDB's word for the table's state (``"ACTIVE"``, ``"CREATING"``, ...), or None if there is none."""
    table = yield from described(entity)
    return None if table is None else str(table["TableStatus"])


def wait_until(entity: Named, wanted: str | None, *, wait_seconds: float, progress: Progress) -> Flow[None]:
    """Wait until the table and its indexes have a state (None: until the table is gone).

    Raises:
        TableInUseError: They do not have it after ``wait_seconds``.
    """
    waited, pause = 0.0, _POLL_SECONDS
    told: str | None = ""
    while True:
        table = yield from described(entity)
        state = _state(table)
        if state != told:
            progress("gone" if state is None else state)
            told = state
        if state == wanted:
            return
        if waited >= wait_seconds:
            raise TableInUseError(
                f"table {entity.table_name!r} is {state or 'gone'} after {waited:g} s of waiting for "
                f"{wanted or 'it to be gone'}; wait_seconds sets how long to wait"
            )
        yield from sleep(pause)
        waited += pause
        pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)


def _ensure_ttl(entity: Entity[Any]) -> Flow[None]:
    """Set the declared TTL where it is not set yet; another process may be doing the same."""
    if entity.declaration.ttl is None:
        return
    attribute = entity.codec.attribute(entity.declaration.ttl)
    if (yield from ttl_attribute(entity)) == attribute:
        return
    specification = {"Enabled": True, "AttributeName": attribute}
    try:
        yield from call("UpdateTimeToLive", {"TableName": entity.table_name, "TimeToLiveSpecification": specification})
    except ValidationError as error:
        existing = yield from ttl_attribute(entity)
        if existing != attribute:
            raise ValidationError(
                f"table {entity.table_name!r} should expire items by {attribute!r}, and DynamoDB refuses to set that; "
                f"it expires them by {existing!r}",
                {"ttl_attribute": f"is {existing!r}, declared {attribute!r}"},
                error,
            ) from error


def ttl_attribute(entity: Entity[Any]) -> Flow[str | None]:
    """Return the attribute by which the table expires items, or None."""
    response = yield from call("DescribeTimeToLive", {"TableName": entity.table_name})
    description = response["TimeToLiveDescription"]
    enabled = description.get("TimeToLiveStatus") in ("ENABLED", "ENABLING")
    return description.get("AttributeName") if enabled else None


def recovery_days(entity: Entity[Any]) -> Flow[int]:
    """Return how many days back the table can be restored; 0 for no continuous backups."""
    response = yield from call("DescribeContinuousBackups", {"TableName": entity.table_name})
    description = response["ContinuousBackupsDescription"].get("PointInTimeRecoveryDescription") or {}
    if description.get("PointInTimeRecoveryStatus") != "ENABLED":
        return 0
    return int(description.get("RecoveryPeriodInDays", LONGEST_RECOVERY_DAYS))


def _ensure_recovery(entity: Entity[Any], *, wait_seconds: float) -> Flow[None]:
    """Turn on the declared continuous backups where they are off; they are never turned off here.

    For a while after a table was made, AWS says that backups are being enabled, and asks to come back later.
    """
    days = entity.declaration.options.recovery_days
    if not days or (there := (yield from recovery_days(entity))) >= days:
        return
    specification = {"TableName": entity.table_name, "PointInTimeRecoverySpecification": recovery_params(days, there)}
    waited, pause = 0.0, _POLL_SECONDS
    while True:
        try:
            yield from call("UpdateContinuousBackups", specification)
        except TableInUseError:
            if waited >= wait_seconds:
                raise
        else:
            return
        yield from sleep(pause)
        waited += pause
        pause = min(pause * 1.5, _LONGEST_POLL_SECONDS)


def described(entity: Named) -> Flow[dict[str, Any] | None]:
    """Return DynamoDB's description of the table; None if there is none."""
    try:
        response = yield from call("DescribeTable", {"TableName": entity.table_name})
    except TableNotFoundError:
        return None
    table: dict[str, Any] = response["Table"]
    return table


def _state(table: dict[str, Any] | None) -> str | None:
    if table is None:
        return None
    states = [table["TableStatus"], *(index.get("IndexStatus", "ACTIVE") for index in _indexes(table))]
    return next((state for state in states if state != "ACTIVE"), "ACTIVE")


def _indexes(table: dict[str, Any]) -> Iterable[dict[str, Any]]:
    return [*table.get("GlobalSecondaryIndexes", ()), *table.get("LocalSecondaryIndexes", ())]


def _refuse_other(entity: Entity[Any], table: dict[str, Any]) -> None:
    """Refuse to work on a table that is not the declared one."""
    if problems := other_structure(declared_table(entity), table):
        details = "; ".join(f"{what} {problem}" for what, problem in problems.items())
        raise ValidationError(
            f"table {entity.table_name!r} is not as declared: {details}; table_diff() says what apply_table() can "
            "change of it",
            problems,
        )
