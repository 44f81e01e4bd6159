"""The methods of an async repository on its cache."""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel

from dynamodb_wrapper import transport
from dynamodb_wrapper.repositories.caching import CacheFoundation

T = TypeVar("T", bound=BaseModel)


class AsyncCacheMethods(CacheFoundation[T]):
    """Empties the cache."""

    _driver: transport.AsyncDriver

    async def clear_cache(self) -> None:
        """Forget every answer about the table, in this process and on the server that keeps them, if there is one.

        For what the cache cannot see: items that were written past this package, a table that was restored.

        Raises:
            DeclarationError: The repository declares no cache.
        """
        await self._driver.run(self._cached_table.clear())
