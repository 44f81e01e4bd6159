"""Lazy queries: built step by step, sent when their results are asked for."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, Generic, Self, TypeVar, cast, overload

from pydantic import BaseModel

from dynamodb_wrapper.codec import PartialItem
from dynamodb_wrapper.expressions import AnyCondition, Path, as_condition, every
from dynamodb_wrapper.operations import explanations, queries
from dynamodb_wrapper.operations.queries import Page
from dynamodb_wrapper.operations.selection import Selection
from dynamodb_wrapper.operations.sizes import positive
from dynamodb_wrapper.transport import Driver, SyncDriver

R = TypeVar("R")
V = TypeVar("V", bound=BaseModel)


class QueryBuilder(Generic[R]):
    """What queries of both colours share: every method returns a new, refined query; none sends anything."""

    __slots__ = ("_driver", "_selection")

    def __init__(self, driver: Driver[Any], selection: Selection[R]) -> None:
        self._driver = driver
        self._selection = selection

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.explain()})"

    def _refined(self, selection: Selection[Any]) -> Any:
        return type(self)(self._driver, selection)

    def eq(self, *values: object) -> Self:
        """Keep items whose sort key equals ``values``, part by part, left to right."""
        selection = self._selection
        for value in values:
            selection = selection.sorted_by(_equal_to(value), last=False)
        return cast(Self, self._refined(selection))

    def lt(self, value: object) -> Self:
        """Keep items whose (next) sort key part is below ``value``."""
        return cast(Self, self._refined(self._selection.sorted_by(lambda part: part < value, last=True)))

    def le(self, value: object) -> Self:
        """Keep items whose (next) sort key part is at most ``value``."""
        return cast(Self, self._refined(self._selection.sorted_by(lambda part: part <= value, last=True)))

    def gt(self, value: object) -> Self:
        """Keep items whose (next) sort key part is above ``value``."""
        return cast(Self, self._refined(self._selection.sorted_by(lambda part: part > value, last=True)))

    def ge(self, value: object) -> Self:
        """Keep items whose (next) sort key part is at least ``value``."""
        return cast(Self, self._refined(self._selection.sorted_by(lambda part: part >= value, last=True)))

    def between(self, low: object, high: object) -> Self:
        """Keep items whose (next) sort key part is at least ``low`` and at most ``high``."""
        return cast(Self, self._refined(self._selection.sorted_by(lambda part: part.between(low, high), last=True)))

    def begins_with(self, prefix: str | bytes) -> Self:
        """Keep items whose (next) sort key part, text or bytes, begins with ``prefix``."""
        return cast(Self, self._refined(self._selection.sorted_by(lambda part: part.begins_with(prefix), last=True)))

    def where(self, *conditions: AnyCondition) -> Self:
        """Keep items that fulfil all conditions. DynamoDB filters after reading: it saves traffic, not capacity.

        Raises:
            ExpressionError: A condition is on the key that is queried, or on what the index does not carry.
        """
        condition = every(*map(as_condition, conditions))
        return self if condition is None else cast(Self, self._refined(self._selection.filtered(condition)))

    def limit(self, count: int) -> Self:
        """Return at most ``count`` results in all."""
        return cast(Self, self._refined(replace(self._selection, limit=positive("limit", count))))

    def page_size(self, count: int) -> Self:
        """Let DynamoDB evaluate at most ``count`` items per request (default: up to 1 MB)."""
        return cast(Self, self._refined(replace(self._selection, page_size=positive("page_size", count))))

    def descending(self) -> Self:
        """Return the results from the highest sort key to the lowest.

        Raises:
            ExpressionError: It is a scan, which has no order.
        """
        return cast(Self, self._refined(self._selection.reversed()))

    def consistent(self) -> Self:
        """Read strongly consistent; twice the capacity, and not possible on a global index.

        Raises:
            ExpressionError: The query uses a global index.
        """
        return cast(Self, self._refined(self._selection.consistently()))

    def explain(self) -> explanations.QueryExplanation:
        """Return the parameters of the (first) request, values in wire form, without sending anything.

        Its attributes say more: ``index``, ``operation``, ``limits`` and ``iam_actions``.
        """
        return explanations.explained(self._selection)


class Query(QueryBuilder[R]):
    """A query or scan that is sent page by page while it is iterated; iterate again to send it again."""

    __slots__ = ()
    _driver: SyncDriver

    def __iter__(self) -> Iterator[R]:
        """Yield the results; one page is in memory at a time."""
        return self._driver.stream(queries.stream(self._selection.whole()))

    @overload
    def project(self, view: type[V], /) -> Query[V]: ...

    @overload
    def project(self, *attributes: str | Path) -> Query[PartialItem]: ...

    def project(self, *attributes: Any) -> Query[Any]:
        """Read only some attributes: named ones (as `PartialItem`), or those of a smaller model.

        Without any, everything the index carries.

        Raises:
            ExpressionError: The model has no such attribute, or the index does not carry it.
        """
        return cast(Query[Any], self._refined(self._selection.restricted(attributes)))

    def all(self) -> list[R]:
        """Read all results into a list."""
        return self._driver.run(queries.collected(self._selection.whole()))

    def page(self, size: int, cursor: str | None = None) -> Page[R]:
        """Read exactly ``size`` results (fewer only at the end), from where ``cursor`` left off.

        A `limit` bounds each page, not the pages together.

        Raises:
            InvalidCursorError: The cursor is damaged, or belongs to another query.
        """
        return self._driver.run(queries.page_at(self._selection, size, cursor))

    def first(self) -> R | None:
        """Read the first result, or None."""
        return next(iter(self.page(1).items), None)

    def one(self) -> R:
        """Read the only result.

        Raises:
            ItemNotFoundError: There is none.
            MultipleItemsFoundError: There is more than one.
        """
        return self._driver.run(queries.one(self._selection.whole()))

    def count(self) -> int:
        """Count the results on the server, without reading them."""
        return self._driver.run(queries.count(self._selection))


def _equal_to(value: object) -> Any:
    return lambda part: part == value
