"""Queries over a shared table that read items of several kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Generic, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.exceptions import DeclarationError
from dynamodb_wrapper.operations.gathering import Collection, Gathering
from dynamodb_wrapper.operations.kind_entity import KindEntity
from dynamodb_wrapper.operations.selection import Selection
from dynamodb_wrapper.repositories.foundation import RepositoryFoundation
from dynamodb_wrapper.repositories.query import QueryBuilder
from dynamodb_wrapper.transport import Driver, SyncDriver

if TYPE_CHECKING:
    from collections.abc import Sequence

T = TypeVar("T", bound=BaseModel)
C = TypeVar("C", bound=Collection)

Found = tuple[str, object]
"""The name of a list in a collection, and what belongs into it."""


class CollectionQueryBuilder(QueryBuilder[Found], Generic[C]):
    """What queries for collections of both colours share."""

    __slots__ = ("_gathering",)

    def __init__(self, driver: Driver[Any], selection: Selection[Found], gathering: Gathering[C]) -> None:
        super().__init__(driver, selection)
        self._gathering = gathering

    def _refined(self, selection: Selection[Any]) -> Any:
        return type(self)(self._driver, selection, self._gathering)


class CollectionQuery(CollectionQueryBuilder[C]):
    """A query over one partition for items of all kinds; sent when its results are asked for.

    Its conditions are on the sort key as it is stored, ``.begins_with("ORDER#")``; ``.limit`` and ``page`` count items
    of all kinds together.
    """

    __slots__ = ()
    _driver: SyncDriver

    def all(self) -> C:
        """Read everything in the partition."""
        return self._driver.run(self._gathering.all(self._selection))

    def page(self, size: int, cursor: str | None = None) -> C:
        """Read exactly ``size`` items (fewer only at the end), from where ``cursor`` left off.

        Raises:
            InvalidCursorError: The cursor is damaged, or belongs to another query.
        """
        return self._driver.run(self._gathering.page(self._selection, size, cursor))


class CollectionFoundation(RepositoryFoundation[T]):
    """What repositories of both colours know of the other kinds in their table."""

    def _gathering(self, collection: type[C]) -> Gathering[C]:
        table, mine = self.single_table, self._entity
        if table is None:
            raise DeclarationError(f"{type(self).__name__} shares no table: a collection is of a single_table")
        entities = (
            KindEntity(self.table_name, other, other.codec_for(other.model_class, mine.codec.times), mine.cursor_secret)
            for other in table.declarations.values()
        )
        return Gathering.of(collection, table.kind, entities)

    def _partition(self, gathering: Gathering[Any], partition: Sequence[object], index: str | None) -> Selection[Found]:
        table = self._table_entity
        key = table.declaration.table_key if index is None else table.declaration.index(index)
        chosen = self._selection(index).from_key(*partition)
        if chosen.shards:
            raise DeclarationError(f"{type(self).__name__}: a collection is read from one partition, not from shards")
        return Selection(table, key, gathering.decode, key_conditions=chosen.partition)


class CollectionMethods(CollectionFoundation[T]):
    """Reads items of several kinds with one query."""

    _driver: SyncDriver

    def collection(self, into: type[C], *partition: object, index: str | None = None) -> CollectionQuery[C]:
        """Return a lazy query for everything in one partition of the shared table, whatever it is.

        ::

            class CustomerItems(Collection):
                customers: list[Customer]
                orders: list[Order]

            found = customers.collection(CustomerItems, "c1").all()
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
        return CollectionQuery(self._driver, self._partition(gathering, partition, index), gathering)
