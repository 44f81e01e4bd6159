"""Transactions of async repositories; the requests are the same as those of others."""

from __future__ import annotations

from collections.abc import Iterable
from types import TracebackType
from typing import Self, TypeVar

from pydantic import BaseModel

from dynamodb_wrapper import transport
from dynamodb_wrapper.exceptions import UniqueViolationError
from dynamodb_wrapper.operations import adoption
from dynamodb_wrapper.repositories.transactions import (
    GetRequest,
    RequestMethods,
    TransactionQueue,
    WriteRequest,
    found,
    listed,
    shared_connection,
    written,
)

T = TypeVar("T", bound=BaseModel)
M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")


class AsyncTransactionMethods(RequestMethods[T]):
    """Makes requests for transactions, and keeps unique values."""

    _driver: transport.AsyncDriver

    async def ensure_unique(self) -> list[UniqueViolationError]:
        """Guard the values of items that were written before their fields were declared ``unique``.

        Reads the whole table and sends one transaction for each value. Safe while others write, and to run again.

        Returns:
            One error for each item whose value another item has; ``.key`` and ``.owner`` are the two. Change one of
            them. Empty: all values are guarded.
        """
        return await self._driver.run(adoption.ensure_unique(self._entity))


async def async_transact_write(
    requests: Iterable[WriteRequest[M]], *, timeout: float | None = None, max_attempts: int | None = None
) -> list[M | None]:
    """Write all of the requests, of any repositories of one connection, or none; return their models.

    One ``TransactWriteItems``: at most 100 actions and 4 MB, each item once. It is applied once, also when an answer
    is lost and it is sent again. Conflicts with other transactions are waited out. For a create, put or update the
    result is the caller's model with its version and times set (a copy of a frozen one); for others None.

    Args:
        requests: What repositories have made ready.
        timeout: Seconds for all of it; None for ``deadline_seconds`` of the configuration.
        max_attempts: How often a request is sent at most; None for ``retries + 1`` of the configuration.

    Raises:
        TransactionCanceledError: A condition was false. ``.reasons`` has one entry per request, in their order, with
            what the same write would have raised alone in ``.error``. Nothing was written, no model was changed.
        TransactionConflictError: Unique values were changed by others at every try; nothing was written.
        UniqueViolationError: Two of the requests would have the same unique value; nothing was sent.
        ValidationError: There is too much for one transaction, or two requests are about one item; nothing was sent.
    """
    ready = listed(requests)
    if not ready:
        return []
    driver = shared_connection(ready, WriteRequest).async_driver.limited(timeout=timeout, max_attempts=max_attempts)
    return await driver.run(written(ready))


async def async_transact_get(
    requests: Iterable[GetRequest[R]], *, timeout: float | None = None, max_attempts: int | None = None
) -> list[R | None]:
    """Read items, of any repositories of one connection, as they are at one moment; None for a missing one.

    One ``TransactGetItems``: at most 100 items and 4 MB, each item once; twice the capacity of consistent reads.

    Args:
        requests: What repositories have made ready.
        timeout: Seconds for all of it; None for ``deadline_seconds`` of the configuration.
        max_attempts: How often a request is sent at most; None for ``retries + 1`` of the configuration.

    Raises:
        TransactionCanceledError: Writes to the items did not end; try again.
        ValidationError: There is too much for one transaction, two requests are about one item, or a stored item is
            no valid model.
    """
    ready = listed(requests)
    if not ready:
        return []
    driver = shared_connection(ready, GetRequest).async_driver.limited(timeout=timeout, max_attempts=max_attempts)
    return await driver.run(found(ready))


def async_transaction(*, timeout: float | None = None, max_attempts: int | None = None) -> AsyncTransaction:
    """Return a block that sends its writes as one transaction when it ends, and nothing if its body raises.

    ::

        async with async_transaction() as tx:
            tx.write(orders.create_request(order))
            tx.write(customers.patch_request("c1", orders=Add(1)))

    Args:
        timeout: Seconds for sending it; None for ``deadline_seconds`` of the configuration.
        max_attempts: How often a request is sent at most; None for ``retries + 1`` of the configuration.
    """
    return AsyncTransaction(timeout, max_attempts)


class AsyncTransaction(TransactionQueue):
    """A `with` block whose writes are sent together at its end."""

    async def __aenter__(self) -> Self:
        """Begin; a block is entered once.

        Raises:
            ValidationError: It was entered before.
        """
        self._begin()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Send what was added, as `transact_write` does, unless the body raised."""
        requests = self._end()
        if kind is None:
            self._results = await async_transact_write(requests, timeout=self._timeout, max_attempts=self._max_attempts)
