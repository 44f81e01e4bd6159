"""Pages as an endpoint takes and answers them."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel, Field

from dynamodb_wrapper.operations.queries import Page as QueryPage

M = TypeVar("M", bound=BaseModel)
N = TypeVar("N", bound=BaseModel)

_LONGEST_CURSOR = 16_384
"""Characters. Ours have some hundreds; the keys of a table and an index with their limits of bytes fit in it."""


class PageQuery(BaseModel):
    """Which page a caller wants, as query parameters: ``page: Annotated[PageQuery, Depends()]``.

    A subclass may have another default and another bound for ``size``.
    """

    size: int = Field(default=20, ge=1, le=100, description="How many items at most.")
    cursor: str | None = Field(
        default=None,
        max_length=_LONGEST_CURSOR,
        description="The cursor of the page before; without one, the first page.",
    )


class Page(BaseModel, Generic[M]):
    """A page of a query, as it is answered: ``-> Page[Order]``."""

    items: list[M]
    cursor: str | None = Field(description="Send it for the page after this one; null when there is none.")

    @staticmethod
    def of(page: QueryPage[N]) -> Page[N]:
        """Return the answer for what ``.page(size, cursor)`` of a query gave."""
        return Page[N].model_construct(items=page.items, cursor=page.cursor)
