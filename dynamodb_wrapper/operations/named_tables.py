"""Tables known by their physical names alone, without a declaration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from dynamodb_wrapper.operations.effects import Flow, call, together
from dynamodb_wrapper.operations.tables import described

_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class NamedTable:
    """A table, by its physical name."""

    table_name: str


@dataclass(frozen=True, slots=True)
class TableSummary:
    """How large a table is, and how it is doing.

    Attributes:
        table_name: The physical name.
        status: DynamoDB's word for its state (``"ACTIVE"``, ``"CREATING"``, ...).
        items: About how many items it has; DynamoDB counts them every six hours.
        bytes: About how large they are together, counted likewise.
        billing: ``"PAY_PER_REQUEST"`` or ``"PROVISIONED"``.
        indexes: The names of its indexes.
    """

    table_name: str
    status: str
    items: int
    bytes: int
    billing: str
    indexes: tuple[str, ...] = ()


def table_names(*, prefix: str = "") -> Flow[list[str]]:
    """Return the names of all tables of the account in the region, or of those that begin so, sorted."""
    names: list[str] = []
    params: dict[str, Any] = {}
    while True:
        response = yield from call("ListTables", params)
        names += [name for name in response["TableNames"] if name.startswith(prefix)]
        last = response.get("LastEvaluatedTableName")
        if last is None:
            return sorted(names)
        params = {"ExclusiveStartTableName": last}


def summaries(names: Sequence[str]) -> Flow[list[TableSummary]]:
    """Return the summaries of tables, in that order; a table that does not exist is left out."""
    found = yield from together((summary(name) for name in names), at_most=_AT_ONCE)
    return [each for each in found if each is not None]


def summary(name: str) -> Flow[TableSummary | None]:
    """Return the summary of a table; None if it does not exist."""
    table = yield from described(NamedTable(name))
    if table is None:
        return None
    indexes = (*table.get("LocalSecondaryIndexes", ()), *table.get("GlobalSecondaryIndexes", ()))
    return TableSummary(
        name,
        str(table["TableStatus"]),
        int(table.get("ItemCount", 0)),
        int(table.get("TableSizeBytes", 0)),
        # A table that never was on demand has no summary.
        str(table.get("BillingModeSummary", {}).get("BillingMode", "PROVISIONED")),
        tuple(str(index["IndexName"]) for index in indexes),
    )
