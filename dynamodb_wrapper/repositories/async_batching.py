"""The methods of an async repository on many items: reads, puts and deletes in batches."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Self, TypeVar, overload

from pydantic import BaseModel

from dynamodb_wrapper import transport
from dynamodb_wrapper.codec import PartialItem
from dynamodb_wrapper.expressions import Path
from dynamodb_wrapper.operations import batches, bulk
from dynamodb_wrapper.operations.batches import BatchOptions
from dynamodb_wrapper.operations.bulk import CollectedWrites
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.repositories.async_loading import AsyncLoader
from dynamodb_wrapper.repositories.foundation import RepositoryFoundation

T = TypeVar("T", bound=BaseModel)


class AsyncBatch(CollectedWrites[T]):
    """Puts and deletes that are sent together when an ``async with`` block ends, and never if its body raises."""

    def __init__(
        self, driver: transport.AsyncDriver, entity: Entity[T], options: BatchOptions, *, ignore_version: bool
    ) -> None:
        super().__init__(entity, options, ignore_version=ignore_version)
        self._driver = driver

    async def __aenter__(self) -> Self:
        """Begin to collect; a batch is entered once."""
        await self._driver.run(self._opened())
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send what was collected, unless the body raised."""
        await self._driver.run(self._closed(send=kind is None))


class AsyncBatchMethods(RepositoryFoundation[T]):
    """Reads and writes many items with few requests.

    A key is the value of the partition key; on a table with a sort key, a pair of both values. A mapping of the key's
    fields to values is one, too.

    What is given is any iterable. A collection (a list, a set) is checked as a whole before anything is sent. A
    generator is drawn as requests have room, so that it may be of any length.
    """

    _driver: transport.AsyncDriver

    @overload
    async def get_many(
        self,
        keys: Iterable[object],
        *,
        consistent: bool = False,
        attributes: None = None,
        concurrency: int = 4,
        progress: batches.Progress | None = None,
    ) -> list[T | None]: ...

    @overload
    async def get_many(
        self,
        keys: Iterable[object],
        *,
        consistent: bool = False,
        attributes: Sequence[str | Path],
        concurrency: int = 4,
        progress: batches.Progress | None = None,
    ) -> list[PartialItem | None]: ...

    async def get_many(
        self,
        keys: Iterable[object],
        *,
        consistent: bool = False,
        attributes: Sequence[str | Path] | None = None,
        concurrency: int = 4,
        progress: batches.Progress | None = None,
    ) -> list[T | None] | list[PartialItem | None]:
        """Return the items under any number of keys, in their order, None for those that do not exist.

        A key that is given more than once is read once. DynamoDB takes 100 keys per request; it is no snapshot.

        Args:
            keys: The keys.
            consistent: Read strongly consistent (twice the capacity).
            attributes: Read these attributes only, as `PartialItem` instead of models.
            concurrency: How many requests are on their way at a time.
            progress: Is told how far it is, after each request, on the event loop.

        Raises:
            ValidationError: A key is not one of this table, or a stored item is no valid model.
            BatchIncompleteError: DynamoDB left keys unread again and again; ``.unprocessed`` has them.
        """
        return await self._driver.run(
            bulk.get_many(
                self._entity, keys, attributes, BatchOptions(concurrency, progress=progress), consistent=consistent
            )
        )

    async def put_many(
        self,
        models: Iterable[T],
        *,
        ignore_version: bool = False,
        concurrency: int = 4,
        progress: batches.Progress | None = None,
    ) -> int:
        """Write any number of models, replacing what is there, and return how many were given.

        Of models with the same key the last wins. ``created_at``, ``updated_at`` and the version are set as `put` sets
        them, to the time when the batch began, on each model once it is written (a frozen one is left as it is).

        Args:
            models: The models.
            ignore_version: Do it on a versioned repository, too: overwrite whatever version is stored.
            concurrency: How many requests, of up to 25 items, are on their way at a time.
            progress: Is told how far it is, after each request, on the event loop.

        Raises:
            ValidationError: The repository is versioned, or a model cannot be stored. Nothing was sent.
            BatchIncompleteError: Some were not written; ``.unprocessed`` has them, ``.original_error`` says why. Any
                error after the first request is one of these, that of a generator and of a refused model included.
        """
        return await self._driver.run(
            bulk.put_many(
                self._entity, models, BatchOptions(concurrency, progress=progress), ignore_version=ignore_version
            )
        )

    async def delete_many(
        self,
        keys: Iterable[object],
        *,
        ignore_version: bool = False,
        concurrency: int = 4,
        progress: batches.Progress | None = None,
    ) -> int:
        """Delete the items under any number of keys, and return how many keys were given, with an item or without.

        Args:
            keys: The keys.
            ignore_version: Do it on a versioned repository, too.
            concurrency: How many requests, of up to 25 keys, are on their way at a time.
            progress: Is told how far it is, after each request, on the event loop.

        Raises:
            ValidationError: The repository is versioned, or a key is not one of this table. Nothing was sent.
            BatchIncompleteError: Some were not deleted; ``.unprocessed`` has their keys, as they were given.
        """
        return await self._driver.run(
            bulk.delete_many(
                self._entity, keys, BatchOptions(concurrency, progress=progress), ignore_version=ignore_version
            )
        )

    def batch(
        self, *, ignore_version: bool = False, concurrency: int = 4, progress: batches.Progress | None = None
    ) -> AsyncBatch[T]:
        """Return a batch for an ``async with`` block: what it is given is sent at its end, or never if the body raises.

        ::

            async with orders.batch() as batch:
                batch.put(order)
                batch.delete("c1", "o2")

        All is held until then. Of writes to the same key the last wins. It is no transaction: `BatchIncompleteError`
        at the end of the block says what was not done.

        Args:
            ignore_version: Do it on a versioned repository, too: overwrite whatever version is stored.
            concurrency: How many requests are on their way at a time.
            progress: Is told how far it is, after each request, on the event loop.

        Raises:
            ValidationError: The repository is versioned.
        """
        return AsyncBatch(
            self._driver,
            self._entity,
            BatchOptions(concurrency, progress=progress),
            ignore_version=ignore_version,
        )

    def loader(self, *, consistent: bool = False, concurrency: int = 4) -> AsyncLoader[T]:
        """Return a loader: many single reads, made anywhere, that become few requests. Make one for each unit of work.

        Args:
            consistent: Read strongly consistent (twice the capacity).
            concurrency: How many requests are on their way at a time.
        """
        return AsyncLoader(self._driver, self._entity, BatchOptions(concurrency), consistent=consistent)
