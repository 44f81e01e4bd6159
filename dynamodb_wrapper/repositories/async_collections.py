"""Queries over a shared table that read items of several kinds, on an event loop."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from dynamodb_wrapper import transport
from dynamodb_wrapper.operations.gathering import Collection
from dynamodb_wrapper.repositories.collections import CollectionQueryBuilder
from dynamodb_wrapper.repositories.gathering import CollectionFoundation

T = TypeVar("T", bound=BaseModel)
C = TypeVar("C", bound=Collection)


class AsyncCollectionQuery(CollectionQueryBuilder[C]):
    """A query over one partition for items of all kinds; sent when its results are asked for.

    Its conditions are on the sort key as it is stored, ``.begins_with("ORDER#")``; ``.limit`` and ``page`` count items
    of all kinds together.
    """

    __slots__ = ()
    _driver: transport.AsyncDriver

    async def all(self) -> C:
        """Read everything in the partition."""
        return await self._driver.run(self._gathering.all(self._selection))

    async def page(self, size: int, cursor: str | None = None) -> C:
        """Read exactly ``size`` items (fewer only at the end), from where ``cursor`` left off.

        Raises:
            InvalidCursorError: The cursor is damaged, or belongs to another query.
        """
        return await self._driver.run(self._gathering.page(self._selection, size, cursor))


class AsyncCollectionMethods(CollectionFoundation[T]):
    """Reads items of several kinds with one query."""

    _driver: transport.AsyncDriver

    def collection(self, into: type[C], *partition: object, index: str | None = None) -> AsyncCollectionQuery[C]:
        """Return a lazy query for everything in one partition of the shared table, whatever it is.

        ::

            class CustomerItems(Collection):
                customers: list[Customer]
                orders: list[Order]

            found = await customers.collection(CustomerItems, "c1").all()
            found.orders, found.unknown

        Args:
            into: The collection: a class with a list for each model.
            partition: The partition, as `query` takes it.
            index: The name of an index that this repository declares a pattern on.

        Raises:
            DeclarationError: The repository shares no table, or the collection has a model that is not in it.
            ValidationError: A partition value is missing, or not what the key holds.
        """
        gathering = self._gathering(into)
        return AsyncCollectionQuery(self._driver, self._partition(partition, index), gathering)
