"""The methods of a repository on its cache."""

from __future__ import annotations

from copy import copy
from dataclasses import replace
from typing import Self, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.exceptions import DeclarationError
from dynamodb_wrapper.operations import recalling
from dynamodb_wrapper.repositories.foundation import RepositoryFoundation
from dynamodb_wrapper.transport import SyncDriver

T = TypeVar("T", bound=BaseModel)


class CacheFoundation(RepositoryFoundation[T]):
    """What repositories of both colours do about their cache without asking anybody."""

    def cache_info(self) -> recalling.CacheInfo:
        """Return what became of the readings through the cache: hits, misses and the like.

        Counted in this process, for all repositories of the class that reach the same table.

        Raises:
            DeclarationError: The repository declares no cache.
        """
        return self._cached_table.info()

    def without_cache(self) -> Self:
        """Return this repository, its reads not through the cache. Its writes are seen by the cache all the same."""
        uncached = copy(self)
        uncached._entity = replace(self._entity, cache=None)
        return uncached

    @property
    def _cached_table(self) -> recalling.AnswerCache:
        cache = self._entity.cache
        if cache is None:
            raise DeclarationError(f"{type(self).__name__} declares no cache, or this one is without it")
        return cache


class CacheMethods(CacheFoundation[T]):
    """Empties the cache."""

    _driver: SyncDriver

    def clear_cache(self) -> None:
        """Forget every answer about the table, in this process and on the server that keeps them, if there is one.

        For what the cache cannot see: items that were written past this package, a table that was restored.

        Raises:
            DeclarationError: The repository declares no cache.
        """
        self._driver.run(self._cached_table.clear())
