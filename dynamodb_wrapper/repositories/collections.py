"""Queries over a shared table that read items of several kinds."""

from __future__ import annotations

from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item
from dynamodb_wrapper.operations.gathering import Collection, Gathering
from dynamodb_wrapper.operations.selection import Selection
from dynamodb_wrapper.repositories.query import QueryBuilder
from dynamodb_wrapper.transport import Driver, SyncDriver

T = TypeVar("T", bound=BaseModel)
C = TypeVar("C", bound=Collection)


class CollectionQueryBuilder(QueryBuilder[Item], Generic[C]):
    """What queries for collections of both colours share."""

    __slots__ = ("_gathering",)

    def __init__(self, driver: Driver[Any], selection: Selection[Item], gathering: Gathering[C]) -> None:
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
