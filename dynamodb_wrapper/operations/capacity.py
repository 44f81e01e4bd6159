"""What requests consumed, as a value."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dynamodb_wrapper.operations.effects import Response

_WRITES = frozenset({"PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "TransactWriteItems"})


@dataclass(frozen=True, slots=True)
class TableCapacity:
    """What was consumed on one table.

    Attributes:
        table_name: The table; its ARN, if that is how it was called.
        total: Capacity units on the table and its indexes.
        table: Those on the table itself; None when DynamoDB did not say.
        local_indexes: Those on each local index, by name.
        global_indexes: Those on each global index, by name.
    """

    table_name: str
    total: float
    table: float | None = None
    local_indexes: Mapping[str, float] = field(default_factory=dict)
    global_indexes: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ConsumedCapacity:
    """What one request consumed, or several together.

    Units are DynamoDB's: half a read unit for 4 KB read eventually consistent, one write unit for 1 KB written, twice
    that in transactions.

    Attributes:
        total: Capacity units in all.
        read: Read units.
        write: Write units.
        tables: The same by table and index, one entry for each table.
    """

    total: float
    read: float
    write: float
    tables: tuple[TableCapacity, ...]

    @classmethod
    def of(cls, operation: str, response: Response) -> ConsumedCapacity | None:
        """Return what DynamoDB says that a request consumed; None when it says nothing."""
        reported = response.get("ConsumedCapacity")
        if not reported:
            return None
        entries: list[Mapping[str, Any]] = [reported] if isinstance(reported, Mapping) else list(reported)
        total = sum(entry.get("CapacityUnits", 0.0) for entry in entries)
        # Only transactions say which units they are: a repeated one, applied before, only reads.
        read = sum(entry.get("ReadCapacityUnits", 0.0) for entry in entries)
        write = sum(entry.get("WriteCapacityUnits", 0.0) for entry in entries)
        if not read and not write:
            read, write = (0.0, total) if operation in _WRITES else (total, 0.0)
        return cls(total, read, write, _merged(map(_table, entries)))

    def __add__(self, other: ConsumedCapacity | None) -> ConsumedCapacity:
        """Return both together; None is nothing."""
        if other is None:
            return self
        return ConsumedCapacity(
            self.total + other.total,
            self.read + other.read,
            self.write + other.write,
            _merged((*self.tables, *other.tables)),
        )


def _table(entry: Mapping[str, Any]) -> TableCapacity:
    return TableCapacity(
        str(entry.get("TableName", "")),
        entry.get("CapacityUnits", 0.0),
        entry["Table"].get("CapacityUnits", 0.0) if "Table" in entry else None,
        _indexes(entry.get("LocalSecondaryIndexes")),
        _indexes(entry.get("GlobalSecondaryIndexes")),
    )


def _indexes(entries: Mapping[str, Mapping[str, Any]] | None) -> dict[str, float]:
    return {name: entry.get("CapacityUnits", 0.0) for name, entry in (entries or {}).items()}


def _merged(tables: Iterable[TableCapacity]) -> tuple[TableCapacity, ...]:
    by_name: dict[str, TableCapacity] = {}
    for table in tables:
        known = by_name.get(table.table_name)
        by_name[table.table_name] = table if known is None else _sum(known, table)
    return tuple(by_name.values())


def _sum(one: TableCapacity, other: TableCapacity) -> TableCapacity:
    own = None if one.table is None and other.table is None else (one.table or 0.0) + (other.table or 0.0)
    return TableCapacity(
        one.table_name,
        one.total + other.total,
        own,
        _sums(one.local_indexes, other.local_indexes),
        _sums(one.global_indexes, other.global_indexes),
    )


def _sums(one: Mapping[str, float], other: Mapping[str, float]) -> dict[str, float]:
    return {name: one.get(name, 0.0) + other.get(name, 0.0) for name in {**one, **other}}
