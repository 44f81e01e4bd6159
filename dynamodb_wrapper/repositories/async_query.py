"""Lazy queries of async repositories."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any, TypeVar, cast, overload

from pydantic import BaseModel

from dynamodb_wrapper import transport
from dynamodb_wrapper.codec import PartialItem
from dynamodb_wrapper.expressions import Path
from dynamodb_wrapper.operations import queries
from dynamodb_wrapper.operations.queries import Page
from dynamodb_wrapper.repositories.query import QueryBuilder

R = TypeVar("R")
V = TypeVar("V", bound=BaseModel)


class AsyncQuery(QueryBuilder[R]):
    """A query or scan that is sent page by page while it is iterated; iterate again to send it again."""

    __slots__ = ()
    _driver: transport.AsyncDriver

    def __aiter__(self) -> AsyncIterator[R]:
        """Yield the results; one page is in memory at a time."""
        return self._driver.stream(queries.stream(self._selection.whole()))

    @overload
    def project(self, view: type[V], /) -> AsyncQuery[V]: ...

    @overload
    def project(self, *attributes: str | Path) -> AsyncQuery[PartialItem]: ...

    def project(self, *attributes: Any) -> AsyncQuery[Any]:
        """Read only some attributes: named ones (as `PartialItem`), or those of a smaller model.

        Without any, everything the index carries.

        Raises:
            ExpressionError: The model has no such attribute, or the index does not carry it.
        """
        return cast(AsyncQuery[Any], self._refined(self._selection.restricted(attributes)))

    async def all(self) -> list[R]:
        """Read all results into a list."""
        return await self._driver.run(queries.collected(self._selection.whole()))

    async def page(self, size: int, cursor: str | None = None) -> Page[R]:
        """Read exactly ``size`` results (fewer only at the end), from where ``cursor`` left off.

        A `limit` bounds each page, not the pages together.

        Raises:
            InvalidCursorError: The cursor is damaged, or belongs to another query.
        """
        return await self._driver.run(queries.page_at(self._selection, size, cursor))

    async def first(self) -> R | None:
        """Read the first result, or None."""
        return next(iter((await self.page(1)).items), None)

    async def one(self) -> R:
        """Read the only result.

        Raises:
            ItemNotFoundError: There is none.
            MultipleItemsFoundError: There is more than one.
        """
        return await self._driver.run(queries.one(self._selection.whole()))

    async def count(self) -> int:
        """Count the results on the server, without reading them."""
        return await self._driver.run(queries.count(self._selection))
