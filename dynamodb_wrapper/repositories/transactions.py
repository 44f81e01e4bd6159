"""Requests that repositories make for transactions, and the functions that send them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Generic, Self, TypeVar, cast, overload

from pydantic import BaseModel

from dynamodb_wrapper import expressions
from dynamodb_wrapper.codec import PartialItem
from dynamodb_wrapper.exceptions import UniqueViolationError, ValidationError
from dynamodb_wrapper.operations import adoption, evolving, items, patches, requests, writes
from dynamodb_wrapper.operations.effects import Flow
from dynamodb_wrapper.repositories.foundation import RepositoryFoundation
from dynamodb_wrapper.transport import Connection, SyncDriver

T = TypeVar("T", bound=BaseModel)
M_co = TypeVar("M_co", bound=BaseModel, covariant=True)
R_co = TypeVar("R_co", covariant=True)
M = TypeVar("M", bound=BaseModel)
R = TypeVar("R")


@dataclass(frozen=True, slots=True)
class WriteRequest(Generic[M_co]):
    """A write that a repository has made ready for a transaction; encoded already, so later changes do not matter.

    Attributes:
        write: What is to be done.
        connection: Where.
    """

    write: writes.Write[Any]
    connection: Connection

    def __post_init__(self) -> None:
        self.write.request.as_action()  # what cannot be expressed is refused where the request is made

    def __repr__(self) -> str:
        return f"WriteRequest({_described(self.write.request)})"


@dataclass(frozen=True, slots=True)
class GetRequest(Generic[R_co]):
    """A read that a repository has made ready for a transaction.

    Attributes:
        read: What is to be read.
        connection: Where.
    """

    read: requests.Read[R_co]
    connection: Connection

    def __repr__(self) -> str:
        return f"GetRequest({_described(self.read.request)})"


def _described(request: Any) -> str:
    return f"{type(request).__name__.lower()} in {request.table_name!r} of {request.readable_key!r}"


class RequestMethods(RepositoryFoundation[T]):
    """Makes requests for `transact_write` and `transact_get`, without sending anything: one for both colours."""

    def create_request(self, model: T) -> WriteRequest[T]:
        """Return the request to write a new item, as `create` does.

        Raises:
            ValidationError: The model holds what DynamoDB cannot store.
        """
        return self._for_transaction(self._driver.prepared(writes.creation(self._entity, model)))

    def put_request(self, model: T) -> WriteRequest[T]:
        """Return the request to write an item, replacing what is there, as `put` does.

        Raises:
            ValidationError: The model holds what DynamoDB cannot store.
        """
        return self._for_transaction(self._driver.prepared(writes.replacement(self._entity, model, may_be_new=True)))

    def update_request(self, model: T) -> WriteRequest[T]:
        """Return the request to replace an existing item, as `update` does.

        Raises:
            ValidationError: The model holds what DynamoDB cannot store.
        """
        return self._for_transaction(self._driver.prepared(writes.replacement(self._entity, model, may_be_new=False)))

    def patch_request(
        self,
        pk: object,
        sk: object = None,
        /,
        changes: Mapping[str | expressions.Path, object] | None = None,
        *,
        when: expressions.AnyCondition | None = None,
        upsert: bool = False,
        **fields: object,
    ) -> WriteRequest[T]:
        """Return the request to change attributes of an item, as `patch` does.

        Args:
            pk: The partition key's value.
            sk: The sort key's value, if the table has one.
            changes: Places to new values or actions.
            when: Change only where this holds.
            upsert: Create the item if there is none; every required field must then be given.
            fields: Fields to new values or actions.

        Raises:
            ValidationError: A value is not one for its field, or a change is not possible.
        """
        return self._for_transaction(
            self._driver.prepared(
                patches.lasting_write(self._entity, (pk, sk), changes, fields, when=when, upsert=upsert)
            )
        )

    def delete_request(
        self, pk: object, sk: object = None, *, when: expressions.AnyCondition | None = None
    ) -> WriteRequest[T]:
        """Return the request to delete an item, if it is there and ``when`` holds."""
        return self._for_transaction(writes.deletion(self._entity, (pk, sk), when))

    def check_request(
        self, pk: object, sk: object = None, *, when: expressions.AnyCondition | None = None
    ) -> WriteRequest[T]:
        """Return the request to write nothing here, but only to go on if ``when`` holds for an item.

        Without ``when``: if there is such an item.
        """
        return self._for_transaction(writes.check(self._entity, (pk, sk), when))

    @overload
    def get_request(self, pk: object, sk: object = None, *, attributes: None = None) -> GetRequest[T]: ...

    @overload
    def get_request(
        self, pk: object, sk: object = None, *, attributes: Sequence[str | expressions.Path]
    ) -> GetRequest[PartialItem]: ...

    def get_request(
        self, pk: object, sk: object = None, *, attributes: Sequence[str | expressions.Path] | None = None
    ) -> GetRequest[T] | GetRequest[PartialItem]:
        """Return the request to read an item as a model, or some attributes of it, in `transact_get`.

        Args:
            pk: The partition key's value.
            sk: The sort key's value, if the table has one.
            attributes: Read these attributes only, as a `PartialItem` instead of a model.
        """
        return (
            GetRequest(items.whole(self._entity, (pk, sk)), self._connection)
            if attributes is None
            else GetRequest(items.partial(self._entity, (pk, sk), attributes), self._connection)
        )

    def _for_transaction(self, write: writes.Write[T]) -> WriteRequest[T]:
        return WriteRequest(write, self._connection)


class TransactionMethods(RequestMethods[T]):
    """Makes requests for transactions, and keeps unique values."""

    _driver: SyncDriver

    def ensure_unique(self) -> list[UniqueViolationError]:
        """Guard the values of items that were written before their fields were declared ``unique``.

        Reads the whole table and sends one transaction for each value. Safe while others write, and to run again.

        Returns:
            One error for each item whose value another item has; ``.key`` and ``.owner`` are the two. Change one of
            them. Empty: all values are guarded.
        """
        return self._driver.run(adoption.ensure_unique(self._entity))


def transact_write(
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
    driver = shared_connection(ready, WriteRequest).driver.limited(timeout=timeout, max_attempts=max_attempts)
    return driver.run(written(ready))


def transact_get(
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
    driver = shared_connection(ready, GetRequest).driver.limited(timeout=timeout, max_attempts=max_attempts)
    return driver.run(found(ready))


def listed(requests: Iterable[R]) -> list[R]:
    """Return the requests of a transaction.

    Raises:
        ValidationError: They cannot be iterated.
    """
    if not isinstance(requests, Iterable):
        raise ValidationError(f"a transaction takes a list of requests, not {requests!r:.80}")
    return list(requests)


def transaction(*, timeout: float | None = None, max_attempts: int | None = None) -> Transaction:
    """Return a block that sends its writes as one transaction when it ends, and nothing if its body raises.

    ::

        with transaction() as tx:
            tx.write(orders.create_request(order))
            tx.write(customers.patch_request("c1", orders=Add(1)))

    Args:
        timeout: Seconds for sending it; None for ``deadline_seconds`` of the configuration.
        max_attempts: How often a request is sent at most; None for ``retries + 1`` of the configuration.
    """
    return Transaction(timeout, max_attempts)


def written(requests: Sequence[WriteRequest[M]]) -> Flow[list[M | None]]:
    """Return the flow of `transact_write`."""
    return cast("Flow[list[M | None]]", evolving.write([request.write for request in requests]))


def found(requests: Sequence[GetRequest[R]]) -> Flow[list[R | None]]:
    """Return the flow of `transact_get`."""
    return evolving.get([request.read for request in requests])


class TransactionQueue:
    """The requests of a `transaction` block, and what came of them; what blocks of both colours share."""

    def __init__(self, timeout: float | None = None, max_attempts: int | None = None) -> None:
        self._timeout = timeout
        self._max_attempts = max_attempts
        self._requests: list[WriteRequest[Any]] = []
        self._results: list[BaseModel | None] | None = None
        self._state = "has not begun"

    def write(self, *requests: WriteRequest[Any]) -> None:
        """Add requests; they are sent when the block ends.

        Raises:
            ValidationError: This is not inside the block, or these are no requests of one connection.
        """
        if self._state != "open":
            raise ValidationError(f"the transaction {self._state}: requests are added inside its `with` block")
        added = [*self._requests, *requests]
        if added:
            shared_connection(added, WriteRequest)
        self._requests = added

    @property
    def results(self) -> list[BaseModel | None]:
        """What `transact_write` returns, once the block has ended well.

        Raises:
            ValidationError: It has not.
        """
        if self._results is None:
            raise ValidationError(f"the transaction {self._state}: it has results once its block has ended well")
        return self._results

    def _begin(self) -> None:
        if self._state != "has not begun":
            raise ValidationError("a transaction is used for one `with` block: call transaction() for another")
        self._state = "open"

    def _end(self) -> list[WriteRequest[Any]]:
        self._state = "is over"
        return self._requests


class Transaction(TransactionQueue):
    """A `with` block whose writes are sent together at its end."""

    def __enter__(self) -> Self:
        """Begin; a block is entered once.

        Raises:
            ValidationError: It was entered before.
        """
        self._begin()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Send what was added, as `transact_write` does, unless the body raised."""
        requests = self._end()
        if kind is None:
            self._results = transact_write(requests, timeout=self._timeout, max_attempts=self._max_attempts)


def shared_connection(
    requests: Sequence[WriteRequest[Any] | GetRequest[Any]], kind: type[WriteRequest[Any] | GetRequest[Any]]
) -> Connection:
    """Return the connection of requests (at least one), which is one for all.

    Raises:
        ValidationError: One is no request, or two go over different connections.
    """
    for number, request in enumerate(requests):
        if not isinstance(request, kind):
            maker = "repository.put_request(model)" if kind is WriteRequest else "repository.get_request(key)"
            raise ValidationError(
                f"[{number}] is no {kind.__name__} but a {type(request).__name__}: make requests like {maker}"
            )
    first = requests[0]
    for number, request in enumerate(requests):
        if request.connection is not first.connection:
            raise ValidationError(
                "a transaction goes over one connection, and these requests are of repositories with different ones: "
                f"[0] {first!r} over {first.connection!r}, [{number}] {request!r} over {request.connection!r}"
            )
    return first.connection
