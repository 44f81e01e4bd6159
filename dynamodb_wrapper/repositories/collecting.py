"""A batch of writes of one repository, collected in a ``with`` block."""

from __future__ import annotations

from types import TracebackType
from typing import Self, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper.operations.batches import BatchOptions
from dynamodb_wrapper.operations.bulk import CollectedWrites
from dynamodb_wrapper.operations.entity import Entity
from dynamodb_wrapper.transport import SyncDriver

T = TypeVar("T", bound=BaseModel)


class Batch(CollectedWrites[T]):
    """Puts and deletes that are sent together when a ``with`` block ends, and never if its body raises."""

    def __init__(self, driver: SyncDriver, entity: Entity[T], options: BatchOptions, *, ignore_version: bool) -> None:
        super().__init__(entity, options, ignore_version=ignore_version)
        self._driver = driver

    def __enter__(self) -> Self:
        """Begin to collect; a batch is entered once."""
        self._driver.run(self._opened())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Send what was collected, unless the body raised."""
        self._driver.run(self._closed(send=kind is None))
