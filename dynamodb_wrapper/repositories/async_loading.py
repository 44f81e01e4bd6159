"""A loader for tasks: many single reads, made in many places, as few requests."""

from __future__ import annotations

from collections.abc import Generator
from typing import Any, Generic, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper import transport
from dynamodb_wrapper.codec import Item
from dynamodb_wrapper.operations import bulk
from dynamodb_wrapper.operations.batches import BatchOptions, Identity, Wanted, identity
from dynamodb_wrapper.operations.entity import Entity

T = TypeVar("T", bound=BaseModel)


class AsyncLoader(Generic[T]):
    """Collects keys until one of the items is needed, then reads all of them in one batch. Belongs to one event loop.

    What tasks load in the same round of the event loop is one batch, however many tasks there are.

    A key is asked once in the life of the loader: what it read first is what it gives, whatever is written meanwhile.
    So make one for each unit of work, a web request for example. Keys of a read that failed are asked again when they
    are loaded again.
    """

    def __init__(
        self, driver: transport.AsyncDriver, entity: Entity[T], options: BatchOptions, *, consistent: bool
    ) -> None:
        self._driver = driver
        self._entity = entity
        self._options = options
        self._consistent = consistent
        self._handles: dict[Identity, AsyncLoaded[T]] = {}
        self._collecting = _Round[T](self)

    def load(self, pk: object, sk: object = None) -> AsyncLoaded[T]:
        """Return a handle of the item under a key; nothing is read before its result is asked for.

        Await the handle itself for the result: ``order = await loader.load("c1", "o1")``.

        Raises:
            ValidationError: The key is not one of this table.
        """
        key = self._entity.key(pk, sk)
        name = identity(self._entity.table_name, key)
        handle = self._handles.get(name)
        if handle is None or handle.has_failed:
            wanted = Wanted(self._entity.table_name, key, pk if sk is None else (pk, sk))
            handle = self._handles[name] = self._collecting.add(wanted)
        return handle

    async def _fetch(self, round_: _Round[T]) -> list[Item | None]:
        if self._collecting is round_:  # from here on, keys are collected for the next round
            self._collecting = _Round(self)
        return await self._driver.run(
            bulk.load(self._entity, round_.wanted, self._options, consistent=self._consistent)
        )


class AsyncLoaded(Generic[T]):
    """An item that a loader reads when it is needed."""

    __slots__ = ("_entity", "_place", "_round")

    def __init__(self, entity: Entity[T], round_: _Round[T], place: int) -> None:
        self._entity = entity
        self._round = round_
        self._place = place

    def __await__(self) -> Generator[Any, None, T | None]:
        """Return what `result` returns."""
        return self.result().__await__()

    async def result(self) -> T | None:
        """Return the item as a model of the caller's own, or None; the first call reads all keys loaded so far.

        Raises:
            ValidationError: The stored item is no valid model.
            DynamoDBWrapperError: The read failed; every handle of it raises this.
        """
        item = (await self._round.read.outcome())[self._place]
        return None if item is None else self._entity.found(item)

    @property
    def has_failed(self) -> bool:
        """Whether it was read, and that failed."""
        return self._round.read.has_failed


class _Round(Generic[T]):
    """Keys that are read together, and what comes of it."""

    def __init__(self, loader: AsyncLoader[T]) -> None:
        self.wanted: list[Wanted] = []
        self.read = loader._driver.next_tick(lambda: loader._fetch(self))
        self._entity = loader._entity

    def add(self, wanted: Wanted) -> AsyncLoaded[T]:
        """Add a key, and return its handle."""
        self.wanted.append(wanted)
        return AsyncLoaded(self._entity, self, len(self.wanted) - 1)
