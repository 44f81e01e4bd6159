"""A loader: many single reads, made in many places, as few requests."""

from __future__ import annotations

from typing import Generic, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.codec import Item
from dynamodb_wrapper.exceptions import DynamoDBWrapperError
from dynamodb_wrapper.operations import bulk
from dynamodb_wrapper.operations.batches import BatchOptions, Identity, Wanted, identity
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.transport import SyncDriver
from dynamodb_wrapper.transport.forks import ForkSafeLock

T = TypeVar("T", bound=BaseModel)


class Loader(Generic[T]):
    """Collects keys until one of the items is needed, then reads all of them in one batch. Safe under threads.

    A key is asked once in the life of the loader: what it read first is what it gives, whatever is written meanwhile.
    So make one for each unit of work, a web request for example. Keys of a read that failed are asked again when they
    are loaded again.
    """

    def __init__(self, driver: SyncDriver, entity: Entity[T], options: BatchOptions, *, consistent: bool) -> None:
        self._driver = driver
        self._entity = entity
        self._options = options
        self._consistent = consistent
        self._lock = ForkSafeLock()
        self._handles: dict[Identity, Loaded[T]] = {}
        self._collecting = _Round[T](self)

    def load(self, pk: object, sk: object = None) -> Loaded[T]:
        """Return a handle of the item under a key; nothing is read before its result is asked for.

        Raises:
            ValidationError: The key is not one of this table.
        """
        key = self._entity.key(pk, sk)
        name = identity(self._entity.table_name, key)
        with self._lock:
            handle = self._handles.get(name)
            if handle is None or handle.has_failed:
                wanted = Wanted(self._entity.table_name, key, pk if sk is None else (pk, sk))
                handle = self._handles[name] = self._collecting.add(wanted)
            return handle

    def _fetch(self, round_: _Round[T]) -> list[Item | None]:
        with self._lock:  # from here on, keys are collected for the next round
            if self._collecting is round_:
                self._collecting = _Round(self)
        return self._driver.run(bulk.load(self._entity, round_.wanted, self._options, consistent=self._consistent))


class Loaded(Generic[T]):
    """An item that a loader reads when it is needed."""

    __slots__ = ("_entity", "_place", "_round")

    def __init__(self, entity: Entity[T], round_: _Round[T], place: int) -> None:
        self._entity = entity
        self._round = round_
        self._place = place

    def result(self) -> T | None:
        """Return the item as a model of the caller's own, or None; the first call reads all keys loaded so far.

        Raises:
            ValidationError: The stored item is no valid model.
            DynamoDBWrapperError: The read failed; every handle of it raises this.
        """
        item = self._round.items()[self._place]
        return None if item is None else self._entity.found(item)

    @property
    def has_failed(self) -> bool:
        """Whether it was read, and that failed."""
        return self._round.error is not None


class _Round(Generic[T]):
    """Keys that are read together, and what came of it."""

    def __init__(self, loader: Loader[T]) -> None:
        self.wanted: list[Wanted] = []
        self.error: DynamoDBWrapperError | None = None
        self._items: list[Item | None] | None = None
        self._loader = loader
        self._lock = ForkSafeLock()  # held while it reads: who asks meanwhile waits for the same answer

    def add(self, wanted: Wanted) -> Loaded[T]:
        """Add a key, and return its handle; the loader's lock is held."""
        self.wanted.append(wanted)
        return Loaded(self._loader._entity, self, len(self.wanted) - 1)

    def items(self) -> list[Item | None]:
        """Return what was read; read it, if nobody has."""
        with self._lock:
            if self.error is not None:
                raise self.error
            if self._items is None:
                try:
                    self._items = self._loader._fetch(self)
                except DynamoDBWrapperError as error:
                    self.error = error
                    raise
            return self._items
