"""Indexes as they are declared, and what DynamoDB allows of them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from dynamodb_wrapper.exceptions import DeclarationError

Projection = Literal["ALL", "KEYS_ONLY"] | tuple[str, ...]

MAX_KEY_PARTS = 4
"""AWS, "Multi-attribute keys": the most attributes in one half of an index key."""
MAX_LOCAL_INDEXES = 5
"""AWS, "Quotas": local indexes of a table. (Of global ones there are 20, and more when AWS is asked.)"""
MAX_PROJECTED = 20
"""AWS, "Projection": the most attributes that one index names."""
MAX_PROJECTED_TOGETHER = 100
"""AWS, "Quotas": the most attributes that all indexes of a table name, each name counted in each index."""
_NAME = re.compile(r"[a-zA-Z0-9_.-]{3,255}")


@dataclass(frozen=True, slots=True)
class Index:
    """The table's own key, or an index, by Python field names (or names of derived attributes).

    Attributes:
        name: The index's name; None for the table itself.
        partition: Fields of the partition key: one, or up to four on a global index.
        sort: Fields of the sort key, none to four.
        projection: What the index carries: everything (default), the keys, or the keys and these fields.
        local: Whether it is a local secondary index.
    """

    name: str | None
    partition: tuple[str, ...]
    sort: tuple[str, ...] = ()
    projection: Projection = "ALL"
    local: bool = False

    @property
    def fields(self) -> tuple[str, ...]:
        """All fields of the key."""
        return (*self.partition, *self.sort)


def problem_of(indexes: Sequence[Index]) -> str | None:
    """Return why DynamoDB would refuse these indexes of one table, whatever their fields are; None if it would not."""
    for index in indexes:
        if problem := _problem_of_one(index):
            return f"index {index.name!r}: {problem}"
    local = [str(index.name) for index in indexes if index.local]
    if len(local) > MAX_LOCAL_INDEXES:
        return f"a table has {MAX_LOCAL_INDEXES} local indexes at most, not {len(local)}: {', '.join(local)}"
    named = sum(len(index.projection) for index in indexes if isinstance(index.projection, tuple))
    if named > MAX_PROJECTED_TOGETHER:
        return f"the indexes of a table name {MAX_PROJECTED_TOGETHER} fields at most in projection, not {named}"
    return None


def _problem_of_one(index: Index) -> str | None:
    if index.name is None or not _NAME.fullmatch(index.name):
        return "a name has 3 to 255 characters out of a-z A-Z 0-9 _ . -"
    if not index.partition or max(len(index.partition), len(index.sort)) > MAX_KEY_PARTS:
        return f"a partition key has 1 to {MAX_KEY_PARTS} fields, a sort key 0 to {MAX_KEY_PARTS}"
    if len(set(index.fields)) < len(index.fields):
        return "a field stands in its key twice"
    if not isinstance(index.projection, tuple):
        return None
    if not 1 <= len(index.projection) <= MAX_PROJECTED:
        return f'projection names 1 to {MAX_PROJECTED} fields, not {len(index.projection)}; or is "ALL" or "KEYS_ONLY"'
    return "projection names a field twice" if len(set(index.projection)) < len(index.projection) else None


def merged_indexes(owner: str, indexes: Iterable[Index]) -> tuple[Index, ...]:
    """Return the indexes of a repository's access patterns, each once.

    Raises:
        DeclarationError: Two patterns declare the same index differently.
    """
    by_name: dict[str, Index] = {}
    for index in indexes:
        if index.name is not None and by_name.setdefault(index.name, index) != index:
            raise DeclarationError(f"{owner}: index {index.name!r} is declared twice, differently")
    return tuple(by_name.values())
