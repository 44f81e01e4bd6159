"""Access patterns of async repositories."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper import transport
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.operations.indexes import Index
from dynamodb_wrapper.operations.selection import Selection
from dynamodb_wrapper.repositories.async_query import AsyncQuery

T = TypeVar("T", bound=BaseModel)


class AsyncBoundAccessPattern(Generic[T]):
    """An access pattern of one repository; call it with the partition key's value(s)."""

    __slots__ = ("_cached", "_driver", "_entity", "_index")

    def __init__(self, driver: transport.AsyncDriver, entity: Entity[T], index: Index, *, cached: bool = False) -> None:
        self._cached = cached
        self._driver = driver
        self._entity = entity
        self._index = index

    def __call__(self, *partition: object) -> AsyncQuery[T]:
        """Return the query for one partition; nothing is read before it is iterated.

        Raises:
            ValidationError: A value is missing, or not what the key holds.
        """
        chosen = Selection(self._entity, self._index, self._entity.decode, is_cached=self._cached)
        return AsyncQuery(self._driver, chosen.from_key(*partition))

    def shown_in(self, timezone: str | None) -> AsyncBoundAccessPattern[T]:
        """Return the pattern with datetimes of its results shown in a zone (None: the configured one)."""
        return AsyncBoundAccessPattern(
            self._driver, self._entity.in_zones(shown=timezone), self._index, cached=self._cached
        )

    def scan(self) -> AsyncQuery[T]:
        """Return a query over every item in the index."""
        return AsyncQuery(self._driver, Selection(self._entity, self._index, self._entity.decode))
